//! Reading: threads with a connection each, which never wait for the writer.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::{Result, StoreError};
use crate::metrics::StoreMetrics;

/// Reads that may wait for a free thread; one more is turned away.
const WAITING: usize = 4096;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Where reads are handed in. The threads end when it is dropped.
pub struct Readers {
    reads: flume::Sender<Read>,
    metrics: StoreMetrics,
}

impl Readers {
    pub fn start(file: &Path, threads: usize, metrics: StoreMetrics) -> Result<Readers> {
        let (reads, waiting) = flume::bounded::<Read>(WAITING);
        for _ in 0..threads {
            let conn = connection(file)?;
            let waiting = waiting.clone();
            std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || {
                    for read in waiting {
                        read(&conn);
                    }
                })
                .map_err(|error| StoreError::Engine(error.to_string()))?;
        }
        Ok(Readers { reads, metrics })
    }

    /// Runs `read` on the next thread that is free.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = self.hand_in(read).await;
        if let Err(error) = &done {
            self.metrics.failed(error);
        }
        done
    }

    async fn hand_in<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let job: Read = Box::new(move |conn| {
            if !tell.is_closed() {
                // Whoever asked may have gone away meanwhile.
                let _ = tell.send(read(conn));
            }
        });
        self.reads.try_send(job).map_err(|_| StoreError::Busy)?;
        Ok(told.await.map_err(|_| StoreError::Closed)??)
    }
}

fn connection(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}
