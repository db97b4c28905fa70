//! What keeps a farm, or a worker, on this machine from working, and the command that mends it. One
//! check a function, which changes nothing and tells what it found.

mod broker;
mod clock;
mod cpu;
mod database;
mod disk;
mod folder;
mod server;
mod tokens;
mod worker;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Config, ConfigError, Settings, WorkerConfig};
use crate::outward;
use crate::store::url::Database;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    Ok,
    /// It works, and might work better.
    Note,
    Wrong,
    /// Cannot be told before something else is mended.
    Unknown,
}

impl Mark {
    pub fn name(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Note => "note",
            Mark::Wrong => "wrong",
            Mark::Unknown => "unknown",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub mark: Mark,
    /// For people, in a line.
    pub says: String,
    /// What to do about it: a command, where one does it.
    pub mend: Option<String>,
}

impl Finding {
    fn new(check: &'static str, mark: Mark, says: impl Into<String>) -> Finding {
        Finding {
            check,
            mark,
            says: says.into(),
            mend: None,
        }
    }

    fn ok(check: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(check, Mark::Ok, says)
    }

    fn note(check: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, Mark::Note, says).mended_by(mend)
    }

    fn wrong(check: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, Mark::Wrong, says).mended_by(mend)
    }

    fn mended_by(self, mend: impl Into<String>) -> Finding {
        let mend = Some(mend.into());
        Finding { mend, ..self }
    }
}

/// Looks at everything that a server with these settings needs, which may be running, and a worker of
/// theirs: if there is one, or `asks_for_worker`. `file` is where they were read, if they were.
pub async fn examine(
    settings: Result<Settings, ConfigError>,
    file: Option<&Path>,
    asks_for_worker: bool,
) -> Vec<Finding> {
    let checked = settings.and_then(|settings| {
        let worker = worker::of(&settings, asks_for_worker)?;
        Ok((settings.checked()?, worker))
    });
    let (config, worker) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let mend = match file {
                Some(file) => format!("mend {}", file.display()),
                None => "`faafo all --help` lists the settings".into(),
            };
            return vec![
                Finding::wrong("config", error.to_string(), mend),
                Finding::new(
                    "the rest",
                    Mark::Unknown,
                    "the settings have to be mended first",
                ),
                cpu::check(),
            ];
        }
    };
    let mut findings = vec![read(file)];
    match &worker {
        Some(worker) if serves_nothing(&config, worker) => {
            let says = "none here: the farm is elsewhere, and nothing is looked at that only a server needs";
            findings.push(Finding::ok("server", says));
            findings.push(disk::check(&worker.spool));
            findings.push(clock::check(None, None));
            findings.push(broker::check(worker.transport.as_ref()).await);
        }
        _ => findings.extend(examine_server(&config).await),
    }
    if let Some(worker) = &worker {
        findings.extend(worker::examine(worker).await);
    }
    findings.push(cpu::check());
    findings
}

/// Whether only a worker is meant to run here: its farm is elsewhere, and no server ever was here.
fn serves_nothing(config: &Config, worker: &WorkerConfig) -> bool {
    let elsewhere = !worker.endpoints.iter().any(outward::is_here);
    elsewhere && !config.data_dir.join("lock").exists()
}

async fn examine_server(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        folder::check(&config.data_dir),
        folder::permissions(&config.data_dir),
        disk::check(&config.data_dir),
    ];
    // Before the store is opened, which may touch its file.
    let ahead = clock::ahead(&store_file(config));
    let health = database::health(config).await;
    findings.push(clock::check(ahead, health.as_ref().ok()));
    findings.push(database::check(config, &health));
    findings.extend(database::packet(health.as_ref().ok()));
    findings.push(broker::check(config.transport.as_ref()).await);
    findings.extend(tokens::check(config.tokens.as_ref()));
    findings.extend(server::tls(config));
    findings.extend(server::examine(config).await);
    findings
}

fn read(file: Option<&Path>) -> Finding {
    Finding::ok(
        "config",
        match file {
            Some(file) => format!("{} makes sense", file.display()),
            None => "flags, environment and defaults make sense; no file is named".into(),
        },
    )
}

/// The store's file, where it is one; else what is in its place in the data folder.
fn store_file(config: &Config) -> PathBuf {
    match &config.database {
        Database::Sqlite(file) => file.clone(),
        _ => config.data_dir.join(crate::store::FILE),
    }
}
