//! Workers in the same process as the farm.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Sink, Source};
use crate::farm::Farm;
use crate::fractal::Outcome;
use crate::queue::Task;
use crate::store::StoreError;

/// Pause before a store that failed is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

#[async_trait]
impl Source for Farm {
    async fn take(&self) -> Task {
        Farm::take(self).await
    }

    async fn begin(&self, task: &Task) -> bool {
        match Farm::begin(self, task.row).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(uuid = %task.uuid, %error, "cannot begin a task; it stays queued");
                // It comes back at once: without the pause this would spin.
                tokio::time::sleep(STORE_PAUSE).await;
                false
            }
        }
    }

    async fn give_back(&self, task: &Task) {
        keep_trying(task, || Farm::give_back(self, task.row)).await;
    }
}

#[async_trait]
impl Sink for Farm {
    async fn deliver(&self, task: &Task, outcome: Outcome, png: Bytes) {
        keep_trying(task, || self.finish(task.row, outcome.clone(), png.clone())).await;
    }

    async fn fail(&self, task: &Task, reason: String) {
        keep_trying(task, || Farm::fail(self, task.row, reason.clone())).await;
    }

    async fn progress(&self, task: &Task, fraction: f64) {
        Farm::report(self, task.row, fraction);
    }
}

/// A result is worth more than the wait: on a full disk, or without its database, the lane holds on
/// to it until it can be kept, and takes no further task meanwhile.
async fn keep_trying<T, F>(task: &Task, attempt: impl Fn() -> F)
where
    F: Future<Output = Result<T, StoreError>>,
{
    while let Err(error) = attempt().await {
        match error {
            StoreError::Closed => return,
            StoreError::TooLarge { .. } => {
                tracing::error!(uuid = %task.uuid, %error, "a result cannot be kept");
                return;
            }
            _ => {}
        }
        tracing::warn!(uuid = %task.uuid, %error, "cannot keep a result; trying again");
        tokio::time::sleep(STORE_PAUSE).await;
    }
}
