//! Copies of a store's file: while a server works on it, and back into its place.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::sqlite::count;
use super::{Counts, Result, StoreError, schema};

/// Pages copied at a time: a megabyte, between two signs of progress.
const STEP: i32 = 256;

/// Somebody else may be about to open or close the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub counts: Counts,
    /// Version of the tables.
    pub schema: u32,
}

/// Copies the store in `from` to the new file `to`, as it is at one moment. Whoever writes to it goes
/// on meanwhile. `progress` hears how many pages are done, and of how many.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Copied> {
    let source = open(from)?;
    // What this transaction sees stays as it is, and so the copy need never begin anew.
    source.execute_batch("BEGIN")?;
    let copied = look(&source, from)?;
    let mut target = Connection::open(to)?;
    target.pragma_update(None, "journal_mode", "off")?;
    target.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(&source, &mut target)?;
    loop {
        let step = backup.step(STEP)?;
        let pages = backup.progress();
        let (all, left) = (pages.pagecount.max(0), pages.remaining.max(0));
        progress((all - left).max(0) as u64, all as u64);
        match step {
            StepResult::Done => return Ok(copied),
            StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(50)),
            _ => {}
        }
    }
}

/// What there is in the store in `file`, which may be one that this program does not know.
pub fn inspect(file: &Path) -> Result<Copied> {
    look(&open(file)?, file)
}

/// Folds what the write-ahead log holds into the file, so that it can be replaced by another at one
/// stroke. Nobody else may have it open.
pub fn fold(file: &Path) -> Result<()> {
    let conn = open(file)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.close().map_err(|(_, error)| error.into())
}

fn open(file: &Path) -> Result<Connection> {
    // To write as well: without a server, the log can only be read by one who may.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(PATIENCE)?;
    Ok(conn)
}

fn look(conn: &Connection, file: &Path) -> Result<Copied> {
    let path = file.display().to_string();
    let schema = schema::known(conn, &path)?;
    let counts = count(conn).map_err(StoreError::from)?;
    Ok(Copied { counts, schema })
}
