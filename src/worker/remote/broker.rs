//! Tasks from RabbitMQ: the broker says which, the API lends exactly these. A message is acknowledged
//! when this worker's care for its task ends: its result is committed, or the API knows that the task
//! waits again and sees to a new message.
//!
//! ```text
//!   queue `normal` ──message──> POST claim ──> shelf ──> lane ──> outbox ──> PUT image ──> ack
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::{Acker, Channel, Connection};
use reqwest::StatusCode;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::endpoints::{CallError, pause};
use super::{ANSWER_TIME, LOOK, Remote};
use crate::queue::Task;
use crate::queue::amqp::{self, Line, LinkError, Transport, Verdict, pronounce};
use crate::wire::lease::{ClaimDoc, ClaimedDoc};

/// What was said of messages has this long to get to the broker when the worker ends.
const CLOSING: Duration = Duration::from_secs(1);

/// The message of a task. Dropped, it goes to another worker.
pub struct Ticket {
    acker: Option<Acker>,
    verdicts: flume::Sender<Verdict>,
}

impl Ticket {
    fn new(acker: Acker, verdicts: &flume::Sender<Verdict>) -> Ticket {
        Ticket {
            acker: Some(acker),
            verdicts: verdicts.clone(),
        }
    }

    /// It is needed no more.
    pub fn done(mut self) {
        if let Some(acker) = self.acker.take() {
            // The other end lives as long as the worker.
            let _ = self.verdicts.send(Verdict::Ack(acker));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            let _ = self.verdicts.send(Verdict::Requeue(acker));
        }
    }
}

/// A worker's end of the queue, from outside.
pub struct Handle {
    task: AbortOnDropHandle<()>,
    verdicts: flume::Sender<Verdict>,
    stop: CancellationToken,
    over: CancellationToken,
}

impl Handle {
    /// Takes no further task, and keeps the connection for what is still to be acknowledged.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells the broker what is left to tell, and closes the connection.
    pub async fn close(mut self) {
        let (told, flushed) = oneshot::channel();
        let _ = self.verdicts.send(Verdict::Flush(told));
        let closed = async {
            let _ = flushed.await;
            self.over.cancel();
            let _ = (&mut self.task).await;
        };
        // Otherwise the broker gives to others what they will find done.
        let _ = tokio::time::timeout(CLOSING, closed).await;
    }
}

/// A worker's end of the queue.
struct Consumer {
    remote: Arc<Remote>,
    transport: Transport,
    verdicts: flume::Sender<Verdict>,
    /// The log has been told that the API is of no use.
    complained: AtomicBool,
    stop: CancellationToken,
    over: CancellationToken,
}

/// Takes tasks from the broker from now on.
pub fn start(remote: &Arc<Remote>, transport: Transport) -> Handle {
    // As many as there are messages at most.
    let (verdicts, pronounced) = flume::unbounded();
    let consumer = Consumer {
        remote: remote.clone(),
        transport,
        verdicts: verdicts.clone(),
        complained: AtomicBool::new(false),
        stop: CancellationToken::new(),
        over: CancellationToken::new(),
    };
    let (stop, over) = (consumer.stop.clone(), consumer.over.clone());
    let task = tokio::spawn(async move {
        tokio::select! {
            () = consumer.run() => {}
            () = pronounce(pronounced) => {}
        }
    });
    Handle {
        task: AbortOnDropHandle::new(task),
        verdicts,
        stop,
        over,
    }
}

impl Consumer {
    async fn run(&self) {
        let name = format!("faafo worker {}", self.remote.name);
        let mut line = Line::new(self.transport.clone(), name, self.remote.broker.clone());
        loop {
            let connection = tokio::select! {
                connection = line.connect() => connection,
                () = self.over.cancelled() => return,
            };
            match self.session(&connection).await {
                Ok(()) => {
                    // It closes by itself if this fails.
                    let _ = connection.close(200, "OK".into()).await;
                    return;
                }
                Err(error) => line.broke(connection, error).await,
            }
        }
    }

    async fn session(&self, connection: &Connection) -> Result<(), LinkError> {
        tokio::select! {
            consumed = self.consume(connection) => consumed,
            silent = amqp::alive(connection) => match silent? {},
        }
    }

    async fn consume(&self, connection: &Connection) -> Result<(), LinkError> {
        let begun = amqp::answered(connection, self.begin(connection));
        let (graves, channel, mut messages) = begun.await?;
        loop {
            let first = tokio::select! {
                message = messages.next() => message,
                () = self.stop.cancelled() => break,
            };
            let mut batch = vec![first.ok_or(TAKEN_AWAY)??];
            while let Some(Some(message)) = messages.next().now_or_never() {
                batch.push(message?);
            }
            let tasks = self.read(batch, &graves).await?;
            if !tasks.is_empty() {
                self.claim(tasks, &channel).await?;
            }
        }
        // What has come and was not begun goes to others.
        channel
            .basic_cancel("faafo-worker".into(), Default::default())
            .await?;
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            drop(Ticket::new(message.acker, &self.verdicts));
        }
        self.over.cancelled().await;
        Ok(())
    }

    /// A channel for what is no task, and one on which tasks come.
    async fn begin(
        &self,
        connection: &Connection,
    ) -> Result<(Channel, Channel, lapin::Consumer), LinkError> {
        amqp::declare(connection, &self.transport).await?;
        let graves = amqp::confirming(connection).await?;
        let channel = connection.create_channel().await?;
        let queue = self.transport.queue_type.queue();
        let slots = self.remote.slots;
        let messages = amqp::consumer(&channel, queue, slots, "faafo-worker").await?;
        Ok((graves, channel, messages))
    }

    /// The tasks in these messages that are not this worker's already.
    async fn read(
        &self,
        batch: Vec<Delivery>,
        graves: &Channel,
    ) -> Result<HashMap<Uuid, Ticket>, LinkError> {
        let mut tasks = HashMap::new();
        for message in batch {
            let (properties, body) = (message.properties, message.data);
            let uuid = match amqp::decode(&properties, &body) {
                Ok(task) => Some(task.uuid),
                Err(why) => {
                    tracing::warn!(why, "a message is laid aside in {}", amqp::DEAD);
                    amqp::bury(graves, properties, &body, &why).await?;
                    // If it names a fractal that waits, the row knows what to render.
                    amqp::named(&body)
                }
            };
            let ticket = Ticket::new(message.acker, &self.verdicts);
            let Some(uuid) = uuid else {
                ticket.done();
                continue;
            };
            if let Some(ticket) = self.remote.reunite(uuid, ticket)
                && let Some(duplicate) = tasks.insert(uuid, ticket)
            {
                duplicate.done();
            }
        }
        Ok(tasks)
    }

    /// Asks the farm for the tasks, for as long as the messages are ours.
    async fn claim(
        &self,
        mut tickets: HashMap<Uuid, Ticket>,
        channel: &Channel,
    ) -> Result<(), LinkError> {
        let (lack, stock) = self.remote.shelf.lack_and_stock();
        if stock >= lack.max(self.remote.slots) {
            // From before the connection broke: others may have time for these.
            tokio::time::sleep(LOOK).await;
            return Ok(());
        }
        let mut vain = 0;
        loop {
            let uuids: Vec<_> = tickets.keys().copied().collect();
            let claimed = tokio::select! {
                claimed = self.remote.claim(uuids) => claimed,
                () = self.stop.cancelled() => return Ok(()),
            };
            match claimed {
                Ok(claimed) => {
                    let tasks = claimed.tasks.iter().map(|doc| (doc.lease, doc.task()));
                    let tasks: Vec<(Uuid, Task)> = tasks.collect();
                    for uuid in claimed.settled.iter().chain(&claimed.unknown) {
                        if let Some(ticket) = tickets.remove(uuid) {
                            tracing::debug!(%uuid, "nothing is to be done for this task any more");
                            ticket.done();
                        }
                    }
                    self.remote.receive(tasks, tickets);
                    return Ok(());
                }
                Err(CallError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => {
                    if !self.complained.swap(true, Ordering::Relaxed) {
                        tracing::error!(
                            "this API knows no claims: it is an older faafo's, or the original's, \
                             which workers of its own serve"
                        );
                    }
                    tokio::time::sleep(ANSWER_TIME).await;
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot claim tasks");
                    if error.has_no_pause() {
                        vain += 1;
                        tokio::select! {
                            () = tokio::time::sleep(pause(vain)) => {}
                            () = self.stop.cancelled() => return Ok(()),
                        }
                    }
                }
            }
            if !channel.status().connected() {
                return Err(LinkError::Lost("the connection broke"));
            }
        }
    }
}

const TAKEN_AWAY: LinkError = LinkError::Lost("somebody has taken its queue away");

impl Remote {
    async fn claim(&self, uuids: Vec<Uuid>) -> Result<ClaimedDoc, CallError> {
        let doc = ClaimDoc {
            worker: self.announce(),
            uuids,
        };
        let call = self.endpoints.call(ANSWER_TIME, |http, base| {
            http.post(format!("{base}/v1/leases/claim")).json(&doc)
        });
        // Broken off or nonsense: the leases run out.
        self.endpoints.read(call.await?).await
    }

    /// Gives a task that is held already its message of the new connection; else gives it back.
    fn reunite(&self, uuid: Uuid, ticket: Ticket) -> Option<Ticket> {
        let mut held = self.held();
        let held = held.values_mut().find(|held| held.task.uuid == uuid);
        match held {
            Some(held) if !held.task.cancel.is_cancelled() => {
                if let Some(former) = held.ticket.replace(ticket) {
                    former.done();
                }
                None
            }
            _ => Some(ticket),
        }
    }
}
