//! RabbitMQ and MariaDB on a node of their own, several API nodes, and workers that know them all.

use serde_json::json;

use crate::SMALL;
use crate::lab::{content, file, lab, names};

#[tokio::test]
async fn services_several_api_nodes_and_workers() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let said = lab.refused(
        2,
        &format!("up --name t11 --topology scaled-out --set transport_url=amqp://a/ {SMALL}"),
    );
    assert!(said.contains("of its own"), "{said}");
    let said = lab.refused(
        2,
        &format!("up --name t11 --topology split --apis 2 {SMALL}"),
    );
    assert!(said.contains("--topology scaled-out"), "{said}");
    assert_eq!(lab.snapshot(), before);

    let said = lab.done(&format!(
        "up --name t11 --topology scaled-out --workers 1 --ssh-from 192.0.2.0/24 {SMALL}"
    ));
    let up = lab.snapshot();
    let nodes = [
        "faafo-t11-api",
        "faafo-t11-api-2",
        "faafo-t11-services",
        "faafo-t11-worker-1",
    ];
    assert_eq!(names(&up, "servers"), nodes);
    assert_eq!(names(&up, "ports"), nodes);

    // The world comes to the API nodes, and there to the pages alone; what is behind them is open to
    // those who need it.
    let rules = |group: &str| up["groups"][group]["rules"].clone();
    assert_eq!(
        rules("faafo-t11-services"),
        json!([
            "tcp 22-22 IPv4 192.0.2.0/24",
            "tcp 22-22 IPv4 faafo-t11-api",
            "tcp 3306-3306 IPv4 faafo-t11-api",
            "tcp 5672-5672 IPv4 faafo-t11-api",
            "tcp 5672-5672 IPv4 faafo-t11-worker"
        ])
    );
    assert_eq!(
        up["ports"]["faafo-t11-services"]["groups"],
        json!(["faafo-t11-services"])
    );
    let addresses = up["addresses"].as_object().unwrap();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for (ip, address) in addresses {
        assert!(said.contains(&format!("http://{ip}/")), "{ip}: {said}");
        let to = ["faafo-t11-api", "faafo-t11-api-2"].map(|node| &up["ports"][node]["id"]);
        assert!(to.contains(&&address["port"]), "{address}");
    }

    // What each is told.
    let ip = |node: &str| ip_of(&up, node);
    let services = ip("faafo-t11-services");
    let worker = lab.user_data(&up, "faafo-t11-worker-1");
    let endpoints = format!(
        "endpoint_url = [\"http://{}\", \"http://{}\"]\n",
        ip("faafo-t11-api"),
        ip("faafo-t11-api-2")
    );
    let settings = content(&worker, "/etc/faafo/faafo.toml");
    assert!(settings.contains(&endpoints), "{settings}");
    let broker = content(&worker, "/etc/faafo/transport-url");
    let password = broker.strip_prefix("amqp://faafo:").unwrap();
    let password = password
        .strip_suffix(&format!("@{services}:5672//\n"))
        .unwrap();
    assert_eq!(password.len(), 64);
    assert!(file(&worker, "/etc/faafo/database-url").is_none());

    let tokens = ["", " --worker"].map(|kind| lab.done(&format!("token --name t11{kind}")));
    let node = lab.user_data(&up, "faafo-t11-services");
    assert_eq!(
        content(&node, "/etc/faafo/broker-password").trim_end(),
        password
    );
    let database = content(&node, "/etc/faafo/database-password").trim_end();
    assert_ne!(database, password);
    for secret in ["broker-password", "database-password"] {
        let path = format!("/etc/faafo/{secret}");
        assert_eq!(file(&node, &path).unwrap()["permissions"], "0600");
    }
    let text = up["servers"]["faafo-t11-services"]["user_data"].as_str();
    for token in &tokens {
        assert!(!text.unwrap().contains(token.trim()), "it needs no token");
    }
    let mut seeds = Vec::new();
    for api in ["faafo-t11-api", "faafo-t11-api-2"] {
        let seed = lab.user_data(&up, api);
        assert_eq!(
            content(&seed, "/etc/faafo/database-url"),
            format!("mysql://faafo:{database}@{services}/faafo\n")
        );
        assert_eq!(content(&seed, "/etc/faafo/transport-url"), broker);
        seeds.push(content(&seed, "/etc/faafo/user-token").to_owned());
    }
    assert_eq!(seeds[0], seeds[1], "one farm, one token");

    // As it is, and then with more of both; what is there stays.
    lab.done("up --name t11 --no-wait");
    assert_eq!(lab.snapshot(), up);
    lab.done("up --name t11 --apis 3 --no-wait");
    lab.done("scale --name t11 --workers 2 --no-wait");
    let more = lab.snapshot();
    assert_eq!(names(&more, "servers").len(), 6);
    for node in nodes {
        assert_eq!(more["servers"][node], up["servers"][node], "{node}");
    }
    let late = lab.user_data(&more, "faafo-t11-worker-2");
    assert_eq!(content(&late, "/etc/faafo/transport-url"), broker);
    let known = content(&late, "/etc/faafo/faafo.toml");
    assert!(known.contains(&ip_of(&more, "faafo-t11-api-3")), "{known}");
    let said = lab.refused(2, "up --name t11 --apis 1 --no-wait");
    assert!(said.contains("has 3 API nodes"), "{said}");
    assert!(said.contains("faafo provision scale --name t11 --apis 1"));
    let said = lab.refused(2, "scale --name t11 --apis 0");
    assert!(said.contains("--apis must be at least 1"), "{said}");
    assert_eq!(lab.snapshot(), more);

    // Fewer of the one and more of the other: the last ones leave with their addresses, and who comes then
    // knows those that are left.
    lab.done("scale --name t11 --apis 1 --workers 3 --no-wait");
    let fewer = lab.snapshot();
    let left = ["api", "services", "worker-1", "worker-2", "worker-3"];
    let left = left.map(|node| format!("faafo-t11-{node}"));
    assert_eq!(names(&fewer, "servers"), left);
    assert_eq!(names(&fewer, "ports"), left);
    for node in &left[..4] {
        assert_eq!(fewer["servers"][node], more["servers"][node], "{node}");
    }
    let addresses = fewer["addresses"].as_object().unwrap();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    let port = &fewer["ports"]["faafo-t11-api"]["id"];
    assert!(addresses.values().all(|address| address["port"] == *port));
    let newest = lab.user_data(&fewer, "faafo-t11-worker-3");
    let known = content(&newest, "/etc/faafo/faafo.toml");
    let only = format!("endpoint_url = [\"http://{}\"]\n", ip("faafo-t11-api"));
    assert!(known.contains(&only), "{known}");
    let said = lab.done("scale --name t11 --workers 1");
    assert!(said.contains("t11 has 1 workers"), "{said}");
    lab.done("scale --name t11 --apis 2 --no-wait");
    assert_eq!(names(&lab.snapshot(), "servers"), nodes);
    lab.done("down --name t11 --yes");
    assert_eq!(lab.snapshot(), before);
}

fn ip_of(snapshot: &serde_json::Value, node: &str) -> String {
    snapshot["ports"][node]["ip"].as_str().unwrap().to_owned()
}
