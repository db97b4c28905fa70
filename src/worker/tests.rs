//! Workers with a real farm on a real store, and renderers that misbehave.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::events::Event;
use crate::farm::{Farm, Policy, Retried};
use crate::fractal::{Draft, Fractal, Palette, Plane, Status};
use crate::metrics::{Metrics, Moment};
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
    palette: Palette::Classic,
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

    /// Waits until the metrics of farm and workers tell each of these lines: a commit is counted
    /// just after it can be seen.
    async fn until_told(&self, workers: &WorkerMetrics, lines: &[&str]) {
        let mut metrics = Metrics::default();
        metrics.add(self.farm.metrics());
        metrics.add(workers);
        let begun = Instant::now();
        for line in lines {
            loop {
                let text = metrics.text(&Moment::default());
                if text.lines().any(|told| told == *line) {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(30), "{line}\n{text}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn get(&self, uuid: Uuid) -> Fractal {
        self.farm.get(uuid).await.unwrap().unwrap()
    }
}

/// Breaks on pictures of 13 iterations.
fn unlucky(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    assert_ne!(spec.iterations, 13, "thirteen");
    render_to_vec(spec, control)
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
    let told = [
        "faafo_fractals_accepted_total 21",
        "faafo_fractals_done_total 20",
        "faafo_fractals_failed_total 2",
        "faafo_fractals_retried_total 1",
        "faafo_attempts_total 26",
        "faafo_attempts_retries_total 4",
        "faafo_attempts_failed_total 6",
        "faafo_worker_render_seconds_count{outcome=\"done\"} 20",
        "faafo_worker_render_seconds_count{outcome=\"failed\"} 6",
    ];
    fixture.until_told(workers.metrics(), &told).await;
    workers.drain(Duration::from_secs(5)).await;
}

/// Breaks at the first of all attempts.
fn hesitant(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    assert_ne!(CALLS.fetch_add(1, Ordering::Relaxed), 0, "not yet");
    render_to_vec(spec, control)
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
fn endless(_: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    while !control.cancel.is_cancelled() {
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
    let measured = workers.metrics().clone();
    fixture
        .until_told(&measured, &["faafo_worker_slots_busy 2"])
        .await;
    workers.drain(Duration::from_millis(50)).await;
    assert_eq!(fixture.counts.borrow().queued, 6);
    let told = [
        "faafo_attempts_given_back_total 4",
        "faafo_worker_render_seconds_count{outcome=\"cancelled\"} 2",
        "faafo_worker_slots_busy 0",
    ];
    fixture.until_told(&measured, &told).await;
    for fractal in fractals {
        assert_eq!(fixture.get(fractal.uuid).await.attempts, 0);
    }
}

#[tokio::test]
async fn a_deleted_fractal_frees_its_slot() {
    let mut fixture = Fixture::new().await;
    let workers = fixture.workers(|spec, control| match spec.iterations {
        13 => endless(spec, control),
        _ => render_to_vec(spec, control),
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

/// Pictures of 13 iterations appear 20 pixels at a time, for more than a second.
fn creeping(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    if spec.iterations == 13 {
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(100));
            control.progress.add(20);
        }
    }
    render_to_vec(spec, &Control::default())
}

#[tokio::test]
async fn long_renders_tell_how_far_they_are_and_short_ones_do_not() {
    let mut fixture = Fixture::new().await;
    let mut events = fixture.farm.events().subscribe();
    let workers = fixture.workers(creeping);
    let long = fixture.submit(13).await;
    for _ in 0..20 {
        fixture.submit(32).await;
    }
    let (mut running, mut told) = (None, Vec::new());
    let took = loop {
        match &*events.recv().await.unwrap() {
            Event::Running(fractal) if fractal.row == long.row => running = Some(Instant::now()),
            Event::Progress(uuid, fraction) => {
                assert!(running.is_some());
                assert_eq!(*uuid, long.uuid);
                assert!(fixture.farm.fraction(long.row) >= Some(*fraction));
                told.push(*fraction);
            }
            Event::Done(fractal) if fractal.row == long.row => break running.unwrap().elapsed(),
            _ => {}
        }
    };
    // Half a second, and then four times a second; of 256 pixels, rounded down.
    let most = 1 + took.as_millis() / 250;
    assert!((2..=most).contains(&(told.len() as u128)), "{told:?}");
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
    assert!(told[0] > 0.0 && told[told.len() - 1] <= 0.9375);
    assert_eq!(fixture.farm.fraction(long.row), None);
    fixture.until(|counts| counts.done == 21).await;
    workers.drain(Duration::from_secs(5)).await;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(*event, Event::Progress(..)), "{event:?}");
    }
}

#[tokio::test]
async fn a_word_that_comes_late_is_not_passed_on() {
    let fixture = Fixture::new().await;
    for _ in 0..30 {
        let fractal = fixture.submit(32).await;
        let row = fixture.farm.take().await.row;
        assert!(fixture.farm.begin(row).await.unwrap());
        let mut events = fixture.farm.events().subscribe();
        let (farm, stop) = (fixture.farm.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let worker = std::thread::spawn(move || {
            for n in 1u32.. {
                farm.report(row, 1.0 - 1.0 / f64::from(n));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_micros(10));
            }
        });
        while fixture.farm.fraction(row).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(fixture.farm.delete(fractal.uuid).await.unwrap());
        tokio::time::sleep(Duration::from_millis(2)).await;
        stop.store(true, Ordering::Relaxed);
        worker.join().unwrap();
        // On a slow disk there may have been more words than are kept.
        while !matches!(events.try_recv().as_deref(), Ok(Event::Deleted(..))) {}
        assert!(events.try_recv().is_err());
    }
}

/// When a render of [`timed`] was cut off.
static STOPPED: Mutex<Option<Instant>> = Mutex::new(None);

/// The renderer itself.
fn timed(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    let rendered = render_to_vec(spec, control);
    if rendered.is_err() {
        *STOPPED.lock().unwrap() = Some(Instant::now());
    }
    rendered
}

async fn stops_soon_after(told: Instant, what: &str) {
    let stopped = loop {
        if let Some(stopped) = STOPPED.lock().unwrap().take() {
            break stopped;
        }
        assert!(told.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let took = stopped.saturating_duration_since(told);
    println!("{what}: the renderer returned after {took:?}");
    // Fifty milliseconds are promised; a machine busy with other tests is granted more.
    assert!(took < Duration::from_secs(1), "{what}: {took:?}");
}

/// In one test, as [`STOPPED`] is there once.
#[tokio::test]
async fn huge_renders_stop_soon_when_deleted_and_when_the_process_leaves() {
    let mut fixture = Fixture::new().await;
    let workers = fixture.workers(timed);
    let endless = Draft {
        width: 1000,
        height: 1000,
        iterations: 1_000_000,
        plane: Plane {
            xa: -0.42,
            xb: -0.32,
            ya: -0.39,
            yb: -0.29,
        },
        // In its Siegel disk points neither escape nor come to rest in a cycle.
        c_re: Some(-0.3905408702184),
        c_im: Some(-0.5867879073469687),
        palette: Palette::Classic,
    };
    let large = Draft {
        width: 10_000,
        height: 10_000,
        iterations: 300,
        ..DRAFT
    };
    for (what, draft) in [("endless", endless), ("large", large)] {
        let fractal = fixture.farm.submit(Uuid::new_v4(), &draft).await.unwrap();
        fixture.until(|counts| counts.running == 1).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(fixture.farm.delete(fractal.uuid).await.unwrap());
        // The disk has its own time.
        let told = Instant::now();
        stops_soon_after(told, &format!("{what}, deleted")).await;
    }
    for _ in 0..3 {
        let submitted = fixture.farm.submit(Uuid::new_v4(), &endless).await;
        submitted.unwrap();
    }
    fixture.until(|counts| counts.running == 3).await;
    let patience = Duration::from_millis(100);
    let told = Instant::now() + patience;
    workers.drain(patience).await;
    stops_soon_after(told, "left").await;
    assert!(told.elapsed() < Duration::from_secs(20));
    assert_eq!(fixture.counts.borrow().queued, 3);
}
