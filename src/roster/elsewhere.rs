//! Who works at the farm's other API nodes, as they told.
//!
//! News, not truth: a node that says nothing is forgotten with its workers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

use super::{SILENCE, Worker};

/// Workers of a node that the others are told by name; all are counted.
pub const TOLD: usize = 1000;

/// Other nodes that are remembered.
const NODES: usize = 256;

#[derive(Default)]
pub struct Elsewhere(Mutex<HashMap<Uuid, (Crew, Instant)>>);

/// The workers of a node, as it told.
#[derive(Clone, Debug, Default)]
pub struct Crew {
    pub count: u64,
    /// Pictures that they all together render at a time.
    pub slots: u64,
    /// The first [`TOLD`] of them.
    pub workers: Vec<Worker>,
}

impl Elsewhere {
    /// Takes note of what a node told.
    pub fn hear(&self, node: Uuid, mut crew: Crew) {
        crew.workers.truncate(TOLD);
        crew.count = crew.count.max(crew.workers.len() as u64);
        let mut crews = self.crews();
        if crew.count == 0 {
            crews.remove(&node);
        } else if crews.len() < NODES || crews.contains_key(&node) {
            crews.insert(node, (crew, Instant::now()));
        }
    }

    /// Pictures that all of them together can render at a time.
    pub fn slots(&self) -> u64 {
        let crews = self.crews();
        let slots = crews.values().map(|(crew, _)| crew.slots);
        slots.fold(0, u64::saturating_add)
    }

    /// How many there are beyond those that are told by name, and these.
    pub fn workers(&self) -> (u64, Vec<Worker>) {
        let (mut unnamed, mut workers) = (0_u64, Vec::new());
        for (crew, told) in self.crews().values() {
            unnamed = unnamed.saturating_add(crew.count - crew.workers.len() as u64);
            let ago = told.elapsed();
            workers.extend(crew.workers.iter().cloned().map(|worker| Worker {
                silent: worker.silent + ago,
                ..worker
            }));
        }
        workers.retain(|worker| worker.silent < SILENCE);
        (unnamed, workers)
    }

    fn crews(&self) -> MutexGuard<'_, HashMap<Uuid, (Crew, Instant)>> {
        // Each use changes one entry, so that a panic leaves the map whole.
        let mut crews = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crews.retain(|_, (_, told)| told.elapsed() < SILENCE);
        crews
    }
}
