//! Importing the fractals of another farm: of this program, which tells more than the original, and of
//! one that answers as the original does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;
#[path = "common/original.rs"]
mod original;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{FAAFO, Farm, PATIENCE, but, sha256, small, text};
use image::{ImageFormat, Rgb, RgbImage};
use original::{Image, Original, done, pending};
use serde_json::{Value, json};
use tempfile::TempDir;

const DONE: u64 = 130;

/// A farm with pictures on two pages, and three that wait.
async fn old(folder: &Path) -> Farm {
    let mut farm = Farm::on(folder, &["all", "--workers", "2"]);
    for n in 0..DONE {
        let palette = ["classic", "magma"][n as usize % 2];
        let new = but(small(), json!({"palette": palette, "width": 16 + n % 7}));
        assert_eq!(farm.create(&new).await.status(), 201);
    }
    until_done(&farm, DONE).await;
    assert!(farm.stop().success());
    let farm = Farm::on(folder, &["api"]);
    for _ in 0..3 {
        farm.created().await;
    }
    farm
}

async fn until_done(farm: &Farm, count: u64) {
    let done = async {
        while farm.counts().await["done"].as_u64().unwrap() < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap();
}

fn import(from: &str, to: &Farm) -> Command {
    let mut command = Command::new(FAAFO);
    command.args(["import", from, "--endpoint-url", &to.base]);
    let token: PathBuf = to.data.join("tokens/user");
    if token.exists() {
        command.arg("--token-file").arg(token);
    }
    command.env("FAAFO_DATA_DIR", "/nonexistent");
    command
}

fn run(from: &str, to: &Farm) -> Output {
    import(from, to).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn all(farm: &Farm) -> Vec<Value> {
    let mut all = Vec::new();
    for page in ["1", "2"] {
        let list = farm
            .list(&[("page", page), ("results_per_page", "100")])
            .await;
        all.extend(list["objects"].as_array().unwrap().clone());
    }
    all
}

#[tokio::test]
async fn every_fractal_comes_over_once_and_with_its_very_image() {
    let folder = TempDir::new().unwrap();
    let old = old(folder.path()).await;
    let new = Farm::beyond(&["all", "--workers", "1"]);
    // Killed in the middle, it goes on where it was.
    let mut first = import(&old.base, &new);
    let mut first = first
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_done(&new, 5).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let told = said(&run(&old.base, &new));
    let numbers: Vec<u64> = told
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers.iter().sum::<u64>(), DONE + 3, "{told}");
    assert_eq!(numbers[3], 0, "{told}");
    until_done(&new, DONE + 3).await;

    for was in all(&old).await {
        let uuid = was["uuid"].as_str().unwrap();
        let is = new.show(uuid).await;
        let rendered_there = was["status"] == "done";
        for field in [
            "width",
            "height",
            "iterations",
            "xa",
            "xb",
            "ya",
            "yb",
            "c_re",
            "c_im",
            "palette",
        ] {
            assert_eq!(is[field], was[field], "{uuid} {field}");
        }
        if rendered_there {
            for field in ["checksum", "size", "duration", "generated_by", "status"] {
                assert_eq!(is[field], was[field], "{uuid} {field}");
            }
            // It is no render of this farm's.
            assert_eq!(is["attempts"], 0);
        }
        let image = new.get(&format!("/fractal/{uuid}")).send().await.unwrap();
        assert_eq!(
            is["checksum"],
            sha256(&image.bytes().await.unwrap()).as_str()
        );
    }
    assert_eq!(new.counts().await["done"], DONE + 3);
    let again = said(&run(&old.base, &new));
    let there = DONE + 3;
    assert_eq!(
        again,
        format!("0 imported, 0 to be rendered here, {there} there already, 0 left out\n")
    );
    // And all of it is on disk.
    let data = new.data.clone();
    let mut new = new;
    new.kill();
    let new = Farm::on(&data, &["api"]);
    assert_eq!(new.counts().await["done"], DONE + 3);
}

/// A picture as the original makes them: in all colours, not by a palette.
fn picture(n: u8) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(4, 3, |x, y| Rgb([n, x as u8, y as u8]));
    pixels.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

#[tokio::test]
async fn an_originals_fractals_come_over_and_what_does_not_is_told() {
    const WHOLE: u8 = 110;
    let old = Original::new();
    let id = |n: u8| format!("{n:08x}-0000-4000-8000-000000000000");
    for n in 0..WHOLE {
        let png = picture(n);
        old.put(done(&id(n), &png), Image::Whole(png));
    }
    // It encodes images anew when it serves them, by whatever library is there now.
    let (encoded_anew, broken_off) = (id(110), id(111));
    old.put(
        done(&encoded_anew, b"as it was"),
        Image::Whole(picture(110)),
    );
    let png = picture(111);
    old.put(done(&broken_off, &png), Image::BrokenOff(png));
    let unrendered = id(112);
    old.put(pending(&unrendered), Image::None);
    let undecodable = id(113);
    let png = picture(113);
    old.put(done(&undecodable, &png), Image::None);
    // All that it took: infinite coordinates, words for numbers, any text for a uuid.
    let left_out = [
        (done(&id(114), b""), Image::Gone, "Fracal not found"),
        (
            but(done(&id(115), b""), json!({"xa": "Infinity"})),
            Image::Whole(picture(115)),
            "expected f64",
        ),
        (
            but(done(&id(116), b""), json!({"width": "abc"})),
            Image::Whole(picture(116)),
            "expected i64",
        ),
        (
            but(done(&id(117), b""), json!({"width": 5})),
            Image::Whole(picture(117)),
            "4 x 3 pixels, but the fractal 5 x 3",
        ),
        (
            done("12345", b""),
            Image::Whole(picture(118)),
            "its uuid is none",
        ),
    ];
    let mut reasons = vec![(undecodable.clone(), "500 Internal Server Error")];
    for (doc, image, why) in left_out {
        reasons.push((doc["uuid"].as_str().unwrap().to_owned(), why));
        old.put(doc, image);
    }

    let new = Farm::with(&["all", "--workers", "1"]);
    let output = run(&old.base, &new);
    let why = text(&output.stderr);
    assert_eq!(
        text(&output.stdout),
        "112 imported, 1 to be rendered here, 0 there already, 6 left out\n",
        "{why}"
    );
    assert_eq!(output.status.code(), Some(1));
    for (uuid, reason) in &reasons {
        let told = format!("{uuid} is left out: ");
        let line = why.lines().find(|line| line.contains(&told));
        assert!(
            line.is_some_and(|line| line.contains(reason)),
            "{uuid}: {why}"
        );
    }
    assert!(why.contains("1 images are not the bytes"), "{why}");
    let asked = old.asked();
    assert!(asked.iter().all(|one| one.starts_with("GET ")), "{asked:?}");

    until_done(&new, 113).await;
    for n in 0..112 {
        let is = new.show(&id(n)).await;
        let png = picture(n);
        let wanted = json!({"status": "done", "attempts": 0, "palette": "classic", "width": 4,
            "height": 3, "iterations": 64, "xa": -2.345678901234568, "xb": 2.0, "ya": -1.5,
            "yb": 1.5, "duration": 0.5, "generated_by": "worker-1", "size": png.len(),
            "checksum": sha256(&png)});
        for (field, value) in wanted.as_object().unwrap() {
            assert_eq!(&is[field], value, "{n} {field}");
        }
        let image = new
            .get(&format!("/fractal/{}", id(n)))
            .send()
            .await
            .unwrap();
        assert_eq!(image.bytes().await.unwrap(), png, "{n}");
    }
    let rendered = new.show(&unrendered).await;
    assert_eq!(
        (&rendered["attempts"], &rendered["width"]),
        (&json!(1), &json!(4))
    );

    // What has become better there comes over, and nothing else is fetched again.
    old.put(done(&undecodable, &png), Image::Whole(png));
    let output = run(&old.base, &new);
    assert_eq!(
        text(&output.stdout),
        "1 imported, 0 to be rendered here, 113 there already, 5 left out\n"
    );
    let asked = old.asked();
    let images = asked.iter().filter(|one| one.starts_with("GET /fractal/"));
    assert_eq!(images.count(), 3, "{asked:?}");
}

#[tokio::test]
async fn what_the_farm_refuses_is_left_out_and_told() {
    let old = Farm::all();
    let wide = but(small(), json!({"width": 200}));
    let wide: Value = old.create(&wide).await.json().await.unwrap();
    old.created().await;
    until_done(&old, 2).await;
    let new = Farm::with(&["api", "--max-side", "100"]);
    let output = run(&old.base, &new);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "1 imported, 0 to be rendered here, 0 there already, 1 left out\n"
    );
    let why = text(&output.stderr);
    assert!(why.contains(wide["uuid"].as_str().unwrap()), "{why}");
    assert!(why.contains("width is 200"), "{why}");
}

#[tokio::test]
async fn an_import_that_cannot_begin_says_why() {
    let farm = Farm::beyond(&["all"]);
    farm.post("/v1/fractal")
        .json(&small())
        .bearer_auth(farm.token("user"))
        .send()
        .await
        .unwrap();
    until_done(&farm, 1).await;
    let new = Farm::beyond(&["api"]);
    let mut command = Command::new(FAAFO);
    command.args(["import", &farm.base, "--endpoint-url", &new.base]);
    let output = command
        .env("FAAFO_DATA_DIR", "/nonexistent")
        .output()
        .unwrap();
    let why = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("asks for a token"), "{why}");
    let output = run(&format!("{}/static", farm.base), &new);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let output = run("ftp://old", &new);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
