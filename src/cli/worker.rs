//! `faafo worker`: render for a farm elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure, node};
use crate::config::{Addresses, ConfigError, Settings};
use crate::log::{LogFormat, LogLevel};
use crate::node::{WorkerStart, run_worker};
use crate::queue::amqp::{QueueType, TransportUrl};

#[derive(Args, Clone)]
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
    let read = move || settings(&args).and_then(Settings::checked_for_worker);
    let config = read().map_err(|error| Failure::Usage(error.to_string()))?;
    let token = config.token()?;
    node::start_log(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let start = WorkerStart {
        token,
        reread: Box::new(read),
    };
    runtime.block_on(run_worker(config, start))?;
    // What is still running was left behind knowingly: do not wait for it.
    runtime.shutdown_background();
    Ok(())
}

/// What flags and environment say, and the file where they say nothing.
fn settings(args: &WorkerArgs) -> Result<Settings, ConfigError> {
    let args = args.clone();
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
