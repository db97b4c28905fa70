//! Where writes are handed in.

use std::sync::Arc;

use tokio::sync::watch;

use super::batch::Batch;
use super::engine::Engine;
use super::job::{Job, Names, job};
use super::shared::{Node, Shared};
use super::task::Task;
use crate::store::{Counts, Listener, Result, StoreError};

/// Writes that may wait before a caller has to. Each holds at most one image.
const WAITING: usize = 1024;

/// Where writes are handed in. Dropped, it lets the task finish what waits.
pub struct Writer {
    jobs: flume::Sender<Box<dyn Job>>,
    counts: watch::Receiver<Counts>,
    pub shared: Arc<Shared>,
    /// This node.
    pub node: i64,
}

impl Writer {
    /// Connects, and is ready.
    pub async fn start<E: Engine>(engine: Arc<E>, node: Node) -> Result<Writer> {
        let (jobs, waiting) = flume::bounded(WAITING);
        let (publish, counts) = watch::channel(Counts::default());
        let shared = Arc::new(Shared::default());
        let id = node.id;
        let task = Task::start(engine, node, waiting, publish, shared.clone()).await?;
        tokio::spawn(task.run());
        Ok(Writer {
            jobs,
            counts,
            shared,
            node: id,
        })
    }

    pub fn listen(&self, listener: Listener) {
        *self.shared.listener() = listener;
    }

    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// Runs `change` in the next transaction and returns what it returned, once that is on the
    /// server's disk. A change that fails must have changed nothing. While the server is known to be
    /// away it fails at once: the task looks for when that is over.
    pub async fn write<T: Send + 'static>(
        &self,
        names: Names,
        change: impl FnMut(&mut Batch) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if *self.shared.down.borrow() {
            return Err(StoreError::away());
        }
        let (job, told) = job(names, change);
        let sent = self.jobs.send_async(job).await;
        sent.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)?
    }
}
