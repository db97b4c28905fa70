//! The life of a fractal: each step changes the row first, then the queue, then tells the news.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::events::{Event, Events};
use crate::fractal::{Draft, Fractal, Limits, Outcome, Refusal, Status};
use crate::queue::{Queue, Task};
use crate::render::constant;
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
    events: Events,
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
    /// Takes up what an earlier process left behind, and is ready.
    pub async fn open(
        store: Arc<dyn Store>,
        queue: Arc<dyn Queue>,
        policy: Policy,
    ) -> Result<Farm> {
        let crashes = policy.attempts.saturating_mul(PATIENCE_WITH_CRASHES);
        let recovered = store.recover(crashes).await?;
        if recovered > 0 {
            tracing::info!(
                fractals = recovered,
                "renders that were cut off are taken up again"
            );
            queue.added();
        }
        Ok(Farm {
            store,
            queue,
            events: Events::default(),
            policy,
        })
    }

    pub fn events(&self) -> &Events {
        &self.events
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

    /// Accepts a fractal, or says what is wrong with it. `Ok` means kept.
    pub async fn submit(&self, uuid: Uuid, draft: &Draft) -> Result<Fractal, SubmitError> {
        let limits = self.policy.limits;
        let spec = limits.accept(draft, |plane, n| constant::draw(uuid, plane, n))?;
        let fractal = self.store.insert(uuid, spec, self.policy.queued).await?;
        self.queue.added();
        self.events.publish(Event::Created(fractal.clone()));
        Ok(fractal)
    }

    pub async fn delete(&self, uuid: Uuid) -> Result<bool> {
        let deleted = self.store.delete(uuid).await?;
        if deleted {
            self.queue.forget(uuid);
            self.events.publish(Event::Deleted(uuid));
        }
        Ok(deleted)
    }

    /// Gives a fractal that has failed another set of attempts.
    pub async fn retry(&self, uuid: Uuid) -> Result<Retried> {
        Ok(match self.store.retry(uuid).await? {
            Some((fractal, true)) => {
                self.queue.returned(uuid);
                self.events.publish(Event::Queued(fractal.clone()));
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
    pub async fn begin(&self, uuid: Uuid) -> Result<bool> {
        match self.store.start(uuid).await {
            Ok(Some(fractal)) => {
                self.events.publish(Event::Running(fractal));
                Ok(true)
            }
            Ok(None) => {
                self.queue.settled(uuid);
                Ok(false)
            }
            Err(error) => {
                self.queue.returned(uuid);
                Err(error)
            }
        }
    }

    /// Returns a task that was begun and not carried out. The attempt does not count.
    pub async fn give_back(&self, uuid: Uuid) -> Result<()> {
        let again = self.store.give_back(uuid).await?;
        self.queue.returned(uuid);
        if let Some(fractal) = again {
            self.events.publish(Event::Queued(fractal));
        }
        Ok(())
    }

    /// Keeps a finished image. The fractal as it then is: with the first image that came, if
    /// this is not it. `None`: it was deleted meanwhile.
    pub async fn finish(
        &self,
        uuid: Uuid,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Option<Fractal>> {
        let finished = self.store.finish(uuid, outcome, png).await?;
        // Whoever else renders it may stop: for the one that delivered, this changes nothing.
        self.queue.forget(uuid);
        Ok(match finished {
            Some(Finished::Now(fractal)) => {
                self.events.publish(Event::Done(fractal.clone()));
                Some(fractal)
            }
            Some(Finished::Before(fractal)) => Some(fractal),
            None => None,
        })
    }

    /// Notes that an attempt failed: the fractal waits again, or has failed for good.
    pub async fn fail(&self, uuid: Uuid, reason: String) -> Result<()> {
        let failed = self.store.fail(uuid, reason, self.policy.attempts).await?;
        match failed {
            Some(fractal) if fractal.status == Status::Queued => {
                self.queue.returned(uuid);
                self.events.publish(Event::Queued(fractal));
            }
            Some(fractal) => {
                self.queue.settled(uuid);
                self.events.publish(Event::Failed(fractal));
            }
            None => self.queue.settled(uuid),
        }
        Ok(())
    }
}
