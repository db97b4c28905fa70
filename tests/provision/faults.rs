//! What can go wrong on the way.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::SMALL;
use crate::common::text;
use crate::lab::{content, lab, names};
use crate::proxy::{self, Fault};

#[tokio::test]
async fn what_cannot_be_is_told_before_anything_is_made() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let refused = |words: &str, why: &str| {
        let said = lab.refused(2, words);
        assert!(said.contains(why), "{words}: {said}");
    };
    refused(
        "up --name t3 --image gone",
        "there is no image gone here; there are: ",
    );
    refused(
        "up --name t3 --image tiny --flavor huge",
        "m1.nano, m1.small, m1.tiny",
    );
    refused("up --name t3 --image tiny --key nothing", "keypair list");
    refused(
        "up --name t3 --image tiny --network nowhere",
        "there is no network nowhere",
    );
    // A cloud may have more of them than `nova`.
    for part in [
        "there is no availability zone nowhere here that takes servers; there are: ",
        "nova",
    ] {
        refused(
            "up --name t3 --image tiny --availability-zone nowhere",
            part,
        );
    }
    refused("up --name t3 --set max_side=tall", "max_side");
    refused("up --name t3 --set bind_port=81", "sets bind_port itself");
    refused("up --name T3", "a deployment's name has");
    refused("up --name t3 --ssh-from office", "192.0.2.0/24");
    refused("up --name t3 --workers 2 --image tiny", "--topology split");
    refused("scale --name t3 --workers 2", "no deployment t3");
    refused(
        "up --name t3 --artifact http://x/faafo",
        "--artifact-sha256",
    );
    refused("token --name t3", "no token");
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test]
async fn by_default_the_newest_debian_on_the_smallest_flavor_with_a_gigabyte() {
    let Some(mut lab) = lab().await else { return };
    for name in ["t3-ubuntu-24.04", "t3-debian-13"] {
        lab.ask("image", json!({"name": name}));
    }
    let plan = lab.done("plan --name t3");
    assert!(plan.contains("t3-debian-13, m1.small"), "{plan}");
    for name in ["t3-ubuntu-24.04", "t3-debian-13"] {
        lab.ask("delete_image", json!({"name": name}));
    }
}

#[tokio::test]
async fn a_quota_that_is_too_small() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    lab.ask("quota", json!({"instances": 2}));
    let words = "--name t4 --topology split --workers 2 --image tiny --flavor m1.nano";
    let refused = lab.run(&format!("up {words} --no-wait"));
    let planned = lab.run(&format!("plan {words}"));
    lab.ask("quota", json!({"instances": 10}));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("3 instances needed, but 0 of 2 are used. Nothing was made"),
        "{said}"
    );
    assert!(
        text(&planned.stdout).contains("NOT ENOUGH instances"),
        "{planned:?}"
    );
    assert_eq!(planned.status.code(), Some(1));
    assert_eq!(lab.snapshot(), before);
}

/// A server that fits nowhere ends in ERROR; the next `up` replaces it. And what never answers is
/// told with what was seen of it.
#[tokio::test]
async fn a_server_that_fails_and_one_that_never_answers() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    lab.ask(
        "flavor",
        json!({"name": "t6-giant", "ram": 128, "disk": 9_000_000}),
    );
    let said = lab.refused(
        1,
        "up --name t6 --image tiny --flavor t6-giant --timeout 120",
    );
    for part in [
        "faafo-t6-farm is in ERROR: ",
        "No valid host",
        "replaces it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let failed = lab.snapshot()["servers"]["faafo-t6-farm"].clone();
    assert_eq!(failed["status"], "ERROR");
    let status = lab.done("status --name t6");
    assert!(status.contains("failed: No valid host"), "{status}");
    let plan = lab.done("plan --name t6 --image tiny --flavor m1.nano");
    assert!(
        plan.contains("replace   server          faafo-t6-farm"),
        "{plan}"
    );

    let said = lab.refused(1, "up --name t6 --image tiny --flavor m1.nano --timeout 60");
    let seen =
        "faafo-t6-farm is not ready after 60 s; last seen: active, its console says: LAST LINE";
    assert!(
        said.contains("replacing what failed") && said.contains(seen),
        "{said}"
    );
    let replaced = lab.snapshot()["servers"]["faafo-t6-farm"].clone();
    assert_eq!(replaced["status"], "ACTIVE");
    assert_ne!(replaced["id"], failed["id"]);
    lab.done("down --name t6 --yes");
    assert_eq!(lab.snapshot(), before);
}

/// At ten points; FAAFO_TEST_KILLS names more. Each run goes on where the one before was killed, until all
/// is there: so a kill costs no more than a part of an `up`.
#[tokio::test]
async fn killed_at_any_point_it_goes_on_and_nothing_is_doubled() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let words = format!("up --name t7 --topology split --workers 2 {SMALL}");
    // How long it takes undisturbed, over which the kills are spread.
    let begun = Instant::now();
    lab.done(&words);
    let whole = begun.elapsed();
    let undisturbed = lab.snapshot();
    lab.done("down --name t7 --yes");
    let points = std::env::var("FAAFO_TEST_KILLS").map_or(10, |points| points.parse().unwrap());
    let mut kills = 0;
    for _ in 0..4 * points {
        let mut child = lab.command(&words).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(rand::random()));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        kills += u32::from(ended.is_none());
        if let Some(ended) = ended {
            assert!(ended.success(), "{output:?}");
        }
        // All begins anew where there is nothing left to kill, and now and then before.
        if ended.is_some() || kills % 5 == 0 {
            lab.done("down --name t7 --yes");
            assert_eq!(lab.snapshot(), before, "after {kills}");
        }
        if kills == points {
            break;
        }
    }
    assert_eq!(kills, points, "too few kills came in time");
    // Ctrl-C in the middle: without a terminal nobody can be asked, and what is there is kept.
    let mut child = lab.command(&words).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("t7, split, in the cloud"), "{line}");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("with the same words goes on"), "{rest}");
    lab.done(&words);
    let resumed = lab.snapshot();
    for kind in [
        "servers",
        "networks",
        "subnets",
        "routers",
        "groups",
        "ports",
        "containers",
    ] {
        assert_eq!(names(&resumed, kind), names(&undisturbed, kind), "{kind}");
    }
    assert_eq!(resumed["addresses"].as_object().unwrap().len(), 1);
    let rules = |group: &str| resumed["groups"][group]["rules"].clone();
    assert_eq!(
        rules("faafo-t7-api"),
        undisturbed["groups"]["faafo-t7-api"]["rules"]
    );
    assert_eq!(
        resumed["routers"]["faafo-t7"]["joined"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    lab.done("down --name t7 --yes");
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_service_that_is_away_for_a_while() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    let access = lab.ask("access", json!({}));
    let target = access["endpoints"]["network"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let away = Duration::from_secs(20);
    let proxy = proxy::start(target, Fault::Away(away)).await;
    let file = lab.changed_cloud(json!({"network_endpoint_override": proxy.url}));
    let begun = Instant::now();
    let mut command = lab.command(&format!("up --name t8 {SMALL}"));
    let output = command
        .env("OS_CLIENT_CONFIG_FILE", &file)
        .env("OS_CLOUD", "changed")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(begun.elapsed() >= away / 2 && proxy.spoiled.load(Ordering::SeqCst) > 0);
    lab.done("down --name t8 --yes");
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_out_is_renewed() {
    let Some(mut lab) = lab().await else { return };
    let access = lab.ask("access", json!({}));
    let target = access["endpoints"]["compute"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let bare = target.trim_end_matches("/v2.1").to_owned();
    let proxy = proxy::start(bare.clone(), Fault::Stale(1)).await;
    let file = lab.changed_cloud(json!({"verify": false}));
    let clouds = std::fs::read_to_string(&file).unwrap();
    let mut clouds: serde_json::Value = serde_json::from_str(&clouds).unwrap();
    clouds["clouds"]["changed"]["compute_endpoint_override"] = json!(format!("{}/v2.1", proxy.url));
    std::fs::write(&file, clouds.to_string()).unwrap();
    let list = |lab: &crate::lab::Lab| {
        let mut command = lab.command("list -f json");
        command
            .env("OS_CLIENT_CONFIG_FILE", &file)
            .env("OS_CLOUD", "changed")
            .output()
            .unwrap()
    };
    let output = list(&lab);
    assert_eq!(text(&output.stdout), "[]\n", "{output:?}");
    assert_eq!(proxy.spoiled.load(Ordering::SeqCst), 1);
    assert!(
        text(&output.stderr).contains("not to verify certificates"),
        "{output:?}"
    );

    // Where every token is refused it says so, and does not go on for ever.
    let proxy = proxy::start(bare, Fault::Stale(1000)).await;
    clouds["clouds"]["changed"]["compute_endpoint_override"] = json!(format!("{}/v2.1", proxy.url));
    std::fs::write(&file, clouds.to_string()).unwrap();
    let output = list(&lab);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("compute service answers GET /servers/detail with 401")
            && said.contains("(request req-"),
        "{said}"
    );
    assert_eq!(proxy.spoiled.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cloud_without_an_object_store() {
    let Some(mut lab) = lab().await else { return };
    let before = lab.snapshot();
    lab.ask(
        "region",
        json!({"name": "t9-storeless", "without": ["object-store"]}),
    );
    let here = "--name t9 --os-region-name t9-storeless";
    let said = lab.refused(2, &format!("up {here} {SMALL}"));
    assert!(said.contains("--artifact-sha256"), "{said}");
    let artifact = format!(
        "--artifact http://192.0.2.9/faafo --artifact-sha256 {}",
        "ab".repeat(32)
    );
    let said = lab.refused(2, &format!("up {here} {SMALL} {artifact}"));
    assert!(said.contains("--worker-token-file"), "{said}");
    assert_eq!(lab.snapshot(), before);

    let (user, worker) = (lab.home.path().join("user"), lab.home.path().join("worker"));
    let tokens = format!(
        "--token-file {} --worker-token-file {}",
        user.display(),
        worker.display()
    );
    lab.done(&format!("up {here} {SMALL} {artifact} {tokens}"));
    let up = lab.snapshot();
    let seed = lab.user_data(&up, "faafo-t9-farm");
    assert!(
        content(&seed, "/usr/local/sbin/faafo-install").contains("fetch 'http://192.0.2.9/faafo'")
    );
    assert_eq!(
        content(&seed, "/etc/faafo/user-token"),
        std::fs::read_to_string(&user).unwrap()
    );
    assert_eq!(names(&up, "containers"), names(&before, "containers"));
    lab.done(&format!("down {here} --yes"));
    assert_eq!(lab.snapshot(), before);
}
