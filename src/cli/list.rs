//! `faafo list`: all fractals, however many.

use clap::Args;
use serde_json::json;

use super::Done;
use super::client::{Client, ClientArgs, failure};
use super::output::{Format, FractalWriter};
use crate::fractal::Status;
use crate::wire::FractalDoc;

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo list
  faafo list --status failed -f value
  faafo list -f json | jq '.[].uuid'")]
pub struct ListArgs {
    /// Only those that are queued, running, done or failed
    #[arg(long)]
    status: Option<Status>,

    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,

    #[command(flatten)]
    client: ClientArgs,
}

const PER_PAGE: usize = 100;

pub async fn run(args: ListArgs) -> Done {
    let client = Client::new(&args.client)?;
    let mut writer: Option<FractalWriter> = None;
    let mut last: Option<FractalDoc> = None;
    loop {
        let mut filters = Vec::new();
        if let Some(status) = args.status {
            filters.push(json!({"name": "status", "op": "eq", "val": status}));
        }
        // Each page begins after the last fractal of the one before: pages by number would skip
        // or repeat some when others are created or deleted meanwhile.
        if let Some(FractalDoc { uuid, .. }) = &last {
            filters.push(json!({"name": "uuid", "op": "gt", "val": uuid}));
        }
        // The limit spares the server the counting of all the rest.
        let q = json!({"filters": filters, "limit": PER_PAGE});
        let page = client.search(&q, PER_PAGE).await.map_err(failure)?;
        let mut fractals = page.objects;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(FractalWriter::begin(args.format)?),
        };
        for fractal in &fractals {
            writer.write(fractal)?;
        }
        if fractals.len() < PER_PAGE {
            break;
        }
        last = fractals.pop();
    }
    writer.map_or(Ok(()), FractalWriter::end)
}
