//! `faafo provision status`, `list`, `token`, `logs` and `ssh`: they change nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::{Args, ValueEnum};

use super::super::output::{self, Table};
use super::{CloudArgs, Done, Failure, Target, failure};
use crate::provision::{self, heat, list as all, node, status as of};
use crate::tokens::Kind;
use crate::wire::CountsDoc;

/// How to print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// All fields
    Json,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo provision status
  faafo provision status -f json | jq -r .url")]
pub struct StatusArgs {
    #[command(flatten)]
    target: Target,

    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    cloud: CloudArgs,

    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  (umask 077; faafo provision token > farm-token)
  faafo create --endpoint-url http://ADDRESS --token-file farm-token --tasks 5")]
pub struct TokenArgs {
    #[command(flatten)]
    target: Target,

    /// The workers' token, instead of the users'
    #[arg(long)]
    worker: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo provision logs api
  faafo provision logs worker-2 --lines 300")]
pub struct LogsArgs {
    /// The node, such as api, farm or worker-1
    node: String,

    #[command(flatten)]
    target: Target,

    /// Most lines
    #[arg(long, value_name = "N", default_value_t = 100)]
    lines: u32,
}

#[derive(Args)]
#[command(after_help = "\
It takes an `up` with --key and --ssh-from before. The way to a worker leads through the API node.

Examples:
  faafo provision ssh api
  faafo provision ssh worker-1 -- journalctl -u faafo -n 20")]
pub struct SshArgs {
    /// The node, such as api, farm or worker-1
    node: String,

    /// What to run there, instead of a shell
    #[arg(last = true)]
    command: Vec<String>,

    /// The user there [default: that of the image's distribution]
    #[arg(long, value_name = "USER")]
    login: Option<String>,

    /// Print the command instead of running it
    #[arg(long)]
    print: bool,

    #[command(flatten)]
    target: Target,
}

/// Rows under their titles, as wide as they need.
fn table<const N: usize>(titles: [&'static str; N], rows: &[[String; N]]) -> Done {
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max();
    let columns = std::array::from_fn::<_, N, _>(|n| (titles[n], width(n).unwrap_or(0)));
    let table = Table::begin(&columns)?;
    for row in rows {
        table.row(row)?;
    }
    table.end()
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

pub async fn status(args: StatusArgs) -> Done {
    let cloud = args.target.cloud.connect().await?;
    let status = of::of(&cloud, &args.target.name()).await.map_err(failure)?;
    if args.format == Format::Json {
        return output::print(&output::json(&status)?);
    }
    let rows: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            [
                node.name.clone(),
                node.role.to_owned(),
                node.status.clone(),
                node.readiness.clone(),
                text(node.floating_ip.or(node.address)),
                text(node.version.clone()),
                text(node.rendering),
                text(node.done),
            ]
        })
        .collect();
    let titles = [
        "Node",
        "Role",
        "Cloud",
        "Faafo",
        "Address",
        "Version",
        "Rendering",
        "Done",
    ];
    table(titles, &rows)?;
    if let Some(stack) = &status.stack {
        output::print(&format!(
            "{} is a stack of Heat's, {}: {}\n",
            stack.name, stack.status, stack.ways
        ))?;
    }
    if let Some(volume) = &status.volume {
        let at = match &volume.node {
            Some(node) => format!("at {node}"),
            None => "at no node: `faafo provision up` takes it".to_owned(),
        };
        output::print(&format!(
            "the volume {} of {} GB is {}, {at}\n",
            volume.name, volume.size, volume.status
        ))?;
    }
    output::print(&farm(
        status.url.as_deref(),
        status.fractals,
        status.workers.unwrap_or_default(),
    ))
}

/// How the farm is, in a line.
fn farm(url: Option<&str>, fractals: Option<CountsDoc>, workers: usize) -> String {
    let Some(url) = url else {
        return "the farm has no address\n".to_owned();
    };
    let Some(counts) = fractals else {
        return format!("{url}/ does not answer from here\n");
    };
    let CountsDoc {
        queued,
        running,
        done,
        failed,
    } = counts;
    let workers = match workers {
        1 => "1 worker".to_owned(),
        many => format!("{many} workers"),
    };
    format!(
        "{url}/ is ready: {queued} queued, {running} running, {done} done, {failed} failed, {workers}\n"
    )
}

pub async fn list(args: ListArgs) -> Done {
    let cloud = args.cloud.connect().await?;
    let deployments = all::all(&cloud).await.map_err(failure)?;
    if args.format == Format::Json {
        return output::print(&output::json(&deployments)?);
    }
    let rows: Vec<_> = deployments
        .iter()
        .map(|one| {
            [
                one.name.clone(),
                text(one.topology.clone()),
                one.servers.to_string(),
                one.active.to_string(),
                text(one.created.clone()),
            ]
        })
        .collect();
    table(["Name", "Topology", "Servers", "Active", "Since"], &rows)
}

pub async fn token(args: TokenArgs) -> Done {
    let cloud = args.target.cloud.connect().await?;
    let (name, kind) = match args.worker {
        true => (args.target.name(), Kind::Worker),
        false => (args.target.name(), Kind::User),
    };
    let kept = provision::tokens(&cloud, &name, kind);
    let token = match kept.await.map_err(failure)? {
        None if !args.worker => heat::token(&cloud, &name).await.map_err(failure)?,
        kept => kept,
    };
    match token {
        Some(token) => output::print(&format!("{}\n", token.expose())),
        None => Err(Failure::Usage(format!(
            "the cloud keeps no token of a deployment {name}: `faafo provision list` shows those \
             there are, and if it has no object store, the token is in the file that `up` was given"
        ))),
    }
}

pub async fn logs(args: LogsArgs) -> Done {
    let cloud = args.target.cloud.connect().await?;
    let name = args.target.name();
    let logs = node::logs(&cloud, &name, &args.node, args.lines);
    output::print(&logs.await.map_err(failure)?)
}

pub async fn ssh(args: SshArgs) -> Done {
    let cloud = args.target.cloud.connect().await?;
    let name = args.target.name();
    let way = node::way(&cloud, &name, &args.node, args.login)
        .await
        .map_err(failure)?;
    let arguments: Vec<_> = way.arguments().into_iter().chain(args.command).collect();
    if args.print {
        return output::print(&format!("ssh {}\n", arguments.join(" ")));
    }
    // Returns only if there is no ssh.
    let error = Command::new("ssh").args(arguments).exec();
    Err(Failure::Failed(anyhow::anyhow!("cannot run ssh: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farm_is_told_in_words() {
        let counts = CountsDoc {
            queued: 12,
            running: 3,
            done: 140,
            failed: 0,
        };
        let url = Some("http://192.0.2.1");
        assert_eq!(
            farm(url, Some(counts), 2),
            "http://192.0.2.1/ is ready: 12 queued, 3 running, 140 done, 0 failed, 2 workers\n"
        );
        assert!(farm(url, Some(counts), 1).ends_with(", 1 worker\n"));
        assert_eq!(
            farm(url, None, 0),
            "http://192.0.2.1/ does not answer from here\n"
        );
        assert_eq!(farm(None, None, 0), "the farm has no address\n");
    }
}
