//! Databases and nodes that die or stand still in the middle of the load. The score of each: nothing
//! lost, nothing seen twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::common::{but, uuid};
use super::*;

/// What happened to the fractals that were asked for.
#[derive(Default)]
pub struct Ledger {
    attempted: AtomicU64,
    accepted: Mutex<Vec<String>>,
    refused: AtomicU64,
    /// No answer: the node died. Whether it was accepted, nobody knows.
    unknown: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Posts from several clients until told to stop. Whatever happens to the database, a node answers
/// with 201, or with 503 and when to come again.
fn load(farm: &Farm, ledger: &Arc<Ledger>, may_die: bool) -> Vec<tokio::task::JoinHandle<()>> {
    paced(farm, ledger, may_die, Duration::ZERO)
}

/// [`load`] of which each client rests for this long after each answer.
pub fn paced(
    farm: &Farm,
    ledger: &Arc<Ledger>,
    may_die: bool,
    rest: Duration,
) -> Vec<tokio::task::JoinHandle<()>> {
    let client = move |url: String, ledger: Arc<Ledger>| async move {
        let client = common::client();
        while !ledger.stop.load(Ordering::Relaxed) {
            let id = uuid();
            let fractal = but(small(), json!({"uuid": id}));
            ledger.attempted.fetch_add(1, Ordering::Relaxed);
            let answer = match client.post(&url).json(&fractal).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    assert!(may_die, "{error}");
                    ledger.unknown.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            match answer.status().as_u16() {
                201 => ledger.accepted.lock().unwrap().push(id),
                503 => {
                    assert!(answer.headers().contains_key("retry-after"));
                    ledger.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => panic!("{other}: {}", answer.text().await.unwrap()),
            }
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
        }
    };
    (0..8)
        .map(|_| tokio::spawn(client(farm.url("/v1/fractal"), ledger.clone())))
        .collect()
}

/// Waits until some more are accepted.
pub async fn until_more(ledger: &Ledger, more: usize) {
    let (begun, before) = (Instant::now(), ledger.accepted());
    while ledger.accepted() < before + more {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends the load, waits until all is done, and counts.
pub async fn score(
    what: &str,
    farm: &Farm,
    ledger: &Ledger,
    posts: Vec<tokio::task::JoinHandle<()>>,
) {
    ledger.stop.store(true, Ordering::Relaxed);
    for post in posts {
        post.await.unwrap();
    }
    let begun = Instant::now();
    loop {
        let counts = farm.counts().await;
        if counts["queued"] == 0 && counts["running"] == 0 {
            assert_eq!(counts["failed"], 0);
            break;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{counts}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let listed = farm.cli(&["list", "-f", "value"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let mut shown: HashMap<String, u32> = HashMap::new();
    for line in text(&listed.stdout).lines() {
        let mut fields = line.split(' ');
        *shown.entry(fields.next().unwrap().into()).or_default() += 1;
        assert_eq!(fields.next(), Some("done"), "{line}");
    }
    let accepted = ledger.accepted.lock().unwrap().clone();
    let lost = accepted.iter().filter(|id| !shown.contains_key(*id));
    let lost = lost.count();
    let twice = shown.values().filter(|times| **times > 1).count();
    println!(
        "{what}: attempted {}, accepted {}, refused {}, unknown {}, done {}, lost {lost}, twice {twice}",
        ledger.attempted.load(Ordering::Relaxed),
        accepted.len(),
        ledger.refused(),
        ledger.unknown.load(Ordering::Relaxed),
        shown.len(),
    );
    assert_eq!((lost, twice), (0, 0));
    for id in shown.keys().take(20) {
        let png = farm.get(&format!("/fractal/{id}")).send().await.unwrap();
        let png = png.bytes().await.unwrap();
        assert_eq!(farm.show(id).await["checksum"], common::sha256(&png));
    }
}

async fn until_ready(farm: &Farm, most: Duration) {
    let begun = Instant::now();
    while farm.get("/readyz").send().await.unwrap().status() != 200 {
        assert!(begun.elapsed() < most, "not back after {most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("ready again after {:?}", begun.elapsed());
}

/// Waits until a node says that its database is away.
async fn until_away(farm: &Farm) {
    let begun = Instant::now();
    // On a connection of its own: one that was silent for so long may be about to end.
    let client = common::client();
    loop {
        let ready = client.get(farm.url("/readyz")).send().await.unwrap();
        let metrics = client.get(farm.url("/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        if ready.status() == 503 && metrics.contains("faafo_store_reachable 0") {
            assert!(ready.headers().contains_key("retry-after"));
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two whole farms on a database server of their own.
async fn two_farms(kind: Kind, folder: &Path) -> (DbServer, [Farm; 2]) {
    two_nodes(kind, folder, &["all", "--workers", "1"]).await
}

async fn two_nodes(kind: Kind, folder: &Path, args: &[&str]) -> (DbServer, [Farm; 2]) {
    let server = DbServer::start(kind, &[]);
    execute(kind, &server.admin_url(), "CREATE DATABASE faafo").await;
    let url = server.url("faafo");
    let farms = ["a", "b"].map(|name| farm(folder, name, &url, args));
    (server, farms)
}

fn end(farms: &mut [Farm]) {
    for farm in farms {
        assert!(!farm.log_text().contains("panicked"));
        assert!(farm.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_database_loses_nothing_and_all_goes_on_by_itself() {
    // Once for longer than a node may be silent; meanwhile the other one has its turn.
    let both = [
        tokio::spawn(killed(Kind::Postgres, [1.0, 0.1, 40.0])),
        tokio::spawn(killed(Kind::MariaDb, [1.0, 0.1, 10.0])),
    ];
    for one in both {
        one.await.unwrap();
    }
}

/// Kills the database again and again in the middle of the load, and starts it after so many seconds.
async fn killed(kind: Kind, times: [f32; 3]) {
    let folder = TempDir::new().unwrap();
    let (mut server, mut farms) = two_farms(kind, folder.path()).await;
    let ledger = Arc::new(Ledger::default());
    let posts = farms.iter().flat_map(|farm| load(farm, &ledger, false));
    let posts = posts.collect();
    for down in times {
        until_more(&ledger, 100).await;
        server.kill();
        tokio::time::sleep(Duration::from_secs_f32(down)).await;
        until_away(&farms[0]).await;
        let run = tokio::task::spawn_blocking(move || {
            server.run();
            server
        });
        server = run.await.unwrap();
        until_ready(&farms[0], Duration::from_secs(60)).await;
    }
    until_more(&ledger, 100).await;
    assert!(ledger.refused.load(Ordering::Relaxed) > 0);
    let what = format!("{kind:?} killed for {times:?} s");
    score(&what, &farms[1], &ledger, posts).await;
    end(&mut farms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_makes_nobody_wait_for_ever() {
    for kind in BOTH {
        let folder = TempDir::new().unwrap();
        let (server, mut farms) = two_farms(kind, folder.path()).await;
        let id = farms[0].created().await["uuid"]
            .as_str()
            .unwrap()
            .to_owned();
        let ledger = Arc::new(Ledger::default());
        let posts = farms.iter().flat_map(|farm| load(farm, &ledger, false));
        let posts = posts.collect();
        until_more(&ledger, 200).await;
        server.freeze();
        let begun = Instant::now();
        let refused = ledger.refused.load(Ordering::Relaxed);
        while ledger.refused.load(Ordering::Relaxed) == refused {
            assert!(begun.elapsed() < Duration::from_secs(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{kind:?} frozen: first 503 after {:?}", begun.elapsed());
        // Each node finds out by itself.
        loop {
            let metrics = farms[0].get("/metrics").send().await.unwrap();
            if metrics
                .text()
                .await
                .unwrap()
                .contains("faafo_store_reachable 0")
            {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(40));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Once that is known, nobody waits at all.
        let begun = Instant::now();
        let show = farms[0].get(&format!("/v1/fractal/{id}")).send().await;
        assert_eq!(show.unwrap().status(), 503);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.thaw();
        until_ready(&farms[0], Duration::from_secs(30)).await;
        until_more(&ledger, 200).await;
        let what = format!("{kind:?} frozen and let go on");
        score(&what, &farms[1], &ledger, posts).await;
        end(&mut farms);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_an_api_node_loses_nothing_and_its_workers_go_to_the_other() {
    for kind in BOTH {
        let url = new_database(kind).await;
        let folder = TempDir::new().unwrap();
        let mut farms = ["a", "b"].map(|name| farm(folder.path(), name, &url, &["api"]));
        let _workers = [worker(&farms), worker(&farms)];
        let ledger = Arc::new(Ledger::default());
        let mut posts = load(&farms[0], &ledger, true);
        posts.extend(load(&farms[1], &ledger, false));
        until_more(&ledger, 300).await;
        farms[0].child.kill().unwrap();
        farms[0].child.wait().unwrap();
        until_more(&ledger, 300).await;
        let what = format!("{kind:?}, one of two API nodes killed");
        score(&what, &farms[1], &ledger, posts).await;
        // Rendered more than once is harmless, and rare.
        let again = ledger.accepted.lock().unwrap().clone();
        let mut more = 0;
        for id in again.iter().take(1000) {
            more += u32::from(farms[1].show(id).await["attempts"] != 1);
        }
        println!("{kind:?}: begun more than once: {more} of the first thousand");
        assert!(more < 100);
        end(&mut farms[1..]);
    }
}

/// What a worker holds that heard of its task from a broker: asked for by hand.
struct Claimed {
    worker: Value,
    held: Value,
}

impl Claimed {
    async fn at(farm: &Farm, id: &str) -> Claimed {
        let worker = json!({"id": uuid(), "name": "w", "version": "9.9.9", "protocol": 1, "slots": 1,
                            "done": 0, "rate": 0});
        let claim = json!({"worker": worker, "uuids": [id]});
        let claimed = farm.post("/v1/leases/claim").json(&claim).send().await;
        let claimed: Value = claimed.unwrap().json().await.unwrap();
        let task = &claimed["tasks"][0];
        let held = json!({"lease": task["lease"], "row": task["row"], "uuid": id,
                          "rendering": true, "fraction": 0.5});
        Claimed { worker, held }
    }

    /// Renews it; what is gone.
    async fn renew(&self, farm: &Farm) -> Value {
        let doc = json!({"worker": self.worker, "leases": [self.held]});
        let renewed = farm.post("/v1/leases/renew").json(&doc).send().await;
        let renewed: Value = renewed.unwrap().json().await.unwrap();
        renewed["gone"].clone()
    }

    /// Brings it back, and hears no answer within `patience`.
    async fn bring_back(&self, farm: &Farm, patience: Duration) {
        let lease = json!({"lease": self.held["lease"], "failure": null});
        let doc = json!({"worker": self.worker["id"], "leases": [lease]});
        let back = farm.post("/v1/leases/return").json(&doc);
        assert!(back.timeout(patience).send().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_goes_to_another_node_even_while_the_database_is_away() {
    for kind in BOTH {
        let folder = TempDir::new().unwrap();
        let (mut server, mut farms) = two_nodes(kind, folder.path(), &["api"]).await;
        let new = farms[0].created().await;
        let id = new["uuid"].as_str().unwrap();
        let claimed = Claimed::at(&farms[0], id).await;
        server.kill();
        // Whether it is another's by now, nobody can tell.
        assert_eq!(claimed.renew(&farms[1]).await, json!([]), "{kind:?}");
        let run = tokio::task::spawn_blocking(move || {
            server.run();
            server
        });
        let server = run.await.unwrap();
        until_ready(&farms[1], Duration::from_secs(60)).await;
        assert_eq!(claimed.renew(&farms[1]).await, json!([]), "{kind:?}");
        let shown = farms[1].show(id).await;
        let (status, attempts) = (&shown["status"], &shown["attempts"]);
        assert_eq!(
            (status, attempts),
            (&json!("running"), &json!(1)),
            "{kind:?}"
        );
        drop(server);
        end(&mut farms);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_taken_back_though_nobody_waits_for_the_answer() {
    let folder = TempDir::new().unwrap();
    let (server, farms) = two_nodes(Kind::Postgres, folder.path(), &["api"]).await;
    let new = farms[0].created().await;
    let id = new["uuid"].as_str().unwrap();
    let claimed = Claimed::at(&farms[0], id).await;
    assert_eq!(farms[0].show(id).await["status"], "running");
    server.freeze();
    claimed.bring_back(&farms[0], Duration::from_secs(1)).await;
    // Until what was begun has failed.
    until_away(&farms[0]).await;
    server.thaw();
    until_ready(&farms[0], Duration::from_secs(60)).await;
    farms[0].until(id, "queued").await;
}
