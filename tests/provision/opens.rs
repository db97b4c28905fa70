//! A farm that comes up: nothing boots on the lab's hypervisor, so that the nodes' programs run here, at the
//! addresses that the cloud has given them.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::worker::Worker;
use crate::common::{FAAFO, Farm, PATIENCE, text};
use crate::lab::{Lab, lab, loudly};

/// Writes a token of the deployment to a file that only its owner can read.
fn keep(lab: &Lab, kind: &str, file: &Path) {
    let token = lab.done(&format!("token --name t24{kind}"));
    std::fs::write(file, token).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}

/// `faafo api`, as the node with this address has it.
fn api(data: &Path, ip: &str, user: &Path, worker: &Path) -> Farm {
    let mut command = Command::new(FAAFO);
    command
        .args(["api", "--log-format", "json", "--bind-port", "80"])
        .args(["--listen-address", ip, "--data-dir"])
        .arg(data)
        .arg("--token-file")
        .arg(user)
        .arg("--worker-token-file")
        .arg(worker)
        .stdin(Stdio::null());
    Farm::run(command, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_is_open_once_its_nodes_answer_and_status_tells_how_it_is() {
    let Some(mut lab) = lab().await else { return };
    // All of 127.0.0.0/8 is this machine.
    if let Err(error) = TcpListener::bind("127.80.0.1:80") {
        loudly(&format!(
            "NOT TESTED: a farm that comes up: port 80 of this machine cannot be had: {error}"
        ));
        return;
    }
    let before = lab.snapshot();
    lab.ask(
        "network",
        json!({"name": "t24-near", "cidr": "127.80.0.0/24", "dhcp": false}),
    );
    lab.ask("image", json!({"name": "t24-image"}));
    let words = "up --name t24 --topology split --workers 1 --network t24-near --image t24-image \
                 --flavor m1.nano";
    let mut up = lab.command(words).spawn().unwrap();
    let begun = Instant::now();
    let ips = loop {
        let ports = lab.ask("ports", json!({"prefix": "faafo-t24-"}));
        if ports.as_object().unwrap().len() == 2 {
            break ports;
        }
        assert!(
            begun.elapsed() < 2 * PATIENCE && up.try_wait().unwrap().is_none(),
            "{ports}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let ip = ips["faafo-t24-api"].as_str().unwrap();
    let (user, worker) = (lab.home.path().join("user"), lab.home.path().join("worker"));
    keep(&lab, "", &user);
    keep(&lab, " --worker", &worker);
    let data = TempDir::new().unwrap();
    let farm = api(data.path(), ip, &user, &worker);
    let name = ["--workers", "1", "--name", "faafo-t24-worker-1"];
    let token = ["--token-file", worker.to_str().unwrap()];
    let _worker = Worker::with(&[&farm.base], &[name.as_slice(), &token].concat());

    let done = up.wait_with_output().unwrap();
    let (shown, said) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(
        shown.contains(&format!("The farm is open: http://{ip}/\n")),
        "{shown}"
    );
    for node in ["faafo-t24-api: ready\n", "faafo-t24-worker-1: ready\n"] {
        assert!(said.contains(node), "{said}");
    }

    let status: Value = serde_json::from_str(&lab.done("status --name t24 -f json")).unwrap();
    assert_eq!(status["url"], format!("http://{ip}"));
    let none = json!({"queued": 0, "running": 0, "done": 0, "failed": 0});
    assert_eq!(
        [&status["fractals"], &status["workers"]],
        [&none, &json!(1)]
    );
    for (place, node) in ["faafo-t24-api", "faafo-t24-worker-1"].iter().enumerate() {
        let told = &status["nodes"][place];
        assert_eq!(
            [&told["name"], &told["readiness"], &told["version"]],
            [node, "ready", env!("CARGO_PKG_VERSION")],
            "{status}"
        );
    }
    let status = lab.done("status --name t24");
    let line = format!("http://{ip}/ is ready: 0 queued, 0 running, 0 done, 0 failed, 1 worker\n");
    assert!(status.contains(&line), "{status}");

    // A node that was shut off is started, whatever has become of the image since; and what does not
    // reach it is told.
    // Its program here may answer before its server has been made there.
    lab.ask("until_active", json!({"name": "faafo-t24-worker-1"}));
    lab.ask("shut_off", json!({"name": "faafo-t24-worker-1"}));
    lab.ask("delete_image", json!({"name": "t24-image"}));
    let plan = lab.done("plan --name t24");
    assert!(plan.contains("is shut off and will be started"), "{plan}");
    let again = lab.run("up --name t24 --flavor m1.tiny --set log_level=debug");
    let said = text(&again.stderr);
    assert!(again.status.success(), "{said}");
    for part in [
        "note: the 2 nodes that are there stay as they are; new ones alone get --flavor, --set\n",
        "faafo-t24-worker-1: was shut off, starting\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    lab.ask("until_active", json!({"name": "faafo-t24-worker-1"}));
    lab.done("down --name t24 --yes");
    lab.ask("delete_network", json!({"name": "t24-near"}));
    assert_eq!(lab.snapshot(), before);
}
