//! Every metric there is: the registry is made of these rows, and a test holds `docs/metrics.md` to
//! them.
//!
//! Names are in Prometheus's manner, in base units and with the unit last. What a label can say is
//! limited, whatever clients ask for: no label is a fractal, a client, or an address as it was sent.

use prometheus_client::registry::{Metric, Registry, Unit};

/// What all names begin with.
pub const PREFIX: &str = "faafo";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    Gauge,
    Histogram,
    /// Always 1: what it tells stands in its labels.
    Info,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Definition {
    pub kind: Kind,
    /// Without prefix and without what the kind appends; ends with the unit.
    pub name: &'static str,
    pub unit: Option<Unit>,
    pub labels: &'static [&'static str],
    /// A sentence without its full stop.
    pub help: &'static str,
}

impl Definition {
    /// The name that queries use; to a histogram's they append `_bucket`, `_sum` or `_count`.
    pub fn full_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{PREFIX}_{}{suffix}", self.name)
    }

    /// Has `metric` told at each scrape, under this name.
    pub fn register(&self, registry: &mut Registry, metric: impl Metric) {
        let Some(unit) = &self.unit else {
            return registry.register(self.name, self.help, metric);
        };
        // The registry appends the unit by itself.
        let name = self.name.strip_suffix(unit.as_str()).unwrap_or(self.name);
        let name = name.trim_end_matches('_');
        registry.register_with_unit(name, self.help, unit.clone(), metric);
    }
}

macro_rules! table {
    ($($row:ident: $kind:ident, $name:literal, $unit:expr, [$($label:literal),*], $help:literal;)*) => {
        $(pub static $row: Definition = Definition {
            kind: Kind::$kind,
            name: $name,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// All rows, in this order.
        pub static ALL: &[&Definition] = &[$(&$row),*];
    };
}

const SECONDS: Option<Unit> = Some(Unit::Seconds);
const BYTES: Option<Unit> = Some(Unit::Bytes);

table! {
    // HTTP: `http.rs`
    HTTP_REQUESTS: Counter, "http_requests", None, ["method", "route", "status"],
        "Requests answered";
    HTTP_REQUEST_SECONDS: Histogram, "http_request_seconds", SECONDS, ["method", "route"],
        "Time from a request's headers to those of its answer";
    HTTP_REQUESTS_IN_FLIGHT: Gauge, "http_requests_in_flight", None, [],
        "Requests whose answer has not begun";
    EVENT_LISTENERS: Gauge, "event_listeners", None, [],
        "Clients that follow /v1/events";

    // The farm: `farm.rs`, and `Moment` in `mod.rs`
    FRACTALS: Gauge, "fractals", None, ["status"],
        "Fractals in the store; those queued are the depth of the queue";
    QUEUE_OLDEST_AGE: Gauge, "queue_oldest_age_seconds", SECONDS, [],
        "Time since the acceptance of the fractal that is next in the queue, 0 if none waits; \
         missing if the store does not tell in time";
    FRACTALS_ACCEPTED: Counter, "fractals_accepted", None, [],
        "Fractals accepted";
    FRACTALS_DONE: Counter, "fractals_done", None, [],
        "Fractals whose image has been kept";
    FRACTALS_FAILED: Counter, "fractals_failed", None, [],
        "Fractals given up after as many attempts as are allowed";
    FRACTALS_RETRIED: Counter, "fractals_retried", None, [],
        "Failed fractals queued again because somebody asked for it";
    FRACTALS_DELETED: Counter, "fractals_deleted", None, [],
        "Fractals deleted";
    ATTEMPTS: Counter, "attempts", None, [],
        "Attempts to render a fractal that were begun";
    ATTEMPTS_RETRIES: Counter, "attempts_retries", None, [],
        "Attempts begun after an earlier one at the same fractal had failed";
    ATTEMPTS_FAILED: Counter, "attempts_failed", None, [],
        "Attempts that failed";
    ATTEMPTS_GIVEN_BACK: Counter, "attempts_given_back", None, [],
        "Attempts given up without blame, so that the fractal waits again: a worker stopped";
    RENDER_SECONDS: Histogram, "render_seconds", SECONDS, [],
        "Time that rendering took, by the worker's clock, of each image that has been kept";
    ITERATIONS: Counter, "iterations", None, [],
        "Escape steps asked for by the fractals done: width x height x iterations of each";
    PIXELS: Counter, "pixels", None, [],
        "Pixels of the images that have been kept";
    IMAGE_BYTES: Counter, "image_bytes", BYTES, [],
        "Size of the images that have been kept";

    // Workers elsewhere, that this node lends tasks to: `farm.rs`, and `Moment` in `mod.rs`
    LEASES: Gauge, "leases", None, [],
        "Tasks that are lent to workers elsewhere by this node";
    LEASES_EXPIRED: Counter, "leases_expired", None, [],
        "Tasks taken from workers that said nothing for as long as a lease lasts";
    WORKERS_ANNOUNCED: Gauge, "workers_announced", None, [],
        "Workers elsewhere that have told this node of themselves in the last 30 s";
    SLOTS_ANNOUNCED: Gauge, "slots_announced", None, [],
        "Renders that all of these together may run at a time";

    // The store: `store.rs`
    STORE_COMMIT_SECONDS: Histogram, "store_commit_seconds", SECONDS, [],
        "Time of a transaction that was committed, from its beginning until it was on disk";
    STORE_COMMIT_WRITES: Histogram, "store_commit_writes", None, [],
        "Writes that shared a transaction";
    STORE_ERRORS: Counter, "store_errors", None, ["kind"],
        "Reads and transactions that failed, but for those that were refused with a reason";
    STORE_REACHABLE: Gauge, "store_reachable", None, [],
        "1 while the database answers, 0 while it does not";

    // The message broker, all 0 where there is none: `broker.rs`
    BROKER_CONNECTED: Gauge, "broker_connected", None, [],
        "1 while there is a connection to RabbitMQ";
    BROKER_DISCONNECTS: Counter, "broker_disconnects", None, [],
        "Connections to RabbitMQ that broke";
    BROKER_READY: Gauge, "broker_messages_ready", None, [],
        "Tasks in the queue of RabbitMQ that no worker has, looked up every 30 s";
    BROKER_UNCONFIRMED: Gauge, "broker_messages_unconfirmed", None, [],
        "Messages sent to RabbitMQ that it has not confirmed";
    BROKER_PUBLISHED: Counter, "broker_messages_published", None, [],
        "Messages that RabbitMQ has confirmed";
    BROKER_REFUSED: Counter, "broker_messages_refused", None, [],
        "Messages that RabbitMQ could not keep, and that are sent again";
    BROKER_CONSUMED: Counter, "broker_messages_consumed", None, [],
        "Messages received from the queue of tasks";
    BROKER_DEAD_LETTERS: Counter, "broker_dead_letters", None, [],
        "Messages laid aside in tasks.dead: no tasks, or failed for good";

    // Workers of this process: `worker.rs`
    WORKER_SLOTS: Gauge, "worker_slots", None, [],
        "Renders that may run at a time";
    WORKER_SLOTS_BUSY: Gauge, "worker_slots_busy", None, [],
        "Renders that run";
    WORKER_RENDER_SECONDS: Histogram, "worker_render_seconds", SECONDS, ["outcome"],
        "Time that each render kept its slot, however it ended";
    WORKER_ITERATIONS: Counter, "worker_iterations", None, [],
        "Escape steps asked for by the pictures rendered: width x height x iterations of each";
    WORKER_UNDELIVERED: Gauge, "worker_undelivered", None, [],
        "Results that no API node has taken yet; workers in a node's own process have none";

    // The process: `process.rs`
    BUILD: Info, "build", None, ["version"],
        "Which faafo this is";
    PROCESS_START_TIME: Gauge, "process_start_time_seconds", SECONDS, [],
        "When the node started, since 1970";
    PROCESS_CPU: Counter, "process_cpu_seconds", SECONDS, [],
        "Processor time of all threads";
    PROCESS_RESIDENT_MEMORY: Gauge, "process_resident_memory_bytes", BYTES, [],
        "Memory in use";
    PROCESS_OPEN_FDS: Gauge, "process_open_fds", None, [],
        "Files and connections open";
    PROCESS_MAX_FDS: Gauge, "process_max_fds", None, [],
        "Files and connections that may be open";
}

/// The table as `docs/metrics.md` has it.
pub fn markdown() -> String {
    let mut text = String::from("| name | type | labels | |\n|---|---|---|---|\n");
    for row in ALL {
        let (name, kind, help) = (row.full_name(), row.kind.as_str(), row.help);
        let labels: Vec<_> = row.labels.iter().map(|name| format!("`{name}`")).collect();
        let labels = labels.join(", ");
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_in_prometheuss_manner_and_met_once() {
        let mut names = BTreeSet::new();
        for row in ALL {
            assert!(names.insert(row.full_name()), "{} twice", row.name);
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(row.name.bytes().all(plain), "{}", row.name);
            let last = row.name.rsplit('_').next();
            let unit = row.unit.as_ref().map(Unit::as_str);
            let known = last.filter(|word| ["seconds", "bytes"].contains(word));
            assert_eq!(unit, known, "{}", row.name);
            assert!(
                !row.help.is_empty() && !row.help.ends_with('.'),
                "{}",
                row.name
            );
            // Nothing that would have to be escaped, in the text or in the documentation.
            assert!(!row.help.contains(['\\', '\n', '"', '|']), "{}", row.name);
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let documentation = include_str!("../../docs/metrics.md");
        let table = markdown();
        assert!(
            documentation.contains(&format!("\n\n{table}\n")),
            "docs/metrics.md has another table than this one, which belongs there:\n\n{table}"
        );
    }
}
