//! Asks the farm for tasks: as many as the lanes lack, and quick ones ahead of time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;
use uuid::Uuid;

use super::endpoints::{CallError, pause};
use super::{ANSWER_TIME, LOOK, Remote};
use crate::queue::Task;
use crate::wire::lease::{LentDoc, PollDoc};

/// The farm holds a request for tasks this long.
const WAIT: Duration = Duration::from_secs(25);

/// Work that is fetched ahead, in seconds of it and in tasks a slot: with quick pictures a request
/// for each would take longer than the picture.
const AHEAD: f64 = 0.25;
const AHEAD_TASKS: usize = 16;

/// With more results than this, and so many a slot, waiting to leave, nothing is fetched: they
/// leave more slowly than they are rendered. A farm that takes them at once lets fewer wait.
const WAITING: usize = 16;
const WAITING_A_SLOT: usize = 4;

/// What lies on the shelf for so long while all slots are busy, others may render sooner.
const SHELF_TIME: Duration = Duration::from_secs(1);

/// Keeps the lanes busy.
pub async fn fetch(remote: Arc<Remote>) {
    let mut next_spare = Instant::now();
    // Renders were slower than expected: nothing is fetched ahead until so many are done.
    let (mut wary_until, mut vain) = (0, 0);
    loop {
        if remote.shelf.idle() > SHELF_TIME {
            wary_until = remote.tally.done() + remote.slots as u64;
            remote.clear_shelf(false).await;
        }
        if remote.is_crowded() {
            tokio::select! {
                () = remote.outbox.left() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            continue;
        }
        let (lack, stock) = remote.shelf.lack_and_stock();
        let want = lack.saturating_sub(stock);
        let wary = remote.tally.done() < wary_until;
        let ahead = if wary { 0 } else { remote.ahead() };
        let short = stock <= ahead / 2 && Instant::now() >= next_spare;
        let spare = if short || want > 0 {
            ahead.saturating_sub(stock)
        } else {
            0
        };
        if want == 0 && spare == 0 {
            let look = stock > 0 || ahead > 0;
            tokio::select! {
                () = remote.shelf.changed.notified() => {}
                () = tokio::time::sleep(LOOK), if look => {}
            }
            continue;
        }
        remote.asks.store(true, Ordering::Relaxed);
        let leased = tokio::select! {
            leased = remote.lease(want, spare) => Some(leased),
            // The one that was asked is given up by now.
            () = remote.endpoints.turn_from(remote.endpoints.current()) => None,
        };
        remote.asks.store(false, Ordering::Relaxed);
        match leased {
            Some(Ok(tasks)) => {
                vain = 0;
                if want == 0 && tasks.len() < spare {
                    next_spare = Instant::now() + LOOK;
                }
                remote.receive(tasks, HashMap::new());
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "no tasks");
                if error.has_no_pause() {
                    vain += 1;
                    tokio::time::sleep(pause(vain)).await;
                }
            }
            None => {}
        }
    }
}

impl Remote {
    /// Tasks that should lie on the shelf.
    fn ahead(&self) -> usize {
        let Some(mean) = self.tally.mean() else {
            return 0;
        };
        let a_slot = (AHEAD / mean.as_secs_f64().max(1e-6)) as usize;
        a_slot.min(AHEAD_TASKS) * self.slots
    }

    /// Whether results wait for others to leave. Of a farm that is away nothing can be had anyway,
    /// but the request finds out when it is back.
    fn is_crowded(&self) -> bool {
        let most = WAITING_A_SLOT * self.slots + WAITING;
        self.outbox.leaving() > most && !self.endpoints.are_down()
    }

    async fn lease(&self, want: usize, spare: usize) -> Result<Vec<(Uuid, Task)>, CallError> {
        // The first answer comes at once: who starts a worker sees whether it has reached the farm.
        let wait = if want > 0 && self.endpoints.are_up() {
            WAIT
        } else {
            Duration::ZERO
        };
        let doc = PollDoc {
            worker: self.announce(),
            want: want as u32,
            spare: spare as u32,
            wait: wait.as_secs_f64(),
        };
        let call = self.endpoints.call(wait + ANSWER_TIME, |http, base| {
            http.post(format!("{base}/v1/leases")).json(&doc)
        });
        let response = call.await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Vec::new());
        }
        // Broken off or nonsense: the leases run out.
        let lent: LentDoc = self.endpoints.read(response).await?;
        Ok(lent
            .tasks
            .iter()
            .map(|doc| (doc.lease, doc.task()))
            .collect())
    }
}
