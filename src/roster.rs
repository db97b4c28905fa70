//! Who works for the farm: each worker as it last announced itself, until it has been silent too long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::worker::Crew;

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// Of the process: a worker that starts again is another one.
    pub id: Uuid,
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Pictures it renders at a time.
    pub slots: u32,
    /// Pictures it has rendered since it started.
    pub done: u64,
    /// Pictures a second, over the last minute.
    pub rate: f64,
}

/// A worker on the list.
#[derive(Clone, Debug)]
pub struct Worker {
    pub announced: Announced,
    pub rendering: Vec<Uuid>,
    /// How long ago it announced itself.
    pub silent: Duration,
}

/// A worker that says nothing for this long is gone.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Workers that are remembered; further ones work unseen.
const MOST: usize = 16_384;

pub struct Roster {
    seen: Mutex<Seen>,
    /// Those in this process, and under which id they are known.
    local: Option<(Uuid, Arc<Crew>)>,
}

struct Seen {
    workers: HashMap<Uuid, (Announced, Instant)>,
    swept: Instant,
}

impl Roster {
    pub fn new(local: Option<Arc<Crew>>) -> Roster {
        Roster {
            seen: Mutex::new(Seen {
                workers: HashMap::new(),
                swept: Instant::now(),
            }),
            local: local.map(|crew| (Uuid::new_v4(), crew)),
        }
    }

    /// Takes note of a worker. Whether it is new.
    pub fn announce(&self, announced: Announced) -> bool {
        let mut seen = self.seen();
        if seen.swept.elapsed() > SILENCE / 3 {
            seen.sweep();
        }
        let known = seen.workers.contains_key(&announced.id);
        if known || seen.workers.len() < MOST {
            let id = announced.id;
            seen.workers.insert(id, (announced, Instant::now()));
        }
        !known
    }

    /// A worker is still there, and has nothing new to say.
    pub fn heard(&self, id: Uuid) {
        if let Some((_, at)) = self.seen().workers.get_mut(&id) {
            *at = Instant::now();
        }
    }

    /// A worker says that it leaves. Its name.
    pub fn leave(&self, id: Uuid) -> Option<String> {
        let (announced, _) = self.seen().workers.remove(&id)?;
        Some(announced.name)
    }

    /// How many have announced themselves.
    pub fn count(&self) -> usize {
        self.seen().workers.len()
    }

    /// Pictures that all of them together can render at a time.
    pub fn slots(&self) -> u64 {
        let mut seen = self.seen();
        seen.sweep();
        let slots = |(announced, _): &(Announced, Instant)| u64::from(announced.slots);
        let local = self.local.as_ref();
        seen.workers.values().map(slots).sum::<u64>()
            + local.map_or(0, |(_, crew)| u64::from(crew.slots()))
    }

    /// All of them by name; `rendering` is what the leases know of it.
    pub fn workers(&self, mut rendering: HashMap<Uuid, Vec<Uuid>>) -> Vec<Worker> {
        let mut workers: Vec<_> = {
            let mut seen = self.seen();
            seen.sweep();
            let worker = |(announced, at): &(Announced, Instant)| Worker {
                announced: announced.clone(),
                rendering: rendering.remove(&announced.id).unwrap_or_default(),
                silent: at.elapsed(),
            };
            seen.workers.values().map(worker).collect()
        };
        if let Some((id, crew)) = &self.local {
            workers.push(Worker {
                announced: crew.announce(*id),
                rendering: crew.rendering(),
                silent: Duration::ZERO,
            });
        }
        workers.sort_unstable_by(|a, b| {
            let key = |worker: &Worker| (worker.announced.name.clone(), worker.announced.id);
            key(a).cmp(&key(b))
        });
        workers
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each use changes one entry, so that a panic leaves the map whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn sweep(&mut self) {
        self.workers.retain(|_, (_, at)| at.elapsed() < SILENCE);
        self.swept = Instant::now();
    }
}
