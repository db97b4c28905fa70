//! `faafo doctor`: healthy farms, and each thing that can go wrong for real.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use common::{FAAFO, Farm, text};
use serde_json::Value;
use tempfile::TempDir;

/// What it found, and whether that counts as wrong.
struct Report {
    findings: Vec<Value>,
    code: i32,
}

impl Report {
    fn of(mut command: Command) -> Report {
        let output = command.output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let findings: Vec<Value> =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let code = output.status.code().unwrap();
        let wrong = findings.iter().any(|one| one["mark"] == "wrong");
        assert_eq!(code, i32::from(wrong), "{findings:#?}");
        Report { findings, code }
    }

    fn all(&self, check: &str) -> Vec<&Value> {
        let found = self.findings.iter().filter(|one| one["check"] == check);
        found.collect()
    }

    fn one(&self, check: &str) -> &Value {
        let all = self.all(check);
        assert_eq!(all.len(), 1, "{check}: {:#?}", self.findings);
        all[0]
    }

    /// Nothing is wrong but this, which says so and what mends it.
    #[track_caller]
    fn wrong(&self, check: &str, says: &str, mend: &str) -> String {
        let wrong: Vec<_> = self
            .findings
            .iter()
            .filter(|one| one["mark"] == "wrong")
            .collect();
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert_eq!(wrong[0]["check"], check, "{wrong:#?}");
        let said = wrong[0]["says"].as_str().unwrap();
        assert!(said.contains(says), "{said}");
        let mended = wrong[0]["mend"].as_str().unwrap();
        assert!(mended.contains(mend), "{mended}");
        mended.to_owned()
    }
}

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(FAAFO);
    command
        .args(["doctor", "-f", "json", "--data-dir"])
        .arg(data);
    command.args(args).env_remove("FAAFO_CONFIG_FILE");
    command
}

/// At a port that is free, unless the arguments name another.
fn doctor(data: &Path, args: &[&str]) -> Report {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut command = command(data, args);
    if !args.contains(&"--bind-port") {
        command.args(["--bind-port", &port]);
    }
    Report::of(command)
}

/// With the settings of a farm that runs.
fn doctor_of(farm: &Farm, args: &[&str]) -> Report {
    let port = farm.port().to_string();
    doctor(&farm.data, &[args, &["--bind-port", &port]].concat())
}

/// A folder in which a farm has been.
async fn used() -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["api"]);
    farm.created().await;
    assert!(farm.stop().success());
    folder
}

/// Runs the command that a finding names.
fn carry_out(mend: &str) {
    let done = Command::new("sh").args(["-ec", mend]).status().unwrap();
    assert!(done.success(), "{mend}");
}

const BEYOND: [&str; 2] = ["--listen-address", "0.0.0.0"];

#[tokio::test]
async fn of_a_healthy_farm_nothing_is_wrong() {
    let farm = Farm::beyond(&["all"]);
    let report = doctor_of(&farm, &BEYOND);
    assert_eq!(report.code, 0);
    for check in [
        "config",
        "data folder",
        "permissions",
        "clock",
        "database",
        "broker",
        "server",
        "workers",
    ] {
        assert_eq!(
            report.one(check)["mark"],
            "ok",
            "{check}: {:#?}",
            report.findings
        );
    }
    assert_eq!(report.all("tokens").len(), 2);
    for check in ["disk space", "processor"] {
        report.one(check);
    }
    let database = report.one("database")["says"].as_str().unwrap();
    assert!(database.contains("SQLite 3."), "{database}");
    let port = farm.port().to_string();
    let mut table = Command::new(FAAFO);
    table
        .args(["doctor", "--bind-port", &port, "--data-dir"])
        .arg(&farm.data);
    let table = table.args(BEYOND).output().unwrap();
    let out = text(&table.stdout);
    assert!(table.status.success() && table.stderr.is_empty(), "{out}");
    assert!(out.contains("✔ ok      server "), "{out}");
    assert!(out.ends_with("\nNothing is wrong.\n"), "{out}");
}

#[test]
fn before_the_first_start_all_is_well() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("not/yet");
    let report = doctor(&data, &BEYOND);
    assert_eq!(report.code, 0);
    let says = report.one("data folder")["says"].as_str().unwrap();
    assert!(says.ends_with("will be made by the first start"), "{says}");
    assert!(
        report.one("port")["says"]
            .as_str()
            .unwrap()
            .contains("is free")
    );
    assert!(!folder.path().join("not").exists(), "it changes nothing");
}

#[test]
fn settings_that_make_no_sense_are_told_with_their_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("faafo.toml");
    for (settings, why) in [
        (
            "bind_port = 1\nno_such_key = 1\n",
            "line 2: unknown field `no_such_key`",
        ),
        ("workers = 0\n", "workers is 0"),
        (
            "database_url = \"oracle://h/d\"\n",
            "no database this program knows",
        ),
        (
            "database_url_file = \"/nonexistent\"\n",
            "cannot read the database_url_file",
        ),
    ] {
        std::fs::write(&file, settings).unwrap();
        let report = doctor(folder.path(), &["--config-file", file.to_str().unwrap()]);
        report.wrong("config", why, "faafo.toml");
        assert_eq!(report.one("the rest")["mark"], "unknown");
    }
}

/// Within a file system of its own in the place of the folder.
fn on_tmpfs(folder: &Path, options: &str) -> Report {
    let mut command = Command::new("unshare");
    // Root needs no user namespace; others get one.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "mount -t tmpfs -o {options} none {folder} && \
         exec {FAAFO} doctor -f json --data-dir {folder} --bind-port 0",
        folder = folder.display()
    );
    command.args(["--mount", "sh", "-c", &script]);
    Report::of(command)
}

#[test]
fn a_folder_that_cannot_be_written_and_a_disk_without_room() {
    let folder = TempDir::new().unwrap();
    let read_only = on_tmpfs(folder.path(), "ro,mode=700");
    read_only.wrong("data folder", "Read-only file system", "chown -R USER");
    let small = on_tmpfs(folder.path(), "size=6m,mode=700");
    small.wrong("disk space", "MB are free", "du -xh");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let report = doctor(&file, &[]);
    report.wrong("data folder", "is no folder", "--data-dir");
}

#[tokio::test]
async fn what_others_may_do_in_the_folder() {
    let folder = used().await;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o707)).unwrap();
    let report = doctor(folder.path(), &[]);
    let mend = report.wrong("permissions", "everybody may write", "chmod o-w");
    carry_out(&mend);
    assert_eq!(doctor(folder.path(), &[]).code, 0);
    // As after a start as root by mistake. Only root can make it so.
    if chown(folder.path(), Some(65534), None).is_ok() {
        let report = doctor(folder.path(), &[]);
        let mend = report.wrong("permissions", "belongs to user 0", "chown -R --reference=");
        carry_out(&mend);
        assert_eq!(doctor(folder.path(), &[]).code, 0);
    }
}

#[tokio::test]
async fn a_port_that_somebody_else_has() {
    let other = Farm::api();
    let port = other.port().to_string();
    let folder = TempDir::new().unwrap();
    let report = doctor(folder.path(), &["--bind-port", &port]);
    report.wrong("port", "Address already in use", "ss -ltnp");
    let report = doctor(folder.path(), &["--listen-address", "192.0.2.1"]);
    report.wrong("port", "cannot listen on 192.0.2.1", "listen_address");
}

#[tokio::test]
async fn a_server_elsewhere_than_the_settings_say() {
    let farm = Farm::api();
    let report = doctor(&farm.data, &[]);
    report.wrong(
        "server",
        "there is one on the data folder, but at",
        "the settings it was started with",
    );
}

#[tokio::test]
async fn tokens_that_are_open_wrong_or_not_the_servers() {
    let farm = Farm::beyond(&["all"]);
    let user = farm.data.join("tokens/user");
    std::fs::set_permissions(&user, PermissionsExt::from_mode(0o644)).unwrap();
    let report = doctor_of(&farm, &BEYOND);
    let mend = report.wrong("tokens", "others can read the token file", "chmod 600");
    carry_out(&mend);
    assert_eq!(doctor_of(&farm, &BEYOND).code, 0);

    let folder = TempDir::new().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    let other = other.to_str().unwrap();
    for kind in ["token-file", "worker-token-file"] {
        let report = doctor_of(
            &farm,
            &[&BEYOND[..], &[&format!("--{kind}"), other]].concat(),
        );
        report.wrong(
            "tokens",
            "the server does not take the",
            "systemctl restart faafo",
        );
    }
    std::fs::write(other, "changeme").unwrap();
    let report = doctor_of(&farm, &[&BEYOND[..], &["--token-file", other]].concat());
    report.wrong("tokens", "only 8 characters", "openssl rand");
}

#[tokio::test]
async fn a_store_that_is_none_or_of_a_later_version() {
    let folder = used().await;
    let file = folder.path().join("faafo.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let report = doctor(folder.path(), &[]);
    report.wrong(
        "database",
        "was made by a newer faafo",
        "install that version",
    );
    std::fs::write(&file, "hello, I am text of some length").unwrap();
    let report = doctor(folder.path(), &[]);
    report.wrong(
        "database",
        "is no store of faafo's",
        "faafo restore --force",
    );
}

#[tokio::test]
async fn a_clock_that_went_back() {
    let folder = used().await;
    let file = std::fs::File::options()
        .write(true)
        .open(folder.path().join("faafo.db"));
    let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    file.unwrap().set_modified(tomorrow).unwrap();
    doctor(folder.path(), &[]).wrong("clock", "were written 86", "timedatectl set-ntp true");
}

#[tokio::test]
async fn a_farm_without_workers() {
    let farm = Farm::api();
    let idle = doctor_of(&farm, &[]);
    assert_eq!(
        (idle.code, &idle.one("workers")["mark"]),
        (0, &"note".into())
    );
    farm.created().await;
    let report = doctor_of(&farm, &[]);
    report.wrong(
        "workers",
        "nobody renders, and 1 waiting",
        "faafo worker --endpoint-url",
    );
}

#[test]
fn certificates_that_are_not_there_and_a_processor_held_back() {
    let folder = TempDir::new().unwrap();
    let report = doctor(
        folder.path(),
        &["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"],
    );
    report.wrong("certificate", "/nonexistent", "tls_cert");
    let mut portable = command(folder.path(), &["--bind-port", "0"]);
    portable.env("FAAFO_SIMD", "portable");
    let processor = Report::of(portable);
    let processor = processor.one("processor");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(processor["mark"], "note");
        assert!(
            processor["mend"]
                .as_str()
                .unwrap()
                .contains("unset FAAFO_SIMD")
        );
    }
}

/// Of a worker for this farm, which is elsewhere as far as an address tells.
fn doctor_of_worker(farm: &Farm, spool: &Path, args: &[&str]) -> Report {
    let endpoint = format!("http://0.0.0.0:{}", farm.port());
    let spool = spool.to_str().unwrap();
    let worker = ["--endpoint-url", &endpoint, "--spool", spool];
    // No server was ever there.
    doctor(Path::new("/nonexistent"), &[&worker[..], args].concat())
}

#[tokio::test]
async fn a_worker_whose_farm_is_elsewhere_has_a_token_that_the_farm_takes() {
    let mut farm = Farm::beyond(&["api"]);
    let folder = TempDir::new().unwrap();
    let spool = folder.path().join("spool");
    let token = farm.data.join("tokens/worker");
    let with = |farm: &Farm, token: &Path| {
        let token = token.to_str().unwrap();
        doctor_of_worker(farm, &spool, &["--worker-token-file", token])
    };
    let healthy = with(&farm, &token);
    assert_eq!(healthy.code, 0);
    for check in ["endpoint", "worker token", "spool", "server", "broker"] {
        assert_eq!(
            healthy.one(check)["mark"],
            "ok",
            "{check}: {:#?}",
            healthy.findings
        );
    }
    for check in ["port", "database", "data folder", "tokens"] {
        assert!(healthy.all(check).is_empty(), "{:#?}", healthy.findings);
    }
    assert!(!spool.exists(), "it changes nothing");

    let without = doctor_of_worker(&farm, &spool, &[]);
    without.wrong(
        "worker token",
        "asks for the workers' token",
        "ssh 0.0.0.0 faafo token --worker",
    );
    let users = farm.data.join("tokens/user");
    with(&farm, &users).wrong("worker token", "holds a user token", "faafo token --worker");
    let other = folder.path().join("other");
    std::fs::write(&other, "0123456789abcdef0123456789abcdef").unwrap();
    let open = with(&farm, &other);
    let mend = open.wrong("worker token", "others can read", "chmod 600");
    carry_out(&mend);
    with(&farm, &other).wrong(
        "worker token",
        "does not take the token in",
        "faafo token --worker >",
    );

    // One of two that fails does no harm.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let dead = format!("http://{}", dead.unwrap());
    let args = [
        "--endpoint-url",
        &dead,
        "--worker-token-file",
        token.to_str().unwrap(),
    ];
    let both = doctor_of_worker(&farm, &spool, &args);
    assert_eq!(both.code, 0, "{:#?}", both.findings);
    let marks: Vec<_> = both
        .all("endpoint")
        .iter()
        .map(|one| &one["mark"])
        .collect();
    assert_eq!(marks, ["ok", "note"]);

    assert!(farm.stop().success());
    let report = with(&farm, &token);
    report.wrong(
        "endpoint",
        "Connection refused",
        "systemctl start faafo-api",
    );
    assert_eq!(report.one("worker token")["mark"], "unknown");
}

#[tokio::test]
async fn a_worker_that_cannot_reach_its_farm_or_trust_it() {
    let farm = Farm::beyond(&["api"]);
    let folder = TempDir::new().unwrap();
    let of = |endpoint: String, more: &[&str]| {
        let spool = folder.path().to_str().unwrap();
        let args = ["--endpoint-url", &endpoint, "--spool", spool];
        doctor(Path::new("/nonexistent"), &[&args[..], more].concat())
    };
    let port = farm.port();
    let page = of(format!("http://0.0.0.0:{port}/static"), &[]);
    page.wrong("endpoint", "another program answers", "mend endpoint_url");
    let secret = of(format!("http://worker:s3cret@0.0.0.0:{port}/static"), &[]);
    assert!(!format!("{:?}", secret.findings).contains("s3cret"));
    let nowhere = of(
        format!("https://0.0.0.0:{port}"),
        &["--ca-file", "/nonexistent"],
    );
    nowhere.wrong("endpoint", "cannot read the authorities", "mend ca_file");
    let none = of("farm.example".into(), &[]);
    none.wrong("config", "is no address", "lists the settings");
}

#[tokio::test]
async fn results_that_a_worker_keeps() {
    let farm = Farm::api();
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("spool/0");
    let file = folder.path().join("faafo.toml");
    let settings = format!(
        "endpoint_url = \"http://127.0.0.1:{}\"\nspool = {:?}\nspool_size = 1\n",
        farm.port(),
        folder.path().join("spool")
    );
    std::fs::write(&file, settings).unwrap();
    let look = || doctor_of(&farm, &["--config-file", file.to_str().unwrap()]);
    // There may be no worker at all: the packaged settings name an address, too.
    assert!(look().all("endpoint").is_empty());
    std::fs::create_dir_all(&own).unwrap();
    let lock = std::fs::File::create(own.join("lock")).unwrap();
    std::fs::write(own.join("1.result"), [0; 1000]).unwrap();
    let report = look();
    assert_eq!((report.code, report.all("endpoint").len()), (0, 1));
    let kept = report.one("spool");
    let says = kept["says"].as_str().unwrap();
    assert!(says.ends_with("keeps a result, 1 of 1 MB"), "{says}");
    let mend = kept["mend"].as_str().unwrap();
    assert!(mend.contains("systemctl start faafo-worker"), "{mend}");
    std::fs::write(own.join("2.result"), vec![0; 950_000]).unwrap();
    lock.lock().unwrap();
    look().wrong("spool", "keeps 2 results", "journalctl -u faafo-worker");
    std::fs::remove_file(own.join("1.result")).unwrap();
    std::fs::remove_file(own.join("2.result")).unwrap();
    assert_eq!(look().one("spool")["mark"], "ok");
    // As after a start as root by mistake. Only root can make it so.
    let spool = folder.path().join("spool");
    if chown(&spool, Some(65534), None).is_ok() {
        let mend = look().wrong("spool", "0 in", "chown -R --reference=");
        carry_out(&mend);
        assert_eq!(look().code, 0);
    }
    drop(lock);
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, "").unwrap();
    let args = ["--config-file", file.to_str().unwrap()];
    let endpoint = farm.base.as_str();
    let report = doctor_of(&farm, &[&args[..], &["--endpoint-url", endpoint]].concat());
    report.wrong("spool", "Not a directory", "as whoever runs the worker");
}
