//! The life of a fractal: each step changes the row first, then the queue, then tells the news.
//!
//! The store calls back after each commit, in the order of the commits. What follows from a change
//! follows there, and so does not depend on whether whoever asked for it still waits.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::events::{Event, Events};
use crate::fractal::{Draft, Fractal, Limits, Outcome, Refusal, RowId, Status};
use crate::leases::Leases;
use crate::metrics::FarmMetrics;
use crate::queue::{Queue, Task};
use crate::render::constant;
use crate::running::Running;
use crate::store::{Counts, Finished, Lookup, Page, Result, Search, Store, StoreError};

/// What the farm holds itself to.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub limits: Limits,
    /// Most fractals that may wait.
    pub queued: u64,
    /// Attempts after which a fractal has failed.
    pub attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            limits: Limits::default(),
            queued: 1_000_000,
            attempts: 3,
        }
    }
}

/// An attempt that ended with the whole process says little against the task: somebody may just
/// have pulled the plug. Only this many times the allowed attempts make it a failure.
const PATIENCE_WITH_CRASHES: u32 = 4;

pub struct Farm {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    running: Arc<Running>,
    leases: Arc<Leases>,
    events: Events,
    metrics: FarmMetrics,
    policy: Policy,
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How [`Farm::retry`] ended.
#[derive(Debug)]
pub enum Retried {
    Queued(Box<Fractal>),
    /// It had not failed, and is left alone.
    NotFailed(Status),
    Gone,
}

impl Farm {
    /// Takes up what an earlier process left behind, and is ready. `queue` makes the queue of the
    /// store, once everything that waits says so.
    pub async fn open<Q: Queue + 'static>(
        store: Arc<dyn Store>,
        queue: impl FnOnce(Arc<dyn Store>) -> Q,
        policy: Policy,
    ) -> Result<Farm> {
        let crashes = policy.attempts.saturating_mul(PATIENCE_WITH_CRASHES);
        let recovered = store.recover(crashes).await?;
        if recovered > 0 {
            tracing::info!(
                fractals = recovered,
                "renders that were cut off are taken up again"
            );
        }
        let queue = Arc::new(queue(store.clone()));
        let (running, events) = (Arc::new(Running::default()), Events::default());
        // The queue holds the store: if the store held it as well, neither would ever be closed.
        let (listening, news) = (Arc::downgrade(&queue), events.clone());
        let metrics = FarmMetrics::default();
        let counted = metrics.clone();
        let leases = Arc::new(Leases::default());
        let (renders, lent) = (running.clone(), leases.clone());
        store.listen(Box::new(move |event| {
            lent.follow(&event);
            if let Some(queue) = listening.upgrade() {
                follow_up(&*queue, &event);
            }
            renders.follow(&event);
            counted.follow(&event);
            news.publish(event);
        }));
        Ok(Farm {
            store,
            queue,
            running,
            leases,
            events,
            metrics,
            policy,
        })
    }

    pub fn events(&self) -> &Events {
        &self.events
    }

    pub fn metrics(&self) -> &FarmMetrics {
        &self.metrics
    }

    /// What is lent to workers on other machines.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.store.counts()
    }

    pub async fn get(&self, uuid: Uuid) -> Result<Option<Fractal>> {
        self.store.get(uuid).await
    }

    pub async fn image(&self, uuid: Uuid, known: Option<String>) -> Result<Lookup> {
        self.store.image(uuid, known).await
    }

    pub async fn search(&self, search: Search, skip: u64, count: u64) -> Result<Page> {
        self.store.search(search, skip, count).await
    }

    /// When the oldest of the waiting fractals was accepted.
    pub async fn oldest_waiting(&self) -> Result<Option<Timestamp>> {
        loop {
            let Some(oldest) = self.store.waiting(0, 1).await?.pop() else {
                return Ok(None);
            };
            // Deleted in between, it leaves the place to another.
            if let Some(fractal) = self.store.get(oldest.uuid).await? {
                return Ok(Some(fractal.created_at));
            }
        }
    }

    /// Accepts a fractal, or says what is wrong with it. `Ok` means kept.
    pub async fn submit(&self, uuid: Uuid, draft: &Draft) -> Result<Fractal, SubmitError> {
        let limits = self.policy.limits;
        let spec = limits.accept(draft, |plane, n| constant::draw(uuid, plane, n))?;
        Ok(self.store.insert(uuid, spec, self.policy.queued).await?)
    }

    pub async fn delete(&self, uuid: Uuid) -> Result<bool> {
        self.store.delete(uuid).await
    }

    /// Gives a fractal that has failed another set of attempts.
    pub async fn retry(&self, uuid: Uuid) -> Result<Retried> {
        Ok(match self.store.retry(uuid).await? {
            Some((fractal, true)) => {
                self.metrics.retried();
                Retried::Queued(Box::new(fractal))
            }
            Some((fractal, false)) => Retried::NotFailed(fractal.status),
            None => Retried::Gone,
        })
    }

    /// The next task. It is not begun yet, and dropping the call loses none.
    pub async fn take(&self) -> Task {
        self.queue.take().await
    }

    /// Marks a taken task as being rendered. `false`: there is nothing to do for it any more.
    pub async fn begin(&self, row: RowId) -> Result<bool> {
        let begun = self.store.start(row).await;
        match &begun {
            Ok(Some(_)) => {}
            Ok(None) => self.queue.settled(row),
            Err(_) => self.queue.returned(row),
        }
        Ok(begun?.is_some())
    }

    /// Returns a task that was taken and not begun.
    pub fn put_back(&self, row: RowId) {
        self.queue.returned(row);
    }

    /// Leaves a task that was taken to whoever is rendering it already.
    pub fn drop_task(&self, row: RowId) {
        self.queue.settled(row);
    }

    /// Returns a task whose worker is gone without a word: a crash, as far as anyone can tell.
    pub async fn lose(&self, row: RowId) -> Result<()> {
        let crashes = self.policy.attempts.saturating_mul(PATIENCE_WITH_CRASHES);
        if self.store.lose(row, crashes).await?.is_none() {
            self.queue.settled(row);
        }
        Ok(())
    }

    /// Marks a task as being rendered that nobody was handed: a render from before a restart goes on.
    /// `false`: someone else has it, or it is not wanted any more.
    pub async fn resume(&self, row: RowId) -> Result<bool> {
        Ok(self.store.start(row).await?.is_some())
    }

    /// Returns a task that was begun and not carried out. The attempt does not count.
    pub async fn give_back(&self, row: RowId) -> Result<()> {
        match self.store.give_back(row).await? {
            Some(_) => self.metrics.given_back(),
            None => self.queue.settled(row),
        }
        Ok(())
    }

    /// Keeps a finished image. The fractal as it then is: with the first image that came, if
    /// this is not it. `None`: it was deleted meanwhile.
    pub async fn finish(
        &self,
        row: RowId,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Option<Fractal>> {
        let finished = self.store.finish(row, outcome, png).await?;
        Ok(match finished {
            Some(Finished::Now(fractal)) => Some(fractal),
            Some(Finished::Before(fractal)) => {
                self.queue.settled(row);
                Some(fractal)
            }
            None => {
                self.queue.settled(row);
                None
            }
        })
    }

    /// Notes that an attempt failed: the fractal waits again, or has failed for good.
    pub async fn fail(&self, row: RowId, reason: String) -> Result<()> {
        let most = self.policy.attempts;
        match self.store.fail(row, reason, most).await? {
            Some(_) => self.metrics.attempt_failed(),
            None => self.queue.settled(row),
        }
        Ok(())
    }

    /// Tells the news that so much of a row's picture is rendered, 0 to 1. Nothing is kept of it
    /// beyond the render, and where there is none it means nothing.
    pub fn report(&self, row: RowId, fraction: f64) {
        self.running.report(row, fraction, &self.events);
    }

    /// How much of a row's picture is rendered, 0 to 1. `None`: it is not running, or not for long.
    pub fn fraction(&self, row: RowId) -> Option<f64> {
        self.running.fraction(row)
    }

    /// Whether the farm can do its work at this moment.
    pub async fn check(&self) -> Result<()> {
        self.store.check().await
    }
}

/// What a change means for the queue.
fn follow_up(queue: &dyn Queue, event: &Event) {
    match event {
        Event::Created(_) => queue.added(),
        Event::Queued(fractal) => queue.returned(fractal.row),
        Event::Running(_) => {}
        // Whoever else renders it may stop; for the one that delivered, this changes nothing.
        Event::Done(fractal) => queue.forget(fractal.row),
        Event::Failed(fractal) => queue.settled(fractal.row),
        Event::Deleted(row, _) => queue.forget(*row),
        // No change at all, and never told by the store.
        Event::Progress(..) => {}
    }
}
