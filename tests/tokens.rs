//! Tokens: who may write and who may deliver, how tokens come about, and where they never show.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{FAAFO, Farm, but, command, small, text, uuid};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

const GIVEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// A file that only its owner can read.
fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn faafo(args: &[&str]) -> Output {
    Command::new(FAAFO).args(args).output().unwrap()
}

/// What a command printed that succeeded.
fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line of a command that failed.
fn error(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn accepts(farm: &Farm, token: &str) -> bool {
    let post = farm.post("/v1/fractal").json(&small()).bearer_auth(token);
    match status(post).await {
        201 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// A fractal that waits.
async fn queued(farm: &Farm) -> String {
    let post = farm.post("/v1/fractal").json(&small());
    let response = post.bearer_auth(farm.token("user")).send().await.unwrap();
    let fractal: Value = response.json().await.unwrap();
    fractal["uuid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_write_takes_its_own_token_and_no_other() {
    let farm = Farm::beyond(&["api"]);
    let (user, worker) = (farm.token("user"), farm.token("worker"));
    let one = format!("/v1/fractal/{}", queued(&farm).await);
    let retry = format!("{one}/retry");
    // What is at each route, whose token it takes, and what it answers with that.
    let routes = [
        ("PUT", one.as_str(), &worker, 200),
        ("POST", "/v1/fractal", &user, 201),
        ("POST", &retry, &user, 409),
        ("POST", "/no/such/place", &user, 404),
        ("DELETE", &one, &user, 204),
    ];
    for (method, path, right, answer) in routes {
        let request = || {
            let body = if method == "PUT" { json!({}) } else { small() };
            farm.request(method, path).json(&body)
        };
        let (other, command) = match right == &user {
            true => (&worker, "`faafo token`"),
            false => (&user, "`faafo token --worker`"),
        };
        for (request, refused) in [
            (request(), 401),
            (request().bearer_auth("wrong"), 401),
            (request().bearer_auth(&right[..right.len() - 1]), 401),
            (request().bearer_auth(format!("{right}x")), 401),
            (request().header("Authorization", "Bearer"), 401),
            (request().header("Authorization", right.as_str()), 401),
            (request().basic_auth(right, Some("")), 401),
            (request().query(&[("token", right)]), 401),
            (request().bearer_auth(other), 403),
            (request().basic_auth("me", Some(other)), 403),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), refused, "{method} {path}");
            let challenge = response.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer realm="), "{challenge}");
            let error: Value = response.json().await.unwrap();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(command), "{message}");
        }
        let right = request().bearer_auth(right);
        assert_eq!(status(right).await, answer, "{method} {path}");
    }
    // Of all these, one was created beside the first, and that has been deleted.
    assert_eq!(farm.counts().await["queued"], 1);
}

#[tokio::test]
async fn reading_is_free() {
    let farm = Farm::beyond(&["all"]);
    let id = queued(&farm).await;
    farm.until(&id, "done").await;
    let one = format!("/v1/fractal/{id}");
    let (image, view) = (format!("/fractal/{id}"), format!("/view/{id}"));
    for path in [
        "/",
        "/index/1",
        "/static/app.js",
        "/livez",
        "/readyz",
        "/v1/openapi.json",
        "/v1/fractal",
        "/v1/events",
        &one,
        &image,
        &view,
    ] {
        assert_eq!(status(farm.get(path)).await, 200, "{path}");
        assert_eq!(status(farm.get(path).bearer_auth("wrong")).await, 200);
    }
    assert_eq!(status(farm.request("OPTIONS", "/v1/fractal")).await, 200);
}

#[tokio::test]
async fn on_loopback_nothing_is_asked_and_nothing_made() {
    let farm = Farm::api();
    assert_eq!(farm.create(&small()).await.status(), 201);
    let wrong = farm.post("/v1/fractal").json(&small()).bearer_auth("wrong");
    assert_eq!(status(wrong).await, 201);
    assert!(!farm.data.join("tokens").exists());
}

#[tokio::test]
async fn programs_of_the_original_send_the_token_as_password() {
    let farm = Farm::beyond(&["api"]);
    let id = queued(&farm).await;
    // What python-requests makes of `endpoint_url = http://worker:TOKEN@host:port`.
    let put = farm.put(&format!("/v1/fractal/{id}")).json(&json!({}));
    let put = put.basic_auth("worker", Some(farm.token("worker")));
    assert_eq!(status(put).await, 200);
    let post = farm.post("/v1/fractal").json(&small());
    let post = post.basic_auth("anyone", Some(farm.token("user")));
    assert_eq!(status(post).await, 201);
}

#[tokio::test]
async fn who_sends_much_for_nothing_still_hears_why() {
    let farm = Farm::beyond(&["api"]);
    for _ in 0..5 {
        let put = farm.put(&format!("/v1/fractal/{}", uuid()));
        let put = put.header("Content-Type", "image/png");
        assert_eq!(status(put.body(vec![0; 900_000])).await, 401);
    }
}

#[tokio::test]
async fn tokens_are_made_once_and_for_their_owner_alone() {
    let folder = TempDir::new().unwrap();
    let args = ["api", "--listen-address", "0.0.0.0"];
    let farm = Farm::on(folder.path(), &args);
    let tokens = [farm.token("user"), farm.token("worker")];
    assert!(tokens[0].starts_with("faafo_u_"));
    assert!(tokens[1].starts_with("faafo_w_"));
    assert!(tokens.iter().all(|token| token.len() > 8 + 42));
    let mode = |path: &str| {
        let found = std::fs::metadata(folder.path().join(path)).unwrap();
        found.mode() & 0o7777
    };
    assert_eq!(mode("tokens"), 0o700);
    assert_eq!(mode("tokens/user"), 0o600);
    assert_eq!(mode("tokens/worker"), 0o600);
    farm.until_logged("made a worker token").await;
    drop(farm);
    let farm = Farm::on(folder.path(), &args);
    assert_eq!(tokens, [farm.token("user"), farm.token("worker")]);
    assert!(accepts(&farm, &tokens[0]).await);
    let log = serde_json::to_string(&farm.log()).unwrap();
    assert!(!log.contains("made a"), "{log}");
    assert_eq!(
        std::fs::read_dir(folder.path().join("tokens"))
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn new_tokens_are_shown_once_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    let start = || {
        // A terminal of its own.
        let farm = format!(
            "exec {FAAFO} api --listen-address 0.0.0.0 --bind-port 0 --data-dir {}",
            folder.path().display()
        );
        let mut script = Command::new("script");
        script.args(["-qfc", &farm, "/dev/null"]);
        let mut child = script
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            said.push_str(&line);
            // The last that is said of the start, with new tokens and without.
            if line.contains("faafo_w_") || (line.contains("unencrypted") && known(folder.path())) {
                break;
            }
        }
        // The terminal's end is the farm's.
        child.kill().unwrap();
        child.wait().unwrap();
        said
    };
    let shown = start();
    for kind in ["user", "worker"] {
        let token = std::fs::read_to_string(folder.path().join("tokens").join(kind)).unwrap();
        assert!(shown.contains(token.trim_end()), "{shown}");
    }
    assert!(shown.contains("`faafo token`"), "{shown}");
    std::fs::write(folder.path().join("known"), "").unwrap();
    assert!(!start().contains("faafo_"), "shown twice");
}

fn known(folder: &Path) -> bool {
    folder.join("known").exists()
}

#[tokio::test]
async fn a_token_that_is_given_holds_on_loopback_too() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    private(&file, &format!("{GIVEN}\n"));
    let data = folder.path().join("data");
    let farm = Farm::on(&data, &["api", "--token-file", file.to_str().unwrap()]);
    assert_eq!(farm.create(&small()).await.status(), 401);
    assert!(accepts(&farm, GIVEN).await);
    // The other one is made.
    let put = farm
        .put(&format!("/v1/fractal/{}", uuid()))
        .json(&json!({}));
    assert_eq!(status(put.bearer_auth(farm.token("worker"))).await, 404);
    assert!(!data.join("tokens/user").exists());
    drop(farm);

    let mut by_environment = command(&data, &["api"]);
    by_environment.env("FAAFO_WORKER_TOKEN_FILE", &file);
    let farm = Farm::run(by_environment, &data);
    assert_eq!(farm.create(&small()).await.status(), 401);
    assert!(accepts(&farm, &farm.token("user")).await);
    drop(farm);

    let settings = folder.path().join("faafo.toml");
    std::fs::write(&settings, format!("token_file = {file:?}")).unwrap();
    let farm = Farm::on(&data, &["api", "--config-file", settings.to_str().unwrap()]);
    assert!(accepts(&farm, GIVEN).await);
}

#[tokio::test]
async fn systemd_hands_tokens_over_as_credentials() {
    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let give = |name: &str, token: &str| {
        let file = credentials.join(name);
        std::fs::write(&file, token).unwrap();
        // As it looks where an access list lets the service in.
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o440)).unwrap();
        file
    };
    give("user-token", GIVEN);
    let elsewhere = give("workers", OTHER);
    let named = ["api", "--worker-token-file", elsewhere.to_str().unwrap()];
    let mut command = command(folder.path(), &named);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let farm = Farm::run(command, folder.path());
    assert!(accepts(&farm, GIVEN).await);
    let put = farm
        .put(&format!("/v1/fractal/{}", uuid()))
        .json(&json!({}));
    assert_eq!(status(put.bearer_auth(OTHER)).await, 404);
    assert!(!folder.path().join("tokens").exists());
}

#[tokio::test]
async fn systemd_hands_over_the_databases_url_too() {
    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let file = folder.path().join("elsewhere/other.db");
    let url = format!("sqlite:///{}\n", file.display());
    std::fs::write(credentials.join("database-url"), url).unwrap();
    let data = folder.path().join("data");
    let mut api = Command::new(FAAFO);
    api.args([
        "api",
        "--bind-port",
        "0",
        "--log-format",
        "json",
        "--data-dir",
    ]);
    api.arg(&data).env("CREDENTIALS_DIRECTORY", &credentials);
    api.stdin(Stdio::null());
    let farm = Farm::run(api, &data);
    farm.created().await;
    assert!(file.exists());
    assert!(!data.join("faafo.db").exists());
    drop(farm);
    // One that makes no sense is told, without what it says.
    std::fs::write(credentials.join("transport-url"), "http://hush-hush").unwrap();
    let mut api = Command::new(FAAFO);
    api.args(["api", "--bind-port", "0", "--data-dir"])
        .arg(&data);
    let refused = api
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .output()
        .unwrap();
    let why = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("transport_url must begin with amqp"), "{why}");
    assert!(!why.contains("hush"), "{why}");
}

#[test]
fn a_token_file_that_is_no_good_is_told() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    private(folder.path().join("good").as_path(), GIVEN);
    let start = |user: &str, worker: &str| {
        error(&faafo(&[
            "api",
            "--bind-port",
            "0",
            "--data-dir",
            &path("data"),
            "--token-file",
            user,
            "--worker-token-file",
            worker,
        ]))
    };
    let bad = path("bad");
    for (contents, mode, why) in [
        ("", 0o600, "is empty"),
        ("\n", 0o600, "is empty"),
        ("changeme", 0o600, "only 8 characters"),
        ("two words two words two words", 0o600, "several words"),
        ("a-token-and-a-line\nof-another", 0o600, "several words"),
        ("ein-schlüssel-aus-der-küche", 0o600, "a character that"),
        (GIVEN, 0o644, "chmod 600"),
        (GIVEN, 0o640, "(mode 640)"),
        (
            "faafo_w_0123456789abcdef0123456789abcdef",
            0o600,
            "where the user token belongs",
        ),
    ] {
        private(Path::new(&bad), contents);
        std::fs::set_permissions(&bad, PermissionsExt::from_mode(mode)).unwrap();
        let said = start(&bad, &path("good"));
        assert!(said.contains(why) && said.contains(&bad), "{said}");
        assert!(contents.trim().is_empty() || !said.contains(contents.trim()));
    }
    let said = start(&path("none"), &path("good"));
    assert!(said.contains("cannot read the token file"), "{said}");
    let said = start(&path("good"), &path("good"));
    assert!(said.contains("is the worker token, too"), "{said}");
}

#[tokio::test]
async fn a_new_token_is_good_at_once_and_the_old_one_no_longer() {
    let farm = Farm::beyond(&["api"]);
    let data = farm.data.to_str().unwrap();
    let (user, worker) = (farm.token("user"), farm.token("worker"));
    assert_eq!(
        out(&faafo(&["token", "--data-dir", data])),
        format!("{user}\n")
    );
    let printed = out(&faafo(&["token", "--worker", "--data-dir", data]));
    assert_eq!(printed, format!("{worker}\n"));
    let mut old = user;
    for _ in 0..5 {
        let new = out(&faafo(&["token", "--rotate", "--data-dir", data]));
        let new = new.trim_end();
        assert!(!accepts(&farm, &old).await);
        assert!(accepts(&farm, new).await);
        new.clone_into(&mut old);
    }
    // The other kind has stayed as it was.
    assert_eq!(farm.token("worker"), worker);
    let new = out(&faafo(&[
        "token",
        "--rotate",
        "--worker",
        "--data-dir",
        data,
    ]));
    assert_eq!(new.trim_end(), farm.token("worker"));
    let file = farm.data.join("tokens/user");
    assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_token_file_that_goes_bad_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    private(&file, GIVEN);
    let named = file.to_str().unwrap();
    let farm = Farm::on(folder.path(), &["api", "--token-file", named]);
    assert!(accepts(&farm, GIVEN).await);
    std::fs::write(&file, "").unwrap();
    for _ in 0..3 {
        assert!(!accepts(&farm, "").await);
        assert!(accepts(&farm, GIVEN).await);
    }
    std::fs::remove_file(&file).unwrap();
    assert!(accepts(&farm, GIVEN).await);
    private(&file, OTHER);
    assert!(accepts(&farm, OTHER).await);
    assert!(!accepts(&farm, GIVEN).await);
    let log = farm.log();
    let told = |about: &str| {
        let line = |line: &&Value| line["message"].as_str().unwrap().contains(about);
        log.iter().filter(line).count()
    };
    assert_eq!(told("is empty"), 1, "{log:#?}");
    assert_eq!(told("cannot read the token file"), 1, "{log:#?}");

    // What someone else keeps is not overwritten.
    let rotate = [
        "token",
        "--rotate",
        "--token-file",
        named,
        "--data-dir",
        "x",
    ];
    assert!(error(&faafo(&rotate)).contains("put another there"));
    let print = ["token", "--token-file", named, "--data-dir", "x"];
    assert_eq!(out(&faafo(&print)), format!("{OTHER}\n"));
}

#[test]
fn there_may_be_no_token_so_far() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let said = error(&faafo(&["token", "--data-dir", data]));
    assert!(said.contains("faafo token --rotate"), "{said}");
    assert!(!Path::new(data).exists());
    let made = out(&faafo(&["token", "--rotate", "--data-dir", data]));
    assert_eq!(out(&faafo(&["token", "--data-dir", data])), made);
}

#[test]
fn root_rotates_for_the_one_who_serves() {
    let folder = TempDir::new().unwrap();
    if std::fs::metadata(folder.path()).unwrap().uid() != 0 {
        return; // Others cannot give files away.
    }
    std::os::unix::fs::chown(folder.path(), Some(4242), Some(4243)).unwrap();
    let data = folder.path().to_str().unwrap();
    out(&faafo(&["token", "--rotate", "--data-dir", data]));
    for path in ["tokens", "tokens/user"] {
        let found = std::fs::metadata(folder.path().join(path)).unwrap();
        assert_eq!((found.uid(), found.gid()), (4242, 4243), "{path}");
    }
}

#[tokio::test]
async fn secrets_show_nowhere() {
    let farm = Farm::beyond(&["all", "--log-level", "debug"]);
    let secrets = [farm.token("user"), farm.token("worker")];
    let file = farm.data.join("tokens/user");
    let create = ["create", "--tasks", "3", "--width", "8", "--height", "8"];
    let create = Command::new(FAAFO)
        .args(create)
        .args(["--wait", "--endpoint-url", &farm.base, "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    let mut said = out(&create) + &text(&create.stderr);
    for wrong in &secrets {
        // Of the wrong kind, as password, and not quite right.
        let one = format!("/v1/fractal/{}", uuid());
        assert_ne!(status(farm.put(&one).bearer_auth(wrong)).await, 200);
        assert_ne!(status(farm.delete(&one).bearer_auth(wrong)).await, 200);
        let basic = farm.delete(&one).basic_auth("me", Some(wrong));
        assert_ne!(status(basic).await, 200);
        let close = farm.delete(&one).bearer_auth(format!("{wrong}x"));
        assert_eq!(status(close).await, 401);
    }
    for command in ["all", "api", "token", "create", "delete", "retry"] {
        let help = Command::new(FAAFO)
            .args([command, "--help"])
            .env("FAAFO_TOKEN_FILE", &file)
            .env("FAAFO_DATA_DIR", &farm.data)
            .output();
        said += &out(&help.unwrap());
    }
    let process = Path::new("/proc").join(farm.child.id().to_string());
    for file in ["cmdline", "environ"] {
        said += &String::from_utf8_lossy(&std::fs::read(process.join(file)).unwrap());
    }
    farm.until_logged("refused").await;
    said += &serde_json::to_string(&farm.log()).unwrap();
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "{said}");
        // Nor the better part of it.
        assert!(!said.contains(&secret[8..30]), "{said}");
    }
}

#[tokio::test]
async fn the_log_tells_of_a_stranger_once() {
    let farm = Farm::beyond(&["api"]);
    for n in 0..20 {
        assert!(!accepts(&farm, &format!("guess-{n}")).await);
    }
    farm.until_logged("refused").await;
    let log = farm.log();
    let told = log.iter().filter(|line| {
        // But for the time, in which there may be any number.
        let line = but((*line).clone(), json!({"timestamp": null})).to_string();
        line.contains("refused") || line.contains("401") || line.contains("guess")
    });
    assert_eq!(told.count(), 1, "{log:#?}");
}

#[tokio::test]
async fn the_client_is_told_what_to_do_and_does_it() {
    let farm = Farm::beyond(&["api"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    let run = |args: &[&str], token: Option<&Path>| {
        let mut command = Command::new(FAAFO);
        command.args(args).env("FAAFO_ENDPOINT_URL", &farm.base);
        // Not whatever the machine that runs the tests has.
        command.env("FAAFO_DATA_DIR", folder.path());
        if let Some(token) = token {
            command.env("FAAFO_TOKEN_FILE", token);
        }
        command.output().unwrap()
    };
    let create = ["create", "--tasks", "3", "--width", "8", "--height", "8"];
    let said = error(&run(&create, None));
    assert!(said.contains("--token-file"), "{said}");
    assert!(said.contains("`faafo token`"), "{said}");
    let said = error(&run(&["delete", &uuid(), &uuid()], None));
    assert!(said.contains("asks for a token"), "{said}");

    private(&file, "a-token-of-another-farm");
    let said = error(&run(&create, Some(&file)));
    assert!(said.contains("does not take the token in"), "{said}");
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    private(&file, &farm.token("worker"));
    let said = error(&run(&create, Some(&file)));
    assert!(said.contains("a worker token only delivers"), "{said}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(error(&run(&create, Some(&file))).contains("chmod 600"));
    // Who only looks needs none, and is not bothered with it.
    assert_eq!(out(&run(&["list", "-f", "value"], Some(&file))), "");

    private(&file, &farm.token("user"));
    let ids = out(&run(&create, Some(&file)));
    assert_eq!(ids.lines().count(), 3);
    let named = ["--token-file", file.to_str().unwrap()];
    let delete = ["delete", ids.lines().next().unwrap()];
    out(&run(&[&delete[..], &named].concat(), None));
    let mut child = Command::new(FAAFO)
        .args(["create", "--tasks", "1", "--token-file", "-"])
        .args(["--endpoint-url", &farm.base])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", farm.token("user")).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(farm.counts().await["queued"], 3);
}

#[tokio::test]
async fn on_the_farms_machine_the_client_finds_the_token() {
    let farm = Farm::beyond(&["api"]);
    let create = |host: &str| {
        let mut command = Command::new(FAAFO);
        command
            .args(["create", "--tasks", "1", "--endpoint-url"])
            .arg(format!("http://{host}:{}", farm.port()))
            .env("FAAFO_DATA_DIR", &farm.data);
        command.output().unwrap()
    };
    out(&create("127.0.0.1"));
    out(&create("localhost"));
    // What leads elsewhere, for all the client knows, does not get it.
    assert!(error(&create("0.0.0.0")).contains("asks for a token"));
}

#[tokio::test]
async fn a_server_with_tokens_may_have_any_name_but_no_pages_of_others() {
    let farm = Farm::beyond(&["api"]);
    let post = |host: &str, origin: &str| {
        let post = farm.post("/v1/fractal").bearer_auth(farm.token("user"));
        post.json(&small())
            .header("Host", host)
            .header("Origin", origin)
    };
    for (host, origin, answer) in [
        ("farm.example:8080", "http://farm.example:8080", 201),
        // Behind a proxy that speaks HTTPS.
        ("farm.example", "https://farm.example", 201),
        ("farm.example", "https://farm.example.evil.example", 403),
        ("farm.example", "https://evil.example", 403),
        ("farm.example", "null", 403),
    ] {
        assert_eq!(status(post(host, origin)).await, answer, "{origin}");
    }
    // Only a proxy that is said to be there is believed.
    let forwarded = post("127.0.0.1", "https://farm.example");
    let forwarded = forwarded.header("X-Forwarded-Host", "farm.example");
    assert_eq!(status(forwarded).await, 403);
}

#[tokio::test]
async fn behind_a_proxy_loopback_is_as_open_as_the_proxy() {
    let farm = Farm::with(&["api", "--behind-proxy"]);
    let post = || {
        let post = farm.post("/v1/fractal").json(&small());
        post.header("X-Forwarded-Host", "farm.example")
            .header("X-Forwarded-Proto", "https")
            .header("Origin", "https://farm.example")
    };
    assert_eq!(status(post()).await, 401);
    let response = post().bearer_auth(farm.token("user")).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap();
    assert!(
        location.starts_with("https://farm.example/v1/"),
        "{location}"
    );
    // Nobody is warned of what the proxy takes care of.
    let log = serde_json::to_string(&farm.log()).unwrap();
    assert!(!log.contains("unencrypted"), "{log}");
}
