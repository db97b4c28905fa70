//! What the work is like, from one look at the farm to the next: how long a picture takes, and how
//! many come.

use std::collections::VecDeque;
use std::time::Duration;

/// What was seen so long ago counts half.
const HALF_LIFE: f64 = 60.0;

/// Looks over which arrivals are judged, and how many of them there are for each that does not count,
/// because it saw the most.
const LOOKS: usize = 12;
const BURST: usize = 6;

/// Ends of renders, weighed by their age, from which on their mean says something.
const ENOUGH: f64 = 0.5;

/// The farm and its workers at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Fractals that wait, and that are being rendered.
    pub queued: u64,
    pub running: u64,
    /// Renders that have ended; only its growth says something.
    pub ended: u64,
    /// How long the oldest has waited, if one waits.
    pub oldest: Option<Duration>,
    /// Workers that the farm knows, and pictures that they all render at a time.
    pub workers: u32,
    pub slots: u64,
    /// Workers that there are for whoever makes them, with those that are on their way.
    pub have: u32,
}

#[derive(Default)]
pub struct Load {
    last: Option<(Duration, Seen)>,
    /// Seconds that slots have rendered, and renders that have ended; what is long ago counts less.
    busy: f64,
    ended: f64,
    /// Seconds since a render has ended, while there was something to do.
    stalled: f64,
    /// Fractals a second between two looks.
    arrivals: VecDeque<f64>,
}

impl Load {
    pub fn look(&mut self, now: Duration, seen: &Seen) {
        let Some((at, last)) = self.last.replace((now, *seen)) else {
            return;
        };
        let passed = now.saturating_sub(at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        let ended = seen.ended.saturating_sub(last.ended) as f64;
        let fading = 0.5f64.powf(passed / HALF_LIFE);
        let rendering = (seen.running + last.running) as f64 / 2.0;
        self.busy = self.busy * fading + rendering * passed;
        self.ended = self.ended * fading + ended;
        let idle = seen.queued + seen.running == 0;
        self.stalled = match idle || ended > 0.0 {
            true => 0.0,
            false => self.stalled + passed,
        };
        let there = |seen: &Seen| (seen.queued + seen.running) as f64;
        let arrived = there(seen) - there(&last) + ended;
        self.arrivals.push_back((arrived / passed).max(0.0));
        if self.arrivals.len() > LOOKS {
            self.arrivals.pop_front();
        }
    }

    /// Nothing is known of what has happened since the last look.
    pub fn blind(&mut self) {
        self.last = None;
        self.stalled = 0.0;
        self.arrivals.clear();
    }

    /// Seconds that a render keeps its slot; `None`, if too few have ended lately to tell. None of
    /// those that run takes less than the time since one has ended.
    pub fn seconds(&self) -> Option<f64> {
        (self.ended >= ENOUGH).then(|| (self.busy / self.ended).max(self.stalled))
    }

    /// Seconds since a render has ended, while there was something to do.
    pub fn stalled(&self) -> f64 {
        self.stalled
    }

    /// Fractals a second that keep coming, lately or for a while: many at once are a backlog and no
    /// rate.
    pub fn arrivals(&self) -> f64 {
        let mean = |looks: usize| {
            let last = self.arrivals.iter().rev().take(looks);
            let mut sorted: Vec<_> = last.copied().collect();
            sorted.sort_by(f64::total_cmp);
            let bursts = (sorted.len() / BURST).max(1);
            sorted.truncate(sorted.len().saturating_sub(bursts));
            sorted.iter().sum::<f64>() / sorted.len().max(1) as f64
        };
        mean(LOOKS).max(mean(LOOKS / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(queued: u64, running: u64, ended: u64) -> Seen {
        Seen {
            queued,
            running,
            ended,
            ..Seen::default()
        }
    }

    #[test]
    fn renders_are_as_long_as_slots_were_busy_for_each() {
        let mut load = Load::default();
        assert_eq!(load.seconds(), None);
        // Two slots that end a render every ten seconds each.
        for n in 0..30u64 {
            load.look(Duration::from_secs(5 * n), &seen(7, 2, n));
        }
        let seconds = load.seconds().unwrap();
        assert!((9.0..11.0).contains(&seconds), "{seconds}");
        assert!((0.15..0.25).contains(&load.arrivals()));
        // Then one that does not end.
        for n in 30..100u64 {
            load.look(Duration::from_secs(5 * n), &seen(7, 2, 29));
        }
        assert_eq!(load.stalled(), 350.0);
        assert_eq!(load.seconds(), None, "what was known is too old");
    }

    #[test]
    fn many_at_once_are_no_rate() {
        let mut load = Load::default();
        for n in 0..12u64 {
            let queued = if n < 6 { 0 } else { 500 };
            load.look(Duration::from_secs(5 * n), &seen(queued, 0, 0));
        }
        assert_eq!(load.arrivals(), 0.0);
    }
}
