//! The command line: what it prints, where, and how it exits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

mod common;

use std::process::{Command, Output, Stdio};

use common::worker::{Worker, create};
use common::{FAAFO, Farm, but, slow, small, text, uuid};
use faafo::fractal::Palette;
use serde_json::{Value, json};
use tempfile::TempDir;

fn faafo(args: &[&str]) -> Output {
    Command::new(FAAFO).args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line on standard error of a command that failed with this exit code.
fn error(output: &Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(text(&output.stdout), "");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

#[test]
fn alone_it_prints_help_that_leads_with_examples() {
    let help = out(&faafo(&[]));
    let examples = help.find("faafo all --demo").unwrap();
    assert!(examples < help.find("Usage:").unwrap());
    assert!(examples < help.find("Commands:").unwrap());
    assert_eq!(help, out(&faafo(&["--help"])));
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = out(&faafo(&["--help"]));
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[test]
fn every_command_has_help_a_manual_page_and_completions() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    let folder = TempDir::new().unwrap();
    let pages = folder.path().to_str().unwrap();
    assert_eq!(out(&faafo(&["manual", pages])), "");
    let shells = ["bash", "zsh", "fish"].map(|shell| out(&faafo(&["completions", shell])));
    for command in &commands {
        let help = out(&faafo(&[command, "--help"]));
        assert!(help.contains("Usage:"), "{command}");
        let page = folder.path().join(format!("faafo-{command}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("SYNOPSIS"), "{page}");
        for script in &shells {
            let mut words = script.split(|c: char| !c.is_alphanumeric());
            assert!(words.any(|word| word == command), "{command}");
        }
    }
}

#[test]
fn bad_usage_is_exit_code_2() {
    for args in [
        &["nonsense"][..],
        &["create", "--width", "x"],
        &["create", "--xa", "inf"],
        &["create", "--c-re", "1"],
        &["create", "--palette", "rainbow"],
        &["render", "-o", "/dev/null", "--palette", "Magma"],
        &["show", "no-uuid"],
        &["list", "--format", "xml"],
        &["list", "--endpoint-url", "ftp://x"],
        &["delete"],
        &["all", "--workers", "0"],
        &["all", "--tls-cert", "/no/such/file"],
        &["all", "--config-file", "/no/such/file"],
        &["render", "-o", "/dev/null", "--width", "0"],
        &[
            "render",
            "-o",
            "/dev/null",
            "--min-width",
            "9",
            "--max-width",
            "5",
        ],
    ] {
        let output = faafo(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(!said.is_empty() && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn palettes_are_named_in_the_help_and_in_the_complaint() {
    for said in [
        out(&faafo(&["create", "--help"])),
        out(&faafo(&["render", "--help"])),
        text(&faafo(&["create", "--palette", "rainbow"]).stderr),
    ] {
        for palette in Palette::ALL {
            assert!(said.contains(palette.as_str()), "{palette}: {said}");
        }
    }
}

#[test]
fn without_a_farm_it_says_how_to_start_one() {
    let nowhere = ["list", "--endpoint-url", "http://127.0.0.1:1"];
    let said = error(&faafo(&nowhere), 1);
    assert!(
        said.contains("cannot reach a farm at http://127.0.0.1:1"),
        "{said}"
    );
    assert!(said.contains("faafo all"), "{said}");
}

#[test]
fn a_busy_port_is_told_with_a_way_out() {
    let farm = Farm::api();
    let folder = tempfile::TempDir::new().unwrap();
    let port = farm.port().to_string();
    let folder = folder.path().to_str().unwrap();
    let said = error(
        &faafo(&["api", "--bind-port", &port, "--data-dir", folder]),
        1,
    );
    assert!(said.contains("choose one with --bind-port"), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_used_is_told() {
    let said = error(
        &faafo(&["api", "--bind-port", "0", "--data-dir", "/proc/x"]),
        1,
    );
    assert!(said.contains("/proc/x"), "{said}");
}

#[test]
fn settings_come_from_environment_and_file_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("faafo.toml");
    std::fs::write(&file, "max_side = 10\nmax_iterations = 5\n").unwrap();
    let mut command = common::command(folder.path(), &["api", "--max-iterations", "100"]);
    command.env("FAAFO_CONFIG_FILE", &file);
    let farm = Farm::run(command, folder.path());
    let create = |width: &str| {
        farm.cli(&[
            "create",
            "--tasks",
            "1",
            "--height",
            "9",
            "--iterations",
            "50",
            "--width",
            width,
        ])
    };
    assert!(create("10").status.success());
    let said = error(&create("11"), 2);
    assert!(
        said.contains("width is 11, but must be a whole number from 1 to 10"),
        "{said}"
    );
    std::fs::write(&file, "no_such_key = 1").unwrap();
    let config = file.to_str().unwrap();
    let said = text(&faafo(&["api", "--config-file", config]).stderr);
    assert!(said.contains("no_such_key"), "{said}");
}

#[tokio::test]
async fn on_a_hang_up_a_server_reads_its_settings_again() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("faafo.toml");
    std::fs::write(&file, "").unwrap();
    let farm = Farm::on(
        folder.path(),
        &["api", "--config-file", file.to_str().unwrap()],
    );
    let wide = but(small(), json!({"width": 101}));
    assert_eq!(farm.create(&wide).await.status(), 201);
    std::fs::write(&file, "max_side = 100\nworkers = 7\n").unwrap();
    farm.signal("-HUP");
    farm.until_logged("these settings have changed, which takes a restart: workers")
        .await;
    farm.until_logged("the settings were read again").await;
    assert_eq!(farm.create(&wide).await.status(), 422);
    // Nonsense is not taken up, and ends nothing.
    std::fs::write(&file, "no_such_setting = 1\n").unwrap();
    farm.signal("-HUP");
    farm.until_logged("in the settings").await;
    assert_eq!(farm.create(&wide).await.status(), 422);
}

#[tokio::test]
async fn on_a_hang_up_a_worker_reads_its_settings_again_and_renders_on() {
    let farm = Farm::api();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("faafo.toml");
    let write = |more: &str| {
        let spool = folder.path().join("spool");
        let settings = format!(
            "endpoint_url = {:?}\nspool = {spool:?}\nworkers = 1\nlog_format = \"json\"\n{more}",
            farm.base
        );
        std::fs::write(&file, settings).unwrap();
    };
    write("");
    let mut command = Command::new(FAAFO);
    command.args(["worker", "--config-file"]).arg(&file);
    command.env("FAAFO_DATA_DIR", "/nonexistent");
    command.stdin(Stdio::null());
    let mut worker = Worker::run(command);
    let rendered = create(&farm, &slow()).await;
    farm.until(&rendered, "running").await;

    write("log_level = \"debug\"\nname = \"other\"\n");
    worker.signal("-HUP");
    worker
        .until_logged("these settings have changed, which takes a restart: name")
        .await;
    worker
        .until_logged("the settings were read again: log_level and grace_period hold now")
        .await;
    write("no_such_setting = 1\n");
    worker.signal("-HUP");
    worker.until_logged("in the settings").await;
    // The render never noticed, and of the next one the log tells more.
    assert_eq!(farm.until(&rendered, "done").await["attempts"], 1);
    create(&farm, &small()).await;
    worker.until_logged("rendered").await;
    assert!(worker.stop().success());
}

#[test]
fn a_fractal_goes_from_create_to_file() {
    let farm = Farm::all();
    let flags = [
        "create",
        "--tasks",
        "1",
        "--wait",
        "--width",
        "20",
        "--height",
        "10",
        "--iterations",
        "60",
        "--xa=-2",
        "--xb",
        "2",
        "--ya",
        "-1.5",
        "--yb=1.5",
        "--c-re",
        "-0.8",
        "--c-im=0.156",
        "--palette",
        "magma",
    ];
    let id = out(&farm.cli(&flags)).trim_end().to_owned();
    assert_eq!(id.len(), 36);

    let table = out(&farm.cli(&["list"]));
    let row = table.lines().find(|line| line.contains(&id)).unwrap();
    assert!(
        row.contains("20 x 10 pixels") && row.contains("done"),
        "{row}"
    );
    let csv = out(&farm.cli(&["list", "-f", "csv"]));
    assert_eq!(csv.lines().count(), 2);
    assert!(csv.starts_with("checksum,duration,") && csv.contains(&id));
    let json: Value = serde_json::from_str(&out(&farm.cli(&["list", "-f", "json"]))).unwrap();
    assert_eq!(json[0]["uuid"], id);

    let shown = out(&farm.cli(&["show", &id]));
    for part in ["-0.8 +0.156i", "20 x 10 pixels", "| palette      | magma"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json: Value = serde_json::from_str(&out(&farm.cli(&["show", &id, "-f", "json"]))).unwrap();
    assert_eq!(json["xa"], -2.0);
    assert_eq!(json["palette"], "magma");

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("picture.png");
    let path = file.to_str().unwrap();
    assert_eq!(out(&farm.cli(&["get", &id, "-o", path])).trim_end(), path);
    let png = std::fs::read(&file).unwrap();
    assert_eq!(json["checksum"], common::sha256(&png));
    let piped = farm.cli(&["get", &id, "-o", "-"]);
    assert_eq!(piped.stdout, png);

    // The farm and `render` are the same renderer.
    let rendered = folder.path().join("rendered.png");
    let mut same = vec!["render", "-o", rendered.to_str().unwrap()];
    same.extend(&flags[4..]);
    assert!(faafo(&same).status.success());
    assert_eq!(std::fs::read(&rendered).unwrap(), png);

    assert_eq!(out(&farm.cli(&["delete", &id])).trim_end(), id);
    for command in ["show", "get", "delete", "retry"] {
        let said = error(&farm.cli(&[command, &id]), 1);
        assert!(
            said.contains(&format!("there is no fractal {id}")),
            "{said}"
        );
    }
    assert_eq!(out(&farm.cli(&["list", "-f", "json"])), "[]\n");
}

#[test]
fn one_bad_uuid_among_several_keeps_none_of_the_others() {
    let farm = Farm::api();
    let ids = out(&farm.cli(&["create", "--tasks", "2"]));
    let ids: Vec<_> = ids.lines().collect();
    let missing = uuid();
    let deleted = farm.cli(&["delete", ids[0], &missing, ids[1]]);
    assert_eq!(deleted.status.code(), Some(1));
    assert_eq!(text(&deleted.stdout).lines().collect::<Vec<_>>(), ids);
    assert!(text(&deleted.stderr).contains(&missing));
}

#[test]
fn what_is_not_rendered_is_told_so() {
    let farm = Farm::api();
    let id = out(&farm.cli(&["create", "--tasks", "1"]))
        .trim_end()
        .to_owned();
    let said = error(&farm.cli(&["get", &id]), 1);
    assert!(said.contains("the fractal is queued"), "{said}");
    assert!(error(&farm.cli(&["retry", &id]), 1).contains("only one that has failed"));
}

#[test]
fn random_values_lie_in_the_originals_ranges() {
    let farm = Farm::api();
    let json = out(&farm.cli(&["create", "--tasks", "40", "-f", "json"]));
    let fractals: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(fractals.len(), 40);
    for fractal in fractals {
        for (field, low, high) in [
            ("width", 256.0, 1024.0),
            ("height", 256.0, 1024.0),
            ("iterations", 128.0, 512.0),
            ("xa", -4.0, -1.0),
            ("xb", 1.0, 4.0),
            ("ya", -3.0, -0.5),
            ("yb", 0.5, 3.0),
        ] {
            let value = fractal[field].as_f64().unwrap();
            assert!((low..=high).contains(&value), "{field} {value}");
        }
    }
    let none = out(&farm.cli(&["create", "--tasks", "0"]));
    assert_eq!(none, "");
    let some = out(&farm.cli(&["create", "--min-tasks", "3", "--max-tasks", "3"]));
    assert_eq!(some.lines().count(), 3);
}

#[test]
fn a_thousand_tasks_are_created_listed_and_waited_for() {
    let farm = Farm::all();
    let small = ["--width", "8", "--height", "8", "--iterations", "20"];
    let mut args = vec!["create", "--tasks", "1000", "--wait", "-f", "value"];
    args.extend(small);
    let created = out(&farm.cli(&args));
    assert_eq!(created.lines().count(), 1000);
    assert!(created.lines().all(|line| line.contains(" done 8 8 ")));
    let listed = out(&farm.cli(&["list", "--status", "done", "-f", "value"]));
    let mut listed: Vec<_> = listed.lines().collect();
    listed.dedup();
    assert_eq!(listed.len(), 1000);
    assert_eq!(
        out(&farm.cli(&["list", "--status", "failed", "-f", "value"])),
        ""
    );
}

#[test]
fn what_was_accepted_before_one_was_refused_is_told() {
    let farm = Farm::with(&["api", "--max-side", "100"]);
    // One in eleven is too wide.
    let sizes = ["--height", "8", "--min-width", "1", "--max-width", "110"];
    let tasks = ["create", "--tasks", "500", "--wait", "-f", "json"];
    let output = farm.cli(&[&tasks[..], &sizes].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("width"), "{said}");
    let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let kept = out(&farm.cli(&["list", "-f", "value"]));
    assert!(!told.is_empty());
    assert_eq!(told.len(), kept.lines().count());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let farm = Farm::api();
    farm.cli(&["create", "--tasks", "300"]);
    let command = format!("{FAAFO} list | head -n 1; exit ${{PIPESTATUS[0]}}");
    let piped = Command::new("bash")
        .args(["-c", &command])
        .env("FAAFO_ENDPOINT_URL", &farm.base)
        .output()
        .unwrap();
    assert!(piped.status.success(), "{}", text(&piped.stderr));
    assert_eq!(text(&piped.stderr), "");
}

#[test]
fn watch_tells_events_line_by_line() {
    use std::io::{BufRead, BufReader};
    let farm = Farm::all();
    let mut watch = Command::new(FAAFO)
        .args(["watch"])
        .env("FAAFO_ENDPOINT_URL", &farm.base)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert_eq!(first, "queue 0 queued, 0 running, 0 done, 0 failed");
    let id = out(&farm.cli(&["create", "--tasks", "1", "--width", "9", "--height", "8"]));
    let id = id.trim_end();
    let mut lines = lines.map(Result::unwrap);
    let expect = [
        format!("created {id} 9 x 8"),
        format!("running {id} 9 x 8"),
        format!("done {id} 9 x 8 "),
    ];
    for expected in expect {
        assert!(lines.any(|line| line.starts_with(&expected)), "{expected}");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// A client command on a terminal, which the farm's own tests lack: what it shows there. It is
/// given up once `shown` holds.
fn on_a_terminal(farm: Option<&Farm>, args: &str, shown: impl Fn(&str) -> bool) -> String {
    use std::io::Read;
    use std::process::Stdio;
    let command = format!("stty cols 100 rows 30; exec {FAAFO} {args}");
    let mut script = Command::new("script");
    script.args(["-qefc", &command, "/dev/null"]);
    script.env("TERM", "xterm");
    if let Some(farm) = farm {
        script.env("FAAFO_ENDPOINT_URL", &farm.base);
    }
    let script = script.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    let mut out = script.stdout.take().unwrap();
    let (mut seen, mut some) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = out.read(&mut some) {
        seen.extend_from_slice(&some[..read]);
        if shown(&String::from_utf8_lossy(&seen)) {
            break;
        }
    }
    // It may have ended already.
    let _ = script.kill();
    script.wait().unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

/// Whether a bar that is neither empty nor full has been drawn.
fn has_bar(shown: &str) -> bool {
    shown.contains("█░")
}

#[test]
fn on_a_terminal_bars_show_how_far_renders_are() {
    // As `common::long`.
    let inside = "--xa=-0.42 --xb=-0.32 --ya=-0.39 --yb=-0.29 \
                  --c-re=-0.3905408702184 --c-im=-0.5867879073469687";
    let slow = format!("--width 2000 --height 2000 --iterations 2000 {inside}");
    let slower = format!("--width 5000 --height 5000 --iterations 2000 {inside}");

    let farm = Farm::with(&["all", "--workers", "1"]);
    let waits = format!("create --tasks 1 --wait {slower}");
    let shown = on_a_terminal(Some(&farm), &waits, has_bar);
    assert!(
        shown.contains("rendering") && shown.contains("0/1"),
        "{shown}"
    );
    // It is still being rendered: who begins to watch now sees that.
    let shown = on_a_terminal(Some(&farm), "watch", has_bar);
    assert!(shown.contains("5000 x 5000"), "{shown}");
    drop(farm);

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("picture.png");
    let render = format!("render -o {}", file.display());
    let shown = on_a_terminal(None, &format!("{render} {slow}"), |_| false);
    assert!(has_bar(&shown), "{shown}");
    let (bars, told) = shown.split_at(shown.rfind("2000 x 2000 pixels").unwrap());
    let cleared = &bars[bars.rfind('░').unwrap()..];
    assert!(cleared.contains("\u{1b}[2K"), "{cleared:?}");
    assert!(!told.contains('█'), "{told:?}");
    let shown = on_a_terminal(None, &format!("{render} --width 9 --height 9"), |_| false);
    assert!(
        shown.contains("9 x 9 pixels") && !shown.contains('░'),
        "{shown}"
    );
}

#[test]
fn elsewhere_progress_is_a_line_an_event_or_silent() {
    use std::io::{BufRead, BufReader};
    let farm = Farm::with(&["all", "--workers", "1"]);
    let watch = |format: &[&str]| {
        let mut watch = Command::new(FAAFO);
        watch.arg("watch").args(format);
        watch.env("FAAFO_ENDPOINT_URL", &farm.base);
        watch.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut watches = [watch(&[]), watch(&["-f", "json"])];
    let outs = [0, 1].map(|n| watches[n].stdout.take().unwrap());
    let [mut lines, mut documents] =
        outs.map(|out| BufReader::new(out).lines().map(Result::unwrap));
    // Both are connected.
    assert!(lines.next().unwrap().starts_with("queue "));
    assert!(documents.next().unwrap().contains("\"queue\""));
    let id = "00000000-0000-4000-8000-000000000013";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let long = common::but(common::long(), serde_json::json!({"uuid": id}));
    assert_eq!(runtime.block_on(farm.create(&long)).status(), 201);

    let line = lines.find(|line| line.starts_with("progress")).unwrap();
    let percent = line.strip_prefix(&format!("progress {id} ")).unwrap();
    let percent: u32 = percent.strip_suffix('%').unwrap().parse().unwrap();
    assert!(percent < 100, "{line}");
    let document = documents.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    let mut progress = document.filter(|document| document["event"] == "progress");
    let data = &progress.next().unwrap()["data"];
    assert_eq!(data["uuid"], id);
    assert!(data["fraction"].as_f64().unwrap() > 0.0);
    for watch in &mut watches {
        watch.kill().unwrap();
        watch.wait().unwrap();
    }

    let shown = out(&farm.cli(&["show", id, "-f", "json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["progress"].as_f64().unwrap() > 0.0, "{shown}");
    let table = out(&farm.cli(&["show", id]));
    let row = table.lines().find(|line| line.contains("progress"));
    assert!(row.unwrap().contains('%'), "{table}");
}

#[test]
fn a_render_that_cannot_be_written_leaves_nothing_behind() {
    let said = error(&faafo(&["render", "-o", "/no/such/folder/x.png"]), 1);
    assert!(said.contains("/no/such/folder/x.png"), "{said}");
    let full = faafo(&[
        "render",
        "-o",
        "/dev/full",
        "--width",
        "600",
        "--height",
        "600",
    ]);
    assert_eq!(full.status.code(), Some(1));
    assert!(
        text(&full.stderr).contains("No space left"),
        "{}",
        text(&full.stderr)
    );
    // The device itself must not be taken for half a picture.
    assert!(!std::fs::metadata("/dev/full").unwrap().is_file());
    let folder = tempfile::TempDir::new().unwrap();
    let farm = Farm::api();
    let file = folder.path().join("picture.png");
    let id = out(&farm.cli(&["create", "--tasks", "1"]))
        .trim_end()
        .to_owned();
    error(&farm.cli(&["get", &id, "-o", file.to_str().unwrap()]), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn ctrl_c_in_the_middle_of_a_render_leaves_nothing_behind() {
    let folder = tempfile::TempDir::new().unwrap();
    let target = folder.path().join("target.png");
    std::fs::write(&target, "precious").unwrap();
    let link = folder.path().join("link.png");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mut render = Command::new(FAAFO)
        .args([
            "render",
            "--width",
            "9999",
            "--height",
            "9999",
            "--iterations",
            "9000",
        ])
        .args([
            "--xa=-0.42",
            "--xb=-0.32",
            "--ya=-0.39",
            "--yb=-0.29",
            "--c-re=-0.3905408702184",
            "--c-im=-0.5867879073469687",
        ])
        .arg("-o")
        .arg(&link)
        .spawn()
        .unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    while files() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Time for it to be in the middle of the kernel.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let pid = render.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let told = std::time::Instant::now();
    assert_eq!(render.wait().unwrap().code(), Some(130));
    println!("Ctrl-C: the process ended after {:?}", told.elapsed());
    // Not when it is rendered.
    assert!(told.elapsed() < std::time::Duration::from_secs(30));
    assert_eq!(files(), 2);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");

    let small = [
        "render",
        "--width",
        "9",
        "--height",
        "9",
        "-o",
        link.to_str().unwrap(),
    ];
    assert!(faafo(&small).status.success());
    assert!(link.is_symlink());
    assert!(std::fs::read(&target).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn ctrl_c_ends_a_render_into_a_pipe_that_nobody_reads() {
    let mut render = Command::new(FAAFO)
        .args(["render", "--width", "3000", "--height", "3000", "-o", "-"])
        .args(["--iterations", "500", "--c-re=-0.8", "--c-im=0.156"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It fills the pipe, and then waits.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(render.try_wait().unwrap().is_none());
    let pid = render.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let told = std::time::Instant::now();
    while render.try_wait().unwrap().is_none() {
        assert!(told.elapsed() < std::time::Duration::from_secs(30));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(render.wait().unwrap().code(), Some(130));
}

#[test]
fn bench_tells_what_the_machine_does() {
    let output = Command::new(FAAFO)
        .args(["bench", "--quick", "-f", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let positive = |value: &serde_json::Value| value.as_f64().is_some_and(|value| value > 0.0);
    for path in report["paths"].as_array().unwrap() {
        assert!(positive(&path["limit"]), "{path}");
        for set in path["sets"].as_array().unwrap() {
            assert!(
                positive(&set["rate"]) && positive(&set["share_of_limit"]),
                "{set}"
            );
        }
    }
    assert!(positive(&report["large"]["seconds"]), "{report}");
    assert!(positive(&report["mix"]["tasks_per_second"]), "{report}");
    // A cycle is found after a few hundred of 100,000 iterations.
    assert!(
        report["shortcuts"][1]["times_faster"].as_f64().unwrap() > 10.0,
        "{report}"
    );

    let table = Command::new(FAAFO)
        .args(["bench", "--quick"])
        .output()
        .unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("portable") && table.contains("To paste:"),
        "{table}"
    );
}
