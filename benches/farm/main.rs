//! The figures that the README quotes: a release build under load from the same machine.
//!
//! `cargo bench` runs all of them, `cargo bench -- POST` those whose name contains that. With
//! `--features server-tests` there is a RabbitMQ, too, and with `FAAFO_TEST_DATABASE=postgres` or
//! `mariadb` farms keep their fractals there.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // a benchmark that fails says so

#[path = "../../tests/common/mod.rs"]
mod common;
mod load;
mod split;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Farm, but, small};
use faafo::farm::{Farm as FarmItself, Policy};
use faafo::fractal::{Constant, Draft, FractalSpec, Palette, Plane};
use faafo::queue::LocalQueue;
use faafo::render::{Control, RenderError, render_to_vec};
use faafo::store::{Sqlite, Store};
use faafo::worker::Workers;
use load::{Load, get, load, post};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

const CONNECTIONS: usize = 64;
const LOAD_TIME: Duration = Duration::from_secs(5);
const RUNS: usize = 5;

fn main() {
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{:<46} {:>24}   aim", "what", "measured");
    let row = |name: &str, run: &dyn Fn() -> String, aim: &str| {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("{name:<46} {:>24}   {aim}", run());
        }
    };
    row("start until ready", &ready, "<= 100 ms");
    row("idle, resident", &idle, "<= 30 MB");
    row(
        "default mix, 50 tasks",
        &|| runtime.block_on(mix()),
        ">= 60 tasks/s",
    );
    row(
        "POST /v1/fractal, 64 connections",
        &|| runtime.block_on(posts()),
        ">= 5000/s, p99 < 50 ms",
    );
    row(
        "list of 10 of 100,000",
        &|| runtime.block_on(lists()),
        ">= 5000/s",
    );
    row(
        "newest 30 done of 100,000",
        &|| runtime.block_on(newest()),
        "",
    );
    row(
        "10 of 100,000 by a column without index",
        &|| runtime.block_on(unindexed()),
        "",
    );
    row(
        "GET /fractal/UUID of 72 KB",
        &|| runtime.block_on(images()),
        ">= 8000/s",
    );
    row(
        "tiles of 256x256x512, 1 connection",
        &|| runtime.block_on(tiles(1)),
        "p50 <= 10 ms",
    );
    row(
        "tiles of 256x256x512, 6 connections",
        &|| runtime.block_on(tiles(6)),
        ">= 300/s",
    );
    row(
        "1,000,000 queued, resident",
        &|| runtime.block_on(million()),
        "< 100 MB",
    );
    row(
        "deleted while rendering, until it stops",
        &|| runtime.block_on(deletions()),
        "<= 50 ms",
    );
    row(
        "8 workers over HTTP, 256x256x256",
        &|| runtime.block_on(split::eight(&[])),
        ">= 300 tasks/s",
    );
    row(
        "POST until done, worker over HTTP",
        &|| runtime.block_on(split::latency(&[])),
        "p99 < 50 ms",
    );
    #[cfg(feature = "server-tests")]
    row(
        "8 workers over RabbitMQ, 256x256x256",
        &|| runtime.block_on(split::eight_by_broker()),
        ">= 200 tasks/s",
    );
    #[cfg(feature = "server-tests")]
    row(
        "POST until done, worker over RabbitMQ",
        &|| runtime.block_on(split::latency_by_broker()),
        "p99 < 50 ms",
    );
    row(
        "10,000 workers that wait",
        &|| runtime.block_on(split::pollers()),
        "<= 300 MB, <= 5 %",
    );
    row(
        "9999x9999x512, peak resident",
        &|| runtime.block_on(large()),
        "<= 300 MB",
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn told(load: &Load) -> String {
    assert_eq!(load.wrong, 0);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "{:.0}/s p50 {:.1} p99 {:.1} ms",
        load.per_second,
        ms(load.p50),
        ms(load.p99)
    )
}

/// From the start of the process to the first answer.
fn ready() -> String {
    let times = (0..RUNS * 2).map(|_| {
        let begun = Instant::now();
        let _farm = Farm::all();
        begun.elapsed().as_secs_f64() * 1e3
    });
    format!("{:.0} ms", median(times.collect()))
}

fn idle() -> String {
    let farm = Farm::all();
    std::thread::sleep(Duration::from_secs(1));
    format!("{:.1} MB", farm.memory("VmRSS") as f64 / 1e3)
}

/// What the original's client asks for: here with a fixed seed.
async fn mix() -> String {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut between = |a: f64, b: f64| random.random::<f64>() * (b - a) + a;
    let tasks: Vec<Value> = (0..50u128)
        .map(|n| {
            json!({"uuid": Uuid::from_u128(n), "width": between(256.0, 1025.0) as u32,
                   "height": between(256.0, 1025.0) as u32,
                   "iterations": between(128.0, 513.0) as u32,
                   "xa": between(-1.0, -4.0), "xb": between(1.0, 4.0),
                   "ya": between(-0.5, -3.0), "yb": between(0.5, 3.0)})
        })
        .collect();
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let farm = Farm::with(&["all"]);
        let begun = Instant::now();
        for task in &tasks {
            assert_eq!(farm.create(task).await.status(), 201);
        }
        while farm.counts().await["done"] != tasks.len() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        rates.push(tasks.len() as f64 / begun.elapsed().as_secs_f64());
    }
    format!("{:.0} tasks/s", median(rates))
}

async fn posts() -> String {
    let farm = Farm::api();
    let body = small().to_string();
    let posts = load(farm.port(), CONNECTIONS, LOAD_TIME, 201, move |_| {
        post("/v1/fractal", &body)
    });
    told(&posts.await)
}

/// Fills a store with `count` fractals, through the farm's own code.
async fn filled(folder: &Path, count: u128) {
    filled_with(folder, count, spec).await;
}

/// The store that a farm on this folder has.
async fn store_in(folder: &Path) -> Arc<dyn Store> {
    #[cfg(feature = "server-tests")]
    if let Some(kind) = common::database::asked_for() {
        let url = std::fs::read_to_string(common::database::of_folder(kind, folder)).unwrap();
        let database = faafo::store::url::Database::parse(&url).unwrap();
        return faafo::store::open(&database, folder, "bench")
            .await
            .unwrap();
    }
    Arc::new(Sqlite::open(folder).unwrap())
}

async fn filled_with(folder: &Path, count: u128, spec: fn(u32) -> FractalSpec) {
    let store = store_in(folder).await;
    let writers = (0..256).map(|first| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in (first..count).step_by(256) {
                // Spread over all uuids, as random ones are.
                let uuid =
                    Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
                store.insert(uuid, spec(n as u32), u64::MAX).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

fn spec(n: u32) -> FractalSpec {
    FractalSpec {
        width: 256 + n % 769,
        height: 256 + n % 701,
        iterations: 128 + n % 384,
        plane: Plane {
            xa: -2.0 - f64::from(n % 1009) / 1009.0,
            xb: 2.0,
            ya: -1.5,
            yb: 1.5,
        },
        c: Constant {
            re: -0.8,
            im: 0.156,
        },
        palette: Palette::Classic,
    }
}

async fn with_100_000(path: &'static str) -> Load {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), 100_000).await;
    let farm = Farm::on(folder.path(), &["api"]);
    load(farm.port(), CONNECTIONS, LOAD_TIME, 200, move |_| get(path)).await
}

async fn lists() -> String {
    told(&with_100_000("/v1/fractal").await)
}

async fn newest() -> String {
    let path = "/v1/fractal?results_per_page=30&q=%7B%22filters%22:%5B%7B%22name%22:%22status%22,\
                %22op%22:%22eq%22,%22val%22:%22queued%22%7D%5D,%22order_by%22:%5B%7B%22field%22:\
                %22created_at%22,%22direction%22:%22desc%22%7D%5D%7D";
    told(&with_100_000(path).await)
}

async fn unindexed() -> String {
    let path = "/v1/fractal?q=%7B%22order_by%22:%5B%7B%22field%22:%22xa%22%7D%5D%7D";
    told(&with_100_000(path).await)
}

/// A hundred images of noise, which does not compress: 72 KB each.
async fn images() -> String {
    let farm = Farm::api();
    let mut uuids = Vec::new();
    for n in 0..100 {
        let fractal = but(small(), json!({"width": 160, "height": 150}));
        let new: Value = farm.create(&fractal).await.json().await.unwrap();
        let uuid = new["uuid"].as_str().unwrap().to_owned();
        let put = farm
            .put(&format!("/v1/fractal/{uuid}?duration=1&generated_by=bench"))
            .header("Content-Type", "image/png")
            .body(noise(n));
        assert_eq!(put.send().await.unwrap().status(), 200);
        uuids.push(uuid);
    }
    let images = load(farm.port(), CONNECTIONS, LOAD_TIME, 200, move |n| {
        get(&format!("/fractal/{}", uuids[n as usize % uuids.len()]))
    });
    told(&images.await)
}

fn noise(seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noise = image::RgbImage::from_fn(160, 150, |_, _| image::Rgb(random.random()));
    let mut bytes = std::io::Cursor::new(Vec::new());
    noise.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// What the explorer asks for, each of another c, so that none is known: the middle of a Julia set on a
/// screen, four tiles wide.
async fn tiles(connections: usize) -> String {
    let farm = Farm::api();
    let tiles = load(farm.port(), connections, LOAD_TIME, 200, |n| {
        let (x, y) = (2 + n % 4, 3 + n / 4 % 2);
        let c_im = 0.156 + n as f64 * 1e-7;
        get(&format!(
            "/v1/tiles/3/{x}/{y}.png?c_re=-0.8&c_im={c_im}&iterations=512&palette=twilight"
        ))
    });
    told(&tiles.await)
}

/// A farm that has a million fractals to do, and does them.
async fn million() -> String {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), 1_000_000).await;
    let farm = Farm::on(folder.path(), &["all"]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(farm.counts().await["done"].as_u64().unwrap() > 10);
    format!("{:.1} MB", farm.memory("VmHWM") as f64 / 1e3)
}

async fn large() -> String {
    let farm = Farm::with(&["all"]);
    let change = json!({"width": 9999, "height": 9999, "iterations": 512});
    let new: Value = farm
        .create(&but(small(), change))
        .await
        .json()
        .await
        .unwrap();
    let done = farm.until(new["uuid"].as_str().unwrap(), "done").await;
    let (peak, seconds) = (
        farm.memory("VmHWM") as f64 / 1e3,
        done["duration"].as_f64().unwrap(),
    );
    format!("{peak:.0} MB, {seconds:.1} s")
}

/// How long a render of [`timed`] went on after it was told to stop, right after the commit.
static STOPPED: Mutex<Option<Duration>> = Mutex::new(None);

fn timed(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            while !control.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_micros(50));
            }
            Instant::now()
        });
        let rendered = render_to_vec(spec, control);
        let returned = Instant::now();
        *STOPPED.lock().unwrap() = Some(returned - told.join().unwrap());
        rendered
    })
}

/// From the commit to the renderer's return, and the whole of it with the commit: the worst of ten
/// moments in each of two pictures. In this process, as only there the renderer is seen to return.
async fn deletions() -> String {
    let folder = TempDir::new().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.path()).unwrap());
    let farm = FarmItself::open(store, LocalQueue::start, Policy::default()).await;
    let farm = Arc::new(farm.unwrap());
    let _workers = Workers::start(1, "bench", timed, &farm);
    let mut running = farm.counts();
    // Within its Siegel disk points neither escape nor come to rest in a cycle.
    let (re, im) = (-0.3905408702184, -0.5867879073469687);
    let (x, y) = (-0.37, -0.34);
    let endless = (1_000, 1_000_000, 0.05);
    let large = (10_000, 512, 1.0);
    let (mut worst, mut whole) = (Duration::ZERO, Duration::ZERO);
    for (side, iterations, half) in [endless, large] {
        for n in 0..10 {
            let draft = Draft {
                width: side,
                height: side,
                iterations,
                plane: Plane {
                    xa: x - half,
                    xb: x + half,
                    ya: y - half,
                    yb: y + half,
                },
                c_re: Some(re),
                c_im: Some(im),
                palette: Palette::Classic,
            };
            let fractal = farm.submit(Uuid::new_v4(), &draft).await.unwrap();
            running
                .wait_for(|counts| counts.running == 1)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(20 + 17 * n)).await;
            let asked = Instant::now();
            assert!(farm.delete(fractal.uuid).await.unwrap());
            let stopped = loop {
                if let Some(stopped) = STOPPED.lock().unwrap().take() {
                    break stopped;
                }
                tokio::time::sleep(Duration::from_micros(100)).await;
            };
            worst = worst.max(stopped);
            whole = whole.max(asked.elapsed());
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.1} ms, in all {:.1} ms", ms(worst), ms(whole))
}
