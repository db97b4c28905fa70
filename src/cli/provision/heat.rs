//! `faafo provision heat`.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::super::output;
use super::up::{self, NodeArgs, WaitArgs};
use super::{Done, Failure, Target, TokenFiles, failure};
use crate::provision::heat::{self, Design, Order, Shape};
use crate::provision::{Board, Error, Settings, own_binary};

#[derive(Args)]
#[command(after_help = "\
The template is the same with and without --create, and needs no cloud to be written. What is named
here are its defaults; without --create, all else is given to Heat as parameters: image and flavor,
and the address of the binary, whose SHA-256 the template knows if it is this one.

Examples:
  faafo provision heat --topology autoscaling --create                on your cloud, with this binary
  faafo provision heat --topology scaled-out --apis 3 --workers 5 --create
  faafo provision heat --topology all-in-one -o faafo.yaml            to look at, or for later
  openstack stack create -t faafo.yaml --parameter image=debian-13 --parameter flavor=m1.small \\
    --parameter external_network=public --parameter artifact_url=https://files.example/faafo farm")]
pub struct HeatArgs {
    #[command(flatten)]
    target: Target,

    /// Which nodes there are
    #[arg(long, value_name = "TOPOLOGY")]
    topology: Shape,

    /// Nodes that render, with scaled-out [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    workers: Option<u16>,

    /// The most nodes that render, with autoscaling [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    max_workers: Option<u16>,

    /// API nodes, with scaled-out [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50))]
    apis: Option<u16>,

    /// File for the template [default: standard output, unless with --create]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Have Heat make it as the stack faafo-NAME, and wait until all nodes are ready
    #[arg(long)]
    create: bool,

    #[command(flatten)]
    nodes: NodeArgs,

    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: HeatArgs) -> Done {
    let template = template(&args).map_err(failure)?;
    match &args.output {
        Some(file) => std::fs::write(file, &template).map_err(|error| {
            Failure::Failed(anyhow::anyhow!("cannot write {}: {error}", file.display()))
        })?,
        None if !args.create => output::print(&template)?,
        None => {}
    }
    match args.create {
        // It is large.
        true => Box::pin(create(args, &template)).await,
        false => Ok(()),
    }
}

fn template(args: &HeatArgs) -> Result<String, Error> {
    let (shape, nodes) = (args.topology, &args.nodes);
    for (flag, given, of) in [
        ("--workers", args.workers.is_some(), Shape::ScaledOut),
        (
            "--max-workers",
            args.max_workers.is_some(),
            Shape::Autoscaling,
        ),
        ("--apis", args.apis.is_some(), Shape::ScaledOut),
    ] {
        if given && shape != of {
            return Err(Error::Usage(format!(
                "{flag} goes with --topology {}, not with {}",
                of.name(),
                shape.name()
            )));
        }
    }
    let key = nodes.key.as_deref();
    let public = key.map(heat::public_key).transpose()?.flatten();
    let ssh_from: Vec<_> = nodes.ssh_from.iter().map(ToString::to_string).collect();
    let ssh_from = (!ssh_from.is_empty()).then(|| ssh_from.join(","));
    let mut defaults = Vec::new();
    for (name, given) in [
        ("image", nodes.image.as_deref()),
        ("flavor", nodes.flavor.as_deref()),
        ("availability_zone", nodes.availability_zone.as_deref()),
        ("network", nodes.network.as_deref()),
        ("external_network", nodes.external_network.as_deref()),
        ("key", key.filter(|_| public.is_none())),
        ("public_key", public.as_deref()),
        ("ssh_from", ssh_from.as_deref()),
    ] {
        defaults.extend(given.map(|given| (name, json!(given))));
    }
    defaults.extend(args.workers.map(|workers| ("workers", json!(workers))));
    defaults.extend(args.max_workers.map(|most| ("max_workers", json!(most))));
    let sha256 = match nodes.artifact()? {
        Some(given) => {
            defaults.push(("artifact_url", json!(given.url.as_str())));
            given.sha256
        }
        None => own_binary()?.1,
    };
    defaults.push(("artifact_sha256", json!(sha256)));
    let default_apis = if shape == Shape::ScaledOut { 2 } else { 1 };
    heat::write(&Design {
        shape,
        apis: args.apis.unwrap_or(default_apis),
        settings: &Settings::parse(&nodes.set)?,
        defaults,
    })
}

async fn create(args: HeatArgs, template: &str) -> Done {
    let (name, shape) = (args.target.name(), args.topology);
    // As many as there are at first.
    let workers = match shape {
        Shape::Autoscaling => Some(1),
        _ => args.workers,
    };
    let wanted = up::wanted(
        &args.target,
        Some(shape.topology()),
        workers,
        args.apis,
        args.nodes,
        TokenFiles::default(),
    )
    .map_err(failure)?;
    let cloud = args.target.cloud.connect().await?;
    let board = Board::default();
    let order = Order {
        shape,
        wanted,
        patience: Duration::from_secs(args.wait.timeout),
    };
    let parameters = Box::pin(heat::parameters(&cloud, &order, &board));
    let parameters = parameters.await.map_err(failure)?;
    let asked = heat::create(&cloud, &order, template, &parameters);
    let mut stack = asked.await.map_err(failure)?;
    if !args.wait.no_wait {
        let made = heat::wait(&cloud, &name, &stack, &board);
        stack = made.await.map_err(failure)?;
    }
    let (urls, title) = (stack.urls(), &stack.stack_name);
    let mut text = match urls.is_empty() {
        true => format!("\n  Heat makes the stack: openstack stack show {title}\n"),
        false => String::new(),
    };
    for (url, begin) in urls.iter().zip(
        ["The farm is open:"]
            .iter()
            .chain(["And at:"].iter().cycle()),
    ) {
        let _ = write!(text, "\n  {begin} {url}");
    }
    let url = urls
        .first()
        .map_or("http://ADDRESS", |url| url.trim_end_matches('/'));
    let _ = write!(
        text,
        "\n\n  openstack stack output show --all {title}\n  \
           (umask 077; faafo provision token --name {name} > farm-token)\n  \
           faafo create --endpoint-url {url} --token-file farm-token --tasks 5 --wait\n"
    );
    if shape == Shape::Autoscaling {
        let _ = writeln!(
            text,
            "  curl -X POST \"$(openstack stack output show {title} scale_up_url -f value -c output_value)\""
        );
    }
    let _ = writeln!(text, "  faafo provision down --name {name}");
    output::print(&text)
}
