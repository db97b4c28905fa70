//! Who may do what: reading is free, users write, workers deliver.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::body;
use super::error::ApiError;
use crate::tokens::{Keeper, Kind};
use crate::wire::ErrorDoc;

/// What tells those who may from those who may not.
#[derive(Default)]
pub struct Access {
    /// `None`: whoever gets here may do everything.
    keeper: Option<Keeper>,
    refusals: Refusals,
}

impl Access {
    pub fn new(keeper: Option<Keeper>) -> Access {
        Access {
            keeper,
            refusals: Refusals::default(),
        }
    }

    pub fn asks(&self) -> bool {
        self.keeper.is_some()
    }
}

/// The other end of a connection, in the extensions of its requests.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Whose token a request takes. A route that writes is the users' unless it stands here.
fn wanted(method: &Method, path: &str) -> Option<Kind> {
    if method.is_safe() {
        return None;
    }
    if path == "/v1/leases" || path.starts_with("/v1/leases/") {
        return Some(Kind::Worker);
    }
    let fractal = path.strip_prefix("/v1/fractal/");
    let delivers = method == Method::PUT && fractal.is_some_and(|rest| !rest.contains('/'));
    Some(if delivers { Kind::Worker } else { Kind::User })
}

/// Lets a request pass that needs no token, or has the right one.
pub async fn admit(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let Some(keeper) = &access.keeper else {
        return next.run(request).await;
    };
    let Some(wanted) = wanted(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    let token = presented(request.headers());
    let found = token.as_ref().and_then(|token| keeper.kind_of(token));
    if found == Some(wanted) {
        return next.run(request).await;
    }
    let denial = match (found, token) {
        (Some(_), _) => Denial::OfOtherKind,
        (None, Some(_)) => Denial::Unknown,
        (None, None) => Denial::Missing,
    };
    if let Some(Peer(peer)) = request.extensions().get()
        && access.refusals.is_news(*peer)
    {
        let (method, path) = (request.method(), request.uri().path());
        tracing::warn!(%peer, %method, path, "refused: {}", denial.log());
    }
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
    denial.answer(wanted)
}

/// The token that a request brings. As a password, too: the original's worker and client send what
/// stands before the `@` in their `endpoint_url` this way.
fn presented(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    pair.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[derive(Clone, Copy)]
enum Denial {
    Missing,
    Unknown,
    OfOtherKind,
}

impl Denial {
    fn log(self) -> &'static str {
        match self {
            Denial::Missing => "no token",
            Denial::Unknown => "a token that is not this farm's",
            Denial::OfOtherKind => "a token for something else",
        }
    }

    fn answer(self, wanted: Kind) -> Response {
        let (name, command) = (wanted.name(), wanted.command());
        let (status, challenge, message) = match self {
            Denial::Missing => (
                StatusCode::UNAUTHORIZED,
                "Bearer realm=\"faafo\"",
                format!(
                    "this takes the farm's {name} token, as `Authorization: Bearer TOKEN`; \
                     `{command}` prints it on the farm's machine"
                ),
            ),
            Denial::Unknown => (
                StatusCode::UNAUTHORIZED,
                "Bearer realm=\"faafo\", error=\"invalid_token\"",
                format!(
                    "this is not the farm's {name} token; `{command}` prints it on the farm's machine"
                ),
            ),
            Denial::OfOtherKind => (
                StatusCode::FORBIDDEN,
                "Bearer realm=\"faafo\", error=\"insufficient_scope\"",
                format!(
                    "{}; `{command}` prints the {name} token on the farm's machine",
                    match wanted {
                        Kind::User => "a worker token only delivers images",
                        Kind::Worker => "a user token takes no tasks and delivers no images",
                    }
                ),
            ),
        };
        let mut response = ApiError::new(status, message).into_response();
        let challenge = HeaderValue::from_static(challenge);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

/// Whom the log has told of: one line a peer and minute.
#[derive(Default)]
struct Refusals(Mutex<HashMap<IpAddr, Instant>>);

const QUIET: Duration = Duration::from_secs(60);

/// Peers remembered: more at a time are an attack, of which these lines tell enough.
const PEERS: usize = 256;

impl Refusals {
    fn is_news(&self, peer: IpAddr) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&peer).is_some_and(|at| at.elapsed() < QUIET) {
            return false;
        }
        told.retain(|_, at| at.elapsed() < QUIET);
        let room = told.len() < PEERS;
        if room {
            told.insert(peer, Instant::now());
        }
        room
    }
}

/// What a route that takes a token answers without it.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes; `Denial` is what answers")]
pub enum Denied {
    /// no token, or none of this farm's; on loopback none is asked for
    #[response(status = 401)]
    Unauthorized(#[to_schema] ErrorDoc),
    /// a token for something else, or a page of another site
    #[response(status = 403)]
    Forbidden(#[to_schema] ErrorDoc),
}

/// Adds the scheme by which tokens are sent to the description of the API.
pub struct TokenScheme;

impl utoipa::Modify for TokenScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token: `faafo token` prints that of users, who create, delete and retry; \
                 `faafo token --worker` that of workers, who take tasks and deliver images and may \
                 do nothing else. On loopback none is asked for, unless the server was given one.",
            ));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearerAuth", SecurityScheme::Http(scheme.build()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_is_the_users_but_for_deliveries() {
        for (method, path, kind) in [
            (Method::GET, "/v1/fractal", None),
            (Method::HEAD, "/", None),
            (Method::OPTIONS, "/v1/fractal/x", None),
            (Method::POST, "/v1/fractal", Some(Kind::User)),
            (Method::DELETE, "/v1/fractal/x", Some(Kind::User)),
            (Method::POST, "/v1/fractal/x/retry", Some(Kind::User)),
            (Method::POST, "/v1/import", Some(Kind::User)),
            (Method::PUT, "/v1/fractal/x", Some(Kind::Worker)),
            (Method::PUT, "/v1/fractal/x/retry", Some(Kind::User)),
            (Method::PUT, "/v1/fractal", Some(Kind::User)),
            (Method::POST, "/v1/leases", Some(Kind::Worker)),
            (Method::POST, "/v1/leases/renew", Some(Kind::Worker)),
            (Method::POST, "/v1/leasesome", Some(Kind::User)),
            (Method::GET, "/v1/workers", None),
            (Method::PATCH, "/anything/new", Some(Kind::User)),
        ] {
            assert_eq!(wanted(&method, path), kind, "{method} {path}");
        }
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_password() {
        let presented = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            presented(&headers)
        };
        assert_eq!(presented("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(presented("bearer   abc ").as_deref(), Some("abc"));
        // worker:a:bc
        assert_eq!(presented("Basic d29ya2VyOmE6YmM=").as_deref(), Some("a:bc"));
        for nothing in ["abc", "Digest abc", "Basic ###", "Basic YWJj"] {
            assert_eq!(presented(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn the_log_hears_of_a_peer_once_and_of_an_attack_little() {
        let refusals = Refusals::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        assert!(refusals.is_news(peer));
        assert!(!refusals.is_news(peer));
        let peers = (0..1000).map(|n: u32| IpAddr::from(n.to_be_bytes()));
        assert_eq!(peers.filter(|peer| refusals.is_news(*peer)).count(), 255);
    }
}
