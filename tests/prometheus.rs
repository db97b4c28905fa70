//! A real Prometheus scrapes the farm and understands all of it; its `promtool` finds the names good.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::scrape::Scrape;
use common::{Farm, PATIENCE, client};
use faafo::metrics::table;
use serde_json::Value;

/// Killed when dropped.
struct Prometheus {
    child: Child,
    base: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// Scrapes `farm` every second, and keeps what it finds in `folder`.
    fn start(farm: &Farm, folder: &Path) -> Prometheus {
        let config = folder.join("prometheus.yml");
        let jobs = format!(
            "scrape_configs:\n  - job_name: faafo\n    scrape_interval: 1s\n    \
             static_configs: [{{ targets: ['127.0.0.1:{}'] }}]\n",
            farm.port()
        );
        std::fs::write(&config, jobs).unwrap();
        // Free a moment ago: nobody else looks for it just now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap().to_string();
        drop(port);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus {
            child,
            base: format!("http://{address}"),
            http: client(),
        }
    }

    /// What its API tells, once it does.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = format!("{}/api/v1/{path}", self.base);
        let response = self.http.get(url).query(query).send().await.ok()?;
        let document: Value = response.json().await.ok()?;
        Some(document["data"].clone())
    }

    /// The value of a query that finds one series.
    async fn value(&self, query: &str) -> f64 {
        let found = self.get("query", &[("query", query)]).await.unwrap();
        let series = found["result"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{query}: {found}");
        series[0]["value"][1].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn prometheus_understands_every_metric() {
    let farm = Farm::all();
    let new = farm.created().await;
    farm.until(new["uuid"].as_str().unwrap(), "done").await;
    let folder = tempfile::TempDir::new().unwrap();
    let prometheus = Prometheus::start(&farm, folder.path());
    let begun = Instant::now();
    // A second scrape, which tells of the first.
    let query = "faafo_http_requests_total{route=\"/metrics\",status=\"200\"}";
    let mut error = String::new();
    loop {
        assert!(begun.elapsed() < PATIENCE, "it never scrapes: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Some(targets) = prometheus.get("targets", &[]).await else {
            continue;
        };
        let target = &targets["activeTargets"][0];
        // One scrape may be late.
        error = target["lastError"].as_str().unwrap_or("").to_owned();
        let found = prometheus.get("query", &[("query", query)]).await;
        if target["health"] == "up" && found.is_some_and(|found| found["result"][0].is_object()) {
            break;
        }
    }
    assert_eq!(prometheus.value("faafo_fractals_done_total").await, 1.0);
    assert_eq!(
        prometheus.value("faafo_fractals{status=\"done\"}").await,
        1.0
    );
    let commits = "histogram_quantile(0.5, faafo_store_commit_seconds_bucket)";
    assert!(prometheus.value(commits).await > 0.0);

    let described = prometheus.get("metadata", &[]).await.unwrap();
    for row in table::ALL {
        let name = format!("{}_{}", table::PREFIX, row.name);
        let known = &described[&name][0];
        assert_eq!(known["type"], row.kind.as_str(), "{name}");
        let unit = row.unit.as_ref().map_or("", |unit| unit.as_str());
        assert_eq!(known["unit"], unit, "{name}");
        assert_eq!(known["help"], format!("{}.", row.help), "{name}");
    }
}

/// `promtool` reads the format before OpenMetrics, where the series' names are the metrics'.
#[tokio::test]
async fn promtool_finds_nothing_to_improve() {
    let farm = Farm::all();
    let new = farm.created().await;
    farm.until(new["uuid"].as_str().unwrap(), "done").await;
    let mut text = Scrape::of(&farm).await.text;
    for row in table::ALL {
        let name = format!("{}_{}", table::PREFIX, row.name);
        for about in ["HELP", "TYPE"] {
            let line = format!("# {about} {name} ");
            text = text.replace(&line, &format!("# {about} {} ", row.full_name()));
        }
    }
    let text = text.replace("_info info\n", "_info gauge\n");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{}{}",
        common::text(&said.stdout),
        common::text(&said.stderr)
    );
}
