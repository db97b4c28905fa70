//! How much a worker gets done.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time over which a rate is told, in seconds.
const WINDOW: usize = 60;

/// Share of the latest render in the mean of the recent ones.
const LATEST: f64 = 0.1;

/// Counts the pictures that are rendered.
pub struct Tally(Mutex<Counts>);

struct Counts {
    begun: Instant,
    done: u64,
    /// Pictures of each of the last seconds, at the second modulo the window.
    seconds: [u32; WINDOW],
    /// The second that was last counted in.
    now: u64,
    /// Of the recent renders, in seconds.
    mean: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally(Mutex::new(Counts {
            begun: Instant::now(),
            done: 0,
            seconds: [0; WINDOW],
            now: 0,
            mean: None,
        }))
    }
}

impl Tally {
    /// One more, which took so many seconds.
    pub fn add(&self, duration: f64) {
        let mut counts = self.counts();
        counts.turn();
        let place = counts.now as usize % WINDOW;
        counts.seconds[place] += 1;
        counts.done += 1;
        let before = counts.mean.unwrap_or(duration);
        counts.mean = Some(before + (duration - before) * LATEST);
    }

    pub fn done(&self) -> u64 {
        self.counts().done
    }

    /// Pictures a second, over the last minute or since the start.
    pub fn rate(&self) -> f64 {
        let mut counts = self.counts();
        counts.turn();
        let recent: u32 = counts.seconds.iter().sum();
        let time = counts.begun.elapsed().as_secs_f64();
        f64::from(recent) / time.clamp(1.0, WINDOW as f64)
    }

    /// How long a render takes, of late. `None`: there has been none.
    pub fn mean(&self) -> Option<Duration> {
        self.counts().mean.map(Duration::from_secs_f64)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Empties the seconds that have begun since the last call.
    fn turn(&mut self) {
        let now = self.begun.elapsed().as_secs();
        let passed = (now - self.now).min(WINDOW as u64);
        for second in 0..passed {
            self.seconds[(now - second) as usize % WINDOW] = 0;
        }
        self.now = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let tally = Tally::default();
        assert_eq!((tally.rate(), tally.mean()), (0.0, None));
        for _ in 0..30 {
            tally.add(0.5);
        }
        tally.counts().begun = Instant::now();
        assert_eq!((tally.done(), tally.rate()), (30, 30.0));
        assert_eq!(tally.mean(), Some(Duration::from_millis(500)));
        let earlier = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        tally.counts().begun = earlier(50).unwrap();
        assert!((0.5..0.7).contains(&tally.rate()));
        tally.counts().begun = earlier(100).unwrap();
        assert_eq!((tally.done(), tally.rate()), (30, 0.0));
    }
}
