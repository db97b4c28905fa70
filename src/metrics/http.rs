//! Requests: how many, of which routes, how they ended, and how long they took.

use std::fmt;
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Part, SOON, table};

#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Timed, Histogram>,
    in_flight: Gauge,
}

/// The route that a request found, such as `/fractal/{uuid}`; `other` if it found none, or was
/// refused before one was looked for.
#[derive(Clone, Debug)]
pub struct Route(pub Option<MatchedPath>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: Route,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    method: &'static str,
    route: Route,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        HttpMetrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SOON)),
            in_flight: Gauge::default(),
        }
    }
}

impl Part for HttpMetrics {
    fn register(&self, registry: &mut Registry) {
        table::HTTP_REQUESTS.register(registry, self.requests.clone());
        table::HTTP_REQUEST_SECONDS.register(registry, self.seconds.clone());
        table::HTTP_REQUESTS_IN_FLIGHT.register(registry, self.in_flight.clone());
    }
}

impl HttpMetrics {
    /// To be dropped when the answer begins, or its client has gone.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub fn answered(&self, method: &Method, route: Route, status: StatusCode, took: Duration) {
        let method = known(method);
        let timed = Timed { method, route };
        self.seconds
            .get_or_create(&timed)
            .observe(took.as_secs_f64());
        let answered = Answered {
            method,
            route: timed.route,
            status: status.as_u16(),
        };
        self.requests.get_or_create(&answered).inc();
    }
}

pub struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Clients may make up methods of their own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("other", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl std::hash::Hash for Route {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}
