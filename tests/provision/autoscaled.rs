//! `faafo autoscale` makes servers and deletes them. Nothing boots on the lab's hypervisor, so that
//! the farm and its workers are here, the workers by the names of their servers.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::SMALL;
use crate::common::worker::{Worker, create, workers};
use crate::common::{Farm, PATIENCE, long};
use crate::heat::{WHERE, artifact, tell};
use crate::lab::{BINARY, Lab, lab};

/// Waits until there are these servers for workers, each with its port.
async fn until_servers(lab: &mut Lab, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = lab.ask("workers", json!({}));
        if found == json!({"servers": expected, "ports": expected}) {
            return;
        }
        assert!(begun.elapsed() < 4 * PATIENCE, "{found}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_come_with_the_load_and_go_with_it() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let said = autoscale(&lab, "--max 3 --name t16").output().unwrap();
    let told = crate::text(&said.stderr);
    assert!(
        said.status.code() == Some(2) && told.contains("no deployment t16"),
        "{told}"
    );

    lab.done(&format!(
        "up --name t16 --topology split --workers 1 {SMALL}"
    ));
    let farm = Farm::api();
    let work = |number: u32| {
        let name = format!("faafo-t16-worker-{number}");
        Worker::with(&[&farm.base], &["--workers", "1", "--name", &name])
    };
    let _first = work(1);
    let mut fractals = Vec::new();
    for _ in 0..6 {
        fractals.push(create(&farm, &long()).await);
    }
    let words = format!(
        "--max 3 --name t16 --interval 1 --wait 2 --cool-down 5 --endpoint-url {}",
        farm.base
    );
    let mut autoscaler = Worker::run(autoscale(&lab, &words));
    let all = [1, 2, 3].map(|number| format!("faafo-t16-worker-{number}"));
    let all = all.each_ref().map(String::as_str);
    until_servers(&mut lab, &all).await;
    let more = lab.snapshot();
    for name in all {
        let metadata = &more["servers"][name]["metadata"];
        assert_eq!(metadata["faafo-deployment"], "t16");
        assert!(more["ports"][name].is_object());
    }

    // The last is the first to leave, but it is the one that renders: all else goes away.
    let _third = work(3);
    let begun = Instant::now();
    let kept = loop {
        let workers = workers(&farm).await;
        let third = workers.iter().find(|worker| worker["name"] == all[2]);
        if let Some(rendering) = third.and_then(|third| third["rendering"][0].as_str()) {
            break rendering.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{workers:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for fractal in fractals.iter().filter(|fractal| **fractal != kept) {
        let path = format!("/v1/fractal/{fractal}");
        assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    }
    let _second = work(2);
    until_servers(&mut lab, &all[2..]).await;
    assert_eq!(farm.counts().await["running"], 1);
    assert!(autoscaler.stop().success());
    lab.done("down --name t16 --yes");
    assert_eq!(lab.snapshot(), before);
}

/// Workers here for the servers of a stack's group: they come with them, and are cut off with them.
#[derive(Default)]
struct Crew(BTreeMap<String, Worker>);

impl Crew {
    /// Until there are so many servers, and the farm knows as many workers.
    async fn until(&mut self, lab: &mut Lab, farm: &Farm, count: usize) {
        let begun = Instant::now();
        loop {
            let servers = lab.ask("server_names", json!({}));
            let mut servers: Vec<String> = serde_json::from_value(servers).unwrap();
            servers.retain(|server| server != "faafo-t17-api");
            self.0.retain(|name, _| servers.contains(name));
            for name in &servers {
                let start =
                    || Worker::with(&[&farm.base], &["--workers", "1", "--name", name.as_str()]);
                self.0.entry(name.clone()).or_insert_with(start);
            }
            let known = workers(farm).await.len();
            if servers.len() == count && known == count {
                return;
            }
            assert!(
                begun.elapsed() < 4 * PATIENCE,
                "{servers:?}, the farm knows {known}"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Heat makes and deletes servers at calls of the webhooks that its stack tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_grows_and_shrinks_by_its_own_webhooks() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let words = format!(
        "heat --name t17 --topology autoscaling --max-workers 3 --create {WHERE} {}",
        artifact()
    );
    let child = lab.command(&words).spawn().unwrap();
    let servers = lab.ask("servers", json!({"prefix": "fa", "count": 2}));
    let made = lab.snapshot();
    for server in servers.as_array().unwrap() {
        let server = server.as_str().unwrap();
        let seed = lab.user_data(&made, server);
        tell(&seed, server, "SUCCESS", "ready");
    }
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = autoscale(&lab, "--max 3 --name t17").output().unwrap();
    let told = crate::text(&said.stderr);
    assert!(
        said.status.code() == Some(2) && told.contains("scale_up_url"),
        "{told}"
    );

    let farm = Farm::api();
    let mut crew = Crew::default();
    crew.until(&mut lab, &farm, 1).await;
    let mut fractals = Vec::new();
    for _ in 0..6 {
        fractals.push(create(&farm, &long()).await);
    }
    let outputs = lab.ask("stack", json!({"name": "faafo-t17"}));
    let url = |name: &str| outputs[name].as_str().unwrap();
    let words = format!(
        "--max 3 --interval 1 --wait 2 --cool-down 5 --endpoint-url {}",
        farm.base
    );
    let mut command = autoscale(&lab, &words);
    command
        .env_remove("FAAFO_DEPLOYMENT")
        .env("FAAFO_SCALE_UP_URL", url("scale_up_url"))
        .env("FAAFO_SCALE_DOWN_URL", url("scale_down_url"));
    let mut autoscaler = Worker::run(command);
    crew.until(&mut lab, &farm, 3).await;

    // Two of three have nothing to do. Heat would take the oldest, whatever it does: so none is called
    // off as long as one renders.
    let begun = Instant::now();
    let kept = loop {
        let workers = workers(&farm).await;
        let rendering = workers.iter().find_map(|one| one["rendering"][0].as_str());
        if let Some(fractal) = rendering {
            break fractal.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{workers:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let delete = async |fractal: &String| {
        let path = format!("/v1/fractal/{fractal}");
        assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    };
    for fractal in fractals.iter().filter(|fractal| **fractal != kept) {
        delete(fractal).await;
    }
    let begun = Instant::now();
    let fewer = |line: &serde_json::Value| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.ends_with(" fewer"))
    };
    while !autoscaler.log().iter().any(fewer) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", autoscaler.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    crew.until(&mut lab, &farm, 3).await;
    assert_eq!(farm.counts().await["running"], 1);
    delete(&kept).await;
    crew.until(&mut lab, &farm, 1).await;
    let size = lab.ask("stack", json!({"name": "faafo-t17"}))["workers"].clone();
    assert_eq!(size, 1);
    assert!(autoscaler.stop().success());
    let log = format!("{:?}", autoscaler.log());
    assert!(
        !log.contains("/signal"),
        "an address is as good as a password"
    );
    lab.done("down --name t17 --yes");
    assert_eq!(lab.snapshot(), before);
}

fn autoscale(lab: &Lab, words: &str) -> Command {
    let mut command = Command::new(&*BINARY);
    command
        .arg("autoscale")
        .args(words.split_whitespace())
        .args(["--log-format", "json"])
        .env("HOME", lab.home.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("FAAFO_ENDPOINT_URL")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}
