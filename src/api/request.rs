//! What every request goes through: an id, a line in the log, and a guard for the browser's sake.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::error::ApiError;
use super::{Access, Way};
use crate::metrics::{HttpMetrics, Route};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, or keeps the one that a proxy gave it; logs and counts how it ended.
///
/// Writes and errors are logged at the usual level, what only reads or polls at `debug`; and so is who lacks
/// a token, of which [`super::access`] tells as much as is good.
pub async fn identify(
    State(metrics): State<Arc<HttpMetrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let in_flight = metrics.begin();
    let id = given_id(request.headers()).unwrap_or_else(new_id);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let found = FoundRoute::default();
    request.extensions_mut().insert(found.clone());
    // As often as workers ask for more; ten thousand of them wait in such a span.
    let polls = path.starts_with("/v1/leases");
    let name = id.to_str().unwrap_or_default();
    let span = if polls {
        tracing::debug_span!("request", id = name)
    } else {
        tracing::info_span!("request", id = name)
    };
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    let took = begun.elapsed();
    drop(in_flight);
    metrics.answered(&method, Route(found.0.get().cloned()), status, took);
    let ms = took.as_secs_f64() * 1e3;
    let _in_span = span.enter();
    if status.is_server_error() {
        tracing::error!(%method, path, status = status.as_u16(), ms, "answered");
    } else if status == StatusCode::UNAUTHORIZED {
        tracing::debug!(%method, path, status = status.as_u16(), ms, "answered");
    } else if status.is_client_error() || !(method.is_safe() || polls) {
        tracing::info!(%method, path, status = status.as_u16(), ms, "answered");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), ms, "answered");
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The route of a request, once one is found. Not in the answer, which may be made anew on its way.
#[derive(Clone, Default)]
struct FoundRoute(Arc<OnceLock<MatchedPath>>);

/// Tells [`identify`] the route: that stands around the whole router, where none is found yet.
pub async fn note_route(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(found), Some(route)) = (
        extensions.get::<FoundRoute>(),
        extensions.get::<MatchedPath>(),
    ) {
        // A request finds one route.
        let _ = found.0.set(route.clone());
    }
    next.run(request).await
}

fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let fits = (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain);
    fits.then(|| id.clone())
}

fn new_id() -> HeaderValue {
    static START: LazyLock<u32> = LazyLock::new(rand::random);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::try_from(format!("{:08x}-{count:x}", *START))
        .unwrap_or(HeaderValue::from_static("-"))
}

/// Keeps other sites' pages, open in a browser on this machine, from writing.
///
/// Browsers send `Origin` with such requests; and a site that points its own name at this machine
/// still sends that name as `Host`. Where tokens are asked for a server may have any name: such a
/// site has no token.
pub async fn guard(
    State((access, way)): State<(Arc<Access>, Way)>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if !request.method().is_safe() {
        let host = way.host(headers).unwrap_or_default();
        if !access.asks() && !is_own_name(host) {
            let message = format!("requests that write must name this host, not {host:?}");
            return ApiError::new(StatusCode::FORBIDDEN, message).into_response();
        }
        let origin = text(headers, header::ORIGIN);
        if let Some(origin) = origin.filter(|origin| !is_page_of(host, origin)) {
            let message = format!("pages of {origin} may not write here");
            return ApiError::new(StatusCode::FORBIDDEN, message).into_response();
        }
    }
    next.run(request).await
}

fn is_page_of(host: &str, origin: &str) -> bool {
    let name = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    name == Some(host)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Names that no other site can have: addresses, and `localhost`. Clients older than HTTP/1.1 send
/// none.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok()
}

/// Turns the framework's own answers into this API's: a document for every error, and the methods of
/// a route for OPTIONS.
pub async fn dress(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), shortened(request.uri().path()));
    let response = next.run(request).await;
    match response.status() {
        StatusCode::NOT_FOUND if !response.headers().contains_key(header::CONTENT_TYPE) => {
            let message = format!("there is nothing at {path}");
            ApiError::new(StatusCode::NOT_FOUND, message).into_response()
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let mut dressed = match method {
                Method::OPTIONS => StatusCode::OK.into_response(),
                method => {
                    let message = format!("{path} does not take {method}");
                    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response()
                }
            };
            if let Some(allow) = response.headers().get(header::ALLOW) {
                let allow = format!("{},OPTIONS", allow.to_str().unwrap_or_default());
                if let Ok(allow) = HeaderValue::try_from(allow) {
                    dressed.headers_mut().insert(header::ALLOW, allow);
                }
            }
            dressed
        }
        // What an extractor refused by itself, such as an address that is no UTF-8.
        status if status.is_client_error() && is_plain_text(&response) => {
            ApiError::new(status, "the request makes no sense").into_response()
        }
        _ => response,
    }
}

/// Enough of an address to know it by.
fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}

fn is_plain_text(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
}
