//! `faafo bench`: how fast this machine renders.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;

use super::spec::SpecArgs;
use super::{Done, Failure, output};
use crate::bench::{self, Effort, Report};

#[derive(Args)]
#[command(after_help = "\
Takes a quarter of a minute, and all of the machine. Rates are in 10^9 iterations of z² + c a second; the
limit is what the processor does of this arithmetic at most, measured in the same run.

Examples:
  faafo bench
  faafo bench --quick
  faafo bench -f json > figures.json")]
pub struct BenchArgs {
    /// How to print the figures
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Small pictures, measured once: rough figures at once
    #[arg(short, long)]
    quick: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What `faafo create` asks for when nothing is said.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    spec: SpecArgs,
}

pub fn run(args: BenchArgs) -> Done {
    let effort = if args.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    // The same ones each time.
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let defaults = Defaults::try_parse_from(["bench"])?.spec;
    let mix = (0..effort.tasks).map(|_| defaults.draw(&mut random));
    let mix = mix.collect::<Result<Vec<_>, Failure>>()?;

    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} measuring {msg} ({elapsed})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    // Seldom: it must not take part in what is measured.
    bar.enable_steady_tick(Duration::from_millis(500));
    let report = bench::run(effort, &mix, |what| bar.set_message(what.to_owned()));
    bar.finish_and_clear();
    let report = report?;
    match args.format {
        Format::Table => output::print(&table(&report)?),
        Format::Json => output::print(&output::json(&report)?),
    }
}

fn table(report: &Report) -> Result<String, Failure> {
    let mut text = String::new();
    let out = &mut text;
    let Report {
        version,
        processor,
        cores,
        ..
    } = report;
    writeln!(out, "faafo {version} on {processor}, {}\n", plural(*cores))?;

    write!(out, "{:<34}", "One core, 10^9 iterations/s")?;
    for path in &report.paths {
        write!(out, "{:>15}", path.path)?;
    }
    write!(out, "\n  {:<32}", "limit of the arithmetic")?;
    for path in &report.paths {
        write!(out, "{:>8.2}       ", path.limit)?;
    }
    writeln!(out)?;
    let sets = report.paths.first().map_or(&[][..], |path| &path.sets);
    for (i, set) in sets.iter().enumerate() {
        write!(out, "  {:<32}", set.set)?;
        for path in &report.paths {
            let set = &path.sets[i];
            write!(
                out,
                "{:>8.2} {:>4}  ",
                set.rate,
                percent(set.share_of_limit)
            )?;
        }
        writeln!(out)?;
    }

    writeln!(out, "\nLeft out because it is known")?;
    for shortcut in &report.shortcuts {
        writeln!(
            out,
            "  {:<10} {:<36} {:>9} instead of {:>9}: {:.1} times as fast",
            shortcut.shortcut,
            shortcut.picture,
            time(shortcut.seconds),
            time(shortcut.seconds_without),
            shortcut.times_faster
        )?;
    }

    let (large, mix) = (&report.large, &report.mix);
    writeln!(out, "\nAll cores")?;
    writeln!(
        out,
        "  {:<34} {:>9}, {} on one core: efficiency {}",
        format!("{}, PNG", large.picture),
        time(large.seconds),
        time(large.seconds_on_one_core),
        percent(large.efficiency)
    )?;
    writeln!(
        out,
        "  {:<34} {:>5.0} tasks/s through a farm",
        format!("{} pictures of the default mix", mix.tasks),
        mix.tasks_per_second
    )?;
    writeln!(
        out,
        "  {:<34} {:>5.0} pictures/s, {:.0} on one core: efficiency {}",
        "  rendered alone",
        mix.renders_per_second,
        mix.renders_per_second_on_one_core,
        percent(mix.efficiency)
    )?;
    writeln!(
        out,
        "  {:<34} {:>9} of the time",
        "PNG encoding of the first set",
        percent(report.png_share)
    )?;

    if let Some(path) = report.paths.last()
        && let Some(set) = path.sets.first()
    {
        writeln!(
            out,
            "\nTo paste:\n  faafo {version} renders {:.0} pictures of its default mix a second on {} of {processor},\n  \
             and one of {} in {}: {:.2}·10^9 iterations/s a core, {} of the limit ({}).",
            mix.tasks_per_second,
            plural(*cores),
            large.picture,
            time(large.seconds),
            set.rate,
            percent(set.share_of_limit),
            path.path
        )?;
    }
    Ok(text)
}

fn plural(cores: usize) -> String {
    match cores {
        1 => "1 core".into(),
        cores => format!("{cores} cores"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
