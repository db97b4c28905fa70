//! `faafo worker`: render for a farm elsewhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use super::{Done, Failure, client, node};
use crate::config::{self, Addresses, ConfigError, Settings};
use crate::log::{LogFormat, LogLevel};
use crate::node::run_worker;
use crate::queue::amqp::{QueueType, TransportUrl};
use crate::tokens::{Kind, Place, TokenFileError};
use crate::watched::Watched;
use crate::worker::{host_name, remote};

#[derive(Args)]
#[command(after_help = "\
A worker needs no open port and keeps no data, but for results that no API node takes: these it
delivers later, also after a start of its own.

Examples:
  faafo worker                                        for the farm on this machine
  faafo worker --endpoint-url https://farm.example:8080 --token-file worker-token
  faafo worker --endpoint-url http://a:8080 --endpoint-url http://b:8080    either will do
  faafo worker --transport-url-file broker-url --endpoint-url http://a:8080   tasks from RabbitMQ")]
pub struct WorkerArgs {
    /// Settings in a TOML file, which may be that of a server, too: `worker_token_file` is then this
    /// worker's token
    #[arg(long, env = "FAAFO_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// Address of an API node of the farm; given more than once, it goes on with another when one
    /// fails [default: http://127.0.0.1:8080]
    #[arg(
        long,
        env = "FAAFO_ENDPOINT_URL",
        value_name = "URL",
        value_delimiter = ','
    )]
    endpoint_url: Option<Vec<String>>,

    /// File with the workers' token, read again when it changes [default: the credential
    /// worker-token of systemd, else that of this machine's farm]
    #[arg(long, env = "FAAFO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// RabbitMQ to take tasks from, amqp:// or amqps://; results still go to an API node. Whoever lists
    /// processes sees flags: a URL with a password goes into a file
    #[arg(
        long,
        env = "FAAFO_TRANSPORT_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    transport_url: Option<TransportUrl>,

    /// File that holds RabbitMQ's URL [default: the credential transport-url of systemd]
    #[arg(long, env = "FAAFO_TRANSPORT_URL_FILE", value_name = "FILE")]
    transport_url_file: Option<PathBuf>,

    /// Kind of RabbitMQ's queue, as the API nodes have it [default: classic]
    #[arg(long, env = "FAAFO_QUEUE_TYPE", value_name = "TYPE")]
    queue_type: Option<QueueType>,

    /// Authorities to trust instead of the system's, and for RabbitMQ besides them, in PEM
    #[arg(long, env = "FAAFO_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Pictures rendered at a time [default: number of cores, or fewer if memory is limited]
    #[arg(long, env = "FAAFO_WORKERS", value_name = "N")]
    workers: Option<usize>,

    /// Name on the farm's list and in the images' documents [default: the host's]
    #[arg(long, env = "FAAFO_NAME", value_name = "NAME")]
    name: Option<String>,

    /// Folder for results that no API node takes [default: ~/.local/state/faafo/spool]
    #[arg(long, env = "FAAFO_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,

    /// Most megabytes in it; then no further task is taken [default: 1000]
    #[arg(long, env = "FAAFO_SPOOL_SIZE", value_name = "MB")]
    spool_size: Option<u64>,

    /// Where Prometheus may ask for this worker's metrics, as ADDRESS:PORT [default: nowhere]
    #[arg(long, env = "FAAFO_METRICS_ADDRESS", value_name = "ADDRESS")]
    metrics_address: Option<SocketAddr>,

    /// Form of the log on standard error [default: text, or journal where systemd's journal takes it]
    #[arg(long, env = "FAAFO_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// Least important messages that are logged [default: info]
    #[arg(long, env = "FAAFO_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<LogLevel>,

    /// Seconds that stopping may take [default: 30]
    #[arg(long, env = "FAAFO_GRACE_PERIOD", value_name = "SECONDS")]
    grace_period: Option<u64>,
}

pub fn run(args: WorkerArgs) -> Done {
    let settings = settings(args).map_err(|error| Failure::Usage(error.to_string()))?;
    let level = settings.log_level.unwrap_or_default();
    let format = settings.log_format.unwrap_or_default();
    let grace = Duration::from_secs(settings.grace_period.unwrap_or(30));
    let metrics = settings.metrics_address;
    let settings = checked(settings)?;
    node::start_log(level, format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_worker(settings, metrics, grace))?;
    // What is still running was left behind knowingly: do not wait for it.
    runtime.shutdown_background();
    Ok(())
}

/// What flags and environment say, and the file where they say nothing.
fn settings(args: WorkerArgs) -> Result<Settings, ConfigError> {
    let given = Settings {
        data_dir: std::env::var_os("FAAFO_DATA_DIR").map(PathBuf::from),
        worker_token_file: args.token_file,
        workers: args.workers,
        log_format: args.log_format,
        log_level: args.log_level,
        grace_period: args.grace_period,
        endpoint_url: args.endpoint_url.map(Addresses::Several),
        transport_url: args.transport_url,
        transport_url_file: args.transport_url_file,
        queue_type: args.queue_type,
        ca_file: args.ca_file,
        name: args.name,
        spool: args.spool,
        spool_size: args.spool_size,
        metrics_address: args.metrics_address,
        ..Settings::default()
    };
    given.over(args.config_file.as_deref())
}

fn checked(settings: Settings) -> Result<remote::Settings, Failure> {
    let usage = |message: String| Err(Failure::Usage(message));
    let data = settings.data_folder().unwrap_or_default();
    let authorities = settings.transport_ca_file.as_deref();
    let transport = settings.transport(authorities.or(settings.ca_file.as_deref()));
    let given = settings.endpoint_url.map(Addresses::list);
    let mut endpoints = Vec::new();
    for address in given.unwrap_or_else(|| vec!["http://127.0.0.1:8080".into()]) {
        match Url::parse(&address) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => endpoints.push(url),
            Ok(_) => {
                return usage(format!(
                    "the endpoint_url {address} must begin with http:// or https://"
                ));
            }
            Err(error) => {
                return usage(format!(
                    "the endpoint_url {address:?} is no address ({error}): write http://HOST:PORT"
                ));
            }
        }
    }
    if endpoints.is_empty() {
        return usage("endpoint_url names no address: write http://HOST:PORT".into());
    }
    let slots = settings.workers.unwrap_or_else(config::slots);
    if !(1..=1024).contains(&slots) {
        return usage(format!("workers is {slots}, but must be from 1 to 1024"));
    }
    let name = settings.name.unwrap_or_else(host_name);
    if name.is_empty() || name.chars().count() > 256 {
        return usage("name must have 1 to 256 characters".into());
    }
    let spool = match settings.spool {
        Some(folder) => folder,
        None => config::default_spool().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    Ok(remote::Settings {
        transport: transport.map_err(|error| Failure::Usage(error.to_string()))?,
        token: token(settings.worker_token_file, &data, &endpoints)?,
        name,
        slots,
        endpoints,
        ca_file: settings.ca_file,
        spool,
        spool_bytes: settings
            .spool_size
            .unwrap_or(1000)
            .saturating_mul(1_000_000),
    })
}

/// The token that was named, or handed over by systemd; for a farm on this machine its own, if there
/// is one.
fn token(
    named: Option<PathBuf>,
    data: &Path,
    endpoints: &[Url],
) -> Result<Option<Watched<crate::tokens::Token>>, TokenFileError> {
    let place = Place::find(Kind::Worker, named, data);
    let watch = || {
        let watched = place.clone();
        Watched::new(&[place.path()], Duration::from_secs(1), move || {
            watched.read()
        })
    };
    match place.is_given() {
        true => watch().map(Some),
        false if endpoints.iter().all(client::is_here) => Ok(watch().ok()),
        false => Ok(None),
    }
}
