//! A full disk: requests are told so, nothing is corrupted, and service resumes when there is room.
//!
//! The data folder is a small file system of its own, in a mount namespace of the farm's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::scrape::Scrape;
use common::{FAAFO, Farm, but, small};
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
    // It renders for some seconds: time to fill the disk meanwhile.
    let large = json!({"width": 2000, "height": 2000, "iterations": 2000, "xa": -0.1, "xb": 0.1,
                       "ya": -0.1, "yb": 0.1, "c_re": -0.1, "c_im": 0.1});
    let new: Value = farm
        .create(&but(small(), large))
        .await
        .json()
        .await
        .unwrap();
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
