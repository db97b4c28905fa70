//! The binary as a file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::process::Command;

use common::{FAAFO, text};

#[test]
fn it_needs_no_other_file() {
    let ldd = Command::new("ldd").arg(FAAFO).output().unwrap();
    let said = text(&ldd.stdout) + &text(&ldd.stderr);
    assert!(
        said.contains("statically linked") || said.contains("not a dynamic executable"),
        "{said}"
    );
}

#[test]
fn it_runs_in_an_empty_root() {
    let root = tempfile::TempDir::new().unwrap();
    std::fs::copy(FAAFO, root.path().join("faafo")).unwrap();
    // A namespace of its own makes anyone root enough for chroot.
    let render = Command::new("unshare")
        .args(["--user", "--map-root-user", "chroot"])
        .arg(root.path())
        .args([
            "/faafo",
            "render",
            "--width",
            "64",
            "--height",
            "48",
            "-o",
            "/picture.png",
        ])
        .output()
        .unwrap();
    assert!(render.status.success(), "{}", text(&render.stderr));
    let png = std::fs::read(root.path().join("picture.png")).unwrap();
    let picture = image::load_from_memory(&png).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 48));
    // Plain HTTP needs no certificates, of which there are none here.
    let farm = common::Farm::api();
    let list = Command::new("unshare")
        .args(["--user", "--map-root-user", "chroot"])
        .arg(root.path())
        .args(["/faafo", "list", "-f", "json", "--endpoint-url", &farm.base])
        .output()
        .unwrap();
    assert_eq!(text(&list.stdout), "[]\n", "{}", text(&list.stderr));
}

#[test]
fn the_sqlite_in_it_is_new_enough() {
    // Before 3.51.3 a write-ahead log that was reset at the wrong moment could corrupt the file.
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "{}",
        rusqlite::version()
    );
}
