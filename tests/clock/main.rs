//! A clock that jumps. Nothing that a farm holds itself to goes by the time of day: leases, sweeps,
//! the silence of workers and of nodes, and pauses are measured by a clock that nobody sets. The
//! score of each: nothing lost, nothing twice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

#[path = "../common/mod.rs"]
mod common;
mod machine;

use std::path::Path;
use std::time::{Duration, Instant};

use common::database::{Kind, new_database};
use common::worker::{Worker, create, score, until_all_done, workers};
use common::{Farm, PATIENCE, long, small};
use machine::jump;
use serde_json::{Value, json};
use tempfile::TempDir;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// There and back.
const JUMPS: [i64; 6] = [HOUR, -HOUR, DAY, -DAY, -DAY, DAY];

/// Posts small pictures to these farms in turn, half of them before the clock jumps, and half after.
async fn load(farms: &[&Farm], jump_by: i64, accepted: &mut Vec<String>) {
    for n in 0..20 {
        if n == 10 {
            jump(jump_by);
        }
        accepted.push(create(farms[n % farms.len()], &small()).await);
    }
}

/// Enough for each node to say that it lives, and to look whether the others do. Somebody watches, so
/// that no connection is closed for being idle just when it is needed.
async fn let_time_pass(farms: &[&Farm]) {
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for farm in farms {
            farm.counts().await;
        }
    }
}

/// Whose render a fractal is, if it is not `other`'s.
async fn renders(farm: &Farm, id: &str, other: &str) -> Option<String> {
    let list = workers(farm).await;
    let mut its = list.iter().filter(|w| w["rendering"] == json!([id]));
    let name = its.next()?["name"].as_str().unwrap().to_owned();
    (name != other).then_some(name)
}

async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn leases_workers_and_tokens_do_not_mind() {
    if !machine::enter("leases_workers_and_tokens_do_not_mind") {
        return;
    }
    let farm = Farm::with(&["api", "--lease", "5"]);
    let full = Farm::with(&["api", "--max-queued", "1"]);
    let guarded = Farm::beyond(&["api"]);
    let base = format!("http://127.0.0.1:{}", guarded.port());
    let guarded = guarded.reached_at(base, common::client());
    let token = guarded.token("user");
    full.created().await;
    let mut both = ["one", "two"].map(|name| {
        let args = ["--workers", "1", "--name", name];
        Worker::with(&[&farm.base], &args)
    });
    let at = create(&farm, &long()).await;
    let first = soon("it is begun", async || renders(&farm, &at, "").await).await;

    let mut accepted = Vec::new();
    for by in JUMPS {
        load(&[&farm], by, &mut accepted).await;
        // A lease that went by the clock would have run out, and would be missed by now.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(workers(&farm).await.len(), 2, "{by}");
        assert_eq!(renders(&farm, &at, "").await.as_ref(), Some(&first), "{by}");
        let crowded = full.create(&small()).await;
        assert_eq!(
            (crowded.status().as_u16(), &crowded.headers()["retry-after"]),
            (429, &"10".parse().unwrap())
        );
        let post = guarded.post("/v1/fractal").json(&small());
        let post = post.bearer_auth(&token).send().await.unwrap();
        assert_eq!(post.status(), 201);
    }
    assert_eq!(farm.show(&at).await["attempts"], 1);
    assert!(!farm.log_text().contains("a worker is silent"));
    let list: Value = farm
        .get("/v1/farm")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let samples = list["samples"].as_array().unwrap();
    let times: Vec<&str> = samples.iter().map(|s| s["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");

    // A worker dies, and the clock is put back: its task and its place on the list are not its for
    // an hour more.
    let dead = both.iter_mut().find(|w| w.said("ready", "name") == first);
    dead.unwrap().kill();
    let killed = Instant::now();
    jump(-HOUR);
    let second = soon("it is taken up", async || renders(&farm, &at, &first).await).await;
    let taken = killed.elapsed();
    println!("its worker killed and the clock put back: {second} goes on after {taken:?} of 5 s");
    assert!((2.0..60.0).contains(&taken.as_secs_f64()), "{taken:?}");
    soon("it is off the list", async || {
        (workers(&farm).await.len() == 1).then_some(())
    })
    .await;
    let gone = killed.elapsed();
    assert!((20.0..50.0).contains(&gone.as_secs_f64()), "{gone:?}");

    let path = format!("/v1/fractal/{at}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    until_all_done(&farm, accepted.len()).await;
    score("a clock that jumps", &farm, accepted.len(), &accepted).await;
}

/// Two nodes on one database: the clock is the nodes', the workers' and the database's.
async fn nodes_do_not_mind(kind: Kind) {
    let (url, folder) = (new_database(kind).await, TempDir::new().unwrap());
    let a = node(folder.path(), "a", &url, &["api"]);
    let _worker = Worker::with(&[&a.base], &["--workers", "1"]);
    let mut at = vec![create(&a, &long()).await];
    a.until(&at[0], "running").await;
    // Once the only worker there is busy, what comes is this node's.
    let data = folder.path().to_owned();
    let b = move || node(&data, "b", &url, &["all", "--workers", "2"]);
    let mut b = tokio::task::spawn_blocking(b).await.unwrap();
    at.push(create(&a, &long()).await);
    a.until(&at[1], "running").await;
    let mut accepted = Vec::new();
    for by in JUMPS {
        load(&[&a, &b], by, &mut accepted).await;
        let_time_pass(&[&a, &b]).await;
    }
    // Without a commit, which would say at once that its node lives.
    jump(DAY);
    let_time_pass(&[&a, &b]).await;
    for id in &at {
        assert_eq!(a.show(id).await["status"], "running");
        assert_eq!(a.show(id).await["attempts"], 1);
    }
    for node in [&a, &b] {
        assert!(!node.log_text().contains("fell silent"));
    }

    // What a node was rendering that dies is not its for an hour more.
    b.kill();
    let killed = Instant::now();
    jump(-HOUR);
    a.until_logged("renders of nodes that fell silent").await;
    let taken = killed.elapsed();
    println!("{kind:?}: a node killed and the clock put back: taken up after {taken:?}");
    assert!(taken > Duration::from_secs(20));
    for id in &at {
        let path = format!("/v1/fractal/{id}");
        assert_eq!(a.delete(&path).send().await.unwrap().status(), 204);
    }
    until_all_done(&a, accepted.len()).await;
    let what = format!("a clock that jumps, two nodes on {kind:?}");
    score(&what, &a, accepted.len(), &accepted).await;
}

fn node(folder: &Path, name: &str, url: &str, args: &[&str]) -> Farm {
    let data = folder.join(name);
    std::fs::create_dir_all(&data).unwrap();
    let file = data.join("url");
    std::fs::write(&file, url).unwrap();
    let file = file.to_str().unwrap();
    Farm::on(&data, &[args, &["--database-url-file", file]].concat())
}

#[tokio::test]
async fn nodes_on_postgres_do_not_mind() {
    if machine::enter("nodes_on_postgres_do_not_mind") {
        nodes_do_not_mind(Kind::Postgres).await;
    }
}

#[tokio::test]
async fn nodes_on_mariadb_do_not_mind() {
    if machine::enter("nodes_on_mariadb_do_not_mind") {
        nodes_do_not_mind(Kind::MariaDb).await;
    }
}
