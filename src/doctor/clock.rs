//! The clock, held against what others say.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Finding;
use crate::store::health::Health;

const CLOCK: &str = "clock";
const MEND: &str = "timedatectl set-ntp true";

/// Seconds since 1970 at the beginning of 2026: nothing of this program is older.
const OLDEST: u64 = 1_767_225_600;

/// Nobody minds so much.
const TOLERABLE: Duration = Duration::from_secs(5);

/// A file system of elsewhere may have a clock of its own.
const OF_FILES: Duration = Duration::from_secs(60);

/// By how much the store's file was written after now, if it was.
pub fn ahead(store: &Path) -> Option<Duration> {
    let written = std::fs::metadata(store).and_then(|found| found.modified());
    let ahead = written.ok()?.duration_since(SystemTime::now());
    ahead.ok().filter(|ahead| *ahead > OF_FILES)
}

pub fn check(ahead: Option<Duration>, health: Option<&Health>) -> Finding {
    if SystemTime::now() < SystemTime::UNIX_EPOCH + Duration::from_secs(OLDEST) {
        let says = "it is in the past: before this program was written";
        return Finding::wrong(CLOCK, says, MEND);
    }
    if let Some(ahead) = ahead {
        let seconds = ahead.as_secs();
        let says = format!("the fractals were written {seconds} s after what it says is now");
        return Finding::wrong(CLOCK, says, MEND);
    }
    let Some(ahead) = health.and_then(|health| health.ahead) else {
        return Finding::ok(CLOCK, "it may well be right");
    };
    let apart = Duration::from_millis(ahead.unsigned_abs());
    let seconds = ahead as f64 / 1000.0;
    match apart > TOLERABLE {
        true => Finding::wrong(
            CLOCK,
            format!("the database's is {seconds:+.0} s off this machine's"),
            format!("{MEND}    here, and on the database's machine"),
        ),
        false => Finding::ok(CLOCK, format!("within {TOLERABLE:?} of the database's")),
    }
}
