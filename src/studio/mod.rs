//! Small pictures made while somebody waits: tiles of the explorer, thumbnails of the gallery.
//!
//! They have threads of their own, as many as there are cores, beside those of the farm's renders:
//! the system shares the cores out between the two, and neither waits for the other. Who is no longer
//! waited for gives up the place in the queue, or stops in the middle.

mod cache;
mod shelf;
pub mod thumb;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use cache::Cache;
pub use shelf::Shelf;

use crate::render::Cancel;

/// Pictures that may wait for a thread, for each thread there is.
const WAITING: usize = 64;

/// The threads, and the queue before them.
#[derive(Clone)]
pub struct Studio {
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

/// Why there is no picture.
#[derive(Debug, PartialEq, Eq)]
pub enum Unmade {
    /// As many wait as may.
    Crowded,
    /// It could not be made: a fault of the program, which the log tells.
    Broken,
}

impl Default for Studio {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Studio {
            places: Arc::new(Semaphore::new(cores * (WAITING + 1))),
            slots: Arc::new(Semaphore::new(cores)),
        }
    }
}

impl Studio {
    /// Has a picture made, unless `known` has it once it is its turn. `make` is to look at the
    /// [`Cancel`], which is set when this future is dropped.
    pub async fn make<E: std::error::Error>(
        &self,
        known: impl FnOnce() -> Option<Bytes>,
        make: impl FnOnce(&Cancel) -> Result<Bytes, E> + Send + 'static,
    ) -> Result<Bytes, Unmade> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Unmade::Crowded)?;
        // Dropped while it waits here, it is out of the queue.
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|_| Unmade::Broken)?;
        if let Some(bytes) = known() {
            return Ok(bytes);
        }
        let abandoned = Abandoned(Cancel::default());
        let cancel = abandoned.0.clone();
        let made = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, not only as long as somebody waits.
            let _held = (place, slot);
            make(&cancel).map_err(|error| {
                if !cancel.is_cancelled() {
                    tracing::error!(%error, "a small picture cannot be made");
                }
            })
        });
        let made = made.await;
        drop(abandoned);
        made.ok().and_then(Result::ok).ok_or(Unmade::Broken)
    }
}

/// Stops a render when nobody waits for it any more.
struct Abandoned(Cancel);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn studio(slots: usize, places: usize) -> Studio {
        Studio {
            places: Arc::new(Semaphore::new(places)),
            slots: Arc::new(Semaphore::new(slots)),
        }
    }

    /// A picture that is never finished.
    fn endless(cancel: &Cancel) -> Result<Bytes, std::fmt::Error> {
        while !cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(std::fmt::Error)
    }

    #[tokio::test]
    async fn what_nobody_waits_for_stops_and_leaves_the_queue() {
        let studio = studio(1, 3);
        let begun = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (studio, begun) = (studio.clone(), begun.clone());
            tokio::spawn(async move {
                let make = move |cancel: &Cancel| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    endless(cancel)
                };
                studio.make(|| None, make).await
            })
        };
        let clients = [ask(), ask(), ask()];
        while studio.places.available_permits() > 0 || begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let further = studio.make(|| None, endless).await;
        assert_eq!(further, Err(Unmade::Crowded));
        for client in &clients {
            client.abort();
        }
        // All three places are free again, and the two that waited were never begun.
        let made = studio.make(|| None, |_| Ok::<_, std::fmt::Error>(Bytes::from("x")));
        let made = loop {
            if studio.places.available_permits() == 3 {
                break made.await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(made, Ok(Bytes::from("x")));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_another_made_meanwhile_is_not_made_again() {
        let known = || Some(Bytes::from("known"));
        let made = studio(1, 1).make(known, endless).await;
        assert_eq!(made, Ok(Bytes::from("known")));
    }
}
