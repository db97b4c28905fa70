//! Animations: fractals along a path, as one group and in one file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::io::{Cursor, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{FAAFO, Farm, PATIENCE, but, long, small, text};
use image::RgbImage;
use png::{DisposeOp, Transformations};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Ten frames from one c to another.
fn path() -> Value {
    but(
        small(),
        json!({"width": 64, "height": 48, "frames": 10, "fps": 20, "palette": "viridis",
               "to_c_re": -0.4, "to_c_im": 0.6}),
    )
}

async fn post(farm: &Farm, animation: &Value) -> (u16, Value) {
    let answer = farm.post("/v1/animations").json(animation).send();
    let answer = answer.await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn accepted(farm: &Farm, animation: &Value) -> Value {
    let (status, doc) = post(farm, animation).await;
    assert_eq!(status, 201, "{doc}");
    doc
}

fn address(doc: &Value) -> String {
    format!("/v1/animations/{}", doc["id"].as_str().unwrap())
}

fn frame(doc: &Value, number: u32) -> String {
    format!("{}{number:03x}", &doc["id"].as_str().unwrap()[..33])
}

async fn until(farm: &Farm, doc: &Value, condition: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let now = farm.get(&address(doc)).send().await.unwrap();
        let now: Value = now.json().await.unwrap();
        if condition(&now) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_done(farm: &Farm, doc: &Value) -> Value {
    until(farm, doc, |now| now["status"] == "done").await
}

async fn fetch(farm: &Farm, path: &str) -> Vec<u8> {
    let answer = farm.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

fn pixels(png: &[u8]) -> RgbImage {
    image::load_from_memory(png).unwrap().into_rgb8()
}

/// The frames of an APNG, each with its seconds, and whether it goes on for ever.
fn frames(apng: &[u8]) -> (Vec<(RgbImage, f64)>, bool) {
    let mut decoder = png::Decoder::new(Cursor::new(apng));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let control = *reader.info().animation_control().unwrap();
    let mut frames = Vec::new();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    for _ in 0..control.num_frames {
        let shown = reader.next_frame(&mut bytes).unwrap();
        let about = *reader.info().frame_control().unwrap();
        assert_eq!((about.x_offset, about.y_offset), (0, 0));
        assert_eq!(about.dispose_op, DisposeOp::None);
        let whole = bytes[..shown.buffer_size()].to_vec();
        let image = RgbImage::from_raw(shown.width, shown.height, whole).unwrap();
        let seconds = f64::from(about.delay_num) / f64::from(about.delay_den);
        frames.push((image, seconds));
    }
    reader.finish().unwrap();
    (frames, control.num_plays == 0)
}

/// The names in an archive, as `unzip` or Python would see them.
fn names(zip: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = zip;
    while let Some(header) = rest.strip_prefix(b"PK\x03\x04") {
        let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) as usize;
        let size = number(14) + (number(16) << 16);
        let name = &header[26..26 + number(22)];
        names.push(text(name));
        rest = &header[26 + number(22) + number(24) + size..];
    }
    names
}

#[tokio::test]
async fn the_frames_lie_along_the_path_and_are_put_together_as_they_are() {
    let farm = Farm::all();
    let doc = accepted(&farm, &path()).await;
    assert_eq!((&doc["frames"], &doc["fps"]), (&json!(10), &json!(20)));
    let done = until_done(&farm, &doc).await;
    assert_eq!(done["progress"], 1.0);
    assert_eq!(done["counts"]["done"], 10);
    assert!(done["finished_at"].is_string());

    let apng = fetch(&farm, &format!("{}.png", address(&doc))).await;
    let (shown, for_ever) = frames(&apng);
    assert_eq!(shown.len(), 10);
    assert!(for_ever);
    let mut sizes = 0;
    for (number, (image, seconds)) in (1..).zip(&shown) {
        let uuid = frame(&doc, number);
        let fractal = farm.show(&uuid).await;
        let way = f64::from(number - 1) / 9.0;
        assert!((fractal["c_re"].as_f64().unwrap() - (-0.8 + 0.4 * way)).abs() < 1e-12);
        assert!((fractal["c_im"].as_f64().unwrap() - (0.156 + 0.444 * way)).abs() < 1e-12);
        let png = fetch(&farm, &format!("/fractal/{uuid}")).await;
        assert!(*image == pixels(&png), "frame {number}");
        assert_eq!(*seconds, 0.05);
        sizes += png.len();
    }
    assert!(shown[0].0 != shown[9].0);
    assert_eq!(done["size"], json!(sizes));
    // A PNG reader that knows nothing of animations sees the first frame.
    assert!(pixels(&apng) == shown[0].0);

    let zip = fetch(&farm, &format!("{}.zip", address(&doc))).await;
    let expected: Vec<String> = (1..=10).map(|n| format!("frame-{n:04}.png")).collect();
    assert_eq!(names(&zip), expected);

    let list: Value = serde_json::from_slice(&fetch(&farm, "/v1/animations").await).unwrap();
    assert_eq!(list["animations"], json!([done]));
}

#[tokio::test]
async fn a_file_is_there_when_all_frames_are_and_never_changes() {
    let farm = Farm::api();
    let two = but(path(), json!({"frames": 2}));
    let doc = accepted(&farm, &two).await;
    for kind in ["png", "zip"] {
        let early = farm.get(&format!("{}.{kind}", address(&doc)));
        let early = early.send().await.unwrap();
        assert_eq!(early.status(), 404);
        let error: Value = early.json().await.unwrap();
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("0 of 2 frames are done"), "{message}");
    }
    // As by a worker of the original, which knows no palettes: three bytes a pixel, any colours.
    let mut delivered = Vec::new();
    for number in 1..=2u8 {
        let image = RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([x as u8 * 4, y as u8 * 5, 100 * number])
        });
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let uuid = frame(&doc, number.into());
        let put = farm.put(&format!(
            "/v1/fractal/{uuid}?duration=1&generated_by=somebody"
        ));
        let put = put.header("Content-Type", "image/png");
        let put = put.body(png.into_inner()).send().await.unwrap();
        assert_eq!(put.status(), 200);
        delivered.push(image);
    }
    let file = || farm.get(&format!("{}.png", address(&doc)));
    let answer = file().send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/png");
    let cache = answer.headers()["cache-control"].to_str().unwrap();
    assert!(cache.contains("immutable"), "{cache}");
    let tag = answer.headers()["etag"].clone();
    let (shown, _) = frames(&answer.bytes().await.unwrap());
    // The nearest colours of the palette, which are all that the file has.
    let palette = colours(&farm, &two).await;
    for ((shown, _), delivered) in shown.iter().zip(&delivered) {
        for (seen, meant) in shown.pixels().zip(delivered.pixels()) {
            let far = |colour: &[u8; 3]| -> i32 {
                let parts = colour.iter().zip(meant.0);
                parts
                    .map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2))
                    .sum()
            };
            let nearest = palette.iter().map(far).min().unwrap();
            assert_eq!(far(&seen.0), nearest);
        }
    }
    let known = file().header("If-None-Match", &tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    // Without a frame there is no animation any more.
    let gone = farm.delete(&format!("/v1/fractal/{}", frame(&doc, 2)));
    gone.send().await.unwrap();
    assert_eq!(file().send().await.unwrap().status(), 404);
    let rest = until(&farm, &doc, |_| true).await;
    assert_eq!(rest["status"], "incomplete");
}

/// The colours of a picture's palette.
async fn colours(farm: &Farm, animation: &Value) -> Vec<[u8; 3]> {
    let spec = |name: &str| animation[name].to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("picture.png");
    let rendered = Command::new(FAAFO)
        .args(["render", "--palette", "viridis", "--iterations"])
        .args([&spec("iterations"), "--width", "2", "--height", "2", "-o"])
        .arg(&file)
        .env("FAAFO_ENDPOINT_URL", &farm.base)
        .output();
    assert!(rendered.unwrap().status.success());
    let file = std::fs::File::open(file).unwrap();
    let reader = png::Decoder::new(std::io::BufReader::new(file));
    let reader = reader.read_info().unwrap();
    let palette = reader.info().palette.clone().unwrap();
    palette
        .chunks_exact(3)
        .map(|c| [c[0], c[1], c[2]])
        .collect()
}

#[tokio::test]
async fn an_animation_larger_than_its_share_of_memory_is_sent_frame_by_frame() {
    const SIDE: u32 = 1400;
    const FRAMES: u32 = 40;
    let farm = Farm::api();
    let change = json!({"width": SIDE, "height": SIDE, "frames": FRAMES, "palette": "classic"});
    let doc = accepted(&farm, &but(path(), change)).await;
    // Noise, which nothing makes smaller.
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let noise = image::GrayImage::from_fn(SIDE, SIDE, |_, _| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        image::Luma([random as u8])
    });
    let mut png = Cursor::new(Vec::new());
    noise.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    for number in 1..=FRAMES {
        let uuid = frame(&doc, number);
        let put = farm.put(&format!("/v1/fractal/{uuid}?duration=1&generated_by=me"));
        let put = put.header("Content-Type", "image/png").body(png.clone());
        assert_eq!(put.send().await.unwrap().status(), 200);
    }
    let before = farm.memory("VmHWM");
    let zip = fetch(&farm, &format!("{}.zip", address(&doc))).await;
    assert!(zip.len() > 70_000_000, "{}", zip.len());
    let apng = fetch(&farm, &format!("{}.png", address(&doc))).await;
    assert!(apng.len() > 15_000_000, "{}", apng.len());
    let more = farm.memory("VmHWM") - before;
    assert!(more < 45_000, "{more} KB more");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let farm = Farm::with(&["api", "--max-queued", "12", "--max-frames", "20"]);
    let id = "00000000-0000-8002-8c80-000000000000";
    for (change, status, field) in [
        (json!({"frames": 1}), 422, "frames"),
        (json!({"frames": 21}), 422, "frames"),
        (json!({"frames": "many"}), 422, "frames"),
        (json!({"frames": null}), 400, "frames"),
        (json!({"fps": 0}), 422, "fps"),
        (json!({"fps": 101}), 422, "fps"),
        (json!({"width": 20_001}), 422, "width"),
        (json!({"iterations": 0}), 422, "iterations"),
        (json!({"c_re": null}), 400, "c_re"),
        (json!({"to_c_re": null, "to_c_im": null}), 422, "to_c_re"),
        (json!({"around_re": 0, "around_im": 0}), 422, "around_re"),
        (
            json!({"to_c_re": null, "to_c_im": null, "around_re": 0}),
            422,
            "around_im",
        ),
        (json!({"to_xa": "left"}), 422, "to_xa"),
        // Its frames would be at infinity, on the way from one end of all numbers to the other.
        (json!({"xa": 1.7e308, "to_xa": -1.7e308}), 422, "xa"),
        (json!({"palette": "pink"}), 422, "palette"),
        (json!({"id": id}), 422, "id"),
        (json!({"id": "7"}), 422, "id"),
        (json!({"colour": "pink"}), 400, "colour"),
    ] {
        let (found, error) = post(&farm, &but(path(), change.clone())).await;
        assert_eq!(
            (found, &error["field"]),
            (status, &json!(field)),
            "{change} {error}"
        );
    }
    assert_eq!(farm.counts().await["queued"], 0);
    // Ten may wait, and then no ten more.
    accepted(&farm, &path()).await;
    let (status, error) = post(&farm, &path()).await;
    assert_eq!(status, 429, "{error}");
    assert_eq!(farm.counts().await["queued"], 10);
    let twice = but(path(), json!({"id": id, "frames": 2, "fps": 25}));
    assert_eq!(accepted(&farm, &twice).await["id"], id);
    for path in ["", ".png", ".zip", ".jpg"] {
        let other = "00000000-0000-8002-8c80-000000001000";
        for name in [other, "4ad5c2e8-3be3-4e1e-a9b5-6ef8b2c5b5e1", "x"] {
            let answer = farm.get(&format!("/v1/animations/{name}{path}"));
            assert_eq!(answer.send().await.unwrap().status(), 404, "{name}{path}");
        }
    }
}

#[tokio::test]
async fn cancelling_deletes_what_waits_and_stops_what_runs() {
    let farm = Farm::all();
    // Each of these would take minutes.
    let change = json!({"frames": 50, "to_xa": -0.43});
    let doc = accepted(&farm, &but(long(), change)).await;
    let running = until(&farm, &doc, |now| {
        now["counts"]["running"] != 0 && now["progress"].as_f64().unwrap() > 0.0
    });
    assert_eq!(running.await["status"], "running");
    let cancel = || farm.delete(&address(&doc)).send();
    assert_eq!(cancel().await.unwrap().status(), 204);
    assert_eq!(cancel().await.unwrap().status(), 404);
    let counts = farm.counts().await;
    assert_eq!(
        (&counts["queued"], &counts["running"]),
        (&json!(0), &json!(0))
    );
    // The workers are free.
    let next = farm.created().await;
    farm.until(next["uuid"].as_str().unwrap(), "done").await;
}

#[tokio::test]
async fn a_killed_farm_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let some =
        json!({"frames": 40, "width": 400, "height": 400, "iterations": 400, "to_xa": -0.43});
    let slow = but(long(), some);
    let mut farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    let doc = accepted(&farm, &slow).await;
    let half = until(&farm, &doc, |now| {
        now["counts"]["done"].as_u64().unwrap() > 1
    })
    .await;
    assert!(half["counts"]["done"].as_u64().unwrap() < 40, "{half}");
    farm.kill();
    let farm = Farm::on(folder.path(), &["all"]);
    let done = until_done(&farm, &doc).await;
    assert_eq!(done["counts"]["done"], 40);
    let apng = fetch(&farm, &format!("{}.png", address(&doc))).await;
    assert_eq!(frames(&apng).0.len(), 40);
}

fn animate(farm: &Farm, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(FAAFO);
    command
        .args(["animate", "--width", "40", "--height", "30"])
        .args(args)
        .env("FAAFO_ENDPOINT_URL", &farm.base)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_command_fetches_what_it_has_rendered() {
    let farm = Farm::all();
    let folder = TempDir::new().unwrap();
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let line = [
        "--from-c=-0.8,0.156",
        "--to-c=-0.4,0.6",
        "--frames",
        "7",
        "--fps",
        "10",
    ];
    let output = animate(
        &farm,
        folder.path(),
        &[&line[..], &["-o", "path.png"]].concat(),
    );
    let output = { output }.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "path.png\n");
    let (shown, _) = frames(&file("path.png"));
    assert_eq!(shown.len(), 7);
    assert_eq!(shown[0].1, 0.1);
    assert_eq!(shown[0].0.dimensions(), (40, 30));

    // Round a point, and deeper all the while.
    let round = [
        "--from-c=-0.8,0.1",
        "--around=-0.8,0",
        "--zoom",
        "16",
        "--at=0.1,0.2",
    ];
    let more = ["--frames", "5", "--zip", "-o", "-"];
    let output = animate(&farm, folder.path(), &[&round[..], &more].concat()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(names(&output.stdout).len(), 5);
    let list = fetch(&farm, "/v1/animations").await;
    let list: Value = serde_json::from_slice(&list).unwrap();
    let doc = &list["animations"][0];
    assert_eq!(doc["frames"], 5);
    let last = farm.show(&frame(doc, 5)).await;
    let of = |name: &str| last[name].as_f64().unwrap();
    assert!((of("xb") - of("xa") - 4.0 / 16.0).abs() < 1e-12, "{last}");
    assert!(((of("xb") + of("xa")) / 2.0 - 0.1).abs() < 1e-12, "{last}");
    assert!(((of("yb") + of("ya")) / 2.0 - 0.2).abs() < 1e-12, "{last}");
    let radius = (of("c_re") + 0.8).hypot(of("c_im"));
    assert!((radius - 0.1).abs() < 1e-12, "{last}");

    for (args, said) in [
        (&["--from-c=-0.8,0.156"][..], "say where it goes"),
        (&["--from-c=-0.8", "--to-c=0,0"][..], "two numbers such as"),
        (
            &["--from-c=0,0", "--to-c=1,1", "--frames", "1"][..],
            "1 is not in 2..=4095",
        ),
        (
            &["--from-c=0,0", "--to-c=1,1", "--frames", "601"][..],
            "from 2 to 600",
        ),
        (
            &["--from-c=0,0", "--to-c=1,1", "--around=1,1"][..],
            "cannot be used with",
        ),
    ] {
        let output = animate(&farm, folder.path(), args).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?} {stderr}");
        assert!(stderr.contains(said), "{args:?} {stderr}");
    }
    // Nothing but what was asked for.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn ctrl_c_cancels_the_whole_animation() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let folder = TempDir::new().unwrap();
    let args = [
        "--from-c=-0.3905408702184,-0.5867879073469687",
        "--to-c=-0.39,-0.58",
    ];
    let size = [
        "--width",
        "9000",
        "--height",
        "9000",
        "--iterations",
        "10000",
        "--span",
        "0.1",
    ];
    let mut command = Command::new(FAAFO);
    command
        .arg("animate")
        .args(
            [
                &args[..],
                &size,
                &["--centre=-0.37,-0.34", "-o", "never.png"],
            ]
            .concat(),
        )
        .env("FAAFO_ENDPOINT_URL", &farm.base)
        .current_dir(folder.path());
    let mut command = command.stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while farm.counts().await["running"] == 0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = command.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    let mut stderr = command.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "faafo: cancelling\n");
    let counts = farm.counts().await;
    let all = ["queued", "running", "done", "failed"].map(|name| counts[name].as_u64().unwrap());
    assert_eq!(all, [0; 4]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
