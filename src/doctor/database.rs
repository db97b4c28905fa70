//! The database: whether it can be reached and is one of ours, and what it takes.

use super::Finding;
use crate::config::Config;
use crate::store::health::{self, Health, PACKET};
use crate::store::url::Database;
use crate::store::{FILE, StoreError};

const DATABASE: &str = "database";
const PACKETS: &str = "packet limit";

pub async fn health(config: &Config) -> Result<Health, StoreError> {
    health::of(&config.database, &config.data_dir).await
}

pub fn check(config: &Config, health: &Result<Health, StoreError>) -> Finding {
    let name = match &config.database {
        Database::InDataFolder => config.data_dir.join(FILE).display().to_string(),
        Database::Sqlite(file) => file.display().to_string(),
        other => other.to_string(),
    };
    let health = match health {
        Ok(health) => health,
        Err(error) => {
            let says = match error {
                StoreError::Unreachable(why) => format!("{name} cannot be reached: {why}"),
                StoreError::Newer { .. } | StoreError::Foreign { .. } => error.to_string(),
                _ => format!("{name}: {error}"),
            };
            return Finding::wrong(DATABASE, says, mend(config, error));
        }
    };
    let engine = &health.engine;
    let says = match health.counts {
        Some(counts) => {
            let (all, done) = (counts.total(), counts.done);
            format!("{engine}, {name}: {all} fractals, {done} of them done")
        }
        None => format!("{engine}, {name}: the first start makes its tables"),
    };
    Finding::ok(DATABASE, says)
}

fn mend(config: &Config, error: &StoreError) -> String {
    match (&config.database, error) {
        (_, StoreError::Newer { .. }) => "install that version of faafo, or a later one".into(),
        (Database::Postgres(server), StoreError::Unreachable(_)) => format!(
            "systemctl start postgresql    there, and see whether `pg_isready -h {} -p {}` says so",
            server.host, server.port
        ),
        (Database::MySql(server), StoreError::Unreachable(_)) => format!(
            "systemctl start mariadb    there, and see whether `mariadb-admin ping -h {} -P {}` does",
            server.host, server.port
        ),
        (Database::Postgres(_) | Database::MySql(_), StoreError::Foreign { .. }) => {
            "give it an empty database of its own".into()
        }
        (Database::Postgres(_) | Database::MySql(_), _) => {
            "see to user, password and rights in the database_url".into()
        }
        (Database::InDataFolder | Database::Sqlite(_), _) => {
            "faafo restore --force BACKUP    or name another --data-dir".into()
        }
    }
}

/// The limit on statements, where there is one: an image is part of one.
pub fn packet(health: Option<&Health>) -> Option<Finding> {
    let packet = health?.packet?;
    let megabytes = packet >> 20;
    Some(match packet < PACKET {
        true => Finding::wrong(
            PACKETS,
            format!("max_allowed_packet is {megabytes} MB: larger images are refused"),
            "mariadb -e 'SET GLOBAL max_allowed_packet = 67108864'    and the same in the server's \
             my.cnf; then start the farm anew",
        ),
        false => Finding::ok(PACKETS, format!("max_allowed_packet is {megabytes} MB")),
    })
}
