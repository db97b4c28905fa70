//! `/livez` and `/readyz`: for those who start, watch and balance servers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::error::ApiError;
use crate::metrics::BrokerMetrics;
use crate::wire::{ErrorDoc, ReadyDoc};

/// The process is alive.
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "alive", body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// The server can do its work: the store answers, and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "ready; how many fractals there are of each status", body = ReadyDoc),
        (status = 503, description = "stopping, or the store does not answer", body = ErrorDoc),
    ))]
pub async fn readyz(State(api): State<Api>) -> Result<Json<ReadyDoc>, ApiError> {
    if api.stop.is_cancelled() {
        let message = "the server is stopping";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    api.farm.check().await?;
    let counts = *api.farm.counts().borrow();
    Ok(Json(ReadyDoc {
        counts: counts.into(),
        broker_connected: api.broker.as_ref().map(BrokerMetrics::is_connected),
        version: Some(env!("CARGO_PKG_VERSION").into()),
    }))
}
