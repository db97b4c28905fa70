//! Tokens: whether a server finds them, and nobody else.

use super::Finding;
use crate::config::TokenPlaces;
use crate::tokens::{Place, TokenFileError};

const TOKENS: &str = "tokens";

pub fn check(places: Option<&TokenPlaces>) -> Vec<Finding> {
    match places {
        None => vec![Finding::ok(
            TOKENS,
            "none are asked for: only this machine gets here",
        )],
        Some(places) => [&places.user, &places.worker].map(one).into(),
    }
}

fn one(place: &Place) -> Finding {
    let kind = place.kind();
    let (name, path) = (kind.name(), place.path().display());
    let Err(error) = place.read() else {
        return Finding::ok(TOKENS, format!("the {name} token is in {path}"));
    };
    let mend = match &error {
        TokenFileError::None { .. } => {
            let says = format!("the {name} token will be made by the first start");
            return Finding::ok(TOKENS, says);
        }
        TokenFileError::Open { .. } => format!("chmod 600 {path}"),
        TokenFileError::Read { .. } => "run this as whoever runs the farm, or as root".into(),
        _ if place.is_given() => format!("(umask 077; openssl rand -hex 32 >{path})"),
        _ => format!("{} --rotate", kind.command()),
    };
    Finding::wrong(TOKENS, error.to_string(), mend)
}
