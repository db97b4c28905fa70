//! How many workers there are where nobody can be asked but the farm: those that it knows, with those
//! that were called for and are on their way, and without those that were called off and are going.

use std::collections::VecDeque;
use std::time::Duration;

use super::farm::Look;

/// A worker that leaves without a word is on the farm's list for 30 s; one that was called off has to
/// be shut down first.
const GOING: Duration = Duration::from_secs(60);

/// No worker counts as late before.
const LATE: Duration = Duration::from_secs(30);

/// An API node that has just started knows nobody. Fewer workers are believed after so long.
const BELIEVED: Duration = Duration::from_secs(45);

pub struct Ledger {
    /// Workers that the farm knows, or knew a moment ago.
    known: u32,
    /// Since when it has known fewer.
    fewer: Option<Duration>,
    coming: VecDeque<Duration>,
    going: VecDeque<Duration>,
    /// One that has not come after so long never will: perhaps the call was left without effect.
    boot_time: Duration,
    /// The least time that one took to come.
    quickest: Option<Duration>,
    /// Time between two calls: Heat leaves those without effect that come while it is at one.
    pace: Duration,
    last_call: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// For one worker more.
    More,
    /// For one fewer.
    Fewer,
}

impl Ledger {
    /// `least`: so many are taken to be there until the farm has denied it for a while.
    pub fn new(least: u32, boot_time: Duration, pace: Duration) -> Ledger {
        Ledger {
            known: least,
            fewer: None,
            coming: VecDeque::new(),
            going: VecDeque::new(),
            boot_time,
            quickest: None,
            pace,
            last_call: None,
        }
    }

    /// The call that is due, if one is.
    pub fn due(&self, now: Duration, wanted: u32, look: &Look) -> Option<Call> {
        if self.last_call.is_some_and(|last| now < last + self.pace) {
            return None;
        }
        match wanted {
            more if more > self.have() => Some(Call::More),
            // Who is called picks by himself who has to go: no one may be rendering.
            fewer if fewer < self.have() && look.is_idle() => Some(Call::Fewer),
            _ => None,
        }
    }

    /// Takes note of a call that was made.
    pub fn called(&mut self, now: Duration, call: Call) {
        self.last_call = Some(now);
        match call {
            Call::More => self.coming.push_back(now),
            Call::Fewer => self.going.push_back(now),
        }
    }

    /// Takes note of how many workers the farm lists.
    pub fn look(&mut self, now: Duration, listed: u32) {
        while self.known < listed {
            self.known += 1;
            if let Some(since) = self.coming.pop_front() {
                let took = now.saturating_sub(since);
                self.quickest = Some(self.quickest.map_or(took, |known| known.min(took)));
            }
        }
        while self.known > listed && self.going.pop_front().is_some() {
            self.known -= 1;
        }
        if self.known == listed {
            self.fewer = None;
        } else if now >= *self.fewer.get_or_insert(now) + BELIEVED {
            self.known = listed;
            self.fewer = None;
        }
        let late = match self.quickest {
            Some(took) => (2 * took).max(LATE).min(self.boot_time),
            None => self.boot_time,
        };
        self.coming.retain(|since| *since + late > now);
        self.going.retain(|since| *since + GOING > now);
    }

    /// Nobody could look for a while.
    pub fn blind(&mut self) {
        self.fewer = None;
    }

    pub fn have(&self) -> u32 {
        let count = self.known as usize + self.coming.len();
        count.saturating_sub(self.going.len()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_called_for_counts_until_it_comes_or_never_does() {
        let mut ledger = Ledger::new(1, secs(300), secs(15));
        ledger.look(secs(0), 1);
        ledger.called(secs(0), Call::More);
        ledger.called(secs(15), Call::More);
        assert_eq!(ledger.have(), 3);
        ledger.look(secs(60), 2);
        assert_eq!(ledger.have(), 3);
        ledger.look(secs(134), 2);
        assert_eq!(ledger.have(), 3);
        ledger.look(secs(135), 2);
        assert_eq!(ledger.have(), 2, "in twice the time the other never came");
    }

    #[test]
    fn what_was_called_off_counts_no_more() {
        let mut ledger = Ledger::new(1, secs(300), secs(15));
        ledger.look(secs(0), 3);
        ledger.called(secs(0), Call::Fewer);
        assert_eq!(ledger.have(), 2);
        ledger.look(secs(30), 2);
        assert_eq!(ledger.have(), 2);
        // The next one is called off in vain.
        ledger.called(secs(30), Call::Fewer);
        ledger.look(secs(90), 2);
        assert_eq!(ledger.have(), 2);
    }

    #[test]
    fn a_farm_that_has_just_started_does_not_know_all() {
        let mut ledger = Ledger::new(1, secs(300), secs(15));
        ledger.look(secs(0), 5);
        ledger.blind();
        for second in [100, 120, 144] {
            ledger.look(secs(second), 0);
            assert_eq!(ledger.have(), 5);
        }
        ledger.look(secs(145), 3);
        assert_eq!(ledger.have(), 3, "these have gone");
    }
}
