//! The binary as a file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::net::UdpSocket;
use std::process::Command;
use std::sync::{Arc, Mutex};

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

/// Set where the next test runs again, with a network of its own.
const WITHIN: &str = "FAAFO_TEST_WITHIN";

#[test]
fn it_looks_up_names_in_an_empty_root() {
    if std::env::var_os(WITHIN).is_none() {
        let within = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "it_looks_up_names_in_an_empty_root"])
            .env(WITHIN, "yes")
            .output()
            .unwrap();
        assert!(within.status.success(), "{}", text(&within.stdout));
        return;
    }
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
    let asked = names_on_loopback();
    let farm = common::Farm::api();
    let root = tempfile::TempDir::new().unwrap();
    std::fs::copy(FAAFO, root.path().join("faafo")).unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(
        root.path().join("etc/resolv.conf"),
        "nameserver 127.0.0.1\n",
    )
    .unwrap();
    let list = |host: &str| {
        let url = format!("http://{host}:{}", farm.port());
        Command::new("chroot")
            .arg(root.path())
            .args(["/faafo", "list", "-f", "json", "--endpoint-url", &url])
            .output()
            .unwrap()
    };
    let found = list("farm.test");
    assert_eq!(text(&found.stdout), "[]\n", "{}", text(&found.stderr));
    assert!(asked.lock().unwrap().contains(&"farm.test".to_owned()));
    let unknown = list("nobody.test");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("nobody.test"));
}

/// A name server that knows one name. Returns what it was asked.
fn names_on_loopback() -> Arc<Mutex<Vec<String>>> {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let (name, kind, end) = question(&query[..length]);
            let known = name == "farm.test";
            // An IPv4 address; of any other kind there is nothing.
            let answers = known && kind == 1;
            let mut answer = query[..end].to_vec();
            // A response, recursion done; no error, or no such name.
            answer[2..4].copy_from_slice(&[0x81, if known { 0x80 } else { 0x83 }]);
            answer[4..12].copy_from_slice(&[0, 1, 0, answers.into(), 0, 0, 0, 0]);
            if answers {
                // The name of the question, type A, class IN, for a minute, four bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            heard.lock().unwrap().push(name);
            socket.send_to(&answer, from).unwrap();
        }
    });
    asked
}

/// The name and the type that a query asks for, and where the question ends.
fn question(query: &[u8]) -> (String, u8, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(text(&query[at + 1..end]));
        at = end;
    }
    (labels.join("."), query[at + 2], at + 5)
}

#[test]
fn it_says_what_it_is() {
    let said = |flag| text(&Command::new(FAAFO).arg(flag).output().unwrap().stdout);
    let short = said("-V");
    let (version, commit) = short.trim().split_once(" (").unwrap();
    assert_eq!(version, format!("faafo {}", env!("CARGO_PKG_VERSION")));
    // Builds for development do not ask for their commit; tests/run looks at the other kind.
    assert_eq!(commit, "development)");
    let long = said("--version");
    assert!(long.starts_with(short.trim()), "{long}");
    let sqlite = format!("SQLite {}", rusqlite::version());
    for part in [&sqlite, "rustls with ring", "rustc 1.", "static"] {
        assert!(long.contains(part), "{part} is not in {long}");
    }
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
