//! How a database does, for whoever asks before or beside a server: nothing is changed in it.

use std::path::Path;

use jiff::Timestamp;

use super::mysql::MySql;
use super::postgres::Postgres;
use super::server::engine::{Cells, Engine, Purpose, Statement, some};
use super::server::link::Link;
use super::server::{ROOMY, schema, statements};
use super::sql::Dialect;
use super::url::Database;
use super::{Counts, FILE, Result, copy};

/// Statements below this are too small for some images.
pub const PACKET: u64 = ROOMY;

#[derive(Clone, Debug)]
pub struct Health {
    /// Name and version of the engine.
    pub engine: String,
    /// How many fractals there are; `None`: there are no tables so far.
    pub counts: Option<Counts>,
    /// Bytes that a statement may have, where the engine has such a limit.
    pub packet: Option<u64>,
    /// Milliseconds that the database's clock is ahead of this machine's, where it has its own.
    pub ahead: Option<i64>,
}

/// Asks the database; `folder` is the data folder.
pub async fn of(database: &Database, folder: &Path) -> Result<Health> {
    match database {
        Database::InDataFolder => in_file(&folder.join(FILE)),
        Database::Sqlite(file) => in_file(file),
        Database::MySql(server) => on_server(MySql::new(server)).await,
        Database::Postgres(server) => on_server(Postgres::new(server)).await,
    }
}

fn in_file(file: &Path) -> Result<Health> {
    let found = match file.exists() {
        true => Some(copy::inspect(file)?),
        false => None,
    };
    Ok(Health {
        engine: format!("SQLite {}", rusqlite::version()),
        counts: found.map(|found| found.counts),
        packet: None,
        ahead: None,
    })
}

async fn on_server<E: Engine>(engine: E) -> Result<Health> {
    let mut link = Link::open(&engine, Purpose::Read).await?;
    let version = match E::DIALECT {
        Dialect::MySql => "VERSION()",
        _ => "current_setting('server_version')",
    };
    let ask = format!("SELECT {version}, {}", statements::now(E::DIALECT));
    let before = Timestamp::now().as_millisecond();
    let found = link.run(&Statement::new(ask, [])).await?;
    let between = (before + Timestamp::now().as_millisecond()) / 2;
    let mut cells = Cells::of(some(found.into_iter().next())?);
    let version = some(cells.text()?)?;
    let ahead = some(cells.integer()?)? - between;
    let counts = match schema::version(&engine, &mut link).await? {
        None => None,
        Some(_) => Some(count(&mut link).await?),
    };
    Ok(Health {
        engine: called(E::DIALECT, &version),
        counts,
        packet: match E::DIALECT {
            Dialect::MySql => link.packet(),
            _ => None,
        },
        ahead: Some(ahead),
    })
}

async fn count<S: super::server::engine::Session>(link: &mut Link<S>) -> Result<Counts> {
    let text = "SELECT queued, running, done, failed FROM farm WHERE id = 1";
    let found = link.run(&Statement::new(text, [])).await?;
    let mut cells = Cells::of(some(found.into_iter().next())?);
    let mut next = || Ok::<_, super::StoreError>(some(cells.integer()?)?.max(0) as u64);
    Ok(Counts {
        queued: next()?,
        running: next()?,
        done: next()?,
        failed: next()?,
    })
}

/// What an engine calls itself, without what its packagers add.
fn called(dialect: Dialect, version: &str) -> String {
    let number = version.split([' ', '-']).next().unwrap_or(version);
    match dialect {
        Dialect::MySql if version.contains("MariaDB") => format!("MariaDB {number}"),
        Dialect::MySql => format!("MySQL {number}"),
        _ => format!("PostgreSQL {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_called_by_name_and_number() {
        let maria = called(Dialect::MySql, "10.11.14-MariaDB-0+deb12u2");
        assert_eq!(maria, "MariaDB 10.11.14");
        assert_eq!(called(Dialect::MySql, "8.4.0"), "MySQL 8.4.0");
        let postgres = called(Dialect::Postgres, "15.14 (Debian 15.14-0+deb12u1)");
        assert_eq!(postgres, "PostgreSQL 15.14");
    }
}
