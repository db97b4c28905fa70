//! The tables on a server, and how older stores become newer ones while others start as well.

use super::engine::{Cell, Cells, Engine, Fault, Purpose, Statement, some};
use super::link::Link;
use crate::store::sql::Dialect;
use crate::store::{Result, StoreError};

/// Seconds that a node waits while another one migrates.
const PATIENCE: u32 = 60;

/// "faaf", as in the SQLite file: the name of the lock.
const LOCK: i64 = 0x6661_6166;

/// Brings the store up to the version this program knows: one node at a time, whoever comes later
/// finds it done.
pub async fn migrate<E: Engine>(engine: &E) -> Result<()> {
    let mut link = Link::open(engine, Purpose::Migrate).await?;
    match E::DIALECT {
        Dialect::MySql => {
            let lock = format!("SELECT CAST(GET_LOCK('faafo {LOCK}', {PATIENCE}) AS SIGNED)");
            let got = link.script(&lock).await?.into_iter().next();
            if got.map(|row| Cells::of(row).integer()).transpose()? != Some(Some(1)) {
                return Err(StoreError::Busy);
            }
        }
        _ => {
            let lock = format!(
                "SET lock_timeout = '{PATIENCE}s'; \
                 SELECT pg_advisory_lock({LOCK})::text"
            );
            link.script(&lock).await?;
        }
    }
    let migrated = locked(engine, &mut link).await;
    // The lock ends with the session in any case.
    let unlock = match E::DIALECT {
        Dialect::MySql => format!("SELECT CAST(RELEASE_LOCK('faafo {LOCK}') AS SIGNED)"),
        _ => format!("SELECT pg_advisory_unlock({LOCK})::text"),
    };
    if migrated.is_ok() {
        link.script(&unlock).await?;
    }
    migrated
}

async fn locked<E: Engine>(engine: &E, link: &mut Link<E::Session>) -> Result<()> {
    let known = E::MIGRATIONS.len() as u32;
    if !exists::<E>(link, "faafo_schema").await? {
        if exists::<E>(link, "fractal").await? {
            return Err(StoreError::Foreign {
                path: engine.name(),
            });
        }
        link.script(
            "CREATE TABLE faafo_schema (version bigint PRIMARY KEY); \
             INSERT INTO faafo_schema VALUES (0)",
        )
        .await?;
    }
    let version = Statement::new("SELECT max(version) FROM faafo_schema", []);
    let found = match link.run(&version).await?.into_iter().next() {
        // Made and not filled: cut off just there.
        Some(row) => Cells::of(row).integer()?.unwrap_or(0),
        None => 0,
    };
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer {
            path: engine.name(),
            found,
            known,
        });
    }
    for version in found + 1..=known {
        // An empty statement is an error in MySQL.
        let migration = E::MIGRATIONS[version as usize - 1].trim_end();
        let migration = migration.trim_end_matches(';');
        // In PostgreSQL this is one transaction; in MySQL each definition is one by itself.
        let text = format!(
            "BEGIN; {migration}; DELETE FROM faafo_schema; \
             INSERT INTO faafo_schema VALUES ({version}); COMMIT"
        );
        link.script(&text).await?;
        tracing::debug!(to = version, "store migrated");
    }
    Ok(())
}

/// The version of the tables, which are left alone; `None`: there are none so far.
pub async fn version<E: Engine>(engine: &E, link: &mut Link<E::Session>) -> Result<Option<u32>> {
    if !exists::<E>(link, "faafo_schema").await? {
        return match exists::<E>(link, "fractal").await? {
            true => Err(StoreError::Foreign {
                path: engine.name(),
            }),
            false => Ok(None),
        };
    }
    let version = Statement::new("SELECT max(version) FROM faafo_schema", []);
    let found = link.run(&version).await?.into_iter().next();
    let found = found.map(|row| Cells::of(row).integer()).transpose()?;
    let found = found.flatten().unwrap_or(0);
    let (found, known) = (
        u32::try_from(found).unwrap_or(u32::MAX),
        E::MIGRATIONS.len(),
    );
    match found > known as u32 {
        true => Err(StoreError::Newer {
            path: engine.name(),
            found,
            known: known as u32,
        }),
        false => Ok(Some(found)),
    }
}

async fn exists<E: Engine>(link: &mut Link<E::Session>, table: &str) -> Result<bool, Fault> {
    let schema = match E::DIALECT {
        Dialect::MySql => "DATABASE()",
        _ => "current_schema()",
    };
    let text = format!(
        "SELECT count(*) FROM information_schema.tables \
         WHERE table_schema = {schema} AND table_name = ?"
    );
    let rows = link.run(&Statement::new(text, [Cell::text(table)])).await?;
    let count = rows.into_iter().next().map(|row| Cells::of(row).integer());
    let count = count.transpose().and_then(|count| some(count.flatten()));
    Ok(count.map_err(Fault::Store)? > 0)
}
