//! `faafo autoscale`: as many workers as what waits takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::provision::{self, CloudArgs, NodeArgs, TokenFiles};
use super::{Done, Failure, node};
use crate::autoscale::{
    Addresses, Autoscaler, Farm, Ledger, Nova, Policy, Scaler, Settings, Webhooks,
};
use crate::log::{LogFormat, LogLevel};
use crate::provision::{Error, Name, Survey, scale};

const EXAMPLES: &str = "\
Examples:
  faafo autoscale --min 1 --max 10                   workers of `faafo provision up`
  faafo autoscale --max 10 --name course             of `faafo provision up --name course`
  faafo autoscale --max 10 --dry-run                 only tell what would be done
  export FAAFO_SCALE_UP_URL=…  FAAFO_SCALE_DOWN_URL=…    outputs of a Heat stack
  faafo autoscale --max 10 --endpoint-url http://ADDRESS";

#[derive(Args)]
#[command(
    before_help = EXAMPLES,
    help_template = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}",
    after_help = "\
More workers come as soon as fractals wait for long, or would. They leave when there has been nothing
for them to do for the cool-down; while there is something to do, for twice that time. None is taken
away that renders. While the farm or the cloud does not answer all stay. It ends by Ctrl-C or SIGTERM,
and leaves the workers as they are."
)]
pub struct AutoscaleArgs {
    /// Workers at least
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    min: u32,

    /// Workers at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,

    /// Seconds that fractals may wait before more workers come
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    wait: Duration,

    /// Seconds for which fewer workers have to be enough before the others leave
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    cool_down: Duration,

    /// Seconds after which a worker that was asked for and has not come is given up
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    boot_time: Duration,

    /// Seconds between two looks at the farm
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    interval: Duration,

    /// Tell what would be done, and do nothing. With --endpoint-url alone it counts the workers that
    /// the farm lists
    #[arg(long)]
    dry_run: bool,

    /// Address of an API node of the farm; may be given more than once [default: those of the
    /// deployment, or http://127.0.0.1:8080]
    #[arg(
        long,
        env = "FAAFO_ENDPOINT_URL",
        value_name = "URL",
        value_delimiter = ','
    )]
    endpoint_url: Vec<Url>,

    /// Authorities to trust instead of the system's, in PEM
    #[arg(long, env = "FAAFO_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

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

    #[command(flatten)]
    webhooks: WebhookArgs,

    #[command(flatten)]
    nova: NovaArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Workers of a Heat stack, or of whoever else has webhooks")]
struct WebhookArgs {
    /// Address that is called, by POST, for one worker more. Whoever lists processes sees flags, and
    /// may then call it, too: rather set the variable
    #[arg(
        long,
        env = "FAAFO_SCALE_UP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    scale_up_url: Option<Url>,

    /// Address that is called for one worker fewer, once none renders
    #[arg(
        long,
        env = "FAAFO_SCALE_DOWN_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    scale_down_url: Option<Url>,

    /// Seconds between two calls: Heat ignores those that come while it is at one
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    call_every: Duration,
}

#[derive(Args)]
#[command(next_help_heading = "Workers of `faafo provision`")]
struct NovaArgs {
    /// Name of the deployment [default: the user's]
    #[arg(long, env = "FAAFO_DEPLOYMENT", value_name = "NAME")]
    name: Option<Name>,

    #[command(flatten)]
    cloud: CloudArgs,

    #[command(flatten)]
    nodes: NodeArgs,

    #[command(flatten)]
    tokens: TokenFiles,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0.1);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match time {
        Some(time) if time <= Duration::from_secs(86_400) => Ok(time),
        _ => Err("write a number of seconds from 0.1 to 86400"),
    }
}

/// How long it goes on with what it is doing when it is told to stop.
const GRACE: Duration = Duration::from_secs(30);

pub async fn run(args: AutoscaleArgs) -> Done {
    let (min, max) = (args.min, args.max);
    if min > max {
        let message = format!("--min {min} is more than --max {max}: swap them");
        return Err(Failure::Usage(message));
    }
    let settings = Settings {
        policy: Policy {
            min,
            max,
            wait: args.wait,
            cool_down: args.cool_down,
            boot_time: args.boot_time,
        },
        interval: args.interval,
        dry_run: args.dry_run,
    };
    let call_every = args.webhooks.call_every;
    let addresses = args.webhooks.addresses()?;
    let mut endpoints = args.endpoint_url;
    let ca_file = args.ca_file.as_deref();
    let webhooks = |addresses| -> Result<Scaler, Failure> {
        let ledger = Ledger::new(min, args.boot_time, call_every);
        let webhooks = Webhooks::new(addresses, ledger, ca_file)?;
        Ok(Scaler::Webhooks(Box::new(webhooks)))
    };
    let scaler = match (args.nova.name.is_some(), addresses) {
        (true, Some(_)) => {
            return usage(
                "a deployment (--name, FAAFO_DEPLOYMENT) and webhooks (--scale-up-url, \
                 FAAFO_SCALE_UP_URL) are named: leave out one of them",
            );
        }
        (false, Some(addresses)) => webhooks(Some(addresses))?,
        // The farm alone, and as many workers as it lists.
        (false, None) if args.dry_run && !endpoints.is_empty() => webhooks(None)?,
        (_, None) => args.nova.scaler(&mut endpoints).await?,
    };
    if endpoints.is_empty() {
        endpoints.push("http://127.0.0.1:8080".parse()?);
    }
    if let Some(wrong) = endpoints.iter().find(|url| !is_http(url)) {
        let message = format!("--endpoint-url {wrong} must begin with http:// or https://");
        return Err(Failure::Usage(message));
    }
    let farm = Farm::at(endpoints, ca_file)?;
    node::start_log(args.log_level, args.log_format);
    watch(Autoscaler::new(farm, scaler, settings), min, max).await
}

impl WebhookArgs {
    fn addresses(self) -> Result<Option<Addresses>, Failure> {
        let addresses = match (self.scale_up_url, self.scale_down_url) {
            (Some(more), Some(fewer)) => Addresses { more, fewer },
            (None, None) => return Ok(None),
            _ => {
                return usage(
                    "a webhook for one direction: name both --scale-up-url and --scale-down-url",
                );
            }
        };
        match is_http(&addresses.more) && is_http(&addresses.fewer) {
            true => Ok(Some(addresses)),
            false => {
                usage("--scale-up-url and --scale-down-url must begin with http:// or https://")
            }
        }
    }
}

impl NovaArgs {
    /// Whoever scales the deployment, and where its farm is, if nobody has said.
    async fn scaler(self, endpoints: &mut Vec<Url>) -> Result<Scaler, Failure> {
        let name = self.name.unwrap_or_else(Name::of_user);
        let (cloud, wanted) =
            provision::workers_of(name.clone(), self.cloud, self.nodes, self.tokens).await?;
        let survey = Survey::of(&cloud, &name).await.map_err(Error::from);
        let survey = survey.map_err(provision::failure)?;
        // It is there, and has nodes for workers.
        let one = scale::Counts {
            workers: Some(1),
            apis: None,
        };
        scale::too_many(&survey, &name, one).map_err(provision::failure)?;
        if endpoints.is_empty() {
            for front in scale::fronts(&survey) {
                endpoints.push(front.parse()?);
            }
        }
        Ok(Scaler::Nova(Box::new(Nova::new(cloud, wanted))))
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Until it is told to stop.
async fn watch(mut autoscaler: Autoscaler, min: u32, max: u32) -> Done {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut told = signal(SignalKind::terminate())?;
    tracing::info!(min, max, "watching the farm");
    let stop = CancellationToken::new();
    {
        let mut run = Box::pin(autoscaler.run(&stop));
        tokio::select! {
            () = &mut run => {}
            _ = interrupted.recv() => {}
            _ = told.recv() => {}
        }
        stop.cancel();
        tokio::select! {
            () = run => {}
            () = tokio::time::sleep(GRACE) => {}
            // Once more: at once.
            _ = interrupted.recv() => {}
        }
    }
    tracing::info!("told to stop; {} as before", autoscaler.workers());
    Ok(())
}

fn usage<T>(message: &str) -> Result<T, Failure> {
    Err(Failure::Usage(message.into()))
}
