//! `faafo manual`: the manual pages, for those who make packages.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::{Cli, Done};

#[derive(Args)]
pub struct ManualArgs {
    /// Folder for faafo.1 and a page for each command
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub fn run(args: ManualArgs) -> Done {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(())
}
