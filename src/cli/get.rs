//! `faafo get`: fetch an image.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;
use reqwest::{Response, StatusCode};
use uuid::Uuid;

use super::client::{Client, ClientArgs, failure, is_status};
use super::file::NewFile;
use super::{Done, Failure, output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo get 0f8fad5b-d9cb-469f-a165-70867728950e
  faafo get 0f8fad5b-d9cb-469f-a165-70867728950e -o - | display")]
pub struct GetArgs {
    uuid: Uuid,

    /// Where to put it; `-` is standard output [default: UUID.png]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    client: ClientArgs,
}

pub async fn run(args: GetArgs) -> Done {
    let client = Client::new(&args.client)?;
    let response = match client.image(args.uuid).await {
        Ok(response) => response,
        Err(error) if is_status(&error, StatusCode::NOT_FOUND) => {
            // Tells an unknown fractal from one that is not rendered yet.
            client.show(args.uuid).await.map_err(failure)?;
            let hint = "`faafo show` tells more, `faafo watch` when it is done";
            return Err(Failure::Failed(anyhow::anyhow!("{error}; {hint}")));
        }
        Err(error) => return Err(failure(error)),
    };
    let default = PathBuf::from(format!("{}.png", args.uuid));
    let path = args.output.unwrap_or(default);
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        copy(&client, response, &mut out).await?;
        return Ok(());
    }
    let mut file = NewFile::create(&path)?;
    copy(&client, response, &mut file)
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.complete()?;
    output::print(&format!("{}\n", path.display()))
}

/// Writes an answer's body as it comes.
pub async fn copy(client: &Client, response: Response, out: &mut impl Write) -> anyhow::Result<()> {
    let mut bytes = response.bytes_stream();
    while let Some(some) = bytes.next().await {
        out.write_all(&some.map_err(|error| client.unreachable(error))?)?;
    }
    out.flush()?;
    Ok(())
}
