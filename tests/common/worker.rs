//! `faafo worker` as a process, the farm that it works for, and the score of both.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{FAAFO, Farm, PATIENCE, text};

/// `faafo worker` in a process of its own. Killed when dropped.
pub struct Worker {
    pub child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    spool: Option<TempDir>,
}

pub fn worker_command(endpoints: &[&str], spool: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(FAAFO);
    command.arg("worker");
    for endpoint in endpoints {
        command.args(["--endpoint-url", endpoint]);
    }
    // No token of this machine's own farm.
    command.env("FAAFO_DATA_DIR", "/nonexistent");
    command
        .args(["--log-format", "json", "--log-level", "debug", "--spool"])
        .arg(spool)
        .args(args)
        .stdin(Stdio::null());
    command
}

impl Worker {
    /// Two slots, for one API node.
    pub fn of(farm: &Farm) -> Worker {
        Worker::with(&[&farm.base], &["--workers", "2"])
    }

    pub fn with(endpoints: &[&str], args: &[&str]) -> Worker {
        let spool = TempDir::new().unwrap();
        let mut worker = Worker::on(spool.path(), endpoints, args);
        worker.spool = Some(spool);
        worker
    }

    pub fn on(spool: &Path, endpoints: &[&str], args: &[&str]) -> Worker {
        Worker::run(worker_command(endpoints, spool, args))
    }

    /// Any command that goes on and on and logs JSON.
    pub fn run(mut command: Command) -> Worker {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(line);
            }
        });
        Worker {
            child,
            log,
            spool: None,
        }
    }

    /// All that was logged.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub fn logged(&self, message: &str) -> usize {
        let log = self.log.lock().unwrap();
        let said = |line: &&Value| line["message"].as_str().unwrap_or("").starts_with(message);
        log.iter().filter(said).count()
    }

    /// A field of the line with this message.
    pub fn said(&self, message: &str, field: &str) -> String {
        let log = self.log.lock().unwrap();
        let line = log.iter().find(|line| line["message"] == message).unwrap();
        line[field].as_str().unwrap().to_owned()
    }

    pub async fn until_logged(&self, message: &str) {
        let begun = Instant::now();
        while self.logged(message) == 0 {
            let log = self.log.lock().unwrap().clone();
            assert!(begun.elapsed() < PATIENCE, "{message:?}: {log:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn workers(farm: &Farm) -> Vec<Value> {
    let list: Value = farm
        .get("/v1/workers")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        list["num_results"],
        list["objects"].as_array().unwrap().len()
    );
    list["objects"].as_array().unwrap().clone()
}

pub async fn create(farm: &Farm, fractal: &Value) -> String {
    let response = farm.create(fractal).await;
    assert_eq!(response.status(), 201);
    let new: Value = response.json().await.unwrap();
    new["uuid"].as_str().unwrap().to_owned()
}

pub async fn until_all_done(farm: &Farm, count: usize) {
    let begun = Instant::now();
    loop {
        let counts = farm.counts().await;
        if counts["done"] == count {
            return;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{counts}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Attempted, accepted, done, lost, twice: the last two must be none.
pub async fn score(what: &str, farm: &Farm, attempted: usize, accepted: &[String]) {
    let out = farm.cli(&["list", "-f", "value"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let mut shown: HashMap<String, u32> = HashMap::new();
    let mut done = 0;
    for line in text(&out.stdout).lines() {
        let mut fields = line.split(' ');
        *shown.entry(fields.next().unwrap().to_owned()).or_default() += 1;
        done += usize::from(fields.next() == Some("done"));
    }
    let lost = accepted
        .iter()
        .filter(|id| !shown.contains_key(*id))
        .count();
    let twice = shown.values().filter(|times| **times > 1).count();
    let accepted = accepted.len();
    println!(
        "{what}: attempted {attempted}, accepted {accepted}, done {done}, lost {lost}, twice {twice}"
    );
    assert_eq!((lost, twice), (0, 0));
    assert_eq!(done, shown.len());
    // The images are whole, too.
    for id in shown.keys().take(20) {
        let png = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
        let png = png.bytes().await.unwrap();
        assert_eq!(farm.show(id).await["checksum"], super::sha256(&png));
    }
}

/// Results that a worker keeps in this folder.
pub fn results(spool: &Path) -> usize {
    let Ok(files) = std::fs::read_dir(spool.join("0")) else {
        return 0;
    };
    let ending = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|e| e == "result");
    files.flatten().filter(ending).count()
}

/// The same command with another port, which it names already.
pub fn at_port(command: Command, port: &str) -> Command {
    let mut again = Command::new(command.get_program());
    let mut args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let place = args.iter().position(|arg| arg == "--bind-port").unwrap();
    args[place + 1] = port.into();
    again.args(args).stdin(Stdio::null());
    again
}
