//! A worker's farm on another machine, reached over HTTP.
//!
//! ```text
//!   POST leases ──> shelf ──> lane: render ──> outbox ──> PUT image
//!                     └── held: renewed by one heartbeat until it is delivered or returned
//! ```

mod endpoints;
mod outbox;
mod shelf;
mod spool;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{StatusCode, Url, header};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::tally::Tally;
use super::{Sink, Source, Workers};
use crate::fractal::{Outcome, RowId};
use crate::outward::{self, OutwardError};
use crate::queue::Task;
use crate::tokens::Token;
use crate::watched::Watched;
use crate::wire::lease::{
    AnnounceDoc, HeldDoc, LentDoc, PROTOCOL, PollDoc, RenewDoc, RenewedDoc, ReturnDoc, ReturnedDoc,
};
use endpoints::{CallError, Endpoints};
use outbox::{Outbox, Parcel};
use shelf::Shelf;
use spool::{Spool, SpoolError};

/// The farm holds a request for tasks this long.
const WAIT: Duration = Duration::from_secs(25);

/// An answer that is not waited for must come within this time; one that is, so much later.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// An image must be taken within this time.
const DELIVERY_TIME: Duration = Duration::from_secs(150);

/// Images that are being delivered at a time.
const DELIVERIES: usize = 4;

/// Work that is fetched ahead, in seconds of it and in tasks a slot: with quick pictures a request
/// for each would take longer than the picture.
const AHEAD: f64 = 0.25;
const AHEAD_TASKS: usize = 16;

/// What lies on the shelf for so long while all slots are busy, others may render sooner.
const SHELF_TIME: Duration = Duration::from_secs(1);

/// Pause between two looks at the shelf, and between two questions for spare tasks.
const LOOK: Duration = Duration::from_millis(250);

/// The pause between heartbeats before the farm has said how long it is to be.
const FIRST_PACE: Duration = Duration::from_secs(1);

/// A worker that holds nothing says this often that it is there.
const ANNOUNCE: Duration = Duration::from_secs(10);

/// Idle connections are closed before the farm does, which would meet requests on their way.
const IDLE: Duration = Duration::from_secs(8);

/// A task that fails to be returned for this long is left to its lease.
const RETURN_TIME: Duration = Duration::from_secs(30);

/// What a worker goes by.
pub struct Settings {
    pub name: String,
    pub slots: usize,
    /// One at least.
    pub endpoints: Vec<Url>,
    pub token: Option<Watched<Token>>,
    pub ca_file: Option<PathBuf>,
    /// Where results are kept that cannot be delivered, and how many bytes of them.
    pub spool: PathBuf,
    pub spool_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Outward(#[from] OutwardError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// The farm, as a worker has it.
pub struct Remote {
    id: Uuid,
    name: String,
    slots: usize,
    endpoints: Endpoints,
    shelf: Shelf,
    outbox: Outbox,
    held: Mutex<HashMap<RowId, Held>>,
    tally: Tally,
    /// A request for tasks is on.
    asks: AtomicBool,
    /// Held while leases are renewed or returned: a renewal that overtakes the return of a lease
    /// would take it up again.
    talk: tokio::sync::Mutex<()>,
}

/// A task that is this worker's until it is delivered, returned, or gone.
struct Held {
    lease: Uuid,
    task: Task,
    rendering: bool,
    fraction: Option<f64>,
}

/// What runs beside the lanes.
pub struct Running {
    remote: Arc<Remote>,
    fetch: AbortOnDropHandle<()>,
    _others: Vec<AbortOnDropHandle<()>>,
}

impl Remote {
    pub fn start(settings: Settings) -> Result<Running, RemoteError> {
        let https = settings.endpoints.iter().any(|url| url.scheme() == "https");
        let http = outward::builder(settings.ca_file.as_deref(), https)?
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(OutwardError::Tls)?;
        let spool = Spool::open(&settings.spool, settings.spool_bytes)?;
        if spool.len() > 0 {
            tracing::info!(results = spool.len(), "kept results are to be delivered");
        }
        let remote = Arc::new(Remote {
            id: Uuid::new_v4(),
            name: settings.name,
            slots: settings.slots,
            endpoints: Endpoints::new(http, settings.endpoints, settings.token),
            shelf: Shelf::default(),
            outbox: Outbox::new(spool),
            held: Mutex::default(),
            tally: Tally::default(),
            asks: AtomicBool::new(false),
            talk: tokio::sync::Mutex::default(),
        });
        let run = |task: tokio::task::JoinHandle<()>| AbortOnDropHandle::new(task);
        let heartbeat = run(tokio::spawn(heartbeat(remote.clone())));
        let deliveries = (0..DELIVERIES).map(|_| run(tokio::spawn(deliver(remote.clone()))));
        Ok(Running {
            fetch: run(tokio::spawn(fetch(remote.clone()))),
            _others: deliveries.chain([heartbeat]).collect(),
            remote,
        })
    }

    /// Waits until the farm refuses this worker before it ever let it in, and tells why.
    pub async fn shut_out(&self) -> String {
        self.endpoints.shut_out().await
    }

    fn announce(&self) -> AnnounceDoc {
        AnnounceDoc {
            id: self.id,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            slots: u32::try_from(self.slots).unwrap_or(u32::MAX),
            done: self.tally.done(),
            rate: self.tally.rate(),
        }
    }

    /// Tasks that should lie on the shelf.
    fn ahead(&self) -> usize {
        let Some(mean) = self.tally.mean() else {
            return 0;
        };
        let a_slot = (AHEAD / mean.as_secs_f64().max(1e-6)) as usize;
        a_slot.min(AHEAD_TASKS) * self.slots
    }

    async fn lease(&self, want: usize, spare: usize) -> Result<Vec<(Uuid, Task)>, CallError> {
        let wait = if want > 0 { WAIT } else { Duration::ZERO };
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
        let lent: LentDoc = response
            .json()
            .await
            .map_err(|error| CallError::Unreachable(error.to_string()))?;
        Ok(lent
            .tasks
            .iter()
            .map(|doc| (doc.lease, doc.task()))
            .collect())
    }

    /// Takes tasks into this worker's care.
    fn receive(&self, tasks: Vec<(Uuid, Task)>) {
        for (lease, task) in tasks {
            match self.held().entry(task.row) {
                // Lent before, run out meanwhile, and lent again: the render that is on will do.
                Entry::Occupied(mut held) if !held.get().task.cancel.is_cancelled() => {
                    held.get_mut().lease = lease;
                    continue;
                }
                entry => {
                    entry.insert_entry(Held {
                        lease,
                        task: task.clone(),
                        rendering: false,
                        fraction: None,
                    });
                }
            }
            self.shelf.put(task);
        }
    }

    /// Tells the farm what is held. Whoever holds something that is gone stops.
    async fn renew(&self) -> Result<Duration, CallError> {
        let _talk = self.talk.lock().await;
        let of = |held: &Held| HeldDoc {
            lease: held.lease,
            row: held.task.row,
            uuid: held.task.uuid,
            rendering: held.rendering,
            fraction: held.fraction,
        };
        let doc = RenewDoc {
            worker: self.announce(),
            leases: self.held().values().map(of).collect(),
        };
        let call = self.endpoints.call(ANSWER_TIME, |http, base| {
            http.post(format!("{base}/v1/leases/renew")).json(&doc)
        });
        let renewed: RenewedDoc = call
            .await?
            .json()
            .await
            .map_err(|error| CallError::Unreachable(error.to_string()))?;
        let mut held = self.held();
        held.retain(|_, held| {
            let gone = renewed.gone.contains(&held.lease);
            if gone {
                held.task.cancel.cancel();
            }
            !gone
        });
        let next = renewed.next_seconds;
        Ok(
            Duration::try_from_secs_f64(next).map_or(FIRST_PACE, |next| {
                next.clamp(Duration::from_millis(50), ANNOUNCE)
            }),
        )
    }

    /// Returns tasks, trying for as long as that makes sense.
    async fn bring_back(&self, leases: Vec<ReturnedDoc>, leaves: bool) {
        let doc = ReturnDoc {
            worker: self.id,
            leases,
            leaves,
        };
        let back = async {
            loop {
                let _talk = self.talk.lock().await;
                let call = self.endpoints.call(ANSWER_TIME, |http, base| {
                    http.post(format!("{base}/v1/leases/return")).json(&doc)
                });
                match call.await {
                    Err(CallError::Unreachable(_)) => {}
                    Ok(_) | Err(CallError::Refused { .. }) => return,
                }
            }
        };
        // The farm does it by itself when the leases run out.
        let _ = tokio::time::timeout(RETURN_TIME, back).await;
    }

    /// Returns what lies on the shelf.
    async fn clear_shelf(&self, leaves: bool) {
        let tasks = self.shelf.clear();
        let leases: Vec<_> = {
            let mut held = self.held();
            let gone = tasks.iter().filter_map(|task| held.remove(&task.row));
            gone.map(|held| returned(held.lease, None)).collect()
        };
        if !leases.is_empty() || leaves {
            self.bring_back(leases, leaves).await;
        }
    }

    async fn bring_back_one(&self, task: &Task, failure: Option<String>) {
        let lease = self.release(task.row);
        if let Some(lease) = lease {
            self.bring_back(vec![returned(lease, failure)], false).await;
        }
    }

    /// Ends this worker's care for a row. Its lease, if it has not ended before.
    fn release(&self, row: RowId) -> Option<Uuid> {
        self.held().remove(&row).map(|held| held.lease)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<RowId, Held>> {
        // Each use changes one entry, so that a panic leaves the map whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn returned(lease: Uuid, failure: Option<String>) -> ReturnedDoc {
    ReturnedDoc { lease, failure }
}

impl Running {
    pub fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// Returns all tasks but those that are rendered within `patience`, and delivers what is
    /// rendered until `end`; what is not delivered by then stays in the spool.
    pub async fn leave(self, workers: Workers, patience: Duration, end: Instant) {
        let remote = self.remote.clone();
        // Tasks on their way to it are taken back in the end.
        drop(self.fetch);
        let drained = async {
            tokio::join!(remote.clear_shelf(false), workers.drain(patience));
        };
        if tokio::time::timeout_at(end, drained).await.is_err() {
            tracing::warn!("the farm could not be told; its leases run out by themselves");
        }
        while !remote.outbox.is_empty() && Instant::now() < end && !remote.endpoints.are_down() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !remote.endpoints.are_down() {
            let _ = tokio::time::timeout_at(end, remote.clear_shelf(true)).await;
        }
        remote.outbox.spill().await;
        let results = remote.outbox.waiting();
        if results > 0 {
            tracing::info!(
                results,
                "results are kept, to be delivered after the next start"
            );
        }
    }
}

#[async_trait]
impl Source for Remote {
    // Neither to begin nor to deliver takes time here.
    const LANES: usize = 1;

    async fn take(&self) -> Task {
        loop {
            let task = self.shelf.take().await;
            if !task.cancel.is_cancelled() {
                return task;
            }
        }
    }

    async fn begin(&self, task: &Task) -> bool {
        let mut held = self.held();
        let held = held.get_mut(&task.row);
        held.map(|held| held.rendering = true).is_some()
    }

    async fn give_back(&self, task: &Task) {
        self.bring_back_one(task, None).await;
    }
}

#[async_trait]
impl Sink for Remote {
    async fn deliver(&self, task: &Task, outcome: Outcome, png: Bytes) {
        self.tally.add(outcome.duration);
        if let Some(held) = self.held().get_mut(&task.row) {
            (held.rendering, held.fraction) = (false, None);
        }
        let parcel = Parcel {
            row: task.row,
            uuid: task.uuid,
            outcome,
            png,
            file: None,
        };
        self.outbox.put(parcel, self.endpoints.are_down()).await;
    }

    async fn fail(&self, task: &Task, reason: String) {
        self.bring_back_one(task, Some(reason)).await;
    }

    async fn progress(&self, task: &Task, fraction: f64) {
        if let Some(held) = self.held().get_mut(&task.row) {
            held.fraction = Some(fraction);
        }
    }
}

/// Keeps the lanes busy.
async fn fetch(remote: Arc<Remote>) {
    let mut next_spare = Instant::now();
    // Renders were slower than expected: nothing is fetched ahead until so many are done.
    let mut wary_until = 0;
    loop {
        if remote.shelf.idle() > SHELF_TIME {
            wary_until = remote.tally.done() + remote.slots as u64;
            remote.clear_shelf(false).await;
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
                if want == 0 && tasks.len() < spare {
                    next_spare = Instant::now() + LOOK;
                }
                remote.receive(tasks);
            }
            Some(Err(error)) => tracing::debug!(%error, "no tasks"),
            None => {}
        }
    }
}

/// Renews what is held, and says that the worker is there.
async fn heartbeat(remote: Arc<Remote>) {
    let (mut pace, mut last) = (FIRST_PACE, Instant::now());
    loop {
        tokio::time::sleep(pace).await;
        // A request for tasks says that it is there; but while none is wanted, none is sent.
        let asks = remote.asks.load(Ordering::Relaxed);
        if remote.held().is_empty() && (asks || last.elapsed() < ANNOUNCE) {
            continue;
        }
        match remote.renew().await {
            Ok(next) => (pace, last) = (next, Instant::now()),
            Err(error) => tracing::debug!(%error, "cannot renew"),
        }
    }
}

/// Delivers one result after the other.
async fn deliver(remote: Arc<Remote>) {
    loop {
        let parcel = remote.outbox.next().await;
        let (row, uuid) = (parcel.row, parcel.uuid);
        let call = remote.endpoints.call(DELIVERY_TIME, |http, base| {
            let outcome = &parcel.outcome;
            http.put(format!("{base}/v1/fractal/{uuid}"))
                .query(&[("row", row.to_string())])
                .query(&[("duration", outcome.duration)])
                .query(&[
                    ("generated_by", &outcome.generated_by),
                    ("checksum", &outcome.checksum),
                ])
                .header(header::CONTENT_TYPE, "image/png")
                .body(parcel.png.clone())
        });
        match call.await {
            Ok(_) => {}
            Err(CallError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => tracing::debug!(%uuid, "deleted while it was rendered"),
            Err(CallError::Refused { status, message }) if !shuts_out(status) => {
                tracing::error!(%uuid, %message, "the farm refuses a result");
            }
            Err(error) => {
                tracing::debug!(%uuid, %error, "cannot deliver a result; it is kept");
                remote.outbox.again(parcel);
                if remote.endpoints.are_down() {
                    remote.outbox.spill().await;
                }
                continue;
            }
        }
        remote.outbox.done(parcel);
        remote.release(row);
    }
}

/// Whether it is the worker that is refused, not the result.
fn shuts_out(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT
    )
}
