//! The truth: every accepted fractal and every finished image.
//!
//! One interface, one file an engine. What a call has answered with `Ok` is on disk. Queries are
//! [`Search`]es over a fixed list of columns; no text of a client's ever becomes SQL.

mod changes;
pub mod copy;
mod folder;
pub mod health;
mod mysql;
mod open;
mod postgres;
mod reader;
mod rows;
mod schema;
pub mod search;
mod server;
mod sql;
mod sqlite;
pub mod url;
mod writer;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::events::Event;
use crate::fractal::{Fractal, FractalSpec, Outcome, RowId, Status};
use crate::metrics::StoreMetrics;
pub use folder::{OpenError, lock};
pub use open::open;
pub use search::Search;
use search::{Column, Comparison, Filter, Value};
pub use sqlite::{FILE, Sqlite};

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is a fractal {0} already")]
    Duplicate(Uuid),
    /// [`Store::insert`]: with more, more fractals would wait than may. How many do.
    #[error("{0} fractals are waiting already, and there is no place for as many more")]
    QueueFull(u64),
    #[error("there is no room left on the store's disk")]
    DiskFull,
    /// So many calls wait that a further one would only wait in vain.
    #[error("the store is busy")]
    Busy,
    #[error("the store is closed")]
    Closed,
    /// What would be written now could not be found again.
    #[error(
        "the store's file was deleted or replaced: stop the server, and see to its data folder"
    )]
    Gone,
    /// The store was made by a later version of this program.
    #[error(
        "{path} was made by a newer faafo (schema {found}, this one knows {known}): use that version, or another --data-dir or --database-url"
    )]
    Newer {
        path: String,
        found: u32,
        known: u32,
    },
    #[error("{path} is no store of faafo's: name another --data-dir or --database-url")]
    Foreign { path: String },
    /// The database's server does not answer. What was asked may have happened all the same.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// Trying again is of no use.
    #[error(
        "the image has {size} bytes, and the database takes statements of {packet} at most: set its max_allowed_packet to 64M or more"
    )]
    TooLarge { size: u64, packet: u64 },
    #[error("the store failed: {0}")]
    Engine(String),
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How many fractals there are of each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
}

impl Counts {
    pub fn of(&self, status: Status) -> u64 {
        match status {
            Status::Queued => self.queued,
            Status::Running => self.running,
            Status::Done => self.done,
            Status::Failed => self.failed,
        }
    }

    pub fn total(&self) -> u64 {
        Status::ALL.into_iter().map(|status| self.of(status)).sum()
    }

    /// Total of a search that the counts already hold: that of everything, or of one status.
    fn of_filter(&self, filter: &Filter) -> Option<u64> {
        match filter {
            Filter::And(parts) if parts.is_empty() => Some(self.total()),
            Filter::And(parts) if parts.len() == 1 => self.of_filter(&parts[0]),
            Filter::Value(Column::Status, Comparison::Eq, Value::Text(name)) => {
                Some(name.parse().map_or(0, |status| self.of(status)))
            }
            _ => None,
        }
    }

    fn slot(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Queued => &mut self.queued,
            Status::Running => &mut self.running,
            Status::Done => &mut self.done,
            Status::Failed => &mut self.failed,
        }
    }

    fn moved(&mut self, from: Option<Status>, to: Option<Status>) {
        if let Some(from) = from {
            let count = self.slot(from);
            // A database may have been changed by hand.
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *self.slot(to) += 1;
        }
    }
}

/// A fractal that waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    pub row: RowId,
    pub uuid: Uuid,
    pub spec: FractalSpec,
}

/// A page of a [`Search`]'s answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// How many fractals the whole search finds.
    pub total: u64,
    pub fractals: Vec<Fractal>,
}

/// A stored image, exactly as it was delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub png: Bytes,
    pub checksum: String,
}

/// What asking for an image may find.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    Image(Image),
    /// The client has this very image: the bytes were not read.
    Same,
    /// The fractal is there, its image is not.
    NoImage(Status),
    NoFractal,
}

/// How [`Store::finish`] ended. Delivering twice is harmless: the first result stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    Now(Fractal),
    Before(Fractal),
}

/// Called with each change right after its commit, in the order of the commits, before whoever
/// caused it hears of it; whether or not anybody still waits to. Where nodes share a database, each
/// hears of its own commits, and soon of what others have done to its renders.
pub type Listener = Box<dyn Fn(Event) + Send>;

#[async_trait]
pub trait Store: Send + Sync {
    /// Whom to tell of changes from now on.
    fn listen(&self, listener: Listener);

    /// What the store records of its transactions and errors.
    fn metrics(&self) -> &StoreMetrics;

    /// Keeps a new fractal as `Queued`, unless `most_queued` wait already.
    async fn insert(&self, uuid: Uuid, spec: FractalSpec, most_queued: u64) -> Result<Fractal>;

    /// Keeps a new fractal as `Done`, with an image that was made elsewhere: told as created, and never
    /// as a render of this farm's.
    async fn import(
        &self,
        uuid: Uuid,
        spec: FractalSpec,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Fractal>;

    /// Keeps these new fractals as `Queued`, in this order, or none of them: no two have the same
    /// uuid. With them no more than `most_queued` may wait.
    async fn insert_all(
        &self,
        new: Vec<(Uuid, FractalSpec)>,
        most_queued: u64,
    ) -> Result<Vec<Fractal>>;

    async fn get(&self, uuid: Uuid) -> Result<Option<Fractal>>;

    /// The image of a fractal, unless its checksum is `known`.
    async fn image(&self, uuid: Uuid, known: Option<String>) -> Result<Lookup>;

    /// `count` fractals of those that `search` finds, after the first `skip`.
    async fn search(&self, search: Search, skip: u64, count: u64) -> Result<Page>;

    /// The oldest waiting fractals after row `after`, at most `count`, in order of acceptance.
    async fn waiting(&self, after: RowId, count: usize) -> Result<Vec<Waiting>>;

    /// `Queued -> Running`, one attempt more. `None`: it is not there, or not waiting, any more.
    async fn start(&self, row: RowId) -> Result<Option<Fractal>>;

    /// [`Store::start`] for a worker elsewhere; by the lease, [`Store::resume`] knows it again.
    async fn lend(&self, row: RowId, lease: Uuid) -> Result<Option<Fractal>> {
        let _ = lease;
        self.start(row).await
    }

    /// Goes on with a render that was lent: starts it again if it waits, or takes it over from the
    /// node that lent it, which may be dead or alive. `None`: someone else renders it, or nobody
    /// needs to.
    async fn resume(&self, row: RowId, lease: Uuid) -> Result<Option<Fractal>> {
        self.lend(row, lease).await
    }

    /// `Running -> Queued` for a render that was not carried out; the attempt does not count.
    /// `None`: it was not running, or by now another node renders it.
    async fn give_back(&self, row: RowId) -> Result<Option<Fractal>>;

    /// `Running -> Queued` for a render whose worker is gone, or `-> Failed` if that happened for
    /// the `most`th time: what [`Store::recover`] does to all rows. `None`: it was not running, or
    /// by now another node renders it.
    async fn lose(&self, row: RowId, most: u32) -> Result<Option<Fractal>>;

    /// Any status -> `Done`, image and outcome in one step. `None`: the fractal is gone.
    async fn finish(&self, row: RowId, outcome: Outcome, png: Bytes) -> Result<Option<Finished>>;

    /// `Running -> Queued`, or `-> Failed` at the `most`th attempt. `None`: it was not running, or by
    /// now another node renders it.
    async fn fail(&self, row: RowId, reason: String, most: u32) -> Result<Option<Fractal>>;

    /// `Failed -> Queued`, attempts from zero. The fractal as it then is, whether or not it had
    /// failed, and whether it had. `None`: there is none.
    async fn retry(&self, uuid: Uuid) -> Result<Option<(Fractal, bool)>>;

    /// Deletes the fractal and its image. `false`: there was none.
    async fn delete(&self, uuid: Uuid) -> Result<bool>;

    /// After a start: what was `Running` when the process died waits again, or has `Failed` if that
    /// happened for the `most`th time. Returns how many rows that were. What other nodes are
    /// rendering is left alone, unless they fell silent; that is looked after from now on.
    async fn recover(&self, most: u32) -> Result<u64>;

    /// Whether other processes may change it, too: only reading tells of new rows.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether the store can read and write at this moment.
    async fn check(&self) -> Result<()>;

    /// The counts as of the last commit, with those of other nodes up to a second late; changes can
    /// be awaited.
    fn counts(&self) -> watch::Receiver<Counts>;
}

/// A fractal as it is when it is accepted.
fn accepted(row: RowId, uuid: Uuid, spec: FractalSpec) -> Fractal {
    Fractal {
        row,
        uuid,
        spec,
        status: Status::Queued,
        attempts: 0,
        error: None,
        outcome: None,
        created_at: now(),
        finished_at: None,
    }
}

/// Whether one may wait beside those that do, and `new` more.
fn has_room(counts: &Counts, new: usize, most_queued: u64) -> Result<()> {
    match counts.queued.saturating_add(new as u64) > most_queued {
        true => Err(StoreError::QueueFull(counts.queued)),
        false => Ok(()),
    }
}

/// Now, to the millisecond that the store keeps.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
