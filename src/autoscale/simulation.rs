//! Hours of load in a moment: a farm in which time is a number, and above it the very code that
//! decides, counts and picks.
//!
//! Each case is drawn from a seed, which a failure names. The best that could have been done about a
//! backlog is tried out on a copy of the farm: all workers that there may be, asked for at the moment
//! at which the backlog begins.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::decide::{Decider, Policy};
use super::farm::Look;
use super::ledger::{Call, Ledger};
use super::{nova, seen};
use crate::wire::lease::WorkerDoc;

const HOUR: f64 = 3600.0;
const STEP: f64 = 0.5;
/// Steps between two looks.
const LOOK: u64 = 10;
/// Workers tell what they render once a second.
const TELL: f64 = 1.0;
const PACE: f64 = 15.0;
const WAIT: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Nothing,
    Steady,
    Bursts,
    Ramp,
    Sawtooth,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    Nova,
    /// It is at a call for so long, and ignores others meanwhile.
    Heat(f64),
}

/// When each picture is asked for, and how long it takes.
#[derive(Clone)]
struct Tasks(Rc<[(f64, f64)]>);

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let takes: f64 = self.0.iter().map(|(_, takes)| takes).sum();
        write!(f, "{} of {takes:.0} s", self.0.len())
    }
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    shape: Shape,
    means: Means,
    min: u32,
    max: u32,
    /// Pictures that a worker renders at a time.
    slots: usize,
    /// Seconds until a new worker comes.
    boot: f64,
    /// The share of new workers that never come.
    duds: f64,
    /// When the farm does not answer, and the cloud.
    farm_out: Vec<(f64, f64)>,
    cloud_out: Vec<(f64, f64)>,
    tasks: Tasks,
    /// Times at which the load rises.
    rises: u32,
}

impl Case {
    fn draw(seed: u64, shape: Shape) -> Case {
        let mut random = StdRng::seed_from_u64(seed);
        let means = match random.random_range(0..3) {
            0 => Means::Heat(random.random_range(3.0..12.0)),
            _ => Means::Nova,
        };
        let min = random.random_range(1..=2);
        let mut case = Case {
            seed,
            shape,
            means,
            min,
            max: min + random.random_range(3..=10),
            slots: random.random_range(1..=4),
            boot: random.random_range(20.0..180.0),
            duds: 0.0,
            farm_out: Vec::new(),
            cloud_out: Vec::new(),
            tasks: Tasks(Rc::new([])),
            rises: 0,
        };
        case.load(&mut random);
        case
    }

    /// How often the number of workers may turn from rising to falling and back: with the load, and a
    /// little more since pictures come at random.
    fn turns(&self) -> usize {
        2 * self.rises as usize + 3
    }

    fn load(&mut self, random: &mut StdRng) {
        let mean = [2.0, 5.0, 20.0, 60.0][random.random_range(0..4)];
        let alike = random.random_bool(0.5);
        let most = f64::from(self.max) * self.slots as f64 / mean;
        let most = most * random.random_range(0.2..0.7);
        let mut tasks = Vec::new();
        let mut ask = |at: f64, random: &mut StdRng| {
            let takes = match alike {
                true => mean,
                false => -mean * random.random_range(f64::EPSILON..1.0).ln(),
            };
            tasks.push((at, takes));
        };
        // Fractals a second, at most `most`, as time goes by.
        let rate: Box<dyn Fn(f64) -> f64> = match self.shape {
            Shape::Nothing => return,
            Shape::Bursts => {
                let count = random.random_range(1..=3);
                for n in 0..count {
                    let at = f64::from(n) * 1200.0 + random.random_range(10.0..300.0);
                    let work = mean * self.slots as f64 * f64::from(self.max);
                    let size = random.random_range(1.0..400.0f64.min(36_000.0 / work).max(2.0));
                    let size = (size * self.slots as f64 * f64::from(self.max) / 4.0) as u32;
                    for _ in 0..size.max(1) {
                        ask(at, random);
                    }
                }
                self.rises = count;
                self.tasks = Tasks(tasks.into());
                return;
            }
            Shape::Steady => {
                self.rises = 1;
                Box::new(move |_| most)
            }
            Shape::Ramp => {
                self.rises = 1;
                Box::new(move |at| most * (at / 2400.0) * f64::from(at < 2400.0))
            }
            Shape::Sawtooth => {
                let period = random.random_range(300.0..1800.0);
                self.rises = (HOUR / period) as u32 + 1;
                Box::new(move |at| most * f64::from(at % period < period / 2.0))
            }
        };
        let mut at = 0.0;
        while at < HOUR {
            at -= random.random_range(f64::EPSILON..1.0).ln() / most;
            if random.random_bool((rate(at) / most).clamp(0.0, 1.0)) {
                ask(at, random);
            }
        }
        self.tasks = Tasks(tasks.into());
    }
}

#[derive(Clone)]
struct Machine {
    number: u128,
    /// When it comes, if ever.
    ready: f64,
    /// What its slots render: since when, until when.
    slots: Vec<Option<(f64, f64)>>,
}

impl Machine {
    fn renders(&self) -> bool {
        self.slots.iter().any(Option::is_some)
    }

    fn name(&self) -> String {
        format!("worker-{}", self.number)
    }
}

#[derive(Clone)]
struct World {
    steps: u64,
    tasks: Rc<[(f64, f64)]>,
    next: usize,
    waiting: VecDeque<(f64, f64)>,
    machines: Vec<Machine>,
    made: u128,
    ended: u64,
}

impl World {
    fn now(&self) -> f64 {
        self.steps as f64 * STEP
    }

    fn make(&mut self, slots: usize, ready: f64) {
        self.made += 1;
        self.machines.push(Machine {
            number: self.made,
            ready,
            slots: vec![None; slots],
        });
    }

    fn step(&mut self) {
        self.steps += 1;
        let now = self.now();
        while let Some(task) = self.tasks.get(self.next).filter(|(at, _)| *at <= now) {
            self.waiting.push_back(*task);
            self.next += 1;
        }
        // Not always the same one first.
        let count = self.machines.len();
        for n in 0..count {
            let machine = &mut self.machines[(n + self.steps as usize) % count];
            if machine.ready > now {
                continue;
            }
            for slot in &mut machine.slots {
                if slot.is_some_and(|(_, end)| end <= now) {
                    *slot = None;
                    self.ended += 1;
                }
                if slot.is_none()
                    && let Some((_, takes)) = self.waiting.pop_front()
                {
                    *slot = Some((now, now + takes));
                }
            }
        }
    }

    fn oldest(&self) -> Option<f64> {
        self.waiting.front().map(|(at, _)| self.now() - at)
    }

    fn is_done(&self) -> bool {
        let renders = self.machines.iter().any(Machine::renders);
        self.next == self.tasks.len() && self.waiting.is_empty() && !renders
    }

    fn look(&self) -> Look {
        let now = self.now();
        let there = self.machines.iter().filter(|machine| machine.ready <= now);
        let running = self.machines.iter().flat_map(|machine| &machine.slots);
        Look {
            queued: self.waiting.len() as u64,
            running: running.flatten().count() as u64,
            oldest: self.oldest().map(Duration::from_secs_f64),
            ended: self.ended,
            workers: there
                .map(|machine| {
                    let slots = machine.slots.iter().flatten();
                    let told = slots.filter(|(since, _)| now - since >= TELL);
                    WorkerDoc {
                        id: Uuid::from_u128(machine.number),
                        name: machine.name(),
                        version: String::new(),
                        slots: machine.slots.len() as u32,
                        rendering: told.map(|_| Uuid::nil()).collect(),
                        done: 0,
                        rate: 0.0,
                        silent: 0.0,
                    }
                })
                .collect(),
        }
    }

    /// Seconds until nothing waits, if all is done that can be.
    fn at_best(mut self, case: &Case) -> f64 {
        let begun = self.now();
        let mut missing = case.max.saturating_sub(self.machines.len() as u32);
        let mut call_at = begun;
        while !self.waiting.is_empty() {
            let now = self.now();
            while missing > 0 && call_at <= now {
                self.make(case.slots, now + case.boot);
                missing -= 1;
                if case.means != Means::Nova {
                    call_at = now + PACE;
                }
            }
            self.step();
        }
        self.now() - begun
    }
}

#[derive(Default)]
struct Outcome {
    /// How many workers there were, and since when.
    counts: Vec<(f64, u32)>,
    /// Backlogs: how long each lasted, and how long it would have at best.
    backlogs: Vec<(f64, f64)>,
    /// When the last picture was rendered.
    done: f64,
}

impl Outcome {
    fn turns(&self) -> usize {
        let steps = self.counts.windows(2).map(|two| two[0].1 < two[1].1);
        let steps: Vec<_> = steps.collect();
        steps.windows(2).filter(|two| two[0] != two[1]).count()
    }

    fn count_at(&self, time: f64) -> u32 {
        let before = self.counts.iter().rev().find(|(at, _)| *at <= time);
        before.unwrap().1
    }
}

fn is_out(times: &[(f64, f64)], now: f64) -> bool {
    times.iter().any(|(from, to)| (*from..*to).contains(&now))
}

fn run(case: &Case) -> Outcome {
    let mut random = StdRng::seed_from_u64(case.seed ^ 0xfaaf0);
    let secs = Duration::from_secs_f64;
    let boot_time = secs(300.0);
    let mut decider = Decider::new(Policy {
        min: case.min,
        max: case.max,
        wait: secs(WAIT),
        cool_down: secs(300.0),
        boot_time,
    });
    let mut ledger = Ledger::new(case.min, boot_time, secs(PACE));
    let mut heat_busy = 0.0;
    let mut world = World {
        steps: 0,
        tasks: case.tasks.0.clone(),
        next: 0,
        waiting: VecDeque::new(),
        machines: Vec::new(),
        made: 0,
        ended: 0,
    };
    for _ in 0..case.min {
        world.make(case.slots, 0.0);
    }
    let mut outcome = Outcome {
        counts: vec![(0.0, case.min)],
        ..Outcome::default()
    };
    let mut have = case.min;
    // What comes all at once is a backlog when it comes, all else when it waits longer than it may.
    let late = match case.shape {
        Shape::Bursts => STEP,
        _ => WAIT,
    };
    let mut backlog: Option<World> = None;
    let mut idle_since = None;
    loop {
        world.step();
        let now = world.now();
        match &backlog {
            None if world.oldest().is_some_and(|oldest| oldest >= late) => {
                backlog = Some(world.clone());
            }
            Some(begin) if world.waiting.is_empty() => {
                let lasted = now - begin.now();
                let best = begin.clone().at_best(case);
                outcome.backlogs.push((lasted, best));
                backlog = None;
            }
            _ => {}
        }
        if world.is_done() && now >= HOUR {
            let done = *idle_since.get_or_insert(now);
            outcome.done = done;
            if now > done + 700.0 {
                return outcome;
            }
        }
        if !world.steps.is_multiple_of(LOOK) {
            continue;
        }
        if is_out(&case.farm_out, now) {
            decider.blind();
            ledger.blind();
            continue;
        }
        let cloud = !is_out(&case.cloud_out, now);
        let look = world.look();
        have = match case.means {
            Means::Nova if cloud => world.machines.len() as u32,
            Means::Nova => have,
            Means::Heat(_) => {
                ledger.look(secs(now), look.workers.len() as u32);
                ledger.have()
            }
        };
        let wanted = decider.decide(secs(now), seen(&look, have)).wanted;
        assert!(
            (case.min..=case.max).contains(&wanted) || wanted == have,
            "{case:?}"
        );
        if wanted == have || !cloud {
            continue;
        }
        let ready = match random.random_bool(case.duds) {
            true => f64::INFINITY,
            false => now + case.boot,
        };
        match case.means {
            Means::Nova if wanted > have => {
                for _ in have..wanted {
                    world.make(case.slots, ready);
                }
            }
            Means::Nova => {
                let names: Vec<_> = world.machines.iter().rev().map(Machine::name).collect();
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let leaving = nova::idle(&names, &look).into_iter();
                let leaving: Vec<_> = leaving
                    .take((have - wanted) as usize)
                    .map(|n| names[n])
                    .collect();
                world.machines.retain(|machine| {
                    let leaves = leaving.contains(&machine.name().as_str());
                    assert!(
                        !(leaves && machine.renders()),
                        "{} renders: {case:?}",
                        machine.name()
                    );
                    !leaves
                });
            }
            Means::Heat(time) => {
                let Some(call) = ledger.due(secs(now), wanted, &look) else {
                    continue;
                };
                ledger.called(secs(now), call);
                if now < heat_busy {
                    continue;
                }
                heat_busy = now + time;
                match call {
                    Call::More => world.make(case.slots, ready),
                    // The oldest, as Heat does, whatever it is at.
                    Call::Fewer => {
                        let gone = world.machines.remove(0);
                        assert!(!gone.renders(), "{case:?}");
                    }
                }
            }
        }
        let count = world.machines.len() as u32;
        assert!((case.min..=case.max).contains(&count), "{count}: {case:?}");
        if outcome.count_at(now) != count {
            outcome.counts.push((now, count));
        }
    }
}

/// What is wrong with cases in which nothing breaks.
fn hold(shape: Shape) {
    let mut faults = Vec::new();
    for seed in 0..SEEDS {
        let case = Case::draw(seed, shape);
        let outcome = run(&case);
        let mut fault =
            |what: String| faults.push(format!("{what}: {case:?} {:?}", outcome.counts));
        for (lasted, best) in &outcome.backlogs {
            if *lasted > 2.0 * best {
                fault(format!("a backlog lasted {lasted} s, {best} s at best"));
            }
        }
        if outcome.count_at(outcome.done + 600.0) != case.min {
            fault("not back after ten minutes".into());
        }
        let turns = outcome.turns();
        if turns > case.turns() {
            fault(format!("{turns} turns"));
        }
    }
    let text = faults.join("\n");
    assert!(faults.is_empty(), "{} of {SEEDS}:\n{text}", faults.len());
}

const SEEDS: u64 = 150;

#[test]
fn nothing_to_do_is_nothing_done() {
    for seed in 0..5 {
        let outcome = run(&Case::draw(seed, Shape::Nothing));
        assert_eq!(outcome.counts.len(), 1);
    }
}

#[test]
fn steady_load() {
    hold(Shape::Steady);
}

#[test]
fn bursts() {
    hold(Shape::Bursts);
}

#[test]
fn a_ramp() {
    hold(Shape::Ramp);
}

#[test]
fn a_sawtooth() {
    hold(Shape::Sawtooth);
}

/// Bounds and renders are held to in `run` whatever happens.
#[test]
fn workers_that_never_come() {
    for seed in 0..SEEDS {
        let mut case = Case::draw(seed, Shape::Bursts);
        case.means = Means::Nova;
        case.duds = if seed % 2 == 0 { 1.0 } else { 0.3 };
        let outcome = run(&case);
        let back = outcome.done + 600.0;
        assert_eq!(outcome.count_at(back), case.min, "{case:?}");
        assert!(
            outcome.turns() <= case.turns(),
            "{case:?} {:?}",
            outcome.counts
        );
    }
}

/// Bounds and renders, here too; and nobody counts for ever who was called in vain.
#[test]
fn a_heat_that_ignores_every_other_call() {
    for seed in 0..SEEDS {
        let mut case = Case::draw(seed, Shape::Bursts);
        case.means = Means::Heat(PACE + 10.0);
        let outcome = run(&case);
        for (lasted, best) in &outcome.backlogs {
            assert!(
                *lasted <= 3.0 * best,
                "{lasted} s, {best} s at best: {case:?} {:?}",
                outcome.counts
            );
        }
        assert!(
            outcome.turns() <= case.turns(),
            "{case:?} {:?}",
            outcome.counts
        );
    }
}

#[test]
fn a_farm_and_a_cloud_that_do_not_answer() {
    for seed in 0..SEEDS {
        let shape = [Shape::Steady, Shape::Bursts, Shape::Sawtooth][seed as usize % 3];
        let mut case = Case::draw(seed, shape);
        let mut random = StdRng::seed_from_u64(seed);
        let mut outage = || {
            let from = random.random_range(0.0..HOUR);
            (from, from + random.random_range(5.0..600.0))
        };
        case.farm_out = vec![outage(), outage()];
        case.cloud_out = vec![outage(), outage()];
        let outcome = run(&case);
        let out = |(from, to): &(f64, f64)| to - from;
        let lost: f64 = case.farm_out.iter().chain(&case.cloud_out).map(out).sum();
        for (lasted, best) in &outcome.backlogs {
            assert!(
                *lasted <= 2.0 * (best + lost),
                "{lasted} s, {best} s at best: {case:?}"
            );
        }
        for (from, to) in &case.farm_out {
            let changed = |(at, _): &&(f64, u32)| at > from && at < to;
            assert_eq!(outcome.counts.iter().find(changed), None, "{case:?}");
        }
        let ends = case
            .farm_out
            .iter()
            .chain(&case.cloud_out)
            .map(|(_, to)| *to);
        let last = ends.fold(outcome.done, f64::max);
        if last <= outcome.done {
            assert_eq!(outcome.count_at(last + 600.0), case.min, "{case:?}");
        }
    }
}
