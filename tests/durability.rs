//! Killed at any moment, the farm loses nothing it accepted and shows nothing twice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Farm, but, command, small, uuid};
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;

const CYCLES: u32 = 50;

/// What the load generator knows of the fractals it asked for.
#[derive(Default)]
struct Ledger {
    /// Uuids that were asked for, and those of them that were answered 201.
    attempted: Vec<String>,
    accepted: Vec<String>,
}

/// Posts from several clients until the farm dies.
fn load(farm: &Farm, ledger: Arc<Mutex<Ledger>>) -> Vec<tokio::task::JoinHandle<()>> {
    let url = farm.url("/v1/fractal");
    (0..8)
        .map(|_| {
            let (url, ledger, client) = (url.clone(), ledger.clone(), common::client());
            tokio::spawn(async move {
                loop {
                    let id = uuid();
                    ledger.lock().unwrap().attempted.push(id.clone());
                    let fractal = but(small(), json!({"uuid": id}));
                    match client.post(&url).json(&fractal).send().await {
                        Ok(response) if response.status() == 201 => {
                            ledger.lock().unwrap().accepted.push(id);
                        }
                        Ok(response) => panic!("{}", response.status()),
                        Err(_) => return,
                    }
                }
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_and_show_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let enough = || ledger.lock().unwrap().accepted.len() > 500;
    for cycle in 0.. {
        if cycle >= CYCLES && enough() {
            break;
        }
        assert!(cycle < 20 * CYCLES, "too little load to tell");
        let mut farm = Farm::on(folder.path(), &["all", "--workers", "2"]);
        let posts = load(&farm, ledger.clone());
        let time = random.random_range(1..120);
        tokio::time::sleep(Duration::from_millis(time)).await;
        farm.kill();
        for post in posts {
            post.await.unwrap();
        }
        if cycle % 10 == 0 {
            assert_eq!(integrity(folder.path()), "ok");
        }
    }
    assert_eq!(integrity(folder.path()), "ok");

    let mut farm = Farm::on(folder.path(), &["all", "--workers", "2"]);
    wait_until_idle(&farm).await;
    let mut shown: HashMap<String, u32> = HashMap::new();
    let out = farm.cli(&["list", "-f", "value"]);
    assert!(out.status.success());
    for line in common::text(&out.stdout).lines() {
        let mut fields = line.split(' ');
        let id = fields.next().unwrap().to_owned();
        assert_eq!(fields.next(), Some("done"), "{line}");
        *shown.entry(id).or_default() += 1;
    }
    let Ledger {
        accepted,
        attempted,
    } = std::mem::take(&mut *ledger.lock().unwrap());
    let lost = accepted.iter().filter(|id| !shown.contains_key(*id));
    let (lost, twice) = (
        lost.count(),
        shown.values().filter(|times| **times > 1).count(),
    );
    println!(
        "{CYCLES} kills: attempted {}, accepted {}, shown {}, lost {lost}, shown twice {twice}",
        attempted.len(),
        accepted.len(),
        shown.len()
    );
    assert_eq!((lost, twice), (0, 0));
    // Whoever got no answer may ask again: either way there is one fractal for each uuid, and one row.
    for id in attempted.iter().filter(|id| !accepted.contains(id)) {
        let again = farm.create(&but(small(), json!({"uuid": id}))).await;
        let expected = if shown.contains_key(id) { 400 } else { 201 };
        assert_eq!(again.status(), expected, "{id}");
    }
    wait_until_idle(&farm).await;
    let counts = json!({"queued": 0, "running": 0, "done": attempted.len(), "failed": 0,
                        "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(farm.counts().await, counts);
    assert_eq!(farm.search(json!({"limit": 1})).await.len(), 1);
    // The images are whole, too.
    for id in accepted.iter().step_by(37) {
        let png = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
        let png = png.bytes().await.unwrap();
        assert_eq!(farm.show(id).await["checksum"], common::sha256(&png));
    }
    assert!(farm.stop().success());
}

async fn wait_until_idle(farm: &Farm) {
    let begun = std::time::Instant::now();
    loop {
        let counts = farm.counts().await;
        if counts["queued"] == 0 && counts["running"] == 0 {
            return;
        }
        assert!(begun.elapsed() < 5 * common::PATIENCE, "{counts}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn integrity(data: &std::path::Path) -> String {
    let conn = rusqlite::Connection::open(data.join("faafo.db")).unwrap();
    let check = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    check.unwrap()
}

#[tokio::test]
async fn what_was_running_is_taken_up_again() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap();
    farm.until(long, "running").await;
    farm.kill();
    let farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    let again = farm.until(long, "running").await;
    assert_eq!(
        again["attempts"], 1,
        "being killed is not the picture's fault"
    );
}

#[tokio::test]
async fn what_was_cut_off_goes_first() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    // Long enough to be met while running, short enough to end soon after.
    let change = json!({"width": 3000, "height": 3000, "iterations": 3000, "xa": -0.1, "xb": 0.1,
                        "ya": -0.1, "yb": 0.1});
    let cut: serde_json::Value = farm
        .create(&but(small(), change))
        .await
        .json()
        .await
        .unwrap();
    let cut = cut["uuid"].as_str().unwrap();
    farm.until(cut, "running").await;
    // More than the queue's window, so that the feeder has something to read on.
    let added = farm.cli(&["create", "--tasks", "600"]);
    assert!(added.status.success());
    farm.kill();
    let farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    farm.until(cut, "done").await;
    assert!(farm.counts().await["done"].as_u64().unwrap() < 100);
}

#[tokio::test]
async fn what_a_client_asked_for_and_left_is_done_all_the_same() {
    let farm = Farm::all();
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .timeout(Duration::from_micros(300))
        .build()
        .unwrap();
    for _ in 0..60 {
        // Gone before the answer, most of them.
        let _ = client
            .post(farm.url("/v1/fractal"))
            .json(&small())
            .send()
            .await;
    }
    // Far sooner than the queue's periodic sweep would find them.
    let begun = std::time::Instant::now();
    wait_until_idle(&farm).await;
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_uuid_that_comes_again_is_another_fractal() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let id = uuid();
    let long = but(common::long(), json!({"uuid": id}));
    for _ in 0..5 {
        assert_eq!(farm.create(&long).await.status(), 201);
        farm.until(&id, "running").await;
        let path = format!("/v1/fractal/{id}");
        assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    }
    let new = but(small(), json!({"uuid": id}));
    assert_eq!(farm.create(&new).await.status(), 201);
    let done = farm.until(&id, "done").await;
    assert_eq!((&done["width"], &done["attempts"]), (&json!(16), &json!(1)));
}

#[tokio::test]
async fn a_fractal_that_ends_the_process_every_time_fails_in_the_end() {
    let folder = TempDir::new().unwrap();
    let args = ["all", "--workers", "1", "--max-attempts", "1"];
    let mut farm = Farm::on(folder.path(), &args);
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap().to_owned();
    // Four times the attempts that are allowed.
    for _ in 0..4 {
        farm.until(&long, "running").await;
        farm.kill();
        farm = Farm::on(folder.path(), &args);
    }
    let failed = farm.until(&long, "failed").await;
    assert_eq!(
        failed["error"],
        "the process ended 4 times while rendering this"
    );
    let retry = farm
        .post(&format!("/v1/fractal/{long}/retry"))
        .send()
        .await
        .unwrap();
    assert_eq!(retry.status(), 200);
    farm.until(&long, "running").await;
}

#[tokio::test]
async fn stopping_gives_back_what_is_being_rendered() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(
        folder.path(),
        &["all", "--workers", "1", "--grace-period", "20"],
    );
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap();
    farm.until(long, "running").await;
    // So long the render has to finish by itself.
    let patience = Duration::from_secs(5);
    let told = std::time::Instant::now();
    assert!(farm.stop().success());
    let left = told.elapsed().saturating_sub(patience);
    println!("SIGTERM: the process ended {left:?} after its patience did");
    assert!(left < Duration::from_secs(10), "{left:?}");
    let farm = Farm::on(folder.path(), &["api"]);
    let queued = farm.show(long).await;
    assert_eq!(
        (&queued["status"], &queued["attempts"]),
        (&json!("queued"), &json!(0))
    );
}

#[tokio::test]
async fn told_to_stop_twice_it_stops_at_once() {
    let mut farm = Farm::with(&["all", "--workers", "1", "--grace-period", "600"]);
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    farm.until(long["uuid"].as_str().unwrap(), "running").await;
    farm.signal("-INT");
    farm.signal("-INT");
    let begun = std::time::Instant::now();
    while farm.child.try_wait().unwrap().is_none() {
        farm.signal("-INT");
        assert!(begun.elapsed() < Duration::from_secs(4));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn one_process_a_folder() {
    let farm = Farm::api();
    let second = command(&farm.data, &["api"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = common::text(&second.stderr);
    assert!(
        said.contains("another faafo uses the data folder"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(Farm::on(folder.path(), &["api"]));
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let refused = command(folder.path(), &["api"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = common::text(&refused.stderr);
    assert!(
        said.contains("was made by a newer faafo (schema 99"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("faafo.db"), "a diary\n".repeat(200)).unwrap();
    let refused = command(folder.path(), &["api"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = common::text(&refused.stderr);
    assert!(said.contains("is no store of faafo's"), "{said}");
}

#[tokio::test]
async fn nothing_is_accepted_once_the_data_is_gone() {
    let folder = TempDir::new().unwrap();
    let farm = Farm::on(folder.path(), &["api"]);
    farm.created().await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(farm.create(&small()).await.status(), 503);
    assert_eq!(farm.get("/readyz").send().await.unwrap().status(), 503);
}
