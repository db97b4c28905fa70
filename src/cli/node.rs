//! `faafo all` and `faafo api`: run a node.

use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::{Done, Failure};
use crate::config::{Config, ConfigError, LogFormat, LogLevel, Settings};
use crate::node::{self, Role};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo all --demo
  faafo all --bind-port 9000 --data-dir ./farm --workers 2")]
pub struct AllArgs {
    /// Create ten fractals if there is none
    #[arg(long)]
    demo: bool,

    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub struct ApiArgs {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
struct NodeArgs {
    /// Settings in a TOML file, such as `bind_port = 9000`
    #[arg(long, env = "FAAFO_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

pub fn all(args: AllArgs) -> Done {
    let role = Role {
        renders: true,
        demo: args.demo,
    };
    run(args.node, role)
}

pub fn api(args: ApiArgs) -> Done {
    let role = Role {
        renders: false,
        demo: false,
    };
    run(args.node, role)
}

fn run(args: NodeArgs, role: Role) -> Done {
    let config = config(args).map_err(|error| Failure::Usage(error.to_string()))?;
    start_log(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(node::run(config, role))?;
    // What is still running was left behind knowingly: do not wait for it.
    runtime.shutdown_background();
    Ok(())
}

fn config(args: NodeArgs) -> Result<Config, ConfigError> {
    let file = match &args.config_file {
        Some(path) => Settings::from_file(path)?,
        None => Settings::default(),
    };
    args.settings.or(file).checked()
}

pub fn start_log(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries speak up only when something is wrong.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("faafo", level);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => {
            let colours = super::output::colours(&std::io::stderr());
            lines.with_target(false).with_ansi(colours).boxed()
        }
    };
    // Fails only if there is a log already, as in tests.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}
