//! Tiles: one grid, the farm's own pixels, and a queue that gives way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::time::{Duration, Instant};

use common::{Farm, but, long, small};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use image::{GenericImage, RgbImage};
use reqwest::Response;
use serde_json::{Value, json};

/// Tiles that may wait or be made at a time, for each core.
const PLACES: usize = 65;

async fn tile(farm: &Farm, path: &str) -> Response {
    farm.get(&format!("/v1/tiles/{path}")).send().await.unwrap()
}

/// A tile in a Siegel disk: no step of it can be left out.
fn heavy(iterations: usize) -> String {
    format!("8/115/117.png?c_re=-0.3905408702184&c_im=-0.5867879073469687&iterations={iterations}")
}

fn pixels(png: &[u8]) -> RgbImage {
    image::load_from_memory(png).unwrap().to_rgb8()
}

#[tokio::test]
async fn four_tiles_are_the_picture_that_the_farm_renders() {
    let farm = Farm::all();
    // The four around -0.5+0.5i on level 4: half a unit a side.
    let (c, z, x, y) = ("c_re=-0.8&c_im=0.156&iterations=300", 4, 6, 8);
    for palette in ["classic", "twilight"] {
        let mut tiles = RgbImage::new(512, 512);
        for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let path = format!("{z}/{}/{}.png?{c}&palette={palette}", x + column, y + row);
            let response = tile(&farm, &path).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "image/png");
            let part = pixels(&response.bytes().await.unwrap());
            assert_eq!(part.dimensions(), (256, 256));
            tiles.copy_from(&part, column * 256, row * 256).unwrap();
        }
        let step = 8.0 / 256.0 / 16.0;
        let (left, top) = (f64::from(x) * 0.5 - 4.0, f64::from(y) * 0.5 - 4.0);
        let picture = json!({"width": 512, "height": 512, "iterations": 300, "palette": palette,
            "xa": left + step / 2.0, "xb": left + 1.0 - step / 2.0,
            "ya": top + step / 2.0, "yb": top + 1.0 - step / 2.0});
        let whole = farm.create(&but(small(), picture)).await;
        let whole: Value = whole.json().await.unwrap();
        let uuid = whole["uuid"].as_str().unwrap();
        farm.until(uuid, "done").await;
        let whole = farm.get(&format!("/fractal/{uuid}")).send().await.unwrap();
        let whole = pixels(&whole.bytes().await.unwrap());
        assert!(tiles == whole, "{palette}");
    }
}

#[tokio::test]
async fn a_tile_never_changes_and_need_not_be_asked_for_again() {
    let farm = Farm::api();
    let path = "3/3/4.png?c_re=-0.8&c_im=0.156";
    let first = tile(&farm, path).await;
    let headers = first.headers().clone();
    let cache = headers["cache-control"].to_str().unwrap();
    assert!(cache.contains("immutable"), "{cache}");
    let tag = headers["etag"].to_str().unwrap();
    let again = tile(&farm, path).await;
    assert_eq!(again.headers()["etag"], tag);
    assert_eq!(first.bytes().await.unwrap(), again.bytes().await.unwrap());
    let known = farm.get(&format!("/v1/tiles/{path}"));
    let known = known.header("If-None-Match", tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert!(known.bytes().await.unwrap().is_empty());
    for other in ["&iterations=255", "&palette=magma", "&c_im=0.157"] {
        let other = tile(&farm, &format!("{path}{other}")).await;
        assert_ne!(other.headers()["etag"], tag);
    }
}

#[tokio::test]
async fn what_is_no_tile_is_refused_with_the_field() {
    let farm = Farm::api();
    let c = "c_re=0&c_im=0";
    for path in [
        "39/0/0.png",
        "2/4/0.png",
        "2/0/4.png",
        "2/-1/0.png",
        "2/0/0",
        "a/0/0.png",
    ] {
        assert_eq!(
            tile(&farm, &format!("{path}?{c}")).await.status(),
            404,
            "{path}"
        );
    }
    for (query, field) in [
        ("c_im=0", "c_re"),
        ("c_re=0", "c_im"),
        ("c_re=NaN&c_im=0", "c_re"),
        ("c_re=0&c_im=1e999", "c_im"),
        ("c_re=0&c_im=0&iterations=0", "iterations"),
        ("c_re=0&c_im=0&iterations=20001", "iterations"),
        ("c_re=0&c_im=0&iterations=x", "iterations"),
        ("c_re=0&c_im=0&palette=pink", "palette"),
    ] {
        let refused = tile(&farm, &format!("0/0/0.png?{query}")).await;
        assert_eq!(refused.status(), 422, "{query}");
        let error: Value = refused.json().await.unwrap();
        assert_eq!(error["field"], field, "{error}");
    }
    // Where there is nothing to see, too.
    let deepest = 1u64 << 38;
    for c in ["c_re=1e308&c_im=-1e308", "c_re=-0.8&c_im=0.156"] {
        let path = format!("38/{}/{}.png?{c}", deepest - 1, deepest / 2);
        assert_eq!(tile(&farm, &path).await.status(), 200);
    }
}

#[tokio::test]
async fn an_abandoned_view_gives_way_to_the_next() {
    let farm = Farm::api();
    let begun = Instant::now();
    assert_eq!(tile(&farm, &heavy(20_000)).await.status(), 200);
    let one = begun.elapsed();

    let cores = std::thread::available_parallelism().unwrap().get();
    let view = (0..cores * PLACES * 2).map(|n| {
        let farm = &farm;
        async move { tile(farm, &heavy(19_999 - n)).await }
    });
    let mut view: FuturesUnordered<_> = view.collect();
    let full = loop {
        match view.next().await {
            Some(response) if response.status() == 429 => break response,
            Some(response) => assert_eq!(response.status(), 200),
            None => panic!("all were answered and none turned away"),
        }
    };
    // The view is left: all its connections close.
    drop(view);
    assert!(full.headers().contains_key("retry-after"));
    let begun = Instant::now();
    while tile(&farm, "3/3/4.png?c_re=-0.7&c_im=0.2").await.status() == 429 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The whole view would take as long as the places of a core.
    let waited = begun.elapsed();
    assert!(
        waited < one * (PLACES as u32 / 3) + Duration::from_secs(1),
        "{waited:?}, {one:?}"
    );
}

#[tokio::test]
async fn farm_and_explorer_do_not_wait_for_each_other() {
    let farm = Farm::all();
    // All workers are busy for minutes, and yet there are tiles.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let fractal: Value = farm.create(&long()).await.json().await.unwrap();
        busy.push(fractal["uuid"].as_str().unwrap().to_owned());
    }
    for uuid in &busy {
        farm.until(uuid, "running").await;
    }
    assert_eq!(tile(&farm, &heavy(1000)).await.status(), 200);
    for uuid in &busy {
        let path = format!("/v1/fractal/{uuid}");
        farm.delete(&path).send().await.unwrap();
    }
    // And all tiles that may wait do not keep a fractal from being made.
    let view = join_all((0..60).map(|n| {
        let farm = &farm;
        async move { tile(farm, &heavy(20_000 - n)).await }
    }));
    let fractal = async {
        let new = farm.created().await;
        farm.until(new["uuid"].as_str().unwrap(), "done").await;
    };
    tokio::select! {
        _ = view => panic!("the tiles came first"),
        () = fractal => {}
    }
}

#[tokio::test]
async fn a_farm_that_stops_does_not_wait_for_tiles() {
    let mut farm = Farm::api();
    let asked: Vec<_> = (0..40)
        .map(|n| {
            let tile = farm.get(&format!("/v1/tiles/{}", heavy(20_000 - n)));
            tokio::spawn(tile.send())
        })
        .collect();
    while farm.counts().await.is_null() {}
    let begun = Instant::now();
    assert!(farm.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    for asked in asked {
        asked.abort();
    }
}
