//! Results that are rendered and not delivered: in memory while they leave as soon as they come, on
//! disk while no API node answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::spool::{Found, Parcel, REST, Spool};
use crate::fractal::RowId;

/// Most bytes of images in memory, but that one image always may be.
const MEMORY: usize = 64 << 20;

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

pub struct Outbox {
    state: Arc<Mutex<State>>,
    news: Notify,
    room: Notify,
    left: Notify,
}

/// What is to be done next.
pub enum Due {
    /// To be followed by [`Outbox::done`] or [`Outbox::again`].
    Deliver(Parcel),
    /// This row's result is broken: others shall render it.
    Lost(RowId),
}

struct State {
    /// Younger than what is on disk.
    memory: VecDeque<Parcel>,
    /// Of images in memory, with those that are being delivered.
    bytes: usize,
    /// Results that are being delivered, which takes minutes where the link is slow: the worker may
    /// end before.
    away: Vec<Parcel>,
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
                away: Vec::new(),
                spool,
                complained: false,
            })),
            news: Notify::new(),
            room: Notify::new(),
            left: Notify::new(),
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

    /// The next result: the oldest, but that those that could not be delivered come last.
    pub async fn next(&self) -> Due {
        loop {
            let state = self.state.clone();
            // It may come from the disk.
            let next = tokio::task::spawn_blocking(move || lock(&state).next()).await;
            if let Ok(Some(due)) = next {
                // There may be more for others who wait.
                self.news.notify_one();
                return due;
            }
            let unread = self.kept() > 0;
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep(REST), if unread => {}
            }
        }
    }

    /// A result needs no more care.
    pub fn done(&self, parcel: Parcel) {
        let mut state = self.state();
        if state.take_away(parcel.row).is_some() {
            state.bytes -= parcel.png.len();
            if let Some(file) = &parcel.file {
                state.spool.remove(file);
            }
        }
        drop(state);
        self.room.notify_one();
        self.left.notify_one();
    }

    /// A result could not be delivered.
    pub fn again(&self, parcel: Parcel) {
        let mut state = self.state();
        if state.take_away(parcel.row).is_some() {
            state.put_back(parcel);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits until a result needs no more care. Of several since the last call it hears once.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// Whether everything has been delivered that can be.
    pub fn is_empty(&self) -> bool {
        self.leaving() == 0
    }

    /// Results that leave as soon as they are taken: all but those on a disk that cannot be read.
    pub fn leaving(&self) -> usize {
        let state = self.state();
        let kept = match state.spool.is_readable() {
            true => state.spool.len(),
            false => 0,
        };
        state.memory.len() + state.away.len() + kept
    }

    /// Results that have not been delivered.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.memory.len() + state.away.len() + state.spool.len()
    }

    /// Results that wait on disk.
    pub fn kept(&self) -> usize {
        self.state().spool.len()
    }

    /// Results that wait in memory alone.
    pub fn in_memory(&self) -> usize {
        self.state().memory.len()
    }

    /// Moves all that is not delivered to the disk, as far as there is room: nobody delivers any
    /// more.
    pub async fn keep(&self) {
        let state = self.state.clone();
        // All at once: a delivery that is being ended may still take one.
        let kept = tokio::task::spawn_blocking(move || {
            let mut state = lock(&state);
            state.recall();
            state.spill()
        });
        // A panic has been told.
        let _ = kept.await;
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
    fn next(&mut self) -> Option<Due> {
        let parcel = loop {
            match self.spool.next() {
                Some(Found::Result(parcel)) => {
                    self.bytes += parcel.png.len();
                    break parcel;
                }
                Some(Found::Broken(Some(row))) => return Some(Due::Lost(row)),
                Some(Found::Broken(None)) => {}
                None => break self.memory.pop_front()?,
            }
        };
        self.away.push(parcel.clone());
        Some(Due::Deliver(parcel))
    }

    /// Of two of the same row either will do: so are their images. `None` after [`State::recall`].
    fn take_away(&mut self, row: RowId) -> Option<Parcel> {
        let place = self.away.iter().position(|parcel| parcel.row == row)?;
        Some(self.away.swap_remove(place))
    }

    /// Behind all others: whatever is wrong with this one, it does not keep them from leaving.
    fn put_back(&mut self, mut parcel: Parcel) {
        match parcel.file.take() {
            Some(file) => {
                self.bytes -= parcel.png.len();
                self.spool.again(file);
            }
            None => self.memory.push_back(parcel),
        }
    }

    /// Takes back what is being delivered. What arrives all the same is delivered twice, which does
    /// no harm.
    fn recall(&mut self) {
        while let Some(parcel) = self.away.pop() {
            self.put_back(parcel);
        }
    }

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
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::digest::checksum;
    use crate::fractal::Outcome;

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

    /// One that can be read from the disk again.
    fn whole(row: RowId) -> Parcel {
        let mut parcel = parcel(100);
        parcel.outcome.checksum = checksum(&parcel.png);
        Parcel { row, ..parcel }
    }

    async fn next_parcel(outbox: &Outbox) -> Parcel {
        match outbox.next().await {
            Due::Deliver(parcel) => parcel,
            Due::Lost(row) => panic!("{row} is lost"),
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
        let first = next_parcel(&outbox).await;
        // On its way it still needs its room.
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        outbox.again(first);
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        let first = next_parcel(&outbox).await;
        assert_eq!(first.png.len(), MEMORY + 1);
        outbox.done(first);
        next.await;
        assert_eq!(outbox.waiting(), 1);
    }

    #[tokio::test]
    async fn what_is_on_its_way_when_the_worker_ends_is_kept() {
        let root = tempfile::TempDir::new().unwrap();
        let outbox = Outbox::new(Spool::open(root.path(), 1 << 20).unwrap());
        for row in 1..=3 {
            outbox.put(whole(row), row == 1).await;
        }
        let away = [next_parcel(&outbox).await, next_parcel(&outbox).await];
        // One from the disk, where it still is, and one that is in memory alone.
        assert_eq!(away.each_ref().map(|parcel| parcel.row), [1, 2]);
        assert_eq!((outbox.waiting(), outbox.kept()), (3, 0));
        outbox.keep().await;
        assert_eq!((outbox.waiting(), outbox.kept()), (3, 3));
        // Answers that come now change nothing.
        let [first, second] = away;
        outbox.done(first);
        outbox.again(second);
        drop(outbox);
        assert_eq!(Spool::open(root.path(), 1 << 20).unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_result_that_is_broken_on_disk_is_told() {
        let root = tempfile::TempDir::new().unwrap();
        let outbox = Outbox::new(Spool::open(root.path(), 1 << 20).unwrap());
        // Its checksum is no image's.
        outbox.put(parcel(100), true).await;
        assert_eq!(outbox.kept(), 1);
        assert!(matches!(outbox.next().await, Due::Lost(1)));
        assert!(outbox.is_empty());
    }
}
