//! HTTPS: a certificate of an authority of our own, renewed while the farm runs, and clients that
//! never get round to encrypting.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::worker::{Worker, worker_command};
use common::{FAAFO, Farm, PATIENCE, small, text};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A folder with an authority, `ca.pem`, and what it has signed: `cert.pem` with `key.pem`.
struct Files {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Files {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
        let issuer = Issuer::new(params, key);
        let files = Files { folder, issuer };
        files.sign();
        files
    }

    /// A new certificate for localhost, and its key.
    fn sign(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path("cert.pem"), cert.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A farm with these, which asks for tokens.
    fn farm(&self, role: &str) -> Farm {
        let (cert, key) = (self.text("cert.pem"), self.text("key.pem"));
        let farm = Farm::beyond(&[role, "--tls-cert", &cert, "--tls-key", &key]);
        let base = format!("https://localhost:{}", farm.port());
        farm.reached_at(base, client(&self.path("ca.pem")))
    }

    /// Shakes hands, and tells the farm's certificate and how it wants to be spoken to.
    async fn greeting(&self, farm: &Farm) -> (Vec<u8>, Vec<u8>) {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.pem")).unwrap();
        roots.add(ca).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, connect(farm).await).await.unwrap();
        let session = stream.get_ref().1;
        let cert = session.peer_certificates().unwrap()[0].to_vec();
        (cert, session.alpn_protocol().unwrap().to_vec())
    }
}

fn client(ca: &Path) -> reqwest::Client {
    common::client(); // prepares the process
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
    client.timeout(PATIENCE).build().unwrap()
}

async fn connect(farm: &Farm) -> TcpStream {
    let address = ("127.0.0.1", farm.port());
    TcpStream::connect(address).await.unwrap()
}

/// The one line of a command that failed.
fn error(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

#[tokio::test]
async fn everything_is_served_encrypted() {
    let files = Files::new();
    let mut farm = files.farm("all");
    let post = farm.post("/v1/fractal").json(&small());
    let created = post.bearer_auth(farm.token("user")).send().await.unwrap();
    assert_eq!(created.status(), 201);
    let location = created.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&farm.base), "{location}");
    let fractal: Value = created.json().await.unwrap();
    let uuid = fractal["uuid"].as_str().unwrap();
    farm.until(uuid, "done").await;
    let image = farm.get(&format!("/fractal/{uuid}")).send().await.unwrap();
    assert_eq!(image.status(), 200);
    assert!(!image.headers().contains_key("strict-transport-security"));
    assert_eq!(files.greeting(&farm).await.1, b"http/1.1");
    let log = serde_json::to_string(&farm.log()).unwrap();
    assert!(!log.contains("unencrypted"), "{log}");

    // Who listens is let go when it stops.
    let events = farm.get("/v1/events").send().await.unwrap();
    farm.signal("-TERM");
    events.bytes().await.unwrap();
    assert!(farm.child.wait().unwrap().success());
}

#[tokio::test]
async fn who_does_not_encrypt_is_told_so() {
    let files = Files::new();
    let farm = files.farm("api");
    let plain = farm.base.replace("https", "http");
    let plain = common::client().get(plain).send().await.unwrap();
    assert_eq!(plain.status(), 400);
    let error: Value = plain.json().await.unwrap();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("https://"), "{message}");
}

#[tokio::test]
async fn the_client_trusts_whom_it_is_told_to() {
    let files = Files::new();
    let farm = files.farm("api");
    let run = |args: &[&str], url: &str| {
        let mut command = Command::new(FAAFO);
        command.args(args).args(["--endpoint-url", url]);
        command.env("FAAFO_DATA_DIR", &farm.data);
        command
    };
    let create = ["create", "--tasks", "1"];
    let (ca, base) = (files.path("ca.pem"), farm.base.as_str());
    let created = run(&create, base).arg("--ca-file").arg(&ca).output();
    let created = created.unwrap();
    assert!(created.status.success(), "{}", text(&created.stderr));
    let listed = run(&["list", "-f", "value"], base)
        .env("FAAFO_CA_FILE", &ca)
        .output();
    let id = text(&created.stdout);
    assert!(text(&listed.unwrap().stdout).starts_with(id.trim_end()));

    let other = Files::new();
    let stranger = run(&["list"], base)
        .env("FAAFO_CA_FILE", other.path("ca.pem"))
        .output();
    let said = error(&stranger.unwrap());
    assert!(said.contains("certificate"), "{said}");
    assert!(said.contains("--ca-file"), "{said}");
    let misnamed = base.replace("localhost", "127.0.0.1");
    let misnamed = run(&["list"], &misnamed).env("FAAFO_CA_FILE", &ca).output();
    assert!(error(&misnamed.unwrap()).contains("a name in its certificate"));
    let plain = Farm::api();
    let plain = format!("https://localhost:{}", plain.port());
    let plain = run(&["list"], &plain).env("FAAFO_CA_FILE", &ca).output();
    let said = error(&plain.unwrap());
    assert!(said.contains("write http://"), "{said}");
    for (file, why) in [
        (files.path("none.pem"), "No such file"),
        (files.path("key.pem"), "no certificate in it"),
    ] {
        let said = run(&["list"], base).env("FAAFO_CA_FILE", &file).output();
        let said = error(&said.unwrap());
        assert!(said.contains(why), "{said}");
        assert!(said.contains(file.to_str().unwrap()), "{said}");
    }
}

#[tokio::test]
async fn a_worker_trusts_whom_it_is_told_to() {
    let (files, other) = (Files::new(), Files::new());
    let farm = files.farm("api");
    let token = farm.data.join("tokens/worker");
    let token = token.to_str().unwrap();
    let post = farm.post("/v1/fractal").json(&small());
    let new = post.bearer_auth(farm.token("user")).send().await.unwrap();
    let new: Value = new.json().await.unwrap();

    // Whoever is not trusted is told nothing, and the worker ends with a line that helps.
    let plain = Farm::api();
    let (ca, stranger) = (files.text("ca.pem"), other.text("ca.pem"));
    let misnamed = farm.base.replace("localhost", "127.0.0.1");
    for (endpoint, ca, words) in [
        (&farm.base, &stranger, "--ca-file"),
        (&misnamed, &ca, "a name in its certificate"),
    ] {
        let spool = TempDir::new().unwrap();
        let args = ["--ca-file", ca, "--token-file", token];
        let ended = worker_command(&[endpoint], spool.path(), &args).output();
        let ended = ended.unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        assert!(
            last.contains("certificate") && last.contains(words),
            "{said}"
        );
        assert!(last.contains(endpoint.as_str()), "{said}");
    }
    let nothing = files.text("none.pem");
    let spool = TempDir::new().unwrap();
    let ended = worker_command(&[&farm.base], spool.path(), &["--ca-file", &nothing]).output();
    let said = error(&ended.unwrap());
    assert!(said.contains("cannot read the authorities"), "{said}");
    // What is no HTTPS may become it: the line is a warning.
    let encrypted = plain.base.replace("http://", "https://");
    let args = ["--ca-file", &ca, "--token-file", token];
    let waiting = Worker::with(&[&encrypted], &args);
    waiting.until_logged("no API node answers").await;
    let why = waiting.said("no API node answers; trying on", "why");
    assert!(why.contains("write http://"), "{why}");

    let args = [
        "--ca-file",
        &ca,
        "--token-file",
        token,
        "--name",
        "encrypted",
    ];
    let worker = Worker::with(&[&farm.base], &args);
    let done = farm.until(new["uuid"].as_str().unwrap(), "done").await;
    assert_eq!(done["generated_by"], "encrypted");
    assert_eq!(worker.logged("connected"), 1);
}

#[tokio::test]
async fn a_certificate_may_sign_itself() {
    let files = Files::new();
    // As `openssl req -x509 -addext basicConstraints=critical,CA:FALSE` does.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    let cert = params.self_signed(&key).unwrap().pem();
    std::fs::write(files.path("cert.pem"), &cert).unwrap();
    std::fs::write(files.path("ca.pem"), &cert).unwrap();
    std::fs::write(files.path("key.pem"), key.serialize_pem()).unwrap();
    let farm = files.farm("api");
    assert_eq!(farm.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let files = Files::new();
    let farm = files.farm("api");
    let first = files.greeting(&farm).await.0;
    let kept = farm.get("/v1/events").send().await.unwrap();

    std::fs::write(files.path("cert.pem"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        assert_eq!(files.greeting(&farm).await.0, first);
    }
    farm.until_logged("there is no certificate in").await;

    files.sign();
    let begun = Instant::now();
    let second = loop {
        let now = files.greeting(&farm).await.0;
        if now != first {
            break now;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(files.greeting(&farm).await.0, second);
    let log = farm.log();
    let told = |line: &&Value| line["message"].as_str().unwrap().contains("stays in use");
    assert_eq!(log.iter().filter(told).count(), 1, "{log:#?}");
    // Connections from before go on.
    drop(kept);
}

#[tokio::test]
async fn who_never_begins_to_encrypt_keeps_nobody_waiting() {
    let files = Files::new();
    let mut farm = files.farm("api");
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&farm).await);
    }
    // On a connection of its own: the farm closes it about when the silent ones end.
    let live = farm.get("/livez").header("Connection", "close");
    assert_eq!(live.send().await.unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(8));
    for mut stream in silent {
        let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 8])).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    }
    let took = begun.elapsed();
    assert!((9..20).contains(&took.as_secs()), "{took:?}");

    // Nor the farm, when it is told to stop.
    let _silent = connect(&farm).await;
    farm.get("/livez").send().await.unwrap();
    let begun = Instant::now();
    assert!(farm.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_cannot_be_served_is_told() {
    let (files, other) = (Files::new(), Files::new());
    let data = files.text("data");
    let start = |cert: &str, key: &str| {
        let output = Command::new(FAAFO)
            .args(["api", "--bind-port", "0", "--data-dir", &data])
            .args(["--tls-cert", cert, "--tls-key", key])
            .output();
        error(&output.unwrap())
    };
    let (cert, key) = (files.text("cert.pem"), files.text("key.pem"));
    let none = files.text("none.pem");
    let said = start(&none, &key);
    assert!(said.contains("cannot read the certificate"), "{said}");
    let said = start(&cert, &none);
    assert!(said.contains("cannot read the private key"), "{said}");
    let said = start(&key, &key);
    assert!(said.contains("there is no certificate in"), "{said}");
    let said = start(&cert, &cert);
    assert!(said.contains("there is none in it"), "{said}");
    let said = start(&cert, &other.text("key.pem"));
    assert!(said.contains("do not do together"), "{said}");
}
