//! The pages as they are delivered, to those who run no scripts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use common::{Farm, but, small, uuid};
use reqwest::Response;
use serde_json::{Value, json};

async fn page(farm: &Farm, path: &str) -> Response {
    farm.get(path).send().await.unwrap()
}

/// The uuids of the gallery without scripts, as its links name them.
async fn thumbnails(farm: &Farm, path: &str) -> Vec<String> {
    let html = page(farm, path).await.text().await.unwrap();
    let (_, rest) = html.split_once("<noscript>").unwrap();
    let (gallery, _) = rest.split_once("</noscript>").unwrap();
    let links = gallery.split("<a href=\"/fractal/").skip(1);
    links
        .map(|link| {
            let (uuid, rest) = link.split_once('"').unwrap();
            assert!(rest.starts_with(" class=\"thumbnail\">"), "{link}");
            uuid.to_owned()
        })
        .collect()
}

/// A farm with this many fractals done, and their uuids, newest first.
async fn farm_with(count: usize) -> (Farm, Vec<String>) {
    let farm = Farm::all();
    let mut uuids = Vec::new();
    for _ in 0..count {
        let fractal = farm.created().await;
        let uuid = fractal["uuid"].as_str().unwrap();
        farm.until(uuid, "done").await;
        uuids.insert(0, uuid.to_owned());
    }
    (farm, uuids)
}

#[tokio::test]
async fn without_scripts_the_gallery_shows_five_a_page_the_newest_first() {
    let (farm, uuids) = farm_with(7).await;
    assert_eq!(thumbnails(&farm, "/").await, uuids[..5]);
    assert_eq!(thumbnails(&farm, "/index/1").await, uuids[..5]);
    assert_eq!(thumbnails(&farm, "/index/2").await, uuids[5..]);
    assert_eq!(thumbnails(&farm, "/index/3").await, [""; 0]);
    let image = page(&farm, &format!("/fractal/{}", uuids[6])).await;
    assert_eq!(image.headers()["content-type"], "image/png");
}

#[tokio::test]
async fn without_scripts_the_gallery_leaves_out_what_is_not_done() {
    let farm = Farm::api();
    let fractal = but(small(), json!({"uuid": uuid()}));
    assert_eq!(farm.create(&fractal).await.status(), 201);
    assert_eq!(thumbnails(&farm, "/").await, [""; 0]);
}

#[tokio::test]
async fn without_scripts_the_palette_is_named() {
    let farm = Farm::all();
    let fractal = but(small(), json!({"palette": "twilight"}));
    let fractal: Value = farm.create(&fractal).await.json().await.unwrap();
    farm.until(fractal["uuid"].as_str().unwrap(), "done").await;
    let html = page(&farm, "/").await.text().await.unwrap();
    assert!(html.contains("<th>Palette</th><td>twilight</td>"), "{html}");
}

#[tokio::test]
async fn pages_answer_whether_there_is_what_they_are_about() {
    let (farm, uuids) = farm_with(1).await;
    let known = format!("/view/{}", uuids[0]);
    let unknown = format!("/view/{}", uuid());
    for (path, status) in [
        ("/", 200),
        ("/index/9", 200),
        ("/index/x", 404),
        (&known, 200),
        (&unknown, 404),
        ("/explore", 200),
        ("/farm", 200),
        ("/static/app.js", 200),
        ("/static/explore/explore.js", 200),
        ("/static/none.js", 404),
    ] {
        assert_eq!(page(&farm, path).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn every_page_forbids_what_is_not_the_farms_own() {
    let (farm, uuids) = farm_with(1).await;
    let known = format!("/view/{}", uuids[0]);
    let unknown = format!("/view/{}", uuid());
    for path in [
        "/", "/index/2", "/explore", "/animate", "/farm", &known, &unknown,
    ] {
        let page = page(&farm, path).await;
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn text_is_compressed_for_those_who_take_it() {
    let farm = Farm::api();
    for path in ["/static/app.css", "/"] {
        let plain = page(&farm, path).await;
        assert!(!plain.headers().contains_key("content-encoding"));
        let plain = plain.bytes().await.unwrap();
        for (accepted, compressed) in [("br, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            let asked = farm.get(path).header("Accept-Encoding", accepted);
            let answer = asked.send().await.unwrap();
            let encoding = answer.headers().get("content-encoding").cloned();
            assert_eq!(encoding.is_some(), compressed, "{accepted}");
            assert_eq!(answer.headers()["vary"], "accept-encoding");
            let mut bytes = answer.bytes().await.unwrap().to_vec();
            if compressed {
                assert!(bytes.len() < plain.len() / 2);
                let mut text = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
                std::io::Read::read_to_end(&mut decoder, &mut text).unwrap();
                bytes = text;
            }
            assert_eq!(bytes, plain);
        }
    }
}

#[tokio::test]
async fn every_page_names_its_parts_once() {
    let farm = Farm::api();
    for path in ["/", "/explore", "/animate", "/farm"] {
        let html = page(&farm, path).await.text().await.unwrap();
        assert!(
            !html.contains("<!--"),
            "{path} has a part that is not there"
        );
        assert_eq!(html.matches("id=\"token-form\"").count(), 1, "{path}");
        assert_eq!(html.matches("aria-current").count(), 1, "{path}");
    }
}
