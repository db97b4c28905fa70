//! The tokens that a server goes by.

use std::time::Duration;

use super::{Fingerprint, Kind, Place, Token, TokenFileError};
use crate::watched::Watched;

/// Knows the tokens when it sees them; those that have been replaced it forgets.
pub struct Keeper {
    user: Watched<Fingerprint>,
    worker: Watched<Fingerprint>,
}

/// Tokens that were made just now.
pub type Made = Vec<(Kind, Token)>;

#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    File(#[from] TokenFileError),
    #[error("the user token is the worker token, too: then any worker could do what users may")]
    Same,
}

/// A look at a file is a thousandth of what keeping a fractal takes: the new token is good at once,
/// and the old one is not any more.
const REST: Duration = Duration::ZERO;

impl Keeper {
    /// Reads the tokens, making those of the farm's own that are not there yet; these are returned.
    pub fn open(user: &Place, worker: &Place) -> Result<(Keeper, Made), KeeperError> {
        let mut made = Vec::new();
        for place in [user, worker] {
            made.extend(place.make_if_missing()?.map(|token| (place.kind(), token)));
        }
        let watch = |place: &Place| {
            let watched = place.clone();
            Watched::new(&[place.path()], REST, move || {
                watched.read().map(|token| token.fingerprint())
            })
        };
        let (user, worker) = (watch(user)?, watch(worker)?);
        if user.get().is(&worker.get()) {
            return Err(KeeperError::Same);
        }
        Ok((Keeper { user, worker }, made))
    }

    /// Of which kind a token is, if it is one of these.
    pub fn kind_of(&self, presented: &str) -> Option<Kind> {
        let presented = Fingerprint::of(presented);
        let is_user = self.user.get().is(&presented);
        let is_worker = self.worker.get().is(&presented);
        match (is_user, is_worker) {
            (true, _) => Some(Kind::User),
            (_, true) => Some(Kind::Worker),
            _ => None,
        }
    }
}
