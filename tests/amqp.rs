//! Tasks through a real RabbitMQ: with programs of the original on the other side, and with everything
//! killed that can be. The score of each: nothing lost, nothing twice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::database::{Kind, new_database};
use common::rabbit::{Rabbit, ack, next};
use common::scrape::Scrape;
use common::worker::{Worker, at_port, create, score, until_all_done, workers};
use common::{FAAFO, Farm, PATIENCE, but, command, long, sha256, small, text, uuid};
use futures_util::StreamExt;
use lapin::BasicProperties;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An API node that hands its tasks to the broker.
async fn api(rabbit: &Rabbit) -> Farm {
    let farm = Farm::with(&["api", "--lease", "5", "--transport-url", &rabbit.url()]);
    until_connected(&farm).await;
    farm
}

async fn until_connected(farm: &Farm) {
    let begun = Instant::now();
    while farm.counts().await["broker_connected"] != true {
        assert!(begun.elapsed() < PATIENCE, "{:?}", farm.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A worker with two slots that takes them from there.
fn worker(rabbit: &Rabbit, farm: &Farm, name: &str) -> Worker {
    let url = rabbit.url();
    let args = ["--workers", "2", "--name", name, "--transport-url", &url];
    Worker::with(&[&farm.base], &args)
}

fn png(fractal: &Value) -> Vec<u8> {
    let (width, height) = (fractal["width"].to_string(), fractal["height"].to_string());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("picture.png");
    let rendered = std::process::Command::new(common::FAAFO)
        .args(["render", "--width", &width, "--height", &height])
        .args(["--iterations", "32", "--c-re=0.1", "--c-im=0.2", "-o"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    std::fs::read(file).unwrap()
}

fn json_message() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
}

/// The test plays the original's worker and its API. They were here first: what they declare is what
/// ours have to declare.
#[tokio::test]
async fn programs_of_the_original_share_the_broker() {
    let rabbit = Rabbit::start().await;
    let client = rabbit.client().await;
    client.declare_as_the_original().await;
    let farm = api(&rabbit).await;

    // Their worker takes a task of ours.
    let mut theirs = client.consume("normal").await;
    let wide = but(
        small(),
        json!({"xa": -2.345678901234568, "c_re": null, "c_im": null}),
    );
    let id = create(&farm, &wide).await;
    let message = next(&mut theirs).await;
    assert_eq!(message.exchange.as_str(), "tasks");
    assert_eq!(message.routing_key.as_str(), "normal");
    let properties = &message.properties;
    assert_eq!(
        properties.content_type().as_ref().unwrap().as_str(),
        "application/json"
    );
    assert_eq!(
        properties.content_encoding().as_ref().unwrap().as_str(),
        "utf-8"
    );
    assert_eq!(
        (*properties.delivery_mode(), *properties.priority()),
        (Some(2), Some(0))
    );
    assert!(properties.headers().as_ref().unwrap().inner().is_empty());
    assert!(properties.message_id().is_none() && properties.timestamp().is_none());
    assert!(properties.expiration().is_none() && properties.reply_to().is_none());
    let task: Value = serde_json::from_slice(&message.data).unwrap();
    let row = farm.show(&id).await;
    assert_eq!(
        task,
        json!({"checksum": null, "duration": null, "generated_by": null, "height": 12,
               "iterations": 32, "size": null, "url": null, "uuid": id, "width": 16,
               "xa": -2.345678901234568, "xb": 2.0, "ya": -1.5, "yb": 1.5,
               "c_re": row["c_re"], "c_im": row["c_im"], "palette": "classic"})
    );
    // It renders, delivers as it does, and acknowledges.
    let picture = png(&task);
    let result = json!({"uuid": id, "duration": 0.25, "image": BASE64_STANDARD.encode(&picture),
                        "checksum": sha256(&picture), "size": picture.len(),
                        "generated_by": "original"});
    let path = format!("/v1/fractal/{id}");
    let put = farm.put(&path).json(&result).send().await.unwrap();
    assert_eq!(put.status(), 200);
    ack(&message).await;
    assert_eq!(farm.until(&id, "done").await["generated_by"], "original");
    let tag = theirs.tag();
    client
        .channel
        .basic_cancel(tag, Default::default())
        .await
        .unwrap();
    drop(theirs);

    // Our worker takes tasks of theirs, of which eight keys are all there may be.
    let id = create(&farm, &small()).await;
    client.until_ready("normal", 1).await;
    client.purge("normal").await;
    let minimal = json!({"uuid": id, "width": 16, "height": 12, "iterations": 32, "xa": -2.0,
                         "xb": 2.0, "ya": -1.5, "yb": 1.5});
    client
        .publish(minimal.to_string().as_bytes(), json_message())
        .await;
    let ours = worker(&rabbit, &farm, "ours");
    let done = farm.until(&id, "done").await;
    assert_eq!(
        (&done["generated_by"], &done["attempts"]),
        (&json!("ours"), &json!(1))
    );

    // What is no task is laid aside with its reason, and hurts nobody.
    let pickled = BasicProperties::default().with_content_type("application/x-python".into());
    let broken = but(minimal.clone(), json!({"width": null, "uuid": uuid()}));
    for (body, properties, reason) in [
        (
            b"\xff\x00 rubbish".to_vec(),
            json_message(),
            "it is no task",
        ),
        (b"[]".to_vec(), pickled, "content type"),
        (
            broken.to_string().into_bytes(),
            json_message(),
            "missing field `width`",
        ),
    ] {
        client.publish(&body, properties).await;
        client.until_ready("tasks.dead", 1).await;
        let dead = client.get("tasks.dead").await.unwrap();
        assert_eq!(dead.data, body);
        let headers = dead.properties.headers().clone().unwrap();
        let why = format!("{:?}", headers.inner()["x-faafo-reason"]);
        assert!(
            headers.contains_key("x-faafo-reason") && why.contains("LongString"),
            "{why}"
        );
        let said = headers.inner()["x-faafo-reason"]
            .as_long_string()
            .unwrap()
            .to_string();
        assert!(said.contains(reason), "{said}");
    }
    // A fractal that was deleted, and one whose message is broken, but whose row is not.
    let gone = but(minimal.clone(), json!({"uuid": uuid()}));
    client
        .publish(gone.to_string().as_bytes(), json_message())
        .await;
    ours.signal("-STOP");
    let id = create(&farm, &small()).await;
    let broken = but(minimal, json!({"uuid": id, "width": "wide"}));
    client.purge("normal").await;
    client
        .publish(broken.to_string().as_bytes(), json_message())
        .await;
    ours.signal("-CONT");
    assert_eq!(farm.until(&id, "done").await["width"], 16);
    client.until_ready("tasks.dead", 1).await;
    client.until_ready("normal", 0).await;
    drop(ours);
    // Every message was acknowledged: nothing comes back from the worker that is gone.
    client.until_ready("normal", 0).await;
}

#[tokio::test]
async fn workers_take_from_the_broker_and_are_seen() {
    let rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let mut both = ["one", "two"].map(|name| worker(&rabbit, &farm, name));
    let client = rabbit.client().await;
    while client.consumers("normal").await < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut accepted = Vec::new();
    for n in 0..60 {
        let side = 64 + n % 64;
        accepted.push(create(&farm, &but(small(), json!({"width": side, "height": side}))).await);
    }
    until_all_done(&farm, 60).await;
    score("RabbitMQ and two workers", &farm, 60, &accepted).await;
    let mut by = BTreeSet::new();
    for id in &accepted {
        let done = farm.show(id).await;
        assert_eq!(done["attempts"], 1);
        by.insert(done["generated_by"].as_str().unwrap().to_owned());
    }
    assert_eq!(by.len(), 2, "{by:?}");
    // The last confirms may come after the last results.
    let begun = Instant::now();
    let mut scrape = Scrape::of(&farm).await;
    while scrape.value("faafo_broker_messages_unconfirmed", &[]) > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "{}", scrape.text);
        scrape = Scrape::of(&farm).await;
    }
    assert_eq!(scrape.get("faafo_broker_connected", &[]), Some(1.0));
    assert_eq!(
        scrape.value("faafo_broker_messages_published_total", &[]),
        60.0
    );
    assert_eq!(farm.counts().await["broker_connected"], true);

    // One long task: its worker is seen at it, its bar moves, and it goes on elsewhere at once when
    // that worker is told to stop.
    let id = create(&farm, &long()).await;
    let rendering = async |other: Option<&str>| loop {
        let list = workers(&farm).await;
        let found = list.iter().find(|w| w["rendering"] == json!([id]));
        if let Some(name) = found.map(|w| w["name"].as_str().unwrap().to_owned())
            && Some(&*name) != other
        {
            return name;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let name = tokio::time::timeout(PATIENCE, rendering(None))
        .await
        .unwrap();
    let place = usize::from(name == "two");
    while farm.show(&id).await["progress"].is_null() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = Instant::now();
    assert!(both[place].stop().success());
    let second = tokio::time::timeout(PATIENCE, rendering(Some(&name)))
        .await
        .unwrap();
    println!(
        "told to stop: its task was seen with {second} after {:?}",
        told.elapsed()
    );
    // Nobody wants it any more: the worker has time for others.
    let path = format!("/v1/fractal/{id}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    for _ in 0..4 {
        accepted.push(create(&farm, &small()).await);
    }
    until_all_done(&farm, accepted.len()).await;

    // A worker that dies: its task runs elsewhere when its lease is over.
    let id = create(&farm, &long()).await;
    farm.until(&id, "running").await;
    both[1 - place].kill();
    let killed = Instant::now();
    let _third = worker(&rabbit, &farm, "three");
    let three = async {
        while !workers(&farm)
            .await
            .iter()
            .any(|w| w["name"] == "three" && w["rendering"] == json!([id]))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, three).await.unwrap();
    println!(
        "killed: its task ran elsewhere after {:?} of a lease of 5 s",
        killed.elapsed()
    );
    assert_eq!(farm.show(&id).await["attempts"], 1, "a crash is no attempt");
}

/// Each message five times.
#[tokio::test]
async fn duplicates_do_no_harm() {
    let rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let client = rabbit.client().await;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        accepted.push(create(&farm, &small()).await);
    }
    client.until_ready("normal", 20).await;
    let mut bodies = Vec::new();
    while let Some(message) = client.get("normal").await {
        bodies.push(message.data);
    }
    for _ in 0..5 {
        for body in &bodies {
            client.publish(body, json_message()).await;
        }
    }
    let _workers = ["one", "two"].map(|name| worker(&rabbit, &farm, name));
    until_all_done(&farm, 20).await;
    client.until_ready("normal", 0).await;
    score("each message five times", &farm, 20, &accepted).await;
    for id in &accepted {
        assert_eq!(farm.show(id).await["attempts"], 1);
    }
}

/// What fails for good is laid aside, too.
#[tokio::test]
async fn what_has_failed_for_good_is_a_dead_letter() {
    let rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let client = rabbit.client().await;
    let id = create(&farm, &small()).await;
    let worker = json!({"id": uuid(), "name": "w", "version": "9.9.9", "protocol": 1, "slots": 1,
                        "done": 0, "rate": 0});
    for attempt in 1..=3 {
        client.until_ready("normal", 1).await;
        client.purge("normal").await;
        let claim = json!({"worker": worker, "uuids": [id, uuid()]});
        let claimed = farm
            .post("/v1/leases/claim")
            .json(&claim)
            .send()
            .await
            .unwrap();
        assert_eq!(claimed.status(), 200);
        let claimed: Value = claimed.json().await.unwrap();
        assert_eq!(claimed["tasks"][0]["uuid"], json!(id));
        assert_eq!(claimed["unknown"].as_array().unwrap().len(), 1);
        // Nobody else can have it now.
        let again = farm
            .post("/v1/leases/claim")
            .json(&claim)
            .send()
            .await
            .unwrap();
        let again: Value = again.json().await.unwrap();
        assert_eq!(
            (&again["tasks"], &again["settled"]),
            (&json!([]), &json!([id]))
        );
        let back = json!({"worker": worker["id"], "leases": [
            {"lease": claimed["tasks"][0]["lease"], "failure": format!("it hurts {attempt}")}]});
        let back = farm
            .post("/v1/leases/return")
            .json(&back)
            .send()
            .await
            .unwrap();
        assert_eq!(back.status(), 204);
    }
    assert_eq!(farm.until(&id, "failed").await["error"], "it hurts 3");
    client.until_ready("tasks.dead", 1).await;
    let dead = client.get("tasks.dead").await.unwrap();
    let dead: Value = serde_json::from_slice(&dead.data).unwrap();
    assert_eq!(dead["uuid"], json!(id));
    assert_eq!(client.ready("normal").await, Some(0));
    // Asked for once more, it is a task again.
    let retry = format!("/v1/fractal/{id}/retry");
    assert_eq!(farm.post(&retry).send().await.unwrap().status(), 200);
    client.until_ready("normal", 1).await;
}

/// Workers of the node itself, and one that leases from it over HTTP, beside one at the broker.
#[tokio::test]
async fn a_node_takes_tasks_for_the_workers_it_serves() {
    let rabbit = Rabbit::start().await;
    let farm = Farm::with(&["all", "--workers", "1", "--transport-url", &rabbit.url()]);
    let client = rabbit.client().await;
    let http = Worker::with(&[&farm.base], &["--workers", "1", "--name", "http"]);
    let amqp = worker(&rabbit, &farm, "amqp");
    http.until_logged("connected").await;
    amqp.until_logged("connected to the broker").await;
    let mut accepted = Vec::new();
    let mut by = BTreeSet::new();
    let begun = Instant::now();
    while by.len() < 3 {
        assert!(begun.elapsed() < PATIENCE, "{by:?}");
        for _ in 0..10 {
            accepted.push(create(&farm, &but(small(), json!({"width": 300, "height": 300}))).await);
        }
        until_all_done(&farm, accepted.len()).await;
        for id in accepted.iter().rev().take(10) {
            by.insert(
                farm.show(id).await["generated_by"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    score("three kinds of workers", &farm, accepted.len(), &accepted).await;
    client.until_ready("normal", 0).await;

    // The node's own are busy: what lies in the queue is for others, and the node keeps none of it.
    drop((http, amqp));
    let longs = [create(&farm, &long()).await, create(&farm, &long()).await];
    for id in &longs {
        farm.until(id, "running").await;
    }
    let waiting = create(&farm, &small()).await;
    client.until_ready("normal", 1).await;
    let _amqp = worker(&rabbit, &farm, "amqp");
    assert_eq!(farm.until(&waiting, "done").await["generated_by"], "amqp");
}

/// The broker closes the channel of whoever keeps a message for too long. The render goes on.
#[tokio::test]
async fn a_render_outlasts_the_brokers_patience() {
    let impatient = "[{rabbit, [{consumer_timeout, 1000}, {channel_tick_interval, 500}]}].";
    let rabbit = Rabbit::with(impatient).await;
    let farm = api(&rabbit).await;
    let worker = worker(&rabbit, &farm, "patient");
    let id = create(&farm, &long()).await;
    farm.until(&id, "running").await;
    // The connection breaks for that reason, and is made anew.
    worker.until_logged("the broker takes back messages").await;
    let begun = Instant::now();
    while worker.logged("connected to the broker") < 2 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fine = create(&farm, &small()).await;
    farm.until(&fine, "done").await;
    let long = farm.show(&id).await;
    assert_eq!(
        (&long["status"], &long["attempts"]),
        (&json!("running"), &json!(1))
    );
    let path = format!("/v1/fractal/{id}");
    farm.delete(&path).send().await.unwrap();
    let client = rabbit.client().await;
    client.until_ready("normal", 0).await;
}

#[tokio::test]
async fn the_broker_is_reached_over_tls() {
    let files = TempDir::new().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap().pem();
    for (name, pem) in [
        ("ca", authority),
        ("cert", cert),
        ("key", key.serialize_pem()),
    ] {
        std::fs::write(path(name), pem).unwrap();
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
    let settings = format!(
        "[{{rabbit, [{{ssl_listeners, [{{\"127.0.0.1\", {port}}}]}}, {{ssl_options, \
         [{{cacertfile, \"{ca}\"}}, {{certfile, \"{cert}\"}}, {{keyfile, \"{key}\"}}]}}]}}]."
    );
    let _rabbit = Rabbit::with(&settings).await;
    let url = format!("amqps://guest:guest@127.0.0.1:{port}//");
    let farm = Farm::with(&["api", "--transport-url", &url, "--transport-ca-file", &ca]);
    until_connected(&farm).await;
    let id = create(&farm, &small()).await;
    let args = ["--transport-url", &url, "--ca-file", &ca];
    let _worker = Worker::with(&[&farm.base], &args);
    farm.until(&id, "done").await;
    // Whoever does not know the authority does not talk to it.
    let stranger = Farm::with(&["api", "--transport-url", &url]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stranger.counts().await["broker_connected"], false);
}

#[tokio::test]
async fn a_quorum_queue_has_a_name_of_its_own() {
    let rabbit = Rabbit::start().await;
    let client = rabbit.client().await;
    client.declare_as_the_original().await;
    let url = rabbit.url();
    let farm = Farm::with(&["api", "--queue-type", "quorum", "--transport-url", &url]);
    until_connected(&farm).await;
    let id = create(&farm, &small()).await;
    client.until_ready("normal.quorum", 1).await;
    let args = ["--queue-type", "quorum", "--transport-url", &url];
    let _worker = Worker::with(&[&farm.base], &args);
    farm.until(&id, "done").await;
    client.until_ready("normal.quorum", 0).await;
    assert_eq!(client.ready("normal").await, Some(0));
}

/// A page on one node hears what happens on another; and after the broker was away, to look again.
#[tokio::test]
async fn news_reach_the_pages_of_every_node() {
    let mut rabbit = Rabbit::start().await;
    let (here, there) = (api(&rabbit).await, api(&rabbit).await);
    let listen = async || {
        let events = there.get("/v1/events").timeout(4 * PATIENCE);
        events.send().await.unwrap().bytes_stream()
    };
    let mut stream = listen().await;
    let mut heard = String::new();
    let begun = Instant::now();
    let mut until = async |words: &str, create: Option<&Farm>| {
        let mut last = Instant::now() - Duration::from_secs(2);
        while !heard.contains(words) {
            assert!(begun.elapsed() < 3 * PATIENCE, "{words}: {heard}");
            if let Some(farm) = create
                && last.elapsed() > Duration::from_secs(1)
            {
                farm.created().await;
                last = Instant::now();
            }
            let more = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
            if let Ok(more) = more {
                heard.push_str(&text(&more.unwrap().unwrap()));
            }
        }
        std::mem::take(&mut heard)
    };
    // Whichever connects later.
    let heard = until("event: created", Some(&here)).await;
    assert!(heard.contains("\"uuid\":"), "{heard}");
    rabbit.kill();
    rabbit.again().await;
    until("event: resync", None).await;
    until("event: created", Some(&here)).await;
}

/// Each node knows who works at the others.
#[tokio::test]
async fn every_node_lists_the_workers_of_all() {
    let rabbit = Rabbit::start().await;
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("database");
    std::fs::write(&database, new_database(Kind::Postgres).await).unwrap();
    let node = async || {
        let database = database.to_str().unwrap();
        let args = ["api", "--database-url-file", database];
        let node = Farm::with(&[&args[..], &["--transport-url", &rabbit.url()]].concat());
        until_connected(&node).await;
        node
    };
    let (here, mut there) = (node().await, node().await);
    let one = worker(&rabbit, &here, "one");
    let mut two = worker(&rabbit, &there, "two");
    let until_listed = async |node: &Farm, names: &[&str]| {
        let begun = Instant::now();
        loop {
            let list = workers(node).await;
            if list.iter().map(|worker| &worker["name"]).eq(names) {
                return list;
            }
            assert!(begun.elapsed() < PATIENCE, "{names:?}: {list:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for node in [&here, &there] {
        let list = until_listed(node, &["one", "two"]).await;
        assert_eq!(list[1]["slots"], 2);
        assert_eq!(list[1]["version"], env!("CARGO_PKG_VERSION"));
        let farm: Value = node
            .get("/v1/farm")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(farm["slots"], 4);
        let table = text(&node.cli(&["workers", "-f", "value"]).stdout);
        let names = table.lines().map(|line| line.split(' ').next().unwrap());
        assert!(names.eq(["one", "two"]), "{table}");
    }
    // What is rendered at one is told by both.
    let long = create(&there, &long()).await;
    for node in [&here, &there] {
        let begun = Instant::now();
        let renders = |worker: &Value| worker["rendering"] == json!([long]);
        while !workers(node).await.iter().any(renders) {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Whoever leaves one node has left all, and so has who worked at a node that stops.
    assert!(two.stop().success());
    until_listed(&here, &["one"]).await;
    let two = worker(&rabbit, &there, "two");
    until_listed(&here, &["one", "two"]).await;
    let begun = Instant::now();
    assert!(there.stop().success());
    until_listed(&here, &["one"]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    drop((one, two));
}

#[test]
fn a_password_is_kept_out_of_sight() {
    let folder = TempDir::new().unwrap();
    let url = "amqp://user:verysecret@127.0.0.1:1/";
    for role in ["api", "worker"] {
        let output = std::process::Command::new(common::FAAFO)
            .args([role, "--transport-url", url])
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("--transport-url-file") && said.lines().count() == 1,
            "{said}"
        );
        assert!(!said.contains("verysecret"), "{said}");
    }
    for (url, words) in [
        ("http://x/", "must begin with amqp://"),
        ("rubbish", "is none"),
    ] {
        let output = std::process::Command::new(common::FAAFO)
            .args(["api", "--transport-url", url])
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

/// Nobody is there: fractals are accepted all the same, and the log says so once.
#[tokio::test]
async fn without_a_broker_fractals_are_accepted() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "amqp://user:verysecret@127.0.0.1:1//\n").unwrap();
    let named = ["api", "--transport-url-file", file.to_str().unwrap()];
    let farm = Farm::with(&named);
    for _ in 0..10 {
        farm.created().await;
    }
    let ready = farm.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(
        (&ready["queued"], &ready["broker_connected"]),
        (&json!(10), &json!(false))
    );
    drop(farm);

    let log = folder.path().join("log");
    let mut node = command(folder.path(), &named);
    let node = node.stderr(std::fs::File::create(&log).unwrap());
    let mut node = node.spawn().unwrap();
    let begun = Instant::now();
    let said = || std::fs::read_to_string(&log).unwrap();
    while !said().contains("no connection to the broker") || !said().contains("ready") {
        assert!(begun.elapsed() < PATIENCE, "{}", said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Further tries have failed meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.kill().unwrap();
    node.wait().unwrap();
    assert_eq!(said().matches("WARN").count(), 1, "{}", said());
    assert!(!said().contains("verysecret"), "{}", said());
}

/// Creates fractals for as long as `done` is not.
async fn load(farm: &Farm, count: usize) -> (usize, Vec<String>) {
    let mut accepted = Vec::new();
    for _ in 0..count {
        let fractal = but(
            small(),
            json!({"width": 200, "height": 200, "uuid": uuid()}),
        );
        // It may be down just now.
        let posted = farm.post("/v1/fractal").json(&fractal).send().await;
        if posted.is_ok_and(|response| response.status() == 201) {
            accepted.push(fractal["uuid"].as_str().unwrap().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (count, accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing() {
    let mut rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let _workers = ["one", "two"].map(|name| worker(&rabbit, &farm, name));
    let (mut attempted, mut accepted) = (0, Vec::new());
    for away in [1, 1, 40] {
        let loading = load(&farm, 300);
        let killing = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            rabbit.kill();
            tokio::time::sleep(Duration::from_secs(away)).await;
            rabbit.again().await;
        };
        let ((tried, kept), ()) = tokio::join!(loading, killing);
        assert_eq!(tried, kept.len(), "a broker that is away refuses nobody");
        attempted += tried;
        accepted.extend(kept);
    }
    until_all_done(&farm, accepted.len()).await;
    score("broker killed thrice", &farm, attempted, &accepted).await;
}

/// The broker comes back with nothing of what it had.
#[tokio::test]
async fn a_broker_that_has_forgotten_everything_is_told_again() {
    let rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let client = rabbit.client().await;
    let mut accepted = Vec::new();
    for _ in 0..300 {
        accepted.push(create(&farm, &small()).await);
    }
    client.until_ready("normal", 300).await;
    let gone = client
        .channel
        .queue_delete("normal".into(), Default::default());
    assert_eq!(gone.await.unwrap(), 300);
    client.until_ready("normal", 300).await;
    // Emptied without a word, it is found out in a while.
    client.purge("normal").await;
    let _worker = worker(&rabbit, &farm, "one");
    until_all_done(&farm, 300).await;
    farm.until_logged("the broker has lost tasks").await;
    score("queue deleted, queue emptied", &farm, 300, &accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_nothing() {
    let rabbit = Rabbit::start().await;
    let farm = api(&rabbit).await;
    let _steady = worker(&rabbit, &farm, "steady");
    let killing = async {
        for n in 0..6 {
            let mut victim = worker(&rabbit, &farm, &format!("victim {n}"));
            victim.until_logged("connected to the broker").await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            victim.kill();
        }
    };
    let ((attempted, accepted), ()) = tokio::join!(load(&farm, 500), killing);
    until_all_done(&farm, accepted.len()).await;
    score("six workers killed", &farm, attempted, &accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_api_node_loses_nothing() {
    let rabbit = Rabbit::start().await;
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let url = rabbit.url();
    let args = ["api", "--lease", "5", "--transport-url", &url];
    let mut farm = Farm::on(folder.path(), &args);
    let port = farm.port().to_string();
    let args_of_worker = ["--workers", "2", "--transport-url", &url];
    let _worker = Worker::on(spool.path(), &[&farm.base], &args_of_worker);
    let (mut attempted, mut accepted) = (0, Vec::new());
    for away in [0, 1, 5] {
        let (tried, kept) = load(&farm, 150).await;
        attempted += tried;
        accepted.extend(kept);
        farm.kill();
        tokio::time::sleep(Duration::from_secs(away)).await;
        farm = Farm::run(at_port(command(folder.path(), &args), &port), folder.path());
    }
    until_all_done(&farm, accepted.len()).await;
    score("API node killed thrice", &farm, attempted, &accepted).await;
    let client = rabbit.client().await;
    client.until_ready("normal", 0).await;
}

/// The doctor's finding of the broker, and its exit code.
fn examined(url: &str) -> (Value, i32) {
    let folder = TempDir::new().unwrap();
    let mut doctor = Command::new(FAAFO);
    doctor.args(["doctor", "-f", "json", "--bind-port", "0", "--data-dir"]);
    let doctor = doctor.arg(folder.path()).env("FAAFO_TRANSPORT_URL", url);
    let output = doctor.output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.into_iter().find(|one| one["check"] == "broker");
    (found.unwrap(), output.status.code().unwrap())
}

#[tokio::test]
async fn the_doctor_knows_a_broker_that_is_well_closed_or_gone() {
    let mut rabbit = Rabbit::start().await;
    let (well, code) = examined(&rabbit.url());
    assert_eq!((&well["mark"], code), (&"ok".into(), 0), "{well}");
    assert!(
        well["says"].as_str().unwrap().starts_with("RabbitMQ 3."),
        "{well}"
    );
    let wrong_password = rabbit.url().replace("guest:guest", "guest:hush-hush");
    let no_host = format!(
        "{}none-such",
        rabbit.url().trim_end_matches('/').to_owned() + "/"
    );
    for url in [wrong_password, no_host] {
        let (closed, code) = examined(&url);
        assert_eq!((&closed["mark"], code), (&"wrong".into(), 1), "{closed}");
        let mend = closed["mend"].as_str().unwrap();
        assert!(mend.contains("rabbitmqctl list_permissions"), "{closed}");
        assert!(!closed.to_string().contains("hush"), "{closed}");
    }
    rabbit.kill();
    let (gone, code) = examined(&rabbit.url());
    assert_eq!((&gone["mark"], code), (&"wrong".into(), 1), "{gone}");
    assert!(
        gone["mend"]
            .as_str()
            .unwrap()
            .contains("systemctl start rabbitmq-server"),
        "{gone}"
    );
}
