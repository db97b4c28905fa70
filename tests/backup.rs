//! Backups: made under load, restored elsewhere, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{FAAFO, Farm, but, sha256, small, text};
use serde_json::{Value, json};
use tempfile::TempDir;

fn faafo(args: &[&str], data: &Path) -> Output {
    let mut command = Command::new(FAAFO);
    command.args(args).arg("--data-dir").arg(data);
    command.env_remove("FAAFO_CONFIG_FILE").output().unwrap()
}

/// The one line of a command that failed.
fn error(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Checksums of all fractals that are done, by their uuids, each held against its image.
async fn checksums(farm: &Farm) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for page in 1.. {
        let q = json!({"filters": [{"name": "status", "op": "eq", "val": "done"}]}).to_string();
        let page = page.to_string();
        let query = [
            ("page", page.as_str()),
            ("results_per_page", "100"),
            ("q", &q),
        ];
        let list = farm.list(&query).await;
        let objects = list["objects"].as_array().unwrap();
        if objects.is_empty() {
            return found;
        }
        for fractal in objects {
            let uuid = fractal["uuid"].as_str().unwrap();
            let image = farm.get(&format!("/fractal/{uuid}")).send().await.unwrap();
            let sum = sha256(&image.bytes().await.unwrap());
            assert_eq!(fractal["checksum"], sum.as_str());
            found.insert(uuid.to_owned(), sum);
        }
    }
    unreachable!()
}

/// Waits until nothing waits for a render, nor is rendered.
async fn until_idle(farm: &Farm) {
    let idle = async {
        loop {
            let counts = farm.counts().await;
            if counts["queued"] == 0 && counts["running"] == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, idle).await.unwrap();
}

#[tokio::test]
async fn a_backup_under_load_restores_every_picture_and_loses_nothing_accepted_before() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let farm = Arc::new(Farm::on(folder.path(), &["all", "--workers", "2"]));
    let size = json!({"width": 320, "height": 240, "iterations": 200});
    // Creating and rendering goes on throughout.
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (farm, stop, spec) = (farm.clone(), stop.clone(), but(small(), size.clone()));
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let response = farm.create(&spec).await;
                    assert_eq!(response.status(), 201);
                    let fractal: Value = response.json().await.unwrap();
                    accepted.push(fractal["uuid"].as_str().unwrap().to_owned());
                }
                accepted
            })
        })
        .collect();
    let enough = async |count: u64| {
        while farm.counts().await["done"].as_u64().unwrap() < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, enough(50))
        .await
        .unwrap();
    let before = farm.list(&[("results_per_page", "100")]).await;
    let file = kept.path().join("farm.tar.zst");
    let (to, data) = (file.clone(), farm.data.clone());
    let backup = move || faafo(&["backup", to.to_str().unwrap()], &data);
    let told = done(&tokio::task::spawn_blocking(backup).await.unwrap());
    assert!(told.contains("fractals, "), "{told}");
    let at_backup = farm.counts().await["done"].as_u64().unwrap();
    // It went on rendering meanwhile, and goes on.
    tokio::time::timeout(common::PATIENCE, enough(at_backup + 5))
        .await
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    for task in load {
        assert!(!task.await.unwrap().is_empty());
    }
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(kept.path()).unwrap().count(),
        1,
        "it tidies up"
    );

    let new = TempDir::new().unwrap();
    let copy = new.path().join("farm");
    done(&faafo(&["restore", file.to_str().unwrap()], &copy));
    assert_eq!(
        std::fs::read_dir(&copy).unwrap().count(),
        2,
        "the store, and the lock"
    );
    // Without workers: nothing is done but what was when the backup was made.
    let restored = Farm::on(&copy, &["api"]);
    // Pages of a list that grows would skip some.
    until_idle(&farm).await;
    let originals = checksums(&farm).await;
    let copies = checksums(&restored).await;
    assert!(copies.len() >= 50, "{}", copies.len());
    for (uuid, sum) in &copies {
        assert_eq!(originals.get(uuid), Some(sum), "{uuid}");
    }
    for fractal in before["objects"].as_array().unwrap() {
        let uuid = fractal["uuid"].as_str().unwrap();
        assert_eq!(restored.show(uuid).await["c_re"], fractal["c_re"], "{uuid}");
    }
    let counts = restored.counts().await;
    assert_eq!(counts["done"], copies.len());
    assert_eq!(counts["running"], 0);
    let conn = rusqlite::Connection::open(copy.join("faafo.db")).unwrap();
    let check = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.unwrap(), "ok");
    drop(restored);
    // What waited then is rendered now.
    let restored = Farm::on(&copy, &["all", "--workers", "2"]);
    until_idle(&restored).await;
}

#[tokio::test]
async fn anybodys_tools_open_a_backup_and_check_it() {
    let farm = Farm::beyond(&["api"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("b.tar.zst");
    done(&faafo(&["backup", file.to_str().unwrap()], &farm.data));
    let bytes = std::fs::read(&file).unwrap();
    let plain = folder.path().join("b.tar");
    std::fs::write(&plain, zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let run = |command: &str| {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-ec", command]).current_dir(folder.path());
        let ran = shell.output().unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    let said = run("tar -xf b.tar && sha256sum -c SHA256SUMS");
    for name in [
        "faafo.db",
        "faafo-backup.json",
        "tokens/user",
        "tokens/worker",
    ] {
        assert!(said.contains(&format!("{name}: OK")), "{said}");
    }
    // With the farm's tokens, as others have them.
    let copy = folder.path().join("copy");
    done(&faafo(&["restore", file.to_str().unwrap()], &copy));
    let token = |data: &Path| done(&faafo(&["token"], data));
    assert_eq!(token(&copy), token(&farm.data));
    // Where the store has a place of its own, the tokens still go to the data folder; and where there
    // are tokens, there is a farm.
    let (data, store) = (folder.path().join("data"), folder.path().join("store.db"));
    let restore = |args: &[&str]| {
        let mut restore = Command::new(FAAFO);
        restore
            .args(["restore", file.to_str().unwrap(), "--data-dir"])
            .arg(&data)
            .args(args);
        let url = format!("sqlite:///{}", store.display());
        restore.env("FAAFO_DATABASE_URL", url).output().unwrap()
    };
    done(&restore(&[]));
    assert_eq!(token(&data), token(&farm.data));
    std::fs::remove_file(&store).unwrap();
    let there = error(&restore(&[]));
    assert!(there.contains("tokens/user already: --force"), "{there}");
    done(&restore(&["--force"]));
    assert!(store.exists());
}

#[tokio::test]
async fn what_is_there_is_replaced_by_force_alone_and_never_under_a_server() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = kept.path().join("b.tar.zst");
    let file = file.to_str().unwrap();
    let data = folder.path();
    let mut farm = Farm::on(data, &["all"]);
    let first = farm.created().await;
    let first = farm.until(first["uuid"].as_str().unwrap(), "done").await;
    done(&faafo(&["backup", file], data));
    let second = farm.created().await;

    let held = error(&faafo(&["restore", "--force", file], data));
    assert!(
        held.contains("another faafo uses the data folder"),
        "{held}"
    );
    // Killed, so that its write-ahead log is left behind.
    farm.kill();
    let there = error(&faafo(&["restore", file], data));
    assert!(there.contains("--force replaces it"), "{there}");
    let farm = Farm::on(data, &["api"]);
    assert_eq!(
        farm.show(second["uuid"].as_str().unwrap()).await["uuid"],
        second["uuid"]
    );
    drop(farm);

    done(&faafo(&["restore", "--force", file], data));
    let farm = Farm::on(data, &["api"]);
    assert_eq!(farm.show(first["uuid"].as_str().unwrap()).await, first);
    let gone = format!("/v1/fractal/{}", second["uuid"].as_str().unwrap());
    assert_eq!(farm.get(&gone).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_damaged_backup_replaces_nothing() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = kept.path().join("b.tar.zst");
    let data = folder.path();
    let mut farm = Farm::on(data, &["api"]);
    let fractal = farm.created().await;
    done(&faafo(&["backup", file.to_str().unwrap()], data));
    farm.stop();
    let bytes = std::fs::read(&file).unwrap();
    let plain = zstd::decode_all(&bytes[..]).unwrap();
    let packed = |tar: &[u8]| zstd::encode_all(tar, 1).unwrap();
    // One bit in the middle of the store, of which only the checksum tells.
    let mut flipped = plain.clone();
    let at = plain.len() / 2;
    flipped[at] ^= 1;
    // Without its last entry.
    let end = plain
        .windows(10)
        .rposition(|bytes| bytes == b"SHA256SUMS")
        .unwrap();
    let other = packed(b"no archive");
    let cases: [(&str, &[u8], &str); 5] = [
        ("cut short", &bytes[..bytes.len() / 2], "is damaged"),
        (
            "flipped",
            &packed(&flipped),
            "faafo.db does not have its checksum",
        ),
        ("no end", &packed(&plain[..end]), "its end is missing"),
        ("text", b"hello", "is no backup of faafo's"),
        ("other", &other, "is no backup of faafo's"),
    ];
    for (what, bytes, message) in cases {
        std::fs::write(&file, bytes).unwrap();
        let said = error(&faafo(
            &["restore", "--force", file.to_str().unwrap()],
            data,
        ));
        assert!(said.contains(message), "{what}: {said}");
        let left: Vec<_> = std::fs::read_dir(data)
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        assert!(
            !left
                .iter()
                .any(|name| name.to_string_lossy().contains("restore")),
            "{left:?}"
        );
    }
    let farm = Farm::on(data, &["api"]);
    assert_eq!(farm.show(fractal["uuid"].as_str().unwrap()).await, fractal);
}

#[test]
fn where_there_is_nothing_to_back_up_it_says_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("b");
    let file = file.to_str().unwrap();
    let said = error(&faafo(&["backup", file], &folder.path().join("none")));
    assert!(said.contains("there is no farm at"), "{said}");
    let said = error(&faafo(&["restore", file], &folder.path().join("none")));
    assert!(said.contains("cannot read"), "{said}");
    std::fs::write(
        folder.path().join("faafo.db"),
        "hello, I am text of some length",
    )
    .unwrap();
    let said = error(&faafo(&["backup", file], folder.path()));
    assert!(said.contains("is no store of faafo's"), "{said}");
}

#[test]
fn a_server_of_others_has_tools_of_its_own() {
    let folder = TempDir::new().unwrap();
    for (url, backup, restore) in [
        ("postgres://u:hush@h/d", "pg_dump -Fc", "pg_restore --clean"),
        (
            "mysql://u:hush@h/d",
            "mariadb-dump --single-transaction",
            "mariadb -h h -P 3306 -u u -p d < FILE",
        ),
    ] {
        for (command, tool) in [("backup", backup), ("restore", restore)] {
            let mut run = Command::new(FAAFO);
            run.args([command, "file", "--data-dir"]).arg(folder.path());
            let output = run.env("FAAFO_DATABASE_URL", url).output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(tool) && !said.contains("hush"), "{said}");
        }
    }
}
