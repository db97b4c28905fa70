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
    /// Uuids that were answered 201.
    accepted: Vec<String>,
    attempted: u64,
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
                    ledger.lock().unwrap().attempted += 1;
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
    for cycle in 0..CYCLES {
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
        "{CYCLES} kills: attempted {attempted}, accepted {}, shown {}, lost {lost}, shown twice {twice}",
        accepted.len(),
        shown.len()
    );
    assert!(accepted.len() > 500, "too little load to tell");
    assert_eq!((lost, twice), (0, 0));
    assert!(shown.len() as u64 <= attempted);
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
    assert_eq!(again["attempts"], 2);
}

#[tokio::test]
async fn a_fractal_that_ends_the_process_every_time_fails_in_the_end() {
    let folder = TempDir::new().unwrap();
    let args = ["all", "--workers", "1", "--max-attempts", "1"];
    let mut farm = Farm::on(folder.path(), &args);
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap().to_owned();
    // One attempt is allowed, and a crash counts as a quarter of one.
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
        &["all", "--workers", "1", "--grace-period", "2"],
    );
    let long: serde_json::Value = farm.create(&common::long()).await.json().await.unwrap();
    let long = long["uuid"].as_str().unwrap();
    farm.until(long, "running").await;
    assert!(farm.stop().success());
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
