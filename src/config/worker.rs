//! Settings of a worker whose farm is elsewhere, which may be in the same file as a server's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::{Addresses, ConfigError, Settings, default_spool, slots};
use crate::log::{LogFormat, LogLevel};
use crate::outward;
use crate::queue::amqp::Transport;
use crate::tokens::{Kind, Place, Token, TokenFileError};
use crate::watched::Watched;
use crate::worker::host_name;

/// What a worker runs by.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// API nodes of its farm, any of which will do. One at least.
    pub endpoints: Vec<Url>,
    /// Where the workers' token is, if it is anywhere.
    pub token: Place,
    /// RabbitMQ that hands out the tasks; `None`: the endpoints do.
    pub transport: Option<Transport>,
    pub ca_file: Option<PathBuf>,
    /// At least 1.
    pub workers: usize,
    pub name: String,
    /// Where results are kept that cannot be delivered, and how many bytes of them.
    pub spool: PathBuf,
    pub spool_bytes: u64,
    /// Where it tells its metrics.
    pub metrics_address: Option<SocketAddr>,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    pub grace_period: Duration,
}

impl Settings {
    pub fn checked_for_worker(self) -> Result<WorkerConfig, ConfigError> {
        let refuse = |message: String| Err(ConfigError(message));
        let data = self.data_folder().unwrap_or_default();
        let authorities = self.transport_ca_file.as_deref();
        let transport = self.transport(authorities.or(self.ca_file.as_deref()));
        let given = self.endpoint_url.map(Addresses::list);
        let mut endpoints = Vec::new();
        for address in given.unwrap_or_else(|| vec!["http://127.0.0.1:8080".into()]) {
            match Url::parse(&address) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => endpoints.push(url),
                Ok(_) => {
                    return refuse(format!(
                        "the endpoint_url {address} must begin with http:// or https://"
                    ));
                }
                Err(error) => {
                    return refuse(format!(
                        "the endpoint_url {address:?} is no address ({error}): write http://HOST:PORT"
                    ));
                }
            }
        }
        if endpoints.is_empty() {
            return refuse("endpoint_url names no address: write http://HOST:PORT".into());
        }
        let workers = self.workers.unwrap_or_else(slots);
        if !(1..=1024).contains(&workers) {
            return refuse(format!("workers is {workers}, but must be from 1 to 1024"));
        }
        let name = self.name.unwrap_or_else(host_name);
        if name.is_empty() || name.chars().count() > 256 {
            return refuse("name must have 1 to 256 characters".into());
        }
        let spool = match self.spool {
            Some(folder) => folder,
            None => default_spool()?,
        };
        Ok(WorkerConfig {
            endpoints,
            token: Place::find(Kind::Worker, self.worker_token_file, &data),
            transport: transport.map_err(|error| ConfigError(error.to_string()))?,
            ca_file: self.ca_file,
            workers,
            name,
            spool,
            spool_bytes: self.spool_size.unwrap_or(1000).saturating_mul(1_000_000),
            metrics_address: self.metrics_address,
            log_format: self.log_format.unwrap_or_default(),
            log_level: self.log_level.unwrap_or_default(),
            grace_period: Duration::from_secs(self.grace_period.unwrap_or(30)),
        })
    }
}

impl WorkerConfig {
    /// Whether its farm is on this machine, and nowhere else.
    pub fn is_at_home(&self) -> bool {
        self.endpoints.iter().all(outward::is_here)
    }

    /// The token that was named, or handed over by systemd; for a farm on this machine its own, if
    /// there is one.
    pub fn token(&self) -> Result<Option<Watched<Token>>, TokenFileError> {
        let watch = || {
            let place = self.token.clone();
            Watched::new(&[self.token.path()], Duration::from_secs(1), move || {
                place.read()
            })
        };
        match self.token.is_given() {
            true => watch().map(Some),
            false if self.is_at_home() => Ok(watch().ok()),
            false => Ok(None),
        }
    }

    /// The settings, by name, that differ in `new` and that a running worker cannot change.
    pub fn fixed_that_differ(&self, new: &WorkerConfig) -> Vec<&'static str> {
        let differing = [
            ("endpoint_url", self.endpoints != new.endpoints),
            ("worker_token_file", self.token.path() != new.token.path()),
            (
                "transport_url or queue_type",
                self.transport != new.transport,
            ),
            ("ca_file", self.ca_file != new.ca_file),
            ("workers", self.workers != new.workers),
            ("name", self.name != new.name),
            ("spool", self.spool != new.spool),
            ("spool_size", self.spool_bytes != new.spool_bytes),
            (
                "metrics_address",
                self.metrics_address != new.metrics_address,
            ),
            ("log_format", self.log_format != new.log_format),
        ];
        let names = differing.into_iter().filter(|(_, differs)| *differs);
        names.map(|(name, _)| name).collect()
    }
}
