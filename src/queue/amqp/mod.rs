//! The queue in RabbitMQ, shared with other nodes, with workers that take from it themselves, and with
//! programs of the original.
//!
//! ```text
//!   commits ──> backlog ──publish──> exchange `tasks` ──> queue `normal` ──> faafo worker --transport-url
//!                  ^                                            └──consume──> desk ──> workers of this node
//!   store ──watch──┘ what the broker has lost
//! ```
//!
//! The rows are the truth. A row that waits is published by the node that committed it, and again by
//! whichever commits that it waits again: so a message is needed no more once its row was begun, and
//! one too many does no harm.

mod backlog;
mod consume;
mod desk;
mod greeting;
mod link;
mod message;
mod news;
mod publish;
mod transport;
mod verdict;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lapin::Connection;
use tokio::task::AbortHandle;

use super::{Queue, Task};
use crate::fractal::{Fractal, RowId};
use crate::metrics::BrokerMetrics;
use crate::store::{Store, Waiting};
use backlog::Backlog;
pub use consume::{consumer, named};
use desk::Desk;
pub use greeting::greeting;
pub use link::{DEAD, Line, LinkError, alive, answered, bury, confirming, declare, probe};
pub use message::{Ordered, decode};
pub use news::{Heard, News, WORKERS};
pub use transport::{QueueType, Transport, TransportError, TransportUrl};
pub use verdict::{Verdict, pronounce};

/// What is committed as the process ends has this long to get to the broker.
const CLOSING: Duration = Duration::from_secs(3);

pub struct AmqpQueue {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

/// What the parts of the queue share.
struct Shared {
    store: Arc<dyn Store>,
    transport: Transport,
    backlog: Backlog,
    desk: Desk,
    seen: watch::Seen,
    news: Arc<News>,
    metrics: BrokerMetrics,
    /// It has been connected before.
    connected: AtomicBool,
}

impl AmqpQueue {
    pub fn start(
        store: Arc<dyn Store>,
        transport: Transport,
        news: Arc<News>,
        metrics: BrokerMetrics,
    ) -> AmqpQueue {
        let (desk, verdicts) = Desk::new();
        let shared = Arc::new(Shared {
            store,
            transport,
            backlog: Backlog::default(),
            desk,
            seen: watch::Seen::default(),
            news,
            metrics,
            connected: AtomicBool::new(false),
        });
        let tasks = [
            tokio::spawn(run(shared.clone())).abort_handle(),
            tokio::spawn(pronounce(verdicts)).abort_handle(),
        ];
        AmqpQueue { shared, tasks }
    }
}

impl Drop for AmqpQueue {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn run(shared: Arc<Shared>) {
    let name = format!("faafo api on {}", crate::worker::host_name());
    let mut line = Line::new(shared.transport.clone(), name, shared.metrics.clone());
    loop {
        let connection = line.connect().await;
        let Err(error) = session(&connection, &shared).await;
        line.broke(connection, error).await;
    }
}

async fn session(connection: &Connection, shared: &Shared) -> Result<Infallible, LinkError> {
    let found = link::answered(connection, link::declare(connection, &shared.transport)).await?;
    shared.metrics.ready(found.ready);
    let first = !shared.connected.load(Ordering::Acquire);
    match watch::compare(shared, found, first).await {
        Ok(()) => shared.connected.store(true, Ordering::Release),
        Err(error) => tracing::warn!(%error, "cannot read what is queued"),
    }
    // They end only by an error, which ends the others.
    tokio::select! {
        ended = publish::publish(connection, shared) => ended,
        ended = consume::consume(connection, shared) => ended,
        ended = watch::watch(connection, shared) => ended,
        ended = news::share(connection, &shared.news) => ended,
        ended = link::alive(connection) => ended,
    }
}

/// A fractal as a task.
fn waiting(fractal: &Fractal) -> Waiting {
    Waiting {
        row: fractal.row,
        uuid: fractal.uuid,
        spec: fractal.spec,
    }
}

#[async_trait]
impl Queue for AmqpQueue {
    fn added(&self, fractal: &Fractal) {
        self.shared.backlog.add(waiting(fractal));
    }

    fn waits_again(&self, fractal: &Fractal) {
        self.shared.desk.settled(fractal.row, false);
        self.shared.backlog.add(waiting(fractal));
    }

    fn begun(&self, fractal: &Fractal) {
        self.shared.seen.begun();
        self.shared.desk.begun(fractal.row);
    }

    fn done(&self, fractal: &Fractal) {
        self.shared.seen.done(fractal);
        self.forget(fractal.row);
    }

    fn failed(&self, fractal: &Fractal) {
        self.settled(fractal.row);
        let reason = fractal.error.clone().unwrap_or_default();
        self.shared.backlog.add_dead(waiting(fractal), reason);
    }

    fn returned(&self, row: RowId) {
        self.shared.desk.returned(row, &self.shared.backlog);
    }

    fn settled(&self, row: RowId) {
        self.shared.desk.settled(row, false);
    }

    fn forget(&self, row: RowId) {
        self.shared.desk.settled(row, true);
    }

    async fn take(&self) -> Task {
        self.shared.desk.take().await
    }

    async fn close(&self) {
        let (backlog, news) = (&self.shared.backlog, &self.shared.news);
        let flushed = async {
            while !(backlog.is_empty() && news.are_sent()) && self.shared.metrics.is_connected() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // The next start will find what is left.
        let _ = tokio::time::timeout(CLOSING, flushed).await;
    }
}
