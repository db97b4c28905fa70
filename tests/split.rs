//! One farm on several machines: an API node, workers that lease tasks over HTTP, and everything
//! that may go wrong between them. The score of each: nothing lost, nothing twice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::HashMap;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::proxy::{Proxy, State};
use common::scrape::Scrape;
use common::worker::{
    Worker, at_port, create, results, score, until_all_done, worker_command, workers,
};
use common::{Farm, PATIENCE, but, command, slow, small, text, uuid};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A worker that ends by itself.
fn ending(endpoint: &str, args: &[&str]) -> Output {
    let spool = TempDir::new().unwrap();
    let mut command = worker_command(&[endpoint], spool.path(), args);
    command.output().unwrap()
}

#[tokio::test]
async fn an_api_node_and_two_workers_are_a_farm() {
    let farm = Farm::api();
    let names = [["--name", "one"], ["--name", "two"]];
    let both = names.map(|name| {
        let args = [&["--workers", "2"], &name[..]].concat();
        Worker::with(&[&farm.base], &args)
    });
    while workers(&farm).await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut accepted = Vec::new();
    for n in 0..200 {
        let side = 64 + n % 64;
        accepted.push(create(&farm, &but(small(), json!({"width": side, "height": side}))).await);
    }
    until_all_done(&farm, 200).await;
    score("api and two workers", &farm, 200, &accepted).await;
    let mut by: HashMap<String, u64> = HashMap::new();
    for id in &accepted {
        let done = farm.show(id).await;
        assert_eq!(done["attempts"], 1);
        *by.entry(done["generated_by"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(by.len(), 2, "{by:?}");
    let list = workers(&farm).await;
    assert_eq!(list.len(), 2);
    for worker in &list {
        assert_eq!(
            (&worker["slots"], &worker["rendering"]),
            (&json!(2), &json!([]))
        );
        assert_eq!(worker["version"], env!("CARGO_PKG_VERSION"));
    }
    for mut worker in both {
        assert!(worker.stop().success());
        assert_eq!(worker.logged("connected"), 1);
        assert_eq!(worker.logged("a kept result"), 0);
    }
    // Those that leave say so.
    assert_eq!(workers(&farm).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_task_reaches_an_idle_worker_at_once_and_a_new_worker_has_one_at_once() {
    let farm = Farm::api();
    let worker = Worker::with(&[&farm.base], &["--workers", "1"]);
    worker.until_logged("ready").await;
    while workers(&farm).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        let id = create(&farm, &small()).await;
        while farm.show(&id).await["status"] != "done" {
            assert!(begun.elapsed() < PATIENCE);
        }
        times.push(begun.elapsed());
    }
    times.sort();
    println!(
        "from POST to done: median {:?}, worst {:?}",
        times[25], times[49]
    );
    // Not at the end of the next poll.
    assert!(times[25] < Duration::from_secs(2), "{:?}", times[25]);
    drop(worker);

    let id = create(&farm, &small()).await;
    let begun = Instant::now();
    let _worker = Worker::of(&farm);
    farm.until(&id, "done").await;
    println!(
        "a new worker had its first task done after {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn the_tasks_of_a_killed_worker_run_elsewhere() {
    let farm = Farm::with(&["api", "--lease", "6"]);
    until_lent(&farm, 0, 0).await;
    let mut first = Worker::with(&[&farm.base], &["--workers", "1", "--name", "first"]);
    let long = create(&farm, &common::long()).await;
    farm.until(&long, "running").await;
    let scrape = until_lent(&farm, 1, 0).await;
    let announced =
        ["workers", "slots"].map(|of| scrape.get(&format!("faafo_{of}_announced"), &[]));
    assert_eq!(announced, [Some(1.0); 2]);
    let second = Worker::with(&[&farm.base], &["--workers", "1", "--name", "second"]);
    second.until_logged("connected").await;
    // Renewed, it is not taken away.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let list = workers(&farm).await;
    assert_eq!(
        (&list[0]["name"], &list[0]["rendering"]),
        (&json!("first"), &json!([long]))
    );
    assert_eq!(list[1]["rendering"], json!([]));
    assert!(
        farm.show(&long).await["progress"].as_f64().unwrap() > 0.0,
        "bars move"
    );
    first.kill();
    let killed = Instant::now();
    let taken = async {
        loop {
            let list = workers(&farm).await;
            if list
                .iter()
                .any(|w| w["name"] == "second" && w["rendering"] == json!([long]))
            {
                return killed.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await.unwrap();
    println!("killed: its task runs elsewhere after {taken:?} of a lease of 6 s");
    // The list hears of it with the next heartbeat, a third of the lease later.
    assert!(taken < Duration::from_secs(16), "{taken:?}");
    let running = farm.show(&long).await;
    assert_eq!(running["attempts"], 1, "a crash is no attempt");
    until_lent(&farm, 1, 1).await;
    let path = format!("/v1/fractal/{long}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    until_lent(&farm, 0, 1).await;
}

/// Waits until so many tasks are lent, and so many leases have run out.
async fn until_lent(farm: &Farm, leases: u32, expired: u32) -> Scrape {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(farm).await;
        let told = ["faafo_leases", "faafo_leases_expired_total"].map(|name| scrape.get(name, &[]));
        if told == [leases, expired].map(|count| Some(f64::from(count))) {
            return scrape;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_worker_told_to_stop_gives_its_tasks_back_at_once() {
    let farm = Farm::api();
    let mut worker = Worker::with(&[&farm.base], &["--workers", "1"]);
    let long = create(&farm, &common::long()).await;
    farm.until(&long, "running").await;
    let told = Instant::now();
    worker.signal("-TERM");
    farm.until(&long, "queued").await;
    let took = told.elapsed();
    println!("told to stop: the task waits again after {took:?}");
    // Not when its lease runs out.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(worker.child.wait().unwrap().success());
    assert_eq!(farm.show(&long).await["attempts"], 0);
    assert_eq!(workers(&farm).await.len(), 0);
}

#[tokio::test]
async fn what_is_deleted_is_rendered_no_further() {
    let farm = Farm::api();
    let worker = Worker::with(&[&farm.base], &["--workers", "1"]);
    let long = create(&farm, &common::long()).await;
    farm.until(&long, "running").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let path = format!("/v1/fractal/{long}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    let begun = Instant::now();
    let next = create(&farm, &small()).await;
    farm.until(&next, "done").await;
    println!("deleted: its slot was free after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop(worker);
}

#[tokio::test]
async fn of_two_endpoints_one_may_be_dead() {
    let farm = Farm::api();
    let dead = "http://127.0.0.1:9";
    let worker = Worker::with(&[dead, &farm.base], &["--workers", "2"]);
    let id = create(&farm, &small()).await;
    farm.until(&id, "done").await;
    assert_eq!(worker.logged("no API node answers"), 0);
    assert_eq!(worker.logged("connected"), 1);
}

/// A picture that takes about so many seconds here, after another that shows how fast that is.
async fn taking(farm: &Farm, seconds: f64) -> Value {
    let id = create(farm, &slow()).await;
    let took = farm.until(&id, "done").await["duration"].as_f64().unwrap();
    let iterations = (2000.0 * seconds / took).clamp(2000.0, 1e6);
    but(slow(), json!({"iterations": iterations as u32}))
}

/// Two ways to one farm, so that both know its leases.
#[tokio::test]
async fn of_two_endpoints_one_may_stand_still_in_the_middle_of_a_render() {
    let farm = Farm::api();
    let ways = [Proxy::to(farm.port()).await, Proxy::to(farm.port()).await];
    let endpoints = ways
        .each_ref()
        .map(|way| format!("http://127.0.0.1:{}", way.port));
    let worker = Worker::with(&endpoints.each_ref().map(|at| &**at), &["--workers", "1"]);
    // Longer than the worker takes to give the first one up.
    let picture = taking(&farm, 25.0).await;
    let id = create(&farm, &picture).await;
    farm.until(&id, "running").await;
    assert_eq!(worker.logged("connected"), 1);
    ways[0].set(State::Frozen);
    let done = farm.until(&id, "done").await;
    assert_eq!(done["attempts"], 1);
    assert_eq!(worker.logged("connected"), 2);
    assert_eq!(worker.logged("no API node answers"), 0);
    until_lent(&farm, 0, 0).await;
    let ids = farm.search(json!({})).await;
    score("one of two endpoints frozen", &farm, 2, &ids).await;
}

/// Answers everything as a proxy does that has nothing behind it.
struct Stranger {
    port: u16,
    /// Requests so far.
    asked: Arc<AtomicUsize>,
    serves: JoinHandle<()>,
}

impl Stranger {
    /// 0 is any free port.
    async fn at(port: u16) -> Stranger {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        Stranger {
            port: listener.local_addr().unwrap().port(),
            asked: asked.clone(),
            serves: tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(not_found(stream, asked.clone()));
                }
            }),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn leave(self) {
        self.serves.abort();
        let _ = self.serves.await;
    }
}

async fn not_found(mut stream: TcpStream, asked: Arc<AtomicUsize>) {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 65536]);
    while !is_whole(&request) {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    asked.fetch_add(1, Ordering::Relaxed);
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\
                  Connection: close\r\n\r\n<h1>Not Found</h1>";
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Whether a request is all there: an answer before its end might be lost.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    let length: usize = lengths.next().map_or(0, |length| length.parse().unwrap());
    request.len() >= end + 4 + length
}

#[tokio::test]
async fn of_two_endpoints_one_may_be_somebody_elses() {
    let farm = Farm::api();
    let stranger = Stranger::at(0).await;
    let wrong = format!("http://127.0.0.1:{}", stranger.port);
    let worker = Worker::with(&[&wrong, &farm.base], &["--workers", "2"]);
    let id = create(&farm, &small()).await;
    farm.until(&id, "done").await;
    worker
        .until_logged("this endpoint does not answer as an API node does")
        .await;
    assert_eq!(worker.logged("no API node answers"), 0);
    assert!(stranger.asked() < 10, "{}", stranger.asked());
    stranger.leave().await;
}

#[tokio::test]
async fn what_answers_in_the_farms_place_costs_no_result_and_is_asked_seldom() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut farm = Farm::on(folder.path(), &["api"]);
    let port = farm.port();
    let worker = Worker::on(spool.path(), &[&farm.base], &["--workers", "2"]);
    let ids = [create(&farm, &slow()).await, create(&farm, &slow()).await];
    for id in &ids {
        farm.until(id, "running").await;
    }
    farm.kill();
    let stranger = Stranger::at(port).await;
    let begun = Instant::now();
    while results(spool.path()) < 2 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nobody spins.
    let (begun, before) = (Instant::now(), stranger.asked());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let rate = (stranger.asked() - before) as f64 / begun.elapsed().as_secs_f64();
    assert!(rate < 10.0, "{rate} requests a second");
    worker
        .until_logged("this endpoint does not answer as an API node does")
        .await;
    assert_eq!(results(spool.path()), 2);
    stranger.leave().await;

    let command = command(folder.path(), &["api"]);
    let farm = Farm::run(at_port(command, &port.to_string()), folder.path());
    for id in &ids {
        farm.until(id, "done").await;
    }
    let begun = Instant::now();
    while results(spool.path()) > 0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    score("a stranger in the API node's place", &farm, 2, &ids).await;
}

/// Between worker and farm something makes other images of them: each is refused.
#[tokio::test]
async fn a_result_that_the_farm_refuses_is_an_attempt_that_failed_with_its_words() {
    let farm = Farm::api();
    let proxy = Proxy::that_says(farm.port(), "type: image/png", "type: image/gif").await;
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let mut worker = Worker::with(&[&endpoint], &["--workers", "1"]);
    let id = create(&farm, &small()).await;
    let failed = farm.until(&id, "failed").await;
    let reason = failed["error"].as_str().unwrap();
    let words = "the farm refused the result: send the image as image/png";
    assert!(reason.starts_with(words), "{reason}");
    assert_eq!(failed["attempts"], 3);
    let begun = Instant::now();
    while worker.logged("the farm refuses a result") < 3 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Brought back, not left until their leases ran out.
    let scrape = until_lent(&farm, 0, 0).await;
    assert_eq!(scrape.get("faafo_attempts_failed_total", &[]), Some(3.0));
    proxy.say("", "");
    let next = create(&farm, &small()).await;
    farm.until(&next, "done").await;
    assert!(worker.stop().success());
}

/// Fractals of a farm where none fails.
async fn total(farm: &Farm) -> u64 {
    let counts = farm.counts().await;
    let of = |status: &str| counts[status].as_u64().unwrap();
    of("queued") + of("running") + of("done")
}

/// Kills the API node in the middle of the load and starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_node_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["api"]);
    let port = farm.port().to_string();
    let (one, two) = (Worker::of(&farm), Worker::of(&farm));
    let (mut attempted, mut accepted) = (0, Vec::new());
    for _ in 0..3 {
        let posts: Vec<_> = (0..4)
            .map(|_| {
                let (url, client) = (farm.url("/v1/fractal"), common::client());
                tokio::spawn(async move {
                    let (mut attempted, mut accepted) = (0, Vec::new());
                    loop {
                        attempted += 1;
                        let id = uuid();
                        let fractal =
                            but(small(), json!({"uuid": id, "width": 200, "height": 200}));
                        match client.post(&url).json(&fractal).send().await {
                            Ok(response) if response.status() == 201 => accepted.push(id),
                            Ok(response) => panic!("{}", response.status()),
                            Err(_) => return (attempted, accepted),
                        }
                    }
                })
            })
            .collect();
        let most = total(&farm).await + 40;
        while total(&farm).await < most {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        farm.kill();
        for post in posts {
            let (more, ids) = post.await.unwrap();
            attempted += more;
            accepted.extend(ids);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The later of the two ports holds.
        let command = command(folder.path(), &["api"]);
        farm = Farm::run(at_port(command, &port), folder.path());
    }
    let begun = Instant::now();
    loop {
        let counts = farm.counts().await;
        if counts["queued"] == 0 && counts["running"] == 0 {
            break;
        }
        assert!(begun.elapsed() < 3 * PATIENCE, "{counts}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(accepted.len() > 100, "too little load to tell");
    score("API node killed thrice", &farm, attempted, &accepted).await;
    for worker in [&one, &two] {
        assert!(worker.logged("no API node answers") >= 1);
        assert!(worker.logged("no API node answers") <= 6, "a line a change");
    }
}

/// Longer than a lease lasts that nobody renews, and than a node or a worker may be silent.
const LONG_AWAY: Duration = Duration::from_secs(40);

#[tokio::test]
async fn what_is_away_for_longer_than_a_lease_comes_back_to_all_that_there_was() {
    tokio::join!(a_node_that_is_long_away(), a_worker_that_is_long_away());
}

async fn a_node_that_is_long_away() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut farm = Farm::on(folder.path(), &["api"]);
    let port = farm.port().to_string();
    let worker = Worker::on(spool.path(), &[&farm.base], &["--workers", "1"]);
    let slow = create(&farm, &slow()).await;
    farm.until(&slow, "running").await;
    let mut accepted = vec![slow.clone()];
    for _ in 0..50 {
        accepted.push(create(&farm, &small()).await);
    }
    farm.kill();
    tokio::time::sleep(LONG_AWAY).await;
    assert_eq!(worker.logged("no API node answers"), 1);
    let command = command(folder.path(), &["api"]);
    let farm = Farm::run(at_port(command, &port), folder.path());
    until_all_done(&farm, accepted.len()).await;
    assert_eq!(farm.show(&slow).await["attempts"], 1);
    score("API node away for 40 s", &farm, 51, &accepted).await;
}

async fn a_worker_that_is_long_away() {
    let (farm, spool) = (Farm::api(), TempDir::new().unwrap());
    let start = || Worker::on(spool.path(), &[&farm.base], &["--workers", "1"]);
    let mut worker = start();
    let slow = create(&farm, &slow()).await;
    farm.until(&slow, "running").await;
    worker.kill();
    let mut accepted = vec![slow.clone()];
    for _ in 0..50 {
        accepted.push(create(&farm, &small()).await);
    }
    tokio::time::sleep(LONG_AWAY).await;
    until_lent(&farm, 0, 1).await;
    assert_eq!(workers(&farm).await, Vec::<Value>::new());
    let _again = start();
    until_all_done(&farm, accepted.len()).await;
    assert_eq!(farm.show(&slow).await["attempts"], 1, "a crash is none");
    score("worker away for 40 s", &farm, 51, &accepted).await;
}

#[tokio::test]
async fn results_outlive_an_api_node_that_is_down_and_the_worker_itself() {
    for kill in [false, true] {
        let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut farm = Farm::on(folder.path(), &["api"]);
        let port = farm.port().to_string();
        let mut worker = Worker::on(
            spool.path(),
            &[&farm.base],
            &["--workers", "2", "--name", "w1"],
        );
        let ids = [create(&farm, &slow()).await, create(&farm, &slow()).await];
        for id in &ids {
            farm.until(id, "running").await;
        }
        farm.kill();
        // Down for the whole rest of the render.
        let begun = Instant::now();
        while results(spool.path()) < 2 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if kill {
            worker.kill();
        } else {
            assert!(worker.stop().success());
        }
        let command = command(folder.path(), &["api"]);
        let farm = Farm::run(at_port(command, &port), folder.path());
        assert_eq!(farm.counts().await["queued"], 2);
        // One that renders nothing in time: what comes was kept.
        let again = Worker::on(
            spool.path(),
            &[&farm.base],
            &["--workers", "1", "--name", "w2"],
        );
        for id in &ids {
            assert_eq!(farm.until(id, "done").await["generated_by"], "w1");
        }
        again.until_logged("kept results").await;
        let begun = Instant::now();
        while results(spool.path()) > 0 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        score("API node down for the whole render", &farm, 2, &ids).await;
    }
}

#[tokio::test]
async fn a_render_goes_on_across_a_restart_of_the_api_node() {
    let folder = TempDir::new().unwrap();
    let mut farm = Farm::on(folder.path(), &["api"]);
    let port = farm.port().to_string();
    let worker = Worker::with(&[&farm.base], &["--workers", "1"]);
    let long = create(&farm, &common::long()).await;
    farm.until(&long, "running").await;
    for kill in [false, true] {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if kill {
            farm.kill();
        } else {
            assert!(farm.stop().success());
        }
        let command = command(folder.path(), &["api"]);
        farm = Farm::run(at_port(command, &port), folder.path());
        let begun = Instant::now();
        while workers(&farm).await.first().map(|w| w["rendering"].clone()) != Some(json!([long])) {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(farm.until(&long, "running").await["attempts"], 1);
    }
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let crashes = conn.query_row("SELECT crashes FROM fractal", [], |row| row.get(0));
    assert_eq!(crashes, Ok(1), "a process that stops has not crashed");
    // Deleted now, it stops: the worker has held on to it all the time.
    assert!(worker.logged("no API node answers") <= 2, "a line a change");
    let path = format!("/v1/fractal/{long}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    let next = create(&farm, &small()).await;
    farm.until(&next, "done").await;
}

#[tokio::test]
async fn a_worker_without_the_right_token_says_so_in_a_line() {
    let farm = Farm::beyond(&["api"]);
    let base = format!("http://127.0.0.1:{}", farm.port());
    let folder = TempDir::new().unwrap();
    let file = |name: &str, token: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let said = |args: &[&str]| {
        let output = ending(&base, args);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        said.lines().last().unwrap().to_owned()
    };
    let wrong = file("wrong", "0123456789abcdef0123456789abcdef");
    let user = file("user", &farm.token("user"));
    let none = said(&[]);
    assert!(none.contains("asks for the workers' token"), "{none}");
    let wrong = said(&["--token-file", &wrong]);
    assert!(wrong.contains("does not take this token"), "{wrong}");
    let users = said(&["--token-file", &user]);
    assert!(
        users.contains("holds a user token, where the worker token belongs"),
        "{users}"
    );

    let right = file("right", &farm.token("worker"));
    let farm = farm.reached_at(base.clone(), common::client());
    let post = farm.post("/v1/fractal").json(&small());
    let new = post.bearer_auth(farm.token("user")).send().await.unwrap();
    let new: Value = new.json().await.unwrap();
    let _worker = Worker::with(&[&base], &["--token-file", &right]);
    farm.until(new["uuid"].as_str().unwrap(), "done").await;
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (endpoint, args, words) in [
        ("ftp://farm", &[][..], "must begin with http:// or https://"),
        ("http://farm", &["--workers", "0"], "workers is 0"),
        ("http://farm", &["--name", ""], "name must have"),
    ] {
        let output = ending(endpoint, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

/// A worker as documents.
fn announced(id: &str, protocol: u32) -> Value {
    json!({"id": id, "name": "w", "version": "9.9.9", "protocol": protocol, "slots": 1, "done": 0,
           "rate": 0})
}

#[tokio::test]
async fn who_speaks_another_protocol_is_told_who_has_to_be_upgraded() {
    let farm = Farm::api();
    for (protocol, upgrade) in [(0, "upgrade the worker"), (99, "upgrade the farm")] {
        // Of another version's document no more need be understood.
        let poll = json!({"worker": {"protocol": protocol, "name": "w", "version": "9.9.9"}});
        for path in ["/v1/leases", "/v1/leases/renew"] {
            let response = farm.post(path).json(&poll).send().await.unwrap();
            assert_eq!(response.status(), 409);
            let error: Value = response.json().await.unwrap();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(upgrade), "{message}");
            assert!(message.contains("9.9.9") && message.contains(env!("CARGO_PKG_VERSION")));
        }
    }
    // Fields that a later version adds do no harm.
    let mut worker = announced(&uuid(), 1);
    worker["mood"] = json!("fine");
    let poll = json!({"worker": worker, "want": 1, "wait": 0, "colour": "red"});
    let response = farm.post("/v1/leases").json(&poll).send().await.unwrap();
    assert_eq!(response.status(), 204);
}

/// A worker and a farm that differ in one figure of what they say: that is all it takes.
#[tokio::test]
async fn a_worker_of_a_version_that_is_not_understood_ends_with_a_line() {
    let farm = Farm::api();
    for (protocol, upgrade) in [(0, "upgrade the worker"), (9, "upgrade the farm")] {
        let said = format!("\"protocol\":{protocol}");
        let proxy = Proxy::that_says(farm.port(), "\"protocol\":1", &said).await;
        let endpoint = format!("http://127.0.0.1:{}", proxy.port);
        let output = tokio::task::spawn_blocking(move || ending(&endpoint, &[])).await;
        let output = output.unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains(upgrade), "{said}");
    }
    // One that has been let in before waits until the two understand each other again.
    let proxy = Proxy::to(farm.port()).await;
    let worker = Worker::with(&[&format!("http://127.0.0.1:{}", proxy.port)], &[]);
    worker.until_logged("connected").await;
    proxy.cut().await;
    proxy.say("\"protocol\":1", "\"protocol\":0");
    proxy.set(State::Open);
    let refused = format!("the worker {}", worker.said("ready", "name"));
    worker.until_logged(&refused).await;
    proxy.cut().await;
    proxy.say("", "");
    proxy.set(State::Open);
    let id = create(&farm, &small()).await;
    farm.until(&id, "done").await;
}

#[tokio::test]
async fn a_poll_that_is_left_loses_no_task() {
    let farm = Farm::with(&["api", "--lease", "600"]);
    let impatient = reqwest::Client::builder()
        .tls_certs_only([])
        .timeout(Duration::from_millis(30));
    let impatient = impatient.build().unwrap();
    let poll = |wait: u32| json!({"worker": announced(&uuid(), 1), "want": 1, "wait": wait});
    for _ in 0..20 {
        let poll = impatient.post(farm.url("/v1/leases")).json(&poll(20));
        assert!(poll.send().await.is_err());
    }
    let id = create(&farm, &small()).await;
    // It gets there at once; or when the last one that was left has given it back.
    let poll = poll(20);
    let lent = farm.post("/v1/leases").json(&poll).send().await.unwrap();
    let lent: Value = lent.json().await.unwrap();
    assert_eq!(lent["tasks"][0]["uuid"], json!(id));
    assert_eq!(lent["lease_seconds"], 600.0);
    // Brought back by whoever has it, and by nobody else.
    for (worker, status) in [
        (uuid(), "running"),
        (poll["worker"]["id"].as_str().unwrap().into(), "queued"),
    ] {
        let back = json!({"worker": worker, "leases": [{"lease": lent["tasks"][0]["lease"]}]});
        let back = farm
            .post("/v1/leases/return")
            .json(&back)
            .send()
            .await
            .unwrap();
        assert_eq!(back.status(), 204);
        assert_eq!(farm.show(&id).await["status"], status);
    }
}

#[tokio::test]
async fn local_workers_are_on_the_list_too() {
    let farm = Farm::all();
    let worker = Worker::with(&[&farm.base], &["--workers", "3", "--name", "zz"]);
    let begun = Instant::now();
    while workers(&farm).await.len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let list = workers(&farm).await;
    assert_eq!(
        (&list[0]["slots"], &list[1]["slots"]),
        (&json!(2), &json!(3))
    );
    let table = text(&farm.cli(&["workers"]).stdout);
    assert!(
        table.contains("| Name") && table.contains("| zz"),
        "{table}"
    );
    let json: Value = serde_json::from_slice(&farm.cli(&["workers", "-f", "json"]).stdout).unwrap();
    assert_eq!(json[1]["name"], "zz");
    let csv = text(&farm.cli(&["workers", "-f", "csv"]).stdout);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let value = text(&farm.cli(&["workers", "-f", "value"]).stdout);
    assert!(value.lines().nth(1).unwrap().starts_with("zz "), "{value}");
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_may_come_and_go() {
    let farm = Farm::with(&["api", "--lease", "2"]);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut workers: Vec<Option<Worker>> = (0..5).map(|_| None).collect();
    let (begun, mut accepted) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(20) {
        let place = random.random_range(0..5);
        workers[place] = match workers[place].take() {
            None => Some(Worker::with(&[&farm.base], &["--workers", "1"])),
            Some(mut worker) => {
                // Some are asked to leave, some die.
                match random.random_range(0..2) {
                    0 => worker.signal("-TERM"),
                    _ => worker.kill(),
                }
                let _ = worker.child.wait();
                None
            }
        };
        for _ in 0..10 {
            let fractal = but(
                small(),
                json!({"width": 300, "height": 300, "iterations": 500}),
            );
            accepted.push(create(&farm, &fractal).await);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
    }
    let _last = Worker::of(&farm);
    until_all_done(&farm, accepted.len()).await;
    score("workers come and go", &farm, accepted.len(), &accepted).await;
}
