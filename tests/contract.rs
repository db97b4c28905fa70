//! Every route and status that `/v1/openapi.json` documents, provoked on a running farm.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::BTreeSet;

use common::{Farm, but, small, uuid};
use faafo::fractal::Palette;
use serde_json::{Value, json};

/// Statuses that need a broken or stopping server. `tests/disk.rs` provokes the 507, and a unit test
/// beside `ApiError` holds what each of the store's errors becomes.
const NEEDS_A_BROKEN_SERVER: [u16; 2] = [503, 507];

/// Where workers take tasks, renew, and bring back.
const LEASES: [&str; 3] = ["/v1/leases", "/v1/leases/renew", "/v1/leases/return"];

type Operation = (String, String, u16);

fn documented(openapi: &Value) -> BTreeSet<Operation> {
    let mut operations = BTreeSet::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                operations.insert((method.clone(), path.clone(), status.parse().unwrap()));
            }
        }
    }
    operations
}

/// A case: what is documented, and a request that brings it about.
struct Case {
    method: &'static str,
    route: &'static str,
    path: String,
    body: Option<(&'static str, Vec<u8>)>,
    header: Option<(&'static str, String)>,
    status: u16,
}

fn case(method: &'static str, route: &'static str, path: &str, status: u16) -> Case {
    Case {
        method,
        route,
        path: path.to_owned(),
        body: None,
        header: None,
        status,
    }
}

impl Case {
    fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", body.to_string().into_bytes()));
        self
    }

    fn body(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((kind, body.into()));
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.header = Some((name, value.to_owned()));
        self
    }
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::new(16, 12);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// `done`, `queued` and `failed` are fractals of those statuses.
fn cases(done: &Value, queued: &str, failed: &str) -> Vec<Case> {
    let (list, one, retry) = (
        "/v1/fractal",
        "/v1/fractal/{uuid}",
        "/v1/fractal/{uuid}/retry",
    );
    let image = "/fractal/{uuid}";
    let done_id = done["uuid"].as_str().unwrap();
    let at = |route: &str, id: &str| route.replace("{uuid}", id);
    let search = |q: Value| format!("/v1/fractal?q={}", q.to_string().replace('"', "%22"));
    let named =
        |op: &str| json!({"filters": [{"name": "uuid", "op": op, "val": done_id}], "single": true});
    let large = vec![b' '; 70_000];
    let missing = uuid();
    let [leases, renew, back] = LEASES;
    let worker = json!({"id": uuid(), "name": "w", "version": "1", "protocol": 1, "slots": 1,
                        "done": 0, "rate": 0});
    let other = but(worker.clone(), json!({"protocol": 0}));
    let nameless = but(worker.clone(), json!({"name": ""}));
    let poll = |worker: &Value, want: u32| json!({"worker": worker, "want": want, "wait": 0});
    vec![
        case("post", list, list, 201).json(&small()),
        case("post", list, list, 400).body("application/json", "{"),
        case("post", list, list, 413).body("application/json", large),
        case("post", list, list, 415).body("text/plain", "{}"),
        case("post", list, list, 422).json(&but(small(), json!({"width": 0}))),
        case("get", list, list, 200),
        case("get", list, &search(named("eq")), 200),
        case("get", list, &search(named("ne")), 400),
        case(
            "get",
            list,
            &search(json!({"single": true, "offset": 1000})),
            404,
        ),
        case("get", one, &at(one, done_id), 200),
        case("get", one, &at(one, &missing), 404),
        case("put", one, &at(one, done_id), 200).json(&json!({})),
        case("put", one, &at(one, queued), 400).json(&json!({"duration": 1})),
        case("put", one, &at(one, &missing), 404).json(&json!({})),
        case("put", one, &at(one, queued), 415).body("text/plain", ""),
        case("put", one, &at(one, queued), 422).body("image/png", "no image"),
        case(
            "put",
            one,
            &format!("{}?duration=1&generated_by=me", at(one, queued)),
            200,
        )
        .body("image/png", png()),
        case("get", image, &at(image, done_id), 200),
        case("get", image, &at(image, done_id), 304).header(
            "If-None-Match",
            &format!("\"{}\"", done["checksum"].as_str().unwrap()),
        ),
        case("get", image, &at(image, &missing), 404),
        case("post", retry, &at(retry, failed), 200),
        case("post", retry, &at(retry, &missing), 404),
        case("post", retry, &at(retry, done_id), 409),
        case("delete", one, &at(one, done_id), 204),
        case("delete", one, &at(one, &missing), 404),
        case("post", leases, leases, 200).json(&poll(&worker, 1)),
        case("post", leases, leases, 204).json(&poll(&worker, 0)),
        case("post", leases, leases, 400).body("application/json", "{"),
        case("post", leases, leases, 409).json(&poll(&other, 1)),
        case("post", leases, leases, 415).body("text/plain", "{}"),
        case("post", leases, leases, 422).json(&poll(&nameless, 1)),
        case("post", renew, renew, 200).json(&json!({"worker": worker, "leases": []})),
        case("post", renew, renew, 400).json(&json!({"worker": worker})),
        case("post", renew, renew, 409).json(&json!({"worker": other})),
        case("post", renew, renew, 415).body("text/plain", "{}"),
        case("post", renew, renew, 422).json(&json!({"worker": nameless, "leases": []})),
        case("post", back, back, 204).json(&json!({"worker": uuid(), "leases": []})),
        case("post", back, back, 400).json(&json!({})),
        case("post", back, back, 415).body("text/plain", "{}"),
        case("get", "/v1/workers", "/v1/workers", 200),
        case("get", "/v1/events", "/v1/events", 200),
        case("get", "/livez", "/livez", 200),
        case("get", "/readyz", "/readyz", 200),
        case("get", "/metrics", "/metrics", 200),
    ]
}

#[tokio::test]
async fn every_documented_route_and_status_is_what_the_server_answers() {
    let folder = tempfile::TempDir::new().unwrap();
    let (done, queued, failed) = {
        let farm = Farm::on(folder.path(), &["all"]);
        let new = farm.created().await;
        let done = farm.until(new["uuid"].as_str().unwrap(), "done").await;
        drop(farm);
        let farm = Farm::on(folder.path(), &["api"]);
        (done, farm.created().await, farm.created().await)
    };
    let failed = failed["uuid"].as_str().unwrap();
    fail(folder.path(), failed);
    let farm = Farm::on(folder.path(), &["api", "--max-queued", "2"]);
    let openapi: Value = farm
        .get("/v1/openapi.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        openapi["openapi"].as_str().unwrap().split('.').next(),
        Some("3")
    );

    palettes_are_described(&openapi["components"]["schemas"]);

    let mut shown = BTreeSet::new();
    for case in cases(&done, queued["uuid"].as_str().unwrap(), failed) {
        let mut request = farm.request(&case.method.to_uppercase(), &case.path);
        if let Some((kind, body)) = case.body {
            request = request.header("Content-Type", kind).body(body);
        }
        if let Some((name, value)) = case.header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let (method, path) = (case.method, &case.path);
        assert_eq!(response.status(), case.status, "{method} {path}");
        if response.status().is_client_error() {
            let error: Value = response.json().await.unwrap();
            assert!(error["message"].is_string(), "{method} {path}: {error}");
        }
        shown.insert((method.to_owned(), case.route.to_owned(), case.status));
    }
    // The two that take their time, or a state of their own.
    while farm.create(&small()).await.status() == 201 {}
    assert_eq!(farm.create(&small()).await.status(), 429);
    shown.insert(("post".into(), "/v1/fractal".into(), 429));
    let stays_away = answer_to(&farm, "POST /v1/fractal", "application/json", 9);
    assert_eq!(stays_away.await, "HTTP/1.1 408 Request Timeout");
    shown.insert(("post".into(), "/v1/fractal".into(), 408));
    let put = ("put".to_owned(), "/v1/fractal/{uuid}".to_owned());
    let path = format!("PUT /v1/fractal/{}", queued["uuid"].as_str().unwrap());
    let huge = answer_to(&farm, &path, "image/png", 100 << 20);
    assert_eq!(huge.await, "HTTP/1.1 413 Payload Too Large");
    shown.insert((put.0.clone(), put.1.clone(), 413));
    let silent = answer_to(&farm, &path, "image/png", 9).await;
    assert_eq!(silent, "HTTP/1.1 408 Request Timeout");
    shown.insert((put.0, put.1, 408));

    futures_util::future::join_all(LEASES.map(async |path| {
        let request = format!("POST {path}");
        let huge = answer_to(&farm, &request, "application/json", 100 << 20);
        assert_eq!(huge.await, "HTTP/1.1 413 Payload Too Large");
        let silent = answer_to(&farm, &request, "application/json", 9);
        assert_eq!(silent.await, "HTTP/1.1 408 Request Timeout");
    }))
    .await;
    shown.extend(LEASES.map(|path| ("post".into(), path.into(), 413)));
    shown.extend(LEASES.map(|path| ("post".into(), path.into(), 408)));

    refuse_without_token(&openapi, &mut shown).await;

    let mut documented = documented(&openapi);
    documented.retain(|(_, _, status)| !NEEDS_A_BROKEN_SERVER.contains(status));
    assert_eq!(documented, shown);
}

/// Every palette by its name, always told and never asked for.
fn palettes_are_described(schemas: &Value) {
    assert_eq!(
        schemas["Palette"]["enum"],
        json!(Palette::ALL.map(Palette::as_str))
    );
    let required = |name: &str| {
        let required = schemas[name]["required"].as_array().unwrap();
        assert!(schemas[name]["properties"]["palette"].is_object());
        required.contains(&json!("palette"))
    };
    assert!(required("FractalDoc"));
    assert!(!required("NewFractalDoc"));
}

/// Asks a farm that listens beyond loopback for whatever takes a token, with none and with the other
/// kind's.
async fn refuse_without_token(openapi: &Value, shown: &mut BTreeSet<Operation>) {
    let scheme = &openapi["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!(scheme["scheme"], "bearer");
    let farm = Farm::beyond(&["api"]);
    for (route, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let takes = &operation["security"];
            assert_eq!(takes.is_null(), method == "get", "{method} {route}");
            if takes.is_null() {
                continue;
            }
            // On loopback: nothing.
            assert_eq!(takes[0], json!({}));
            let other = match takes[1]["bearerAuth"][0].as_str() {
                Some("user") => farm.token("worker"),
                Some("worker") => farm.token("user"),
                kind => panic!("{method} {route}: {kind:?}"),
            };
            let path = route.replace("{uuid}", &uuid());
            let request = || farm.request(&method.to_uppercase(), &path);
            for (request, status) in [(request(), 401), (request().bearer_auth(other), 403)] {
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), status, "{method} {route}");
                let error: Value = response.json().await.unwrap();
                assert!(error["message"].is_string(), "{method} {route}: {error}");
                shown.insert((method.clone(), route.clone(), status));
            }
        }
    }
}

/// The first line that a request is answered with whose body never comes.
async fn answer_to(farm: &Farm, request: &str, kind: &str, length: usize) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let address = ("127.0.0.1", farm.port());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Content-Type: {kind}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let line = BufReader::new(stream).lines().next_line().await.unwrap();
    line.unwrap()
}

/// No picture fails by itself: the row is made to say so.
fn fail(data: &std::path::Path, uuid: &str) {
    let conn = rusqlite::Connection::open(data.join("faafo.db")).unwrap();
    let changed = conn.execute(
        "UPDATE fractal SET status = 'failed', attempts = 3, error = 'for the test' WHERE uuid = ?1",
        [uuid],
    );
    assert_eq!(changed.unwrap(), 1);
}
