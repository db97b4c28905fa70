//! `faafo all` and `faafo api`: run a node.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Done, Failure, output};
use crate::config::{Config, ConfigError, Settings};
use crate::log::{self, LogFormat, LogLevel};
use crate::node::{self, Role, Start};
use crate::service;

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
    let inherited = service::inherited().context("cannot serve the socket that was handed over")?;
    let (listener, address) = inherited.unzip();
    let read = move || config(&args, address);
    let config = read().map_err(|error| Failure::Usage(error.to_string()))?;
    start_log(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let start = Start {
        role,
        listener,
        reread: Box::new(read),
    };
    runtime.block_on(node::run(config, start))?;
    // What is still running was left behind knowingly: do not wait for it.
    runtime.shutdown_background();
    Ok(())
}

/// `address` is that of the socket which was handed over, and goes before what was set.
fn config(args: &NodeArgs, address: Option<SocketAddr>) -> Result<Config, ConfigError> {
    let mut settings = args.settings.clone().over(args.config_file.as_deref())?;
    if let Some(address) = address {
        settings.listen_address = Some(address.ip());
        settings.bind_port = Some(address.port());
    }
    settings.checked()
}

pub fn start_log(level: LogLevel, format: LogFormat) {
    log::start(level, format, output::colours(&std::io::stderr()));
}
