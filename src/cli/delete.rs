//! `faafo delete`.

use clap::Args;
use reqwest::StatusCode;
use uuid::Uuid;

use super::client::{Client, WriteArgs, failure, is_status};
use super::{Done, Failure, output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo delete 0f8fad5b-d9cb-469f-a165-70867728950e
  faafo list --status failed -f value | cut -d' ' -f1 | xargs faafo delete")]
pub struct DeleteArgs {
    #[arg(required = true, value_name = "UUID")]
    uuids: Vec<Uuid>,

    #[command(flatten)]
    client: WriteArgs,
}

pub async fn run(args: DeleteArgs) -> Done {
    let client = Client::writing(&args.client)?;
    each(args.uuids, async |uuid| client.delete(uuid).await).await
}

/// Does something with each of several fractals and prints the uuids of those that it was done
/// with; one that fails keeps none of the others from it.
pub async fn each(uuids: Vec<Uuid>, act: impl AsyncFn(Uuid) -> anyhow::Result<()>) -> Done {
    let alone = uuids.len() == 1;
    let mut failed = false;
    for uuid in uuids {
        match act(uuid).await {
            Ok(()) => output::print(&format!("{uuid}\n"))?,
            // The others would hear the same.
            Err(error) if is_status(&error, StatusCode::UNAUTHORIZED) => return Err(error.into()),
            Err(error) if alone => return Err(failure(error)),
            Err(error) => {
                eprintln!("faafo: {uuid}: {error:#}");
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}
