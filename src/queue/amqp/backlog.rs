//! What is to be published: new rows as they come, and where that becomes too much, a mark in the
//! store from which they are read.
//!
//! ```text
//!   commits ──> next (MOST at most) ──> out: with the broker, not confirmed ──> forgotten
//!      └─ too many: `behind`, a row ──reader──^     ^──────── connection lost ──┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::fractal::RowId;
use crate::store::Waiting;

/// Most messages held in memory: what comes while the broker is away stays in the store.
const MOST: usize = 4096;

/// A message to publish.
#[derive(Clone, Debug, PartialEq)]
pub enum Letter {
    Task(Waiting),
    /// A fractal that has failed for good, and why.
    Dead(Waiting, String),
}

/// What the publisher is to do next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Publish this; by its number it is confirmed.
    Publish(u64, Letter),
    /// Read what waits after this row, for [`Backlog::page`].
    Read(RowId),
    Nothing,
}

#[derive(Default)]
pub struct Backlog {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: VecDeque<Letter>,
    out: BTreeMap<u64, Letter>,
    last: u64,
    /// Rows after this one are to be read from the store.
    behind: Option<RowId>,
    /// A row after `behind` came meanwhile: one more page has to be read.
    passed: bool,
}

impl Backlog {
    /// Takes a row that waits.
    pub fn add(&self, task: Waiting) {
        let mut state = self.state();
        if state.behind.is_some_and(|behind| task.row > behind) {
            state.passed = true;
        } else if state.next.len() < MOST {
            state.next.push_back(Letter::Task(task));
        } else {
            state.read_after(task.row - 1);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes note of a failed row. With too many of them on the way, none: the rows say it as well.
    pub fn add_dead(&self, task: Waiting, reason: String) {
        let mut state = self.state();
        if state.next.len() < MOST {
            state.next.push_back(Letter::Dead(task, reason));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Has all rows that wait after this one published, or published again.
    pub fn read_after(&self, row: RowId) {
        self.state().read_after(row);
        self.changed.notify_one();
    }

    pub fn next(&self) -> Next {
        let mut state = self.state();
        if let Some(letter) = state.next.pop_front() {
            state.last += 1;
            let number = state.last;
            state.out.insert(number, letter.clone());
            return Next::Publish(number, letter);
        }
        match state.behind {
            Some(behind) => {
                state.passed = false;
                Next::Read(behind)
            }
            None => Next::Nothing,
        }
    }

    /// Takes what was read after row `after`.
    pub fn page(&self, after: RowId, page: Vec<Waiting>) {
        let mut state = self.state();
        // Set back in between: what was read will be read once more.
        if state.behind != Some(after) {
            return;
        }
        match page.last() {
            Some(last) => state.behind = Some(last.row),
            None if state.passed => {}
            None => state.behind = None,
        }
        state.next.extend(page.into_iter().map(Letter::Task));
    }

    pub fn confirmed(&self, number: u64) {
        self.state().out.remove(&number);
        self.changed.notify_one();
    }

    /// The broker could not keep it.
    pub fn again(&self, number: u64) {
        let mut state = self.state();
        if let Some(letter) = state.out.remove(&number) {
            state.next.push_front(letter);
        }
    }

    /// The connection is a new one: what was not confirmed is to be published again.
    pub fn restart(&self) {
        let mut state = self.state();
        for (_, letter) in std::mem::take(&mut state.out).into_iter().rev() {
            state.next.push_front(letter);
        }
    }

    /// Waits until there may be something to do, or nothing is left.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.next.is_empty() && state.out.is_empty() && state.behind.is_none()
    }

    pub fn unconfirmed(&self) -> usize {
        self.state().out.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each use is a few calls that cannot panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read_after(&mut self, row: RowId) {
        self.behind = Some(self.behind.map_or(row, |behind| behind.min(row)));
        // These will be read.
        self.next
            .retain(|letter| !matches!(letter, Letter::Task(task) if task.row > row));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fractal::{Constant, FractalSpec, Palette, Plane};

    fn waiting(row: RowId) -> Waiting {
        let (xa, xb, ya, yb) = (-2.0, 2.0, -1.0, 1.0);
        Waiting {
            row,
            uuid: Uuid::from_u128(row.cast_unsigned().into()),
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

    fn publishes(next: Next) -> (u64, RowId) {
        match next {
            Next::Publish(number, Letter::Task(task)) => (number, task.row),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_confirmed_goes_out_again_in_order() {
        let backlog = Backlog::default();
        (1..=4).for_each(|row| backlog.add(waiting(row)));
        let numbers = [1, 2, 3].map(|row| {
            let (number, published) = publishes(backlog.next());
            assert_eq!(published, row);
            number
        });
        backlog.confirmed(numbers[1]);
        assert_eq!(backlog.unconfirmed(), 2);
        backlog.restart();
        let again = [1, 3, 4].map(|row| {
            let (number, published) = publishes(backlog.next());
            assert_eq!(published, row);
            number
        });
        for number in again {
            backlog.confirmed(number);
        }
        assert!(backlog.is_empty());
        assert_eq!(backlog.next(), Next::Nothing);
    }

    #[test]
    fn a_million_rows_stay_in_the_store_and_none_is_passed_over() {
        let backlog = Backlog::default();
        let rows = 10_000;
        (1..=rows).for_each(|row| backlog.add(waiting(row)));
        assert_eq!(backlog.state().next.len(), MOST);
        let mut seen = Vec::new();
        let mut late = false;
        loop {
            match backlog.next() {
                Next::Publish(number, Letter::Task(task)) => {
                    seen.push(task.row);
                    backlog.confirmed(number);
                }
                Next::Read(after) => {
                    let page: Vec<_> = (after + 1..=rows + i64::from(late)).take(256).collect();
                    // One that came after this page was read, and before it was taken.
                    if page.is_empty() && !late {
                        backlog.add(waiting(rows + 1));
                        late = true;
                    }
                    backlog.page(after, page.into_iter().map(waiting).collect());
                }
                Next::Nothing => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, (1..=rows + 1).collect::<Vec<_>>());
        assert!(backlog.is_empty());
        // Where nodes share a store, rows may show themselves out of order.
        backlog.read_after(100);
        backlog.add(waiting(50));
        assert_eq!(publishes(backlog.next()).1, 50);
    }
}
