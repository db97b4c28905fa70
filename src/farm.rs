//! The life of a fractal: each step changes the row first, then the queue, then tells the news.
//!
//! The store calls back after each commit, in the order of the commits. What follows from a change
//! follows there, and so does not depend on whether whoever asked for it still waits.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::animation::{AnimationDraft, AnimationId};
use crate::events::{Event, Events};
use crate::fractal::{
    Constant, Draft, Fractal, FractalSpec, Limits, Outcome, Refusal, RowId, Status,
};
use crate::leases::Leases;
use crate::metrics::FarmMetrics;
use crate::queue::{Queue, Task};
use crate::render::constant;
use crate::running::Running;
use crate::store::search::{Column, Comparison, Filter, Value};
use crate::store::{Counts, Finished, Lookup, Page, Result, Search, Store, StoreError};

/// What the farm holds itself to.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub limits: Limits,
    /// Most fractals that may wait.
    pub queued: u64,
    /// Most frames of an animation.
    pub frames: u32,
    /// Attempts after which a fractal has failed.
    pub attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            limits: Limits::default(),
            queued: 1_000_000,
            frames: 600,
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
    policy: RwLock<Policy>,
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
            if !matches!(event, Event::Adopted(_) | Event::Departed(_)) {
                news.publish(event);
            }
        }));
        Ok(Farm {
            store,
            queue,
            running,
            leases,
            events,
            metrics,
            policy: RwLock::new(policy),
        })
    }

    pub fn events(&self) -> &Events {
        &self.events
    }

    pub fn metrics(&self) -> &FarmMetrics {
        &self.metrics
    }

    fn policy(&self) -> Policy {
        *self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds itself to this from now on; what was accepted before stays accepted.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
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
        let spec = self.accept(uuid, draft)?;
        let queued = self.policy().queued;
        Ok(self.store.insert(uuid, spec, queued).await?)
    }

    /// What is to be rendered, or why that is refused.
    pub fn accept(&self, uuid: Uuid, draft: &Draft) -> Result<FractalSpec, Refusal> {
        let limits = self.policy().limits;
        limits.accept(draft, |plane, n| constant::draw(uuid, plane, n))
    }

    /// Keeps a fractal whose image was made elsewhere.
    pub async fn import(
        &self,
        uuid: Uuid,
        spec: FractalSpec,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Fractal> {
        self.store.import(uuid, spec, outcome, png).await
    }

    /// Accepts all frames of an animation, or says what is wrong with it. `id`: it is to be called so.
    pub async fn animate(
        &self,
        id: Option<Uuid>,
        draft: &AnimationDraft,
    ) -> Result<(AnimationId, Vec<Fractal>), SubmitError> {
        let policy = self.policy();
        let (frames, fps) = draft.checked(policy.frames)?;
        let id = match id {
            Some(uuid) => named(uuid, frames, fps)?,
            None => AnimationId::new(frames, fps),
        };
        let accept = |number| {
            let draft = draft.frame(number, frames);
            // An animation's constants are always given.
            let spec = policy.limits.accept(&draft, |_, _| NO_CONSTANT)?;
            Ok((id.frame(number + 1), spec))
        };
        let new = (0..frames).map(accept).collect::<Result<_, Refusal>>()?;
        Ok((id, self.store.insert_all(new, policy.queued).await?))
    }

    /// The frames of an animation that there are, in their order.
    pub async fn frames(&self, id: AnimationId) -> Result<Vec<Fractal>> {
        let key = |uuid: Uuid| Value::Text(uuid.hyphenated().to_string());
        let bound = |comparison, uuid| Filter::Value(Column::Uuid, comparison, key(uuid));
        let frames = id.frames();
        let search = Search {
            filter: Filter::And(vec![
                bound(Comparison::Ge, id.frame(1)),
                bound(Comparison::Le, id.frame(frames)),
            ]),
            ..Search::default()
        };
        Ok(self
            .store
            .search(search, 0, u64::from(frames))
            .await?
            .fractals)
    }

    /// Deletes all frames of an animation, whatever has become of them. `false`: there was none.
    pub async fn cancel(&self, id: AnimationId) -> Result<bool> {
        let frames = self.frames(id).await?;
        let there = !frames.is_empty();
        // The last one first: what the workers come to next is the last to go, and so they begin
        // fewer of them in vain.
        let uuids = frames.into_iter().rev().map(|frame| frame.uuid);
        let deletes = futures_util::stream::iter(uuids)
            .map(|uuid| self.store.delete(uuid))
            .buffer_unordered(CANCELLED_AT_ONCE);
        deletes.try_for_each(|_| std::future::ready(Ok(()))).await?;
        Ok(there)
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
        self.begun(row, begun)
    }

    /// [`Farm::begin`] for a worker elsewhere, under this lease.
    pub async fn lend(&self, row: RowId, lease: Uuid) -> Result<bool> {
        let begun = self.store.lend(row, lease).await;
        self.begun(row, begun)
    }

    fn begun(&self, row: RowId, begun: Result<Option<Fractal>>) -> Result<bool> {
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
        let crashes = self.policy().attempts.saturating_mul(PATIENCE_WITH_CRASHES);
        match self.store.lose(row, crashes).await? {
            Some(_) => self.metrics.lease_expired(),
            None => self.queue.settled(row),
        }
        Ok(())
    }

    /// Marks a task as being rendered here that was lent before a restart, or by another node, and
    /// goes on. `false`: someone else has it, or it is not wanted any more.
    pub async fn resume(&self, row: RowId, lease: Uuid) -> Result<bool> {
        Ok(self.store.resume(row, lease).await?.is_some())
    }

    /// Whether there may be other nodes with the same store.
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
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
    /// this is not it. `None`: it was deleted meanwhile. An image that the store can never keep is an
    /// error, and the fractal has failed.
    pub async fn finish(
        &self,
        row: RowId,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Option<Fractal>> {
        let finished = match self.store.finish(row, outcome, png).await {
            Err(error @ StoreError::TooLarge { .. }) => {
                // So will it be the next time.
                self.fail_at(row, error.to_string(), 0).await?;
                return Err(error);
            }
            finished => finished?,
        };
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
        self.fail_at(row, reason, self.policy().attempts).await
    }

    async fn fail_at(&self, row: RowId, reason: String, most: u32) -> Result<()> {
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

    /// The process ends: tells others what waits for them now.
    pub async fn close(&self) {
        self.queue.close().await;
    }

    /// Whether the farm can do its work at this moment.
    pub async fn check(&self) -> Result<()> {
        self.store.check().await
    }
}

/// Deletions under way at a time: they share commits.
const CANCELLED_AT_ONCE: usize = 64;

const NO_CONSTANT: Constant = Constant {
    re: f64::NAN,
    im: f64::NAN,
};

/// The animation that a client has given its name, which says the same as the document.
fn named(uuid: Uuid, frames: u32, fps: u32) -> Result<AnimationId, Refusal> {
    let id = AnimationId::of(uuid).filter(|id| (id.frames(), id.fps()) == (frames, fps));
    id.ok_or_else(|| Refusal {
        field: "id",
        value: uuid.to_string(),
        limit: format!(
            "an animation of {frames} frames, {fps} a second, cannot be called so: leave it out"
        ),
    })
}

/// What a change means for the queue.
fn follow_up(queue: &dyn Queue, event: &Event) {
    match event {
        // What was imported waits for nobody.
        Event::Created(fractal) if fractal.status == Status::Done => {}
        Event::Created(fractal) => queue.added(fractal),
        Event::Queued(fractal) => queue.waits_again(fractal),
        Event::Running(fractal) | Event::Adopted(fractal) => queue.begun(fractal),
        // Whoever else renders it may stop; for the one that delivered, this changes nothing.
        Event::Done(fractal) => queue.done(fractal),
        Event::Failed(fractal) => queue.failed(fractal),
        Event::Deleted(row, _) | Event::Departed(row) => queue.forget(*row),
        // No change at all, and never told by the store.
        Event::Progress(..) => {}
    }
}
