//! `faafo autoscale` above a real farm, with somebody who starts and stops real workers when he is
//! called, as Heat does. How it decides is held to its word in hours of simulated load, beside
//! `src/autoscale/decide.rs`; what it does to a cloud, in `tests/provision`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use common::worker::{Worker, at_port, create, until_all_done, workers};
use common::{FAAFO, Farm, PATIENCE, command, long, slow, small, text};
use serde_json::Value;
use tempfile::TempDir;

/// Whoever knows this may call.
const SECRET: &str = "hush-hush";

/// What is called: it starts and stops workers with a slot each.
struct Stack {
    farm: String,
    workers: Mutex<Vec<Worker>>,
    made: AtomicUsize,
    /// Calls for one more and for one fewer that were carried out, and calls that were not.
    more: AtomicUsize,
    fewer: AtomicUsize,
    refused: AtomicUsize,
    refuses: AtomicBool,
    /// Workers that were told to go while anything was rendered.
    cut_off: AtomicUsize,
}

impl Stack {
    fn start_one(&self) {
        let number = self.made.fetch_add(1, SeqCst) + 1;
        let name = format!("w{number}");
        let worker = Worker::with(&[&self.farm], &["--workers", "1", "--name", &name]);
        self.workers.lock().unwrap().push(worker);
    }

    /// A stack with one worker, and its address.
    async fn of(farm: &Farm) -> (Arc<Stack>, String) {
        let stack = Arc::new(Stack {
            farm: farm.base.clone(),
            workers: Mutex::default(),
            made: AtomicUsize::new(0),
            more: AtomicUsize::new(0),
            fewer: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
            cut_off: AtomicUsize::new(0),
        });
        stack.start_one();
        let routes = Router::new()
            .route("/more", post(more))
            .route("/fewer", post(fewer))
            .with_state(stack.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (stack, address)
    }

    fn refuses(&self) -> bool {
        let refuses = self.refuses.load(SeqCst);
        self.refused.fetch_add(usize::from(refuses), SeqCst);
        refuses
    }

    fn calls(&self) -> [usize; 2] {
        [self.more.load(SeqCst), self.fewer.load(SeqCst)]
    }
}

async fn more(State(stack): State<Arc<Stack>>) -> StatusCode {
    if stack.refuses() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    stack.more.fetch_add(1, SeqCst);
    stack.start_one();
    StatusCode::OK
}

async fn fewer(State(stack): State<Arc<Stack>>) -> StatusCode {
    if stack.refuses() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    stack.fewer.fetch_add(1, SeqCst);
    let counts = common::client().get(format!("{}/readyz", stack.farm));
    let counts: Value = counts.send().await.unwrap().json().await.unwrap();
    let renders = counts["running"] != 0;
    stack.cut_off.fetch_add(usize::from(renders), SeqCst);
    // The oldest, as Heat does.
    let mut oldest = stack.workers.lock().unwrap().remove(0);
    let stopped = tokio::task::spawn_blocking(move || oldest.stop().success());
    assert!(stopped.await.unwrap());
    StatusCode::OK
}

fn autoscale(farm: &Farm, args: &[&str]) -> Command {
    let mut command = Command::new(FAAFO);
    command
        .arg("autoscale")
        .args(["--log-format", "json", "--endpoint-url", &farm.base])
        .args(args)
        .env_remove("FAAFO_DEPLOYMENT")
        .stdin(Stdio::null());
    command
}

/// At least one worker and four at most, all times a tenth of the usual ones or less.
const QUICK: &str = "--max 4 --interval 0.25 --wait 1 --cool-down 4 --call-every 0.5";

fn quick(farm: &Farm, webhooks: &str) -> Worker {
    let words: Vec<_> = QUICK.split(' ').collect();
    let mut command = autoscale(farm, &words);
    for (name, path) in [("UP", "more"), ("DOWN", "fewer")] {
        let url = format!("{webhooks}/{path}?signature={SECRET}");
        command.env(format!("FAAFO_SCALE_{name}_URL"), url);
    }
    Worker::run(command)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < 3 * PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_workers(farm: &Farm, count: usize) {
    until(&format!("{count} workers"), async || {
        workers(farm).await.len() == count
    })
    .await;
}

/// Lines that say how many workers there are to be, and why.
fn reasons(autoscaler: &Worker) -> Vec<String> {
    let log = autoscaler.log();
    let messages = log.iter().filter_map(|line| line["message"].as_str());
    let ends = [" more", " fewer", MOST];
    let said = messages.filter(|text| ends.iter().any(|end| text.ends_with(end)));
    said.map(str::to_owned).collect()
}

const MOST: &str = "4 workers: as many as there may be";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_with_the_load_and_go_with_it_whatever_fails_meanwhile() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["api"]);
    let port = farm.port().to_string();
    let (stack, webhooks) = Stack::of(&farm).await;
    until_workers(&farm, 1).await;
    let mut autoscaler = quick(&farm, &webhooks);
    autoscaler.until_logged("watching the farm").await;

    // The webhook is out of order while the load comes.
    stack.refuses.store(true, SeqCst);
    let mut endless = Vec::new();
    for _ in 0..8 {
        endless.push(create(&farm, &long()).await);
    }
    until("some tries", async || stack.refused.load(SeqCst) >= 3).await;
    assert_eq!(workers(&farm).await.len(), 1);
    let complaints = autoscaler.logged("cannot have");
    assert_eq!(complaints, 1, "one line, however many tries");
    stack.refuses.store(false, SeqCst);
    until_workers(&farm, 4).await;
    assert_eq!(autoscaler.logged("scaling works again"), 1);
    let more = reasons(&autoscaler);
    assert!(
        [" wait, oldest ", "1 waits, for "]
            .iter()
            .any(|why| more[0].contains(why))
            && more[0].contains("1 worker"),
        "{more:?}"
    );

    until("that there are no more to be had", async || {
        let last = reasons(&autoscaler).pop();
        last.is_some_and(|last| last.ends_with(MOST))
    })
    .await;

    // The only API node is down for a while, in the middle of it all.
    let before = stack.calls();
    farm.kill();
    autoscaler.until_logged("the farm does not answer").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let command = command(folder.path(), &["api"]);
    let farm = Farm::run(at_port(command, &port), folder.path());
    autoscaler.until_logged("the farm answers again").await;
    let silent = autoscaler.logged("the farm does not answer; 4 workers");
    assert_eq!(silent, 1, "{:?}", autoscaler.log());
    until_workers(&farm, 4).await;
    assert_eq!(stack.calls(), before, "all stay as they are");

    for fractal in endless {
        let path = format!("/v1/fractal/{fractal}");
        assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    }
    until_workers(&farm, 1).await;
    assert_eq!(stack.calls(), [3, 3]);
    let fewer = reasons(&autoscaler).pop().unwrap();
    assert_eq!(
        fewer,
        "nothing to do, 4 workers, 1 would do for 4 s: 3 fewer"
    );
    // It rests there, and the one that is left works.
    create(&farm, &small()).await;
    until_all_done(&farm, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stack.calls(), [3, 3]);
    assert_eq!(stack.cut_off.load(SeqCst), 0);

    autoscaler.signal("-INT");
    assert!(autoscaler.child.wait().unwrap().success());
    autoscaler
        .until_logged("told to stop; 1 worker as before")
        .await;
    let log = format!("{:?}", autoscaler.log());
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_worker_is_called_off_while_one_renders() {
    let farm = Farm::api();
    let (stack, webhooks) = Stack::of(&farm).await;
    stack.start_one();
    stack.start_one();
    until_workers(&farm, 3).await;
    let endless = create(&farm, &long()).await;
    farm.until(&endless, "running").await;
    let mut autoscaler = quick(&farm, &webhooks);
    // One of the three would do, and it is the stack that would pick the two others.
    until("that two are too many", async || {
        reasons(&autoscaler).len() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stack.calls(), [0, 0]);
    assert_eq!(farm.show(&endless).await["status"], "running");
    let path = format!("/v1/fractal/{endless}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    until_workers(&farm, 1).await;
    assert_eq!(stack.calls(), [0, 2]);
    assert_eq!(reasons(&autoscaler).len(), 1, "said once");
    assert!(autoscaler.stop().success());
}

#[tokio::test]
async fn a_dry_run_only_tells() {
    let farm = Farm::api();
    for _ in 0..3 {
        create(&farm, &slow()).await;
    }
    let words = "--dry-run --min 2 --max 9 --interval 0.2 --wait 0.5";
    let words: Vec<_> = words.split(' ').collect();
    let mut autoscaler = Worker::run(autoscale(&farm, &words));
    autoscaler.until_logged("would do: 3 wait, oldest").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(autoscaler.logged("would do: "), 1, "said once");
    assert!(autoscaler.stop().success());
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    let both = "--scale-up-url http://h/u --scale-down-url http://h/d";
    for (words, said) in [
        ("--max 3", "clouds.yaml"),
        ("--min 4 --max 3 --dry-run", "more than --max 3"),
        ("--max 0", "--max"),
        ("--min 1", "--max"),
        ("--max 3 --scale-up-url http://h/u", "--scale-down-url"),
        (&format!("--max 3 --name n {both}"), "leave out one"),
        (
            "--max 3 --scale-up-url ftp://h/u --scale-down-url http://h/d",
            "http://",
        ),
        ("--max 3 --dry-run --endpoint-url ftp://h", "http://"),
        ("--max 3 --dry-run --interval 0", "0.1"),
    ] {
        let output = Command::new(FAAFO)
            .arg("autoscale")
            .args(words.split(' '))
            .env_clear()
            .env("HOME", "/nonexistent")
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {told}");
        assert!(told.contains(said), "{words}: {told}");
    }
    let help = Command::new(FAAFO).args(["autoscale", "--help"]).output();
    let help = text(&help.unwrap().stdout);
    assert!(help.find("Examples:").unwrap() < help.find("Usage:").unwrap());
}
