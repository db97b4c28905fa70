//! Settings of a node: flags, else environment, else file, else default.
//!
//! Flags and file fill the same [`Settings`]; [`Settings::checked`] makes of them what the node
//! runs by, and after that nothing can be wrong any more.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::farm::Policy;
use crate::fractal::Limits;
use crate::tokens::{Kind, Place};

/// What can be set, as it was given: each is `None` where nobody said anything.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "FAAFO_LISTEN_ADDRESS", value_name = "ADDRESS")]
    pub listen_address: Option<IpAddr>,

    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, env = "FAAFO_BIND_PORT", value_name = "PORT")]
    pub bind_port: Option<u16>,

    /// Folder for fractals and images [default: ~/.local/share/faafo]
    #[arg(long, env = "FAAFO_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// File with the token for those who write; then it is asked for on loopback, too [default: the
    /// credential user-token of systemd, else one in the data folder, made when it is needed]
    #[arg(
        long,
        env = "FAAFO_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub token_file: Option<PathBuf>,

    /// File with the token for workers [default: the credential worker-token, else as above]
    #[arg(
        long,
        env = "FAAFO_WORKER_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub worker_token_file: Option<PathBuf>,

    /// Certificates in PEM, the server's own first: serve HTTPS; read again when it changes
    #[arg(
        long,
        env = "FAAFO_TLS_CERT",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM
    #[arg(
        long,
        env = "FAAFO_TLS_KEY",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub tls_key: Option<PathBuf>,

    /// A proxy of yours, which speaks HTTPS, passes on requests of others: ask for tokens on
    /// loopback, too, and believe its X-Forwarded-Proto and -Host
    #[arg(
        long,
        env = "FAAFO_BEHIND_PROXY",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Access"
    )]
    pub behind_proxy: Option<bool>,

    /// Pictures rendered at a time [default: number of cores]
    #[arg(long, env = "FAAFO_WORKERS", value_name = "N")]
    pub workers: Option<usize>,

    /// Seconds after which a task of a silent worker goes to another [default: 30]
    #[arg(long, env = "FAAFO_LEASE", value_name = "SECONDS")]
    pub lease: Option<u64>,

    /// Form of the log on standard error [default: text]
    #[arg(long, env = "FAAFO_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Least important messages that are logged [default: info]
    #[arg(long, env = "FAAFO_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,

    /// Seconds that stopping may take [default: 30]
    #[arg(long, env = "FAAFO_GRACE_PERIOD", value_name = "SECONDS")]
    pub grace_period: Option<u64>,

    /// Most pixels a side [default: 20000]
    #[arg(
        long,
        env = "FAAFO_MAX_SIDE",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_side: Option<u32>,

    /// Most pixels of a picture [default: 100000000]
    #[arg(
        long,
        env = "FAAFO_MAX_PIXELS",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_pixels: Option<u64>,

    /// Most iterations a pixel [default: 1000000]
    #[arg(
        long,
        env = "FAAFO_MAX_ITERATIONS",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_iterations: Option<u32>,

    /// Most iterations of all pixels of a picture [default: 1000000000000]
    #[arg(
        long,
        env = "FAAFO_MAX_WORK",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_work: Option<u64>,

    /// Most fractals that may wait [default: 1000000]
    #[arg(
        long,
        env = "FAAFO_MAX_QUEUED",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_queued: Option<u64>,

    /// Attempts after which a fractal has failed [default: 3]
    #[arg(
        long,
        env = "FAAFO_MAX_ATTEMPTS",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_attempts: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

/// What a node runs by.
#[derive(Clone, Debug)]
pub struct Config {
    pub address: SocketAddr,
    pub data_dir: PathBuf,
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
    /// Reads a file in TOML with the flags' names as keys, `_` for `-`.
    pub fn from_file(path: &Path) -> Result<Settings, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!(
                "cannot read the settings {}: {error}",
                path.display()
            ))
        })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].lines().count().max(1));
            let (path, message) = (path.display(), error.message());
            ConfigError(format!("in the settings {path}, line {line}: {message}"))
        })
    }

    /// These settings, and `other` where they say nothing.
    pub fn or(self, other: Settings) -> Settings {
        Settings {
            listen_address: self.listen_address.or(other.listen_address),
            bind_port: self.bind_port.or(other.bind_port),
            data_dir: self.data_dir.or(other.data_dir),
            token_file: self.token_file.or(other.token_file),
            worker_token_file: self.worker_token_file.or(other.worker_token_file),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            behind_proxy: self.behind_proxy.or(other.behind_proxy),
            workers: self.workers.or(other.workers),
            lease: self.lease.or(other.lease),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            grace_period: self.grace_period.or(other.grace_period),
            max_side: self.max_side.or(other.max_side),
            max_pixels: self.max_pixels.or(other.max_pixels),
            max_iterations: self.max_iterations.or(other.max_iterations),
            max_work: self.max_work.or(other.max_work),
            max_queued: self.max_queued.or(other.max_queued),
            max_attempts: self.max_attempts.or(other.max_attempts),
        }
    }

    fn data_folder(&self) -> Result<PathBuf, ConfigError> {
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
        let workers = self.workers.unwrap_or_else(cores);
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
        if self.max_attempts == Some(0) {
            return Err(ConfigError("max_attempts must be at least 1".into()));
        }
        let data_dir = self.data_folder()?;
        let (limits, policy) = (Limits::default(), Policy::default());
        Ok(Config {
            address: SocketAddr::new(ip, self.bind_port.unwrap_or(8080)),
            data_dir,
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
                attempts: self.max_attempts.unwrap_or(policy.attempts),
            },
        })
    }
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The platform's folder for a user's data. Asks the environment only: looking up the user in a
/// static binary would load the host's libraries.
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    user_folder("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
        ConfigError("neither HOME nor XDG_DATA_HOME is set: name a --data-dir".into())
    })
}

/// Where a worker keeps results that cannot be delivered.
pub fn default_spool() -> Result<PathBuf, ConfigError> {
    // What systemd makes for a service.
    let given = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    given
        .filter(|path| path.is_absolute())
        .or_else(|| user_folder("XDG_STATE_HOME", ".local/state"))
        .map(|state| state.join("spool"))
        .ok_or_else(|| {
            ConfigError("neither HOME nor XDG_STATE_HOME is set: name a --spool folder".into())
        })
}

fn user_folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let folder = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder(variable)
        .or_else(|| folder("HOME").map(|home| home.join(in_home)))
        .map(|folder| folder.join("faafo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_the_file_and_that_before_the_default() {
        let flags = Settings {
            bind_port: Some(9000),
            ..Settings::default()
        };
        let file: Settings =
            toml::from_str("bind_port = 1\nworkers = 3\nlog_format = \"json\"\ndata_dir = \"/d\"")
                .unwrap();
        let config = flags.or(file).checked().unwrap();
        assert_eq!(config.address.to_string(), "127.0.0.1:9000");
        assert_eq!((config.workers, config.log_format), (3, LogFormat::Json));
        assert_eq!(config.policy.queued, 1_000_000);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |settings: Settings| settings.checked().unwrap_err().to_string();
        let settings = Settings {
            data_dir: Some("/d".into()),
            ..Settings::default()
        };
        assert!(
            refused(Settings {
                tls_cert: Some("/c".into()),
                ..settings.clone()
            })
            .contains("both tls_cert and tls_key")
        );
        assert!(
            refused(Settings {
                workers: Some(0),
                ..settings
            })
            .contains("workers is 0")
        );
        assert!(toml::from_str::<Settings>("no_such_key = 1").is_err());
    }

    #[test]
    fn tokens_are_asked_for_wherever_others_may_come_in() {
        let asks = |settings: Settings| {
            let settings = Settings {
                data_dir: Some("/d".into()),
                ..settings
            };
            settings.checked().unwrap().tokens.is_some()
        };
        let at = |ip: &str| Settings {
            listen_address: ip.parse().ok(),
            ..Settings::default()
        };
        assert!(!asks(at("127.0.0.1")));
        assert!(!asks(at("127.9.9.9")));
        assert!(!asks(at("::1")));
        assert!(asks(at("0.0.0.0")));
        assert!(asks(at("::")));
        assert!(asks(at("192.0.2.1")));
        assert!(asks(Settings {
            behind_proxy: Some(true),
            ..at("127.0.0.1")
        }));
        assert!(asks(Settings {
            worker_token_file: Some("/t".into()),
            ..at("127.0.0.1")
        }));
    }
}
