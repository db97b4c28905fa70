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

/// Where workers take tasks, renew, bring back, and claim.
const LEASES: [&str; 4] = [
    "/v1/leases",
    "/v1/leases/renew",
    "/v1/leases/return",
    "/v1/leases/claim",
];

/// Where fractals of other farms come in.
const IMPORT: &str = "/v1/import";

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
    let tiles = "/v1/tiles/{z}/{x}/{y}";
    let import = IMPORT;
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, png());
    // As the original has it: with no constant.
    let imported = but(
        small(),
        json!({"uuid": uuid(), "image": base64, "duration": 0.5, "generated_by": "old-worker",
               "c_re": null, "c_im": null}),
    );
    let (archive, wait) = ("/v1/images.zip", "/v1/fractal/{uuid}/wait");
    // No uuid comes before its beginning.
    let one_only = |op: &str| {
        let val = if op == "eq" { done_id } else { "0" };
        let q = json!({"filters": [{"name": "uuid", "op": op, "val": val}]});
        q.to_string().replace('"', "%22")
    };
    let (animations, animation) = ("/v1/animations", "/v1/animations/{id}");
    let moved = but(small(), json!({"frames": 2, "to_c_re": 0}));
    // Its form is that of an animation, but there is none.
    let none = format!("{animations}/00000000-0000-8002-8c80-000000000000");
    let at_tile = |tile: &str| format!("/v1/tiles/{tile}");
    let at = |route: &str, id: &str| route.replace("{uuid}", id);
    let search = |q: Value| format!("/v1/fractal?q={}", q.to_string().replace('"', "%22"));
    let named =
        |op: &str| json!({"filters": [{"name": "uuid", "op": op, "val": done_id}], "single": true});
    let large = vec![b' '; 70_000];
    let missing = uuid();
    let [leases, renew, back, claim] = LEASES;
    let worker = json!({"id": uuid(), "name": "w", "version": "1", "protocol": 1, "slots": 1,
                        "done": 0, "rate": 0});
    let other = but(worker.clone(), json!({"protocol": 0}));
    let nameless = but(worker.clone(), json!({"name": ""}));
    let poll = |worker: &Value, want: u32| json!({"worker": worker, "want": want, "wait": 0});
    vec![
        case("post", import, import, 201).json(&imported),
        case("post", import, import, 200).json(&imported),
        case("post", import, import, 400).json(&but(imported.clone(), json!({"image": null}))),
        case("post", import, import, 415).body("text/plain", "{}"),
        case("post", import, import, 422).json(&but(imported.clone(), json!({"width": 17}))),
        // While it does.
        case("get", wait, &at(wait, queued), 200),
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
            &search(json!({"single": true, "offset": 10000})),
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
        case(
            "get",
            image,
            &format!("{}?thumb=100", at(image, done_id)),
            422,
        ),
        case("get", archive, archive, 422),
        case("get", archive, &format!("{archive}?q={{"), 400),
        case(
            "get",
            archive,
            &format!("{archive}?q={}", one_only("eq")),
            200,
        ),
        case(
            "get",
            archive,
            &format!("{archive}?q={}", one_only("lt")),
            404,
        ),
        case("get", wait, &at(wait, &missing), 404),
        case("get", wait, &at(wait, done_id), 409),
        case("post", animations, animations, 400).body("application/json", "{"),
        case("post", animations, animations, 413).body("application/json", vec![b' '; 70_000]),
        case("post", animations, animations, 415).body("text/plain", "{}"),
        case("post", animations, animations, 422).json(&but(moved, json!({"frames": 1}))),
        case("get", animations, animations, 200),
        case("get", animation, &none, 404),
        case("delete", animation, &none, 404),
        case("get", "/v1/farm", "/v1/farm", 200),
        case("get", tiles, &at_tile("0/0/0.png?c_re=0&c_im=0"), 200),
        case("get", tiles, &at_tile("1/2/0.png?c_re=0&c_im=0"), 404),
        case("get", tiles, &at_tile("0/0/0.png?c_re=0"), 422),
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
        case("post", claim, claim, 200).json(&json!({"worker": worker, "uuids": [uuid()]})),
        case("post", claim, claim, 400).body("application/json", "{"),
        case("post", claim, claim, 409).json(&json!({"worker": other, "uuids": []})),
        case("post", claim, claim, 415).body("text/plain", "{}"),
        case("post", claim, claim, 422).json(&json!({"worker": nameless, "uuids": []})),
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
    fill(folder.path(), 1001);
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
    animations(&farm, &mut shown).await;
    // What names it is in the answer before.
    let tile = || farm.get("/v1/tiles/0/0/0.png?c_re=0&c_im=0");
    let tag = tile().send().await.unwrap().headers()["etag"].clone();
    let same = tile().header("If-None-Match", tag).send().await.unwrap();
    assert_eq!(same.status(), 304);
    shown.insert(("get".into(), "/v1/tiles/{z}/{x}/{y}".into(), 304));
    // `tests/tiles.rs` asks for more tiles than may wait; thumbnails stand in the same queue.
    shown.insert(("get".into(), "/fractal/{uuid}".into(), 429));
    shown.insert(("get".into(), "/v1/tiles/{z}/{x}/{y}".into(), 429));
    // The two that take their time, or a state of their own.
    while farm.create(&small()).await.status() == 201 {}
    assert_eq!(farm.create(&small()).await.status(), 429);
    shown.insert(("post".into(), "/v1/fractal".into(), 429));
    for path in ["/v1/fractal", "/v1/animations"] {
        let request = format!("POST {path}");
        let stays_away = answer_to(&farm, &request, "application/json", 9);
        assert_eq!(stays_away.await, "HTTP/1.1 408 Request Timeout");
        shown.insert(("post".into(), path.into(), 408));
    }
    let put = ("put".to_owned(), "/v1/fractal/{uuid}".to_owned());
    let path = format!("PUT /v1/fractal/{}", queued["uuid"].as_str().unwrap());
    let huge = answer_to(&farm, &path, "image/png", 100 << 20);
    assert_eq!(huge.await, "HTTP/1.1 413 Payload Too Large");
    shown.insert((put.0.clone(), put.1.clone(), 413));
    let silent = answer_to(&farm, &path, "image/png", 9).await;
    assert_eq!(silent, "HTTP/1.1 408 Request Timeout");
    shown.insert((put.0, put.1, 408));

    let slow = [&LEASES[..], &[IMPORT]].concat();
    futures_util::future::join_all(slow.iter().map(async |path| {
        let request = format!("POST {path}");
        let huge = answer_to(&farm, &request, "application/json", 100 << 20);
        assert_eq!(huge.await, "HTTP/1.1 413 Payload Too Large");
        let silent = answer_to(&farm, &request, "application/json", 9);
        assert_eq!(silent.await, "HTTP/1.1 408 Request Timeout");
    }))
    .await;
    for status in [413, 408] {
        shown.extend(
            slow.iter()
                .map(|path| ("post".into(), (*path).into(), status)),
        );
    }

    refuse_without_token(&openapi, &mut shown).await;

    let mut documented = documented(&openapi);
    documented.retain(|(_, _, status)| !NEEDS_A_BROKEN_SERVER.contains(status));
    assert_eq!(documented, shown);
}

/// A few frames from their acceptance to their end, in a farm where two fractals may wait and do.
async fn animations(farm: &Farm, shown: &mut BTreeSet<Operation>) {
    let (all, one) = ("/v1/animations", "/v1/animations/{id}");
    let mut show = |method: &str, route: &str, status| {
        shown.insert((method.to_owned(), route.to_owned(), status));
    };
    let moved = but(small(), json!({"frames": 2, "to_c_re": 0}));
    let post = || farm.post(all).json(&moved).send();
    let list = farm.search(json!({"filters": [{"name": "status", "op": "eq", "val": "queued"}]}));
    assert_eq!(post().await.unwrap().status(), 429);
    show("post", all, 429);
    for waiting in list.await {
        let path = format!("/v1/fractal/{waiting}");
        farm.delete(&path).send().await.unwrap();
    }
    let posted = post().await.unwrap();
    assert_eq!(posted.status(), 201);
    show("post", all, 201);
    let id = posted.json::<Value>().await.unwrap()["id"].clone();
    let path = format!("{all}/{}", id.as_str().unwrap());
    for number in 1..=2 {
        let uuid = format!("{}{number:03}", &id.as_str().unwrap()[..33]);
        let path = format!("/v1/fractal/{uuid}?duration=1&generated_by=me");
        let put = farm.put(&path).header("Content-Type", "image/png");
        assert_eq!(put.body(png()).send().await.unwrap().status(), 200);
    }
    assert_eq!(farm.get(&path).send().await.unwrap().status(), 200);
    show("get", one, 200);
    let file = || farm.get(&format!("{path}.zip"));
    let tag = file().send().await.unwrap().headers()["etag"].clone();
    let same = file().header("If-None-Match", tag).send().await.unwrap();
    assert_eq!(same.status(), 304);
    show("get", one, 304);
    // What only gigabytes of images bring about is made up.
    let conn = rusqlite::Connection::open(farm.data.join("faafo.db")).unwrap();
    let large = "UPDATE fractal SET size = 3000000000 WHERE uuid LIKE ?1 || '%'";
    conn.execute(large, [&id.as_str().unwrap()[..33]]).unwrap();
    assert_eq!(file().send().await.unwrap().status(), 422);
    show("get", one, 422);
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    show("delete", one, 204);
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

/// More rows that say they are done than an archive may have; there are no images of them.
fn fill(data: &std::path::Path, count: u32) {
    let conn = rusqlite::Connection::open(data.join("faafo.db")).unwrap();
    let made = conn.execute(
        "INSERT INTO fractal (uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, status,
                              checksum, size, duration, generated_by, created_at, finished_at)
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
         SELECT printf('ffffffff-0000-4000-8000-%012d', n), 16, 12, 32, -2, 2, -1.5, 1.5, 0, 0, 'done',
                'none', 1, 1, 'test', n, n FROM n",
        [count],
    );
    assert_eq!(made.unwrap(), count as usize);
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
