//! The store that a URL names.

use std::path::Path;
use std::sync::Arc;

use super::Store;
use super::folder::{OpenError, lock, node};
use super::mysql::MySql;
use super::postgres::Postgres;
use super::server::Server;
use super::sqlite::Sqlite;
use super::url::Database;

/// Opens the store; `folder` keeps what belongs to this node alone. `host` is the machine's name.
pub async fn open(
    database: &Database,
    folder: &Path,
    host: &str,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match database {
        Database::InDataFolder => Arc::new(Sqlite::open(folder)?),
        Database::Sqlite(file) => Arc::new(Sqlite::open_file(file)?),
        Database::MySql(server) => {
            let (lock, node) = (lock(folder)?, node(folder, host)?);
            Arc::new(Server::open(MySql::new(server), node, lock).await?)
        }
        Database::Postgres(server) => {
            let (lock, node) = (lock(folder)?, node(folder, host)?);
            Arc::new(Server::open(Postgres::new(server), node, lock).await?)
        }
    })
}
