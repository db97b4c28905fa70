//! Settings of a node: flags, else environment, else file, else default.
//!
//! Flags and file fill the same [`Settings`]; [`Settings::checked`] makes of them what the node
//! runs by, [`Settings::checked_for_worker`] what a worker does, and after that nothing can be wrong
//! any more.

mod defaults;
mod settings;
#[cfg(test)]
mod tests;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::animation::MOST_FRAMES;
use crate::farm::Policy;
use crate::fractal::Limits;
use crate::log::{LogFormat, LogLevel};
use crate::queue::amqp::{Transport, TransportError};
use crate::service;
use crate::store::url::Database;
use crate::tokens::{Kind, Place};

pub use defaults::{default_data_dir, default_spool, slots};
pub use settings::{Addresses, Settings};
pub use worker::WorkerConfig;

/// What a node runs by.
#[derive(Clone, Debug)]
pub struct Config {
    pub address: SocketAddr,
    pub data_dir: PathBuf,
    pub database: Database,
    /// RabbitMQ that hands out the tasks; `None`: this node does by itself.
    pub transport: Option<Transport>,
    /// Where the tokens are that writing takes; `None`: whoever gets here may write.
    pub tokens: Option<TokenPlaces>,
    pub tls: Option<TlsFiles>,
    pub behind_proxy: bool,
    /// At least 1.
    pub workers: usize,
    /// Of tasks to workers on other machines. 1 s at least.
    pub lease: Duration,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    pub grace_period: Duration,
    pub policy: Policy,
}

#[derive(Clone, Debug)]
pub struct TokenPlaces {
    pub user: Place,
    pub worker: Place,
}

#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A setting that cannot be meant: bad usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Settings {
    /// Where the server of these settings keeps what it has.
    pub fn data_folder(&self) -> Result<PathBuf, ConfigError> {
        match &self.data_dir {
            Some(folder) => Ok(folder.clone()),
            None => default_data_dir(),
        }
    }

    /// Where a server with these settings finds its tokens.
    pub fn token_places(&self) -> Result<TokenPlaces, ConfigError> {
        let data = self.data_folder()?;
        Ok(TokenPlaces {
            user: Place::find(Kind::User, self.token_file.clone(), &data),
            worker: Place::find(Kind::Worker, self.worker_token_file.clone(), &data),
        })
    }

    /// The database that was named, or handed over by systemd as the credential `database-url`.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let file = self.database_url_file.clone();
        let file = file.or_else(|| service::credential("database-url"));
        let url = match (self.database_url.clone(), file) {
            (Some(url), _) => url,
            (None, None) => return Ok(Database::InDataFolder),
            (None, Some(path)) => {
                let in_file = |error| {
                    let path = path.display();
                    ConfigError(format!("cannot read the database_url_file {path}: {error}"))
                };
                std::fs::read_to_string(&path).map_err(in_file)?.into()
            }
        };
        Database::parse(url.reveal()).map_err(|error| ConfigError(error.to_string()))
    }

    /// RabbitMQ, if it was named, or handed over by systemd as the credential `transport-url`.
    /// `authorities` is a file of those that its certificate may be from.
    pub fn transport(
        &self,
        authorities: Option<&Path>,
    ) -> Result<Option<Transport>, TransportError> {
        let file = self.transport_url_file.clone();
        let file = file.or_else(|| service::credential("transport-url"));
        Transport::find(
            self.transport_url.clone(),
            file.as_deref(),
            self.queue_type.unwrap_or_default(),
            authorities,
        )
    }

    pub fn checked(self) -> Result<Config, ConfigError> {
        let ip = self.listen_address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let behind_proxy = self.behind_proxy.unwrap_or(false);
        let places = self.token_places()?;
        let given = places.user.is_given() || places.worker.is_given();
        let reachable = !ip.is_loopback() || behind_proxy;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
            }),
            (None, None) => None,
            _ => {
                return Err(ConfigError(
                    "HTTPS takes both tls_cert and tls_key: name the other, too".into(),
                ));
            }
        };
        let workers = self.workers.unwrap_or_else(slots);
        if !(1..=1024).contains(&workers) {
            return Err(ConfigError(format!(
                "workers is {workers}, but must be from 1 to 1024; `faafo api` runs none"
            )));
        }
        let lease = self.lease.unwrap_or(30);
        if !(1..=3600).contains(&lease) {
            return Err(ConfigError(format!(
                "lease is {lease}, but must be from 1 to 3600 seconds"
            )));
        }
        if let Some(frames) = self.max_frames
            && !(2..=MOST_FRAMES).contains(&frames)
        {
            return Err(ConfigError(format!(
                "max_frames is {frames}, but must be from 2 to {MOST_FRAMES}"
            )));
        }
        if self.max_attempts == Some(0) {
            return Err(ConfigError("max_attempts must be at least 1".into()));
        }
        let data_dir = self.data_folder()?;
        let database = self.database()?;
        let transport = self.transport(self.transport_ca_file.as_deref());
        let transport = transport.map_err(|error| ConfigError(error.to_string()))?;
        let (limits, policy) = (Limits::default(), Policy::default());
        Ok(Config {
            address: SocketAddr::new(ip, self.bind_port.unwrap_or(8080)),
            data_dir,
            database,
            transport,
            tokens: (reachable || given).then_some(places),
            tls,
            behind_proxy,
            workers,
            lease: Duration::from_secs(lease),
            log_format: self.log_format.unwrap_or_default(),
            log_level: self.log_level.unwrap_or_default(),
            grace_period: Duration::from_secs(self.grace_period.unwrap_or(30)),
            policy: Policy {
                limits: Limits {
                    side: self.max_side.unwrap_or(limits.side),
                    pixels: self.max_pixels.unwrap_or(limits.pixels),
                    iterations: self.max_iterations.unwrap_or(limits.iterations),
                    work: self.max_work.unwrap_or(limits.work),
                },
                queued: self.max_queued.unwrap_or(policy.queued),
                frames: self.max_frames.unwrap_or(policy.frames),
                attempts: self.max_attempts.unwrap_or(policy.attempts),
            },
        })
    }
}

impl Config {
    /// The settings, by name, that differ in `new` and that a running node cannot change.
    pub fn fixed_that_differ(&self, new: &Config) -> Vec<&'static str> {
        let place = |config: &Config, kind: fn(&TokenPlaces) -> &Place| {
            config
                .tokens
                .as_ref()
                .map(|all| kind(all).path().to_owned())
        };
        let files = |config: &Config| {
            let files = config.tls.as_ref();
            files.map(|files| (files.cert.clone(), files.key.clone()))
        };
        let token = |kind| place(self, kind) != place(new, kind);
        let differing = [
            ("listen_address", self.address.ip() != new.address.ip()),
            ("bind_port", self.address.port() != new.address.port()),
            ("data_dir", self.data_dir != new.data_dir),
            ("database_url", self.database != new.database),
            (
                "transport_url or queue_type",
                self.transport != new.transport,
            ),
            ("token_file", token(|places| &places.user)),
            ("worker_token_file", token(|places| &places.worker)),
            ("tls_cert or tls_key", files(self) != files(new)),
            ("behind_proxy", self.behind_proxy != new.behind_proxy),
            ("workers", self.workers != new.workers),
            ("lease", self.lease != new.lease),
            ("log_format", self.log_format != new.log_format),
        ];
        let names = differing.into_iter().filter(|(_, differs)| *differs);
        names.map(|(name, _)| name).collect()
    }
}
