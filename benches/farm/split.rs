//! A farm whose workers are processes of their own, and lease tasks over HTTP or take them from a
//! broker.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faafo::fractal::FractalSpec;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::common::{FAAFO, Farm, small};
use crate::load::post;
use crate::{filled_with, spec};

/// `faafo worker` with one slot. Killed when dropped.
struct Worker {
    child: Child,
    _spool: TempDir,
}

impl Worker {
    fn of(farm: &Farm, more: &[&str]) -> Worker {
        let spool = TempDir::new().unwrap();
        let child = Command::new(FAAFO)
            .args(["worker", "--workers", "1", "--endpoint-url", &farm.base])
            .args(more)
            .arg("--spool")
            .arg(spool.path())
            .stderr(Stdio::null())
            .spawn();
        Worker {
            child: child.unwrap(),
            _spool: spool,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Eight workers and an API node with as much to do as they can, on one machine; `more` says to both
/// where the broker is, if there is one.
pub async fn eight(more: &[&str]) -> String {
    const TASKS: u32 = 5000;
    let folder = TempDir::new().unwrap();
    let square = |n| FractalSpec {
        width: 256,
        height: 256,
        iterations: 256,
        ..spec(n)
    };
    filled_with(folder.path(), u128::from(TASKS), square).await;
    let farm = Farm::on(folder.path(), &[&["api"], more].concat());
    let begun = Instant::now();
    let _workers: Vec<_> = (0..8).map(|_| Worker::of(&farm, more)).collect();
    while farm.counts().await["done"] != TASKS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = f64::from(TASKS) / begun.elapsed().as_secs_f64();
    format!("{rate:.0} tasks/s")
}

/// From the request to create a small picture until it is seen to be done: the render, which takes
/// less than a millisecond, has begun before.
pub async fn latency(more: &[&str]) -> String {
    let farm = Farm::with(&[&["api"], more].concat());
    let _worker = Worker::of(&farm, more);
    let mut times = Vec::new();
    for n in 0..520 {
        let begun = Instant::now();
        let new: serde_json::Value = farm.create(&small()).await.json().await.unwrap();
        let uuid = new["uuid"].as_str().unwrap();
        while farm.show(uuid).await["status"] != "done" {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        // The first ones start everything.
        if n >= 20 {
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times.sort_by(f64::total_cmp);
    format!("p50 {:.1} p99 {:.1} ms", times[250], times[495])
}

/// [`eight`] with a RabbitMQ between them.
#[cfg(feature = "server-tests")]
pub async fn eight_by_broker() -> String {
    let rabbit = crate::common::rabbit::Rabbit::start().await;
    eight(&["--transport-url", &rabbit.url()]).await
}

/// [`latency`] with a RabbitMQ between them.
#[cfg(feature = "server-tests")]
pub async fn latency_by_broker() -> String {
    let rabbit = crate::common::rabbit::Rabbit::start().await;
    latency(&["--transport-url", &rabbit.url()]).await
}

/// Ten thousand workers that wait for tasks, of which there are none.
pub async fn pollers() -> String {
    const POLLERS: usize = 10_000;
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let farm = Farm::api();
    let port = farm.port();
    let (asking, connecting) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(100)));
    let pollers: Vec<_> = (0..POLLERS)
        .map(|n| {
            let (asking, connecting) = (asking.clone(), connecting.clone());
            tokio::spawn(async move {
                let worker = json!({"id": Uuid::new_v4(), "name": format!("worker-{n}"),
                    "version": "0.1.0", "protocol": 1, "slots": 2, "done": 0, "rate": 0.0});
                let poll = json!({"worker": worker, "want": 2, "spare": 0, "wait": 25});
                let request = post("/v1/leases", &poll.to_string());
                let mut stream = {
                    let _place = connecting.acquire().await.unwrap();
                    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
                };
                // As they would come in a farm that has been there for a while.
                tokio::time::sleep(Duration::from_millis(n as u64 * 20_000 / POLLERS as u64)).await;
                let mut first = true;
                loop {
                    // What the server closed while this one slept.
                    if stream.write_all(request.as_bytes()).await.is_err() {
                        stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                        continue;
                    }
                    if std::mem::take(&mut first) {
                        asking.add_permits(1);
                    }
                    let mut answer = [0; 1024];
                    match stream.read(&mut answer).await {
                        Ok(length) if length > 0 => {
                            assert!(answer.starts_with(b"HTTP/1.1 204"), "{:?}", &answer[..20]);
                        }
                        _ => stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
                    }
                }
            })
        })
        .collect();
    let _all = asking.acquire_many(POLLERS as u32).await.unwrap();
    let (before, begun) = (processor_time(&farm), Instant::now());
    tokio::time::sleep(Duration::from_secs(25)).await;
    let spent = (processor_time(&farm) - before) / begun.elapsed().as_secs_f64();
    let megabytes = farm.memory("VmRSS") as f64 / 1e3;
    let list: serde_json::Value = farm
        .get("/v1/workers")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list["num_results"], POLLERS);
    for poller in pollers {
        assert!(!poller.is_finished());
        poller.abort();
    }
    format!("{megabytes:.0} MB, {:.1} % of a core", spent * 100.0)
}

/// Seconds of a core that the process has had so far.
fn processor_time(farm: &Farm) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", farm.child.id())).unwrap();
    // The name in parentheses may hold blanks; utime and stime are the 14th and 15th field.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|n| n.parse::<f64>().unwrap())
        .sum();
    ticks / 100.0
}
