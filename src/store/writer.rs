//! One thread writes, and writes that wait share a transaction.
//!
//! A commit costs a flush of the disk, whether it holds one row or a hundred. While one flush
//! runs, further writes gather; the next transaction takes them all. Callers hear of success only
//! after the commit that holds their write.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use super::{Counts, Listener, Result, StoreError};
use crate::events::Event;
use crate::metrics::StoreMetrics;

/// Most writes, and most bytes of images, in one transaction: beyond these a larger group gains
/// nothing and only makes the first caller wait.
const GROUP_WRITES: usize = 256;
pub const GROUP_BYTES: usize = 2 << 20;

/// Writes that may wait before a caller has to. Each holds at most one image.
const WAITING: usize = 1024;

/// What a write sees: the connection inside the transaction, and the counts it keeps in step.
pub struct Group<'a> {
    pub conn: &'a Connection,
    pub counts: Counts,
    /// What has changed, in order: told after the commit.
    pub events: Vec<Event>,
}

struct Job {
    /// Bytes it writes, roughly.
    weight: usize,
    /// Writes, or if `None` does not, and returns what tells the caller once the transaction has
    /// ended. An `Err` spoils the whole group: the engine itself has failed.
    write: Write,
}

type Write = Box<dyn FnOnce(Option<&mut Group<'_>>) -> (Answer, Result<()>) + Send>;

/// Tells the caller how its write ended, given how the transaction did.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// Where writes are handed in. Dropped, it lets the thread finish what waits.
pub struct Writer {
    jobs: Option<flume::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    counts: watch::Receiver<Counts>,
    listener: Arc<Mutex<Listener>>,
}

impl Writer {
    pub fn start(
        conn: Connection,
        file: StoreFile,
        counts: Counts,
        metrics: StoreMetrics,
    ) -> std::io::Result<Writer> {
        let (jobs, waiting) = flume::bounded(WAITING);
        let (publish, published) = watch::channel(counts);
        let listener: Arc<Mutex<Listener>> = Arc::new(Mutex::new(Box::new(|_| {})));
        let told = listener.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&conn, &file, &waiting, &publish, &told, &metrics))?;
        Ok(Writer {
            jobs: Some(jobs),
            thread: Some(thread),
            counts: published,
            listener,
        })
    }

    pub fn listen(&self, listener: Listener) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }

    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }

    /// Runs `write` in the next transaction and returns what it returned, once that is on disk.
    ///
    /// A write that fails must have changed nothing, unless with an error of the engine's, which
    /// undoes the whole group.
    pub async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        write: impl FnOnce(&mut Group<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let job = Job {
            weight,
            write: Box::new(move |group| {
                let written = group.map_or(Err(StoreError::Closed), write);
                let spoilt = match &written {
                    Err(error) if error.is_of_the_engine() => Err(error.clone()),
                    _ => Ok(()),
                };
                let answer: Answer = Box::new(move |committed| {
                    // A caller that has gone away does not mind.
                    let _ = tell.send(committed.and(written));
                });
                (answer, spoilt)
            }),
        };
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send_async(job).await.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that its callers have not heard.
            let _ = thread.join();
        }
    }
}

/// The store's file by name, and as it was when it was opened.
pub struct StoreFile {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl StoreFile {
    pub fn new(path: &Path) -> std::io::Result<StoreFile> {
        Ok(StoreFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }

    fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn run(
    conn: &Connection,
    file: &StoreFile,
    waiting: &flume::Receiver<Job>,
    publish: &watch::Sender<Counts>,
    listener: &Mutex<Listener>,
    metrics: &StoreMetrics,
) {
    while let Ok(first) = waiting.recv() {
        let begun = Instant::now();
        let before = *publish.borrow();
        let mut group = Group {
            conn,
            counts: before,
            events: Vec::new(),
        };
        let mut answers = Vec::new();
        let committed = transaction(&mut group, file, first, waiting, &mut answers);
        match &committed {
            Ok(()) => {
                metrics.committed(answers.len(), begun.elapsed());
                if group.counts != before {
                    publish.send_replace(group.counts);
                }
                let listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
                for event in group.events {
                    listener(event);
                }
            }
            Err(error) => {
                metrics.failed(error);
                tracing::error!(writes = answers.len(), %error, "a store transaction failed");
                if !conn.is_autocommit() {
                    // If even this fails, so will the next BEGIN, and its callers will hear of it.
                    let _ = conn.execute_batch("ROLLBACK");
                }
            }
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

fn begin(conn: &Connection, file: &StoreFile) -> Result<()> {
    if !file.is_there() {
        return Err(StoreError::Gone);
    }
    Ok(conn.execute_batch("BEGIN IMMEDIATE")?)
}

fn transaction(
    group: &mut Group<'_>,
    file: &StoreFile,
    first: Job,
    waiting: &flume::Receiver<Job>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    if let Err(error) = begin(group.conn, file) {
        // The caller hears of this error, whatever its own answer would be.
        answers.push((first.write)(None).0);
        return Err(error);
    }
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(job) = next {
        bytes += job.weight;
        let (answer, written) = (job.write)(Some(group));
        answers.push(answer);
        written?;
        next = if answers.len() < GROUP_WRITES && bytes < GROUP_BYTES {
            waiting.try_recv().ok()
        } else {
            None
        };
    }
    Ok(group.conn.execute_batch("COMMIT")?)
}

impl StoreError {
    /// Whether the transaction cannot go on, as against a write that was turned down.
    fn is_of_the_engine(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Busy | Self::Engine(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.code);
        let extended = error.sqlite_error().map(|error| error.extended_code);
        if code == Some(ErrorCode::DiskFull) || extended == Some(SHM_CANNOT_GROW) {
            StoreError::DiskFull
        } else {
            StoreError::Engine(error.to_string())
        }
    }
}

/// SQLITE_IOERR_SHMSIZE: a full disk met while the index of the write-ahead log had to grow.
const SHM_CANNOT_GROW: i32 = 4874;
