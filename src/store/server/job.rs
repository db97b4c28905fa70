//! A write that waits for its transaction, and what that has to read for it.

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::batch::Batch;
use super::engine::{Cell, Statement};
use super::{rows, statements};
use crate::fractal::RowId;
use crate::store::{Result, StoreError};

/// Most fractals that one statement reads by name.
const LOADED: usize = 1024;

/// The fractals that a change names: read before it acts.
#[derive(Default)]
pub struct Names {
    pub rows: Vec<RowId>,
    pub uuids: Vec<Uuid>,
    /// If it is large it is written before the lock is taken, so that the other nodes do not wait for
    /// its bytes.
    pub image: Option<(RowId, Bytes)>,
}

pub trait Job: Send {
    fn names(&self) -> &Names;

    /// May happen again, on a new batch, when the transaction has to be repeated.
    fn apply(&mut self, batch: &mut Batch);

    /// Tells the caller. `false`: it has gone away.
    fn answer(self: Box<Self>, committed: Result<()>) -> bool;
}

struct Pending<T, F> {
    names: Names,
    change: F,
    changed: Option<Result<T>>,
    tell: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Batch) -> Result<T> + Send> Job for Pending<T, F> {
    fn names(&self) -> &Names {
        &self.names
    }

    fn apply(&mut self, batch: &mut Batch) {
        self.changed = Some((self.change)(batch));
    }

    fn answer(self: Box<Self>, committed: Result<()>) -> bool {
        let changed = self.changed.unwrap_or(Err(StoreError::Closed));
        self.tell.send(committed.and(changed)).is_ok()
    }
}

/// A change as a job, and where its outcome comes.
pub fn job<T: Send + 'static>(
    names: Names,
    change: impl FnMut(&mut Batch) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>) {
    let (tell, told) = oneshot::channel();
    let job = Pending {
        names,
        change,
        changed: None,
        tell,
    };
    (Box::new(job), told)
}

/// The images of these jobs by their rows, each once, those that were delivered first.
pub fn images(jobs: &[Box<dyn Job>]) -> Vec<(RowId, Bytes)> {
    let images = jobs.iter().filter_map(|job| job.names().image.clone());
    let mut images: Vec<_> = images.collect();
    images.sort_by_key(|(row, _)| *row);
    images.dedup_by_key(|(row, _)| *row);
    images
}

/// What reads the fractals that these jobs name.
pub fn named(jobs: &[Box<dyn Job>], unheard: &[RowId]) -> Vec<Statement> {
    let named = jobs.iter().flat_map(|job| job.names().rows.iter());
    let by_row: Vec<Cell> = named.chain(unheard).map(|row| Cell::from(*row)).collect();
    let uuids = jobs.iter().flat_map(|job| &job.names().uuids);
    let by_uuid: Vec<Cell> = uuids.map(|uuid| rows::key(*uuid)).collect();
    [("id", by_row), ("uuid", by_uuid)]
        .iter()
        .flat_map(|(column, values)| {
            let some = values.chunks(LOADED);
            some.filter_map(|some| statements::load(column, some.to_vec()))
        })
        .collect()
}
