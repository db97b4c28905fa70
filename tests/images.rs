//! Images in other sizes, and many of them at once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::HashMap;

use common::{Farm, but, sha256, small, uuid};
use image::RgbImage;
use reqwest::Response;
use serde_json::{Value, json};

async fn done(farm: &Farm, change: Value) -> Value {
    let new = farm.create(&but(small(), change)).await;
    let new: Value = new.json().await.unwrap();
    farm.until(new["uuid"].as_str().unwrap(), "done").await
}

async fn get(farm: &Farm, path: &str) -> Response {
    farm.get(path).send().await.unwrap()
}

fn mean(image: &RgbImage) -> f64 {
    let sum: u64 = image.as_raw().iter().map(|value| u64::from(*value)).sum();
    sum as f64 / image.as_raw().len() as f64
}

#[tokio::test]
async fn a_thumbnail_is_the_picture_made_smaller_and_never_changes() {
    let farm = Farm::all();
    let change = json!({"width": 1000, "height": 750, "iterations": 256, "palette": "twilight"});
    let fractal = done(&farm, change).await;
    let path = format!("/fractal/{}", fractal["uuid"].as_str().unwrap());
    let whole = get(&farm, &path).await.bytes().await.unwrap();
    let thumb = get(&farm, &format!("{path}?thumb=128")).await;
    assert_eq!(thumb.status(), 200);
    assert_eq!(thumb.headers()["content-type"], "image/png");
    let cache = thumb.headers()["cache-control"].to_str().unwrap();
    assert!(cache.contains("immutable"), "{cache}");
    let tag = thumb.headers()["etag"].clone();
    let checksum = fractal["checksum"].as_str().unwrap();
    assert_eq!(tag, format!("\"{checksum}-128\""));
    let bytes = thumb.bytes().await.unwrap();
    assert!(bytes.len() < whole.len());
    let small = image::load_from_memory(&bytes).unwrap().to_rgb8();
    assert_eq!(small.dimensions(), (171, 128));
    let whole = image::load_from_memory(&whole).unwrap().to_rgb8();
    let (a, b) = (mean(&small), mean(&whole));
    assert!((a - b).abs() < 0.7, "{a} instead of {b}");

    let known = farm.get(&format!("{path}?thumb=128"));
    let known = known.header("If-None-Match", tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    // What is deleted has no thumbnail, either.
    farm.delete(&format!("/v1{path}")).send().await.unwrap();
    assert_eq!(get(&farm, &format!("{path}?thumb=128")).await.status(), 404);
}

#[tokio::test]
async fn a_thumbnail_is_made_once_for_all_lives_of_the_farm() {
    let folder = tempfile::TempDir::new().unwrap();
    let farm = Farm::on(folder.path(), &["all"]);
    let change = json!({"width": 1000, "height": 750, "palette": "twilight"});
    let fractal = done(&farm, change).await;
    let path = format!("/fractal/{}?thumb=256", fractal["uuid"].as_str().unwrap());
    let first = get(&farm, &path).await.bytes().await.unwrap();
    drop(farm);
    let file = format!("{}-256", fractal["checksum"].as_str().unwrap());
    let file = folder.path().join("thumbnails").join(file);
    assert_eq!(std::fs::read(&file).unwrap()[4..], first);

    // What is there is what is sent.
    let marked = b"in the place of a thumbnail";
    let sum = (crc32(marked) as u32).to_be_bytes();
    std::fs::write(&file, [&sum[..], marked].concat()).unwrap();
    let farm = Farm::on(folder.path(), &["all"]);
    let sent = get(&farm, &path).await.bytes().await.unwrap();
    assert_eq!(sent, marked[..]);
    drop(farm);

    // What a power cut has left half written is not.
    std::fs::write(&file, [&sum[..], &marked[..9]].concat()).unwrap();
    let farm = Farm::on(folder.path(), &["all"]);
    let again = get(&farm, &path).await.bytes().await.unwrap();
    assert_eq!(again, first);
    assert_eq!(std::fs::read(&file).unwrap()[4..], first);
}

#[tokio::test]
async fn a_small_picture_is_its_own_thumbnail() {
    let farm = Farm::all();
    let fractal = done(&farm, json!({})).await;
    let path = format!("/fractal/{}?thumb=256", fractal["uuid"].as_str().unwrap());
    let thumb = get(&farm, &path).await.bytes().await.unwrap();
    assert_eq!(sha256(&thumb), fractal["checksum"].as_str().unwrap());
}

#[tokio::test]
async fn a_thumbnail_that_cannot_be_is_refused() {
    let farm = Farm::api();
    let waiting = farm.created().await["uuid"].as_str().unwrap().to_owned();
    for (uuid, thumb, status) in [
        (waiting.clone(), "256", 404),
        (uuid(), "256", 404),
        (waiting.clone(), "100", 422),
        (waiting.clone(), "", 422),
        (waiting, "999999999999", 422),
    ] {
        let answer = get(&farm, &format!("/fractal/{uuid}?thumb={thumb}")).await;
        assert_eq!(answer.status(), status, "{thumb}");
        let error: Value = answer.json().await.unwrap();
        assert!(error["message"].is_string());
    }
}

/// The files of an archive by their names, found as readers do: from the directory at its end. Whether
/// others can read it `tests/browser` has `unzip` say.
fn files(zip: &[u8]) -> HashMap<String, &[u8]> {
    let number = |at: usize, size: usize| {
        let bytes = zip[at..at + size].iter().rev();
        bytes.fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let end = zip.len() - 22;
    let (count, mut entry) = (number(end + 10, 2), number(end + 16, 4));
    let mut files = HashMap::new();
    for _ in 0..count {
        assert_eq!(number(entry, 4), 0x0201_4b50);
        let (size, name) = (number(entry + 24, 4), number(entry + 28, 2));
        let name = String::from_utf8(zip[entry + 46..][..name].to_vec()).unwrap();
        let local = number(entry + 42, 4);
        assert_eq!(zip[local + 30..][..name.len()], *name.as_bytes());
        assert_eq!(
            number(local + 14, 4),
            crc32(&zip[local + 30 + name.len()..][..size])
        );
        entry += 46 + name.len();
        files.insert(name.clone(), &zip[local + 30 + name.len()..][..size]);
    }
    files
}

fn crc32(bytes: &[u8]) -> usize {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum() as usize
}

#[tokio::test]
async fn an_archive_holds_the_images_of_a_search_as_they_are() {
    let farm = Farm::all();
    let mut wanted = Vec::new();
    for palette in ["classic", "magma", "viridis"] {
        wanted.push(done(&farm, json!({"palette": palette, "width": 300})).await);
    }
    let search = json!({"filters": [{"name": "palette", "op": "in", "val": ["classic", "magma"]}]});
    let archive = farm
        .get("/v1/images.zip")
        .query(&[("q", search.to_string())]);
    let archive = archive.send().await.unwrap();
    assert_eq!(archive.headers()["content-type"], "application/zip");
    let bytes = archive.bytes().await.unwrap();
    let files = files(&bytes);
    assert_eq!(files.len(), 2);
    for fractal in &wanted[..2] {
        let name = format!("{}.png", fractal["uuid"].as_str().unwrap());
        assert_eq!(sha256(files[&name]), fractal["checksum"].as_str().unwrap());
    }

    // As many as an archive may have can be named.
    let mut named: Vec<String> = (3..1000).map(|_| uuid()).collect();
    named.extend(wanted.iter().map(|it| it["uuid"].as_str().unwrap().into()));
    let named = json!({"filters": [{"name": "uuid", "op": "in", "val": named}]});
    let archive = farm.get("/v1/images.zip");
    let archive = archive.query(&[("q", named.to_string())]).send().await;
    let bytes = archive.unwrap().bytes().await.unwrap();
    assert_eq!(self::files(&bytes).len(), 3);

    let nothing = json!({"filters": [{"name": "palette", "op": "eq", "val": "turbo"}]});
    let nothing = farm
        .get("/v1/images.zip")
        .query(&[("q", nothing.to_string())]);
    assert_eq!(nothing.send().await.unwrap().status(), 404);
}
