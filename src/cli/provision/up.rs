//! `faafo provision plan`, `up` and `scale`.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use serde::Serialize;

use super::super::output;
use super::look::Format;
use super::{Done, Failure, Target, TokenFiles, ask, failure};
use crate::provision::cloud::Cloud;
use crate::provision::down::{self, Data};
use crate::provision::scale::{self, Counts};
use crate::provision::{
    self, Artifact, Blueprint, Board, Cidr, Error, Item, Name, Room, Settings, State, Survey,
    Topology, Wanted, up,
};

#[derive(Args)]
#[command(after_help = "\
Run it again whenever you like: it makes what is missing, and nothing twice.

Examples:
  faafo provision up                                      a farm on one instance
  faafo provision up --topology split --workers 3         an API node and three workers
  faafo provision up --topology scaled-out --apis 2       RabbitMQ, MariaDB, two API nodes and workers
  faafo provision up --name course --image debian-13 --flavor m1.small
  faafo provision up --key ~/.ssh/id_ed25519.pub --ssh-from 192.0.2.0/24
  faafo provision up --volume-size 20                     its data on a volume
  faafo provision up --set max_side=9000 --no-wait")]
pub struct UpArgs {
    #[command(flatten)]
    target: Target,

    /// Which nodes there are [default: as it is, or all-in-one]
    #[arg(long, value_name = "TOPOLOGY")]
    topology: Option<Topology>,

    /// Nodes that render, with split and scaled-out [default: as many as there are, or 2]
    #[arg(long, value_name = "N")]
    workers: Option<u16>,

    /// API nodes, with scaled-out [default: as many as there are, or 2]
    #[arg(long, value_name = "N")]
    apis: Option<u16>,

    /// Keep the farm's data on a volume of so many GB, which may outlive its node [default: as it is, or
    /// on the node's own disk]
    #[arg(long, value_name = "GB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    volume_size: Option<u64>,

    #[command(flatten)]
    nodes: NodeArgs,

    #[command(flatten)]
    tokens: TokenFiles,

    #[command(flatten)]
    wait: WaitArgs,
}

impl UpArgs {
    fn wanted(self) -> Result<(Target, Wanted, WaitArgs), Failure> {
        let UpArgs { target, nodes, .. } = self;
        let wanted = wanted(
            &target,
            self.topology,
            self.workers,
            self.apis,
            nodes,
            self.tokens,
        )
        .map_err(failure)?;
        let wanted = Wanted {
            volume_size: self.volume_size,
            ..wanted
        };
        Ok((target, wanted, self.wait))
    }
}

#[derive(Args)]
#[command(after_help = "\
It takes all that `up` takes, and makes nothing.

Examples:
  faafo provision plan
  faafo provision plan --topology split --workers 3 --volume-size 20
  faafo provision plan -f json | jq -r '.resources[] | select(.state == \"make\") | .name'")]
pub struct PlanArgs {
    #[command(flatten)]
    up: UpArgs,

    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Args)]
#[command(after_help = "\
Those with the highest numbers leave. They are shut down, by which workers give back what they render
and API nodes answer what they are being asked, and then deleted.

Examples:
  faafo provision scale --workers 5
  faafo provision scale --workers 1 --name course
  faafo provision scale --apis 3 --workers 9")]
pub struct ScaleArgs {
    #[command(flatten)]
    target: Target,

    /// How many workers there are to be
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "apis",
        value_parser = clap::value_parser!(u16).range(..=500)
    )]
    workers: Option<u16>,

    /// How many API nodes there are to be, with scaled-out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=50))]
    apis: Option<u16>,

    #[command(flatten)]
    nodes: NodeArgs,

    #[command(flatten)]
    tokens: TokenFiles,

    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Args)]
pub struct NodeArgs {
    /// Image, by name or id [default: as the other nodes, or the newest of Debian or Ubuntu]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Flavor, by name or id [default: as the other nodes, or the smallest with 1 GB of memory]
    #[arg(long, value_name = "FLAVOR")]
    pub flavor: Option<String>,

    /// Availability zone of new nodes [default: as the other nodes, or the cloud's choice]
    #[arg(long, value_name = "ZONE")]
    pub availability_zone: Option<String>,

    /// Key for logging in: the name of one in the cloud, or a file with a public one
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,

    /// Who may log in, such as 192.0.2.0/24; may be given more than once [default: nobody]
    #[arg(long, value_name = "CIDR")]
    pub ssh_from: Vec<Cidr>,

    /// Network, by name or id [default: the only one of the project, or one that is made]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,

    /// Network that leads outside and has the floating IPs [default: the only one]
    #[arg(long, value_name = "NETWORK")]
    pub external_network: Option<String>,

    /// A setting of faafo on new nodes, such as max_side=9000; `faafo all --help` lists them
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Address from which nodes fetch the binary [default: this one, from the object store]
    #[arg(long, value_name = "URL", requires = "artifact_sha256")]
    artifact: Option<Url>,

    /// SHA-256 of it, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "artifact", value_parser = sha256)]
    artifact_sha256: Option<String>,
}

#[derive(Args)]
pub struct WaitArgs {
    /// Do not wait until the nodes are ready
    #[arg(long)]
    pub no_wait: bool,

    /// Seconds that they may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

impl WaitArgs {
    fn patience(&self) -> Option<Duration> {
        (!self.no_wait).then(|| Duration::from_secs(self.timeout))
    }
}

impl NodeArgs {
    /// The binary that somebody has put somewhere.
    pub fn artifact(&self) -> Result<Option<Artifact>, Error> {
        let (Some(url), Some(sha256)) = (&self.artifact, &self.artifact_sha256) else {
            return Ok(None);
        };
        // It becomes a word of a shell script.
        if !matches!(url.scheme(), "http" | "https") || url.as_str().contains('\'') {
            let message = "--artifact must be an address of HTTP or HTTPS, without a quote";
            return Err(Error::Usage(message.into()));
        }
        Ok(Some(Artifact {
            url: url.clone(),
            sha256: sha256.clone(),
        }))
    }
}

fn sha256(text: &str) -> Result<String, &'static str> {
    match text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        true => Ok(text.to_lowercase()),
        false => Err("a SHA-256 has 64 digits from 0 to f; `sha256sum faafo` prints it"),
    }
}

pub fn wanted(
    target: &Target,
    topology: Option<Topology>,
    workers: Option<u16>,
    apis: Option<u16>,
    nodes: NodeArgs,
    tokens: TokenFiles,
) -> Result<Wanted, Error> {
    let artifact = nodes.artifact()?;
    Ok(Wanted {
        name: target.name(),
        topology,
        workers,
        apis,
        image: nodes.image,
        flavor: nodes.flavor,
        zone: nodes.availability_zone,
        key: nodes.key,
        network: nodes.network,
        external_network: nodes.external_network,
        ssh_from: (!nodes.ssh_from.is_empty()).then_some(nodes.ssh_from),
        settings: Settings::parse(&nodes.set)?,
        artifact,
        tokens: provision::TokenFiles {
            user: tokens.token_file,
            worker: tokens.worker_token_file,
        },
        volume_size: None,
    })
}

pub async fn plan(args: PlanArgs) -> Done {
    let (target, wanted, _) = args.up.wanted()?;
    let cloud = target.cloud.connect().await?;
    let blueprint = Blueprint::draw(&cloud, wanted).await.map_err(failure)?;
    let text = match args.format {
        Format::Json => output::json(&Planned::of(&blueprint))?,
        Format::Table => text(&cloud, &blueprint),
    };
    output::print(&text)?;
    if let Some(note) = blueprint.note() {
        eprintln!("{note}");
    }
    blueprint.fits().map_err(failure)
}

/// A plan, for programs.
#[derive(Serialize)]
struct Planned<'a> {
    name: String,
    topology: &'static str,
    resources: Vec<Item>,
    /// What of the quota it takes; what has no limit is left out.
    quota: &'a [Room],
}

impl Planned<'_> {
    fn of(blueprint: &Blueprint) -> Planned<'_> {
        Planned {
            name: blueprint.name().to_string(),
            topology: blueprint.topology.name(),
            resources: blueprint.items(),
            quota: &blueprint.room,
        }
    }
}

fn text(cloud: &Cloud, blueprint: &Blueprint) -> String {
    let mut text = format!(
        "{}, {}, in {}\n\n",
        blueprint.name(),
        blueprint.topology.name(),
        cloud.origin()
    );
    for item in blueprint.items() {
        let state = match item.state {
            State::Exists => "is there",
            State::Make => "make",
            State::Replace => "replace",
        };
        let line = format!(
            "  {state:<9} {:<15} {:<32} {}",
            item.what, item.name, item.about
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if !blueprint.room.is_empty() {
        text.push_str("\nQuota:\n");
    }
    for room in &blueprint.room {
        let enough = if room.suffices() {
            "enough"
        } else {
            "NOT ENOUGH"
        };
        let _ = writeln!(
            text,
            "  {enough:<10} {:<21} {} needed, {} of {} used",
            room.what, room.needed, room.used, room.limit
        );
    }
    text
}

pub async fn up(args: UpArgs) -> Done {
    let (target, wanted, wait) = args.wanted()?;
    let cloud = target.cloud.connect().await?;
    let name = wanted.name.clone();
    let blueprint = Blueprint::draw(&cloud, wanted).await.map_err(failure)?;
    let is_new = blueprint.survey.is_empty();
    if let Some(note) = blueprint.note() {
        eprintln!("{note}");
    }
    let done = tokio::select! {
        // It is heard before the first word is said.
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted,
        done = make(&cloud, &blueprint, wait.patience()) => return done,
    };
    done?;
    let undone = is_new
        && tokio::select! {
            biased;
            // Pressed again, at the question or after it: what is there by now stays.
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                eprintln!();
                false
            }
            undone = undo(&cloud, &name) => undone?,
        };
    if undone {
        eprintln!("all of it is gone");
    } else {
        eprintln!(
            "faafo: interrupted; `faafo provision up` with the same words goes on, and `faafo \
             provision down --name {name}` takes away what is there"
        );
    }
    Err(Failure::Interrupted)
}

/// Takes away what was made so far, if somebody is there who says so. Whether it has.
async fn undo(cloud: &Cloud, name: &Name) -> Result<bool, Failure> {
    let answer = ask("\nInterrupted. Keep what was made so far, or undo it? [keep/undo]").await;
    if !answer.is_some_and(|answer| answer.starts_with('u')) {
        return Ok(false);
    }
    let survey = Survey::settled(cloud, name)
        .await
        .map_err(Error::from)
        .map_err(failure)?;
    down::run(cloud, name, survey, Data::Delete, &Board::default())
        .await
        .map_err(failure)?;
    Ok(true)
}

async fn make(cloud: &Cloud, blueprint: &Blueprint, wait: Option<Duration>) -> Done {
    let board = Board::default();
    board.say(&format!(
        "{}, {}, in {}: image {}, flavor {}",
        blueprint.name(),
        blueprint.topology.name(),
        cloud.origin(),
        blueprint.image.name(),
        blueprint.flavor.name
    ));
    let done = up::run(cloud, blueprint, wait, &board)
        .await
        .map_err(failure)?;
    if !done.changed {
        board.say("all nodes are there already");
    }
    let name = blueprint.name();
    let mut text = String::new();
    let mut urls = done.urls.into_iter();
    let url = urls.next().unwrap_or_else(|| "http://ADDRESS".into());
    let _ = write!(
        text,
        "\n  The farm {}: {url}/",
        if wait.is_some() {
            "is open"
        } else {
            "will be at"
        }
    );
    for other in urls {
        let _ = write!(text, "\n  And at: {other}/");
    }
    text.push_str("\n\n");
    if let Some(token) = &done.token
        && std::io::stdout().is_terminal()
    {
        let _ = writeln!(text, "  Its token: {}\n", token.expose());
    }
    let _ = write!(
        text,
        "  faafo provision status --name {name}\n  \
           (umask 077; faafo provision token --name {name} > farm-token)\n  \
           faafo create --endpoint-url {url} --token-file farm-token --tasks 5 --wait\n  \
           faafo provision down --name {name}\n"
    );
    output::print(&text)
}

pub async fn scale(args: ScaleArgs) -> Done {
    let (workers, apis) = (args.workers, args.apis);
    let wanted =
        wanted(&args.target, None, workers, apis, args.nodes, args.tokens).map_err(failure)?;
    let cloud = args.target.cloud.connect().await?;
    let name = wanted.name.clone();
    let survey = Survey::of(&cloud, &name)
        .await
        .map_err(Error::from)
        .map_err(failure)?;
    let counts = Counts { workers, apis };
    let leaving = scale::too_many(&survey, &name, counts).map_err(failure)?;
    let board = Board::default();
    scale::remove(&cloud, &name, &survey, &leaving, &board)
        .await
        .map_err(failure)?;
    if leaving.is_empty() || counts.are_more(&survey) {
        let blueprint = Blueprint::draw(&cloud, wanted).await.map_err(failure)?;
        return make(&cloud, &blueprint, args.wait.patience()).await;
    }
    let have = [(apis, "API nodes"), (workers, "workers")];
    let have = have
        .iter()
        .filter_map(|(count, what)| Some(format!("{} {what}", (*count)?)));
    let have: Vec<_> = have.collect();
    output::print(&format!("{name} has {}\n", have.join(" and ")))
}
