//! `faafo restore`: a farm out of a backup.

use std::path::PathBuf;

use clap::Args;

use super::backup::{Way, elsewhere, told};
use super::here::HereArgs;
use super::{Done, Failure, output, progress};
use crate::backup::{self, Files};

#[derive(Args)]
#[command(after_help = "\
Run it as whoever runs the farm, or as root. All of the backup is held against its checksums before
anything is replaced; what was queued or being rendered when it was made is rendered by the next start.

Examples:
  faafo restore farm.tar.zst --data-dir ./copy   then: faafo all --data-dir ./copy
  systemctl stop faafo && faafo restore --force /root/farm.tar.zst && systemctl start faafo")]
pub struct RestoreArgs {
    /// What `faafo backup` has written
    file: PathBuf,

    /// Replace the farm that is there, and all its fractals
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    here: HereArgs,
}

pub fn run(args: RestoreArgs) -> Done {
    let (database, data) = args.here.farm()?;
    let Some(files) = Files::of(&database, &data) else {
        return Err(Failure::Usage(elsewhere(&database, Way::In)));
    };
    let bar = progress::bar(
        progress::PICTURE,
        "{msg} {wide_bar} {percent}% {eta}",
        "restoring",
    );
    let about = backup::unpack(&args.file, &files, args.force, &mut |fraction| {
        bar.set_position(progress::steps(fraction));
    })?;
    bar.finish_and_clear();
    output::print(&format!("{}: {}\n", files.store.display(), told(&about)))
}
