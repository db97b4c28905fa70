//! `faafo doctor`: what keeps a farm or a worker on this machine from working, and what mends it.

use std::path::PathBuf;

use clap::Args;

use super::here::of_the_service;
use super::output::{self, Format};
use super::{Done, Failure};
use crate::config::{Addresses, Settings};
use crate::doctor::{self, Finding, Mark};

#[derive(Args)]
#[command(after_help = "\
Run it where the farm or a worker runs, as whoever runs it or as root, with the same settings; whether or
not it runs. It changes nothing. Exit code 1 if something is wrong.

Examples:
  faafo doctor
  faafo doctor --config-file farm.toml
  faafo doctor --endpoint-url http://farm.example:8080 --worker-token-file worker-token
  faafo doctor -f json | jq '.[] | select(.mark == \"wrong\") | .mend'")]
pub struct DoctorArgs {
    /// How to print the findings
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,

    /// The server's settings in a TOML file [default, for root: that of the service, where it is
    /// installed]
    #[arg(long, env = "FAAFO_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,

    /// Address of the farm that a worker on this machine is for; given more than once, any will do
    /// [default: the file's endpoint_url, if it leads elsewhere or there is a worker here]
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        help_heading = "A worker"
    )]
    endpoint_url: Option<Vec<String>>,

    /// Authorities that it trusts instead of the system's, in PEM
    #[arg(
        long,
        env = "FAAFO_CA_FILE",
        value_name = "FILE",
        help_heading = "A worker"
    )]
    ca_file: Option<PathBuf>,

    /// Its folder for results that no API node takes [default: as for `faafo worker`]
    #[arg(
        long,
        env = "FAAFO_SPOOL",
        value_name = "FOLDER",
        help_heading = "A worker"
    )]
    spool: Option<PathBuf>,
}

pub async fn run(args: DoctorArgs) -> Done {
    let named = args.settings.data_dir.is_some();
    let file = match args.config_file {
        None if !named => of_the_service(),
        file => file,
    };
    let asks_for_worker = args.endpoint_url.is_some();
    let given = Settings {
        endpoint_url: args.endpoint_url.map(Addresses::Several),
        ca_file: args.ca_file,
        spool: args.spool,
        ..args.settings
    };
    let settings = given.over(file.as_deref());
    let findings = doctor::examine(settings, file.as_deref(), asks_for_worker).await;
    print(&findings, args.format)?;
    let wrong = findings
        .iter()
        .filter(|one| one.mark == Mark::Wrong)
        .count();
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::Told),
    }
}

fn print(findings: &[Finding], format: Format) -> Done {
    match format {
        Format::Table => {
            let colours = output::colours(&std::io::stdout());
            let lines = findings.iter().map(|finding| line(finding, colours));
            output::print(&(lines.collect::<String>() + &sum(findings)))
        }
        Format::Json => output::print(&output::json(&findings)?),
        Format::Csv => {
            let mut lines = csv::Writer::from_writer(Vec::new());
            for finding in findings {
                lines.serialize(finding)?;
            }
            let lines = lines.into_inner().map_err(|error| error.into_error())?;
            output::print(&String::from_utf8_lossy(&lines))
        }
        Format::Value => {
            let line = |one: &Finding| format!("{} {} {}\n", one.mark.name(), one.check, one.says);
            output::print(&findings.iter().map(line).collect::<String>())
        }
    }
}

/// Columns before what a finding says.
const INDENT: usize = 23;

fn line(finding: &Finding, colours: bool) -> String {
    let (sign, colour) = match finding.mark {
        Mark::Ok => ("✔", "32"),
        Mark::Note => ("!", "33"),
        Mark::Wrong => ("✘", "31"),
        Mark::Unknown => ("?", "33"),
    };
    let mark = format!("{sign} {:<7}", finding.mark.name());
    let mark = match colours {
        true => format!("\x1b[{colour}m{mark}\x1b[0m"),
        false => mark,
    };
    let mut line = format!("{mark} {:<13}{}\n", finding.check, finding.says);
    if let Some(mend) = &finding.mend {
        line.push_str(&format!("{:INDENT$}→ {mend}\n", ""));
    }
    line
}

fn sum(findings: &[Finding]) -> String {
    match findings
        .iter()
        .filter(|one| one.mark == Mark::Wrong)
        .count()
    {
        0 => "\nNothing is wrong.\n".into(),
        1 => "\nOne thing is wrong.\n".into(),
        n => format!("\n{n} things are wrong.\n"),
    }
}
