//! `GET /metrics`: that it tells what happens, all of it as the table says, and always answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::scrape::Scrape;
use common::worker::{Worker, worker_command};
use common::{Farm, PATIENCE, long, slow, small, uuid};
use faafo::metrics::table::{self, Kind};
use serde_json::Value;

/// Scrapes until `holds`: what is counted after an answer may come after it.
async fn until(farm: &Farm, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(farm).await;
        if holds(&scrape) {
            return scrape;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn fractals_are_counted_from_their_acceptance_to_their_end() {
    let farm = Farm::all();
    let before = Scrape::of(&farm).await;
    for name in [
        "faafo_fractals_accepted_total",
        "faafo_fractals_done_total",
        "faafo_fractals_deleted_total",
        "faafo_attempts_total",
        "faafo_iterations_total",
        "faafo_render_seconds_count",
        "faafo_queue_oldest_age_seconds",
        "faafo_worker_slots_busy",
    ] {
        assert_eq!(before.get(name, &[]), Some(0.0), "{name}");
    }
    assert_eq!(before.get("faafo_worker_slots", &[]), Some(2.0));

    let mut bytes = 0.0;
    for _ in 0..3 {
        let new = farm.created().await;
        let done = farm.until(new["uuid"].as_str().unwrap(), "done").await;
        bytes += done["size"].as_f64().unwrap();
    }
    let counted = |scrape: &Scrape| {
        let done = [("outcome", "done")];
        scrape.value("faafo_fractals_done_total", &[]) == 3.0
            && scrape.value("faafo_worker_render_seconds_count", &done) == 3.0
    };
    let after = until(&farm, counted).await;
    for (name, value) in [
        ("faafo_fractals_accepted_total", 3.0),
        ("faafo_fractals_done_total", 3.0),
        ("faafo_fractals_failed_total", 0.0),
        ("faafo_attempts_total", 3.0),
        ("faafo_attempts_retries_total", 0.0),
        ("faafo_attempts_failed_total", 0.0),
        ("faafo_pixels_total", 3.0 * 16.0 * 12.0),
        ("faafo_iterations_total", 3.0 * 16.0 * 12.0 * 32.0),
        ("faafo_worker_iterations_total", 3.0 * 16.0 * 12.0 * 32.0),
        ("faafo_image_bytes_total", bytes),
        ("faafo_render_seconds_count", 3.0),
        ("faafo_store_errors_total", 0.0),
    ] {
        assert_eq!(after.value(name, &[]), value, "{name}");
    }
    let done = [("outcome", "done")];
    assert_eq!(after.value("faafo_worker_render_seconds_count", &done), 3.0);
    assert_eq!(
        after.get("faafo_fractals", &[("status", "done")]),
        Some(3.0)
    );
    assert_eq!(
        after.get("faafo_fractals", &[("status", "failed")]),
        Some(0.0)
    );
    // Three insertions, three beginnings, three results, in as many transactions or fewer.
    let commits = after.value("faafo_store_commit_seconds_count", &[]);
    assert!(
        (3.0..=9.0).contains(&(commits - before.value("faafo_store_commit_seconds_count", &[])))
    );
    assert!(after.value("faafo_store_commit_seconds_sum", &[]) > 0.0);
    let writes = |scrape: &Scrape| scrape.value("faafo_store_commit_writes_sum", &[]);
    assert_eq!(writes(&after) - writes(&before), 9.0);
}

#[tokio::test]
async fn a_deleted_render_is_cancelled_and_what_waits_grows_old() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let first: Value = farm.create(&long()).await.json().await.unwrap();
    let first = first["uuid"].as_str().unwrap();
    farm.until(first, "running").await;
    let busy = until(&farm, |scrape| {
        scrape.value("faafo_worker_slots_busy", &[]) == 1.0
    });
    assert_eq!(busy.await.value("faafo_queue_oldest_age_seconds", &[]), 0.0);
    // One more is begun by the second lane, and one waits.
    for _ in 0..2 {
        farm.create(&long()).await;
    }
    let waits = |scrape: &Scrape| scrape.value("faafo_fractals", &[("status", "queued")]) == 1.0;
    until(&farm, waits).await;
    let older = |scrape: &Scrape| scrape.value("faafo_queue_oldest_age_seconds", &[]) > 0.2;
    let age = until(&farm, older).await;
    assert!(age.value("faafo_queue_oldest_age_seconds", &[]) < PATIENCE.as_secs_f64());

    let path = format!("/v1/fractal/{first}");
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    let cancelled = [("outcome", "cancelled")];
    let ended = until(&farm, |scrape| {
        scrape.value("faafo_worker_render_seconds_count", &cancelled) == 1.0
    });
    let ended = ended.await;
    assert_eq!(ended.value("faafo_fractals_deleted_total", &[]), 1.0);
    assert_eq!(ended.value("faafo_iterations_total", &[]), 0.0);
    // Nothing was given back: there is nothing left that could wait.
    assert_eq!(ended.value("faafo_attempts_given_back_total", &[]), 0.0);
}

#[tokio::test]
async fn a_retry_is_counted() {
    let folder = tempfile::TempDir::new().unwrap();
    let new = Farm::on(folder.path(), &["api"]).created().await;
    let uuid = new["uuid"].as_str().unwrap();
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let sql = "UPDATE fractal SET status = 'failed', attempts = 3, error = 'for the test'";
    assert_eq!(conn.execute(sql, []).unwrap(), 1);
    drop(conn);
    let farm = Farm::on(folder.path(), &["api"]);
    let failed = [("status", "failed")];
    assert_eq!(
        Scrape::of(&farm).await.value("faafo_fractals", &failed),
        1.0
    );
    let path = format!("/v1/fractal/{uuid}/retry");
    for _ in 0..2 {
        // The second finds that it has not failed.
        farm.post(&path).send().await.unwrap();
    }
    let scrape = Scrape::of(&farm).await;
    assert_eq!(scrape.value("faafo_fractals_retried_total", &[]), 1.0);
    assert_eq!(scrape.value("faafo_fractals", &failed), 0.0);
    // It is as old as its acceptance, which was before this process.
    assert!(scrape.value("faafo_queue_oldest_age_seconds", &[]) > 0.0);
    // This role has no workers to tell of.
    assert_eq!(scrape.get("faafo_worker_slots", &[]), None);
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_route_and_by_nothing_a_client_can_make_up() {
    let farm = Farm::api();
    let new = farm.created().await;
    let known = new["uuid"].as_str().unwrap();
    for path in [known.to_owned(), uuid(), uuid(), "no-uuid".into()] {
        farm.get(&format!("/v1/fractal/{path}"))
            .send()
            .await
            .unwrap();
        farm.get(&format!("/nothing/{path}")).send().await.unwrap();
        farm.request(&format!("X{}", uuid().replace('-', "")), "/v1/fractal")
            .send()
            .await
            .unwrap();
    }
    farm.request("OPTIONS", "/v1/fractal").send().await.unwrap();
    farm.put("/v1/fractal").send().await.unwrap();
    let scrape = Scrape::of(&farm).await;
    let count = |method, route, status| {
        let labels = [("method", method), ("route", route), ("status", status)];
        scrape.value("faafo_http_requests_total", &labels)
    };
    assert_eq!(count("POST", "/v1/fractal", "201"), 1.0);
    assert_eq!(count("GET", "/v1/fractal/{uuid}", "200"), 1.0);
    assert_eq!(count("GET", "/v1/fractal/{uuid}", "404"), 3.0);
    assert_eq!(count("GET", "other", "404"), 4.0);
    assert_eq!(count("other", "/v1/fractal", "405"), 4.0);
    assert_eq!(count("OPTIONS", "/v1/fractal", "200"), 1.0);
    assert_eq!(count("PUT", "/v1/fractal", "405"), 1.0);
    let took = |route| {
        let labels = [("method", "GET"), ("route", route)];
        scrape.value("faafo_http_request_seconds_count", &labels)
    };
    assert_eq!(took("/v1/fractal/{uuid}"), 4.0);
    assert_eq!(took("other"), 4.0);
    // The scrape itself.
    assert_eq!(scrape.get("faafo_http_requests_in_flight", &[]), Some(1.0));
    assert!(!scrape.text.contains(known));
}

#[tokio::test]
async fn every_route_has_its_name() {
    let farm = Farm::api();
    let openapi = farm.get("/v1/openapi.json").send().await.unwrap();
    let openapi: Value = openapi.json().await.unwrap();
    let mut routes = BTreeSet::new();
    for (route, methods) in openapi["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = route.replace("{uuid}", &uuid());
            farm.request(&method.to_uppercase(), &path)
                .send()
                .await
                .unwrap();
        }
        routes.insert(route.as_str());
    }
    for (route, path) in [
        ("/v1/openapi.json", "/v1/openapi.json"),
        ("/", "/"),
        ("/index", "/index"),
        ("/index/{page}", "/index/1"),
        ("/view/{uuid}", "/view/1"),
        ("/static/{*path}", "/static/none.css"),
        ("/favicon.ico", "/favicon.ico"),
    ] {
        farm.get(path).send().await.unwrap();
        routes.insert(route);
    }
    let scrape = until(&farm, |scrape| scrape.text.contains("route=\"/metrics\""));
    let scrape = scrape.await;
    assert_eq!(
        scrape.values_of("faafo_http_requests_total", "route"),
        routes
    );
}

#[tokio::test]
async fn whoever_lacks_a_token_may_read_it_and_is_counted() {
    let farm = Farm::beyond(&["api"]);
    assert_eq!(farm.create(&small()).await.status(), 401);
    let scrape = Scrape::of(&farm).await;
    let labels = [("method", "POST"), ("route", "other"), ("status", "401")];
    assert_eq!(scrape.value("faafo_http_requests_total", &labels), 1.0);
}

#[tokio::test]
async fn listeners_are_counted_while_they_listen() {
    let farm = Farm::api();
    let stream = farm.get("/v1/events").send().await.unwrap();
    let listeners =
        |n: f64| move |scrape: &Scrape| scrape.get("faafo_event_listeners", &[]) == Some(n);
    until(&farm, listeners(1.0)).await;
    drop(stream);
    // That it has gone shows with the next word to it.
    farm.created().await;
    until(&farm, listeners(0.0)).await;
}

#[tokio::test]
async fn the_process_tells_of_itself() {
    let farm = Farm::all();
    let scrape = Scrape::of(&farm).await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.get("faafo_build_info", &version), Some(1.0));
    let started = scrape.value("faafo_process_start_time_seconds", &[]);
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    assert!((now - 60.0..=now).contains(&started), "{started}");
    let told = scrape.value("faafo_process_resident_memory_bytes", &[]);
    let is = farm.memory("VmRSS") as f64 * 1024.0;
    assert!((0.5..2.0).contains(&(told / is)), "{told} {is}");
    let fds = format!("/proc/{}/fd", farm.child.id());
    let is = std::fs::read_dir(fds).unwrap().count() as f64;
    let told = scrape.value("faafo_process_open_fds", &[]);
    assert!((told - is).abs() <= 3.0, "{told} {is}");
    assert!(scrape.value("faafo_process_max_fds", &[]) >= told);
    let cpu = |scrape: &Scrape| scrape.value("faafo_process_cpu_seconds_total", &[]);
    assert!(cpu(&scrape) > 0.0);
    assert!(cpu(&Scrape::of(&farm).await) > cpu(&scrape));
}

/// Every metric is in the table with its kind and its labels, and every row of it is told.
#[tokio::test]
async fn what_is_told_is_what_the_table_says() {
    let farm = Farm::all();
    let new = farm.created().await;
    farm.until(new["uuid"].as_str().unwrap(), "done").await;
    let scrape = until(&farm, |scrape| scrape.text.contains("route=\"/metrics\""));
    let scrape = scrape.await;
    let mut told = BTreeSet::new();
    for (name, labels) in scrape.samples.keys() {
        let row = table::ALL.iter().find(|row| match row.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| *name == format!("{}{suffix}", row.full_name())),
            _ => *name == row.full_name(),
        });
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        let labels: BTreeSet<_> = labels.keys().map(String::as_str).collect();
        let mut documented: BTreeSet<_> = row.labels.iter().copied().collect();
        if name.ends_with("_bucket") {
            documented.insert("le");
        }
        assert_eq!(labels, documented, "{name}");
        told.insert(row.full_name());
    }
    for row in table::ALL {
        let name = format!("{}_{}", table::PREFIX, row.name);
        assert_eq!(scrape.kinds[&name], row.kind.as_str(), "{name}");
        assert!(told.contains(&row.full_name()), "{name}");
    }
}

/// A worker of a farm elsewhere opens a port for its metrics if it is told to.
#[tokio::test]
async fn workers_tell_theirs() {
    let mut farm = Farm::api();
    let args = ["--workers", "2", "--metrics-address", "127.0.0.1:0"];
    let worker = Worker::with(&[&farm.base], &args);
    worker.until_logged("metrics are told").await;
    let address = worker.said("metrics are told", "address");
    let scrape = async || {
        let url = format!("http://{address}/metrics");
        Scrape::answered(common::client().get(url).send().await.unwrap()).await
    };
    assert_eq!(scrape().await.get("faafo_worker_slots", &[]), Some(2.0));
    let new = farm.created().await;
    farm.until(new["uuid"].as_str().unwrap(), "done").await;
    let done = [("outcome", "done")];
    let count = "faafo_worker_render_seconds_count";
    let begun = Instant::now();
    while scrape().await.value(count, &done) != 1.0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What it cannot deliver is told.
    assert_eq!(
        scrape().await.get("faafo_worker_undelivered", &[]),
        Some(0.0)
    );
    let slow = farm.create(&slow()).await.json::<Value>().await.unwrap();
    farm.until(slow["uuid"].as_str().unwrap(), "running").await;
    farm.kill();
    while scrape().await.value("faafo_worker_undelivered", &[]) != 1.0 {
        assert!(begun.elapsed() < 2 * PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let elsewhere = common::client().get(format!("http://{address}/")).send();
    assert_eq!(elsewhere.await.unwrap().status(), 404);

    // Where something else listens it does not begin.
    let spool = tempfile::TempDir::new().unwrap();
    let taken = ["--metrics-address", &address];
    let out = worker_command(&[&farm.base], spool.path(), &taken).output();
    let out = out.unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(common::text(&out.stderr).contains("choose another --metrics-address"));
}

/// Another process holds the store's file, so that no transaction begins.
#[tokio::test]
async fn a_store_that_cannot_write_keeps_no_scrape_waiting() {
    let farm = Farm::api();
    farm.created().await;
    let conn = rusqlite::Connection::open(farm.data.join("faafo.db")).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = small();
    let refused = tokio::join!(farm.create(&body), async {
        // That one and the scrape itself.
        let scrape = until(&farm, |scrape| {
            scrape.get("faafo_http_requests_in_flight", &[]) == Some(2.0)
        })
        .await;
        assert!(scrape.value("faafo_queue_oldest_age_seconds", &[]) > 0.0);
    });
    assert_eq!(refused.0.status(), 503);
    let scrape = Scrape::of(&farm).await;
    let errors = scrape.value("faafo_store_errors_total", &[("kind", "engine")]);
    assert_eq!(errors, 1.0);
}
