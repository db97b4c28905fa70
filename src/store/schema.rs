//! The tables, and how older stores become newer ones.

use rusqlite::{Connection, TransactionBehavior};

use super::{Result, StoreError};

/// "faaf": marks the file as a store of this program.
const APPLICATION_ID: i32 = 0x6661_6166;

/// Each makes version N + 1 of version N. Once released, one is never changed.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// Brings the store up to the version this program knows.
pub fn migrate(conn: &mut Connection, path: &str) -> Result<()> {
    let known = MIGRATIONS.len() as u32;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let id: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: u32 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (tables > 0 || found > 0) {
        return Err(StoreError::Foreign { path: path.into() });
    }
    if found > known {
        return Err(StoreError::Newer {
            path: path.into(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(());
    }
    for migration in &MIGRATIONS[found as usize..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    tracing::debug!(from = found, to = known, "store migrated");
    Ok(())
}
