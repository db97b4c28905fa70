//! A worker's farm on another machine, reached over HTTP.
//!
//! ```text
//!   POST leases ──> shelf ──> lane: render ──> outbox ──> PUT image
//!                     └── held: renewed by one heartbeat until it is delivered or returned
//! ```

mod broker;
mod delivery;
mod endpoints;
mod fetch;
mod heartbeat;
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
use reqwest::Url;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::tally::Tally;
use super::{Sink, Source, Workers};
use crate::fractal::{Outcome, RowId};
use crate::metrics::BrokerMetrics;
use crate::outward::{self, OutwardError};
use crate::queue::Task;
use crate::queue::amqp::Transport;
use crate::tokens::Token;
use crate::watched::Watched;
use crate::wire::lease::{AnnounceDoc, PROTOCOL, ReturnDoc, ReturnedDoc};
use broker::Ticket;
use endpoints::{CallError, Endpoints, pause};
use outbox::Outbox;
use shelf::Shelf;
use spool::{Parcel, Spool, SpoolError};

pub use spool::stock;

/// An answer that is not waited for must come within this time; one that is, so much later.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Pause between two looks at the shelf, and between two questions for spare tasks.
const LOOK: Duration = Duration::from_millis(250);

/// Images that are being delivered at a time.
const DELIVERIES: usize = 4;

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
    /// RabbitMQ that hands out the tasks; `None`: the endpoints do.
    pub transport: Option<Transport>,
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
    broker: BrokerMetrics,
    /// The farm could not keep the last result that it was sent.
    full: AtomicBool,
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
    /// The broker's message, if it came by one.
    ticket: Option<Ticket>,
}

impl Held {
    /// This worker has nothing more to do with it. Its lease.
    fn end(self) -> Uuid {
        if let Some(ticket) = self.ticket {
            ticket.done();
        }
        self.lease
    }
}

/// Where tasks come from.
enum Supply {
    /// Leased by requests that the endpoints hold.
    Endpoints(AbortOnDropHandle<()>),
    Broker(broker::Handle),
}

/// What runs beside the lanes.
pub struct Running {
    remote: Arc<Remote>,
    supply: Supply,
    others: Vec<AbortOnDropHandle<()>>,
}

impl Remote {
    pub fn start(settings: Settings) -> Result<Running, RemoteError> {
        let https = settings.endpoints.iter().any(|url| url.scheme() == "https");
        let http = outward::builder(settings.ca_file.as_deref(), https)?
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            // An API node sends nobody elsewhere: whoever does is none.
            .redirect(reqwest::redirect::Policy::none())
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
            broker: BrokerMetrics::default(),
            full: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            talk: tokio::sync::Mutex::default(),
        });
        let run = |task: tokio::task::JoinHandle<()>| AbortOnDropHandle::new(task);
        let heartbeat = run(tokio::spawn(heartbeat::heartbeat(remote.clone())));
        let deliveries =
            (0..DELIVERIES).map(|_| run(tokio::spawn(delivery::deliver(remote.clone()))));
        Ok(Running {
            supply: match settings.transport {
                None => Supply::Endpoints(run(tokio::spawn(fetch::fetch(remote.clone())))),
                Some(transport) => Supply::Broker(broker::start(&remote, transport)),
            },
            others: deliveries.chain([heartbeat]).collect(),
            remote,
        })
    }

    /// What the broker's link counts, if there is one.
    pub fn broker_metrics(&self) -> &BrokerMetrics {
        &self.broker
    }

    /// Results that no API node has taken yet.
    pub fn undelivered(&self) -> usize {
        self.outbox.waiting()
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

    /// Takes tasks into this worker's care, with their messages.
    fn receive(&self, tasks: Vec<(Uuid, Task)>, mut tickets: HashMap<Uuid, Ticket>) {
        for (lease, task) in tasks {
            let ticket = tickets.remove(&task.uuid);
            match self.held().entry(task.row) {
                // Lent before, run out meanwhile, and lent again: the render that is on will do.
                Entry::Occupied(mut held) if !held.get().task.cancel.is_cancelled() => {
                    let held = held.get_mut();
                    held.lease = lease;
                    if let Some(former) = std::mem::replace(&mut held.ticket, ticket) {
                        former.done();
                    }
                    continue;
                }
                entry => {
                    entry.insert_entry(Held {
                        lease,
                        task: task.clone(),
                        rendering: false,
                        fraction: None,
                        ticket,
                    });
                }
            }
            self.shelf.put(task);
        }
    }

    /// Returns tasks, trying for as long as that makes sense.
    async fn bring_back(&self, leases: Vec<ReturnedDoc>, leaves: bool) {
        let doc = ReturnDoc {
            worker: self.id,
            leases,
            leaves,
        };
        let back = async {
            for tries in 1.. {
                let _talk = self.talk.lock().await;
                let call = self.endpoints.call(ANSWER_TIME, |http, base| {
                    http.post(format!("{base}/v1/leases/return")).json(&doc)
                });
                match call.await {
                    Err(CallError::Unreachable(_)) => {}
                    Err(CallError::NotNow(_)) => tokio::time::sleep(pause(tries)).await,
                    Ok(_) | Err(CallError::Refused { .. } | CallError::ShutOut(_)) => return,
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
            gone.map(|held| returned(held.end(), None)).collect()
        };
        if !leases.is_empty() || leaves {
            self.bring_back(leases, leaves).await;
        }
    }

    async fn bring_back_row(&self, row: RowId, failure: Option<String>) {
        let lease = self.release(row);
        if let Some(lease) = lease {
            self.bring_back(vec![returned(lease, failure)], false).await;
        }
    }

    /// Ends this worker's care for a row. Its lease, if it has not ended before.
    fn release(&self, row: RowId) -> Option<Uuid> {
        self.held().remove(&row).map(Held::end)
    }

    /// As far as is known, the farm takes results.
    fn can_deliver(&self) -> bool {
        !self.endpoints.are_down() && !self.full.load(Ordering::Relaxed)
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
        let broker = match self.supply {
            // Tasks on their way to it are taken back in the end.
            Supply::Endpoints(fetch) => {
                drop(fetch);
                None
            }
            Supply::Broker(broker) => {
                broker.stop();
                Some(broker)
            }
        };
        let drained = async {
            tokio::join!(remote.clear_shelf(false), workers.drain(patience));
        };
        if tokio::time::timeout_at(end, drained).await.is_err() {
            tracing::warn!("the farm could not be told; its leases run out by themselves");
        }
        while !remote.outbox.is_empty() && Instant::now() < end && remote.can_deliver() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !remote.endpoints.are_down() {
            let _ = tokio::time::timeout_at(end, remote.clear_shelf(true)).await;
        }
        // Nobody waits any more for the answers to what is being delivered.
        drop(self.others);
        remote.outbox.keep().await;
        if let Some(broker) = broker {
            broker.close().await;
        }
        let (results, lost) = (remote.outbox.kept(), remote.outbox.in_memory());
        if results > 0 {
            tracing::info!(
                results,
                "results are kept, to be delivered after the next start"
            );
        }
        if lost > 0 {
            tracing::warn!(lost, "results that found no room are to be rendered again");
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
        self.bring_back_row(task.row, None).await;
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
        self.outbox.put(parcel, !self.can_deliver()).await;
    }

    async fn fail(&self, task: &Task, reason: String) {
        self.bring_back_row(task.row, Some(reason)).await;
    }

    async fn progress(&self, task: &Task, fraction: f64) {
        if let Some(held) = self.held().get_mut(&task.row) {
            held.fraction = Some(fraction);
        }
    }
}
