//! What happens to fractals, for whoever wants to watch.
//!
//! Events are news, not the truth: a listener that falls behind is told so and reads the store.

use std::sync::Arc;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::fractal::{Fractal, RowId};

/// A change that has been committed. Each but the last holds the fractal as it became.
#[derive(Clone, Debug)]
pub enum Event {
    Created(Fractal),
    /// It waits again: after a failed attempt, a retry, or a render that was not carried out.
    Queued(Fractal),
    Running(Fractal),
    Done(Fractal),
    Failed(Fractal),
    Deleted(RowId, Uuid),
}

/// Events kept for a listener that is slow; it misses what is older.
const KEPT: usize = 1024;

#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<Event>>);

impl Default for Events {
    fn default() -> Self {
        Events(broadcast::Sender::new(KEPT))
    }
}

impl Events {
    pub fn publish(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.0.send(Arc::new(event));
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.subscribe()
    }
}
