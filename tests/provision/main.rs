//! `faafo provision` against a real OpenStack: what it makes is looked at by the official client.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod autoscaled;
mod boots;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod heat;
mod lab;
mod opens;
mod proxy;
mod scaled_out;
mod terminal;
mod volume;
mod wire;

use common::{client, sha256, text};
use lab::{BINARY, content, file, lab, names};
use serde_json::json;

/// Nothing boots on the lab's fake hypervisor.
pub const SMALL: &str = "--image tiny --flavor m1.nano --no-wait";

#[tokio::test]
async fn one_node_up_and_down_beside_others() {
    let Some(mut lab) = lab().await else { return };
    lab.ask("object", json!({"container": "faafo-t1x", "name": "o"}));
    let free = lab.ask("address", json!({}));
    let free = free.as_str().unwrap();
    let before = lab.snapshot();

    let plan = lab.done("plan --name t1 --image tiny --flavor m1.nano");
    for line in [
        "make      server          faafo-t1-farm",
        "make      router",
        "enough     instances",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    assert_eq!(lab.snapshot(), before, "a plan makes nothing");

    let said = lab.done(&format!("up --name t1 --set max_side=9000 {SMALL}"));
    assert!(
        said.contains(&format!("http://{free}/")),
        "the free address is taken: {said}"
    );
    assert!(
        !said.contains("faafo_u_"),
        "a token is not for a log: {said}"
    );
    let up = lab.snapshot();
    let mark = "faafo deployment t1";
    let server = &up["servers"]["faafo-t1-farm"];
    assert_eq!(server["tags"], json!(["faafo-deployment=t1"]));
    let metadata = json!({"faafo-deployment": "t1", "faafo-role": "all", "faafo-number": "1",
                          "faafo-topology": "all-in-one"});
    assert_eq!(server["metadata"], metadata);
    for (kind, name) in [
        ("networks", "faafo-t1"),
        ("subnets", "faafo-t1"),
        ("routers", "faafo-t1"),
        ("groups", "faafo-t1-api"),
        ("ports", "faafo-t1-farm"),
    ] {
        assert_eq!(up[kind][name]["description"], mark, "{kind}");
    }
    assert_eq!(
        up["networks"]["faafo-t1"]["tags"],
        json!(["faafo-deployment=t1"])
    );
    assert_eq!(
        up["routers"]["faafo-t1"]["joined"],
        json!([up["subnets"]["faafo-t1"]["id"]])
    );
    let open = json!(["tcp 80-80 IPv4 0.0.0.0/0", "tcp 80-80 IPv6 ::/0"]);
    assert_eq!(up["groups"]["faafo-t1-api"]["rules"], open);
    assert_eq!(
        up["ports"]["faafo-t1-farm"]["groups"],
        json!(["faafo-t1-api"])
    );
    assert_eq!(
        up["addresses"][free]["port"],
        up["ports"]["faafo-t1-farm"]["id"]
    );

    let seed = lab.user_data(&up, "faafo-t1-farm");
    let settings = content(&seed, "/etc/faafo/faafo.toml");
    assert!(settings.contains("bind_port = 80\n") && settings.ends_with("max_side = 9000\n"));
    let token = lab.done("token --name t1");
    assert_eq!(content(&seed, "/etc/faafo/user-token"), token);
    let worker = lab.done("token --name t1 --worker");
    assert_eq!(content(&seed, "/etc/faafo/worker-token"), worker);
    for secret in ["/etc/faafo/user-token", "/etc/faafo/worker-token"] {
        assert_eq!(file(&seed, secret).unwrap()["permissions"], "0600");
    }
    let unit = content(&seed, "/etc/systemd/system/faafo.service");
    let packaged = include_str!("../../packaging/faafo.service");
    assert_eq!(unit, packaged.replace("/usr/bin/", "/usr/local/bin/"));
    fetched_as_sent(content(&seed, "/usr/local/sbin/faafo-install")).await;

    let again = lab.run(&format!("up --name t1 {SMALL}"));
    assert!(
        text(&again.stderr).contains("all nodes are there already"),
        "{again:?}"
    );
    assert_eq!(lab.snapshot(), up, "nothing is made twice");

    // A second deployment, of other nodes, in the same project.
    lab.done(&format!(
        "up --name t1-b --topology split --workers 1 {SMALL}"
    ));
    let list = lab.done("list -f json");
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let found: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        found,
        ["t1", "t1-b"],
        "and none of what only looks like one"
    );
    let both = lab.snapshot();

    assert!(lab.refused(2, "down --name t1").contains("--yes"));
    assert_eq!(lab.snapshot(), both);
    assert!(lab.done("down --name t1 --yes").contains("nothing left"));
    let one = lab.snapshot();
    for kind in [
        "servers",
        "networks",
        "subnets",
        "routers",
        "groups",
        "ports",
        "containers",
    ] {
        let mut expected = both[kind].clone();
        expected.as_object_mut().unwrap().retain(|name, _| {
            name != "faafo-t1" && name != "faafo-t1-farm" && name != "faafo-t1-api"
        });
        assert_eq!(one[kind], expected, "{kind}");
    }
    assert_eq!(
        one["addresses"][free]["port"],
        json!(null),
        "what was there stays, and is free again"
    );
    lab.done("down --name t1-b --yes");
    assert_eq!(lab.snapshot(), before);
    assert!(
        lab.refused(2, "status --name t1")
            .contains("no deployment t1")
    );
    lab.done("down --name t1 --yes");
    lab.ask("delete_address", json!({"ip": free}));
    lab.ask(
        "delete_object",
        json!({"container": "faafo-t1x", "name": "o"}),
    );
}

/// Fetches what the script would, and finds what it expects: this very binary.
pub async fn fetched_as_sent(script: &str) {
    let quoted = |after: &str| {
        let begin = script.find(after).unwrap() + after.len();
        script[begin..]
            .split(['\'', ' '])
            .next()
            .unwrap()
            .to_owned()
    };
    let url = quoted("fetch '");
    let binary = client()
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(sha256(&binary), sha256(&std::fs::read(&*BINARY).unwrap()));
    assert_eq!(quoted("echo '"), sha256(&binary));
    let unsigned = client()
        .get(url.split('?').next().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 401);
    sound(script);
}

/// Whether a shell understands it.
pub fn sound(script: &str) {
    let mut shell = std::process::Command::new("sh")
        .arg("-n")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

#[tokio::test]
async fn an_api_node_and_workers_more_and_fewer() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let key = lab.home.path().join("key.pub");
    let public =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfH2mWmDq1u0o5wzH7fF7vZ1q6Yw3oWnq1mC0l4z0Q me@home";
    std::fs::write(&key, public).unwrap();
    let words = format!(
        "up --name t2 --topology split --ssh-from 192.0.2.0/24 --key {} \
         --availability-zone nova {SMALL}",
        key.display()
    );
    let plan = words.replacen("up", "plan", 1).replace("--no-wait", "");
    let plan = lab.done(&plan);
    assert!(plan.contains("tiny, m1.nano, nova"), "{plan}");
    lab.done(&words);
    let up = lab.snapshot();
    assert_eq!(
        names(&up, "servers"),
        ["faafo-t2-api", "faafo-t2-worker-1", "faafo-t2-worker-2"]
    );
    assert_eq!(up["servers"]["faafo-t2-worker-1"]["key"], "faafo-t2");
    let api = &up["groups"]["faafo-t2-api"]["rules"];
    let expected = json!([
        "tcp 22-22 IPv4 192.0.2.0/24",
        "tcp 80-80 IPv4 0.0.0.0/0",
        "tcp 80-80 IPv4 faafo-t2-worker",
        "tcp 80-80 IPv6 ::/0"
    ]);
    assert_eq!(*api, expected);
    let worker = &up["groups"]["faafo-t2-worker"]["rules"];
    assert_eq!(
        *worker,
        json!(["tcp 22-22 IPv4 192.0.2.0/24", "tcp 22-22 IPv4 faafo-t2-api"])
    );
    let address = up["addresses"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(address.1["description"], "faafo deployment t2");
    assert_eq!(address.1["port"], up["ports"]["faafo-t2-api"]["id"]);
    assert_eq!(names(&up, "addresses").len(), 1, "workers need none");

    let user_token = lab.done("token --name t2");
    let seed = lab.user_data(&up, "faafo-t2-worker-2");
    assert!(
        !up["servers"]["faafo-t2-worker-2"]["user_data"]
            .as_str()
            .unwrap()
            .contains(user_token.trim())
    );
    assert!(file(&seed, "/etc/faafo/user-token").is_none());
    let ip = up["ports"]["faafo-t2-api"]["ip"].as_str().unwrap();
    let settings = content(&seed, "/etc/faafo/faafo.toml");
    for line in [
        &format!("endpoint_url = [\"http://{ip}\"]\n"),
        "name = \"faafo-t2-worker-2\"\n",
    ] {
        assert!(settings.contains(line), "{line}: {settings}");
    }
    let unit = content(&seed, "/etc/systemd/system/faafo-worker.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/faafo worker --config-file"));
    let seed = lab.user_data(&up, "faafo-t2-api");
    assert!(
        content(&seed, "/etc/systemd/system/faafo-api.service").contains("faafo api --config-file")
    );

    let through = format!(
        "ssh -J debian@{} debian@{}\n",
        address.0,
        up["ports"]["faafo-t2-worker-1"]["ip"].as_str().unwrap()
    );
    assert_eq!(lab.done("ssh worker-1 --name t2 --print"), through);
    assert!(
        lab.done("logs api --name t2")
            .contains("FAKE CONSOLE OUTPUT")
    );
    let status: serde_json::Value =
        serde_json::from_str(&lab.done("status --name t2 -f json")).unwrap();
    assert_eq!(status["topology"], "split");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["nodes"][1]["status"], "ACTIVE");
    assert_eq!(status["nodes"][1]["readiness"], "nothing heard");

    // Nobody says again how it is to be: it stays so.
    lab.done("up --name t2 --no-wait");
    assert_eq!(lab.snapshot(), up);
    assert!(
        lab.refused(2, &format!("up --name t2 --workers 1 {SMALL}"))
            .contains("scale")
    );
    assert!(
        lab.refused(2, "up --name t2 --topology all-in-one")
            .contains("another --name")
    );

    let said = lab.refused(2, "scale --name t2 --apis 2");
    assert!(said.contains("--apis goes with scaled-out"), "{said}");
    lab.done("scale --name t2 --workers 4 --no-wait");
    let more = lab.snapshot();
    assert_eq!(names(&more, "servers").len(), 5);
    let last = &more["servers"]["faafo-t2-worker-4"];
    assert_eq!(last["key"], "faafo-t2");
    assert_eq!(last["metadata"]["faafo-zone"], "nova");
    assert_eq!(
        more["servers"]["faafo-t2-api"],
        up["servers"]["faafo-t2-api"]
    );
    lab.done("scale --name t2 --workers 1");
    let fewer = lab.snapshot();
    let left = names(&fewer, "servers");
    assert_eq!(left, ["faafo-t2-api", "faafo-t2-worker-1"]);
    assert_eq!(names(&fewer, "ports"), left);
    lab.done("down --name t2 --yes");
    assert_eq!(lab.snapshot(), before);
}

/// Credentials as the environment gives them, and by name in clouds.yaml.
#[tokio::test]
async fn whichever_way_the_cloud_is_named() {
    let Some(mut lab) = lab().await else { return };
    let access = lab.ask("access", json!({}));
    let auth = access["auth"].clone();
    let of = |name: &str| auth[name].as_str().unwrap().to_owned();
    let credential = lab.ask("credential", json!({"name": "faafo-test"}));
    let id = credential["id"].as_str().unwrap();
    let secret = credential["secret"].as_str().unwrap();
    let (token, project) = (
        access["token"].as_str().unwrap(),
        access["project"].as_str().unwrap(),
    );
    let list = |lab: &lab::Lab, variables: &[(&str, &str)]| {
        let mut command = lab.command("list -f json");
        command
            .env_clear()
            .env("HOME", lab.home.path())
            .env("OS_AUTH_URL", of("auth_url"));
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let good: [&[(&str, &str)]; 3] = [
        &[
            ("OS_USERNAME", &of("username")),
            ("OS_PASSWORD", &of("password")),
            ("OS_PROJECT_NAME", &of("project_name")),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
            ("OS_INTERFACE", "internal"),
        ],
        &[
            ("OS_AUTH_TYPE", "v3applicationcredential"),
            ("OS_APPLICATION_CREDENTIAL_ID", id),
            ("OS_APPLICATION_CREDENTIAL_SECRET", secret),
        ],
        &[
            ("OS_AUTH_TYPE", "token"),
            ("OS_TOKEN", token),
            ("OS_PROJECT_ID", project),
        ],
    ];
    for variables in good {
        let output = list(&lab, variables);
        assert_eq!(text(&output.stdout), "[]\n", "{variables:?}: {output:?}");
    }
    let wrong = list(
        &lab,
        &[
            ("OS_USERNAME", "nobody"),
            ("OS_PASSWORD", "hush-hush"),
            ("OS_PROJECT_NAME", "p"),
        ],
    );
    let said = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        said.contains("Keystone does not let in the OS_* variables")
            && said.contains("request req-"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    let region = list(
        &lab,
        &[
            ("OS_AUTH_TYPE", "token"),
            ("OS_TOKEN", token),
            ("OS_PROJECT_ID", project),
            ("OS_REGION_NAME", "Atlantis"),
        ],
    );
    assert!(
        text(&region.stderr).contains("in the region Atlantis"),
        "{region:?}"
    );

    // secure.yaml holds the password, and goes before what stands in clouds.yaml.
    let file = lab.changed_cloud(json!({}));
    let mut clouds: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let password = clouds["clouds"]["changed"]["auth"]["password"].take();
    std::fs::write(&file, clouds.to_string()).unwrap();
    let folder = lab.home.path().join(".config/openstack");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(&file, folder.join("clouds.yaml")).unwrap();
    let at_home = |lab: &lab::Lab, words: &str| {
        let mut command = lab.command(words);
        command
            .env_remove("OS_CLOUD")
            .env_remove("OS_CLIENT_CONFIG_FILE")
            .current_dir(lab.home.path());
        command.output().unwrap()
    };
    let without = at_home(&lab, "list");
    assert!(
        without.status.code() == Some(2) && text(&without.stderr).contains("no password"),
        "{without:?}"
    );
    let secure = json!({"clouds": {"changed": {"auth": {"password": password}}}});
    std::fs::write(folder.join("secure.yaml"), secure.to_string()).unwrap();
    assert_eq!(text(&at_home(&lab, "list -f json").stdout), "[]\n");
    let other = at_home(&lab, "list --os-cloud elsewhere");
    assert!(
        other.status.code() == Some(2) && text(&other.stderr).contains("it has: changed"),
        "{other:?}"
    );
}

/// Where the network's addresses are the world's own, no other is taken; and of two networks one has
/// to be named.
#[tokio::test]
async fn networks_that_are_there() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    lab.ask(
        "network",
        json!({"name": "t5-open", "cidr": "203.0.113.0/24"}),
    );
    lab.done(&format!("up --name t5 {SMALL}"));
    let up = lab.snapshot();
    assert_eq!(names(&up, "networks"), ["t5-open"], "the only one is taken");
    assert_eq!(names(&up, "routers"), Vec::<String>::new());
    assert_eq!(names(&up, "addresses"), Vec::<String>::new());
    let ip = up["ports"]["faafo-t5-farm"]["ip"].as_str().unwrap();
    assert!(ip.starts_with("203.0.113."));
    assert!(
        lab.done("up --name t5 --no-wait")
            .contains(&format!("http://{ip}/"))
    );
    lab.done("down --name t5 --yes");
    assert_eq!(names(&lab.snapshot(), "networks"), ["t5-open"]);

    lab.ask(
        "network",
        json!({"name": "t5-inner", "cidr": "10.9.0.0/24"}),
    );
    let said = lab.refused(2, &format!("up --name t5 {SMALL}"));
    assert!(said.contains("--network: t5-inner, t5-open"), "{said}");
    // No router leads out of it: it goes on without a floating IP.
    let inner = lab.run(&format!("up --name t5 --network t5-inner {SMALL}"));
    assert!(
        text(&inner.stderr).contains("no floating IP to be had"),
        "{inner:?}"
    );
    assert!(text(&inner.stdout).contains("http://10.9.0."), "{inner:?}");
    lab.done("down --name t5 --yes");
    for name in ["t5-open", "t5-inner"] {
        lab.ask("delete_network", json!({"name": name}));
    }
    assert_eq!(lab.snapshot(), before);
}
