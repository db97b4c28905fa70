//! Importing the fractals of another farm. What stands for the old one is this program itself, which
//! speaks the original's HTTP.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{FAAFO, Farm, PATIENCE, but, sha256, small, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const DONE: u64 = 130;

/// A farm with pictures on two pages, and three that wait.
async fn old(folder: &Path) -> Farm {
    let mut farm = Farm::on(folder, &["all", "--workers", "2"]);
    for n in 0..DONE {
        let palette = ["classic", "magma"][n as usize % 2];
        let new = but(small(), json!({"palette": palette, "width": 16 + n % 7}));
        assert_eq!(farm.create(&new).await.status(), 201);
    }
    until_done(&farm, DONE).await;
    assert!(farm.stop().success());
    let farm = Farm::on(folder, &["api"]);
    for _ in 0..3 {
        farm.created().await;
    }
    farm
}

async fn until_done(farm: &Farm, count: u64) {
    let done = async {
        while farm.counts().await["done"].as_u64().unwrap() < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap();
}

fn import(from: &str, to: &Farm) -> Command {
    let mut command = Command::new(FAAFO);
    command.args(["import", from, "--endpoint-url", &to.base]);
    let token: PathBuf = to.data.join("tokens/user");
    if token.exists() {
        command.arg("--token-file").arg(token);
    }
    command.env("FAAFO_DATA_DIR", "/nonexistent");
    command
}

fn run(from: &str, to: &Farm) -> Output {
    import(from, to).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn all(farm: &Farm) -> Vec<Value> {
    let mut all = Vec::new();
    for page in ["1", "2"] {
        let list = farm
            .list(&[("page", page), ("results_per_page", "100")])
            .await;
        all.extend(list["objects"].as_array().unwrap().clone());
    }
    all
}

#[tokio::test]
async fn every_fractal_comes_over_once_and_with_its_very_image() {
    let folder = TempDir::new().unwrap();
    let old = old(folder.path()).await;
    let new = Farm::beyond(&["all", "--workers", "1"]);
    // Killed in the middle, it goes on where it was.
    let mut first = import(&old.base, &new);
    let mut first = first
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_done(&new, 5).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let told = said(&run(&old.base, &new));
    let numbers: Vec<u64> = told
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers.iter().sum::<u64>(), DONE + 3, "{told}");
    assert_eq!(numbers[3], 0, "{told}");
    until_done(&new, DONE + 3).await;

    for was in all(&old).await {
        let uuid = was["uuid"].as_str().unwrap();
        let is = new.show(uuid).await;
        let rendered_there = was["status"] == "done";
        for field in [
            "width",
            "height",
            "iterations",
            "xa",
            "xb",
            "ya",
            "yb",
            "c_re",
            "c_im",
            "palette",
        ] {
            assert_eq!(is[field], was[field], "{uuid} {field}");
        }
        if rendered_there {
            for field in ["checksum", "size", "duration", "generated_by", "status"] {
                assert_eq!(is[field], was[field], "{uuid} {field}");
            }
            // It is no render of this farm's.
            assert_eq!(is["attempts"], 0);
        }
        let image = new.get(&format!("/fractal/{uuid}")).send().await.unwrap();
        assert_eq!(
            is["checksum"],
            sha256(&image.bytes().await.unwrap()).as_str()
        );
    }
    assert_eq!(new.counts().await["done"], DONE + 3);
    let again = said(&run(&old.base, &new));
    let there = DONE + 3;
    assert_eq!(
        again,
        format!("0 imported, 0 to be rendered here, {there} there already, 0 left out\n")
    );
    // And all of it is on disk.
    let data = new.data.clone();
    let mut new = new;
    new.kill();
    let new = Farm::on(&data, &["api"]);
    assert_eq!(new.counts().await["done"], DONE + 3);
}

#[tokio::test]
async fn what_the_farm_refuses_is_left_out_and_told() {
    let old = Farm::all();
    let wide = but(small(), json!({"width": 200}));
    let wide: Value = old.create(&wide).await.json().await.unwrap();
    old.created().await;
    until_done(&old, 2).await;
    let new = Farm::with(&["api", "--max-side", "100"]);
    let output = run(&old.base, &new);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "1 imported, 0 to be rendered here, 0 there already, 1 left out\n"
    );
    let why = text(&output.stderr);
    assert!(why.contains(wide["uuid"].as_str().unwrap()), "{why}");
    assert!(why.contains("width is 200"), "{why}");
}

#[tokio::test]
async fn an_import_that_cannot_begin_says_why() {
    let farm = Farm::beyond(&["all"]);
    farm.post("/v1/fractal")
        .json(&small())
        .bearer_auth(farm.token("user"))
        .send()
        .await
        .unwrap();
    until_done(&farm, 1).await;
    let new = Farm::beyond(&["api"]);
    let mut command = Command::new(FAAFO);
    command.args(["import", &farm.base, "--endpoint-url", &new.base]);
    let output = command
        .env("FAAFO_DATA_DIR", "/nonexistent")
        .output()
        .unwrap();
    let why = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("asks for a token"), "{why}");
    let output = run(&format!("{}/static", farm.base), &new);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let output = run("ftp://old", &new);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
