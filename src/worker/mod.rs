//! Workers: take, render, deliver, until told to stop.
//!
//! Of the tasks in hand, as many as there are slots are being rendered; as many again are being
//! marked as begun or delivered, so that no core waits for the store's disk:
//!
//! ```text
//!   lane 1   take·begin [======= render =======] deliver · take·begin          [=== render ...
//!   lane 2   take·begin          (waits for a slot)      [===== render =====] deliver · take
//!                       └─ slot ───────────────┘         └─ slot ──────────┘
//! ```

mod crew;
mod local;
mod progress;
pub mod remote;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::digest::checksum;
use crate::fractal::{FractalSpec, Outcome};
use crate::metrics::{Ended, WorkerMetrics};
use crate::queue::Task;
use crate::render::{Control, RenderError};
pub use crew::Crew;
use progress::Board;
use tally::Tally;

/// Where tasks come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Lanes to a slot: two, if to begin and to deliver takes its time.
    const LANES: usize = 2;

    /// The next task. Dropping the call loses none.
    async fn take(&self) -> Task;

    /// Marks a task as being rendered. `false`: there is nothing to do for it any more.
    async fn begin(&self, task: &Task) -> bool;

    /// Returns a task that was begun and not carried out.
    async fn give_back(&self, task: &Task);
}

/// Where results go. `deliver` and `fail` return once the result is kept, however long that takes.
#[async_trait]
pub trait Sink: Send + Sync {
    async fn deliver(&self, task: &Task, outcome: Outcome, png: Bytes);

    async fn fail(&self, task: &Task, reason: String);

    /// Tells how much of a picture is rendered, 0 to 1. News that may get lost; it may also come
    /// after the result, and then means nothing.
    async fn progress(&self, task: &Task, fraction: f64);
}

/// What renders: [`crate::render::render_to_vec`], but for tests.
pub type Renderer = fn(&FractalSpec, &Control) -> Result<Vec<u8>, RenderError>;

pub struct Workers {
    lanes: TaskTracker,
    /// Take no further task.
    stop: CancellationToken,
    /// Give up what is being rendered.
    abandon: CancellationToken,
    crew: Arc<Crew>,
    metrics: WorkerMetrics,
    /// Tells how far the renders are.
    _ticker: AbortOnDropHandle<()>,
}

/// What every lane works with.
struct Lane<W> {
    farm: Arc<W>,
    renderer: Renderer,
    slots: Arc<Semaphore>,
    crew: Arc<Crew>,
    metrics: WorkerMetrics,
    stop: CancellationToken,
    abandon: CancellationToken,
}

impl Workers {
    /// Renders up to `slots` tasks at a time. `host` is the name that signs the images.
    pub fn start<W: Source + Sink + 'static>(
        slots: usize,
        host: &str,
        renderer: Renderer,
        farm: &Arc<W>,
    ) -> Workers {
        let board = Arc::new(Board::default());
        let crew = Arc::new(Crew {
            name: host.into(),
            slots,
            board: board.clone(),
            tally: Tally::default(),
        });
        let ticker = tokio::spawn(progress::tell(board, farm.clone()));
        let workers = Workers {
            lanes: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            crew: crew.clone(),
            metrics: WorkerMetrics::new(slots),
            _ticker: AbortOnDropHandle::new(ticker),
        };
        let semaphore = Arc::new(Semaphore::new(slots));
        for _ in 0..slots * W::LANES {
            let lane = Lane {
                farm: farm.clone(),
                renderer,
                slots: semaphore.clone(),
                crew: crew.clone(),
                metrics: workers.metrics.clone(),
                stop: workers.stop.clone(),
                abandon: workers.abandon.clone(),
            };
            workers.lanes.spawn(lane.run());
        }
        workers.lanes.close();
        workers
    }

    pub fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Takes no further task, lets what runs finish for as long as `patience`, and gives back
    /// what has not by then.
    pub async fn drain(self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.lanes.wait())
            .await
            .is_err()
        {
            tracing::info!("giving back what is being rendered");
            self.abandon.cancel();
            self.lanes.wait().await;
        }
    }
}

impl<W: Source + Sink> Lane<W> {
    async fn run(self) {
        loop {
            let task = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                task = self.farm.take() => task,
            };
            if !self.farm.begin(&task).await {
                continue;
            }
            let slot = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                slot = self.slots.acquire() => slot.ok(),
            };
            let Some(slot) = slot else {
                self.farm.give_back(&task).await;
                return;
            };
            let rendered = self.render(&task).await;
            drop(slot);
            self.settle(&task, rendered).await;
        }
    }

    async fn render(&self, task: &Task) -> Result<(Outcome, Bytes), NotRendered> {
        let (spec, control) = (task.spec, Control::new(task.cancel.clone()));
        let (renderer, host) = (self.renderer, self.crew.name.clone());
        let _told = self.crew.board.begin(task, &control.progress);
        let measured = self.metrics.begin();
        let mut render = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let png = Bytes::from(renderer(&spec, &control)?);
            let outcome = Outcome {
                checksum: checksum(&png),
                size: png.len() as u64,
                duration: begun.elapsed().as_secs_f64(),
                generated_by: host.to_string(),
            };
            Ok((outcome, png))
        });
        let rendered = tokio::select! {
            rendered = &mut render => rendered,
            () = self.abandon.cancelled() => {
                task.cancel.cancel();
                render.await
            }
        };
        let rendered = match rendered {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(RenderError::Cancelled)) => Err(NotRendered::Cancelled),
            Ok(Err(error)) => Err(NotRendered::Failed(error.to_string())),
            Err(panic) => Err(NotRendered::Failed(format!("the renderer broke: {panic}"))),
        };
        let ended = match &rendered {
            Ok(_) => Ended::Done,
            Err(NotRendered::Cancelled) => Ended::Cancelled,
            Err(NotRendered::Failed(_)) => Ended::Failed,
        };
        measured.ended(ended, &spec);
        rendered
    }

    async fn settle(&self, task: &Task, rendered: Result<(Outcome, Bytes), NotRendered>) {
        match rendered {
            Ok((outcome, png)) => {
                tracing::debug!(uuid = %task.uuid, seconds = outcome.duration, "rendered");
                self.crew.tally.add(outcome.duration);
                self.farm.deliver(task, outcome, png).await;
            }
            // Deleted or finished elsewhere, or this process leaves: in each case giving back
            // does what is left to do.
            Err(NotRendered::Cancelled) => self.farm.give_back(task).await,
            Err(NotRendered::Failed(reason)) => {
                tracing::error!(uuid = %task.uuid, reason, "a render failed");
                self.farm.fail(task, reason).await;
            }
        }
    }
}

enum NotRendered {
    Cancelled,
    Failed(String),
}

/// This machine's name, as it signs the images it renders.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

#[cfg(test)]
mod tests;
