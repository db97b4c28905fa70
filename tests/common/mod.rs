//! What the black-box tests share: the built binary as a running farm, and small pictures.
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a fixture that fails fails the test

pub mod proxy;
pub mod scrape;
pub mod worker;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

// Linked whether or not a test calls into it: randomness comes from there, see src/entropy.rs.
use faafo as _;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

#[cfg(feature = "server-tests")]
pub mod database;
#[cfg(feature = "server-tests")]
pub mod rabbit;

pub const FAAFO: &str = env!("CARGO_BIN_EXE_faafo");

/// A farm in a process of its own. Killed when dropped.
pub struct Farm {
    pub base: String,
    /// The data folder, unless the test brought its own.
    folder: Option<TempDir>,
    pub data: PathBuf,
    pub child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    http: reqwest::Client,
}

impl Farm {
    /// `faafo all` with two workers on a new data folder.
    pub fn all() -> Farm {
        Farm::with(&["all", "--workers", "2"])
    }

    /// `faafo api`: accepts, and never renders.
    pub fn api() -> Farm {
        Farm::with(&["api"])
    }

    /// A farm that listens on all addresses, and so asks for tokens.
    pub fn beyond(args: &[&str]) -> Farm {
        let everywhere = ["--listen-address", "0.0.0.0"];
        Farm::with(&[args, &everywhere].concat())
    }

    pub fn with(args: &[&str]) -> Farm {
        let folder = TempDir::new().unwrap();
        let mut farm = Farm::on(folder.path(), args);
        farm.folder = Some(folder);
        farm
    }

    pub fn on(data: &Path, args: &[&str]) -> Farm {
        Farm::run(command(data, args), data)
    }

    /// Starts `command` and waits until the farm says where it listens.
    pub fn run(mut command: Command, data: &Path) -> Farm {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let base = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the farm did not start: {:?}\n{said}", child.wait());
            };
            if let Ok(log) = serde_json::from_str::<Value>(&line)
                && log["message"] == "ready"
            {
                break format!("http://{}", log["address"].as_str().unwrap());
            }
            said.push_str(&line);
            said.push('\n');
        };
        let before = said.lines().map(|line| Value::String(line.into()));
        let log = Arc::new(Mutex::new(before.collect::<Vec<_>>()));
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(line);
            }
        });
        Farm {
            base,
            folder: None,
            data: data.to_owned(),
            child,
            log,
            http: client(),
        }
    }

    /// The same farm by another address, reached by another client.
    pub fn reached_at(mut self, base: String, http: reqwest::Client) -> Farm {
        self.base = base;
        self.http = http;
        self
    }

    /// The token of a kind, `user` or `worker`, that the farm has made.
    pub fn token(&self, kind: &str) -> String {
        let token = std::fs::read_to_string(self.data.join("tokens").join(kind));
        token.unwrap().trim_end().to_owned()
    }

    /// All that was logged since the farm was ready.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub fn port(&self) -> u16 {
        self.base.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.http.put(self.url(path))
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.http.delete(self.url(path))
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(method.parse().unwrap(), self.url(path))
    }

    pub async fn create(&self, fractal: &Value) -> Response {
        self.post("/v1/fractal").json(fractal).send().await.unwrap()
    }

    /// Creates a small fractal and returns its document.
    pub async fn created(&self) -> Value {
        let response = self.create(&small()).await;
        assert_eq!(response.status(), 201);
        response.json().await.unwrap()
    }

    pub async fn show(&self, uuid: &str) -> Value {
        let path = format!("/v1/fractal/{uuid}");
        self.get(&path).send().await.unwrap().json().await.unwrap()
    }

    pub async fn list(&self, query: &[(&str, &str)]) -> Value {
        let response = self.get("/v1/fractal").query(query).send().await.unwrap();
        assert_eq!(response.status(), 200, "{query:?}");
        response.json().await.unwrap()
    }

    /// The uuids that a search finds, on one page.
    pub async fn search(&self, q: Value) -> Vec<String> {
        let list = self
            .list(&[("q", &q.to_string()), ("results_per_page", "100")])
            .await;
        let objects = list["objects"].as_array().unwrap();
        let uuid = |object: &Value| object["uuid"].as_str().unwrap().to_owned();
        objects.iter().map(uuid).collect()
    }

    pub async fn counts(&self) -> Value {
        let response = self.get("/readyz").send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Waits until the fractal has this status.
    pub async fn until(&self, uuid: &str, status: &str) -> Value {
        let begun = Instant::now();
        loop {
            let fractal = self.show(uuid).await;
            if fractal["status"] == status {
                return fractal;
            }
            assert!(begun.elapsed() < PATIENCE, "{fractal}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the farm has logged a message that begins like this.
    pub async fn until_logged(&self, message: &str) {
        let begun = Instant::now();
        let said = |line: &Value| line["message"].as_str().unwrap_or("").starts_with(message);
        while !self.log.lock().unwrap().iter().any(said) {
            assert!(begun.elapsed() < PATIENCE, "{message:?} is never logged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All that the farm has logged.
    pub fn log_text(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(|line| format!("{line}\n")).collect()
    }

    /// A client command against this farm.
    pub fn cli(&self, args: &[&str]) -> Output {
        let command = Command::new(FAAFO)
            .args(args)
            .env("FAAFO_ENDPOINT_URL", &self.base)
            .output();
        command.unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how the process ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    /// Kilobytes of a line of /proc/PID/status such as `VmRSS` or `VmHWM`.
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|found| found.starts_with(line))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Longest wait for anything in a test; reached only when something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A node on `data`, at a free port, with its log as JSON. With `FAAFO_TEST_DATABASE=postgres` or
/// `mariadb`, its store is a database there instead of a file.
pub fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(FAAFO);
    command
        .args(args)
        .args(["--bind-port", "0", "--log-format", "json", "--data-dir"])
        .arg(data)
        .stdin(Stdio::null());
    #[cfg(feature = "server-tests")]
    if let Some(kind) = database::asked_for() {
        command
            .arg("--database-url-file")
            .arg(database::of_folder(kind, data));
    }
    command
}

pub fn client() -> reqwest::Client {
    // Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy();
    client.timeout(PATIENCE).build().unwrap()
}

/// A picture that renders at once.
pub fn small() -> Value {
    json!({"width": 16, "height": 12, "iterations": 32, "xa": -2.0, "xb": 2.0, "ya": -1.5,
           "yb": 1.5, "c_re": -0.8, "c_im": 0.156})
}

/// A picture that renders for a long time: in a Siegel disk, where points neither escape nor come to
/// rest in a cycle, so that every step of each has to be taken.
pub fn long() -> Value {
    json!({"width": 10000, "height": 10000, "iterations": 10000, "xa": -0.42, "xb": -0.32,
           "ya": -0.39, "yb": -0.29, "c_re": -0.3905408702184, "c_im": -0.5867879073469687})
}

/// A picture that renders for some seconds on a core.
pub fn slow() -> Value {
    but(
        long(),
        json!({"width": 1000, "height": 1000, "iterations": 2000}),
    )
}

/// `value` with some fields changed, or with `null` taken away.
pub fn but(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => value.as_object_mut().unwrap().remove(name),
            change => value
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), change.clone()),
        };
    }
    value
}

/// A random uuid.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
