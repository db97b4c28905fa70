//! What can happen to fractals, worked out in memory.
//!
//! A transaction locks the farm's one row, reads the fractals that its changes name, lets the
//! changes act on them here, and writes down what has become of them. While it has the lock nobody
//! else changes a fractal, on whatever node, so that what was read holds until the commit.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::rows::Kept;
use crate::events::Event;
use crate::fractal::{Fractal, FractalSpec, Outcome, RowId, Status};
use crate::store::{Counts, Finished, Result, StoreError, accepted, has_room, now};

pub struct Batch {
    /// This node: what it renders is its own.
    node: i64,
    pub counts: Counts,
    /// The next fractal's row.
    pub next_row: RowId,
    fractals: HashMap<RowId, Kept>,
    rows: HashMap<Uuid, RowId>,
    /// Rows to write; `true` for those that are new.
    touched: BTreeMap<RowId, bool>,
    pub deleted: Vec<RowId>,
    /// Images that came to nothing, as their fractals are gone.
    pub unwanted: Vec<RowId>,
    /// The next fractal's row has changed, if nothing else has.
    reserved: bool,
    /// Fractals whose render has begun.
    pub begun: Vec<RowId>,
    /// What has changed, in order.
    pub events: Vec<Event>,
}

impl Batch {
    pub fn new(node: i64, counts: Counts, next_row: RowId) -> Batch {
        Batch {
            node,
            counts,
            next_row,
            fractals: HashMap::new(),
            rows: HashMap::new(),
            touched: BTreeMap::new(),
            deleted: Vec::new(),
            unwanted: Vec::new(),
            reserved: false,
            begun: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes note of a fractal as it is in the database.
    pub fn load(&mut self, kept: Kept) {
        self.rows.insert(kept.fractal.uuid, kept.fractal.row);
        self.fractals.insert(kept.fractal.row, kept);
    }

    /// Nothing has to be written.
    pub fn is_empty(&self) -> bool {
        let unchanged = self.touched.is_empty() && self.deleted.is_empty();
        unchanged && self.unwanted.is_empty() && !self.reserved
    }

    /// The fractals to write, and whether each is new.
    pub fn written(&self) -> impl Iterator<Item = (&Kept, bool)> {
        let kept = |(row, new): (&RowId, &bool)| Some((self.fractals.get(row)?, *new));
        self.touched.iter().filter_map(kept)
    }

    fn by_uuid(&self, uuid: Uuid) -> Option<&Fractal> {
        let row = self.rows.get(&uuid)?;
        Some(&self.fractals.get(row)?.fractal)
    }

    /// Applies `change` if the fractal is there and `fits`, and returns it as it then is.
    fn change(
        &mut self,
        row: RowId,
        fits: impl FnOnce(&Kept) -> bool,
        change: impl FnOnce(&mut Kept),
    ) -> Option<Fractal> {
        let kept = self.fractals.get_mut(&row).filter(|kept| fits(kept))?;
        let was = kept.fractal.status;
        change(kept);
        let fractal = kept.fractal.clone();
        if fractal.status == Status::Running {
            kept.node = Some(self.node);
        } else {
            (kept.node, kept.lease) = (None, None);
        }
        self.counts.moved(Some(was), Some(fractal.status));
        self.touched.entry(row).or_insert(false);
        self.events.push(match fractal.status {
            Status::Queued => Event::Queued(fractal.clone()),
            Status::Running => Event::Running(fractal.clone()),
            Status::Done => Event::Done(fractal.clone()),
            Status::Failed => Event::Failed(fractal.clone()),
        });
        Some(fractal)
    }

    pub fn insert(&mut self, uuid: Uuid, spec: FractalSpec, most_queued: u64) -> Result<Fractal> {
        if self.rows.contains_key(&uuid) {
            return Err(StoreError::Duplicate(uuid));
        }
        has_room(&self.counts, 1, most_queued)?;
        Ok(self.add(uuid, spec))
    }

    pub fn insert_all(
        &mut self,
        new: &[(Uuid, FractalSpec)],
        most_queued: u64,
    ) -> Result<Vec<Fractal>> {
        if let Some((taken, _)) = new.iter().find(|(uuid, _)| self.rows.contains_key(uuid)) {
            return Err(StoreError::Duplicate(*taken));
        }
        has_room(&self.counts, new.len(), most_queued)?;
        let add = |(uuid, spec): &(Uuid, FractalSpec)| self.add(*uuid, *spec);
        Ok(new.iter().map(add).collect())
    }

    fn add(&mut self, uuid: Uuid, spec: FractalSpec) -> Fractal {
        let row = self.reserve();
        self.load_new(accepted(row, uuid, spec))
    }

    /// A row for a fractal that comes with its image.
    pub fn reserve(&mut self) -> RowId {
        let row = self.next_row;
        self.next_row += 1;
        self.reserved = true;
        row
    }

    /// Adds a fractal with its result, at a row that was reserved.
    pub fn import(
        &mut self,
        row: RowId,
        uuid: Uuid,
        spec: FractalSpec,
        outcome: Outcome,
    ) -> Result<Fractal> {
        if self.rows.contains_key(&uuid) {
            self.unwanted.push(row);
            return Err(StoreError::Duplicate(uuid));
        }
        let now = now();
        Ok(self.load_new(Fractal {
            row,
            uuid,
            spec,
            status: Status::Done,
            attempts: 0,
            error: None,
            outcome: Some(outcome),
            created_at: now,
            finished_at: Some(now),
        }))
    }

    fn load_new(&mut self, fractal: Fractal) -> Fractal {
        self.counts.moved(None, Some(fractal.status));
        self.touched.insert(fractal.row, true);
        self.events.push(Event::Created(fractal.clone()));
        self.load(Kept {
            fractal: fractal.clone(),
            crashes: 0,
            node: None,
            lease: None,
        });
        fractal
    }

    pub fn start(&mut self, row: RowId, lease: Option<Uuid>) -> Option<Fractal> {
        let waits = |kept: &Kept| kept.fractal.status == Status::Queued;
        let started = self.change(row, waits, |kept| {
            kept.fractal.status = Status::Running;
            kept.fractal.attempts += 1;
            kept.lease = lease;
        })?;
        self.begun.push(row);
        Some(started)
    }

    pub fn resume(&mut self, row: RowId, lease: Uuid) -> Option<Fractal> {
        let kept = self.fractals.get_mut(&row)?;
        if kept.fractal.status != Status::Running {
            return self.start(row, Some(lease));
        }
        if kept.lease != Some(lease) {
            return None;
        }
        let fractal = kept.fractal.clone();
        if kept.node != Some(self.node) {
            kept.node = Some(self.node);
            self.touched.entry(row).or_insert(false);
            self.begun.push(row);
            self.events.push(Event::Adopted(fractal.clone()));
        }
        Some(fractal)
    }

    /// `fits` for a render that this node began and nobody took over.
    fn own(&self) -> impl FnOnce(&Kept) -> bool + use<> {
        let node = self.node;
        move |kept| kept.fractal.status == Status::Running && kept.node == Some(node)
    }

    pub fn give_back(&mut self, row: RowId) -> Option<Fractal> {
        self.change(row, self.own(), |kept| {
            kept.fractal.status = Status::Queued;
            kept.fractal.attempts = kept.fractal.attempts.saturating_sub(1);
        })
    }

    pub fn finish(&mut self, row: RowId, outcome: Outcome) -> Option<Finished> {
        let Some(kept) = self.fractals.get(&row) else {
            self.unwanted.push(row);
            return None;
        };
        if kept.fractal.status == Status::Done {
            return Some(Finished::Before(kept.fractal.clone()));
        }
        let done = self.change(
            row,
            |_| true,
            |kept| {
                kept.fractal.status = Status::Done;
                kept.fractal.error = None;
                kept.fractal.outcome = Some(outcome);
                kept.fractal.finished_at = Some(now());
            },
        );
        done.map(Finished::Now)
    }

    pub fn fail(&mut self, row: RowId, reason: String, most: u32) -> Option<Fractal> {
        self.change(row, self.own(), |kept| {
            kept.fractal.error = Some(reason);
            if kept.fractal.attempts >= most {
                kept.fractal.status = Status::Failed;
                kept.fractal.finished_at = Some(now());
            } else {
                kept.fractal.status = Status::Queued;
            }
        })
    }

    pub fn retry(&mut self, uuid: Uuid) -> Option<(Fractal, bool)> {
        let fractal = self.by_uuid(uuid)?.clone();
        let failed = |kept: &Kept| kept.fractal.status == Status::Failed;
        let again = self.change(fractal.row, failed, |kept| {
            kept.fractal.status = Status::Queued;
            kept.fractal.attempts = 0;
            kept.fractal.finished_at = None;
            kept.crashes = 0;
        });
        Some(match again {
            Some(fractal) => (fractal, true),
            None => (fractal, false),
        })
    }

    pub fn delete(&mut self, uuid: Uuid) -> bool {
        let Some(kept) = self
            .rows
            .remove(&uuid)
            .and_then(|row| self.fractals.remove(&row))
        else {
            return false;
        };
        let row = kept.fractal.row;
        self.touched.remove(&row);
        self.deleted.push(row);
        self.counts.moved(Some(kept.fractal.status), None);
        self.events.push(Event::Deleted(row, uuid));
        true
    }

    /// Takes a fractal from the node that rendered it and is gone. `false`: it does not render it.
    pub fn take_over(&mut self, row: RowId, from: Option<i64>, most: u32) -> bool {
        let still = |kept: &Kept| kept.fractal.status == Status::Running && kept.node == from;
        self.cut_off(row, still, most).is_some()
    }

    /// Ends a render of this node's whose worker is gone.
    pub fn lose(&mut self, row: RowId, most: u32) -> Option<Fractal> {
        self.cut_off(row, self.own(), most)
    }

    fn cut_off(
        &mut self,
        row: RowId,
        fits: impl FnOnce(&Kept) -> bool,
        most: u32,
    ) -> Option<Fractal> {
        // The attempt that was cut off counts as a crash, not as an attempt.
        self.change(row, fits, |kept| {
            kept.crashes += 1;
            kept.fractal.attempts = kept.fractal.attempts.saturating_sub(1);
            if kept.crashes >= most {
                let times = kept.crashes;
                kept.fractal.status = Status::Failed;
                kept.fractal.finished_at = Some(now());
                kept.fractal.error = Some(format!(
                    "the process ended {times} times while rendering this"
                ));
            } else {
                kept.fractal.status = Status::Queued;
            }
        })
    }
}
