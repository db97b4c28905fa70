//! Waiting until every node works, or says why it does not: by asking it, or where it cannot be
//! reached from here, by its console log.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::board::Board;
use super::cloud::Cloud;
use super::resources::Server;
use super::servers::{self, LOOK};
use super::survey::Survey;
use super::user_data::{self, Heard};
use super::{Blueprint, Error, Name, Result};
use crate::outward;
use crate::wire::ReadyDoc;
use crate::wire::lease::WorkersDoc;

/// A node has this long to answer; one that is behind a firewall takes all of it.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Lines of a console that are shown with a failure.
const LAST_LINES: usize = 12;

/// Lines in which the installation's last word is looked for: what comes after it may be a lot.
const HEARD_LINES: u32 = 300;

/// What a farm tells of itself to whoever asks.
pub struct Farm {
    http: Option<reqwest::Client>,
    base: String,
}

impl Farm {
    pub fn at(ip: IpAddr) -> Farm {
        let http = outward::builder(None, false).ok().and_then(|http| {
            // It is reached as it is, or not at all.
            http.no_proxy().timeout(ANSWER_TIME).build().ok()
        });
        Farm {
            http,
            base: url(ip),
        }
    }

    /// What it tells of itself, if it answers and is ready.
    pub async fn ready(&self) -> Option<ReadyDoc> {
        let request = self.http.as_ref()?.get(format!("{}/readyz", self.base));
        let response = request.send().await.ok()?;
        match response.status().is_success() {
            true => response.json().await.ok(),
            false => None,
        }
    }

    pub async fn workers(&self) -> Option<WorkersDoc> {
        let request = self.http.as_ref()?.get(format!("{}/v1/workers", self.base));
        request.send().await.ok()?.json().await.ok()
    }
}

pub fn url(ip: IpAddr) -> String {
    format!("http://{}", host(ip))
}

/// As it stands in an address.
pub fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Waits for all nodes of a deployment. An error tells what each that is not ready was last seen to
/// do.
pub async fn wait(
    cloud: &Cloud,
    blueprint: &Blueprint,
    fronts: &[(String, Option<IpAddr>)],
    patience: Duration,
    board: &Board,
) -> Result<()> {
    let begun = Instant::now();
    let farms: Vec<(&str, Farm)> = fronts
        .iter()
        .filter_map(|(name, ip)| Some((name.as_str(), Farm::at((*ip)?))))
        .collect();
    let mut waiting: Vec<String> = blueprint
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect();
    let mut failures = Vec::new();
    loop {
        let survey = Survey {
            servers: super::survey::servers(cloud, blueprint.name()).await?,
            ..Survey::default()
        };
        let mut answer = BTreeSet::new();
        for (name, farm) in &farms {
            if farm.ready().await.is_none() {
                continue;
            }
            answer.insert((*name).to_owned());
            // Each knows those who speak to it.
            let workers = farm.workers().await;
            answer.extend(
                workers
                    .into_iter()
                    .flat_map(|all| all.objects)
                    .map(|one| one.name),
            );
        }
        let mut still = Vec::new();
        for name in waiting {
            let Some(server) = survey.server(&name) else {
                failures.push(format!("{name} has gone: somebody has deleted it"));
                continue;
            };
            match look(cloud, blueprint.name(), server, answer.contains(&name)).await? {
                Seen::Ready => board.set(&name, "ready"),
                Seen::Failed(why) => {
                    board.set(&name, "failed");
                    failures.push(why);
                }
                Seen::Going(step) => {
                    board.set(&name, &step);
                    still.push((name, step));
                }
            }
        }
        if still.is_empty() || begun.elapsed() > patience {
            let late = still.iter().map(|(name, step)| {
                format!(
                    "{name} is not ready after {} s; last seen: {step}. `faafo provision logs \
                     {name} --name {}` shows its console; a larger --timeout waits longer",
                    patience.as_secs(),
                    blueprint.name()
                )
            });
            failures.extend(late);
            return match failures.is_empty() {
                true => Ok(()),
                false => Err(Error::Failed(failures.join("\n"))),
            };
        }
        waiting = still.into_iter().map(|(name, _)| name).collect();
        tokio::time::sleep(LOOK).await;
    }
}

enum Seen {
    Ready,
    Going(String),
    Failed(String),
}

async fn look(cloud: &Cloud, deployment: &Name, server: &Server, answers: bool) -> Result<Seen> {
    let name = &server.name;
    match server.status.as_str() {
        _ if answers => return Ok(Seen::Ready),
        "ACTIVE" => {}
        "ERROR" => {
            let why = servers::fault(cloud, server).await?;
            let what = match server.is_stillborn() {
                true => {
                    "`faafo provision up` with the same words replaces it, once the reason is gone: \
                     another --flavor, --image or less of them may help"
                }
                false => {
                    "it ran before: look at it with `openstack server show` before anything else"
                }
            };
            return Ok(Seen::Failed(format!(
                "the server {name} is in ERROR: {why}; {what}"
            )));
        }
        other => return Ok(Seen::Going(format!("the cloud says {other}"))),
    }
    let console = servers::console(cloud, &server.id, HEARD_LINES).await?;
    Ok(match user_data::hear(&console) {
        Heard::Ready => Seen::Ready,
        Heard::Failed(why) => Seen::Failed(not_installed(name, deployment, &why, &console)),
        Heard::Going(word) => Seen::Going(word),
        Heard::Nothing if console.trim().is_empty() => {
            Seen::Going("active, nothing on its console".into())
        }
        Heard::Nothing => {
            let line = console.lines().rev().find(|line| !line.trim().is_empty());
            let line: String = line.unwrap_or("").trim().chars().take(60).collect();
            Seen::Going(format!("active, its console says: {line}"))
        }
    })
}

/// What there is to say of a node that has given up: it does not try again, and `up` leaves it, as its
/// reason may be on it.
fn not_installed(node: &str, deployment: &Name, why: &str, console: &str) -> String {
    format!(
        "{node} could not install faafo: {why}. Once the reason is gone, `openstack server delete \
         {node}` and then `faafo provision up` with the same words make it anew; `faafo provision \
         logs {node} --name {deployment}` shows more than the last lines of its console:\n{}",
        last(console)
    )
}

fn last(console: &str) -> String {
    let lines: Vec<_> = console
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    let lines: Vec<_> = lines[from..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_could_not_install_is_told_with_what_to_do() {
        let console: String = (1..=20).map(|line| format!("line {line}\n\n")).collect();
        let name = "course".parse().unwrap();
        let text = not_installed("faafo-course-worker-1", &name, "no way out", &console);
        assert_eq!(
            text.lines().next().unwrap(),
            "faafo-course-worker-1 could not install faafo: no way out. Once the reason is gone, \
             `openstack server delete faafo-course-worker-1` and then `faafo provision up` with the \
             same words make it anew; `faafo provision logs faafo-course-worker-1 --name course` \
             shows more than the last lines of its console:"
        );
        let shown: Vec<_> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            (shown.len(), shown[0], shown[11]),
            (12, "line 9", "line 20")
        );
    }
}
