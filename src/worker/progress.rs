//! How far a worker's renders are, told to the farm: one ticker for all lanes, asleep while there is
//! nothing to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use super::Sink;
use crate::fractal::RowId;
use crate::queue::Task;
use crate::render::Progress;

/// A render that ends sooner is not worth a word before that.
const SHORT: Duration = Duration::from_millis(500);

/// Pause between two looks at the renders.
const PAUSE: Duration = Duration::from_millis(250);

/// Steps in which a fraction is told: finer ones nobody sees.
const STEPS: f64 = 10_000.0;

/// What is being rendered.
#[derive(Default)]
pub struct Board {
    renders: Mutex<HashMap<RowId, Render>>,
    begun: Notify,
}

struct Render {
    task: Task,
    progress: Progress,
    begun: Instant,
    told: f64,
}

/// Takes a render off the board when dropped.
pub struct OnBoard<'a> {
    board: &'a Board,
    row: RowId,
}

impl Board {
    pub fn begin(&self, task: &Task, progress: &Progress) -> OnBoard<'_> {
        let render = Render {
            task: task.clone(),
            progress: progress.clone(),
            begun: Instant::now(),
            told: 0.0,
        };
        self.renders().insert(task.row, render);
        self.begun.notify_one();
        OnBoard {
            board: self,
            row: task.row,
        }
    }

    /// The long renders that got on since the last call, and how far. `None`: there are no renders.
    fn news(&self) -> Option<Vec<(Task, f64)>> {
        let mut renders = self.renders();
        if renders.is_empty() {
            return None;
        }
        let long = renders
            .values_mut()
            .filter(|render| render.begun.elapsed() >= SHORT);
        let news = long.filter_map(|render| {
            let fraction = render.progress.fraction(&render.task.spec);
            // Rounded down: 1 is only what is complete.
            let fraction = (fraction * STEPS).floor() / STEPS;
            (fraction > render.told).then(|| {
                render.told = fraction;
                (render.task.clone(), fraction)
            })
        });
        Some(news.collect())
    }

    /// The fractals that are being rendered.
    pub fn uuids(&self) -> Vec<Uuid> {
        let renders = self.renders();
        renders.values().map(|render| render.task.uuid).collect()
    }

    fn renders(&self) -> MutexGuard<'_, HashMap<RowId, Render>> {
        // No use of the map can panic half way through a change.
        self.renders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnBoard<'_> {
    fn drop(&mut self) {
        self.board.renders().remove(&self.row);
    }
}

/// Tells the farm of the renders on the board, without end.
pub async fn tell<W: Sink>(board: Arc<Board>, farm: Arc<W>) {
    loop {
        match board.news() {
            None => board.begun.notified().await,
            Some(news) => {
                for (task, fraction) in news {
                    farm.progress(&task, fraction).await;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
