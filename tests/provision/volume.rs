//! A farm whose data are on a volume, on a real Cinder: they outlive the nodes, and nobody else's do.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{PATIENCE, sha256, text};
use crate::lab::{BINARY, Lab, content, file, lab, loudly, names};
use crate::{SMALL, sound};

const MOUNT: &str = "/usr/local/sbin/faafo-volume";

/// The lab, if it has volumes.
async fn with_volumes() -> Option<Lab> {
    let mut lab = lab().await?;
    if lab.ask("has_volumes", json!({})) == true {
        return Some(lab);
    }
    loudly("NOT TESTED: data on a volume: this cloud has no block storage");
    None
}

#[tokio::test]
async fn data_outlive_their_nodes_on_a_volume() {
    let Some(mut lab) = with_volumes().await else {
        return;
    };
    lab.ask("volume", json!({"name": "faafo-t22-data-not"}));
    let before = lab.snapshot();
    let words = "--name t22 --volume-size 20 --image tiny --flavor m1.nano";
    let plan = lab.done(&format!("plan {words}"));
    for line in [
        "make      volume          faafo-t22-data                   20 GB, /var/lib/faafo of faafo-t22-farm",
        "enough     volumes               1 needed, 1 of ",
        "enough     GB of volumes         20 needed, 1 of ",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let plan = json_of(&lab, &format!("plan {words} -f json"));
    let volume = json!({"what": "volume", "name": "faafo-t22-data", "state": "make",
                        "about": "20 GB, /var/lib/faafo of faafo-t22-farm"});
    assert!(
        plan["resources"].as_array().unwrap().contains(&volume),
        "{plan}"
    );
    assert_eq!(lab.snapshot(), before, "a plan makes nothing");

    lab.done(&format!("up {words} --no-wait"));
    let up = lab.snapshot();
    let server = &up["servers"]["faafo-t22-farm"];
    let id = up["volumes"]["faafo-t22-data"]["id"].as_str().unwrap();
    let metadata = json!({"faafo-deployment": "t22", "faafo-topology": "all-in-one"});
    let used = json!({"id": id, "size": 20, "status": "in-use", "at": [server["id"]],
                      "description": "faafo deployment t22", "metadata": metadata});
    assert_eq!(up["volumes"]["faafo-t22-data"], used);
    let seed = lab.user_data(&up, "faafo-t22-farm");
    let mount = content(&seed, MOUNT);
    assert!(mount.contains(&format!("\"$by\"/*'{}'*", &id[..20])));
    assert_eq!(file(&seed, MOUNT).unwrap()["permissions"], "0700");
    let install = content(&seed, "/usr/local/sbin/faafo-install");
    assert!(install.contains(&format!("\n{MOUNT} || exit 1\n")));
    for script in [mount, install] {
        sound(script);
    }
    let status = json_of(&lab, "status --name t22 -f json");
    let shown = json!({"name": "faafo-t22-data", "id": id, "size": 20, "status": "in-use",
                       "node": "faafo-t22-farm"});
    assert_eq!(status["volume"], shown);
    let status = lab.done("status --name t22");
    let line = "the volume faafo-t22-data of 20 GB is in-use, at faafo-t22-farm\n";
    assert!(status.contains(line), "{status}");

    // As it is, whether or not somebody says so again; and no other size while it is in use.
    lab.done("up --name t22 --no-wait");
    lab.done(&format!("up {words} --no-wait"));
    refused(
        &lab,
        "up --name t22 --volume-size 30 --no-wait",
        "--keep-data",
    );
    refused(
        &lab,
        "up --name t22 --volume-size 10 --no-wait",
        "no volume becomes smaller",
    );
    refused(&lab, "up --name t22 --volume-size 0", "0 is not in 1..");
    assert_eq!(lab.snapshot(), up);

    let kept = lab.done("down --name t22 --keep-data --yes");
    let says = format!("the volume faafo-t22-data of 20 GB is kept ({id})");
    assert!(
        kept.contains("nothing left") && kept.contains(&says),
        "{kept}"
    );
    let mut expected = before.clone();
    expected["volumes"]["faafo-t22-data"] = json!({"id": id, "size": 20, "status": "available", "at": [],
               "description": "faafo deployment t22", "metadata": metadata});
    assert_eq!(lab.snapshot(), expected);
    let list = json_of(&lab, "list -f json");
    assert_eq!(list[0]["name"], "t22", "{list}");
    assert!(
        lab.done("down --name t22 --keep-data --yes")
            .contains("nothing else of t22")
    );
    assert_eq!(lab.snapshot(), expected);

    // It is taken again, larger, by a deployment that can use it.
    refused(
        &lab,
        &format!("up --name t22 --topology scaled-out {SMALL}"),
        "--topology all-in-one",
    );
    lab.ask(
        "volume_status",
        json!({"name": "faafo-t22-data", "status": "error"}),
    );
    let said = lab.refused(1, &format!("up --name t22 {SMALL}"));
    assert!(said.contains("openstack volume show"), "{said}");
    lab.ask(
        "volume_status",
        json!({"name": "faafo-t22-data", "status": "available"}),
    );
    lab.done(&format!("up --name t22 --volume-size 30 {SMALL}"));
    let again = lab.snapshot();
    let server = &again["servers"]["faafo-t22-farm"];
    let volume = &again["volumes"]["faafo-t22-data"];
    assert_eq!(
        [&volume["id"], &volume["size"], &volume["at"]],
        [&json!(id), &json!(30), &json!([server["id"]])]
    );
    assert!(server["user_data"].as_str().unwrap().contains(id));
    lab.done("down --name t22 --yes");
    assert_eq!(lab.snapshot(), before, "all but what only looks like ours");
    lab.ask("delete_volume", json!({"name": "faafo-t22-data-not"}));
}

fn refused(lab: &Lab, words: &str, why: &str) {
    let said = lab.refused(2, words);
    assert!(said.contains(why), "{words}: {said}");
}

fn json_of(lab: &Lab, words: &str) -> Value {
    serde_json::from_str(&lab.done(words)).unwrap()
}

/// With the database on it, and only on the node that has that.
#[tokio::test]
async fn the_database_of_scaled_out_is_on_the_volume() {
    let Some(mut lab) = with_volumes().await else {
        return;
    };
    let before = lab.snapshot();
    let words = format!("--name t23 --topology scaled-out --apis 1 --workers 1 {SMALL}");
    lab.done(&format!("up {words} --volume-size 5"));
    let up = lab.snapshot();
    let services = &up["servers"]["faafo-t23-services"];
    assert_eq!(
        up["volumes"]["faafo-t23-data"]["at"],
        json!([services["id"]])
    );
    let seed = lab.user_data(&up, "faafo-t23-services");
    assert!(content(&seed, MOUNT).contains(" /var/lib/mysql $kind "));
    let waits = "/etc/systemd/system/mariadb.service.d/volume.conf";
    assert_eq!(
        content(&seed, waits),
        "[Unit]\nRequiresMountsFor=/var/lib/mysql\n"
    );
    sound(content(&seed, "/usr/local/sbin/faafo-install"));
    for other in ["faafo-t23-api", "faafo-t23-worker-1"] {
        let seed = lab.user_data(&up, other);
        assert!(file(&seed, MOUNT).is_none(), "{other}");
    }
    lab.done("scale --name t23 --workers 2 --no-wait");
    assert_eq!(lab.snapshot()["volumes"], up["volumes"]);
    lab.done("down --name t23 --yes");
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test]
async fn killed_once_the_volume_is_there_it_goes_on_with_that() {
    let Some(mut lab) = with_volumes().await else {
        return;
    };
    let before = lab.snapshot();
    let words = format!("up --name t19 --topology split --workers 1 --volume-size 2 {SMALL}");
    let mut child = lab.command(&words).spawn().unwrap();
    let begun = Instant::now();
    let made = loop {
        let volumes = lab.ask("volumes", json!({}));
        if let Some(volume) = volumes.get("faafo-t19-data") {
            break volume["id"].clone();
        }
        assert!(begun.elapsed() < 4 * PATIENCE, "{volumes}");
        std::thread::sleep(Duration::from_millis(100));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    lab.done(&words);
    let up = lab.snapshot();
    assert_eq!(
        names(&up, "volumes").len(),
        names(&before, "volumes").len() + 1
    );
    let volume = &up["volumes"]["faafo-t19-data"];
    assert_eq!(volume["id"], made, "it is used, and not doubled");
    assert_eq!(volume["at"], json!([up["servers"]["faafo-t19-api"]["id"]]));
    lab.done("down --name t19 --yes");
    assert_eq!(lab.snapshot(), before);

    // Where there is none, it cannot be kept, nor can one be given to nodes that are there.
    lab.done(&format!("up --name t19 {SMALL}"));
    let up = lab.snapshot();
    let said = lab.refused(2, "down --name t19 --keep-data --yes");
    assert!(said.contains("has no volume"), "{said}");
    let said = lab.refused(2, &format!("up --name t19 --volume-size 2 {SMALL}"));
    assert!(said.contains("on its own disk"), "{said}");
    assert_eq!(lab.snapshot(), up);
    lab.done("down --name t19 --yes");
    assert_eq!(lab.snapshot(), before);
}

#[tokio::test]
async fn no_room_for_a_volume_and_no_volumes_at_all() {
    let Some(mut lab) = with_volumes().await else {
        return;
    };
    let before = lab.snapshot();
    let words = format!("up --name t20 --volume-size 20 {SMALL}");
    lab.ask("volume_quota", json!({"volumes": 0, "gigabytes": 10}));
    let said = lab.refused(1, &words);
    lab.ask("volume_quota", json!({"volumes": 10, "gigabytes": 1000}));
    for part in [
        "1 volumes needed, but 0 of 0 are used",
        "20 GB of volumes needed, but 0 of 10 are used. Nothing was made",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(lab.snapshot(), before);

    lab.ask(
        "region",
        json!({"name": "t20-volumeless", "without": ["volumev3", "block-storage"]}),
    );
    let here = "--os-region-name t20-volumeless";
    let said = lab.refused(2, &format!("{words} {here}"));
    assert!(said.contains("has no block storage"), "{said}");
    assert_eq!(lab.snapshot(), before);
    lab.done(&format!("up --name t20 {here} {SMALL}"));
    assert!(
        lab.refused(2, &format!("down --name t20 {here} --keep-data --yes"))
            .contains("has no volume")
    );
    lab.done(&format!("down --name t20 {here} --yes"));
    assert_eq!(lab.snapshot(), before);
}

/// On machines that have disks, and a real Linux that finds them: a volume gets a file system and keeps
/// it over reboots, larger ones and other nodes; and what somebody else has on it stays as it is.
#[tokio::test]
async fn a_node_with_a_volume_boots_and_its_successor_has_the_data() {
    let Some(mut lab) = with_volumes().await else {
        return;
    };
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(tree), Some(udev)) = (named("FAAFO_TEST_TREE"), named("FAAFO_TEST_UDEV")) else {
        loudly(
            "NOT TESTED: whether a node with a volume boots: no FAAFO_TEST_TREE or FAAFO_TEST_UDEV",
        );
        return;
    };
    if !cfg!(target_arch = "x86_64") {
        loudly(
            "NOT TESTED: whether a node with a volume boots: Linux runs as a program on x86-64 only",
        );
        return;
    }
    let hash = sha256(&std::fs::read(&*BINARY).unwrap());
    let artifact = format!("--artifact http://127.0.0.1:8099/faafo --artifact-sha256 {hash}");
    lab.done(&format!(
        "up --name t21 --volume-size 1 --set workers=1 {artifact} {SMALL}"
    ));
    let up = lab.snapshot();
    lab.done("down --name t21 --yes");
    let seed = lab.home.path().join("user-data");
    let user_data = up["servers"]["faafo-t21-farm"]["user_data"].as_str();
    std::fs::write(&seed, user_data.unwrap()).unwrap();
    let mount = lab.home.path().join("mount");
    let parsed = lab.user_data(&up, "faafo-t21-farm");
    std::fs::write(&mount, content(&parsed, MOUNT)).unwrap();
    let boot = Command::new("timeout")
        .args(["--kill-after", "30", "3000"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/provision/boot-volume"
        ))
        .args([&tree, &udev])
        .args([&*BINARY, &seed, &mount])
        .arg(up["volumes"]["faafo-t21-data"]["id"].as_str().unwrap())
        .output()
        .unwrap();
    assert!(
        boot.status.success(),
        "{}{}",
        text(&boot.stdout),
        text(&boot.stderr)
    );
}
