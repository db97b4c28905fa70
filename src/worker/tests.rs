//! Workers with a real farm on a real store, and renderers that misbehave.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::farm::{Farm, Policy, Retried};
use crate::fractal::{Draft, Fractal, Plane, Status};
use crate::queue::LocalQueue;
use crate::render::render_to_vec;
use crate::store::{Counts, Sqlite, Store};

const DRAFT: Draft = Draft {
    width: 16,
    height: 16,
    iterations: 32,
    plane: Plane {
        xa: -2.0,
        xb: 2.0,
        ya: -2.0,
        yb: 2.0,
    },
    c_re: Some(-0.8),
    c_im: Some(0.156),
};

struct Fixture {
    farm: Arc<Farm>,
    counts: watch::Receiver<Counts>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.path()).unwrap());
        let farm = Farm::open(store, LocalQueue::start, Policy::default())
            .await
            .unwrap();
        Fixture {
            counts: farm.counts(),
            farm: Arc::new(farm),
            _folder: folder,
        }
    }

    fn workers(&self, renderer: Renderer) -> Workers {
        Workers::start(2, "test", renderer, &self.farm)
    }

    async fn submit(&self, iterations: i64) -> Fractal {
        let draft = Draft {
            iterations,
            ..DRAFT
        };
        self.farm.submit(Uuid::new_v4(), &draft).await.unwrap()
    }

    async fn until(&mut self, holds: impl FnMut(&Counts) -> bool) {
        let wait = self.counts.wait_for(holds);
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .expect("it never comes to that")
            .unwrap();
    }

    async fn get(&self, uuid: Uuid) -> Fractal {
        self.farm.get(uuid).await.unwrap().unwrap()
    }
}

/// Breaks on pictures of 13 iterations.
fn unlucky(spec: &FractalSpec, cancel: &Cancel) -> Result<Vec<u8>, RenderError> {
    assert_ne!(spec.iterations, 13, "thirteen");
    render_to_vec(spec, cancel)
}

#[tokio::test]
async fn a_panic_costs_that_task_alone_and_is_kept_as_the_reason() {
    let mut fixture = Fixture::new().await;
    let workers = fixture.workers(unlucky);
    let bad = fixture.submit(13).await;
    for _ in 0..20 {
        fixture.submit(32).await;
    }
    fixture
        .until(|counts| counts.failed == 1 && counts.done == 20)
        .await;
    let failed = fixture.get(bad.uuid).await;
    assert_eq!((failed.status, failed.attempts), (Status::Failed, 3));
    let reason = failed.error.unwrap();
    assert!(reason.contains("thirteen"), "{reason}");

    // Retried, it gets as many attempts again.
    assert!(matches!(
        fixture.farm.retry(bad.uuid).await.unwrap(),
        Retried::Queued(_)
    ));
    fixture.until(|counts| counts.failed == 0).await;
    fixture.until(|counts| counts.failed == 1).await;
    assert_eq!(fixture.get(bad.uuid).await.attempts, 3);
    workers.drain(Duration::from_secs(5)).await;
}

/// Breaks at the first of all attempts.
fn hesitant(spec: &FractalSpec, cancel: &Cancel) -> Result<Vec<u8>, RenderError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    assert_ne!(CALLS.fetch_add(1, Ordering::Relaxed), 0, "not yet");
    render_to_vec(spec, cancel)
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another() {
    let mut fixture = Fixture::new().await;
    let _workers = fixture.workers(hesitant);
    let fractal = fixture.submit(32).await;
    fixture.until(|counts| counts.done == 1).await;
    let done = fixture.get(fractal.uuid).await;
    assert_eq!((done.attempts, done.error), (2, None));
    assert_eq!(done.outcome.unwrap().generated_by, "test");
}

/// Renders until it is told not to.
fn endless(_: &FractalSpec, cancel: &Cancel) -> Result<Vec<u8>, RenderError> {
    while !cancel.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(RenderError::Cancelled)
}

#[tokio::test]
async fn draining_gives_back_what_does_not_finish() {
    let mut fixture = Fixture::new().await;
    let workers = fixture.workers(endless);
    let mut fractals = Vec::new();
    for _ in 0..6 {
        fractals.push(fixture.submit(32).await);
    }
    fixture.until(|counts| counts.running == 4).await;
    workers.drain(Duration::from_millis(50)).await;
    assert_eq!(fixture.counts.borrow().queued, 6);
    for fractal in fractals {
        assert_eq!(fixture.get(fractal.uuid).await.attempts, 0);
    }
}

#[tokio::test]
async fn a_deleted_fractal_frees_its_slot() {
    let mut fixture = Fixture::new().await;
    let workers = fixture.workers(|spec, cancel| match spec.iterations {
        13 => endless(spec, cancel),
        _ => render_to_vec(spec, cancel),
    });
    let endless = [fixture.submit(13).await, fixture.submit(13).await];
    fixture.until(|counts| counts.running == 2).await;
    fixture.submit(32).await;
    for fractal in endless {
        assert!(fixture.farm.delete(fractal.uuid).await.unwrap());
    }
    fixture
        .until(|counts| counts.done == 1 && counts.total() == 1)
        .await;
    workers.drain(Duration::from_secs(5)).await;
}
