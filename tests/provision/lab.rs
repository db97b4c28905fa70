//! A real OpenStack, what the official client sees in it, and `faafo provision` against it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{LazyLock, Once};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::common::{FAAFO, text};

/// One test at a time: they share a project, and look at all that is in it.
static TURN: Mutex<()> = Mutex::const_new(());

/// The deployments of these tests.
const OURS: [&str; 26] = [
    "t1", "t1-b", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13",
    "t14", "t15", "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23", "t24", "t25",
];

/// The binary without what debuggers need, most of it by far: it goes through the object store often.
pub static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let lean = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faafo");
    let mut strip = Command::new("strip");
    let done = strip.arg("-o").arg(&lean).arg(FAAFO).status().unwrap();
    assert!(done.success());
    lean
});

static TOLD: Once = Once::new();

pub struct Lab {
    python: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// A home without any cloud's files.
    pub home: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Tells what is left out. Not by a macro: what those print is kept back where tests succeed.
pub fn loudly(text: &str) {
    let _ = std::io::stderr().write_all(format!("\n!!! {text}\n\n").as_bytes());
}

/// The lab, or `None` and a loud line where there is none.
pub async fn lab() -> Option<Lab> {
    if std::env::var("FAAFO_TEST_CLOUD").is_ok_and(|when| when == "later") {
        return None;
    }
    let named = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let needed = [
        "OS_CLIENT_CONFIG_FILE",
        "OS_CLOUD",
        "FAAFO_TEST_ADMIN_CLOUD",
        "FAAFO_TEST_PYTHON",
    ];
    if let Some(missing) = needed.into_iter().find(|name| !named(name)) {
        TOLD.call_once(|| {
            loudly(&format!(
                "NOT TESTED: provisioning: no OpenStack, {missing} is not set"
            ));
        });
        return None;
    }
    let turn = TURN.lock().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provision/look.py");
    let mut python = Command::new(std::env::var("FAAFO_TEST_PYTHON").unwrap())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lab = Lab {
        requests: python.stdin.take().unwrap(),
        answers: BufReader::new(python.stdout.take().unwrap()),
        python,
        home: TempDir::new().unwrap(),
        _turn: turn,
    };
    // What a test has left that failed.
    let list: Value = serde_json::from_str(&lab.done("list -f json")).unwrap();
    for one in list.as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        if OURS.contains(&name) {
            lab.done(&format!("down --name {name} --yes"));
        }
    }
    Some(lab)
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

impl Lab {
    /// What the official client answers.
    pub fn ask(&mut self, what: &str, arguments: Value) -> Value {
        let mut request = arguments;
        request["do"] = json!(what);
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{what}: {answer}");
        answer["ok"].clone()
    }

    /// All that the project owns.
    pub fn snapshot(&mut self) -> Value {
        self.ask("snapshot", json!({}))
    }

    /// The user data of a server, as cloud-init understands it.
    pub fn user_data(&mut self, snapshot: &Value, server: &str) -> Value {
        let text = snapshot["servers"][server]["user_data"].as_str().unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        self.ask("user_data", json!({"text": text}))["parsed"].clone()
    }

    /// `faafo provision` with these words.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&*BINARY);
        command
            .arg("provision")
            .args(words.split_whitespace())
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints, when it succeeds.
    pub fn done(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {output:?}");
        text(&output.stdout)
    }

    /// What it says, when it ends with this code.
    pub fn refused(&self, code: i32, words: &str) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words}: {output:?}");
        text(&output.stderr)
    }

    /// clouds.yaml with the tenant's cloud, changed, as `changed`. Its path.
    pub fn changed_cloud(&mut self, changes: Value) -> String {
        let access = self.ask("access", json!({}));
        let mut cloud = json!({
            "auth": access["auth"], "region_name": std::env::var("FAAFO_TEST_REGION").unwrap(),
        });
        for (name, value) in changes.as_object().unwrap() {
            cloud[name] = value.clone();
        }
        let path = self.home.path().join("clouds.yaml");
        // JSON is YAML.
        std::fs::write(&path, json!({"clouds": {"changed": cloud}}).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The names of one kind in a snapshot, in their order.
pub fn names(snapshot: &Value, kind: &str) -> Vec<String> {
    let items = snapshot[kind].as_object().unwrap();
    let mut names: Vec<_> = items.keys().cloned().collect();
    names.sort();
    names
}

/// The content of a file that user data write.
pub fn file<'a>(user_data: &'a Value, path: &str) -> Option<&'a Value> {
    let files = user_data["write_files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path)
}

pub fn content<'a>(user_data: &'a Value, path: &str) -> &'a str {
    let file = file(user_data, path).unwrap_or_else(|| panic!("no {path} in {user_data}"));
    file["content"].as_str().unwrap()
}
