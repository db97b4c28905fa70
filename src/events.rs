//! What happens to fractals, for whoever wants to watch.
//!
//! Events are news, not the truth: a listener that falls behind is told so and reads the store.

use std::sync::Arc;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::fractal::{Fractal, RowId};

/// A change that has been committed, with the fractal as it became; or progress, which is in no row.
#[derive(Clone, Debug)]
pub enum Event {
    Created(Fractal),
    /// It waits again: after a failed attempt, a retry, or a render that was not carried out.
    Queued(Fractal),
    Running(Fractal),
    Done(Fractal),
    Failed(Fractal),
    Deleted(RowId, Uuid),
    /// So much of its picture is rendered, 0 to 1. Told only between `Running` and whatever ends
    /// that.
    Progress(Uuid, f64),
    /// Of several nodes on one database: this one goes on with a render that another had lent. No
    /// news for those who watch.
    Adopted(Fractal),
    /// And this one's render of that row was ended by another, or is another's now: likewise.
    Departed(RowId),
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
