//! `faafo worker`: render for a farm elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use super::{Done, Failure, client, node};
use crate::config::{self, LogFormat, LogLevel};
use crate::node::run_worker;
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
  faafo worker --endpoint-url http://a:8080 --endpoint-url http://b:8080    either will do")]
pub struct WorkerArgs {
    /// Address of an API node of the farm; given more than once, it goes on with another when one
    /// fails
    #[arg(
        long,
        env = "FAAFO_ENDPOINT_URL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8080"
    )]
    endpoint_url: Vec<Url>,

    /// File with the workers' token, read again when it changes [default: the credential
    /// worker-token of systemd, else that of this machine's farm]
    #[arg(long, env = "FAAFO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Authorities to trust instead of the system's, in PEM
    #[arg(long, env = "FAAFO_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Pictures rendered at a time [default: number of cores]
    #[arg(long, env = "FAAFO_WORKERS", value_name = "N")]
    workers: Option<usize>,

    /// Name on the farm's list and in the images' documents [default: the host's]
    #[arg(long, env = "FAAFO_NAME", value_name = "NAME")]
    name: Option<String>,

    /// Folder for results that no API node takes [default: ~/.local/state/faafo/spool]
    #[arg(long, env = "FAAFO_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,

    /// Most megabytes in it; then no further task is taken
    #[arg(
        long,
        env = "FAAFO_SPOOL_SIZE",
        value_name = "MB",
        default_value_t = 1000
    )]
    spool_size: u64,

    /// Form of the log on standard error
    #[arg(
        long,
        env = "FAAFO_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,

    /// Least important messages that are logged
    #[arg(
        long,
        env = "FAAFO_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    log_level: LogLevel,

    /// Seconds that stopping may take
    #[arg(
        long,
        env = "FAAFO_GRACE_PERIOD",
        value_name = "SECONDS",
        default_value_t = 30
    )]
    grace_period: u64,
}

pub fn run(args: WorkerArgs) -> Done {
    let (level, format) = (args.log_level, args.log_format);
    let grace = Duration::from_secs(args.grace_period);
    let settings = checked(args)?;
    node::start_log(level, format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_worker(settings, grace))?;
    // What is still running was left behind knowingly: do not wait for it.
    runtime.shutdown_background();
    Ok(())
}

fn checked(args: WorkerArgs) -> Result<remote::Settings, Failure> {
    let usage = |message: String| Err(Failure::Usage(message));
    for url in &args.endpoint_url {
        if !matches!(url.scheme(), "http" | "https") {
            return usage(format!(
                "--endpoint-url {url} must begin with http:// or https://"
            ));
        }
    }
    let slots = args.workers.unwrap_or_else(config::cores);
    if !(1..=1024).contains(&slots) {
        return usage(format!("workers is {slots}, but must be from 1 to 1024"));
    }
    let name = args.name.unwrap_or_else(host_name);
    if name.is_empty() || name.chars().count() > 256 {
        return usage("name must have 1 to 256 characters".into());
    }
    let spool = match args.spool {
        Some(folder) => folder,
        None => config::default_spool().map_err(|error| Failure::Usage(error.to_string()))?,
    };
    Ok(remote::Settings {
        token: token(args.token_file, &args.endpoint_url)?,
        name,
        slots,
        endpoints: args.endpoint_url,
        ca_file: args.ca_file,
        spool,
        spool_bytes: args.spool_size.saturating_mul(1_000_000),
    })
}

/// The token that was named, or handed over by systemd; for a farm on this machine its own, if there
/// is one.
fn token(
    named: Option<PathBuf>,
    endpoints: &[Url],
) -> Result<Option<Watched<crate::tokens::Token>>, TokenFileError> {
    let data = match std::env::var_os("FAAFO_DATA_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => config::default_data_dir().unwrap_or_default(),
    };
    let place = Place::find(Kind::Worker, named, &data);
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
