//! The store: its transactions, and what goes wrong.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::{Part, SOON, table};
use crate::store::StoreError;

#[derive(Clone, Debug)]
pub struct StoreMetrics {
    commit_seconds: Histogram,
    commit_writes: Histogram,
    errors: Family<OfKind, Counter>,
    reachable: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

const DISK_FULL: OfKind = OfKind { kind: "disk_full" };
const BUSY: OfKind = OfKind { kind: "busy" };
const GONE: OfKind = OfKind { kind: "gone" };
const UNREACHABLE: OfKind = OfKind {
    kind: "unreachable",
};
const ENGINE: OfKind = OfKind { kind: "engine" };

impl Default for StoreMetrics {
    fn default() -> Self {
        let metrics = StoreMetrics {
            commit_seconds: Histogram::new(SOON),
            commit_writes: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            errors: Family::default(),
            reachable: Gauge::default(),
        };
        metrics.reachable.set(1);
        // Told as 0 from the start: the first error must be seen as an increase.
        for kind in [DISK_FULL, BUSY, GONE, UNREACHABLE, ENGINE] {
            drop(metrics.errors.get_or_create(&kind));
        }
        metrics
    }
}

impl Part for StoreMetrics {
    fn register(&self, registry: &mut Registry) {
        table::STORE_COMMIT_SECONDS.register(registry, self.commit_seconds.clone());
        table::STORE_COMMIT_WRITES.register(registry, self.commit_writes.clone());
        table::STORE_ERRORS.register(registry, self.errors.clone());
        table::STORE_REACHABLE.register(registry, self.reachable.clone());
    }
}

impl StoreMetrics {
    /// A transaction of so many writes is on disk, so long after it began.
    pub fn committed(&self, writes: usize, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_writes.observe(writes as f64);
    }

    /// Whether the database answers.
    pub fn reachable(&self, reachable: bool) {
        self.reachable.set(i64::from(reachable));
    }

    /// A read, or a transaction as a whole, failed.
    pub fn failed(&self, error: &StoreError) {
        let kind = match error {
            StoreError::DiskFull => DISK_FULL,
            StoreError::Busy => BUSY,
            StoreError::Gone => GONE,
            StoreError::Unreachable(_) => UNREACHABLE,
            StoreError::Newer { .. } | StoreError::Foreign { .. } | StoreError::Engine(_) => ENGINE,
            // Refused with a reason, or the end of the process.
            StoreError::Duplicate(_)
            | StoreError::QueueFull(_)
            | StoreError::TooLarge { .. }
            | StoreError::Closed => return,
        };
        self.errors.get_or_create(&kind).inc();
    }
}
