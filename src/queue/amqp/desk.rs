//! Tasks on their way from the broker to workers that this node serves: those of its own process and
//! those that lease over HTTP.
//!
//! A message is acknowledged when its row is marked as begun: from then on the row says that somebody
//! has to render it, and this node looks after that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::Acker;
use tokio::sync::Notify;

use super::Verdict;
use super::backlog::Backlog;
use crate::fractal::RowId;
use crate::queue::Task;
use crate::render::Cancel;
use crate::store::Waiting;

/// Most tasks that lie here.
pub const MOST: usize = 64;

pub struct Desk {
    put: flume::Sender<Task>,
    tasks: flume::Receiver<Task>,
    /// Tasks from the moment they come until they are settled or wait again.
    out: Mutex<HashMap<RowId, Out>>,
    verdicts: flume::Sender<Verdict>,
    /// Calls that wait for a task.
    hungry: AtomicUsize,
    taken: AtomicU64,
    wanted: Notify,
}

struct Out {
    cancel: Cancel,
    /// Until the row is marked as begun.
    message: Option<(Acker, Waiting)>,
}

impl Desk {
    /// With the other end of its verdicts, for [`super::pronounce`].
    pub fn new() -> (Desk, flume::Receiver<Verdict>) {
        let (put, tasks) = flume::bounded(MOST);
        // As many as there are messages at most.
        let (verdicts, pronounced) = flume::unbounded();
        let desk = Desk {
            put,
            tasks,
            out: Mutex::default(),
            verdicts,
            hungry: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            wanted: Notify::new(),
        };
        (desk, pronounced)
    }

    pub fn say(&self, verdict: Verdict) {
        // The other end lives as long as the queue.
        let _ = self.verdicts.send(verdict);
    }

    /// Lays out a task for whoever wants it. One that is out already is a duplicate, or comes again
    /// as its connection broke: then this is the message to be settled, or there would be none.
    pub async fn put(&self, task: Waiting, acker: Acker) {
        let cancel = match self.out().entry(task.row) {
            Entry::Occupied(mut out) => {
                match &mut out.get_mut().message {
                    Some((former, _)) if !former.usable() => *former = acker,
                    _ => self.say(Verdict::Ack(acker)),
                }
                return;
            }
            Entry::Vacant(place) => {
                let out = Out {
                    cancel: Cancel::default(),
                    message: Some((acker, task)),
                };
                place.insert(out).cancel.clone()
            }
        };
        let task = Task {
            row: task.row,
            uuid: task.uuid,
            spec: task.spec,
            cancel,
        };
        // The other end is in this very struct.
        let _ = self.put.send_async(task).await;
    }

    /// The next task. Dropping the call loses none.
    pub async fn take(&self) -> Task {
        struct Hungry<'a>(&'a Desk);
        impl Drop for Hungry<'_> {
            fn drop(&mut self) {
                self.0.hungry.fetch_sub(1, Ordering::AcqRel);
            }
        }
        self.hungry.fetch_add(1, Ordering::AcqRel);
        let _hungry = Hungry(self);
        self.wanted.notify_one();
        loop {
            match self.tasks.recv_async().await {
                Ok(task) if task.cancel.is_cancelled() => {}
                Ok(task) => {
                    self.taken.fetch_add(1, Ordering::AcqRel);
                    return task;
                }
                Err(flume::RecvError::Disconnected) => std::future::pending().await,
            }
        }
    }

    /// Waits until somebody wants a task.
    pub async fn wanted(&self) {
        while self.hungry() == 0 {
            self.wanted.notified().await;
        }
    }

    pub fn hungry(&self) -> usize {
        self.hungry.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Tasks handed out so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Puts away what nobody has taken: its messages go to others.
    pub fn clear(&self) {
        for task in self.tasks.try_iter() {
            if let Some(Out {
                message: Some((acker, _)),
                ..
            }) = self.out().remove(&task.row)
            {
                self.say(Verdict::Requeue(acker));
            }
        }
    }

    pub fn begun(&self, row: RowId) {
        let message = self.out().get_mut(&row).and_then(|out| out.message.take());
        if let Some((acker, _)) = message {
            self.say(Verdict::Ack(acker));
        }
    }

    /// A task was not begun. If its message is not ours any more, it needs a new one.
    pub fn returned(&self, row: RowId, backlog: &Backlog) {
        let out = self.out().remove(&row);
        match out.and_then(|out| out.message) {
            Some((acker, _)) if acker.usable() => self.say(Verdict::Requeue(acker)),
            Some((_, task)) => backlog.add(task),
            None => {}
        }
    }

    /// The row needs no more work by what was handed out. `cancel`: nor by whoever is at it.
    pub fn settled(&self, row: RowId, cancel: bool) {
        let Some(out) = self.out().remove(&row) else {
            return;
        };
        if cancel {
            out.cancel.cancel();
        }
        if let Some((acker, _)) = out.message {
            self.say(Verdict::Ack(acker));
        }
    }

    fn out(&self) -> MutexGuard<'_, HashMap<RowId, Out>> {
        // Each use is one call on the map, so that a panic leaves it whole.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lapin::message::Delivery;
    use lapin::options::BasicAckOptions;
    use uuid::Uuid;

    use super::*;
    use crate::fractal::{Constant, FractalSpec, Palette, Plane};

    fn waiting(row: RowId) -> Waiting {
        let (xa, xb, ya, yb) = (-2.0, 2.0, -1.0, 1.0);
        Waiting {
            row,
            uuid: Uuid::nil(),
            spec: FractalSpec {
                width: 1,
                height: 1,
                iterations: 1,
                plane: Plane { xa, xb, ya, yb },
                c: Constant { re: 0.0, im: 0.0 },
                palette: Palette::Classic,
            },
        }
    }

    fn acker(tag: u64) -> Acker {
        Delivery::mock(tag, "tasks".into(), "normal".into(), false, Vec::new()).acker
    }

    /// With its connection broken, or used: the broker gives the message to others, or to us again.
    async fn dead(tag: u64) -> Acker {
        let acker = acker(tag);
        acker.ack(BasicAckOptions::default()).await.unwrap();
        assert!(!acker.usable());
        acker
    }

    #[tokio::test]
    async fn a_message_that_comes_again_after_its_connection_broke_is_not_lost() {
        let (desk, verdicts) = Desk::new();
        desk.put(waiting(1), dead(1).await).await;
        desk.put(waiting(1), acker(2)).await;
        assert!(verdicts.is_empty(), "not acknowledged: it is the only one");
        // A duplicate of that.
        desk.put(waiting(1), acker(3)).await;
        assert!(matches!(verdicts.try_recv(), Ok(Verdict::Ack(third)) if third == acker(3)));
        // Nobody has wanted it: it goes to others.
        desk.clear();
        let Ok(Verdict::Requeue(second)) = verdicts.try_recv() else {
            panic!("the message is not given back");
        };
        assert!(second == acker(2) && second.usable());
        assert!(desk.is_empty());
    }
}
