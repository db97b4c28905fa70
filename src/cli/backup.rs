//! `faafo backup`: a copy of the farm on this machine in one file.

use std::path::PathBuf;

use clap::Args;

use super::here::HereArgs;
use super::{Done, Failure, output, progress};
use crate::backup::{self, About, Files};
use crate::store::url::{Database, Server};

#[derive(Args)]
#[command(after_help = "\
Run it where the farm runs, as whoever runs it, whether or not it runs. The fractals, the images and
the farm's tokens are in the file: keep it where you would keep those.

Examples:
  faafo backup farm.tar.zst                     of ~/.local/share/faafo
  faafo backup farm.tar.zst --data-dir ./farm
  sudo faafo backup /root/farm.tar.zst          of the service that the package installs
  faafo restore farm.tar.zst --data-dir ./copy  what to do with it; faafo all --data-dir ./copy")]
pub struct BackupArgs {
    /// Where to put it; what is there is replaced
    file: PathBuf,

    #[command(flatten)]
    here: HereArgs,
}

pub fn run(args: BackupArgs) -> Done {
    let (database, data) = args.here.farm()?;
    let Some(files) = Files::of(&database, &data) else {
        return Err(Failure::Usage(elsewhere(&database, Way::Out)));
    };
    let bar = progress::bar(
        progress::PICTURE,
        "{msg} {wide_bar} {percent}% {eta}",
        "backing up",
    );
    let about = backup::pack(&files, &args.file, &mut |fraction| {
        bar.set_position(progress::steps(fraction));
    })?;
    bar.finish_and_clear();
    output::print(&format!("{}: {}\n", args.file.display(), told(&about)))
}

/// What is in a backup, in a line.
pub fn told(about: &About) -> String {
    let counts = &about.fractals;
    let all = counts.queued + counts.running + counts.done + counts.failed;
    format!(
        "{all} fractals, {} of them done, of {}",
        counts.done, about.at
    )
}

/// Which way the data are to go.
#[derive(Clone, Copy)]
pub enum Way {
    Out,
    In,
}

/// What to do where the farm's data are on a server, which has tools of its own.
pub fn elsewhere(database: &Database, way: Way) -> String {
    let command = match (database, way) {
        (Database::Postgres(server), Way::Out) => {
            let (at, name) = (of_postgres(server), &server.database);
            format!("pg_dump -Fc -f FILE {at} {name}")
        }
        (Database::Postgres(server), Way::In) => {
            let (at, name) = (of_postgres(server), &server.database);
            format!("pg_restore --clean --if-exists {at} -d {name} FILE")
        }
        (Database::MySql(server), Way::Out) => {
            let (at, name) = (of_mysql(server), &server.database);
            format!("mariadb-dump --single-transaction --hex-blob -r FILE {at} -p {name}")
        }
        (Database::MySql(server), Way::In) => {
            format!("mariadb {} -p {} < FILE", of_mysql(server), server.database)
        }
        (Database::InDataFolder | Database::Sqlite(_), _) => return String::new(),
    };
    let (what, stop) = match way {
        Way::Out => ("back it up with", ""),
        Way::In => ("restore it with", ", all nodes stopped"),
    };
    format!(
        "fractals and images are in the database {database}: {what} its server's own tool, as in \
         `{command}`{stop}"
    )
}

/// How a server's tools are told where it is, and as whom.
fn of_postgres(server: &Server) -> String {
    let Server {
        host, port, user, ..
    } = server;
    match &server.socket {
        Some(folder) => format!("-h {} -U {user}", folder.display()),
        None => format!("-h {host} -p {port} -U {user}"),
    }
}

fn of_mysql(server: &Server) -> String {
    let Server {
        host, port, user, ..
    } = server;
    match &server.socket {
        Some(socket) => format!("-S {} -u {user}", socket.display()),
        None => format!("-h {host} -P {port} -u {user}"),
    }
}
