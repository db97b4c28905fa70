//! Workers of this process: their slots, and how the renders in them end.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Part, RENDERS, table};
use crate::fractal::FractalSpec;

#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    slots: Gauge,
    busy: Gauge,
    seconds: Family<OfOutcome, Histogram>,
    iterations: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

/// How a render ended.
#[derive(Clone, Copy, Debug)]
pub enum Ended {
    Done,
    Failed,
    /// Nobody wanted the picture any more, or the worker stopped.
    Cancelled,
}

impl Ended {
    fn outcome(self) -> OfOutcome {
        let outcome = match self {
            Ended::Done => "done",
            Ended::Failed => "failed",
            Ended::Cancelled => "cancelled",
        };
        OfOutcome { outcome }
    }
}

impl WorkerMetrics {
    pub fn new(slots: usize) -> Self {
        let metrics = WorkerMetrics {
            slots: Gauge::default(),
            busy: Gauge::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(RENDERS)),
            iterations: Counter::default(),
        };
        metrics.slots.set(slots.cast_signed() as i64);
        // Told as 0 from the start: the first failure must be seen as an increase.
        for ended in [Ended::Done, Ended::Failed, Ended::Cancelled] {
            drop(metrics.seconds.get_or_create(&ended.outcome()));
        }
        metrics
    }

    /// A render begins, in a slot of its own.
    pub fn begin(&self) -> Render<'_> {
        self.busy.inc();
        Render {
            metrics: self,
            begun: Instant::now(),
        }
    }
}

impl Part for WorkerMetrics {
    fn register(&self, registry: &mut Registry) {
        table::WORKER_SLOTS.register(registry, self.slots.clone());
        table::WORKER_SLOTS_BUSY.register(registry, self.busy.clone());
        table::WORKER_RENDER_SECONDS.register(registry, self.seconds.clone());
        table::WORKER_ITERATIONS.register(registry, self.iterations.clone());
    }
}

/// A render that is on, until it is dropped.
pub struct Render<'a> {
    metrics: &'a WorkerMetrics,
    begun: Instant,
}

impl Render<'_> {
    pub fn ended(self, ended: Ended, spec: &FractalSpec) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let metrics = self.metrics;
        metrics
            .seconds
            .get_or_create(&ended.outcome())
            .observe(seconds);
        if matches!(ended, Ended::Done) {
            metrics.iterations.inc_by(spec.work());
        }
    }
}

impl Drop for Render<'_> {
    fn drop(&mut self) {
        self.metrics.busy.dec();
    }
}
