//! Looks now and then whether the broker still has what the store says is waiting. It tells how many
//! messages it has, but not which.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lapin::Connection;

use super::Shared;
use super::link::{self, Found, LinkError};
use crate::fractal::{Fractal, RowId, Status};
use crate::store::search::{Column, Comparison, Direction, Filter, Value};
use crate::store::{Result, Search, Waiting};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// Rows that are looked at: the oldest.
const FRONT: usize = 256;

/// A row is not published again before this time is over, which doubles with each time.
const PATIENCE: Duration = Duration::from_secs(25);

/// The same while workers of the original deliver: they take as many messages as they can get, and
/// say nothing until they have rendered them.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// Beyond what is known to be missing after a start, this many are published again.
const SLACK: u64 = 256;

/// What became of tasks, as far as this node knows.
#[derive(Default)]
pub struct Seen(Mutex<Progress>);

#[derive(Clone, Copy, Default)]
struct Progress {
    /// Rows that some worker has begun, or delivered without a word before.
    left: u64,
    /// When a worker of the original last delivered.
    original: Option<Instant>,
}

impl Seen {
    /// A worker has begun a task.
    pub fn begun(&self) {
        self.progress().left += 1;
    }

    pub fn done(&self, fractal: &Fractal) {
        // It was never begun, and is done all the same.
        if fractal.attempts == 0 {
            let mut progress = self.progress();
            progress.left += 1;
            progress.original = Some(Instant::now());
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Progress {
        *self.progress()
    }
}

/// Right after a connection was made: what is known to be missing is published again.
pub async fn compare(shared: &Shared, found: Found, first: bool) -> Result<()> {
    let backlog = &shared.backlog;
    if !found.was_there {
        backlog.read_after(0);
        return Ok(());
    }
    let queued = shared.store.counts().borrow().queued;
    let missing = queued.saturating_sub(found.ready);
    // Otherwise this process knows what it has not published.
    if !first || missing == 0 {
        return Ok(());
    }
    if missing + SLACK >= queued {
        backlog.read_after(0);
        return Ok(());
    }
    // Rows go out in order, so that gaps are at the ends: what was on its way to the broker when the
    // process before died, and what workers had begun.
    let newest = Search {
        filter: Filter::Value(
            Column::Status,
            Comparison::Eq,
            Value::Text(Status::Queued.as_str().into()),
        ),
        order: vec![(Column::CreatedAt, Direction::Descending)],
        ..Search::default()
    };
    let newest = shared.store.search(newest, missing + SLACK - 1, 1).await?;
    for task in shared.store.waiting(0, FRONT).await? {
        backlog.add(task);
    }
    if let Some(fractal) = newest.fractals.first() {
        backlog.read_after(fractal.row - 1);
    }
    Ok(())
}

/// Compares for as long as the connection holds.
pub async fn watch(connection: &Connection, shared: &Shared) -> Result<Infallible, LinkError> {
    let channel = connection.create_channel().await?;
    let queue = shared.transport.queue_type.queue();
    let mut front = Front::default();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let ready = link::ready(&channel, queue).await?;
        shared.metrics.ready(ready);
        if !shared.backlog.is_empty() {
            continue;
        }
        let waiting = match shared.store.waiting(0, FRONT).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(%error, "cannot read what is queued; trying again");
                continue;
            }
        };
        let full = waiting.len() == FRONT;
        let missing = front.missing(waiting, ready, shared.seen.now(), Instant::now());
        if missing.is_empty() {
            continue;
        }
        tracing::warn!(
            fractals = missing.len(),
            "the broker has lost tasks; publishing them again"
        );
        if full && missing.len() == FRONT {
            shared.backlog.read_after(0);
            continue;
        }
        for task in missing {
            shared.backlog.add(task);
        }
    }
}

/// The rows that are next, and since when.
#[derive(Default)]
struct Front(HashMap<RowId, Since>);

#[derive(Clone, Copy)]
struct Since {
    at: Instant,
    /// Messages that were before it at most, and tasks that had gone to workers, by then.
    ready: u64,
    left: u64,
    /// How often it was published again.
    times: u32,
}

impl Front {
    /// Which of the rows that wait can have no message: everything that was in the queue when they
    /// were first seen here has gone to workers.
    fn missing(
        &mut self,
        waiting: Vec<Waiting>,
        ready: u64,
        progress: Progress,
        now: Instant,
    ) -> Vec<Waiting> {
        let new = Since {
            at: now,
            ready,
            left: progress.left,
            times: 0,
        };
        let mut before = std::mem::take(&mut self.0);
        let foreign = progress.original.is_some_and(|at| now - at < LONG_PATIENCE);
        let patience = if foreign { LONG_PATIENCE } else { PATIENCE };
        let mut missing = Vec::new();
        for task in waiting {
            let mut since = before.remove(&task.row).unwrap_or(new);
            let patient = now - since.at < patience * (1 << since.times.min(8));
            let gone = progress.left - since.left;
            if !patient && (ready == 0 || gone > since.ready + SLACK) {
                since = Since {
                    times: since.times + 1,
                    ..new
                };
                missing.push(task);
            }
            self.0.insert(task.row, since);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fractal::{Constant, FractalSpec, Palette, Plane};

    fn rows(rows: std::ops::Range<RowId>) -> Vec<Waiting> {
        let (xa, xb, ya, yb) = (-2.0, 2.0, -1.0, 1.0);
        let spec = FractalSpec {
            width: 1,
            height: 1,
            iterations: 1,
            plane: Plane { xa, xb, ya, yb },
            c: Constant { re: 0.0, im: 0.0 },
            palette: Palette::Classic,
        };
        let uuid = Uuid::nil();
        rows.map(|row| Waiting { row, uuid, spec }).collect()
    }

    fn left(left: u64) -> Progress {
        Progress {
            left,
            original: None,
        }
    }

    #[test]
    fn a_row_is_missing_once_all_messages_before_it_are_gone() {
        let (mut front, begun) = (Front::default(), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut look = |seconds, ready, gone| {
            let missing = front.missing(rows(1..3), ready, left(gone), at(seconds));
            missing.len()
        };
        assert_eq!(look(0, 1000, 0), 0);
        // Workers are at it.
        assert_eq!(look(30, 900, 100), 0);
        assert_eq!(look(60, 900, 1000 + SLACK), 0);
        assert_eq!(look(90, 900, 1001 + SLACK), 2);
        // Published again; there is nothing in the queue, but that may have been taken just now.
        assert_eq!(look(120, 0, 1010 + SLACK), 0);
        assert_eq!(look(150, 0, 1010 + SLACK), 2);
        // Less and less often.
        assert_eq!(look(180, 0, 1010 + SLACK), 0);
        assert_eq!(look(240, 0, 1010 + SLACK), 0);
        assert_eq!(look(270, 0, 1010 + SLACK), 2);
    }

    #[test]
    fn workers_of_the_original_are_given_time() {
        let (mut front, begun) = (Front::default(), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let theirs = |seconds| Progress {
            left: 1,
            original: Some(at(seconds)),
        };
        assert!(front.missing(rows(1..3), 0, theirs(0), at(0)).is_empty());
        assert!(
            front
                .missing(rows(2..3), 0, theirs(100), at(120))
                .is_empty()
        );
        assert_eq!(front.missing(rows(2..3), 0, theirs(100), at(720)).len(), 1);
        // Those that are not in front any more are forgotten.
        assert_eq!(front.0.len(), 1);
    }
}
