//! What the farm did in the last hour, for those who open its page now.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::farm::Farm;

/// Time between two samples.
pub const PACE: Duration = Duration::from_secs(10);

/// An hour of them.
const SAMPLES: usize = 360;

/// Time over which the farm's rate is told.
const RECENT: Duration = Duration::from_secs(60);

/// The farm over [`PACE`], or a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its end: on the clock that nobody sets, so that samples stay in place when the other is.
    at: Instant,
    pub queued: u64,
    pub running: u64,
    /// Pictures that became so in this time.
    pub done: u64,
    pub failed: u64,
}

impl Sample {
    /// When it ended, by the clock as it is set now.
    pub fn at(&self) -> Timestamp {
        let ago = SignedDuration::try_from(self.at.elapsed()).unwrap_or_default();
        Timestamp::now().checked_sub(ago).unwrap_or_default()
    }
}

pub struct History {
    farm: Arc<Farm>,
    kept: Mutex<Kept>,
}

struct Kept {
    samples: VecDeque<Sample>,
    /// Pictures done and failed when the last sample was taken, and when that was.
    done: u64,
    failed: u64,
    taken: Instant,
}

impl History {
    /// Takes samples until `stop` is cancelled.
    pub fn start(farm: Arc<Farm>, stop: CancellationToken) -> Arc<History> {
        let (done, failed) = farm.metrics().ended();
        let history = Arc::new(History {
            farm,
            kept: Mutex::new(Kept {
                samples: VecDeque::with_capacity(SAMPLES),
                done,
                failed,
                taken: Instant::now(),
            }),
        });
        let kept = history.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await; // the first is at once
            loop {
                tokio::select! {
                    _ = ticks.tick() => kept.take(),
                    () = stop.cancelled() => return,
                }
            }
        });
        history
    }

    fn take(&self) {
        let mut kept = self.kept();
        let (sample, (done, failed)) = self.now(&kept);
        if kept.samples.len() == SAMPLES {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        (kept.done, kept.failed) = (done, failed);
        kept.taken = Instant::now();
    }

    /// From the last sample to this moment, and what ended so far.
    fn now(&self, kept: &Kept) -> (Sample, (u64, u64)) {
        let counts = *self.farm.counts().borrow();
        let (done, failed) = self.farm.metrics().ended();
        let sample = Sample {
            at: Instant::now(),
            queued: counts.queued,
            running: counts.running,
            done: done - kept.done,
            failed: failed - kept.failed,
        };
        (sample, (done, failed))
    }

    /// The samples, oldest first, and the one under way.
    pub fn samples(&self) -> Vec<Sample> {
        let kept = self.kept();
        let now = self.now(&kept).0;
        kept.samples.iter().copied().chain([now]).collect()
    }

    /// Pictures a second over the last minute, or since the start.
    pub fn rate(&self) -> f64 {
        let kept = self.kept();
        let now = self.now(&kept).0;
        let whole = (RECENT.as_secs() / PACE.as_secs()) as usize;
        let recent = kept.samples.iter().rev().take(whole);
        let (count, done) = recent.fold((0, now.done), |(n, done), one| (n + 1, done + one.done));
        let time = PACE * count + kept.taken.elapsed();
        done as f64 / time.as_secs_f64().max(1.0)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in between can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
