//! Looks at the farm: what waits, who works, and who renders. Reading takes no token.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::outward::{self, OutwardError, root_cause};
use crate::wire::lease::{WorkerDoc, WorkersDoc};
use crate::wire::{ErrorDoc, FarmDoc};

/// A node has this long to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Why a look brought nothing, of all nodes in turn.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Blind(String);

pub struct Farm {
    http: reqwest::Client,
    /// API nodes: what waits is the same at all, but each knows only the workers that speak to it.
    nodes: Vec<Url>,
    ended: Ended,
}

/// The farm at a moment.
#[derive(Clone, Debug)]
pub struct Look {
    pub queued: u64,
    pub running: u64,
    pub oldest: Option<Duration>,
    /// Renders that have ended since the first look.
    pub ended: u64,
    pub workers: Vec<WorkerDoc>,
}

impl Look {
    pub fn slots(&self) -> u64 {
        let slots = self.workers.iter().map(|worker| u64::from(worker.slots));
        slots.sum()
    }

    /// Whether it is known where everything is rendered that is. A worker tells what it renders a
    /// moment after it has begun, and to one API node: until then it only seems idle.
    pub fn is_whole(&self) -> bool {
        let told = self.workers.iter().map(|worker| worker.rendering.len());
        told.sum::<usize>() as u64 >= self.running
    }

    /// Whether nothing is rendered, and nothing will be in a moment.
    pub fn is_idle(&self) -> bool {
        let renders = |worker: &WorkerDoc| !worker.rendering.is_empty();
        self.queued == 0 && self.running == 0 && !self.workers.iter().any(renders)
    }
}

impl Farm {
    /// There is at least one node.
    pub fn at(nodes: Vec<Url>, ca_file: Option<&Path>) -> Result<Farm, OutwardError> {
        let https = nodes.iter().any(|node| node.scheme() == "https");
        let http = outward::builder(ca_file, https)?.timeout(ANSWER_TIME);
        Ok(Farm {
            http: http.build().map_err(OutwardError::Tls)?,
            nodes,
            ended: Ended::default(),
        })
    }

    pub async fn look(&mut self) -> Result<Look, Blind> {
        let answers = join_all(self.nodes.iter().map(|node| self.ask(node))).await;
        let mut counts = None;
        let mut workers = BTreeMap::new();
        let mut failures = Vec::new();
        for answer in answers {
            match answer {
                Ok((farm, found)) => {
                    counts.get_or_insert(farm);
                    for worker in found.objects {
                        note(&mut workers, worker);
                    }
                }
                Err(why) => failures.push(why),
            }
        }
        let Some(farm) = counts else {
            return Err(Blind(failures.join("; ")));
        };
        let workers: Vec<_> = workers.into_values().collect();
        let counted = farm.counts.done + farm.counts.failed;
        let oldest = farm.oldest_waiting_seconds;
        Ok(Look {
            queued: farm.counts.queued,
            running: farm.counts.running,
            oldest: oldest.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            ended: self.ended.count(counted, &workers),
            workers,
        })
    }

    /// The workers first: whatever begins between the two answers is rendering in the second one.
    async fn ask(&self, node: &Url) -> Result<(FarmDoc, WorkersDoc), String> {
        let workers = self.get(node, "/v1/workers").await?;
        Ok((self.get(node, "/v1/farm").await?, workers))
    }

    async fn get<T: DeserializeOwned>(&self, node: &Url, path: &str) -> Result<T, String> {
        let base = node.as_str().trim_end_matches('/');
        let answer = self.http.get(format!("{base}{path}")).send().await;
        let answer = answer.map_err(|error| format!("{base}: {}", root_cause(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            let why = answer.json::<ErrorDoc>().await.map(|doc| doc.message);
            let why = why.unwrap_or_else(|_| "no faafo answers there".into());
            return Err(format!("{base} answers {status}: {why}"));
        }
        let document = answer.json().await;
        document.map_err(|_| format!("{base} does not answer like a faafo"))
    }
}

/// A worker that two nodes know has turned from one to the other: it is what it told last.
fn note(workers: &mut BTreeMap<Uuid, WorkerDoc>, worker: WorkerDoc) {
    match workers.get(&worker.id) {
        Some(known) if known.silent <= worker.silent => {}
        _ => {
            workers.insert(worker.id, worker);
        }
    }
}

/// Counts renders that end. Fractals may be deleted as soon as they are done, and workers may be of a
/// kind that is on no list: what grows more is right.
#[derive(Default)]
struct Ended {
    total: u64,
    counted: Option<u64>,
    tallies: HashMap<Uuid, u64>,
}

impl Ended {
    fn count(&mut self, counted: u64, workers: &[WorkerDoc]) -> u64 {
        let tallies: HashMap<_, _> = workers.iter().map(|one| (one.id, one.done)).collect();
        if let Some(before) = self.counted.replace(counted) {
            let grown = |(id, done): (&Uuid, &u64)| {
                let before = self.tallies.get(id);
                before.map_or(0, |before| done.saturating_sub(*before))
            };
            let told: u64 = tallies.iter().map(grown).sum();
            self.total += told.max(counted.saturating_sub(before));
        }
        self.tallies = tallies;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: u128, done: u64, silent: f64) -> WorkerDoc {
        WorkerDoc {
            id: Uuid::from_u128(id),
            name: "w".into(),
            version: "1".into(),
            slots: 2,
            rendering: Vec::new(),
            done,
            rate: 0.0,
            silent,
        }
    }

    #[test]
    fn renders_are_counted_whether_or_not_their_fractals_are_kept() {
        let mut ended = Ended::default();
        assert_eq!(ended.count(100, &[worker(1, 50, 0.0)]), 0);
        assert_eq!(ended.count(100, &[worker(1, 57, 0.0)]), 7, "deleted");
        assert_eq!(ended.count(103, &[worker(1, 57, 0.0)]), 10, "by others");
        assert_eq!(ended.count(20, &[worker(2, 500, 0.0)]), 10, "another one");
        assert_eq!(ended.count(20, &[worker(2, 501, 0.0)]), 11);
    }

    #[test]
    fn a_worker_is_as_it_said_last() {
        let mut workers = BTreeMap::new();
        for (done, silent) in [(5, 9.0), (7, 0.5), (6, 3.0)] {
            note(&mut workers, worker(1, done, silent));
        }
        assert_eq!(workers.len(), 1);
        assert_eq!(workers[&Uuid::from_u128(1)].done, 7);
    }

    #[test]
    fn what_runs_where_nobody_has_said_makes_nobody_idle() {
        let rendering = WorkerDoc {
            rendering: vec![Uuid::nil()],
            ..worker(2, 0, 0.0)
        };
        let mut look = Look {
            queued: 0,
            running: 1,
            oldest: None,
            ended: 0,
            workers: vec![worker(1, 0, 0.0), rendering],
        };
        assert!(look.is_whole() && !look.is_idle());
        look.running = 2;
        assert!(!look.is_whole());
        look.running = 0;
        look.workers.pop();
        assert!(look.is_idle());
    }
}
