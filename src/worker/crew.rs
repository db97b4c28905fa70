//! The workers of a process, as they are seen from outside.

use std::sync::Arc;

use uuid::Uuid;

use super::progress::Board;
use super::tally::Tally;
use crate::roster::Announced;

pub struct Crew {
    pub(super) name: Arc<str>,
    pub(super) slots: usize,
    pub(super) board: Arc<Board>,
    pub(super) tally: Tally,
}

impl Crew {
    pub fn slots(&self) -> u32 {
        u32::try_from(self.slots).unwrap_or(u32::MAX)
    }

    pub fn rendering(&self) -> Vec<Uuid> {
        self.board.uuids()
    }

    pub fn announce(&self, id: Uuid) -> Announced {
        Announced {
            id,
            name: self.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            slots: self.slots(),
            done: self.tally.done(),
            rate: self.tally.rate(),
        }
    }
}
