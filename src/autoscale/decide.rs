//! How many workers there are to be. Nothing here looks at a clock or at the world: it is told what
//! was seen, and when, so that an hour of it passes in a test within milliseconds.
//!
//! More come as soon as what waits would wait too long: so many that the backlog is gone within the
//! time that fractals may wait, and that what keeps coming is carried. Fewer are wanted only once
//! fewer have been enough at every look for a while.

use std::fmt;
use std::time::Duration;

use super::load::{Load, Seen};
use super::window::Window;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Workers at least, one or more, and at most.
    pub min: u32,
    pub max: u32,
    /// Fractals may wait so long.
    pub wait: Duration,
    /// Fewer workers have to be enough for so long.
    pub cool_down: Duration,
    /// A worker that was asked for and has not come after so long never will.
    pub boot_time: Duration,
}

/// What is to be done, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// How many workers there are to be.
    pub wanted: u32,
    pub why: Why,
    /// Workers that were made and never came.
    pub lost: u32,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// It is well as it is.
    Well,
    TooFew,
    TooMany,
    /// What waits would wait too long.
    Waits,
    /// Likewise, and there are as many as there may be.
    WaitsAtMost,
    /// So many have been enough for the whole cool-down.
    Enough(Duration),
}

pub struct Decider {
    policy: Policy,
    load: Load,
    /// Workers that would have been enough, in the last cool-down and in twice that time: as long as
    /// there is something to do, more of it may come.
    enough: Window,
    enough_long: Window,
    /// Workers that there were, and that the farm did not know.
    missing: Window,
    /// Pictures that a worker renders at a time.
    slots: f64,
    /// Seconds that a worker took to come.
    boot: Option<f64>,
    /// When more were asked for, and how many were there.
    asked: Option<(Duration, u32)>,
    /// Workers beyond those that seem enough that stay while there is anything to do: one for each
    /// time that too many were taken away.
    spare: u32,
    /// When there were to be fewer, last.
    fewer: Option<Duration>,
}

/// Seconds that workers may take to come, as long as none has shown it.
const BOOT: f64 = 60.0;

/// So long after having taken workers away it is forgotten that once they were too many.
const LEARNED: Duration = Duration::from_secs(3600);

impl Decider {
    pub fn new(policy: Policy) -> Decider {
        Decider {
            load: Load::default(),
            enough: Window::new(policy.cool_down),
            enough_long: Window::new(2 * policy.cool_down),
            missing: Window::new(policy.boot_time),
            slots: 1.0,
            boot: None,
            asked: None,
            spare: 0,
            fewer: None,
            policy,
        }
    }

    /// Says that the farm could not be looked at: what it did meanwhile is not known, and so no
    /// worker counts as idle.
    pub fn blind(&mut self) {
        self.load.blind();
        self.enough.clear();
        self.enough_long.clear();
        self.missing.clear();
        self.asked = None;
    }

    pub fn decide(&mut self, now: Duration, seen: Seen) -> Verdict {
        let Policy { min, max, .. } = self.policy;
        self.load.look(now, &seen);
        if seen.workers > 0 {
            self.slots = (seen.slots as f64 / f64::from(seen.workers)).max(1.0);
        }
        self.time_boot(now, &seen);
        self.missing
            .push(now, seen.have.saturating_sub(seen.workers));
        let lost = self.missing.least(now).unwrap_or(0);
        let needed = self.needed(&seen);
        // Those that never came are the first to leave when there are too many.
        let enough = match needed {
            0 => min,
            needed => needed.saturating_add(self.spare).clamp(min, max),
        };
        self.enough.push(now, enough);
        self.enough_long.push(now, enough);

        let needed = needed.saturating_add(lost);
        let pressing = self.pressing(&seen);
        let (wanted, why) = if seen.have < min {
            (min, Why::TooFew)
        } else if pressing && needed > seen.have && seen.have < max {
            (needed.min(max), Why::Waits)
        } else if seen.have > max {
            (max, Why::TooMany)
        } else if pressing && needed > seen.have {
            (max, Why::WaitsAtMost)
        } else {
            let cool_down = self.policy.cool_down;
            match (self.enough.most(now), self.enough_long.most(now)) {
                (Some(most), _) if most == min && min < seen.have => (min, Why::Enough(cool_down)),
                (_, Some(most)) if most < seen.have => (most, Why::Enough(2 * cool_down)),
                _ => (seen.have, Why::Well),
            }
        };
        if wanted > seen.have {
            self.asked.get_or_insert((now, seen.workers));
        }
        self.regret(now, &seen, wanted);
        Verdict {
            wanted,
            why,
            lost,
            seen,
        }
    }

    /// Workers that carry what there is now.
    fn needed(&self, seen: &Seen) -> u32 {
        let (queued, running) = (seen.queued as f64, seen.running as f64);
        let carried = running / self.slots;
        let workers = match seen.queued {
            0 => carried,
            _ => {
                let wait = self.policy.wait.as_secs_f64();
                let seconds = match self.load.seconds() {
                    Some(seconds) => seconds,
                    None => self.load.stalled().max(wait),
                };
                let arrivals = self.load.arrivals();
                // New workers find what will have come by then.
                let boot = self.boot.unwrap_or(BOOT);
                let growth = (arrivals - running / seconds).max(0.0) * boot;
                // What runs is about half done.
                let backlog = queued + growth + running / 2.0;
                // A backlog need not be gone much sooner than they come.
                let time = wait.max(self.boot.unwrap_or(0.0) / 4.0);
                let slots = arrivals * seconds + backlog * seconds / time;
                // A picture is rendered by one worker, however long it takes.
                let most = queued + running + arrivals * boot;
                (slots.min(most) / self.slots).max(carried)
            }
        };
        workers.ceil() as u32
    }

    /// Whether what waits is worth more workers: it has waited too long, or will have, as far as can
    /// be told.
    fn pressing(&self, seen: &Seen) -> bool {
        let Some(oldest) = seen.oldest.filter(|_| seen.queued > 0) else {
            return false;
        };
        let wait = self.policy.wait.as_secs_f64();
        let oldest = oldest.as_secs_f64();
        // What has just come may be on its way to a slot that is free.
        let stuck = seen.running >= seen.slots && oldest >= wait / 5.0;
        let slots = f64::from(seen.have) * self.slots;
        let each = self.load.seconds().unwrap_or(self.load.stalled());
        let ahead = seen.queued as f64 * each / slots;
        oldest >= wait || stuck && oldest + ahead >= wait
    }

    /// Learns from having taken workers away that were needed again soon after.
    fn regret(&mut self, now: Duration, seen: &Seen, wanted: u32) {
        let soon = 2 * self.policy.cool_down;
        match self.fewer {
            Some(at) if wanted > seen.have && now < at + soon => {
                self.spare = (self.spare + 1).min(self.policy.max);
                self.fewer = None;
            }
            _ if wanted < seen.have => self.fewer = Some(now),
            Some(at) if now > at + LEARNED => self.spare = 0,
            _ => {}
        }
    }

    /// Learns how long it takes until a worker that was asked for is there.
    fn time_boot(&mut self, now: Duration, seen: &Seen) {
        let Some((at, there)) = self.asked else {
            return;
        };
        let took = now.saturating_sub(at);
        if seen.workers > there {
            let took = took.as_secs_f64();
            self.boot = Some(self.boot.map_or(took, |known| (known + took) / 2.0));
            self.asked = None;
        } else if took > self.policy.boot_time {
            self.asked = None;
        }
    }
}

/// `1 worker`, `2 workers`.
pub fn count(number: u32, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn seconds(time: Option<Duration>) -> u64 {
    time.unwrap_or_default().as_secs()
}

impl fmt::Display for Verdict {
    /// One line, such as `12 wait, oldest 40 s, 3 workers: 2 more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        match (seen.queued, seen.oldest) {
            (0, _) if seen.running == 0 => f.write_str("nothing to do")?,
            (0, _) => write!(f, "none waits, {} being rendered", seen.running)?,
            (1, oldest) => write!(f, "1 waits, for {} s", seconds(oldest))?,
            (n, oldest) => write!(f, "{n} wait, oldest {} s", seconds(oldest))?,
        }
        write!(f, ", {}", count(seen.have, "worker"))?;
        if self.lost > 0 {
            write!(f, ", {} of which never came", self.lost)?;
        }
        match self.why {
            Why::TooFew => write!(f, ", at least {}", self.wanted)?,
            Why::TooMany => write!(f, ", at most {}", self.wanted)?,
            Why::Enough(time) => {
                let enough = self.wanted;
                write!(f, ", {enough} would do for {} s", time.as_secs())?;
            }
            Why::Well | Why::Waits | Why::WaitsAtMost => {}
        }
        match self.wanted {
            more if more > seen.have => write!(f, ": {} more", more - seen.have),
            fewer if fewer < seen.have => write!(f, ": {} fewer", seen.have - fewer),
            _ if self.why == Why::WaitsAtMost => f.write_str(": as many as there may be"),
            _ => f.write_str(": well so"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        min: 1,
        max: 10,
        wait: Duration::from_secs(10),
        cool_down: Duration::from_secs(300),
        boot_time: Duration::from_secs(300),
    };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn idle(have: u32) -> Seen {
        Seen {
            workers: have,
            slots: u64::from(have) * 4,
            have,
            ..Seen::default()
        }
    }

    #[test]
    fn the_line_says_why() {
        let mut decider = Decider::new(POLICY);
        let seen = Seen {
            queued: 12,
            running: 3,
            oldest: Some(secs(40)),
            slots: 3,
            ..idle(3)
        };
        // A picture at a time: as many workers as pictures, since nobody knows how long one takes.
        let verdict = decider.decide(secs(0), seen);
        assert_eq!(verdict.wanted, 10);
        assert_eq!(
            verdict.to_string(),
            "12 wait, oldest 40 s, 3 workers: 7 more"
        );
        let full = decider.decide(secs(5), Seen { have: 10, ..seen });
        assert_eq!(
            full.to_string(),
            "12 wait, oldest 40 s, 10 workers: as many as there may be"
        );
        let mut decider = Decider::new(POLICY);
        let said = |verdict: Verdict| verdict.to_string();
        assert_eq!(
            said(decider.decide(secs(0), idle(0))),
            "nothing to do, 0 workers, at least 1: 1 more"
        );
        assert_eq!(
            said(decider.decide(secs(1), idle(12))),
            "nothing to do, 12 workers, at most 10: 2 fewer"
        );
        for second in 2..300 {
            let well = decider.decide(secs(second), idle(5));
            assert_eq!((well.wanted, well.why), (5, Why::Well), "{second}");
        }
        assert_eq!(
            said(decider.decide(secs(300), idle(5))),
            "nothing to do, 5 workers, 1 would do for 300 s: 4 fewer"
        );
    }

    #[test]
    fn what_is_on_its_way_to_a_free_slot_is_no_backlog() {
        let mut decider = Decider::new(POLICY);
        let seen = Seen {
            queued: 2,
            running: 1,
            oldest: Some(secs(1)),
            ..idle(2)
        };
        assert_eq!(decider.decide(secs(0), seen).why, Why::Well);
        // But if nobody takes it there is something wrong with those who are there.
        let seen = Seen {
            queued: 20,
            running: 0,
            oldest: Some(secs(11)),
            ..seen
        };
        assert_eq!(decider.decide(secs(10), seen).wanted, 5);
    }

    #[test]
    fn nobody_is_idle_while_nobody_looks() {
        let mut decider = Decider::new(POLICY);
        for second in 0..299 {
            decider.decide(secs(second), idle(5));
        }
        decider.blind();
        for second in 900..1200 {
            assert_eq!(decider.decide(secs(second), idle(5)).why, Why::Well);
        }
        assert_eq!(decider.decide(secs(1200), idle(5)).wanted, 1);
    }

    #[test]
    fn workers_that_never_came_do_not_count() {
        let mut decider = Decider::new(POLICY);
        // Four slots, pictures of ten seconds, always as many that wait: two workers are needed.
        let at = |second: u64| Seen {
            queued: 4,
            running: 4,
            ended: second * 4 / 10,
            oldest: Some(secs(10)),
            workers: 1,
            slots: 4,
            have: 3,
        };
        for second in (0..300).step_by(5) {
            let verdict = decider.decide(secs(second), at(second));
            assert_eq!((verdict.lost, verdict.why), (0, Why::Well), "{second}");
        }
        let verdict = decider.decide(secs(300), at(300));
        assert_eq!((verdict.lost, verdict.wanted), (2, 5), "{verdict}");
        assert!(verdict.to_string().contains("2 of which never came"));
    }
}
