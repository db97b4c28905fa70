//! User data as a real cloud-init takes them, in machines that really boot: until the farm renders.

use std::fs::{OpenOptions, create_dir_all, write};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use serde_json::json;

use crate::SMALL;
use crate::common::{sha256, text};
use crate::lab::{BINARY, lab, loudly};

/// Makes a deployment of these nodes, and boots what it would have on machines here.
async fn boots(deployment: &str, words: &str, nodes: &[&str]) {
    let Some(mut lab) = lab().await else { return };
    let Ok(tree) = std::env::var("FAAFO_TEST_TREE") else {
        loudly("NOT TESTED: whether nodes boot: FAAFO_TEST_TREE names no Debian with cloud-init");
        return;
    };
    let hash = sha256(&std::fs::read(&*BINARY).unwrap());
    let artifact = format!("--artifact http://10.80.0.1:8099/faafo --artifact-sha256 {hash}");
    lab.done(&format!(
        "up --name {deployment} {words} --set max_side=5000 {artifact} {SMALL}"
    ));
    let up = lab.snapshot();
    let token = lab.done(&format!("token --name {deployment}"));
    lab.done(&format!("down --name {deployment} --yes"));
    let seeds = lab.home.path().join("seeds");
    let mut addresses = Vec::new();
    for node in nodes {
        let server = format!("faafo-{deployment}-{node}");
        let folder = seeds.join(node);
        create_dir_all(&folder).unwrap();
        let user_data = up["servers"][&server]["user_data"].as_str().unwrap();
        write(folder.join("user-data"), user_data).unwrap();
        let meta_data = json!({"instance-id": server, "local-hostname": server});
        write(folder.join("meta-data"), meta_data.to_string()).unwrap();
        let ip = up["ports"][&server]["ip"].as_str().unwrap();
        addresses.push(format!("{node}={ip}"));
    }
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600);
    let mut file = file.open(seeds.join("user-token")).unwrap();
    file.write_all(token.as_bytes()).unwrap();
    let boot = Command::new("timeout")
        .args(["--kill-after", "60", "1800"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/provision/boot"))
        .arg(&tree)
        .arg(&*BINARY)
        .arg(&seeds)
        .args(addresses)
        .output()
        .unwrap();
    assert!(
        boot.status.success(),
        "{}{}",
        text(&boot.stdout),
        text(&boot.stderr)
    );
}

#[tokio::test]
async fn an_api_node_and_a_worker_boot_and_render() {
    let words = "--topology split --workers 1";
    boots("t10", words, &["api", "worker-1"]).await;
}

#[tokio::test]
async fn services_two_api_nodes_and_a_worker_boot_and_render() {
    let words = "--topology scaled-out --workers 1";
    let nodes = ["services", "api", "api-2", "worker-1"];
    boots("t12", words, &nodes).await;
}
