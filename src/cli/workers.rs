//! `faafo workers`: who works for the farm.

use clap::Args;

use super::Done;
use super::client::{Client, ClientArgs, failure};
use super::output::{self, Format, Table};
use crate::wire::lease::WorkerDoc;

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo workers
  faafo workers -f json | jq '.[] | select(.rendering == []) | .name'")]
pub struct WorkersArgs {
    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,

    #[command(flatten)]
    client: ClientArgs,
}

const COLUMNS: [&str; 6] = ["Name", "Version", "Slots", "Rendering", "Done", "A second"];

pub async fn run(args: WorkersArgs) -> Done {
    let client = Client::new(&args.client)?;
    let list = client.workers().await.map_err(failure)?;
    let rows: Vec<_> = list.objects.iter().map(row).collect();
    match args.format {
        Format::Table => {
            let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max();
            let columns = std::array::from_fn::<_, 6, _>(|n| (COLUMNS[n], width(n).unwrap_or(0)));
            let table = Table::begin(&columns)?;
            for row in &rows {
                table.row(row)?;
            }
            table.end()?;
        }
        Format::Json => output::print(&output::json(&list.objects)?)?,
        Format::Csv => {
            let mut lines = csv::Writer::from_writer(Vec::new());
            lines.write_record([
                "id",
                "name",
                "version",
                "slots",
                "rendering",
                "done",
                "rate",
                "silent",
            ])?;
            for worker in &list.objects {
                let uuids: Vec<_> = worker.rendering.iter().map(ToString::to_string).collect();
                lines.write_record([
                    &worker.id.to_string(),
                    &worker.name,
                    &worker.version,
                    &worker.slots.to_string(),
                    &uuids.join(" "),
                    &worker.done.to_string(),
                    &worker.rate.to_string(),
                    &worker.silent.to_string(),
                ])?;
            }
            let lines = lines.into_inner().map_err(|error| error.into_error())?;
            output::print(&String::from_utf8_lossy(&lines))?;
        }
        Format::Value => {
            for row in &rows {
                output::print(&format!("{}\n", row.join(" ")))?;
            }
        }
    }
    if list.num_results > list.objects.len() as u64 {
        let more = list.num_results - list.objects.len() as u64;
        eprintln!("and {more} more");
    }
    Ok(())
}

fn row(worker: &WorkerDoc) -> [String; 6] {
    [
        worker.name.clone(),
        worker.version.clone(),
        worker.slots.to_string(),
        worker.rendering.len().to_string(),
        worker.done.to_string(),
        worker.rate.to_string(),
    ]
}
