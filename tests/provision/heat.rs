//! Farms as stacks of Heat's: templates that it takes, and what it makes of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{PATIENCE, client, text};
use crate::fetched_as_sent;
use crate::lab::{Lab, content, file, lab, names};

pub const WHERE: &str = "--image tiny --flavor m1.nano";

/// A binary that no node fetches: nothing boots on the lab's fake hypervisor.
pub fn artifact() -> String {
    let sha256 = "ab".repeat(32);
    format!("--artifact http://192.0.2.9/faafo?a=1&b=2 --artifact-sha256 {sha256}")
}

/// What a node does last: here with the node's own program, which Heat then hears.
pub fn tell(seed: &Value, node: &str, status: &str, reason: &str) {
    let install = content(seed, "/usr/local/sbin/faafo-install");
    let calls = |line: &str| install.contains(&format!("/usr/local/sbin/faafo-tell {line}"));
    assert!(calls("SUCCESS ready\n") && calls("FAILURE \"$*\"; exit 1; }\n"));
    assert_eq!(
        file(seed, "/usr/local/sbin/faafo-tell").unwrap()["permissions"],
        "0700"
    );
    let program = content(seed, "/usr/local/sbin/faafo-tell");
    let script = "echo \"$1\" >/proc/sys/kernel/hostname && exec python3 -c \"$2\" \"$3\" \"$4\"";
    let told = Command::new("unshare")
        .args(["--map-root-user", "--uts", "sh", "-c", script, "sh"])
        .args([node, program, status, reason])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(told.status.success() && told.stderr.is_empty(), "{told:?}");
}

/// Whoever comes from everywhere comes to port 80.
fn only_http_is_open_to_all(snapshot: &Value) {
    let groups = snapshot["groups"].as_object().unwrap();
    let rules = groups
        .values()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let open: Vec<_> = rules
        .map(|rule| rule.as_str().unwrap())
        .filter(|rule| rule.contains("/0") || rule.contains("None"))
        .collect();
    assert!(!open.is_empty());
    for rule in open {
        assert!(rule.starts_with("tcp 80-80 "), "{rule}");
    }
}

/// `--key` with a file.
fn key_file(lab: &Lab) -> String {
    let path = lab.home.path().join("key.pub");
    let public =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfH2mWmDq1u0o5wzH7fF7vZ1q6Yw3oWnq1mC0l4z0Q me@home";
    std::fs::write(&path, public).unwrap();
    format!("--key {}", path.display())
}

/// What Heat would make of a template that is written to a file, and by what it is known.
fn previewed(lab: &mut Lab, words: &str) -> Vec<String> {
    let path = lab.home.path().join("faafo.yaml");
    lab.done(&format!("heat {words} -o {}", path.display()));
    let template = std::fs::read_to_string(&path).unwrap();
    assert_eq!(lab.done(&format!("heat {words}")), template);
    for secret in ["faafo_u_", "faafo_w_"] {
        for (at, _) in template.match_indices(secret) {
            let next = &template[at + secret.len()..];
            let made = next.starts_with('<') || next.starts_with(',') || next.starts_with(' ');
            assert!(made, "a token: {next:.60}");
        }
    }
    let parameters = json!({
        "image": "tiny", "flavor": "m1.nano", "external_network": "public",
        "artifact_url": "https://files.example/faafo",
    });
    let order = json!({"name": "t13-preview", "template": template, "parameters": parameters});
    let types = lab.ask("preview", order);
    let types = types.as_array().unwrap().iter();
    types
        .map(|kind| kind.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn templates_are_reusable_and_a_node_that_fails_is_told() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let key = key_file(&lab);
    let several = format!(
        "--topology scaled-out --apis 3 --workers 4 --ssh-from 192.0.2.7 --ssh-from 2001:db8::7 {key}"
    );
    for (words, parts) in [
        (
            "--topology all-in-one --network public --availability-zone nova",
            [1, 1, 0, 0],
        ),
        (several.as_str(), [8, 3, 0, 1]),
        ("--topology autoscaling --set max_side=9000", [2, 1, 2, 0]),
    ] {
        let types = previewed(&mut lab, words);
        let of = |kind: &str| types.iter().filter(|found| *found == kind).count();
        let found = [
            of("OS::Nova::Server"),
            of("OS::Neutron::FloatingIP"),
            of("OS::Heat::ScalingPolicy"),
            of("OS::Nova::KeyPair"),
        ];
        assert_eq!(found, parts, "{words}: {types:?}");
    }
    for (words, why) in [
        (
            "--topology split",
            "[possible values: all-in-one, scaled-out, autoscaling]",
        ),
        ("--topology all-in-one --workers 2", "--topology scaled-out"),
        ("--topology autoscaling --apis 2", "--topology scaled-out"),
        (
            "--topology all-in-one --key /etc/hosts",
            "holds no public key",
        ),
        (
            "--topology all-in-one --create --image gone",
            "there is no image gone here; there are: ",
        ),
        (
            "--topology all-in-one --create --image tiny --flavor huge",
            "m1.nano, m1.small, m1.tiny",
        ),
        (
            "--topology all-in-one --create --image tiny --availability-zone nowhere",
            "there is no availability zone nowhere here",
        ),
        (
            "--topology all-in-one --create --image tiny --key nothing",
            "openstack keypair list",
        ),
        (
            "--topology scaled-out --set database_url=mysql://a/b",
            "of its own",
        ),
    ] {
        let said = lab.refused(2, &format!("heat --name t13 {words}"));
        assert!(said.contains(why), "{words}: {said}");
    }
    lab.ask("quota", json!({"instances": 2}));
    let words = format!("heat --name t13 --topology scaled-out --create {WHERE}");
    let said = lab.refused(1, &words);
    lab.ask("quota", json!({"instances": 10}));
    let why = "5 instances needed, but 0 of 2 are used. Nothing was made";
    assert!(said.contains(why), "{said}");
    assert_eq!(lab.snapshot(), before, "nothing of this makes anything");

    let words = format!("heat --name t13 --topology all-in-one --create {WHERE}");
    let child = lab.command(&words).spawn().unwrap();
    let there = lab.ask("servers", json!({"prefix": "faafo-t13-", "count": 1}));
    assert_eq!(there, json!(["faafo-t13-farm"]));
    let made = lab.snapshot();
    let seed = lab.user_data(&made, "faafo-t13-farm");
    let unit = content(&seed, "/etc/systemd/system/faafo.service");
    let packaged = include_str!("../../packaging/faafo.service");
    assert_eq!(unit, packaged.replace("/usr/bin/", "/usr/local/bin/"));
    fetched_as_sent(content(&seed, "/usr/local/sbin/faafo-install")).await;
    only_http_is_open_to_all(&made);
    tell(&seed, "farm", "FAILURE", "cannot fetch faafo: \"so\"");
    let failed = child.wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = text(&failed.stderr);
    for part in [
        "the stack faafo-t13 is CREATE_FAILED: ",
        "farm: cannot fetch faafo: \"so\"",
        "faafo provision down --name t13",
        "farm_ready: failed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = lab.refused(2, &words);
    assert!(said.contains("there is a deployment t13 already"), "{said}");
    let said = lab.refused(2, "up --name t13 --no-wait");
    assert!(said.contains("is a stack of Heat's"), "{said}");
    assert!(lab.done("down --name t13 --yes").contains("nothing left"));
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test]
async fn services_and_api_nodes_as_a_stack() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let shape = "--topology scaled-out --workers 1 --ssh-from 192.0.2.0/24";
    lab.done(&format!(
        "heat --name t14 {shape} --create --no-wait {WHERE} {}",
        artifact()
    ));
    let nodes = ["api", "api-2", "services", "worker-0"].map(|node| format!("faafo-t14-{node}"));
    let there = lab.ask("servers", json!({"prefix": "faafo-t14-", "count": 4}));
    assert_eq!(there, json!(nodes));
    let made = lab.snapshot();
    only_http_is_open_to_all(&made);
    let rules = |group: &str| made["groups"][group]["rules"].clone();
    assert_eq!(
        rules("faafo-t14-services"),
        json!([
            "tcp 22-22 IPv4 faafo-t14-api",
            "tcp 3306-3306 IPv4 faafo-t14-api",
            "tcp 5672-5672 IPv4 faafo-t14-api",
            "tcp 5672-5672 IPv4 faafo-t14-worker"
        ])
    );
    assert_eq!(
        rules("faafo-t14-worker"),
        json!(["tcp 22-22 IPv4 faafo-t14-api"])
    );

    let seeds = nodes.clone().map(|node| lab.user_data(&made, &node));
    let [api, second, services, worker] = &seeds;
    let ip = |node: &str| made["ports"][node]["ip"].as_str().unwrap();
    let secret = |path: &str| {
        assert_eq!(file(services, path).unwrap()["permissions"], "0600");
        content(services, path).trim_end().to_owned()
    };
    let database = secret("/etc/faafo/database-password");
    let broker = secret("/etc/faafo/broker-password");
    assert!(database.len() == 43 && broker.len() == 43 && database != broker);
    let at = ip("faafo-t14-services");
    for front in [api, second] {
        assert_eq!(
            content(front, "/etc/faafo/database-url"),
            format!("mysql://faafo:{database}@{at}/faafo\n")
        );
    }
    let broker = format!("amqp://faafo:{broker}@{at}:5672//\n");
    assert_eq!(content(worker, "/etc/faafo/transport-url"), broker);
    let endpoints = format!(
        "endpoint_url = [\"http://{}\", \"http://{}\"]\n",
        ip("faafo-t14-api"),
        ip("faafo-t14-api-2")
    );
    let settings = content(worker, "/etc/faafo/faafo.toml");
    assert!(settings.contains(&endpoints), "{settings}");
    let token = content(api, "/etc/faafo/user-token");
    assert_eq!(token.len(), "faafo_u_".len() + 43 + 1);
    assert_eq!(content(second, "/etc/faafo/user-token"), token);
    assert_ne!(content(worker, "/etc/faafo/worker-token")[8..], token[8..]);
    for node in [&nodes[2], &nodes[3]] {
        let text = made["servers"][node]["user_data"].as_str().unwrap();
        assert!(
            !text.contains(token.trim_end()),
            "{node} needs no such token"
        );
        assert!(node.contains("services") || !text.contains(&database));
    }

    for (seed, node) in seeds.iter().zip(&nodes) {
        tell(seed, node, "SUCCESS", "ready");
    }
    let told = lab.ask("stack", json!({"name": "faafo-t14"}));
    for (key, node) in [("url", "api"), ("url_2", "api-2")] {
        let url = told[key].as_str().unwrap();
        let ip = url
            .strip_prefix("http://")
            .unwrap()
            .strip_suffix('/')
            .unwrap();
        let port = &made["ports"][format!("faafo-t14-{node}")]["id"];
        assert_eq!(made["addresses"][ip]["port"], *port, "{url}");
    }
    // By Heat's own client, without a trace.
    lab.ask("delete_stack", json!({"name": "faafo-t14"}));
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test]
async fn workers_become_more_and_fewer_at_a_call() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let words = format!(
        "heat --name t15 --topology autoscaling --max-workers 2 --ssh-from 192.0.2.0/24 \
         --ssh-from 2001:db8:9::/48 {} --create {WHERE} {}",
        key_file(&lab),
        artifact()
    );
    let child = lab.command(&words).spawn().unwrap();
    let there = |lab: &mut Lab, count: u32| -> Vec<String> {
        let there = lab.ask("servers", json!({"prefix": "fa", "count": count}));
        serde_json::from_value(there).unwrap()
    };
    let servers = there(&mut lab, 2);
    let made = lab.snapshot();
    only_http_is_open_to_all(&made);
    assert_eq!(
        made["groups"]["faafo-t15-api"]["rules"],
        json!([
            "tcp 22-22 IPv4 192.0.2.0/24",
            "tcp 22-22 IPv6 2001:db8:9::/48",
            "tcp 80-80 IPv4 0.0.0.0/0",
            "tcp 80-80 IPv6 ::/0"
        ])
    );
    for server in &servers {
        assert_eq!(made["servers"][server]["key"], "faafo-t15");
        let seed = lab.user_data(&made, server);
        tell(&seed, server, "SUCCESS", "ready");
    }
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let told = lab.ask("stack", json!({"name": "faafo-t15"}));
    let url = told["url"].as_str().unwrap();
    let addresses = names(&made, "addresses");
    assert_eq!(url, format!("http://{}/", addresses[0]));
    for part in [url, "scale_up_url", "faafo provision down --name t15"] {
        assert!(text(&done.stdout).contains(part), "{done:?}");
    }
    assert!(
        text(&done.stderr).contains("worker_ready: ready"),
        "{done:?}"
    );

    let api = lab.user_data(&made, "faafo-t15-api");
    let token = lab.done("token --name t15");
    assert_eq!(content(&api, "/etc/faafo/user-token"), token);
    assert_eq!(told["user_token"], token.trim_end());
    let list: Value = serde_json::from_str(&lab.done("list -f json")).unwrap();
    assert_eq!(list[0]["topology"], "autoscaling, a stack");
    assert_eq!(
        [&list[0]["servers"], &list[0]["active"]],
        [&json!(2), &json!(2)]
    );
    // The commands of `up` leave it alone, and say whose it is.
    for words in [
        "up --no-wait",
        "logs api",
        "scale --workers 2",
        "ssh worker-1",
    ] {
        let said = lab.refused(2, &format!("{words} --name t15"));
        let ways = [
            "is a stack of Heat's",
            "openstack stack show faafo-t15",
            "scale_up_url",
        ];
        assert!(ways.iter().all(|way| said.contains(way)), "{words}: {said}");
    }
    let status: Value = serde_json::from_str(&lab.done("status --name t15 -f json")).unwrap();
    assert_eq!(status["topology"], "autoscaling");
    assert_eq!(status["stack"]["status"], "CREATE_COMPLETE");
    let nodes = status["nodes"].as_array().unwrap();
    let roles: Vec<_> = nodes.iter().map(|node| &node["role"]).collect();
    assert_eq!(roles, ["api", "worker"], "{status}");
    assert_eq!(nodes[0]["name"], "faafo-t15-api");
    assert_eq!(
        nodes[0]["address"], made["ports"]["faafo-t15-api"]["ip"],
        "{status}"
    );
    assert_eq!(nodes[0]["floating_ip"], addresses[0].as_str(), "{status}");
    let table = lab.done("status --name t15");
    let says = "faafo-t15 is a stack of Heat's, CREATE_COMPLETE: `openstack stack show faafo-t15`";
    assert!(table.contains(says), "{table}");

    // One more, which is as the first.
    let call = async |name: &str| {
        let url = told[name].as_str().unwrap();
        let answer = client().post(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {answer:?}");
    };
    call("scale_up_url").await;
    let more = there(&mut lab, 3);
    let now = lab.snapshot();
    let user_data = |server: &String| now["servers"][server]["user_data"].clone();
    let workers: Vec<_> = more
        .iter()
        .filter(|name| *name != "faafo-t15-api")
        .collect();
    assert_eq!(user_data(workers[0]), user_data(workers[1]));
    let worker = lab.user_data(&now, workers[0]);
    assert!(file(&worker, "/etc/faafo/user-token").is_none());
    let settings = content(&worker, "/etc/faafo/faafo.toml");
    let ip = now["ports"]["faafo-t15-api"]["ip"].as_str().unwrap();
    assert!(settings.contains(&format!("endpoint_url = [\"http://{ip}\"]\n")));
    assert!(!settings.contains("\nname = "), "{settings}");

    // One less: calls right after the last change do nothing.
    let begun = Instant::now();
    let size = |lab: &mut Lab| lab.ask("stack", json!({"name": "faafo-t15"}))["workers"].clone();
    while size(&mut lab) != json!(1) {
        assert!(begun.elapsed() < 3 * PATIENCE);
        call("scale_down_url").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(there(&mut lab, 2).len(), 2);
    let listed = lab.refused(2, "down --name t15");
    assert!(
        listed.contains("stack faafo-t15 with all that is in it"),
        "{listed}"
    );
    lab.done("down --name t15 --yes");
    assert_eq!(lab.snapshot(), before);
}
