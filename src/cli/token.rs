//! `faafo token`: show or replace the tokens of a farm on this machine.

use std::path::PathBuf;

use clap::Args;

use super::here::of_the_service;
use super::{Done, Failure, output};
use crate::config::Settings;

#[derive(Args)]
#[command(after_help = "\
Run it where the farm runs, as whoever runs it, with the same settings.

Examples:
  faafo token                                   the token for those who create, delete and retry
  (umask 077; ssh farm faafo token > token)     take it elsewhere
  faafo create --token-file token --endpoint-url https://farm.example:8080
  faafo token --worker --rotate                 a new one for workers; the old one ends at once")]
pub struct TokenArgs {
    /// The workers' token, instead of the users'
    #[arg(long)]
    worker: bool,

    /// Make a new one, which running servers take up at once
    #[arg(long)]
    rotate: bool,

    /// Folder for fractals and images, in which the tokens are [default: ~/.local/share/faafo]
    #[arg(long, env = "FAAFO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// File with the users' token, if the server is given one
    #[arg(long, env = "FAAFO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with the workers' token, if the server is given one
    #[arg(long, env = "FAAFO_WORKER_TOKEN_FILE", value_name = "FILE")]
    worker_token_file: Option<PathBuf>,

    /// The server's settings in a TOML file [default, for root: that of the service, where it is
    /// installed]
    #[arg(long, env = "FAAFO_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
}

pub fn run(args: TokenArgs) -> Done {
    let settings = Settings {
        data_dir: args.data_dir,
        token_file: args.token_file,
        worker_token_file: args.worker_token_file,
        ..Settings::default()
    };
    let nothing_named = settings.data_dir.is_none() && settings.token_file.is_none();
    let file = match args.config_file {
        None if nothing_named => of_the_service(),
        named => named,
    };
    let settings = settings.over(file.as_deref());
    let places = settings.and_then(|settings| settings.token_places());
    let places = places.map_err(|error| Failure::Usage(error.to_string()))?;
    let place = if args.worker {
        places.worker
    } else {
        places.user
    };
    let token = if args.rotate {
        place.rotate()?
    } else {
        place.read()?
    };
    output::print(&format!("{}\n", token.expose()))
}
