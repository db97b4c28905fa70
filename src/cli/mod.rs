//! The command line: one file a command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 bad usage.

mod animate;
mod autoscale;
mod backup;
mod bench;
mod client;
mod completions;
mod create;
mod delete;
mod doctor;
mod file;
mod get;
mod here;
mod import;
mod list;
mod manual;
mod node;
mod output;
mod progress;
mod provision;
mod render;
mod restore;
mod retry;
mod show;
mod spec;
mod token;
mod watch;
mod worker;
mod workers;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::version;

const EXAMPLES: &str = "\
Examples:
  faafo all --demo                        start a farm with ten fractals, and open the printed address
  faafo create --tasks 5 --wait           create five random fractals and wait until they are done
  faafo create --width 1920 --height 1080 --c-re=-0.8 --c-im=0.156
  faafo animate --from-c=-0.8,0.156 --to-c=-0.4,0.6 -o path.png      a picture that moves
  faafo list --status done                what there is
  faafo get UUID -o picture.png           fetch an image
  faafo watch                             see what the farm does
  faafo worker --endpoint-url http://farm:8080         help a farm on another machine
  faafo token                             what others need to create fractals here
  faafo doctor                            what is wrong here?
  faafo backup farm.tar.zst               keep a copy of it all, while it runs
  faafo render --c-re=-0.4 --c-im=0.6 -o picture.png    render without any farm
  faafo provision up                      put a farm onto an OpenStack cloud
  faafo autoscale --max 10 --name course  with as many workers as what waits takes
  faafo bench                             how fast is this machine?
";

#[derive(Parser)]
#[command(
    name = "faafo",
    version = version::short(),
    long_version = version::long(),
    about = "A fractal render farm in one binary.",
    before_help = EXAMPLES,
    help_template = "{about-with-newline}\n{before-help}\n{usage-heading} {usage}\n\n{all-args}{after-help}",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole farm: server, queue, store and workers
    All(node::AllArgs),
    /// Run the server, queue and store, without workers
    Api(node::ApiArgs),
    /// Run workers for a farm elsewhere
    Worker(worker::WorkerArgs),
    /// Create fractals
    Create(create::CreateArgs),
    /// Have an animation rendered, and fetch it
    Animate(animate::AnimateArgs),
    /// List fractals
    List(list::ListArgs),
    /// Show all there is to know of a fractal
    Show(show::ShowArgs),
    /// Fetch the image of a fractal
    Get(get::GetArgs),
    /// Delete fractals
    Delete(delete::DeleteArgs),
    /// Queue fractals again that have failed
    Retry(retry::RetryArgs),
    /// Watch what the farm does
    Watch(watch::WatchArgs),
    /// List the workers of a farm
    Workers(workers::WorkersArgs),
    /// Show or replace the tokens of a farm on this machine
    Token(token::TokenArgs),
    /// Find out what keeps a farm on this machine from working
    Doctor(doctor::DoctorArgs),
    /// Take over the fractals of another farm, or of an original faafo
    Import(import::ImportArgs),
    /// Keep a copy of a farm on this machine in one file, also while it runs
    Backup(backup::BackupArgs),
    /// Make a farm of a backup
    Restore(restore::RestoreArgs),
    /// Put a farm onto an OpenStack cloud
    Provision(provision::ProvisionArgs),
    /// Have as many workers as what waits takes
    Autoscale(autoscale::AutoscaleArgs),
    /// Render a picture to a file, without a farm
    Render(render::RenderArgs),
    /// Measure how fast this machine renders
    Bench(bench::BenchArgs),
    /// Print what makes a shell complete these commands
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a folder
    #[command(hide = true)]
    Manual(manual::ManualArgs),
}

/// How a command ends that does not succeed.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done: exit code 1.
    Failed(anyhow::Error),
    /// It makes no sense as asked: exit code 2.
    Usage(String),
    /// Some of several items failed, and that has been told: exit code 1.
    Told,
    /// Ctrl-C: exit code 130, as shells have it.
    Interrupted,
    /// Nobody reads the output any more, as after `| head`: nothing to tell, exit code 0.
    OutputClosed,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(error),
        }
    }
}

type Done = Result<(), Failure>;

pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Some(command) => run(command),
        None => help(),
    };
    match done {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("faafo: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            eprintln!("faafo: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Interrupted) => ExitCode::from(130),
    }
}

fn help() -> Done {
    let help = Cli::command().render_help();
    output::print(&help.to_string())
}

fn run(command: Command) -> Done {
    match command {
        Command::All(args) => node::all(args),
        Command::Api(args) => node::api(args),
        Command::Worker(args) => worker::run(args),
        Command::Token(args) => token::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Manual(args) => manual::run(args),
        Command::Provision(args) => provision::run(args),
        // Ends what it is doing when it is interrupted.
        Command::Autoscale(args) => to_its_end(autoscale::run(args)),
        Command::Render(args) => on_network(render::run(args)),
        Command::Create(args) => on_network(create::run(args)),
        // Cancels what it has asked for when it is interrupted.
        Command::Animate(args) => to_its_end(animate::run(args)),
        Command::List(args) => on_network(list::run(args)),
        Command::Show(args) => on_network(show::run(args)),
        Command::Get(args) => on_network(get::run(args)),
        Command::Delete(args) => on_network(delete::run(args)),
        Command::Doctor(args) => on_network(doctor::run(args)),
        Command::Import(args) => on_network(import::run(args)),
        Command::Retry(args) => on_network(retry::run(args)),
        Command::Workers(args) => on_network(workers::run(args)),
        Command::Watch(args) => on_network(watch::run(args)),
    }
}

/// What a command does on another thread has this long to end, once the command has: it stops within
/// milliseconds and tidies up, unless it hangs in a pipe that nobody reads.
const LEAVE: Duration = Duration::from_secs(1);

fn on_network(command: impl Future<Output = Done>) -> Done {
    to_its_end(async {
        // Dropped in the middle, a command leaves no half-written file behind.
        tokio::select! {
            done = command => done,
            interrupted = tokio::signal::ctrl_c() => match interrupted {
                Ok(()) => Err(Failure::Interrupted),
                Err(error) => Err(error.into()),
            },
        }
    })
}

/// Clients wait far more than they compute: one thread does.
fn to_its_end(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(LEAVE);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
