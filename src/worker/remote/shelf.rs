//! Tasks that have come and not been begun.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::queue::Task;

pub struct Shelf {
    put: flume::Sender<Task>,
    tasks: flume::Receiver<Task>,
    /// Lanes that wait for a task.
    hungry: AtomicUsize,
    /// When a task was last taken off, or put where none was.
    moved: Mutex<Instant>,
    pub changed: Notify,
}

impl Default for Shelf {
    fn default() -> Self {
        // Never holds more than was asked for.
        let (put, tasks) = flume::unbounded();
        Shelf {
            put,
            tasks,
            hungry: AtomicUsize::new(0),
            moved: Mutex::new(Instant::now()),
            changed: Notify::new(),
        }
    }
}

impl Shelf {
    pub fn put(&self, task: Task) {
        if self.tasks.is_empty() {
            self.touch();
        }
        // The other end is in this very struct.
        let _ = self.put.send(task);
    }

    /// The next task. Dropping the call loses none.
    pub async fn take(&self) -> Task {
        struct Hungry<'a>(&'a Shelf);
        impl Drop for Hungry<'_> {
            fn drop(&mut self) {
                self.0.hungry.fetch_sub(1, Ordering::AcqRel);
                self.0.changed.notify_one();
            }
        }
        self.hungry.fetch_add(1, Ordering::AcqRel);
        let _hungry = Hungry(self);
        self.changed.notify_one();
        match self.tasks.recv_async().await {
            Ok(task) => {
                self.touch();
                task
            }
            Err(flume::RecvError::Disconnected) => std::future::pending().await,
        }
    }

    /// Lanes that wait and tasks that lie here.
    pub fn lack_and_stock(&self) -> (usize, usize) {
        (self.hungry.load(Ordering::Acquire), self.tasks.len())
    }

    /// For how long nobody has wanted what lies here. Zero if nothing does.
    pub fn idle(&self) -> std::time::Duration {
        match self.tasks.is_empty() {
            true => std::time::Duration::ZERO,
            false => self.moved().elapsed(),
        }
    }

    /// Takes off all that lies here.
    pub fn clear(&self) -> Vec<Task> {
        self.tasks.try_iter().collect()
    }

    fn touch(&self) {
        *self.moved() = Instant::now();
    }

    fn moved(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
