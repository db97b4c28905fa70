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

    /// Pictures rendered at a time [default: number of cores]
    #[arg(long, env = "FAAFO_WORKERS", value_name = "N")]
    pub workers: Option<usize>,

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
    /// At least 1.
    pub workers: usize,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    pub grace_period: Duration,
    pub policy: Policy,
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
            workers: self.workers.or(other.workers),
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

    pub fn checked(self) -> Result<Config, ConfigError> {
        let ip = self.listen_address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        if !ip.is_loopback() {
            return Err(ConfigError(format!(
                "listen_address {ip} is reachable by others, and this version cannot tell who may \
                 write: listen on 127.0.0.1, and reach it from elsewhere by `ssh -L 8080:127.0.0.1:8080`"
            )));
        }
        let workers = self.workers.unwrap_or_else(cores);
        if !(1..=1024).contains(&workers) {
            return Err(ConfigError(format!(
                "workers is {workers}, but must be from 1 to 1024; `faafo api` runs none"
            )));
        }
        if self.max_attempts == Some(0) {
            return Err(ConfigError("max_attempts must be at least 1".into()));
        }
        let data_dir = match self.data_dir {
            Some(folder) => folder,
            None => default_data_dir()?,
        };
        let (limits, policy) = (Limits::default(), Policy::default());
        Ok(Config {
            address: SocketAddr::new(ip, self.bind_port.unwrap_or(8080)),
            data_dir,
            workers,
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
fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let folder = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("faafo"))
        .ok_or_else(|| {
            ConfigError("neither HOME nor XDG_DATA_HOME is set: name a --data-dir".into())
        })
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
                listen_address: Some([0, 0, 0, 0].into()),
                ..settings.clone()
            })
            .contains("reachable by others")
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
}
