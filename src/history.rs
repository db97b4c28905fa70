//! What the farm did in the last hour, for those who open its page now.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::farm::Farm;
use crate::metrics::Totals;

/// Time between two samples.
pub const PACE: Duration = Duration::from_secs(10);

/// An hour of them.
const SAMPLES: usize = 360;

/// Time over which the farm's rate is told.
const RECENT: Duration = Duration::from_secs(60);

/// Pictures that tell how long one takes.
const ENOUGH: u64 = 16;

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
    /// Seconds that those done took to render.
    rendered: f64,
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
    /// What had ended when the last sample was taken, and when that was.
    ended: Totals,
    taken: Instant,
}

impl History {
    /// Takes samples until `stop` is cancelled.
    pub fn start(farm: Arc<Farm>, stop: CancellationToken) -> Arc<History> {
        let ended = farm.metrics().ended();
        let history = Arc::new(History {
            farm,
            kept: Mutex::new(Kept {
                samples: VecDeque::with_capacity(SAMPLES),
                ended,
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
        let (sample, ended) = self.now(&kept);
        if kept.samples.len() == SAMPLES {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        kept.ended = ended;
        kept.taken = Instant::now();
    }

    /// From the last sample to this moment, and what ended so far.
    fn now(&self, kept: &Kept) -> (Sample, Totals) {
        let counts = *self.farm.counts().borrow();
        let ended = self.farm.metrics().ended();
        let sample = Sample {
            at: Instant::now(),
            queued: counts.queued,
            running: counts.running,
            done: ended.done - kept.ended.done,
            failed: ended.failed - kept.ended.failed,
            rendered: ended.rendered - kept.ended.rendered,
        };
        (sample, ended)
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

    /// How long a picture of late took to render, in seconds, however long ago that was. `None`: this
    /// node has kept none in the last hour.
    pub fn duration(&self) -> Option<f64> {
        let kept = self.kept();
        let now = self.now(&kept).0;
        let latest = std::iter::once(&now).chain(kept.samples.iter().rev());
        mean(latest.map(|sample| (sample.done, sample.rendered)))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in between can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mean over the latest pictures, of samples that tell how many there were and what all of them
/// took, latest first.
fn mean(samples: impl Iterator<Item = (u64, f64)>) -> Option<f64> {
    let (mut done, mut rendered) = (0, 0.0);
    for (more, took) in samples {
        if done >= ENOUGH {
            break;
        }
        (done, rendered) = (done + more, rendered + took);
    }
    (done > 0).then(|| rendered / done as f64)
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn how_long_a_picture_takes_is_told_by_the_latest_and_not_by_idle_time() {
        assert_eq!(mean([].into_iter()), None);
        assert_eq!(mean([(0, 0.0); 360].into_iter()), None);
        let idle = [(0, 0.0); 30];
        let busy = [(4, 12.0), (20, 20.0), (1000, 1.0)];
        let mean = mean(idle.into_iter().chain(busy));
        assert_eq!(mean, Some(32.0 / 24.0), "the oldest are left out");
    }
}
