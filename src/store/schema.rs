//! The tables, and how older stores become newer ones.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{Result, StoreError};

/// "faaf": marks the file as a store of this program.
const APPLICATION_ID: i32 = 0x6661_6166;

/// Each makes version N + 1 of version N. Once released, one is never changed.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql")];

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

/// The version of the store behind a connection, if it is one, and one that this program knows.
pub fn known(conn: &Connection, path: &str) -> Result<u32> {
    let foreign = || StoreError::Foreign { path: path.into() };
    let id = conn.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0));
    let id = id.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => foreign(),
        _ => error.into(),
    })?;
    if id != APPLICATION_ID {
        return Err(foreign());
    }
    let found: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    match found > known {
        true => Err(StoreError::Newer {
            path: path.into(),
            found,
            known,
        }),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::fractal::Palette;
    use crate::store::{Image, Lookup, Sqlite, Store};

    #[tokio::test]
    async fn a_store_of_version_1_keeps_its_fractals_and_they_are_classic() {
        let folder = tempfile::TempDir::new().unwrap();
        let conn = Connection::open(folder.path().join("faafo.db")).unwrap();
        conn.execute_batch(MIGRATIONS[0]).unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        let uuid = Uuid::from_u128(7);
        conn.execute(
            "INSERT INTO fractal (uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, \
             status, created_at) VALUES (?1, 64, 48, 99, -2, 2, -1.5, 1.5, -0.8, 0.156, 'queued', 5)",
            [uuid.to_string()],
        )
        .unwrap();
        let done = Uuid::from_u128(8);
        conn.execute_batch(&format!(
            "INSERT INTO fractal (uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, \
             status, attempts, checksum, size, duration, generated_by, created_at, finished_at) \
             VALUES ('{done}', 64, 48, 99, -2, 2, -1.5, 1.5, -0.8, 0.156, 'done', 1, 'c', 3, 0.5, \
             'worker-1', 6, 7);
             INSERT INTO image (id, png) VALUES (last_insert_rowid(), x'010203');"
        ))
        .unwrap();
        drop(conn);

        // The second time there is nothing left to do.
        for _ in 0..2 {
            let store = Sqlite::open(folder.path()).unwrap();
            let fractal = store.get(uuid).await.unwrap().unwrap();
            assert_eq!(fractal.spec.palette, Palette::Classic);
            assert_eq!((fractal.spec.width, fractal.spec.c.im), (64, 0.156));
            let waiting = store.waiting(0, 9).await.unwrap();
            assert_eq!((waiting.len(), waiting[0].spec), (1, fractal.spec));
            let image = Image {
                png: Bytes::from_static(&[1, 2, 3]),
                checksum: "c".into(),
            };
            assert_eq!(store.image(done, None).await.unwrap(), Lookup::Image(image));
        }
        let conn = Connection::open(folder.path().join("faafo.db")).unwrap();
        let version: u32 = conn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, MIGRATIONS.len() as u32);
    }
}
