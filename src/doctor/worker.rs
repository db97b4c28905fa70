//! A worker on this machine: whether its farm answers and takes its token, and what became of results
//! that could not be delivered.

use futures_util::future::join_all;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::json;
use uuid::Uuid;

use super::server::{PATIENCE, Unready, ready};
use super::{Finding, Mark, disk, folder};
use crate::config::{ConfigError, Settings, WorkerConfig};
use crate::outward;
use crate::tokens::TokenFileError;
use crate::worker::remote::stock;

const ENDPOINT: &str = "endpoint";
const TOKEN: &str = "worker token";
const SPOOL: &str = "spool";

/// The worker of these settings, if they name its farm and there is one to look at: its farm is
/// elsewhere, it runs, or it has left results. `asked`: somebody wants to know in any case.
pub fn of(settings: &Settings, asked: bool) -> Result<Option<WorkerConfig>, ConfigError> {
    if settings.endpoint_url.is_none() {
        return Ok(None);
    }
    let worker = settings.clone().checked_for_worker()?;
    let stock = stock(&worker.spool).unwrap_or_default();
    let there = asked || !worker.is_at_home() || stock.in_use || stock.results > 0;
    Ok(there.then_some(worker))
}

pub async fn examine(worker: &WorkerConfig) -> Vec<Finding> {
    let mut findings = match client(worker) {
        Ok(http) => farm(worker, &http).await,
        Err(why) => vec![Finding::wrong(ENDPOINT, why, "mend ca_file")],
    };
    findings.push(spool(worker));
    findings
}

/// As the worker's own, so that it finds the same.
fn client(worker: &WorkerConfig) -> Result<Client, String> {
    let https = worker.endpoints.iter().any(|url| url.scheme() == "https");
    let http = outward::builder(worker.ca_file.as_deref(), https);
    let http = http.map_err(|error| error.to_string())?;
    let http = http.timeout(PATIENCE).redirect(Policy::none()).build();
    http.map_err(|error| error.to_string())
}

async fn farm(worker: &WorkerConfig, http: &Client) -> Vec<Finding> {
    let asked = worker.endpoints.iter().map(|url| async move {
        let answer = ready(http, base(url)).await;
        (url, answer)
    });
    let asked = join_all(asked).await;
    let answering = asked.iter().filter(|(_, answer)| answer.is_ok());
    let answering: Vec<_> = answering.map(|(url, _)| *url).collect();
    let mut findings = Vec::new();
    for (url, answer) in &asked {
        let url = shown(url);
        findings.push(match answer {
            Ok(ready) => {
                let waiting = ready.counts.queued;
                Finding::ok(ENDPOINT, format!("{url} answers: {waiting} waiting"))
            }
            Err(why) => {
                let says = format!("{url} is of no use: {why}");
                match answering.is_empty() {
                    true => Finding::wrong(ENDPOINT, says, mend(why)),
                    false => Finding::note(ENDPOINT, says, mend(why)),
                }
            }
        });
    }
    findings.push(token(worker, http, &answering).await);
    findings
}

fn mend(why: &Unready) -> &'static str {
    match why {
        Unready::Unreachable(error) => match outward::tls_error(error) {
            Some(rustls::Error::InvalidCertificate(_)) => outward::DISTRUSTED,
            Some(_) => outward::NO_TLS,
            None => "systemctl start faafo-api    there; or mend endpoint_url",
        },
        Unready::NotYet => "journalctl -u faafo-api    there says why",
        Unready::Other => "mend endpoint_url: write http://HOST:PORT of an API node",
    }
}

/// Whether the farm takes the worker's token, by a request that changes nothing.
async fn token(worker: &WorkerConfig, http: &Client, answering: &[&Url]) -> Finding {
    let token = match worker.token() {
        Ok(token) => token.map(|token| token.get()),
        Err(error) => return Finding::wrong(TOKEN, error.to_string(), mend_file(worker, &error)),
    };
    let path = worker.token.path().display();
    let mut says = "whether one is asked for cannot be told while the farm does not answer".into();
    let mut mark = Mark::Unknown;
    for url in answering {
        let back = http.post(format!("{}/v1/leases/return", base(url)));
        let mut back = back.json(&json!({"worker": Uuid::nil(), "leases": []}));
        if let Some(token) = &token {
            back = back.bearer_auth(token.expose());
        }
        let status = back.send().await.map(|answer| answer.status());
        let url = shown(url);
        let refusal = match (status, &token) {
            (Ok(StatusCode::UNAUTHORIZED), None) => {
                format!("{url} asks for the workers' token, and no file with it is named")
            }
            (Ok(StatusCode::UNAUTHORIZED), Some(_)) => {
                format!("{url} does not take the token in {path}")
            }
            (Ok(StatusCode::FORBIDDEN), _) => {
                format!("{url} takes the token in {path} for a user's")
            }
            (Ok(status), token) if status.is_success() => {
                mark = Mark::Ok;
                says = match token {
                    Some(_) => format!("the farm takes the one in {path}"),
                    None => "the farm asks for none".into(),
                };
                continue;
            }
            // What else may be wrong there is no matter of the token.
            _ => continue,
        };
        return Finding::wrong(TOKEN, refusal, fetch(worker));
    }
    Finding::new(TOKEN, mark, says)
}

fn mend_file(worker: &WorkerConfig, error: &TokenFileError) -> String {
    let path = worker.token.path().display();
    match error {
        TokenFileError::Open { .. } => format!("chmod 600 {path}"),
        TokenFileError::Read { .. } if worker.token.path().exists() => {
            "run this as whoever runs the worker, or as root".into()
        }
        _ => fetch(worker),
    }
}

/// Fetches the workers' token from where it is made.
fn fetch(worker: &WorkerConfig) -> String {
    let host = worker.endpoints.first().and_then(Url::host_str);
    let way = match host {
        Some(host) if !worker.is_at_home() => format!("ssh {host} "),
        _ => String::new(),
    };
    let fetch = format!("umask 077; {way}faafo token --worker");
    match worker.token.is_given() {
        true => format!("({fetch} >{})", worker.token.path().display()),
        false => format!("({fetch} >worker-token)    and name that file by worker_token_file"),
    }
}

fn spool(worker: &WorkerConfig) -> Finding {
    let root = &worker.spool;
    let shown = root.display();
    let stock = match stock(root) {
        Ok(stock) => stock,
        Err(error) => {
            let says = format!("cannot look into {shown}: {error}");
            return Finding::wrong(
                SPOOL,
                says,
                "run this as whoever runs the worker, or as root",
            );
        }
    };
    let at = disk::nearest(root);
    if let Err(error) = tempfile::tempfile_in(at) {
        return Finding::wrong(
            SPOOL,
            format!("cannot write in {}: {error}", at.display()),
            format!(
                "install -d -m 700 -o USER {shown}    where USER runs the worker; or name another with spool"
            ),
        );
    }
    let within = stock.folders.iter().map(|name| name.as_path());
    if let Some((name, owner, wanted)) = folder::of_others(root, within) {
        return Finding::wrong(
            SPOOL,
            format!(
                "{} in {shown} belongs to user {owner}, and the folder to {wanted}",
                name.display()
            ),
            format!("chown -R --reference={shown} {shown}"),
        );
    }
    let (kept, most) = (
        stock.bytes.div_ceil(1_000_000),
        worker.spool_bytes / 1_000_000,
    );
    let says = match stock.results {
        0 => return Finding::ok(SPOOL, format!("{shown} keeps no results")),
        1 => format!("{shown} keeps a result, {kept} of {most} MB"),
        results => format!("{shown} keeps {results} results, {kept} of {most} MB"),
    };
    let mend = match stock.in_use {
        true => "journalctl -u faafo-worker    says why the farm does not take them",
        false => "systemctl start faafo-worker    delivers them",
    };
    // Then the next large picture may find no room.
    match stock.bytes >= worker.spool_bytes / 10 * 9 {
        true => Finding::wrong(SPOOL, says, mend),
        false => Finding::note(SPOOL, says, mend),
    }
}

fn base(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Without what stands before its `@`, which may be a token.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Addresses that can have neither have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    base(&url).to_owned()
}
