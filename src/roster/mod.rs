//! Who works for the farm: each worker as it last announced itself, until it has been silent too long.

mod elsewhere;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::worker;
pub use elsewhere::{Crew, Elsewhere, TOLD};

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
    local: Option<(Uuid, Arc<worker::Crew>)>,
    elsewhere: Elsewhere,
}

struct Seen {
    workers: HashMap<Uuid, (Announced, Instant)>,
    swept: Instant,
}

impl Roster {
    pub fn new(local: Option<Arc<worker::Crew>>) -> Roster {
        Roster {
            seen: Mutex::new(Seen {
                workers: HashMap::new(),
                swept: Instant::now(),
            }),
            local: local.map(|crew| (Uuid::new_v4(), crew)),
            elsewhere: Elsewhere::default(),
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

    /// Those at the farm's other nodes.
    pub fn elsewhere(&self) -> &Elsewhere {
        &self.elsewhere
    }

    /// How many have announced themselves.
    pub fn count(&self) -> usize {
        self.seen().workers.len()
    }

    /// Pictures that all workers of the farm together can render at a time.
    pub fn slots(&self) -> u64 {
        self.slots_here().saturating_add(self.elsewhere.slots())
    }

    /// Those of this node.
    pub fn slots_here(&self) -> u64 {
        let local = self.local.as_ref();
        self.announced().1 + local.map_or(0, |(_, crew)| u64::from(crew.slots()))
    }

    /// How many other processes work for this node, and their slots.
    pub fn announced(&self) -> (usize, u64) {
        let mut seen = self.seen();
        seen.sweep();
        let slots = |(announced, _): &(Announced, Instant)| u64::from(announced.slots);
        (seen.workers.len(), seen.workers.values().map(slots).sum())
    }

    /// How many work for the farm, and by name those that are known by name; `rendering` as in
    /// [`Roster::workers_here`].
    pub fn workers(&self, rendering: HashMap<Uuid, Vec<Uuid>>) -> (u64, Vec<Worker>) {
        let (unnamed, others) = self.elsewhere.workers();
        let mut workers = self.workers_here(rendering);
        if !others.is_empty() {
            workers.extend(others);
            // Who went from one node to another is still on the list of both.
            workers.sort_unstable_by_key(|worker| (worker.announced.id, worker.silent));
            workers.dedup_by_key(|worker| worker.announced.id);
            sort(&mut workers);
        }
        ((workers.len() as u64).saturating_add(unnamed), workers)
    }

    /// Those of this node by name; `rendering` is what the leases know of it.
    pub fn workers_here(&self, mut rendering: HashMap<Uuid, Vec<Uuid>>) -> Vec<Worker> {
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
        sort(&mut workers);
        workers
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each use changes one entry, so that a panic leaves the map whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sort(workers: &mut [Worker]) {
    workers.sort_unstable_by(|a, b| {
        let (a, b) = (&a.announced, &b.announced);
        a.name.cmp(&b.name).then(a.id.cmp(&b.id))
    });
}

impl Seen {
    fn sweep(&mut self) {
        self.workers.retain(|_, (_, at)| at.elapsed() < SILENCE);
        self.swept = Instant::now();
    }
}
