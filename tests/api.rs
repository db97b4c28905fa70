//! The HTTP API against a running farm: what it takes, what it refuses, what it answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{Farm, but, small, uuid};
use faafo::fractal::Palette;
use serde_json::{Value, json};

/// A PNG of `width` x `height` in RGB, as workers of the original make it.
fn rgb_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([32, 16, 8]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A PNG that says its bytes are places in a palette, and has none.
fn png_without_palette() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 12);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![0; 3]);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0; 16 * 12]).unwrap();
    writer.finish().unwrap();
    let palette = bytes.windows(4).position(|four| four == b"PLTE").unwrap();
    // Length, name, three bytes, check sum.
    bytes.drain(palette - 4..palette + 4 + 3 + 4);
    bytes
}

/// What a worker of the original sends for an image.
fn delivery(png: &[u8]) -> Value {
    json!({"image": BASE64_STANDARD.encode(png), "checksum": common::sha256(png),
           "size": png.len(), "duration": 0.5, "generated_by": "worker-1"})
}

#[tokio::test]
async fn a_fractal_is_accepted_rendered_and_served() {
    let farm = Farm::all();
    let id = uuid();
    let response = farm.create(&but(small(), json!({"uuid": id}))).await;
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(location, farm.url(&format!("/v1/fractal/{id}")));
    let new: Value = response.json().await.unwrap();
    assert_eq!(new["status"], "queued");
    assert_eq!(new["xa"], -2.0);
    for field in [
        "checksum",
        "size",
        "duration",
        "generated_by",
        "url",
        "progress",
    ] {
        assert_eq!(new[field], Value::Null, "{field}");
    }

    let done = farm.until(&id, "done").await;
    let image = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
    assert_eq!(image.status(), 200);
    assert_eq!(image.headers()["content-type"], "image/png");
    let cache = image.headers()["cache-control"].to_str().unwrap();
    assert!(cache.contains("immutable"), "{cache}");
    let tag = image.headers()["etag"].clone();
    let png = image.bytes().await.unwrap();
    assert_eq!(done["checksum"], common::sha256(&png));
    assert_eq!(done["size"], png.len());
    assert_eq!(done["attempts"], 1);
    assert!(done["duration"].as_f64().unwrap() > 0.0);
    let decoded = image::load_from_memory(&png).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (16, 12));

    let path = format!("/fractal/{id}");
    let again = farm.get(&path).header("If-None-Match", &tag).send().await;
    assert_eq!(again.unwrap().status(), 304);
    let other = farm
        .get(&path)
        .header("If-None-Match", "\"0\"")
        .send()
        .await;
    assert_eq!(other.unwrap().status(), 200);
    let head = farm.request("HEAD", &path).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], png.len().to_string());
    assert_eq!(head.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn coordinates_come_back_to_the_last_bit() {
    let farm = Farm::api();
    let exact = json!({"xa": -2.345678901234568, "xb": 1.5275031186434347, "ya": -5e-324,
                       "yb": 0.1, "c_re": 1e-13, "c_im": -0.1});
    let new = farm.create(&but(small(), exact.clone())).await;
    let new: Value = new.json().await.unwrap();
    let shown = farm.show(new["uuid"].as_str().unwrap()).await;
    for (field, value) in exact.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_fractal_has_the_palette_that_was_asked_for() {
    let farm = Farm::all();
    let mut images = HashSet::new();
    for palette in Palette::ALL {
        let fractal = but(small(), json!({"palette": palette, "width": 120}));
        let new = farm.create(&fractal).await;
        assert_eq!(new.status(), 201);
        let new: Value = new.json().await.unwrap();
        assert_eq!(new["palette"], palette.as_str());
        let id = new["uuid"].as_str().unwrap();
        let done = farm.until(id, "done").await;
        assert_eq!(done["palette"], palette.as_str());
        images.insert(done["checksum"].to_string());
    }
    assert_eq!(images.len(), Palette::ALL.len());
    assert_eq!(farm.created().await["palette"], "classic");
    let mut null = small();
    null["palette"] = Value::Null;
    assert_eq!(farm.create(&null).await.status(), 201);

    let named = |names: &[&str]| json!([{"name": "palette", "op": "in", "val": names}]);
    let q = json!({"filters": named(&["magma", "turbo", "viridis"]),
                   "order_by": [{"field": "palette", "direction": "desc"}]});
    let found = farm.list(&[("q", &q.to_string())]).await;
    let found = found["objects"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|object| object["palette"].clone()).collect();
    assert_eq!(found, ["viridis", "turbo", "magma"]);
    let q = json!({"filters": named(&["rainbow"])});
    assert_eq!(farm.search(q).await, [""; 0]);
}

#[tokio::test]
async fn an_unknown_palette_is_answered_with_those_there_are() {
    let farm = Farm::api();
    let rainbow = but(small(), json!({"palette": "rainbow"}));
    let error: Value = farm.create(&rainbow).await.json().await.unwrap();
    assert_eq!(
        error,
        json!({"field": "palette",
               "message": "palette is \"rainbow\", but must be one of classic, viridis, magma, \
                           inferno, plasma, cividis, twilight, turbo"})
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_field_and_limit() {
    let farm = Farm::api();
    let cases = [
        (json!({"width": 0}), 422, "width"),
        (json!({"width": 20_001}), 422, "width"),
        (json!({"width": 1.5}), 422, "width"),
        (json!({"width": "64"}), 422, "width"),
        (json!({"width": true}), 422, "width"),
        (json!({"width": [1]}), 422, "width"),
        (json!({"height": -5}), 422, "height"),
        (json!({"height": 1u64 << 63}), 422, "height"),
        (json!({"height": 1e300}), 422, "height"),
        (json!({"iterations": 1_000_001}), 422, "iterations"),
        (json!({"width": 20_000, "height": 20_000}), 422, "width"),
        (
            json!({"width": 10_000, "height": 10_000, "iterations": 20_000}),
            422,
            "iterations",
        ),
        (json!({"xa": "abc"}), 422, "xa"),
        (json!({"c_re": null}), 422, "c_re"),
        (json!({"uuid": 12345}), 422, "uuid"),
        (json!({"uuid": ""}), 422, "uuid"),
        (json!({"uuid": "a/b"}), 422, "uuid"),
        (json!({"checksum": "abc"}), 422, "checksum"),
        (json!({"image": "abc"}), 422, "image"),
        (json!({"status": "done"}), 422, "status"),
        (json!({"progress": 0.5}), 422, "progress"),
        (json!({"palette": "rainbow"}), 422, "palette"),
        (json!({"palette": "Magma"}), 422, "palette"),
        (json!({"palette": ""}), 422, "palette"),
        (json!({"palette": 3}), 422, "palette"),
        (json!({"palette": "x".repeat(5000)}), 422, "palette"),
        (json!({"width": null}), 400, "width"),
        (json!({"yb": null}), 400, "yb"),
        (json!({"colour": "red"}), 400, "colour"),
    ];
    for (change, status, field) in cases {
        let response = farm.create(&but(small(), change.clone())).await;
        assert_eq!(response.status(), status, "{change}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["field"], field, "{change}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(field), "{change}: {message}");
    }
    let bodies = [
        ("", 400),
        ("{", 400),
        ("{} {}", 400),
        ("[1]", 400),
        ("5", 400),
        ("\"str\"", 400),
        ("{}", 400),
        ("null", 400),
        ("[]", 400),
        ("{\"width\": NaN}", 400),
        ("{\"width\": 1e999}", 400),
        ("\u{fffd}", 400),
    ];
    for (body, status) in bodies {
        let json = farm
            .post("/v1/fractal")
            .header("Content-Type", "application/json");
        let response = json.body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        let error: Value = response.json().await.unwrap();
        assert!(error["message"].is_string(), "{body}");
    }
    let untyped = farm.post("/v1/fractal").body(small().to_string());
    assert_eq!(untyped.send().await.unwrap().status(), 415);
    let charset = farm
        .post("/v1/fractal")
        .header("Content-Type", "application/json; charset=utf-8");
    let charset = charset.body(small().to_string()).send().await.unwrap();
    assert_eq!(charset.status(), 201);
    assert_eq!(farm.counts().await["queued"], 1);
}

#[tokio::test]
async fn a_uuid_is_taken_once() {
    let farm = Farm::api();
    let id = uuid();
    let fractal = but(small(), json!({"uuid": id}));
    assert_eq!(farm.create(&fractal).await.status(), 201);
    let again = farm.create(&fractal).await;
    assert_eq!(again.status(), 400);
    assert_eq!(again.json::<Value>().await.unwrap()["field"], "uuid");
    let upper = but(small(), json!({"uuid": id.to_uppercase()}));
    assert_eq!(farm.create(&upper).await.status(), 400);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_a_404_that_says_why() {
    let farm = Farm::api();
    let new = farm.created().await;
    let path = format!("/fractal/{}", new["uuid"].as_str().unwrap());
    let pending = farm.get(&path).send().await.unwrap();
    assert_eq!(pending.status(), 404);
    assert!(pending.headers().contains_key("retry-after"));
    assert_eq!(pending.json::<Value>().await.unwrap()["status"], "queued");
    let broken = farm.get("/v1/fractal/%FF").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert!(broken.json::<Value>().await.unwrap()["message"].is_string());
    for missing in [uuid().as_str(), "nonsense", "%F0%9F%98%80"] {
        for path in [
            format!("/fractal/{missing}"),
            format!("/v1/fractal/{missing}"),
        ] {
            let response = farm.get(&path).send().await.unwrap();
            assert_eq!(response.status(), 404, "{path}");
            assert!(response.json::<Value>().await.unwrap()["message"].is_string());
        }
    }
}

#[tokio::test]
async fn a_worker_of_the_original_can_deliver() {
    let farm = Farm::api();
    let new = farm.created().await;
    let id = new["uuid"].as_str().unwrap();
    let path = format!("/v1/fractal/{id}");
    let png = rgb_png(16, 12);
    let result = but(delivery(&png), json!({"uuid": id}));
    let put = farm.put(&path).json(&result).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let done: Value = put.json().await.unwrap();
    assert_eq!(done["status"], "done");
    assert_eq!(done["generated_by"], "worker-1");
    assert_eq!(done["checksum"], common::sha256(&png));
    let image = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
    assert_eq!(image.bytes().await.unwrap(), png);

    // Twice is harmless, and the first image stays.
    let other = rgb_png(16, 12).into_iter().chain([0]).collect::<Vec<_>>();
    let again = farm
        .put(&path)
        .json(&delivery(&other))
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 200);
    let kept: Value = again.json().await.unwrap();
    assert_eq!(kept["checksum"], common::sha256(&png));
    let empty = farm.put(&path).json(&json!({})).send().await.unwrap();
    assert_eq!(empty.json::<Value>().await.unwrap(), kept);
}

#[tokio::test]
async fn an_image_can_be_delivered_as_it_is() {
    let farm = Farm::api();
    let new = farm.created().await;
    let id = new["uuid"].as_str().unwrap();
    let png = rgb_png(16, 12);
    let put = farm
        .put(&format!("/v1/fractal/{id}"))
        .query(&[("duration", "0.25"), ("generated_by", "worker-2")])
        .query(&[("checksum", common::sha256(&png))])
        .header("Content-Type", "image/png")
        .body(png.clone());
    let done: Value = put.send().await.unwrap().json().await.unwrap();
    assert_eq!(done["duration"], 0.25);
    assert_eq!(done["size"], png.len());
}

#[tokio::test]
async fn a_result_that_does_not_match_its_image_is_refused() {
    let farm = Farm::api();
    let new = farm.created().await;
    let path = format!("/v1/fractal/{}", new["uuid"].as_str().unwrap());
    let png = rgb_png(16, 12);
    let good = delivery(&png);
    let broken = &png[..png.len() - 20];
    let cases = [
        (json!({"size": 5}), 422, "size"),
        (json!({"size": "big"}), 422, "size"),
        (json!({"checksum": "0".repeat(64)}), 422, "checksum"),
        (json!({"image": "***"}), 422, "image"),
        (json!({"uuid": uuid()}), 422, "uuid"),
        (json!({"width": 99}), 422, "width"),
        (json!({"palette": "magma"}), 422, "palette"),
        (json!({"duration": -1}), 422, "duration"),
        (json!({"generated_by": ""}), 422, "generated_by"),
        (
            json!({"generated_by": "x".repeat(300)}),
            422,
            "generated_by",
        ),
        (json!({"image": null}), 400, "image"),
        (json!({"duration": null}), 400, "duration"),
        (json!({"foo": 1}), 400, "foo"),
        (but(delivery(&rgb_png(12, 16)), json!({})), 422, "image"),
        (but(delivery(broken), json!({})), 422, "image"),
        (but(delivery(b"no image"), json!({})), 422, "image"),
        (
            but(delivery(&png_without_palette()), json!({})),
            422,
            "image",
        ),
    ];
    for (change, status, field) in cases {
        let put = farm.put(&path).json(&but(good.clone(), change.clone()));
        let response = put.send().await.unwrap();
        assert_eq!(response.status(), status, "{field}: {change}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["field"], field, "{error}");
    }
    let plain = farm.put(&path).header("Content-Type", "text/plain");
    assert_eq!(plain.body("x").send().await.unwrap().status(), 415);
    let missing = farm.put(&format!("/v1/fractal/{}", uuid())).json(&good);
    assert_eq!(missing.send().await.unwrap().status(), 404);
    assert_eq!(farm.counts().await["queued"], 1);
}

#[tokio::test]
async fn deleting_takes_fractal_and_image_away() {
    let farm = Farm::all();
    let new = farm.created().await;
    let id = new["uuid"].as_str().unwrap();
    farm.until(id, "done").await;
    let path = format!("/v1/fractal/{id}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 404);
    let image = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
    assert_eq!(image.status(), 404);
    assert_eq!(farm.counts().await["done"], 0);
}

#[tokio::test]
async fn a_deleted_fractal_is_not_rendered_any_more() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let long: Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap();
    farm.until(long, "running").await;
    let next = farm.created().await;
    let path = format!("/v1/fractal/{long}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    // The only slot is free again.
    farm.until(next["uuid"].as_str().unwrap(), "done").await;
}

#[tokio::test]
async fn only_what_failed_can_be_retried() {
    let farm = Farm::all();
    let new = farm.created().await;
    let id = new["uuid"].as_str().unwrap();
    farm.until(id, "done").await;
    let retry = farm.post(&format!("/v1/fractal/{id}/retry")).send().await;
    assert_eq!(retry.unwrap().status(), 409);
    let none = farm.post(&format!("/v1/fractal/{}/retry", uuid())).send();
    assert_eq!(none.await.unwrap().status(), 404);
}

#[tokio::test]
async fn lists_are_paged_and_linked_as_in_the_original() {
    let farm = Farm::api();
    let empty = farm.get("/v1/fractal").send().await.unwrap();
    let link = format!(
        "<{}?page=0&results_per_page=10>; rel=\"last\"",
        farm.url("/v1/fractal")
    );
    assert_eq!(empty.headers()["link"], link);
    assert_eq!(
        empty.json::<Value>().await.unwrap(),
        json!({"num_results": 0, "objects": [], "page": 1, "total_pages": 0})
    );
    for _ in 0..25 {
        farm.created().await;
    }
    let first = farm.get("/v1/fractal").send().await.unwrap();
    let base = farm.url("/v1/fractal");
    assert_eq!(
        first.headers()["link"],
        format!(
            "<{base}?page=2&results_per_page=10>; rel=\"next\", \
             <{base}?page=3&results_per_page=10>; rel=\"last\""
        )
    );
    let mut uuids = Vec::new();
    for (page, length) in [("1", 10), ("2", 10), ("3", 5), ("4", 0), ("0", 0)] {
        let list = farm.list(&[("page", page)]).await;
        assert_eq!(list["num_results"], 25);
        assert_eq!(list["total_pages"], 3);
        assert_eq!(list["page"].to_string(), page);
        let objects = list["objects"].as_array().unwrap();
        assert_eq!(objects.len(), length, "page {page}");
        uuids.extend(objects.iter().map(|object| object["uuid"].to_string()));
    }
    assert!(uuids.is_sorted() && uuids.len() == 25);
    let many = farm.list(&[("results_per_page", "1000")]).await;
    assert_eq!(many["objects"].as_array().unwrap().len(), 25);
    for page in ["-1", "x", "1.5"] {
        let bad = farm.get("/v1/fractal").query(&[("page", page)]).send();
        assert_eq!(bad.await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn searches_filter_order_and_cut() {
    let farm = Farm::api();
    for (width, height) in [(10, 30), (20, 20), (30, 10), (40, 5)] {
        let change = json!({"width": width, "height": height, "uuid": id(width)});
        assert_eq!(farm.create(&but(small(), change)).await.status(), 201);
    }
    fn id(width: u64) -> String {
        format!("00000000-0000-4000-8000-0000000000{width}")
    }
    let cases: Vec<(Value, Vec<u64>)> = vec![
        (json!({}), vec![10, 20, 30, 40]),
        (
            filter(json!({"name": "width", "op": ">", "val": 20})),
            vec![30, 40],
        ),
        (
            filter(json!({"name": "width", "op": "neq", "val": 20})),
            vec![10, 30, 40],
        ),
        (
            filter(json!({"name": "width", "op": "in", "val": [10, 40, 99]})),
            vec![10, 40],
        ),
        (
            filter(json!({"name": "width", "op": "not_in", "val": [10, 40]})),
            vec![20, 30],
        ),
        (
            filter(json!({"name": "width", "op": "le", "field": "height"})),
            vec![10, 20],
        ),
        (
            filter(json!({"name": "checksum", "op": "is_null"})),
            vec![10, 20, 30, 40],
        ),
        (
            filter(json!({"name": "image", "op": "is_not_null"})),
            vec![],
        ),
        (
            filter(json!({"name": "url", "op": "is_null"})),
            vec![10, 20, 30, 40],
        ),
        (
            filter(json!({"name": "uuid", "op": "ilike", "val": "%0000000000_0"})),
            vec![10, 20, 30, 40],
        ),
        (
            filter(json!({"name": "uuid", "op": "like", "val": "%30"})),
            vec![30],
        ),
        (
            filter(json!({"name": "created_at", "op": "gt", "val": "2020-01-01T00:00:00Z"})),
            vec![10, 20, 30, 40],
        ),
        (
            filter(json!({"or": [{"name": "width", "op": "eq", "val": 10},
                              {"and": [{"name": "width", "op": "gte", "val": 30},
                                       {"name": "height", "op": "lt", "val": 10}]}]})),
            vec![10, 40],
        ),
        (
            json!({"order_by": [{"field": "height"}]}),
            vec![40, 30, 20, 10],
        ),
        (
            json!({"order_by": [{"field": "width", "direction": "desc"}], "limit": 2}),
            vec![40, 30],
        ),
        (json!({"limit": 2, "offset": 1}), vec![20, 30]),
        (json!({"offset": 3}), vec![40]),
        (json!({"offset": 9}), vec![]),
    ];
    fn filter(filter: Value) -> Value {
        json!({"filters": [filter]})
    }
    for (q, widths) in cases {
        let expected: Vec<_> = widths.into_iter().map(id).collect();
        assert_eq!(farm.search(q.clone()).await, expected, "{q}");
    }
    let cut = json!({"limit": 3, "offset": 2}).to_string();
    let cut = farm
        .list(&[("q", cut.as_str()), ("results_per_page", "1")])
        .await;
    assert_eq!(
        (&cut["num_results"], &cut["total_pages"]),
        (&json!(2), &json!(2))
    );

    let single = async |op: &str, val: u64| {
        let q = json!({"filters": [{"name": "width", "op": op, "val": val}], "single": true});
        let get = farm.get("/v1/fractal").query(&[("q", q.to_string())]);
        let response = get.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    assert_eq!(single("eq", 20).await.1["uuid"], id(20));
    assert_eq!(
        single("eq", 21).await,
        (404, json!({"message": "No result found"}))
    );
    assert_eq!(
        single("gt", 1).await,
        (400, json!({"message": "Multiple results found"}))
    );
    let bad = farm
        .get("/v1/fractal")
        .query(&[("q", "{\"filters\": [{\"name\": \"nope\"}]}")]);
    assert_eq!(bad.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_queue_has_an_end() {
    let farm = Farm::with(&["api", "--max-queued", "3"]);
    for _ in 0..3 {
        farm.created().await;
    }
    let full = farm.create(&small()).await;
    assert_eq!(full.status(), 429);
    assert!(full.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn limits_are_settings() {
    let farm = Farm::with(&["api", "--max-side", "100", "--max-iterations", "50"]);
    assert_eq!(
        farm.create(&but(small(), json!({"width": 101})))
            .await
            .status(),
        422
    );
    let most = but(small(), json!({"width": 100, "iterations": 50}));
    assert_eq!(farm.create(&most).await.status(), 201);
}

#[tokio::test]
async fn a_constant_is_drawn_for_the_uuid_and_kept() {
    let constant = async |farm: &Farm, id: &str| {
        let without = json!({"c_re": null, "c_im": null, "uuid": id, "iterations": 200});
        let new = farm.create(&but(small(), without)).await;
        let new: Value = new.json().await.unwrap();
        assert_eq!(new["c_re"], farm.show(id).await["c_re"]);
        (new["c_re"].clone(), new["c_im"].clone())
    };
    let (one, other) = (Farm::api(), Farm::api());
    let id = uuid();
    assert_eq!(constant(&one, &id).await, constant(&other, &id).await);
}

#[tokio::test]
async fn unknown_places_and_methods_answer_in_json() {
    let farm = Farm::api();
    for path in [
        "/v1",
        "/v1/fractal/",
        "/api/fractal",
        "/index/-1",
        "/index/abc",
        "/static/no",
    ] {
        let response = farm.get(path).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        assert!(response.json::<Value>().await.unwrap()["message"].is_string());
    }
    for (method, path, allow) in [
        ("PUT", "/v1/fractal", "GET HEAD OPTIONS POST"),
        ("PATCH", "/v1/fractal/x", "DELETE GET HEAD OPTIONS PUT"),
        ("DELETE", "/", "GET HEAD OPTIONS"),
    ] {
        let response = farm.request(method, path).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), allowed(&response)),
            (405, allow.into())
        );
        let options = farm.request("OPTIONS", path).send().await.unwrap();
        assert_eq!(
            (options.status().as_u16(), allowed(&options)),
            (200, allow.into())
        );
    }
    fn allowed(response: &reqwest::Response) -> String {
        let allow = response.headers()["allow"].to_str().unwrap();
        let mut methods: Vec<_> = allow.split(',').collect();
        methods.sort_unstable();
        methods.join(" ")
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let farm = Farm::api();
    let one = farm.get("/livez").send().await.unwrap();
    let two = farm.get("/livez").send().await.unwrap();
    assert_ne!(one.headers()["x-request-id"], two.headers()["x-request-id"]);
    let given = farm.get("/livez").header("X-Request-Id", "mine-1").send();
    assert_eq!(given.await.unwrap().headers()["x-request-id"], "mine-1");
    let forged = farm.get("/livez").header("X-Request-Id", "a b\"c").send();
    assert_ne!(forged.await.unwrap().headers()["x-request-id"], "a b\"c");
}

#[tokio::test]
async fn other_sites_pages_cannot_write() {
    let farm = Farm::api();
    let attempt = async |name: &str, value: &str| {
        let post = farm.post("/v1/fractal").json(&small()).header(name, value);
        post.send().await.unwrap().status().as_u16()
    };
    assert_eq!(attempt("Origin", "http://evil.example").await, 403);
    assert_eq!(attempt("Host", "evil.example").await, 403);
    assert_eq!(attempt("Origin", &farm.base).await, 201);
    assert_eq!(attempt("Host", "localhost:1").await, 201);
}

#[tokio::test]
async fn the_farm_tells_what_it_does_and_why_a_fractal_waits() {
    let farm = Farm::api();
    let first = farm.created().await;
    let at = |fractal: &Value| format!("/v1/fractal/{}/wait", fractal["uuid"].as_str().unwrap());
    let wait = async |fractal: &Value| -> Value {
        farm.get(&at(fractal))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let next = wait(&first).await;
    assert_eq!((&next["before"], &next["slots"]), (&json!(0), &json!(0)));
    let reason = next["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "it is the next, and no worker is there: `faafo worker` starts one"
    );
    // Of another millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second = farm.created().await;
    assert_eq!(wait(&second).await["before"], 1);
    let told: Value = farm
        .get("/v1/farm")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(told["counts"]["queued"], 2);
    assert_eq!(
        told["samples"].as_array().unwrap().last().unwrap()["queued"],
        2
    );
    assert!(told["oldest_waiting_seconds"].as_f64().unwrap() >= 0.005);
    assert_eq!(told["rate"], 0.0);

    let farm = Farm::all();
    let done = farm.created().await;
    farm.until(done["uuid"].as_str().unwrap(), "done").await;
    let told: Value = farm
        .get("/v1/farm")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(told["slots"], 2);
    assert!(told["rate"].as_f64().unwrap() > 0.0);
    let samples = told["samples"].as_array().unwrap();
    let finished: u64 = samples
        .iter()
        .map(|sample| sample["done"].as_u64().unwrap())
        .sum();
    assert_eq!(finished, 1);
    let waits = farm.get(&at(&done)).send().await.unwrap();
    assert_eq!(waits.status(), 409);
}
