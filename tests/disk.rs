//! A full disk: requests are told so, nothing is corrupted, and service resumes when there is room.
//!
//! The data folder is a small file system of its own, in a mount namespace of the farm's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::scrape::Scrape;
use common::worker::{Worker, create, score, until_all_done};
use common::{FAAFO, Farm, slow, small};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Starts the farm on a tmpfs of 6 MB, which lives as long as the farm does.
fn on_small_disk(folder: &Path, args: &str) -> Farm {
    let script = format!(
        "mount -t tmpfs -o size=6m none {folder} && \
         exec {FAAFO} {args} --bind-port 0 --log-format json --data-dir {folder}",
        folder = folder.display()
    );
    let mut command = Command::new("unshare");
    // Root needs no user namespace; others get one.
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--mount", "sh", "-c", &script])
        .stdin(Stdio::null());
    Farm::run(command, folder)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The farm's own view of its data folder.
fn inside(farm: &Farm, file: &str) -> PathBuf {
    let data = farm.data.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{}/root", farm.child.id()))
        .join(data)
        .join(file)
}

fn fill(file: &Path) {
    use std::io::Write;
    let mut ballast = std::fs::File::create(file).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn a_full_disk_refuses_and_resumes() {
    let folder = TempDir::new().unwrap();
    let farm = on_small_disk(folder.path(), "api");
    let kept = farm.created().await;
    let ballast = inside(&farm, "ballast");
    fill(&ballast);

    let mut accepted = vec![kept["uuid"].as_str().unwrap().to_owned()];
    let full = loop {
        // Room inside the log's last block may take some more.
        let response = farm.create(&small()).await;
        if response.status() != 201 {
            break response;
        }
        let new: Value = response.json().await.unwrap();
        accepted.push(new["uuid"].as_str().unwrap().to_owned());
        assert!(accepted.len() < 10_000, "the disk never fills up");
    };
    assert_eq!(full.status(), 507);
    assert!(full.headers().contains_key("retry-after"));
    let error: Value = full.json().await.unwrap();
    assert_eq!(
        error["message"],
        "there is no room left on the store's disk"
    );
    // Reading goes on.
    for uuid in &accepted {
        assert_eq!(farm.show(uuid).await["status"], "queued");
    }
    assert_eq!(farm.counts().await["queued"], accepted.len());
    let scrape = Scrape::of(&farm).await;
    let errors = scrape.value("faafo_store_errors_total", &[("kind", "disk_full")]);
    assert!(errors >= 1.0, "{}", scrape.text);
    let queued = scrape.value("faafo_fractals", &[("status", "queued")]);
    assert_eq!(queued, accepted.len() as f64);

    std::fs::remove_file(&ballast).unwrap();
    accepted.push(farm.created().await["uuid"].as_str().unwrap().to_owned());
    assert_eq!(farm.counts().await["queued"], accepted.len());
    let conn = rusqlite::Connection::open(inside(&farm, "faafo.db")).unwrap();
    let check: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn an_image_that_finds_no_room_is_kept_until_there_is() {
    let folder = TempDir::new().unwrap();
    let farm = on_small_disk(folder.path(), "all --workers 1");
    // Time to fill the disk meanwhile.
    let new: Value = farm.create(&slow()).await.json().await.unwrap();
    let uuid = new["uuid"].as_str().unwrap();
    farm.until(uuid, "running").await;
    let ballast = inside(&farm, "ballast");
    fill(&ballast);
    farm.until_logged("cannot keep a result; trying again")
        .await;
    assert_eq!(farm.show(uuid).await["status"], "running");
    std::fs::remove_file(&ballast).unwrap();
    let done = farm.until(uuid, "done").await;
    assert_eq!(done["attempts"], 1);
    let image = farm.get(&format!("/fractal/{uuid}")).send().await.unwrap();
    assert_eq!(
        done["checksum"],
        common::sha256(&image.bytes().await.unwrap())
    );
}

/// Results of a worker elsewhere: kept there, on its disk, until the API node has room again.
#[tokio::test]
async fn results_of_a_worker_elsewhere_wait_there_for_room() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let farm = on_small_disk(folder.path(), "api --lease 5");
    let args = ["--workers", "2", "--name", "w1"];
    let mut worker = Worker::on(spool.path(), &[&farm.base], &args);
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(create(&farm, &slow()).await);
    }
    for id in &ids {
        farm.until(id, "running").await;
    }
    // Waits meanwhile, and finds no worker.
    ids.push(create(&farm, &small()).await);
    let ballast = inside(&farm, "ballast");
    fill(&ballast);
    let begun = std::time::Instant::now();
    // One of the two may have found room in the log's last block.
    let are = async |status: &str| {
        let mut count = 0;
        for id in &ids[..2] {
            count += usize::from(farm.show(id).await["status"] == status);
        }
        count
    };
    while common::worker::results(spool.path()) + are("done").await < 2 {
        assert!(begun.elapsed() < common::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Longer than a lease: they are held on to, and nobody spins.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    let waiting = common::worker::results(spool.path());
    assert!(waiting > 0, "the disk was not full");
    assert_eq!(are("running").await, waiting);
    assert_eq!(farm.show(&ids[2]).await["status"], "queued");
    assert_eq!(worker.logged("the farm cannot keep results now"), 1);
    assert_eq!(worker.logged("no API node answers"), 0);
    assert!(worker.logged("cannot deliver a result") < 60);
    let begin = |line: &Value| {
        line["message"]
            .as_str()
            .unwrap_or("")
            .starts_with("cannot begin tasks")
    };
    assert_eq!(farm.log().iter().filter(|line| begin(line)).count(), 1);
    // Killed, it delivers them after its next start.
    worker.kill();
    let worker = Worker::on(
        spool.path(),
        &[&farm.base],
        &["--workers", "2", "--name", "w2"],
    );
    worker
        .until_logged("the farm cannot keep results now")
        .await;

    std::fs::remove_file(&ballast).unwrap();
    until_all_done(&farm, 3).await;
    for (id, name) in ids.iter().zip(["w1", "w1", "w2"]) {
        assert_eq!(farm.show(id).await["generated_by"], name);
    }
    worker.until_logged("the farm keeps results again").await;
    assert_eq!(common::worker::results(spool.path()), 0);
    score("a full disk under the API's store", &farm, 3, &ids).await;
}

/// No room on either side: results stay in memory, and tasks of a worker that dies go to others.
#[tokio::test]
async fn a_full_spool_keeps_what_it_can_and_loses_nothing() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let farm = on_small_disk(folder.path(), "api --lease 5");
    // No byte of results on disk.
    let args = ["--workers", "2", "--spool-size", "0", "--name"];
    let mut worker = Worker::on(spool.path(), &[&farm.base], &[&args[..], &["w1"]].concat());
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(create(&farm, &slow()).await);
    }
    for id in &ids {
        farm.until(id, "running").await;
    }
    let ballast = inside(&farm, "ballast");
    fill(&ballast);
    worker
        .until_logged("the spool takes no further result")
        .await;
    worker.until_logged("cannot deliver a result").await;
    assert_eq!(common::worker::results(spool.path()), 0);
    std::fs::remove_file(&ballast).unwrap();
    until_all_done(&farm, 2).await;
    for id in &ids {
        let done = farm.show(id).await;
        assert_eq!(
            (&done["generated_by"], &done["attempts"]),
            (&json!("w1"), &json!(1))
        );
    }

    for _ in 0..2 {
        ids.push(create(&farm, &slow()).await);
    }
    for id in &ids[2..] {
        farm.until(id, "running").await;
    }
    fill(&ballast);
    let begun = std::time::Instant::now();
    while worker.logged("the farm cannot keep results now") < 2 {
        assert!(begun.elapsed() < common::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    worker.kill();
    // What it had sent by then is answered; one of the two may have found room in the log's last block.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut expected = Vec::new();
    for id in &ids[2..] {
        let kept = farm.show(id).await["status"] == "done";
        expected.push(if kept { "w1" } else { "w2" });
    }
    assert!(expected.contains(&"w2"), "the disk was not full");
    std::fs::remove_file(&ballast).unwrap();
    let _other = Worker::on(spool.path(), &[&farm.base], &[&args[..], &["w2"]].concat());
    until_all_done(&farm, 4).await;
    for (id, name) in ids[2..].iter().zip(expected) {
        let done = farm.show(id).await;
        assert_eq!(
            (&done["generated_by"], &done["attempts"]),
            (&json!(name), &json!(1))
        );
    }
    score("a full disk under the store and no spool", &farm, 4, &ids).await;
}
