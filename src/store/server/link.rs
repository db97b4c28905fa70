//! Sessions that never make anybody wait for ever: each call has its time, and a session that
//! failed is not used again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::engine::{Cell, Engine, Fault, Purpose, Row, Session, Statement};
use crate::store::{Result, StoreError};

/// To connect, or to get one of the pool's sessions.
pub const CONNECT: Duration = Duration::from_secs(5);

/// For one statement; the server's own limits are shorter, so that it is usually the one to say so.
const READ: Duration = Duration::from_secs(35);
const WRITE: Duration = Duration::from_secs(12);

/// To migrate, which may take a while with many fractals.
const MIGRATE: Duration = Duration::from_secs(3600);

/// Bytes of an image that the slowest network worth having carries in a second.
const BYTES_A_SECOND: u64 = 1 << 20;

/// Sessions unused for this long are closed: gateways forget them.
const IDLE: Duration = Duration::from_secs(60);

/// A session, each of its calls limited in time.
pub struct Link<S> {
    session: S,
    /// For a statement.
    answer: Duration,
}

impl<S: Session> Link<S> {
    pub async fn open<E: Engine<Session = S>>(engine: &E, purpose: Purpose) -> Result<Self, Fault> {
        let connected = tokio::time::timeout(CONNECT, engine.connect(purpose)).await;
        connected
            .unwrap_or_else(|_| {
                let time = CONNECT.as_secs();
                Err(Fault::Gone(format!("no connection within {time} s")))
            })
            .map(|session| Link {
                session,
                answer: match purpose {
                    Purpose::Read => READ,
                    Purpose::Write => WRITE,
                    Purpose::Migrate => MIGRATE,
                },
            })
    }

    pub async fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        let bytes = statement.cells.iter().map(|cell| match cell {
            Cell::Bytes(Some(bytes)) => bytes.len() as u64,
            _ => 0,
        });
        let time = self.answer + Duration::from_secs(bytes.sum::<u64>() / BYTES_A_SECOND);
        in_time(time, self.session.run(statement)).await
    }

    pub async fn script(&mut self, text: &str) -> Result<Vec<Row>, Fault> {
        in_time(self.answer, self.session.script(text)).await
    }

    pub fn packet(&self) -> Option<u64> {
        self.session.packet()
    }
}

async fn in_time(
    time: Duration,
    call: impl Future<Output = Result<Vec<Row>, Fault>>,
) -> Result<Vec<Row>, Fault> {
    tokio::time::timeout(time, call).await.unwrap_or_else(|_| {
        Err(Fault::Gone(format!(
            "no answer within {} s",
            time.as_secs()
        )))
    })
}

/// A few sessions for reading, opened as they are needed.
pub struct Pool<S> {
    free: Mutex<Vec<(Link<S>, Instant)>>,
    permits: Semaphore,
}

impl<S: Session> Pool<S> {
    pub fn new(most: usize) -> Pool<S> {
        Pool {
            free: Mutex::new(Vec::new()),
            permits: Semaphore::new(most),
        }
    }

    pub async fn read<E: Engine<Session = S>>(
        &self,
        engine: &E,
        statement: &Statement,
    ) -> Result<Vec<Row>> {
        let permit = tokio::time::timeout(CONNECT, self.permits.acquire()).await;
        let _permit = permit
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Closed)?;
        // The server may have closed it since, as when it was restarted: reading again is harmless.
        if let Some(mut link) = self.take() {
            match link.run(statement).await {
                Err(Fault::Gone(_)) => self.forget(),
                read => return self.settle(link, read),
            }
        }
        let mut link = Link::open(engine, Purpose::Read).await?;
        let read = link.run(statement).await;
        self.settle(link, read)
    }

    fn settle(&self, link: Link<S>, read: Result<Vec<Row>, Fault>) -> Result<Vec<Row>> {
        if read.is_ok() {
            self.free().push((link, Instant::now()));
        }
        Ok(read?)
    }

    /// The session that was used last, so that those there are too many of grow old.
    fn take(&self) -> Option<Link<S>> {
        let mut free = self.free();
        free.retain(|(_, used)| used.elapsed() < IDLE);
        free.pop().map(|(link, _)| link)
    }

    /// If one session broke, so will the others have.
    fn forget(&self) {
        self.free().clear();
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<(Link<S>, Instant)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
