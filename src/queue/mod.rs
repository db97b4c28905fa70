//! The hint: tasks to do. What it loses the store still has, and brings back.

pub mod amqp;
mod local;

use async_trait::async_trait;
use uuid::Uuid;

use crate::fractal::{Fractal, FractalSpec, RowId};
use crate::render::Cancel;
pub use local::LocalQueue;

/// A fractal to render, on its way to a worker.
#[derive(Clone, Debug)]
pub struct Task {
    pub row: RowId,
    pub uuid: Uuid,
    pub spec: FractalSpec,
    /// Set when nobody wants the image any more.
    pub cancel: Cancel,
}

#[async_trait]
pub trait Queue: Send + Sync {
    /// The store has a new waiting fractal, younger than all others.
    fn added(&self, fractal: &Fractal);

    /// A fractal that was being rendered, or had failed, waits again.
    fn waits_again(&self, fractal: &Fractal) {
        self.returned(fractal.row);
    }

    /// A fractal is being rendered, by whomever.
    fn begun(&self, _fractal: &Fractal) {}

    /// The fractal is done: stop the render that may be on elsewhere.
    fn done(&self, fractal: &Fractal) {
        self.forget(fractal.row);
    }

    /// The fractal has failed for good.
    fn failed(&self, fractal: &Fractal) {
        self.settled(fractal.row);
    }

    /// A task that had been handed out was not begun, and waits on.
    fn returned(&self, row: RowId);

    /// A task that had been handed out needs no more work.
    fn settled(&self, row: RowId);

    /// The fractal is gone: hand it out no more, and stop the render that may be on.
    fn forget(&self, row: RowId);

    /// The next task, oldest first. Dropping the call loses none.
    async fn take(&self) -> Task;

    /// The process ends: passes on what others should know.
    async fn close(&self) {}
}
