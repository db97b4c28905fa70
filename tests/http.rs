//! Connections: clients that are slow, large or silent, streams of events, and leaving quietly.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::time::{Duration, Instant};

use common::{Farm, PATIENCE, but, long, slow, small};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(farm: &Farm) -> TcpStream {
    TcpStream::connect(("127.0.0.1", farm.port()))
        .await
        .unwrap()
}

/// All that the server sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Cut off in the middle is an end, too.
    let _ = read.expect("the server keeps the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_its_headers_slowly_or_never_is_cut_off() {
    let farm = Farm::api();
    let begun = Instant::now();
    let mut silent = connect(&farm).await;
    let mut slow = connect(&farm).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if slow.write_all(b"X-A: b\r\n").await.is_err() {
                return;
            }
        }
    };
    tokio::join!(drip, rest(&mut silent));
    let took = begun.elapsed();
    assert!((9..20).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let farm = Farm::api();
    for head in ["Content-Length: 1200000", "Transfer-Encoding: chunked"] {
        let mut stream = connect(&farm).await;
        let request = format!(
            "POST /v1/fractal HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\n{head}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        if head.starts_with("Transfer") {
            let chunk = format!("{:x}\r\n{}\r\n", 2 << 20, "x".repeat(2 << 20));
            // The server may close before all is sent.
            let _ = stream.write_all(chunk.as_bytes()).await;
        }
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{head}: {answer}");
    }
    // One not much too large is read to its end, so that any client hears why.
    let spaces = " ".repeat(70_000);
    let post = farm
        .post("/v1/fractal")
        .header("Content-Type", "application/json");
    assert_eq!(post.body(spaces).send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_408() {
    let farm = Farm::api();
    let mut stream = connect(&farm).await;
    let request = "POST /v1/fractal HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let farm = Farm::api();
    let mut stream = connect(&farm).await;
    let head = format!("GET / HTTP/1.1\r\nX-A: {}\r\n\r\n", "x".repeat(200_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    assert_eq!(farm.get("/livez").send().await.unwrap().status(), 200);
}

/// The next event: its name and its data.
async fn any_event(
    stream: &mut (impl StreamExt<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    buffer: &mut String,
) -> (String, Value) {
    loop {
        while let Some(end) = buffer.find("\n\n") {
            let frame: String = buffer.drain(..end + 2).collect();
            if let Some(event) = frame.strip_prefix("event: ") {
                let (name, data) = event.split_once("\ndata: ").unwrap();
                let data = serde_json::from_str(data.trim_end()).unwrap();
                return (name.to_owned(), data);
            }
        }
        let bytes = stream.next().await.expect("the stream ended").unwrap();
        buffer.push_str(std::str::from_utf8(&bytes).unwrap());
    }
}

/// Reads events until one of this name, and returns its data.
async fn event(
    stream: &mut (impl StreamExt<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    buffer: &mut String,
    name: &str,
) -> Value {
    loop {
        let (found, data) = any_event(stream, buffer).await;
        if found == name {
            return data;
        }
    }
}

#[tokio::test]
async fn events_tell_the_life_of_a_fractal() {
    let farm = Farm::all();
    let response = farm.get("/v1/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut buffer = String::new();
    let counts = event(&mut stream, &mut buffer, "queue").await;
    assert_eq!(counts["done"], 0);
    let new = farm.created().await;
    for (name, status) in [
        ("created", "queued"),
        ("running", "running"),
        ("done", "done"),
    ] {
        let fractal = event(&mut stream, &mut buffer, name).await;
        assert_eq!(fractal["uuid"], new["uuid"]);
        assert_eq!(fractal["status"], status);
    }
    while event(&mut stream, &mut buffer, "queue").await["done"] != 1 {}
    let path = format!("/v1/fractal/{}", new["uuid"].as_str().unwrap());
    farm.delete(&path).send().await.unwrap();
    let deleted = event(&mut stream, &mut buffer, "deleted").await;
    assert_eq!(deleted["uuid"], new["uuid"]);
}

#[tokio::test]
async fn progress_is_told_while_a_render_runs_and_no_longer() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let response = farm.get("/v1/events").send().await.unwrap();
    let (mut stream, mut buffer) = (response.bytes_stream(), String::new());
    // One that is done at once has no progress worth telling.
    let small = farm.created().await;
    let slow = but(slow(), json!({"width": 2000, "height": 2000}));
    let slow = farm.create(&slow).await.json::<Value>().await.unwrap();
    let id = slow["uuid"].as_str().unwrap();
    let mut fractions = Vec::new();
    loop {
        let (name, data) = any_event(&mut stream, &mut buffer).await;
        if name == "progress" {
            assert_ne!(data["uuid"], small["uuid"]);
            fractions.push(data["fraction"].as_f64().unwrap());
        }
        if name == "running" && data["uuid"] == id {
            assert_eq!((&data["progress"], &fractions[..]), (&Value::Null, &[][..]));
        }
        if fractions.len() == 1 && name == "progress" {
            // Whoever comes now sees it, too, both ways; it may have got on since.
            let listed = &farm.list(&[]).await["objects"];
            let listed = listed.as_array().unwrap().iter();
            let listed = listed.clone().find(|fractal| fractal["uuid"] == id);
            for shown in [farm.show(id).await, listed.unwrap().clone()] {
                let progress = shown["progress"].as_f64().unwrap();
                assert!(progress >= fractions[0] && progress < 1.0, "{shown}");
            }
        }
        if name == "done" && data["uuid"] == id {
            assert_eq!(data["progress"], Value::Null);
            break;
        }
    }
    assert!(!fractions.is_empty());
    assert!(fractions.is_sorted_by(|a, b| a < b), "{fractions:?}");
    assert!(fractions[0] > 0.0 && fractions[fractions.len() - 1] <= 1.0);
    assert_eq!(farm.show(id).await["progress"], Value::Null);

    let long = farm.create(&long()).await.json::<Value>().await.unwrap();
    let id = long["uuid"].as_str().unwrap();
    for _ in 0..3 {
        let progress = event(&mut stream, &mut buffer, "progress").await;
        assert_eq!(progress["uuid"], id);
        assert!(progress["fraction"].as_f64().unwrap() < 1.0);
    }
    farm.delete(&format!("/v1/fractal/{id}"))
        .send()
        .await
        .unwrap();
    event(&mut stream, &mut buffer, "deleted").await;
    let more = event(&mut stream, &mut buffer, "progress");
    let more = tokio::time::timeout(Duration::from_secs(1), more).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn stopping_answers_what_is_asked_and_ends_the_streams() {
    let mut farm = Farm::all();
    let events = farm.get("/v1/events").send().await.unwrap();
    let mut half = connect(&farm).await;
    let body = small().to_string();
    let head = format!(
        "POST /v1/fractal HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    half.write_all(head.as_bytes()).await.unwrap();
    // The server has the request in hand once it answers another on a later connection.
    farm.get("/livez").send().await.unwrap();
    farm.signal("-TERM");
    while connect_fails(&farm).await.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    half.write_all(body.as_bytes()).await.unwrap();
    let answer = rest(&mut half).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    events.bytes().await.unwrap();
    let begun = Instant::now();
    assert!(farm.child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

async fn connect_fails(farm: &Farm) -> Option<std::io::Error> {
    TcpStream::connect(("127.0.0.1", farm.port())).await.err()
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_grow_the_farm() {
    let farm = Farm::all();
    let before = farm.memory("VmRSS");
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&farm).await;
        stream
            .write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        silent.push(stream);
    }
    let created = farm.cli(&[
        "create", "--tasks", "500", "--wait", "--width", "8", "--height", "8",
    ]);
    assert!(created.status.success());
    let grown = farm.memory("VmRSS") - before;
    assert!(grown < 60_000, "{grown} kB");
}

#[tokio::test]
async fn readers_that_take_no_image_hold_a_bounded_amount_of_memory() {
    let farm = Farm::api();
    let new = farm
        .create(&common::but(
            small(),
            serde_json::json!({"width": 1600, "height": 1600}),
        ))
        .await;
    let new: Value = new.json().await.unwrap();
    let uuid = new["uuid"].as_str().unwrap();
    // Noise does not compress: 7.7 MB, more than the system takes off the farm's hands.
    let noise = image::RgbImage::from_fn(1600, 1600, |_, _| image::Rgb(rand::random()));
    let mut png = std::io::Cursor::new(Vec::new());
    noise.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let put = farm
        .put(&format!("/v1/fractal/{uuid}?duration=1&generated_by=test"))
        .header("Content-Type", "image/png")
        .body(png.into_inner());
    assert_eq!(put.send().await.unwrap().status(), 200);

    let before = farm.memory("VmRSS");
    let request = format!("GET /fractal/{uuid} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&farm).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        idle.push(stream);
    }
    // Without a bound it would be 770 MB. With it, 256 MB on their way, and what is being read, some of
    // it twice, on as many threads as have a turn. Beyond it the answer is to come again later.
    let path = format!("/fractal/{uuid}");
    let begun = Instant::now();
    while farm.get(&path).send().await.unwrap().status() != 503 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let grown = farm.memory("VmHWM") - before;
    assert!(grown < 450_000, "{grown} kB");
    drop(idle);
    while farm.get(&path).send().await.unwrap().status() != 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
