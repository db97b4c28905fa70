//! The server itself: its port, whether it answers, takes its tokens, and has workers.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::{Finding, Mark, store_file};
use crate::api::Tls;
use crate::config::Config;
use crate::outward;
use crate::store::url::Database;
use crate::tokens::Place;
use crate::wire::ReadyDoc;
use crate::wire::lease::WorkersDoc;

const SERVER: &str = "server";
const PORT: &str = "port";
const TLS: &str = "certificate";
const TOKENS: &str = "tokens";
const WORKERS: &str = "workers";

/// A server has this long for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A worker that is silent for longer has perhaps lost its way here.
const SILENCE: f64 = 60.0;

pub fn tls(config: &Config) -> Option<Finding> {
    let files = config.tls.as_ref()?;
    Some(match Tls::open(&files.cert, &files.key) {
        Ok(_) => Finding::ok(TLS, files.cert.display().to_string()),
        Err(error) => Finding::wrong(TLS, error.to_string(), "mend tls_cert and tls_key"),
    })
}

/// Whether there is a server on the data folder now.
fn is_held(config: &Config) -> bool {
    let folder = match config.database {
        Database::Sqlite(_) => store_file(config).parent().map(ToOwned::to_owned),
        _ => None,
    };
    let lock = folder
        .unwrap_or_else(|| config.data_dir.clone())
        .join("lock");
    File::open(lock).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

pub async fn examine(config: &Config) -> Vec<Finding> {
    if config.address.port() == 0 {
        let says = "any free one, so that nobody can tell here where the server is";
        return vec![Finding::note(PORT, says, "name one with --bind-port")];
    }
    if !is_held(config) {
        let port = port(config.address);
        // With a socket of systemd's, whoever asks starts the server.
        if port.mark != Mark::Wrong || Asker::new(config).ready().await.is_err() || !is_held(config)
        {
            return vec![port];
        }
    }
    let asker = Asker::new(config);
    let ready = match asker.ready().await {
        Ok(ready) => ready,
        Err(why) => {
            let says = format!(
                "there is one on the data folder, but at {}: {why}",
                asker.base
            );
            let mend =
                "journalctl -u faafo    and see that this has the settings it was started with";
            return vec![Finding::wrong(SERVER, says, mend)];
        }
    };
    let counts = &ready.counts;
    let says = format!(
        "answers at {}: {} done, {} waiting, {} failed",
        asker.base, counts.done, counts.queued, counts.failed
    );
    let mut findings = vec![Finding::ok(SERVER, says)];
    if ready.broker_connected == Some(false) {
        let says = "it has no connection to the broker";
        findings.push(Finding::wrong(
            SERVER,
            says,
            "journalctl -u faafo    says why",
        ));
    }
    findings.extend(asker.tokens(config).await);
    findings.push(asker.workers(counts.queued).await);
    findings
}

/// Whether a server could listen there.
fn port(address: SocketAddr) -> Finding {
    let port = address.port();
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(
            PORT,
            format!("{address} is free, and no server runs on the data folder"),
        ),
        Err(error) => {
            let mend = match error.kind() {
                ErrorKind::AddrInUse => {
                    format!(
                        "ss -ltnp 'sport = :{port}'    tells who has it; or choose another with bind_port"
                    )
                }
                ErrorKind::PermissionDenied => {
                    "choose one above 1023 with bind_port, or run it by faafo.service".into()
                }
                _ => "name an address of this machine with listen_address".into(),
            };
            Finding::wrong(PORT, format!("cannot listen on {address}: {error}"), mend)
        }
    }
}

/// Why an address is none of a server that is ready.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    #[error("{}", outward::root_cause(.0))]
    Unreachable(reqwest::Error),
    #[error("it is not ready")]
    NotYet,
    #[error("another program answers")]
    Other,
}

/// What the server at this address says of itself.
pub async fn ready(http: &Client, base: &str) -> Result<ReadyDoc, Unready> {
    let asked = http.get(format!("{base}/readyz")).send().await;
    let answer = asked.map_err(Unready::Unreachable)?;
    let status = answer.status();
    match answer.json().await {
        Ok(ready) if status.is_success() => Ok(ready),
        _ if status == StatusCode::SERVICE_UNAVAILABLE => Err(Unready::NotYet),
        _ => Err(Unready::Other),
    }
}

/// Asks the server of this machine.
struct Asker {
    base: String,
    http: Option<Client>,
}

impl Asker {
    fn new(config: &Config) -> Asker {
        let port = config.address.port();
        let ip = match config.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        // Its certificate is hardly one for this address, and what is asked leaves no secret to others:
        // it stays on this machine.
        let http = outward::builder(None, false).ok().and_then(|http| {
            http.timeout(PATIENCE)
                .no_proxy()
                .tls_danger_accept_invalid_certs(true)
                .build()
                .ok()
        });
        Asker {
            base: format!("{scheme}://{}", SocketAddr::new(ip, port)),
            http,
        }
    }

    fn http(&self) -> Result<&Client, String> {
        self.http.as_ref().ok_or_else(|| "cannot ask".into())
    }

    async fn ready(&self) -> Result<ReadyDoc, String> {
        let ready = ready(self.http()?, &self.base).await;
        ready.map_err(|why| why.to_string())
    }

    /// Whether the server takes the tokens that these settings lead to, by requests that change
    /// nothing.
    async fn tokens(&self, config: &Config) -> Vec<Finding> {
        let (Some(places), Ok(http)) = (&config.tokens, self.http()) else {
            return Vec::new();
        };
        let nobody = Uuid::nil();
        let retry = http.post(format!("{}/v1/fractal/{nobody}/retry", self.base));
        let back = http.post(format!("{}/v1/leases/return", self.base));
        let back = back.json(&json!({"worker": nobody, "leases": []}));
        let user = refused(&places.user, retry).await;
        let worker = refused(&places.worker, back).await;
        user.into_iter().chain(worker).collect()
    }

    async fn workers(&self, queued: u64) -> Finding {
        let list: Result<WorkersDoc, String> = async {
            let asked = self
                .http()?
                .get(format!("{}/v1/workers", self.base))
                .send()
                .await;
            let answer = asked.map_err(|error| outward::root_cause(&error))?;
            answer.json().await.map_err(|error| error.to_string())
        }
        .await;
        let list = match list {
            Ok(list) => list,
            Err(why) => return Finding::wrong(WORKERS, why, "journalctl -u faafo"),
        };
        let mend = format!("faafo worker --endpoint-url {}", self.base);
        if list.objects.is_empty() {
            return match queued {
                0 => Finding::note(WORKERS, "nobody works for the farm", mend),
                n => Finding::wrong(WORKERS, format!("nobody renders, and {n} waiting"), mend),
            };
        }
        let slots: u32 = list.objects.iter().map(|worker| worker.slots).sum();
        let says = format!("{} of them, {slots} pictures at a time", list.num_results);
        if let Some(other) = list
            .objects
            .iter()
            .find(|w| w.version != env!("CARGO_PKG_VERSION"))
        {
            let says = format!("{says}; {} has version {}", other.name, other.version);
            return Finding::note(WORKERS, says, "upgrade whichever is older");
        }
        if let Some(silent) = list.objects.iter().find(|worker| worker.silent > SILENCE) {
            let says = format!(
                "{says}; {} is silent for {:.0} s",
                silent.name, silent.silent
            );
            return Finding::note(WORKERS, says, "journalctl -u faafo-worker    there");
        }
        Finding::ok(WORKERS, says)
    }
}

/// What is wrong if a server that runs does not take a token.
async fn refused(place: &Place, request: RequestBuilder) -> Option<Finding> {
    // What is wrong with the file has been told.
    let token = place.read().ok()?;
    let answer = request.bearer_auth(token.expose()).send().await.ok()?;
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status());
    let (kind, path) = (place.kind().name(), place.path().display());
    refused.then(|| {
        Finding::wrong(
            TOKENS,
            format!(
                "the server does not take the {kind} token in {path}: it was started with another"
            ),
            "systemctl restart faafo    takes up these settings",
        )
    })
}
