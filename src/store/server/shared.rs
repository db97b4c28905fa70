//! What the writer, its task and the readers all know.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::metrics::StoreMetrics;
use crate::store::Listener;

/// Who this is among the nodes that share the database.
#[derive(Clone, Debug)]
pub struct Node {
    /// The same after a restart, so that the node finds what its earlier life was rendering.
    pub id: i64,
    pub name: String,
}

/// As it is now.
pub struct Shared {
    /// The server could not be reached when last tried: whatever is asked fails at once.
    pub down: watch::Sender<bool>,
    /// Bytes that a statement may have.
    pub packet: AtomicU64,
    /// Crashes after which a fractal has failed; 0 until that is known.
    pub most_crashes: AtomicU32,
    pub metrics: StoreMetrics,
    listener: Mutex<Listener>,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            down: watch::Sender::new(false),
            packet: AtomicU64::new(u64::MAX),
            most_crashes: AtomicU32::new(0),
            metrics: StoreMetrics::default(),
            listener: Mutex::new(Box::new(|_| {})),
        }
    }
}

impl Shared {
    /// Notes whether the server can be reached. The answer is whether that is news.
    pub fn set_down(&self, down: bool) -> bool {
        self.metrics.reachable(!down);
        self.down
            .send_if_modified(|known| std::mem::replace(known, down) != down)
    }

    pub fn listener(&self) -> MutexGuard<'_, Listener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
