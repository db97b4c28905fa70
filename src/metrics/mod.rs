//! What a node counts and times, told to Prometheus in the OpenMetrics format.
//!
//! ```text
//!   http.rs, farm.rs, store.rs, broker.rs ...   handles: whoever does the work records by one
//!            |  register                       `process.rs`, [`Moment`]: looked up at the scrape
//!            v                                          |
//!   [`Metrics`], rows of `table.rs` <-------------------+--> `GET /metrics`
//! ```
//!
//! A handle is made by the part that records, whether or not anybody scrapes, and costs it a few
//! atomic additions. A role registers the handles of those parts that it runs.

mod broker;
mod farm;
mod http;
mod process;
mod serve;
mod store;
pub mod table;
mod worker;

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::fractal::Status;
pub use broker::BrokerMetrics;
pub use farm::{FarmMetrics, Totals};
pub use http::{HttpMetrics, Route};
use process::Process;
pub use serve::serve;
pub use store::StoreMetrics;
pub use worker::{Ended, WorkerMetrics};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the histograms of what usually takes milliseconds, in seconds.
const SOON: [f64; 14] = [
    0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1.0, 5.0,
];

/// Bounds of the histograms of renders, in seconds: from thumbnails to the largest pictures.
const RENDERS: [f64; 14] = [
    0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0,
];

/// A part of a node that records.
pub trait Part {
    /// Adds the part's metrics, each by its row of the [`table`].
    fn register(&self, registry: &mut Registry);
}

/// The metrics of a node's parts.
#[derive(Debug)]
pub struct Metrics {
    kept: Registry,
    process: Process,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            kept: Registry::with_prefix(table::PREFIX),
            process: Process::default(),
        }
    }
}

impl Metrics {
    pub fn add(&mut self, part: &impl Part) {
        part.register(&mut self.kept);
    }

    /// All metrics as they are now, as OpenMetrics text.
    pub fn text(&self, moment: &Moment) -> String {
        let mut looked_up = Registry::with_prefix(table::PREFIX);
        self.process.register(&mut looked_up);
        moment.register(&mut looked_up);
        let mut written = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode_registry(&mut written, &self.kept)
            .and_then(|()| text::encode(&mut written, &looked_up));
        written
    }
}

/// What the farm is asked at the scrape: nothing has to be recorded for it. `None`: it is not told.
#[derive(Debug, Default)]
pub struct Moment {
    /// How many fractals there are of each status.
    pub fractals: Option<[(Status, u64); 4]>,
    /// Since the oldest waiting fractal was accepted; zero if none waits.
    pub oldest: Option<Duration>,
    pub listeners: Option<usize>,
    /// Tasks that are lent to workers elsewhere.
    pub leases: Option<usize>,
    /// Those workers: how many there are, and the slots of all of them.
    pub announced: Option<(usize, u64)>,
    /// Results of a worker that no API node has taken yet.
    pub undelivered: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

impl Part for Moment {
    fn register(&self, registry: &mut Registry) {
        if let Some(fractals) = self.fractals {
            let family = Family::<OfStatus, Gauge>::default();
            for (status, count) in fractals {
                let status = status.as_str();
                let gauge = family.get_or_create(&OfStatus { status });
                gauge.set(count.cast_signed());
            }
            table::FRACTALS.register(registry, family);
        }
        if let Some(oldest) = self.oldest {
            let age = ConstGauge::new(oldest.as_secs_f64());
            table::QUEUE_OLDEST_AGE.register(registry, age);
        }
        if let Some(listeners) = self.listeners {
            table::EVENT_LISTENERS.register(registry, ConstGauge::new(listeners as u64));
        }
        if let Some(leases) = self.leases {
            table::LEASES.register(registry, ConstGauge::new(leases as u64));
        }
        if let Some((workers, slots)) = self.announced {
            table::WORKERS_ANNOUNCED.register(registry, ConstGauge::new(workers as u64));
            table::SLOTS_ANNOUNCED.register(registry, ConstGauge::new(slots));
        }
        if let Some(undelivered) = self.undelivered {
            table::WORKER_UNDELIVERED.register(registry, ConstGauge::new(undelivered as u64));
        }
    }
}
