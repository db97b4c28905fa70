//! `GET /metrics`: for Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;

use super::Api;
use crate::fractal::Status;
use crate::metrics::{CONTENT_TYPE, Moment};

/// Longest wait for the store: a scrape is worth more than one of its numbers.
const STORE_TIME: Duration = Duration::from_millis(500);

/// What the server counts and times, as OpenMetrics text. `docs/metrics.md` says what there is.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "all metrics",
        content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let counts = *api.farm.counts().borrow();
    let moment = Moment {
        fractals: Some(Status::ALL.map(|status| (status, counts.of(status)))),
        oldest: match counts.queued {
            0 => Some(Duration::ZERO),
            _ => oldest(&api).await,
        },
        listeners: Some(api.hub.listeners()),
        leases: Some(api.farm.leases().count()),
        announced: Some(api.lessor.roster().announced()),
        // Its own workers hand theirs over at once.
        undelivered: Some(0),
    };
    let text = api.metrics.text(&moment);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}

/// How long the oldest of the waiting fractals has waited, if the store tells in time.
async fn oldest(api: &Api) -> Option<Duration> {
    let told = tokio::time::timeout(STORE_TIME, api.farm.oldest_waiting()).await;
    match told.ok()?.ok()? {
        // A clock that was set back makes nothing younger than new.
        Some(accepted) => Some(
            accepted
                .duration_until(Timestamp::now())
                .try_into()
                .unwrap_or_default(),
        ),
        None => Some(Duration::ZERO),
    }
}
