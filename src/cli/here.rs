//! The farm on this machine, for commands that see to it without asking a server.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::Settings;
use crate::service;
use crate::store::url::{Database, Secret};

/// Where it is: what a server is told, too.
#[derive(Args, Clone, Debug)]
pub struct HereArgs {
    /// The farm's folder [default: ~/.local/share/faafo]
    #[arg(long, env = "FAAFO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// Database of the farm, if it is not in that folder
    #[arg(
        long,
        env = "FAAFO_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<Secret>,

    /// File that holds the database's URL
    #[arg(long, env = "FAAFO_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,

    /// The server's settings in a TOML file [default, for root: that of the service, where it is
    /// installed]
    #[arg(long, env = "FAAFO_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
}

impl HereArgs {
    /// The database, and the data folder.
    pub fn farm(self) -> Result<(Database, PathBuf), Failure> {
        let settings = Settings {
            data_dir: self.data_dir,
            database_url: self.database_url,
            database_url_file: self.database_url_file,
            ..Settings::default()
        };
        let named = settings.data_dir.is_some() || settings.database_url.is_some();
        let file = match self.config_file {
            None if !named => of_the_service(),
            file => file,
        };
        let found = settings
            .over(file.as_deref())
            .and_then(|settings| Ok((settings.database()?, settings.data_folder()?)));
        found.map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// The settings of the service that a package installs, if it is root who asks: whoever else may have
/// a farm of their own. With them go its credentials.
pub fn of_the_service() -> Option<PathBuf> {
    let file = PathBuf::from("/etc/faafo/faafo.toml");
    let root = rustix::process::geteuid().is_root();
    let found = (root && file.exists()).then_some(file);
    if found.is_some() {
        service::speak_for_it();
    }
    found
}
