//! How far the renders are: of each fractal that is running, the latest that was heard.
//!
//! News, not the truth: it is in no row, and gone with the process. What is known here follows the
//! store's commits, and so never outlives the render, nor holds more rows than are running.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::events::{Event, Events};
use crate::fractal::RowId;

#[derive(Default)]
pub struct Running(Mutex<HashMap<RowId, Render>>);

struct Render {
    uuid: Uuid,
    /// `None` until something is heard.
    fraction: Option<f64>,
}

impl Running {
    /// Takes note of a commit. To be called before the event is published: with [`Running::report`]
    /// that keeps all progress of a render between its other events.
    pub fn follow(&self, event: &Event) {
        match event {
            Event::Running(fractal) | Event::Adopted(fractal) => {
                let render = Render {
                    uuid: fractal.uuid,
                    fraction: None,
                };
                self.renders().insert(fractal.row, render);
            }
            Event::Queued(fractal) | Event::Done(fractal) | Event::Failed(fractal) => {
                self.renders().remove(&fractal.row);
            }
            Event::Deleted(row, _) | Event::Departed(row) => {
                self.renders().remove(row);
            }
            Event::Created(_) | Event::Progress(..) => {}
        }
    }

    /// Keeps and publishes how much of a row's picture is rendered. A row that is not running, and
    /// what is no fraction, is left out.
    pub fn report(&self, row: RowId, fraction: f64, events: &Events) {
        if !(0.0..=1.0).contains(&fraction) {
            return;
        }
        let mut renders = self.renders();
        if let Some(render) = renders.get_mut(&row)
            && render.fraction != Some(fraction)
        {
            render.fraction = Some(fraction);
            // Still locked: after this, nothing comes between the look and the word.
            events.publish(Event::Progress(render.uuid, fraction));
        }
    }

    /// The fraction of a row that is running, if it has been heard.
    pub fn fraction(&self, row: RowId) -> Option<f64> {
        self.renders().get(&row)?.fraction
    }

    fn renders(&self) -> MutexGuard<'_, HashMap<RowId, Render>> {
        // Each use changes one entry, so that a panic leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fractal::{Fractal, Status};

    #[test]
    fn only_what_is_running_has_progress() {
        let (running, events) = (Running::default(), Events::default());
        let mut heard = events.subscribe();
        let mut news = |row, fraction| {
            running.report(row, fraction, &events);
            heard.try_recv().is_ok()
        };
        assert!(!news(1, 0.1), "not begun");
        for end in [
            Event::Queued(Fractal::plain(1, Status::Queued)),
            Event::Done(Fractal::plain(1, Status::Done)),
            Event::Failed(Fractal::plain(1, Status::Failed)),
            Event::Deleted(1, Uuid::from_u128(1)),
        ] {
            running.follow(&Event::Running(Fractal::plain(1, Status::Running)));
            assert_eq!(running.fraction(1), None, "an attempt begins from nothing");
            assert!(news(1, 0.5));
            assert!(!news(1, 0.5), "known");
            for nonsense in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
                assert!(!news(1, nonsense));
            }
            assert_eq!(running.fraction(1), Some(0.5));
            running.follow(&end);
            assert!(!news(1, 0.6), "{end:?}");
            assert_eq!(running.fraction(1), None);
            assert!(running.renders().is_empty());
        }
    }
}
