//! What can be set, by flag, environment or file: one list for all three.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::ConfigError;
use crate::log::{LogFormat, LogLevel};
use crate::queue::amqp::{QueueType, TransportUrl};
use crate::store::url::Secret;

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

    /// Database for fractals and images: mysql://, postgres:// or sqlite:// [default: a file in the
    /// data folder]. Whoever lists processes sees flags: a URL with a password goes into a file
    #[arg(
        long,
        env = "FAAFO_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<Secret>,

    /// File that holds the database's URL [default: the credential database-url of systemd]
    #[arg(long, env = "FAAFO_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// RabbitMQ that hands out the tasks, amqp:// or amqps:// [default: none]. Whoever lists processes
    /// sees flags: a URL with a password goes into a file
    #[arg(
        long,
        env = "FAAFO_TRANSPORT_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "RabbitMQ"
    )]
    pub transport_url: Option<TransportUrl>,

    /// File that holds RabbitMQ's URL [default: the credential transport-url of systemd]
    #[arg(
        long,
        env = "FAAFO_TRANSPORT_URL_FILE",
        value_name = "FILE",
        help_heading = "RabbitMQ"
    )]
    pub transport_url_file: Option<PathBuf>,

    /// Authorities that RabbitMQ's certificate may be from, besides the system's, in PEM
    #[arg(
        long,
        env = "FAAFO_TRANSPORT_CA_FILE",
        value_name = "FILE",
        help_heading = "RabbitMQ"
    )]
    pub transport_ca_file: Option<PathBuf>,

    /// Kind of the queue; all nodes and workers of a farm must say the same [default: classic]
    #[arg(
        long,
        env = "FAAFO_QUEUE_TYPE",
        value_name = "TYPE",
        help_heading = "RabbitMQ"
    )]
    pub queue_type: Option<QueueType>,

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

    /// Pictures rendered at a time [default: number of cores, or fewer if memory is limited]
    #[arg(long, env = "FAAFO_WORKERS", value_name = "N")]
    pub workers: Option<usize>,

    /// Seconds after which a task of a silent worker goes to another [default: 30]
    #[arg(long, env = "FAAFO_LEASE", value_name = "SECONDS")]
    pub lease: Option<u64>,

    /// Form of the log on standard error [default: text, or journal where systemd's journal takes it]
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

    /// Most frames of an animation, up to 4095 [default: 600]
    #[arg(
        long,
        env = "FAAFO_MAX_FRAMES",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_frames: Option<u32>,

    /// Attempts after which a fractal has failed [default: 3]
    #[arg(
        long,
        env = "FAAFO_MAX_ATTEMPTS",
        value_name = "N",
        help_heading = "Limits"
    )]
    pub max_attempts: Option<u32>,

    // For workers elsewhere, who read the same file: `faafo worker` has flags of its own for these.
    #[arg(skip)]
    pub endpoint_url: Option<Addresses>,
    #[arg(skip)]
    pub ca_file: Option<PathBuf>,
    #[arg(skip)]
    pub name: Option<String>,
    #[arg(skip)]
    pub spool: Option<PathBuf>,
    #[arg(skip)]
    pub spool_size: Option<u64>,
    #[arg(skip)]
    pub metrics_address: Option<SocketAddr>,
}

/// One address, or several of which any will do.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "an address or a list of them")]
pub enum Addresses {
    One(String),
    Several(Vec<String>),
}

impl Addresses {
    pub fn list(self) -> Vec<String> {
        match self {
            Addresses::One(address) => vec![address],
            Addresses::Several(addresses) => addresses,
        }
    }
}

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
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let (path, message) = (path.display(), error.message());
            ConfigError(format!("in the settings {path}, line {line}: {message}"))
        })
    }

    /// These settings, and `other` where they say nothing.
    pub fn or(self, other: Settings) -> Settings {
        // Whoever names a database here means none that is named there.
        let (database_url, database_url_file) = match (self.database_url, self.database_url_file) {
            (None, None) => (other.database_url, other.database_url_file),
            named => named,
        };
        // Whoever names a broker here means none that is named there.
        let (transport_url, transport_url_file) =
            match (self.transport_url, self.transport_url_file) {
                (None, None) => (other.transport_url, other.transport_url_file),
                named => named,
            };
        Settings {
            transport_url,
            transport_url_file,
            transport_ca_file: self.transport_ca_file.or(other.transport_ca_file),
            queue_type: self.queue_type.or(other.queue_type),
            listen_address: self.listen_address.or(other.listen_address),
            bind_port: self.bind_port.or(other.bind_port),
            data_dir: self.data_dir.or(other.data_dir),
            database_url,
            database_url_file,
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
            max_frames: self.max_frames.or(other.max_frames),
            max_attempts: self.max_attempts.or(other.max_attempts),
            endpoint_url: self.endpoint_url.or(other.endpoint_url),
            ca_file: self.ca_file.or(other.ca_file),
            name: self.name.or(other.name),
            spool: self.spool.or(other.spool),
            spool_size: self.spool_size.or(other.spool_size),
            metrics_address: self.metrics_address.or(other.metrics_address),
        }
    }

    /// Reads `file`, if one is named, and these settings go before what it says.
    pub fn over(self, file: Option<&Path>) -> Result<Settings, ConfigError> {
        match file {
            Some(path) => Ok(self.or(Settings::from_file(path)?)),
            None => Ok(self),
        }
    }
}
