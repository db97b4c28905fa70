//! Leases: which tasks are lent to workers on other machines, to whom, and until when.
//!
//! Like the queue, a hint: until when is in no row. What was lent when the process died is taken up
//! again by [`crate::store::Store::recover`], or goes on under the same lease: at the next process,
//! or at another node.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::events::Event;
use crate::fractal::RowId;

pub struct Leases {
    /// Tells the leases of this process from those of others.
    run: u64,
    table: Mutex<Table>,
    granted: Notify,
}

#[derive(Default)]
struct Table {
    last: u64,
    leases: HashMap<Uuid, Lease>,
    /// The lease of each row: there is one at most.
    rows: HashMap<RowId, Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    pub row: RowId,
    pub uuid: Uuid,
    /// The process it is lent to.
    pub worker: Uuid,
    /// The worker says that it has begun.
    pub rendering: bool,
    /// `None` while its row is being begun: however long the store takes for that, it neither runs out
    /// nor is ended by what became of the row before.
    until: Option<Instant>,
}

/// What a worker says of a task that it holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub lease: Uuid,
    pub row: RowId,
    pub uuid: Uuid,
    pub rendering: bool,
}

/// How [`Leases::renew`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    Renewed,
    /// Another worker has the task.
    Ended,
    /// It has ended, or another process granted it: the store knows what is to become of it.
    Unknown,
}

impl Default for Leases {
    fn default() -> Self {
        Leases {
            run: rand::random(),
            table: Mutex::default(),
            granted: Notify::new(),
        }
    }
}

impl Leases {
    /// Lends a row, which is to be begun next: [`Leases::begun`] or [`Leases::end`] has to follow.
    /// `None`: it is lent already.
    pub fn grant(&self, worker: Uuid, row: RowId, uuid: Uuid) -> Option<Uuid> {
        let mut table = self.table();
        table.last += 1;
        let id = Uuid::from_u64_pair(self.run, table.last);
        let lease = Lease {
            row,
            uuid,
            worker,
            rendering: false,
            until: None,
        };
        let granted = table.add(id, lease).then_some(id);
        self.granted.notify_one();
        granted
    }

    /// Takes over a lease that this process does not know; as with [`Leases::grant`] its row is to be
    /// begun next. `false`: the row is lent already.
    pub fn adopt(&self, worker: Uuid, held: Held) -> bool {
        let lease = Lease {
            row: held.row,
            uuid: held.uuid,
            worker,
            rendering: held.rendering,
            until: None,
        };
        let adopted = self.table().add(held.lease, lease);
        self.granted.notify_one();
        adopted
    }

    pub fn renew(&self, worker: Uuid, held: Held, time: Duration) -> Renewal {
        match self.table().leases.get_mut(&held.lease) {
            Some(lease) if lease.worker == worker && lease.row == held.row => {
                lease.until = lease.until.map(|_| Instant::now() + time);
                lease.rendering = held.rendering;
                Renewal::Renewed
            }
            Some(_) => Renewal::Ended,
            None => Renewal::Unknown,
        }
    }

    /// Its row was begun: from now on it can run out. `false`: it has ended meanwhile, and so has what
    /// was begun.
    pub fn begun(&self, lease: Uuid, time: Duration) -> bool {
        let mut table = self.table();
        let lease = table.leases.get_mut(&lease);
        lease
            .map(|lease| lease.until = Some(Instant::now() + time))
            .is_some()
    }

    /// Ends a lease of that worker's. The row that was lent, if it was.
    pub fn end(&self, worker: Uuid, lease: Uuid) -> Option<RowId> {
        let mut table = self.table();
        let row = table.leases.get(&lease).filter(|l| l.worker == worker)?.row;
        table.forget(row);
        Some(row)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table().leases.len()
    }

    /// All to whom something is lent.
    pub fn workers(&self) -> HashSet<Uuid> {
        self.table()
            .leases
            .values()
            .map(|lease| lease.worker)
            .collect()
    }

    /// The leases of a worker.
    pub fn of(&self, worker: Uuid) -> Vec<Uuid> {
        let table = self.table();
        let its = table.leases.iter().filter(|(_, l)| l.worker == worker);
        its.map(|(id, _)| *id).collect()
    }

    /// Ends the leases that have run out, and tells of them.
    pub fn expire(&self) -> Vec<Lease> {
        let (mut table, now) = (self.table(), Instant::now());
        let out: Vec<_> = table
            .leases
            .values()
            .filter(|lease| lease.until.is_some_and(|until| until <= now))
            .copied()
            .collect();
        for lease in &out {
            table.forget(lease.row);
        }
        out
    }

    /// Gives all leases more time: while this process stood still, nobody could renew.
    pub fn prolong(&self, time: Duration) {
        for lease in self.table().leases.values_mut() {
            lease.until = lease.until.map(|until| until + time);
        }
    }

    /// Waits until there is a lease.
    pub async fn any(&self) {
        while self.table().leases.is_empty() {
            self.granted.notified().await;
        }
    }

    /// What each worker says it is rendering.
    pub fn rendering(&self) -> HashMap<Uuid, Vec<Uuid>> {
        let mut rendering: HashMap<_, Vec<_>> = HashMap::new();
        for lease in self.table().leases.values().filter(|l| l.rendering) {
            rendering.entry(lease.worker).or_default().push(lease.uuid);
        }
        rendering
    }

    /// Takes note of a commit. To be called before the queue hears of it, which may lend the row
    /// anew at once.
    pub fn follow(&self, event: &Event) {
        match event {
            // Of what was there before: it waits for the one that is about to begin it.
            Event::Queued(fractal) if self.table().is_pending(fractal.row) => {}
            Event::Queued(fractal) | Event::Done(fractal) | Event::Failed(fractal) => {
                self.table().forget(fractal.row);
            }
            Event::Deleted(row, _) | Event::Departed(row) => self.table().forget(*row),
            Event::Created(_) | Event::Running(_) | Event::Adopted(_) | Event::Progress(..) => {}
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No change of the table can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, id: Uuid, lease: Lease) -> bool {
        match self.rows.entry(lease.row) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(id);
                self.leases.insert(id, lease);
                true
            }
        }
    }

    fn is_pending(&self, row: RowId) -> bool {
        let lease = self.rows.get(&row).and_then(|id| self.leases.get(id));
        lease.is_some_and(|lease| lease.until.is_none())
    }

    fn forget(&mut self, row: RowId) {
        if let Some(id) = self.rows.remove(&row) {
            self.leases.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fractal::{Fractal, Status};

    const LONG: Duration = Duration::from_secs(60);

    fn held(lease: Uuid, row: RowId) -> Held {
        Held {
            lease,
            row,
            uuid: Uuid::nil(),
            rendering: true,
        }
    }

    #[test]
    fn a_row_is_lent_once_and_renewed_by_whom_it_is_lent_to() {
        let leases = Leases::default();
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let lease = leases.grant(mine, 7, Uuid::nil()).unwrap();
        assert!(leases.begun(lease, LONG));
        assert_eq!(leases.grant(other, 7, Uuid::nil()), None);
        assert_eq!(leases.renew(mine, held(lease, 7), LONG), Renewal::Renewed);
        assert_eq!(leases.renew(other, held(lease, 7), LONG), Renewal::Ended);
        assert_eq!(leases.rendering()[&mine], [Uuid::nil()]);
        assert_eq!(leases.count(), 1);
        assert_eq!(leases.end(other, lease), None);
        leases.follow(&Event::Deleted(7, Uuid::nil()));
        assert_eq!(leases.renew(mine, held(lease, 7), LONG), Renewal::Unknown);
        assert!(leases.table().rows.is_empty());
        assert_eq!(leases.count(), 0);
    }

    #[test]
    fn leases_run_out_but_not_while_nobody_could_renew() {
        let leases = Leases::default();
        let lease = leases.grant(Uuid::nil(), 7, Uuid::nil()).unwrap();
        assert_eq!(leases.expire(), [], "it is being begun");
        assert!(leases.begun(lease, Duration::ZERO));
        leases.prolong(LONG);
        assert_eq!(leases.expire(), []);
        assert_eq!(leases.end(Uuid::nil(), lease), Some(7));
        let lease = leases.grant(Uuid::nil(), 8, Uuid::nil()).unwrap();
        assert!(leases.begun(lease, Duration::ZERO));
        assert_eq!(leases.expire()[0].row, 8);
        assert_eq!(leases.expire(), []);
    }

    #[test]
    fn leases_of_another_process_are_taken_over() {
        let (former, leases) = (Leases::default(), Leases::default());
        let worker = Uuid::from_u128(1);
        let lease = former.grant(worker, 7, Uuid::nil()).unwrap();
        assert_eq!(leases.renew(worker, held(lease, 7), LONG), Renewal::Unknown);
        assert!(leases.adopt(worker, held(lease, 7)));
        assert!(leases.begun(lease, LONG));
        assert_eq!(leases.renew(worker, held(lease, 7), LONG), Renewal::Renewed);
        assert_eq!(leases.grant(Uuid::nil(), 7, Uuid::nil()), None);
    }

    /// A worker's first question is lost, and so is its lease. Its second comes while the row is
    /// being taken back: it is begun anew after that, though the news of it come in between.
    #[test]
    fn a_row_that_waits_again_is_begun_by_who_asked_for_it_before_that_was_told() {
        let leases = Leases::default();
        let first = leases.grant(Uuid::nil(), 7, Uuid::nil()).unwrap();
        assert!(leases.begun(first, Duration::ZERO));
        assert_eq!(leases.expire()[0].row, 7);
        let second = leases.grant(Uuid::nil(), 7, Uuid::nil()).unwrap();
        leases.follow(&Event::Queued(Fractal::plain(7, Status::Queued)));
        assert!(leases.begun(second, LONG));
        // Afterwards such news are of its own end.
        leases.follow(&Event::Queued(Fractal::plain(7, Status::Queued)));
        assert!(!leases.begun(second, LONG));
    }
}
