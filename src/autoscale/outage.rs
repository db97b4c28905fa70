//! Something that does not work for a while: one line when it begins, one when it is over, and growing
//! pauses between the tries.

use std::fmt::Display;
use std::time::{Duration, Instant};

use rand::RngExt;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Outage {
    since: Option<Instant>,
    tries: u32,
    again_at: Option<Instant>,
}

impl Outage {
    /// Whether the pause is over, or there is none.
    pub fn may_try(&self) -> bool {
        self.again_at.is_none_or(|at| at <= Instant::now())
    }

    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Tells of a failure, if it is the first, and how long to wait before the next try.
    pub fn failed(&mut self, what: impl Display, why: impl Display) -> Duration {
        match self.since {
            None => {
                self.since = Some(Instant::now());
                tracing::warn!("{what}: {why}");
            }
            Some(_) => tracing::debug!("{what}: {why}"),
        }
        self.pause()
    }

    /// Waits longer still before the next try.
    pub fn pause(&mut self) -> Duration {
        let longest = (FIRST_PAUSE * (1 << self.tries.min(10))).min(LONGEST_PAUSE);
        self.tries += 1;
        // Those who failed together need not come back together.
        let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
        self.again_at = Some(Instant::now() + pause);
        pause
    }

    /// It works. Tells so, if it did not before.
    pub fn over(&mut self, what: impl Display) {
        if let Some(since) = self.since {
            tracing::info!("{what} after {} s", since.elapsed().as_secs());
        }
        *self = Outage::default();
    }
}
