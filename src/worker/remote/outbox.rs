//! Results that are rendered and not delivered: in memory while they leave as soon as they come, on
//! disk while no API node answers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::spool::Spool;
use crate::fractal::{Outcome, RowId};

/// Most bytes of images in memory, but that one image always may be.
const MEMORY: usize = 64 << 20;

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A result on its way.
#[derive(Clone)]
pub struct Parcel {
    pub row: RowId,
    pub uuid: Uuid,
    pub outcome: Outcome,
    pub png: Bytes,
    /// The file that holds it as well, and that file's bytes.
    pub file: Option<(PathBuf, u64)>,
}

pub struct Outbox {
    state: Arc<Mutex<State>>,
    news: Notify,
    room: Notify,
}

struct State {
    /// Younger than what is on disk.
    memory: VecDeque<Parcel>,
    /// Of images in memory, with those that are being delivered.
    bytes: usize,
    /// Results that are being delivered.
    away: usize,
    spool: Spool,
    /// The log has been told that the disk takes no more.
    complained: bool,
}

impl Outbox {
    pub fn new(spool: Spool) -> Outbox {
        Outbox {
            state: Arc::new(Mutex::new(State {
                memory: VecDeque::new(),
                bytes: 0,
                away: 0,
                spool,
                complained: false,
            })),
            news: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Takes a result, once there is room. `safely`: it is on disk then, if that can be.
    pub async fn put(&self, parcel: Parcel, safely: bool) {
        let size = parcel.png.len();
        loop {
            {
                let mut state = self.state();
                if state.bytes == 0 || state.bytes + size <= MEMORY {
                    state.bytes += size;
                    state.memory.push_back(parcel);
                    break;
                }
            }
            self.spill().await;
            if self.state().bytes + size > MEMORY {
                tokio::select! {
                    () = self.room.notified() => {}
                    () = tokio::time::sleep(FULL_PAUSE) => {}
                }
            }
        }
        self.news.notify_one();
        if safely {
            self.spill().await;
        }
    }

    /// The oldest result, to be followed by [`Outbox::done`] or [`Outbox::again`].
    pub async fn next(&self) -> Parcel {
        loop {
            let state = self.state.clone();
            // It may come from the disk.
            let next = tokio::task::spawn_blocking(move || {
                let mut state = lock(&state);
                let kept = state.spool.next();
                if let Some(kept) = &kept {
                    state.bytes += kept.png.len();
                }
                let next = kept.or_else(|| state.memory.pop_front());
                state.away += usize::from(next.is_some());
                next
            });
            if let Ok(Some(parcel)) = next.await {
                // There may be more for others who wait.
                self.news.notify_one();
                return parcel;
            }
            self.news.notified().await;
        }
    }

    /// A result needs no more care.
    pub fn done(&self, parcel: Parcel) {
        let mut state = self.state();
        state.away -= 1;
        state.bytes -= parcel.png.len();
        if let Some((path, size)) = parcel.file {
            state.spool.remove(&path, size);
        }
        drop(state);
        self.room.notify_one();
    }

    /// A result could not be delivered.
    pub fn again(&self, mut parcel: Parcel) {
        let mut state = self.state();
        state.away -= 1;
        match parcel.file.take() {
            Some((path, size)) => {
                state.bytes -= parcel.png.len();
                state.spool.again(path, size);
            }
            None => state.memory.push_front(parcel),
        }
        drop(state);
        self.news.notify_one();
    }

    /// Whether everything has been delivered.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Results that have not been delivered.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.memory.len() + state.away + state.spool.len()
    }

    /// Moves what is in memory to the disk, as far as there is room.
    pub async fn spill(&self) {
        let state = self.state.clone();
        let spilt = tokio::task::spawn_blocking(move || lock(&state).spill()).await;
        if matches!(spilt, Ok(true)) {
            self.room.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Whether there is more room in memory now.
    fn spill(&mut self) -> bool {
        let mut moved = false;
        while let Some(parcel) = self.memory.front() {
            let kept = match self.spool.has_room(parcel.png.len() as u64) {
                true => self.spool.keep(parcel).map_err(|error| error.to_string()),
                false => Err("it holds as much as --spool-size allows".into()),
            };
            match kept {
                Ok(()) => {
                    self.bytes -= parcel.png.len();
                    self.memory.pop_front();
                    (moved, self.complained) = (true, false);
                }
                Err(error) => {
                    if !self.complained {
                        tracing::warn!(error, "the spool takes no further result");
                    }
                    self.complained = true;
                    break;
                }
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(size: usize) -> Parcel {
        Parcel {
            row: 1,
            uuid: Uuid::nil(),
            outcome: Outcome {
                checksum: String::new(),
                size: size as u64,
                duration: 0.5,
                generated_by: "test".into(),
            },
            png: Bytes::from(vec![0; size]),
            file: None,
        }
    }

    /// With memory and disk full, whoever has rendered something waits, and so renders no more.
    #[tokio::test]
    async fn what_finds_no_room_waits_for_it() {
        let root = tempfile::TempDir::new().unwrap();
        let outbox = Outbox::new(Spool::open(root.path(), 0).unwrap());
        // One may be as large as it is.
        outbox.put(parcel(MEMORY + 1), true).await;
        let mut next = std::pin::pin!(outbox.put(parcel(1), false));
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        let first = outbox.next().await;
        // On its way it still needs its room.
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        outbox.again(first);
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        let first = outbox.next().await;
        assert_eq!(first.png.len(), MEMORY + 1);
        outbox.done(first);
        next.await;
        assert_eq!(outbox.waiting(), 1);
    }
}
