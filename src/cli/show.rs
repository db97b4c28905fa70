//! `faafo show`: all there is to know of a fractal.

use clap::Args;
use uuid::Uuid;

use super::Done;
use super::client::{Client, ClientArgs, failure};
use super::output::{Format, FractalWriter, Table, json, print};
use super::progress::percent;
use crate::wire::FractalDoc;

#[derive(Args)]
pub struct ShowArgs {
    uuid: Uuid,

    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,

    #[command(flatten)]
    client: ClientArgs,
}

pub async fn run(args: ShowArgs) -> Done {
    let client = Client::new(&args.client)?;
    let fractal = client.show(args.uuid).await.map_err(failure)?;
    match args.format {
        Format::Table => table(&fractal),
        Format::Json => print(&json(&fractal)?),
        format => {
            let mut writer = FractalWriter::begin(format)?;
            writer.write(&fractal)?;
            writer.end()
        }
    }
}

fn table(fractal: &FractalDoc) -> Done {
    let none = || "-".to_owned();
    let seconds = |duration: f64| format!("{duration:.6} seconds");
    let rows = [
        ("uuid", fractal.uuid.to_string()),
        ("status", fractal.status.to_string()),
        ("progress", fractal.progress.map_or_else(none, percent)),
        ("duration", fractal.duration.map_or_else(none, seconds)),
        (
            "dimensions",
            format!("{} x {} pixels", fractal.width, fractal.height),
        ),
        ("iterations", fractal.iterations.to_string()),
        ("xa", fractal.xa.to_string()),
        ("xb", fractal.xb.to_string()),
        ("ya", fractal.ya.to_string()),
        ("yb", fractal.yb.to_string()),
        ("c", format!("{} {:+}i", fractal.c_re, fractal.c_im)),
        ("palette", fractal.palette.to_string()),
        ("size", format!("{} bytes", fractal.size.unwrap_or(0))),
        ("checksum", fractal.checksum.clone().unwrap_or_else(none)),
        (
            "generated_by",
            fractal.generated_by.clone().unwrap_or_else(none),
        ),
        ("attempts", fractal.attempts.to_string()),
        ("error", fractal.error.clone().unwrap_or_else(none)),
        ("created_at", fractal.created_at.clone()),
        (
            "finished_at",
            fractal.finished_at.clone().unwrap_or_else(none),
        ),
    ];
    let width = rows.iter().map(|(_, value)| value.chars().count()).max();
    let table = Table::begin(&[("Parameter", 12), ("Value", width.unwrap_or(0))])?;
    for (name, value) in rows {
        table.row(&[name.to_owned(), value])?;
    }
    table.end()
}
