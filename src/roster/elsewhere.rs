//! Who works at the farm's other API nodes, as they told.
//!
//! News, not truth: a node that says nothing is forgotten with its workers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

use super::{SILENCE, Worker};
use crate::wire::lease::CrewDoc;

/// Workers of a node that the others are told by name; all are counted.
pub const TOLD: usize = 1000;

/// Other nodes that are remembered, and most bytes of what one may say.
const NODES: usize = 256;
const DOC_BYTES: usize = 1 << 20;

#[derive(Default)]
pub struct Elsewhere(Mutex<HashMap<Uuid, Crew>>);

/// The workers of a node, as it told.
struct Crew {
    count: u64,
    slots: u64,
    workers: Vec<Worker>,
    told: Instant,
}

impl Elsewhere {
    /// Takes note of what a node told.
    pub fn hear(&self, node: Uuid, document: &[u8]) {
        if document.len() > DOC_BYTES {
            return;
        }
        // They come from outside.
        let Ok(mut doc) = serde_json::from_slice::<CrewDoc>(document) else {
            return;
        };
        doc.workers.truncate(TOLD);
        let mut crews = self.crews();
        if doc.count == 0 {
            crews.remove(&node);
        } else if crews.len() < NODES || crews.contains_key(&node) {
            let crew = Crew {
                count: doc.count.max(doc.workers.len() as u64),
                slots: doc.slots,
                workers: doc.workers.into_iter().map(Worker::from).collect(),
                told: Instant::now(),
            };
            crews.insert(node, crew);
        }
    }

    /// Pictures that all of them together can render at a time.
    pub fn slots(&self) -> u64 {
        let crews = self.crews();
        let slots = crews.values().map(|crew| crew.slots);
        slots.fold(0, u64::saturating_add)
    }

    /// How many there are beyond those that are told by name, and these.
    pub fn workers(&self) -> (u64, Vec<Worker>) {
        let (mut unnamed, mut workers) = (0_u64, Vec::new());
        for crew in self.crews().values() {
            unnamed = unnamed.saturating_add(crew.count - crew.workers.len() as u64);
            let ago = crew.told.elapsed();
            workers.extend(crew.workers.iter().cloned().map(|worker| Worker {
                silent: worker.silent + ago,
                ..worker
            }));
        }
        workers.retain(|worker| worker.silent < SILENCE);
        (unnamed, workers)
    }

    fn crews(&self) -> MutexGuard<'_, HashMap<Uuid, Crew>> {
        // Each use changes one entry, so that a panic leaves the map whole.
        let mut crews = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crews.retain(|_, crew| crew.told.elapsed() < SILENCE);
        crews
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_crew_is_not_taken_for_one() {
        let (elsewhere, node) = (Elsewhere::default(), Uuid::new_v4());
        for nonsense in [
            "",
            "{}",
            "[]",
            r#"{"count": -1, "slots": 1, "workers": []}"#,
        ] {
            elsewhere.hear(node, nonsense.as_bytes());
        }
        assert_eq!(elsewhere.slots(), 0);
        let worker = r#"{"id": "6f1fae11-52b2-4e0c-9f1f-5a6f6d1d2b11", "name": "w", "version": "9",
            "slots": 2, "rendering": [], "done": 1, "rate": 0.5, "silent": SILENT, "mood": "fine"}"#;
        for (silent, listed) in [("1", 1), ("-1", 1), ("1e300", 0)] {
            let worker = worker.replace("SILENT", silent);
            let crew = format!(r#"{{"count": 5, "slots": 9, "workers": [{worker}], "more": 1}}"#);
            elsewhere.hear(node, crew.as_bytes());
            let (unnamed, workers) = elsewhere.workers();
            assert_eq!((unnamed, workers.len(), elsewhere.slots()), (4, listed, 9));
        }
        elsewhere.hear(node, br#"{"count": 0, "slots": 0, "workers": []}"#);
        assert_eq!((elsewhere.workers().0, elsewhere.slots()), (0, 0));
    }
}
