//! `/v1/leases`: workers take tasks, say that they are still at it, and bring back what they will
//! not carry out. Images they deliver by `PUT /v1/fractal/{uuid}`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Api;
use super::access::Denied;
use super::body::{self, Unread};
use super::error::ApiError;
use crate::lessor::{Claimed, Lent, Returned, Unlent, Wanted};
use crate::roster::Announced;
use crate::wire::ErrorDoc;
use crate::wire::lease::{
    AnnounceDoc, ClaimDoc, ClaimedDoc, LentDoc, OLDEST_PROTOCOL, PROTOCOL, PollDoc, RenewDoc,
    RenewedDoc, ReturnDoc, TaskDoc, WorkersDoc,
};

/// Longest wait for a task: proxies cut off what is silent for half a minute.
const WAIT: f64 = 25.0;

/// Most bytes of a worker's document: a thousand slots hold some thousands of leases.
const DOC_BYTES: usize = 1 << 20;

/// A worker has this long to send one.
const DOC_TIME: Duration = Duration::from_secs(10);

/// Longest name of a worker or a version.
const NAME_CHARS: usize = 256;

/// Most slots of a worker.
const SLOTS: u32 = 1024;

/// Most tasks of a claim.
const CLAIMED: usize = 1024;

/// Workers on one list.
const LISTED: usize = 1000;

/// What a worker's document is answered if the farm cannot make sense of it.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes; `ApiError` is what answers")]
enum Misunderstood {
    /// not JSON, or a field missing
    #[response(status = 400)]
    Document(#[to_schema] ErrorDoc),
    /// worker and farm do not understand each other: one is too old
    #[response(status = 409)]
    Protocol(#[to_schema] ErrorDoc),
    /// a field's value is refused
    #[response(status = 422)]
    Value(#[to_schema] ErrorDoc),
}

/// Take tasks. Answered as soon as there is one, and at the latest after `wait` seconds.
#[utoipa::path(post, path = "/v1/leases", tag = "workers",
    request_body = PollDoc,
    security((), ("bearerAuth" = ["worker"])),
    responses(
        (status = 200, description = "tasks, which are that worker's until it is silent for lease_seconds", body = LentDoc),
        (status = 204, description = "nothing is waiting"),
        Misunderstood,
        Unread,
        (status = 503, description = "the server is stopping, or too many workers wait", body = ErrorDoc),
        Denied,
    ))]
pub async fn lease(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let doc: PollDoc = document(&headers, body).await?;
    // They hold on to the memory that the whole request was read into.
    drop(headers);
    let worker = doc.worker.id;
    api.lessor.announce(checked(doc.worker)?);
    let wanted = Wanted {
        now: doc.want as usize,
        spare: doc.spare as usize,
    };
    let wait = if doc.wait.is_finite() { doc.wait } else { 0.0 };
    let wait = Duration::from_secs_f64(wait.clamp(0.0, WAIT));
    let lent = api.lessor.lend(worker, wanted, wait).await;
    api.lessor.roster().heard(worker);
    let lent = lent.map_err(|unlent| {
        let message = unlent.to_string();
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message);
        error.retry_after(match unlent {
            Unlent::Crowded => 10,
            Unlent::Stopping => 1,
        })
    })?;
    if lent.tasks().is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let doc = LentDoc {
        lease_seconds: api.lessor.time().as_secs_f64(),
        tasks: tasks(&lent),
    };
    Ok(lent_as(lent, &doc))
}

/// Take the tasks that a message broker has handed out: those of them for which there is something to
/// do.
#[utoipa::path(post, path = "/v1/leases/claim", tag = "workers",
    request_body = ClaimDoc,
    security((), ("bearerAuth" = ["worker"])),
    responses(
        (status = 200, description = "which of them are that worker's until it is silent for lease_seconds", body = ClaimedDoc),
        Misunderstood,
        Unread,
        (status = 503, description = "the server is stopping, or its store is busy", body = ErrorDoc),
        Denied,
    ))]
pub async fn claim(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let doc: ClaimDoc = document(&headers, body).await?;
    if doc.uuids.len() > CLAIMED {
        let message = format!("{} uuids are too many: {CLAIMED} at most", doc.uuids.len());
        return Err(ApiError::refused("uuids", message));
    }
    if api.stop.is_cancelled() {
        let message = "the server is stopping";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message);
        return Err(error.retry_after(1));
    }
    let worker = doc.worker.id;
    api.lessor.announce(checked(doc.worker)?);
    let Claimed {
        lent,
        settled,
        unknown,
    } = api.lessor.claim(worker, doc.uuids).await?;
    let doc = ClaimedDoc {
        lease_seconds: api.lessor.time().as_secs_f64(),
        tasks: tasks(&lent),
        settled,
        unknown,
    };
    Ok(lent_as(lent, &doc))
}

fn tasks(lent: &Lent) -> Vec<TaskDoc> {
    let tasks = lent.tasks().iter();
    tasks
        .map(|(lease, task)| TaskDoc::new(*lease, task))
        .collect()
}

fn lent_as(lent: Lent, doc: &impl Serialize) -> Response {
    // Numbers and names always serialise.
    let bytes = Bytes::from(serde_json::to_vec(doc).unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LENGTH, bytes.len().to_string()),
    ];
    (headers, held_until_sent(lent, bytes)).into_response()
}

/// A body that gives the tasks back if nobody comes for it.
fn held_until_sent(lent: Lent, bytes: Bytes) -> Body {
    Body::from_stream(stream::once(async move {
        lent.sent();
        Ok::<_, std::convert::Infallible>(bytes)
    }))
}

/// Say what is still being rendered, and how far it is; learn what is no longer wanted. All at once,
/// as often as the answer says.
#[utoipa::path(post, path = "/v1/leases/renew", tag = "workers",
    request_body = RenewDoc,
    security((), ("bearerAuth" = ["worker"])),
    responses(
        (status = 200, description = "renewed, but for those that are gone", body = RenewedDoc),
        Misunderstood,
        Unread,
        Denied,
    ))]
pub async fn renew(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RenewedDoc>, ApiError> {
    let doc: RenewDoc = document(&headers, body).await?;
    let worker = doc.worker.id;
    api.lessor.announce(checked(doc.worker)?);
    let held: Vec<_> = doc.leases.iter().map(Into::into).collect();
    let gone = api.lessor.renew(worker, &held).await;
    for task in doc.leases {
        if let Some(fraction) = task.fraction
            && !gone.contains(&task.lease)
        {
            api.farm.report(task.row, fraction);
        }
    }
    Ok(Json(RenewedDoc {
        gone,
        next_seconds: api.lessor.pace().as_secs_f64(),
    }))
}

/// Bring back tasks that failed, or will not be carried out. Leases that are not that worker's are
/// left alone.
#[utoipa::path(post, path = "/v1/leases/return", tag = "workers",
    request_body = ReturnDoc,
    security((), ("bearerAuth" = ["worker"])),
    responses(
        (status = 204, description = "they wait for others, or have failed"),
        (status = 400, description = "not JSON, or a field missing", body = ErrorDoc),
        Unread,
        Denied,
    ))]
pub async fn give_back(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let doc: ReturnDoc = parse(&read(&headers, body).await?)?;
    let returned = doc.leases.into_iter().map(|task| Returned {
        lease: task.lease,
        // It becomes the row's.
        failure: task.failure.map(|why| why.chars().take(1000).collect()),
    });
    api.lessor.take_back(doc.worker, returned.collect()).await;
    if doc.leaves {
        api.lessor.dismiss(doc.worker).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who works for the farm. Who says nothing for 30 s is gone. Of several API nodes on one message
/// broker each knows the workers of all; without a broker, those that speak to it.
#[utoipa::path(get, path = "/v1/workers", tag = "workers",
    responses((status = 200, description = "the workers, by name", body = WorkersDoc)))]
pub async fn workers(State(api): State<Api>) -> Json<WorkersDoc> {
    let rendering = api.farm.leases().rendering();
    let (num_results, workers) = api.lessor.roster().workers(rendering);
    Json(WorkersDoc {
        num_results,
        objects: workers.into_iter().take(LISTED).map(Into::into).collect(),
    })
}

/// Reads a document of a worker that speaks the farm's language: before anything else is made of it.
async fn document<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Hello {
        worker: Speaker,
    }
    #[derive(Deserialize)]
    struct Speaker {
        protocol: u32,
        #[serde(default)]
        name: String,
        #[serde(default)]
        version: String,
    }
    let bytes = read(headers, body).await?;
    let Hello { worker } = parse(&bytes)?;
    if (OLDEST_PROTOCOL..=PROTOCOL).contains(&worker.protocol) {
        return parse(&bytes);
    }
    let older = worker.protocol < OLDEST_PROTOCOL;
    let upgrade = if older { "the worker" } else { "the farm" };
    let short = |text: &str| text.chars().take(64).collect::<String>();
    Err(ApiError::new(
        StatusCode::CONFLICT,
        format!(
            "the worker {} (faafo {}) speaks protocol {}, this farm (faafo {}) {}: upgrade {upgrade}",
            short(&worker.name),
            short(&worker.version),
            worker.protocol,
            env!("CARGO_PKG_VERSION"),
            match OLDEST_PROTOCOL == PROTOCOL {
                true => PROTOCOL.to_string(),
                false => format!("{OLDEST_PROTOCOL} to {PROTOCOL}"),
            },
        ),
    ))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    if body::content_type(headers) != "application/json" {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the document as application/json",
        ));
    }
    body::read(headers, body, DOC_BYTES, DOC_TIME).await
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("Unable to decode data: {error}")))
}

fn checked(doc: AnnounceDoc) -> Result<Announced, ApiError> {
    for (field, text) in [("name", &doc.name), ("version", &doc.version)] {
        if text.is_empty() || text.chars().count() > NAME_CHARS {
            let message = format!("{field} must have 1 to {NAME_CHARS} characters");
            return Err(ApiError::refused(field, message));
        }
    }
    if !(1..=SLOTS).contains(&doc.slots) {
        let message = format!("slots is {}, but must be from 1 to {SLOTS}", doc.slots);
        return Err(ApiError::refused("slots", message));
    }
    Ok(Announced {
        id: doc.id,
        name: doc.name,
        version: doc.version,
        slots: doc.slots,
        done: doc.done,
        rate: doc.rate,
    })
}
