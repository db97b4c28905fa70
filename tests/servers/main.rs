//! Farms on real database servers: what they say at the start, and several nodes on one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod links;
mod tls;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::database::{DbServer, Kind, PASSWORD, execute, new_database};
use common::worker::Worker;
use common::{FAAFO, Farm, PATIENCE, small, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const BOTH: [Kind; 2] = [Kind::Postgres, Kind::MariaDb];

/// A file that holds the URL, as people are told to keep it.
fn secret(data: &Path, url: &str) -> PathBuf {
    std::fs::create_dir_all(data).unwrap();
    let file = data.join("url");
    std::fs::write(&file, format!("{url}\n")).unwrap();
    file
}

/// A node with a folder of its own on this database.
fn node(folder: &Path, name: &str, url: &str, args: &[&str]) -> Command {
    let mut command = common::command(&folder.join(name), args);
    command
        .arg("--database-url-file")
        .arg(secret(&folder.join(name), url))
        .args(["--log-level", "debug"]);
    command
}

fn farm(folder: &Path, name: &str, url: &str, args: &[&str]) -> Farm {
    Farm::run(node(folder, name, url, args), &folder.join(name))
}

/// Two slots, for these API nodes.
fn worker(farms: &[Farm]) -> Worker {
    let endpoints: Vec<&str> = farms.iter().map(|farm| farm.base.as_str()).collect();
    Worker::with(&endpoints, &["--workers", "2"])
}

async fn wait_until_idle(farm: &Farm, done: usize) {
    let begun = Instant::now();
    loop {
        let counts = farm.counts().await;
        if counts["done"].as_u64() == Some(done as u64) {
            return;
        }
        assert!(begun.elapsed() < 2 * common::PATIENCE, "{counts}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_start_at_once_on_an_empty_database_and_share_the_work() {
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let starts: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|name| {
                let (folder, url) = (folder.path().to_owned(), url.clone());
                std::thread::spawn(move || farm(&folder, name, &url, &["all", "--workers", "1"]))
            })
            .collect();
        let mut farms: Vec<Farm> = starts
            .into_iter()
            .map(|farm| farm.join().unwrap())
            .collect();
        let mut ids = Vec::new();
        for n in 0..80 {
            ids.push(
                farms[n % 4].created().await["uuid"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        wait_until_idle(&farms[0], 80).await;
        for (n, id) in ids.iter().enumerate() {
            // Any node shows what any other accepted, and renders nothing twice.
            let shown = farms[(n + 1) % 4].show(id).await;
            assert_eq!(
                (&shown["status"], &shown["attempts"]),
                (&json!("done"), &json!(1))
            );
            let png = farms[(n + 2) % 4]
                .get(&format!("/fractal/{id}"))
                .send()
                .await
                .unwrap();
            assert_eq!(
                common::sha256(&png.bytes().await.unwrap()),
                shown["checksum"]
            );
        }
        for farm in &mut farms {
            let args = std::fs::read(format!("/proc/{}/cmdline", farm.child.id())).unwrap();
            assert!(!text(&args).contains(PASSWORD));
            assert!(farm.stop().success());
            assert!(!farm.log_text().contains(PASSWORD));
        }
    }
}

#[tokio::test]
async fn a_database_that_is_none_of_ours_is_refused_in_one_line() {
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let refused = |url: &str| {
            let out = node(folder.path(), "a", url, &["api"]).output().unwrap();
            let said = text(&out.stderr);
            assert!(!said.contains(PASSWORD), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert_eq!(out.status.code(), Some(1), "{said}");
            said
        };
        drop(farm(folder.path(), "a", &url, &["api"]));
        execute(kind, &url, "UPDATE faafo_schema SET version = 99").await;
        assert!(refused(&url).contains("was made by a newer faafo (schema 99"));
        let other = new_database(kind).await;
        execute(kind, &other, "CREATE TABLE fractal (uuid int)").await;
        assert!(refused(&other).contains("is no store of faafo's"));
        assert!(refused(&url.replace(PASSWORD, "wrong")).contains("faafo"));
        refused(&format!("{url}x"));
    }
    let unknown = Command::new(FAAFO)
        .args(["api", "--database-url", "oracle://u:hush-hush@h/d"])
        .output()
        .unwrap();
    let said = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2), "{said}");
    assert!(
        said.contains("oracle://") && !said.contains(PASSWORD),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_beyond_the_servers_limit_has_failed_with_that_reason() {
    let server = DbServer::start(Kind::MariaDb, &["--max-allowed-packet=1M"]);
    execute(server.kind, &server.admin_url(), "CREATE DATABASE faafo").await;
    let folder = TempDir::new().unwrap();
    let farm = farm(
        folder.path(),
        "a",
        &server.url("faafo"),
        &["all", "--workers", "1"],
    );
    assert!(
        farm.log_text().contains("max_allowed_packet"),
        "warned at start"
    );
    let noisy = json!({"width": 3000, "height": 3000, "iterations": 500, "xa": -0.2, "xb": 0.2,
                       "ya": -0.2, "yb": 0.2, "c_re": -0.74543, "c_im": 0.11301});
    let large: Value = farm.create(&noisy).await.json().await.unwrap();
    let failed = farm.until(large["uuid"].as_str().unwrap(), "failed").await;
    let reason = failed["error"].as_str().unwrap();
    assert!(
        reason.contains("max_allowed_packet") && reason.contains("1048576"),
        "{reason}"
    );
    // It holds up nobody else.
    let id = farm.created().await["uuid"].as_str().unwrap().to_owned();
    farm.until(&id, "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_a_database_that_starts_after_it() {
    for kind in BOTH {
        let mut server = DbServer::start(kind, &[]);
        execute(kind, &server.admin_url(), "CREATE DATABASE faafo").await;
        let url = server.url("faafo");
        server.kill();
        let folder = TempDir::new().unwrap();
        // Told to stop while it waits, it does.
        let mut early = Worker::run(node(folder.path(), "a", &url, &["api"]));
        early.until_logged("waiting for").await;
        assert!(early.stop().success());
        let path = folder.path().to_owned();
        let start = std::thread::spawn(move || farm(&path, "a", &url, &["api"]));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!start.is_finished());
        let server = tokio::task::spawn_blocking(move || {
            server.run();
            server
        });
        let _server = server.await.unwrap();
        let farm = tokio::task::spawn_blocking(|| start.join().unwrap())
            .await
            .unwrap();
        let said = farm.log_text();
        assert!(said.contains("waiting for") && said.contains("127.0.0.1"));
        assert!(!said.contains(PASSWORD), "{said}");
        farm.created().await;
    }
}

#[tokio::test]
async fn a_node_whose_database_never_comes_says_so_and_ends() {
    let folder = TempDir::new().unwrap();
    let url = format!("postgres://faafo:{PASSWORD}@127.0.0.1:9/faafo");
    let begun = Instant::now();
    let out = node(folder.path(), "a", &url, &["api"]).output().unwrap();
    assert!(begun.elapsed() > Duration::from_secs(25));
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("postgres://faafo@127.0.0.1:9/faafo"),
        "{said}"
    );
    assert!(last.contains("cannot be reached") && !said.contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_accepts_another_ones_worker_renders_soon() {
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let farms = [
            farm(folder.path(), "a", &url, &["api"]),
            farm(folder.path(), "b", &url, &["api"]),
        ];
        let _worker = worker(&farms[1..]);
        let mut times = Vec::new();
        for n in 0..15 {
            let begun = Instant::now();
            let id = farms[0].created().await["uuid"]
                .as_str()
                .unwrap()
                .to_owned();
            farms[0].until(&id, "done").await;
            // The first waits for the worker to start.
            if n > 0 {
                times.push(begun.elapsed());
            }
        }
        times.sort();
        println!("{kind:?}: accepted at one node until done at another: {times:?}");
        assert!(times[times.len() / 2] < Duration::from_secs(8), "{times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_goes_on_when_the_node_that_lent_it_dies_and_stops_when_another_deletes_it() {
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let mut farms = [
            farm(folder.path(), "a", &url, &["api"]),
            farm(folder.path(), "b", &url, &["api"]),
        ];
        let _worker = worker(&farms);
        let long: Value = farms[0].create(&common::long()).await.json().await.unwrap();
        let id = long["uuid"].as_str().unwrap().to_owned();
        // The worker has heard of it, and says how far it is.
        let begun = Instant::now();
        while farms[0].show(&id).await["progress"].is_null() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        farms[0].child.kill().unwrap();
        farms[0].child.wait().unwrap();
        // The worker tells the other node how far it is.
        let begun = Instant::now();
        let mut shown = farms[1].show(&id).await;
        while shown["progress"].is_null() {
            assert_eq!(
                (&shown["status"], &shown["attempts"]),
                (&json!("running"), &json!(1))
            );
            assert!(begun.elapsed() < PATIENCE, "{shown}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            shown = farms[1].show(&id).await;
        }
        let took = begun.elapsed();
        println!("{kind:?}: adopted after {took:?}");
        // Not by the silence of the dead node.
        assert!(took < Duration::from_secs(20), "{took:?}");
        // Back, the first takes nothing away.
        farms[0] = farm(folder.path(), "a", &url, &["api"]);
        assert_eq!(farms[0].show(&id).await["status"], "running");
        assert_eq!(farms[0].show(&id).await["attempts"], 1);
        // Deleted there, the picture is rendered no further, and the slots are free for others.
        let gone = farms[0].delete(&format!("/v1/fractal/{id}")).send().await;
        assert_eq!(gone.unwrap().status(), 204);
        let begun = Instant::now();
        loop {
            let workers = farms[1].get("/v1/workers").send().await.unwrap();
            let workers: Value = workers.json().await.unwrap();
            if workers["objects"][0]["rendering"] == json!([]) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{workers}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("{kind:?}: stopped after {:?}", begun.elapsed());
        let small: Value = farms[0].create(&small()).await.json().await.unwrap();
        farms[0]
            .until(small["uuid"].as_str().unwrap(), "done")
            .await;
    }
}
