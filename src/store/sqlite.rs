//! The store in one SQLite file, made for one process.
//!
//! Write-ahead log with full synchronisation: what was answered survives a power cut. All writes
//! go through [`Writer`]; readers have connections and threads of their own and never wait for it.

use std::fs::File;
use std::path::Path;
use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params, params_from_iter};
use tokio::sync::watch;
use uuid::Uuid;

use super::changes::{get, key};
use super::folder::{OpenError, in_folder, lock};
use super::reader::Readers;
use super::search::Part;
use super::sql::Dialect;
use super::writer::{GROUP_BYTES, Group, StoreFile, Writer};
use super::{
    Counts, Finished, Image, Listener, Lookup, Page, Result, Search, Store, StoreError, Waiting,
    accepted, has_room, now, rows, schema, sql,
};
use crate::events::Event;
use crate::fractal::{Fractal, FractalSpec, Outcome, RowId, Status};
use crate::metrics::StoreMetrics;

/// The store's file in a data folder.
pub const FILE: &str = "faafo.db";

const READERS: usize = 3;

/// The log is folded back into the file at this many pages of 4 KiB, and cut to that size.
const LOG_PAGES: u32 = 4096;

pub struct Sqlite {
    writer: Writer,
    reads: Readers,
    /// For the feeder alone: however much is searched, the workers have something to do.
    feed: Readers,
    metrics: StoreMetrics,
    /// Held as long as the store is open: one process a folder.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in `folder`, making both where they are not there yet.
    pub fn open(folder: &Path) -> Result<Sqlite, OpenError> {
        Sqlite::open_file(&folder.join(FILE))
    }

    /// Opens the store in `file`, making it and its folder where they are not there yet.
    pub fn open_file(file: &Path) -> Result<Sqlite, OpenError> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let in_folder = in_folder(folder);
        let lock = lock(folder)?;
        let conn = writing_connection(file)?;
        let counts = count(&conn).map_err(StoreError::from)?;
        let metrics = StoreMetrics::default();
        let store_file = StoreFile::new(file).map_err(in_folder)?;
        let writer = Writer::start(conn, store_file, counts, metrics.clone()).map_err(in_folder)?;
        Ok(Sqlite {
            writer,
            reads: Readers::start(file, READERS, metrics.clone())?,
            feed: Readers::start(file, 1, metrics.clone())?,
            metrics,
            _lock: lock,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reads.read(read).await
    }

    /// A write of one row and nothing large.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Group<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(0, write).await
    }
}

fn writing_connection(file: &Path) -> Result<Connection> {
    let path = file.display().to_string();
    let foreign = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path.clone() },
        _ => error.into(),
    };
    let mut conn = Connection::open(file).map_err(foreign)?;
    conn.pragma_update(None, "journal_mode", "wal")
        .map_err(foreign)?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", LOG_PAGES * 4096)?;
    conn.set_prepared_statement_cache_capacity(64);
    schema::migrate(&mut conn, &path)?;
    Ok(conn)
}

pub fn count(conn: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::default();
    let mut statement = conn.prepare("SELECT status, count(*) FROM fractal GROUP BY status")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let status = row.get_ref(0)?.as_str()?.parse::<Status>();
        *counts.slot(status.map_err(rusqlite::types::FromSqlError::other)?) =
            row.get::<_, i64>(1)? as u64;
    }
    Ok(counts)
}

fn add_image(group: &Group<'_>, row: RowId, png: &[u8]) -> Result<()> {
    let insert = "INSERT INTO image (id, png) VALUES (?1, ?2)";
    let mut statement = group.conn.prepare_cached(insert)?;
    statement.execute(params![row, png])?;
    Ok(())
}

#[async_trait]
impl Store for Sqlite {
    fn listen(&self, listener: Listener) {
        self.writer.listen(listener);
    }

    fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    async fn insert(&self, uuid: Uuid, spec: FractalSpec, most_queued: u64) -> Result<Fractal> {
        self.write(move |group| {
            has_room(&group.counts, 1, most_queued)?;
            let mut fractal = accepted(0, uuid, spec);
            group.insert(&mut fractal)?;
            Ok(fractal)
        })
        .await
    }

    async fn import(
        &self,
        uuid: Uuid,
        spec: FractalSpec,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Fractal> {
        self.writer
            .write(png.len(), move |group| {
                let mut fractal = accepted(0, uuid, spec);
                group.import(&mut fractal, outcome)?;
                add_image(group, fractal.row, &png)?;
                Ok(fractal)
            })
            .await
    }

    async fn insert_all(
        &self,
        new: Vec<(Uuid, FractalSpec)>,
        most_queued: u64,
    ) -> Result<Vec<Fractal>> {
        let insert = move |group: &mut Group<'_>| {
            has_room(&group.counts, new.len(), most_queued)?;
            for (uuid, _) in &new {
                if get(group.conn, *uuid)?.is_some() {
                    return Err(StoreError::Duplicate(*uuid));
                }
            }
            let insert = |(uuid, spec)| {
                let mut fractal = accepted(0, uuid, spec);
                group.insert(&mut fractal)?;
                Ok(fractal)
            };
            new.into_iter().map(insert).collect()
        };
        // No other write has to wait for it and for many more.
        self.writer.write(GROUP_BYTES, insert).await
    }

    async fn get(&self, uuid: Uuid) -> Result<Option<Fractal>> {
        self.read(move |conn| get(conn, uuid)).await
    }

    async fn image(&self, uuid: Uuid, known: Option<String>) -> Result<Lookup> {
        self.read(move |conn| {
            let mut row = conn.prepare_cached(
                "SELECT status, checksum, CASE WHEN checksum <> ?2 THEN png END \
                 FROM fractal LEFT JOIN image USING (id) WHERE uuid = ?1",
            )?;
            let lookup = row.query_row(params![key(uuid), known.unwrap_or_default()], |row| {
                let status = row.get_ref(0)?.as_str()?.parse::<Status>();
                let status = status.map_err(rusqlite::types::FromSqlError::other)?;
                Ok(match (row.get(1)?, row.get(2)?) {
                    (Some(checksum), Some::<Vec<u8>>(png)) => Lookup::Image(Image {
                        png: png.into(),
                        checksum,
                    }),
                    (Some::<String>(_), None) => Lookup::Same,
                    (None, _) => Lookup::NoImage(status),
                })
            });
            Ok(lookup.optional()?.unwrap_or(Lookup::NoFractal))
        })
        .await
    }

    async fn search(&self, search: Search, skip: u64, count: u64) -> Result<Page> {
        let known = self.writer.counts().borrow().of_filter(&search.filter);
        let known = known.map(|found| search.window(found));
        let part = Part { skip, count };
        if let Some(total) = known.filter(|total| skip > *total) {
            return Ok(part.page(Vec::new(), total));
        }
        self.read(move |conn| {
            let sql = sql::page(
                &search,
                rows::FRACTAL,
                skip,
                part.reach(&search),
                Dialect::Sqlite,
            );
            let mut statement = conn.prepare_cached(&sql.text)?;
            let fractals = statement
                .query_map(params_from_iter(&sql.values), rows::fractal)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let total = match (part.told(fractals.len()), known) {
                (Some(total), _) => total,
                (None, Some(total)) => total,
                (None, None) => {
                    let sql = sql::count(&search, Dialect::Sqlite);
                    let mut statement = conn.prepare_cached(&sql.text)?;
                    let values = params_from_iter(&sql.values);
                    let found = statement.query_row(values, |row| row.get::<_, i64>(0))?;
                    search.window(found as u64)
                }
            };
            Ok(part.page(fractals, total))
        })
        .await
    }

    async fn waiting(&self, after: RowId, count: usize) -> Result<Vec<Waiting>> {
        self.feed
            .read(move |conn| {
                static SQL: LazyLock<String> = LazyLock::new(|| {
                    format!(
                        "SELECT {} FROM fractal INDEXED BY fractal_waiting \
                     WHERE status = 'queued' AND id > ?1 ORDER BY id LIMIT ?2",
                        rows::WAITING
                    )
                });
                let mut statement = conn.prepare_cached(&SQL)?;
                let found = statement.query_map(params![after, count as i64], rows::waiting)?;
                found.collect()
            })
            .await
    }

    async fn start(&self, row: RowId) -> Result<Option<Fractal>> {
        self.write(move |group| {
            group.transition(row, Status::Queued, |fractal| {
                fractal.status = Status::Running;
                fractal.attempts += 1;
            })
        })
        .await
    }

    async fn give_back(&self, row: RowId) -> Result<Option<Fractal>> {
        self.write(move |group| {
            group.transition(row, Status::Running, |fractal| {
                fractal.status = Status::Queued;
                fractal.attempts = fractal.attempts.saturating_sub(1);
            })
        })
        .await
    }

    async fn lose(&self, row: RowId, most: u32) -> Result<Option<Fractal>> {
        self.write(move |group| {
            if !group
                .at(row)?
                .is_some_and(|fractal| fractal.status == Status::Running)
            {
                return Ok(None);
            }
            let sql = "UPDATE fractal SET crashes = crashes + 1 WHERE id = ?1 RETURNING crashes";
            let mut statement = group.conn.prepare_cached(sql)?;
            let crashes: u32 = statement.query_row([row], |row| row.get(0))?;
            drop(statement);
            group.transition(row, Status::Running, |fractal| {
                fractal.attempts = fractal.attempts.saturating_sub(1);
                if crashes >= most {
                    fractal.status = Status::Failed;
                    fractal.finished_at = Some(now());
                    fractal.error = Some(format!(
                        "the process ended {crashes} times while rendering this"
                    ));
                } else {
                    fractal.status = Status::Queued;
                }
            })
        })
        .await
    }

    async fn finish(&self, row: RowId, outcome: Outcome, png: Bytes) -> Result<Option<Finished>> {
        self.writer
            .write(png.len(), move |group| {
                let Some(mut fractal) = group.at(row)? else {
                    return Ok(None);
                };
                let was = fractal.status;
                if was == Status::Done {
                    return Ok(Some(Finished::Before(fractal)));
                }
                fractal.status = Status::Done;
                fractal.error = None;
                fractal.outcome = Some(outcome);
                fractal.finished_at = Some(now());
                group.update(was, &fractal)?;
                add_image(group, row, &png)?;
                Ok(Some(Finished::Now(fractal)))
            })
            .await
    }

    async fn fail(&self, row: RowId, reason: String, most: u32) -> Result<Option<Fractal>> {
        self.write(move |group| {
            group.transition(row, Status::Running, |fractal| {
                fractal.error = Some(reason);
                if fractal.attempts >= most {
                    fractal.status = Status::Failed;
                    fractal.finished_at = Some(now());
                } else {
                    fractal.status = Status::Queued;
                }
            })
        })
        .await
    }

    async fn retry(&self, uuid: Uuid) -> Result<Option<(Fractal, bool)>> {
        self.write(move |group| {
            let Some(fractal) = get(group.conn, uuid)? else {
                return Ok(None);
            };
            let again = group.transition(fractal.row, Status::Failed, |fractal| {
                fractal.status = Status::Queued;
                fractal.attempts = 0;
                fractal.finished_at = None;
            })?;
            if again.is_some() {
                let sql = "UPDATE fractal SET crashes = 0 WHERE id = ?1";
                group.conn.execute(sql, [fractal.row])?;
            }
            Ok(Some(match again {
                Some(fractal) => (fractal, true),
                None => (fractal, false),
            }))
        })
        .await
    }

    async fn delete(&self, uuid: Uuid) -> Result<bool> {
        self.write(move |group| {
            let Some(fractal) = get(group.conn, uuid)? else {
                return Ok(false);
            };
            let mut statement = group
                .conn
                .prepare_cached("DELETE FROM fractal WHERE id = ?1")?;
            statement.execute([fractal.row])?;
            group.counts.moved(Some(fractal.status), None);
            group.events.push(Event::Deleted(fractal.row, uuid));
            Ok(true)
        })
        .await
    }

    async fn recover(&self, most: u32) -> Result<u64> {
        self.write(move |group| {
            // Said of the attempt that was cut off: it counts as a crash, not as an attempt.
            group.conn.execute(
                "UPDATE fractal SET attempts = attempts - 1, crashes = crashes + 1 \
                 WHERE status = 'running'",
                [],
            )?;
            let failed = group.conn.execute(
                "UPDATE fractal SET status = 'failed', finished_at = ?2, \
                 error = 'the process ended ' || crashes || ' times while rendering this' \
                 WHERE status = 'running' AND crashes >= ?1",
                params![most, now().as_millisecond()],
            )?;
            let queued = group.conn.execute(
                "UPDATE fractal SET status = 'queued' WHERE status = 'running'",
                [],
            )?;
            if failed + queued > 0 {
                group.counts = count(group.conn)?;
            }
            Ok((failed + queued) as u64)
        })
        .await
    }

    async fn check(&self) -> Result<()> {
        self.read(|conn| conn.query_row("SELECT 1", [], |_| Ok(())))
            .await?;
        // A transaction in which nothing is written costs no flush of the disk.
        self.write(|_| Ok(())).await
    }

    fn counts(&self) -> watch::Receiver<Counts> {
        self.writer.counts()
    }
}
