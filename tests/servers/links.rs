//! All parts at once, a broker and a database among them: links between each pair that break and
//! freeze, workers that come and go, a disk without room. The score of each: nothing lost, nothing
//! seen twice.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};

use super::common::proxy::{Proxy, State};
use super::common::rabbit::Rabbit;
use super::failures::{Ledger, paced, score, until_more};
use super::*;

/// Between two requests of a client: these tests are of failures, not of load.
const REST: Duration = Duration::from_millis(100);

/// With a pulse that notices within seconds when the link is frozen.
fn broker_url(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}//?heartbeat=2")
}

async fn until_connected(farm: &Farm) {
    let begun = Instant::now();
    while farm.counts().await["broker_connected"] != true {
        assert!(begun.elapsed() < PATIENCE, "{:?}", farm.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_break_and_freeze_lose_nothing() {
    let rabbit = Rabbit::start().await;
    for kind in BOTH {
        let server = DbServer::start(kind, &[]);
        execute(kind, &server.admin_url(), "CREATE DATABASE faafo").await;
        let database = Proxy::to(server.port).await;
        let url = server.url("faafo").replace(
            &format!(":{}/", server.port),
            &format!(":{}/", database.port),
        );
        let api_to_broker = Proxy::to(rabbit.port()).await;
        let transport = broker_url(api_to_broker.port);
        let args = ["api", "--lease", "5", "--transport-url", &transport];
        let folder = TempDir::new().unwrap();
        let mut farm = farm(folder.path(), "a", &url, &args);
        until_connected(&farm).await;
        let http = Proxy::to(farm.port()).await;
        let worker_to_broker = Proxy::to(rabbit.port()).await;
        let endpoint = format!("http://127.0.0.1:{}", http.port);
        let transport = broker_url(worker_to_broker.port);
        // One takes its tasks from the broker, one from the API node; both deliver to that.
        let args = ["--workers", "1", "--name"];
        let by_broker = [&args[..], &["amqp", "--transport-url", &transport]].concat();
        let by_http = [&args[..], &["http"]].concat();
        let workers = [by_broker, by_http].map(|args| Worker::with(&[&endpoint], &args));

        let all = [
            (&database, "API and database"),
            (&api_to_broker, "API and broker"),
            (&worker_to_broker, "worker and broker"),
            (&http, "workers and API"),
        ];
        // Only the first differs between the databases.
        let links = if kind == BOTH[0] { &all } else { &all[..1] };
        for (link, between) in links {
            // Frozen for longer than all that waits for an answer, leases included.
            for (state, seconds) in [(State::Cut, 3), (State::Frozen, 14)] {
                let ledger = Arc::new(Ledger::default());
                let posts = paced(&farm, &ledger, false, REST);
                until_more(&ledger, 50).await;
                link.set(state);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                link.set(State::Open);
                until_more(&ledger, 50).await;
                let what = format!("{kind:?}, {state:?} between {between}");
                score(&what, &farm, &ledger, posts).await;
            }
        }
        assert!(!farm.log_text().contains("panicked"));
        assert!(workers.iter().all(|worker| worker.logged("panicked") == 0));
        drop(workers);
        assert!(farm.stop().success());
    }
}

/// Two API nodes on one database and one broker; workers join, leave and die for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_and_go_between_two_nodes() {
    let rabbit = Rabbit::start().await;
    let url = new_database(Kind::Postgres).await;
    let folder = TempDir::new().unwrap();
    let transport = broker_url(rabbit.port());
    let args = ["api", "--lease", "5", "--transport-url", &transport];
    let farms = ["a", "b"].map(|name| farm(folder.path(), name, &url, &args));
    for farm in &farms {
        until_connected(farm).await;
    }
    let endpoints = [farms[0].base.as_str(), farms[1].base.as_str()];
    let ledger = Arc::new(Ledger::default());
    let mut posts = paced(&farms[0], &ledger, false, REST);
    posts.extend(paced(&farms[1], &ledger, false, REST));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let mut workers: Vec<Option<Worker>> = (0..5).map(|_| None).collect();
    let (begun, mut joined, mut left) = (Instant::now(), 0, [0, 0]);
    while begun.elapsed() < Duration::from_secs(60) {
        let place = random.random_range(0..workers.len());
        workers[place] = match workers[place].take() {
            None => {
                joined += 1;
                let name = format!("worker {joined}");
                let mut args = vec!["--workers", "1", "--name", &name];
                if random.random_bool(0.5) {
                    args.extend(["--transport-url", &transport]);
                }
                Some(Worker::with(&endpoints, &args))
            }
            Some(mut worker) => {
                // Some are asked to leave, some die.
                let killed = usize::from(random.random_bool(0.5));
                left[killed] += 1;
                worker.signal(["-TERM", "-KILL"][killed]);
                worker.child.wait().unwrap();
                None
            }
        };
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1000))).await;
    }
    println!("{joined} joined, {} left, {} were killed", left[0], left[1]);
    let _last = Worker::with(&endpoints, &["--workers", "2"]);
    score("workers come and go", &farms[0], &ledger, posts).await;
}

/// A broker without room on its disk takes no more messages. Fractals are accepted all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_without_room_refuses_nobody() {
    let rabbit = Rabbit::start().await;
    let url = new_database(Kind::Postgres).await;
    let folder = TempDir::new().unwrap();
    let transport = broker_url(rabbit.port());
    let args = ["api", "--transport-url", &transport];
    let farm = farm(folder.path(), "a", &url, &args);
    until_connected(&farm).await;
    let args = ["--workers", "2", "--transport-url", &transport];
    let _worker = Worker::with(&[&farm.base], &args);
    let ledger = Arc::new(Ledger::default());
    let posts = paced(&farm, &ledger, false, REST);
    until_more(&ledger, 50).await;
    // More than any disk has: the alarm is the same.
    tokio::task::block_in_place(|| rabbit.control(&["set_disk_free_limit", "1000GB"]));
    until_more(&ledger, 300).await;
    tokio::task::block_in_place(|| rabbit.control(&["set_disk_free_limit", "1MB"]));
    until_more(&ledger, 50).await;
    score("no room for the broker", &farm, &ledger, posts).await;
    assert_eq!(ledger.refused(), 0);
}
