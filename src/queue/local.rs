//! The queue within one process: a window on the store's waiting rows.
//!
//! ```text
//!   store: waiting rows ──feeder, in order of acceptance──> channel (WINDOW tasks) ──> workers
//!                           ^                                    |
//!                           └── `out`: handed on, not settled ───┘
//! ```
//!
//! A million waiting rows cost no memory here: the feeder reads on only as the channel empties.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{Queue, Task};
use crate::fractal::{Fractal, RowId};
use crate::render::Cancel;
use crate::store::Store;

/// Tasks in the channel: what the workers do while the feeder reads once.
const WINDOW: usize = 256;

/// The feeder reads from the start this often, whether or not it was told of anything.
const SWEEP: Duration = Duration::from_secs(30);

/// A store that other nodes write to is looked at this often while nothing is known to wait.
const POLL: Duration = Duration::from_millis(300);

/// Pause after the store could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub struct LocalQueue {
    tasks: flume::Receiver<Task>,
    shared: Arc<Shared>,
    feeder: AbortHandle,
}

#[derive(Default)]
struct Shared {
    /// Tasks from the moment the feeder hands them on until they are settled or wait again.
    out: Mutex<HashMap<RowId, Cancel>>,
    news: Notify,
    /// A row that the feeder has passed already waits again.
    from_start: AtomicBool,
}

impl Shared {
    fn out(&self) -> MutexGuard<'_, HashMap<RowId, Cancel>> {
        // Each use is one call on the map, so that a panic leaves it whole.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalQueue {
    pub fn start(store: Arc<dyn Store>) -> LocalQueue {
        let (hand_on, tasks) = flume::bounded(WINDOW);
        let shared = Arc::new(Shared::default());
        let feeder = tokio::spawn(feed(store, hand_on, shared.clone()));
        LocalQueue {
            tasks,
            shared,
            feeder: feeder.abort_handle(),
        }
    }
}

impl Drop for LocalQueue {
    fn drop(&mut self) {
        self.feeder.abort();
    }
}

async fn feed(store: Arc<dyn Store>, hand_on: flume::Sender<Task>, shared: Arc<Shared>) {
    let mut last = 0;
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        if sweep.tick().now_or_never().is_some() {
            last = 0;
        }
        if shared.from_start.swap(false, Ordering::AcqRel) {
            last = 0;
        }
        let waiting = match store.waiting(last, WINDOW).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(%error, "cannot read what is queued; trying again");
                tokio::time::sleep(STORE_PAUSE).await;
                continue;
            }
        };
        if waiting.is_empty() {
            tokio::select! {
                () = shared.news.notified() => {}
                _ = sweep.tick() => last = 0,
                // From the start: what waits again may stand before what was new last.
                () = tokio::time::sleep(POLL), if store.is_shared() => last = 0,
            }
            continue;
        }
        for row in waiting {
            last = row.row;
            let cancel = match shared.out().entry(row.row) {
                Entry::Occupied(_) => continue,
                Entry::Vacant(entry) => entry.insert(Cancel::default()).clone(),
            };
            let task = Task {
                row: row.row,
                uuid: row.uuid,
                spec: row.spec,
                cancel,
            };
            if hand_on.send_async(task).await.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl Queue for LocalQueue {
    fn added(&self, _fractal: &Fractal) {
        self.shared.news.notify_one();
    }

    fn returned(&self, row: RowId) {
        self.shared.out().remove(&row);
        self.shared.from_start.store(true, Ordering::Release);
        self.shared.news.notify_one();
    }

    fn settled(&self, row: RowId) {
        self.shared.out().remove(&row);
    }

    fn forget(&self, row: RowId) {
        if let Some(cancel) = self.shared.out().remove(&row) {
            cancel.cancel();
        }
    }

    async fn take(&self) -> Task {
        loop {
            match self.tasks.recv_async().await {
                Ok(task) if task.cancel.is_cancelled() => {}
                Ok(task) => return task,
                // The feeder has stopped: there will be no further task.
                Err(flume::RecvError::Disconnected) => std::future::pending().await,
            }
        }
    }
}
