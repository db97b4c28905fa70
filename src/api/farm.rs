//! `GET /v1/farm`: how the farm does, and has done; and why a fractal waits.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;

use super::Api;
use super::error::{ApiError, Unavailable};
use super::fractals::find;
use crate::fractal::Status;
use crate::history::{PACE, Sample};
use crate::store::Search;
use crate::store::search::{Column, Comparison, Filter, Value};
use crate::wire::{ErrorDoc, FarmDoc, SampleDoc, WaitDoc};

/// How the farm does, and what it did in the last hour, as far as this server has seen it.
#[utoipa::path(get, path = "/v1/farm", tag = "workers",
    responses(
        (status = 200, description = "the farm", body = FarmDoc),
        Unavailable,
    ))]
pub async fn farm(State(api): State<Api>) -> Result<Json<FarmDoc>, ApiError> {
    let counts = *api.farm.counts().borrow();
    let oldest = match counts.queued {
        0 => None,
        _ => api.farm.oldest_waiting().await?,
    };
    let waited = |since: Timestamp| {
        since
            .duration_until(Timestamp::now())
            .as_secs_f64()
            .max(0.0)
    };
    Ok(Json(FarmDoc {
        counts: counts.into(),
        slots: api.lessor.roster().slots(),
        rate: api.history.rate(),
        oldest_waiting_seconds: oldest.map(waited),
        interval_seconds: PACE.as_secs_f64(),
        samples: api
            .history
            .samples()
            .into_iter()
            .map(SampleDoc::from)
            .collect(),
    }))
}

impl From<Sample> for SampleDoc {
    fn from(sample: Sample) -> Self {
        SampleDoc {
            at: format!("{:.3}", sample.at()),
            queued: sample.queued,
            running: sample.running,
            done: sample.done,
            failed: sample.failed,
        }
    }
}

/// Why a fractal waits.
#[utoipa::path(get, path = "/v1/fractal/{uuid}/wait", tag = "fractals",
    params(("uuid" = Uuid, Path)),
    responses(
        (status = 200, description = "how many are before it, who works, and about how long it takes", body = WaitDoc),
        (status = 404, description = "there is none", body = ErrorDoc),
        (status = 409, description = "it does not wait", body = ErrorDoc),
        Unavailable,
    ))]
pub async fn wait(
    State(api): State<Api>,
    Path(uuid): Path<String>,
) -> Result<Json<WaitDoc>, ApiError> {
    let fractal = find(&api, &uuid).await?;
    if fractal.status != Status::Queued {
        let message = format!("the fractal is {}: it does not wait", fractal.status);
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    let queued = Value::Text(Status::Queued.as_str().into());
    let accepted = Value::Integer(fractal.created_at.as_millisecond());
    let search = Search {
        filter: Filter::And(vec![
            Filter::Value(Column::Status, Comparison::Eq, queued),
            Filter::Value(Column::CreatedAt, Comparison::Lt, accepted),
        ]),
        ..Search::default()
    };
    let before = api.farm.search(search, 0, 0).await?.total;
    let slots = api.lessor.roster().slots();
    let running = api.farm.counts().borrow().running;
    let duration = api.history.duration();
    let seconds = duration.and_then(|duration| estimate(before, running, slots, duration));
    Ok(Json(WaitDoc {
        reason: reason(before, slots, seconds),
        before,
        slots,
        seconds,
    }))
}

/// About how many seconds it takes until one is done that has so many before it, where a picture
/// takes `duration`. What was done a minute would say less: it has idle time in it, and of several nodes
/// each counts what came to itself.
fn estimate(before: u64, running: u64, slots: u64, duration: f64) -> Option<f64> {
    if slots == 0 {
        return None;
    }
    // What runs is about half done.
    let ahead = before as f64 + running as f64 / 2.0 + 1.0;
    // However many others there are, one slot has to render it.
    Some((ahead / slots as f64).max(1.0) * duration)
}

fn reason(before: u64, slots: u64, seconds: Option<f64>) -> String {
    let mut reason = match before {
        0 => "it is the next".to_owned(),
        n => format!("{n} before it"),
    };
    match slots {
        0 => reason.push_str(", and no worker is there: `faafo worker` starts one"),
        1 => reason.push_str(", one render at a time"),
        n => reason.push_str(&format!(", {n} renders at a time")),
    }
    if let Some(seconds) = seconds {
        reason.push_str(&match seconds {
            s if s < 1.5 => ", about a second".to_owned(),
            s if s < 90.0 => format!(", about {s:.0} s"),
            s if s < 5400.0 => format!(", about {:.0} minutes", s / 60.0),
            s => format!(", about {:.0} hours", s / 3600.0),
        });
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::{estimate, reason};

    #[test]
    fn the_estimate_shares_what_is_ahead_among_all_slots() {
        assert_eq!(estimate(10, 2, 0, 3.0), None);
        assert_eq!(estimate(0, 0, 2, 3.0), Some(3.0));
        assert_eq!(estimate(0, 0, 100, 3.0), Some(3.0));
        assert_eq!(estimate(10, 2, 2, 3.0), Some(18.0));
        assert_eq!(estimate(999, 0, 100, 0.5), Some(5.0));
    }

    #[test]
    fn the_reason_is_one_plain_line() {
        for (before, slots, seconds, said) in [
            (
                12,
                3,
                Some(4.2),
                "12 before it, 3 renders at a time, about 4 s",
            ),
            (
                0,
                1,
                Some(0.2),
                "it is the next, one render at a time, about a second",
            ),
            (5, 2, None, "5 before it, 2 renders at a time"),
            (
                1,
                2,
                Some(600.0),
                "1 before it, 2 renders at a time, about 10 minutes",
            ),
            (
                9,
                4,
                Some(7300.0),
                "9 before it, 4 renders at a time, about 2 hours",
            ),
            (
                0,
                0,
                None,
                "it is the next, and no worker is there: `faafo worker` starts one",
            ),
        ] {
            assert_eq!(reason(before, slots, seconds), said);
        }
    }
}
