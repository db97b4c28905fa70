//! `faafo provision`: put a farm onto an OpenStack cloud, look after it, take it away.

mod down;
mod heat;
mod look;
mod up;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Done, Failure};
use crate::provision::cloud::{Access, Asked, Cloud};
use crate::provision::{Error, Name, Wanted};

pub use up::NodeArgs;

const EXAMPLES: &str = "\
Examples:
  export OS_CLOUD=mycloud                            one of those in your clouds.yaml
  faafo provision plan                               what would be made; makes nothing
  faafo provision up                                 a farm on one instance
  faafo provision up --topology split --workers 3    an API node and three workers
  faafo provision up --topology scaled-out           RabbitMQ, MariaDB, two API nodes, two workers
  faafo provision status                             how it is
  faafo provision scale --workers 5                  two more
  faafo provision token > farm-token                 what creating fractals there takes
  faafo provision heat --topology autoscaling        a template for Heat
  faafo provision down                               all of it away";

#[derive(Args)]
#[command(
    before_help = EXAMPLES,
    help_template = "{about-with-newline}\n{before-help}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct ProvisionArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell what is there, what would be made, and whether the quota suffices
    Plan(up::PlanArgs),
    /// Make what is missing, and wait until the farm answers
    Up(up::UpArgs),
    /// Tell how a deployment is
    Status(look::StatusArgs),
    /// List all deployments in the project
    List(look::ListArgs),
    /// Write a template for Heat, or have Heat make a farm of it
    Heat(heat::HeatArgs),
    /// Have more workers or API nodes, or fewer
    Scale(up::ScaleArgs),
    /// Print a token of a deployment's farm
    Token(look::TokenArgs),
    /// Print the last lines of a node's console
    Logs(look::LogsArgs),
    /// Log in to a node
    Ssh(look::SshArgs),
    /// Delete all of a deployment
    Down(down::DownArgs),
}

/// Which deployment, in which cloud.
#[derive(Args, Clone, Debug)]
struct Target {
    /// Name of the deployment; those who share a project each have their own [default: the user's]
    #[arg(long, env = "FAAFO_DEPLOYMENT", value_name = "NAME")]
    name: Option<Name>,

    #[command(flatten)]
    cloud: CloudArgs,
}

#[derive(Args, Clone, Debug)]
pub struct CloudArgs {
    /// One of the clouds in clouds.yaml [default: OS_* variables of an openrc file, else the only one]
    #[arg(long, env = "OS_CLOUD", value_name = "NAME", help_heading = "Cloud")]
    os_cloud: Option<String>,

    /// Region of it
    #[arg(
        long,
        env = "OS_REGION_NAME",
        value_name = "NAME",
        help_heading = "Cloud"
    )]
    os_region_name: Option<String>,
}

/// Files for the tokens, for clouds that have no object store.
#[derive(Args, Clone, Debug, Default)]
pub struct TokenFiles {
    /// File with the farm's token for those who write, made if it is not there [default: kept in the
    /// cloud's object store]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with the farm's token for workers, likewise
    #[arg(long, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
}

impl Target {
    fn name(&self) -> Name {
        self.name.clone().unwrap_or_else(Name::of_user)
    }
}

impl CloudArgs {
    async fn connect(&self) -> Result<Cloud, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let asked = Asked {
            cloud: given(&self.os_cloud),
            region: given(&self.os_region_name),
        };
        let access = Access::find(&asked).map_err(|error| Failure::Usage(error.to_string()))?;
        if !access.verify {
            eprintln!(
                "faafo: warning: {} says not to verify certificates: whoever sits on the way can \
                 read your password; name the authority with cacert instead",
                access.origin
            );
        }
        Ok(Cloud::connect(access).await?)
    }
}

/// The cloud, and how new workers of a deployment in it are to be.
pub async fn workers_of(
    name: Name,
    cloud: CloudArgs,
    nodes: NodeArgs,
    tokens: TokenFiles,
) -> Result<(Cloud, Wanted), Failure> {
    let target = Target {
        name: Some(name),
        cloud,
    };
    let wanted = up::wanted(&target, None, None, None, nodes, tokens).map_err(failure)?;
    Ok((target.cloud.connect().await?, wanted))
}

pub fn failure(error: Error) -> Failure {
    match error {
        Error::Usage(message) => Failure::Usage(message),
        other => Failure::Failed(other.into()),
    }
}

pub fn run(args: ProvisionArgs) -> Done {
    match args.command {
        // It asks what to do when it is interrupted.
        Command::Up(args) => on_own_network(up::up(args)),
        Command::Plan(args) => super::on_network(up::plan(args)),
        Command::Heat(args) => super::on_network(heat::run(args)),
        Command::Scale(args) => super::on_network(up::scale(args)),
        Command::Status(args) => super::on_network(look::status(args)),
        Command::List(args) => super::on_network(look::list(args)),
        Command::Token(args) => super::on_network(look::token(args)),
        Command::Logs(args) => super::on_network(look::logs(args)),
        Command::Ssh(args) => super::on_network(look::ssh(args)),
        Command::Down(args) => super::on_network(down::down(args)),
    }
}

fn on_own_network(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(super::LEAVE);
    done
}

/// Asks on the terminal. `None`, if there is none. It waits on another thread, so that Ctrl-C is heard
/// meanwhile by whoever waits for the answer.
async fn ask(question: &str) -> Option<String> {
    use std::io::{BufRead, IsTerminal, Write};
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return None;
    }
    write!(stderr, "{question} ").ok()?;
    stderr.flush().ok()?;
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer).ok()?;
        Some(answer.trim().to_lowercase())
    });
    answer.await.ok()?
}
