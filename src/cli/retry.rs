//! `faafo retry`.

use clap::Args;
use uuid::Uuid;

use super::Done;
use super::client::{Client, WriteArgs};
use super::delete::each;

#[derive(Args)]
pub struct RetryArgs {
    #[arg(required = true, value_name = "UUID")]
    uuids: Vec<Uuid>,

    #[command(flatten)]
    client: WriteArgs,
}

pub async fn run(args: RetryArgs) -> Done {
    let client = Client::writing(&args.client)?;
    each(args.uuids, async |uuid| client.retry(uuid).await.map(drop)).await
}
