//! One task a node writes, and writes that wait share a transaction.
//!
//! ```text
//!   [images] · lock the farm's row · read the fractals named · work out the changes (batch.rs)
//!            · write them · counts, this transaction's number, COMMIT
//! ```
//!
//! However many writes share it, that is half a dozen messages and one flush of the server's disk.
//! Several nodes take turns at the lock: the order of the commits is the order of the rows, the
//! counts are exact, and every change sees what all nodes have done before.
//!
//! When the connection breaks during the COMMIT nobody knows how that ended, so the transaction
//! leaves its number in the node's row, and the next session looks there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::batch::Batch;
use super::engine::{Cells, Engine, Fault, Purpose, Row, Session, Statement, some};
use super::job::{Job, images, named};
use super::link::Link;
use super::peers::Peers;
use super::rows::{self, COUNTS};
use super::shared::{Node, Shared};
use super::statements::{self, LOCK};
use super::takeover::{left_behind, take_over};
use crate::events::Event;
use crate::fractal::RowId;
use crate::store::{Counts, Result, StoreError};

/// Most writes, and most bytes of images, in one transaction: beyond these a larger group gains
/// nothing and only makes the first caller wait.
const GROUP_WRITES: usize = 256;
const GROUP_BYTES: usize = 2 << 20;

/// Up to here images cost the other nodes less than a message to the server costs this one, and are
/// written with the lock.
const QUICK_BYTES: usize = 256 << 10;

/// How often counts and own renders are read, so that this node hears of the others' changes.
const LOOK: Duration = Duration::from_secs(1);

/// The node says that it lives, and looks for those that do not, every so many looks.
const HEARTBEAT: u32 = 5;

/// Times that a transaction is run again when the server ended it to solve a deadlock.
const DEADLOCKS: u32 = 5;

/// What it has in hand.
pub struct Task<E: Engine> {
    engine: Arc<E>,
    node: Node,
    jobs: flume::Receiver<Box<dyn Job>>,
    publish: watch::Sender<Counts>,
    shared: Arc<Shared>,
    link: Option<Link<E::Session>>,
    /// Of the last transaction.
    number: i64,
    /// Renders that have begun for callers who never heard of it: given back with the next
    /// transaction, as nobody would ever end them.
    unheard: Vec<RowId>,
    /// A transaction of which nobody knows whether it came to pass.
    doubt: Option<Doubt>,
    /// The renders of this node, by its own commits.
    mine: HashSet<RowId>,
    peers: Peers,
}

struct Doubt {
    number: i64,
    outcome: Outcome,
}

/// What follows from a transaction that came to pass.
struct Outcome {
    counts: Counts,
    events: Vec<Event>,
    begun: Vec<RowId>,
}

/// How a transaction ended that did not simply succeed.
enum Ended {
    /// Nothing has changed.
    Failed(Fault),
    /// Perhaps everything has.
    InDoubt(Doubt, Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Ended::Failed(fault)
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Ended::Failed(Fault::Store(error))
    }
}

impl<E: Engine> Task<E> {
    /// Connects, and is ready.
    pub async fn start(
        engine: Arc<E>,
        node: Node,
        jobs: flume::Receiver<Box<dyn Job>>,
        publish: watch::Sender<Counts>,
        shared: Arc<Shared>,
    ) -> Result<Task<E>> {
        let mut task = Task {
            engine,
            node,
            jobs,
            publish,
            shared,
            link: None,
            // Any beginning will do that an earlier life of this node did not have.
            number: (Uuid::new_v4().as_u128() >> 66) as i64,
            unheard: Vec::new(),
            doubt: None,
            mine: HashSet::new(),
            peers: Peers::default(),
        };
        task.connect().await?;
        task.look().await?;
        Ok(task)
    }

    /// Until nobody can hand in writes any more.
    pub async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        loop {
            let first = tokio::select! {
                job = self.jobs.recv_async() => job,
                _ = look.tick() => {
                    looks = looks.wrapping_add(1);
                    let alive = looks.is_multiple_of(HEARTBEAT);
                    if let Err(error) = self.tick(alive).await {
                        self.broken(&error);
                    }
                    continue;
                }
            };
            let Ok(first) = first else { return };
            let mut jobs = vec![first];
            let fractals = |job: &dyn Job| job.names().uuids.len().max(1);
            let (mut writes, mut bytes) = (fractals(&*jobs[0]), 0);
            while writes < GROUP_WRITES && bytes < GROUP_BYTES {
                let Ok(job) = self.jobs.try_recv() else { break };
                bytes += job.names().image.as_ref().map_or(0, |(_, png)| png.len());
                writes += fractals(&*job);
                jobs.push(job);
            }
            self.group(jobs).await;
        }
    }

    /// Carries out these jobs in one transaction, and tells how that went.
    async fn group(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let begun = Instant::now();
        match self.commit(&mut jobs).await {
            Ok(Outcome {
                counts,
                events,
                begun: started,
            }) => {
                let metrics = &self.shared.metrics;
                metrics.committed(jobs.len(), begun.elapsed());
                self.announce(counts, events);
                let mut unheard = false;
                for job in jobs {
                    let row = job.names().rows.first().copied();
                    let heard = job.answer(Ok(()));
                    if let Some(row) = row.filter(|row| !heard && started.contains(row)) {
                        self.unheard.push(row);
                        unheard = true;
                    }
                }
                if unheard {
                    Box::pin(self.group(Vec::new())).await;
                }
            }
            Err(fault) => {
                let error = StoreError::from(fault);
                self.broken(&error);
                for job in jobs {
                    job.answer(Err(error.clone()));
                }
                if let StoreError::Unreachable(_) = error {
                    // Those who wait would only wait for the same answer.
                    for job in self.jobs.drain() {
                        job.answer(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Tells of changes that have been committed.
    fn announce(&mut self, counts: Counts, events: Vec<Event>) {
        self.publish
            .send_if_modified(|known| std::mem::replace(known, counts) != counts);
        for event in &events {
            match event {
                Event::Running(fractal) | Event::Adopted(fractal) => {
                    self.mine.insert(fractal.row);
                }
                Event::Queued(fractal) | Event::Done(fractal) | Event::Failed(fractal) => {
                    self.mine.remove(&fractal.row);
                }
                Event::Deleted(row, _) | Event::Departed(row) => {
                    self.mine.remove(row);
                }
                Event::Created(_) | Event::Progress(..) => {}
            }
        }
        let listener = self.shared.listener();
        for event in events {
            listener(event);
        }
    }

    /// Notes that the session is of no more use, and why.
    fn broken(&mut self, error: &StoreError) {
        self.link = None;
        self.shared.metrics.failed(error);
        if let StoreError::Unreachable(why) = error {
            if self.shared.set_down(true) {
                tracing::warn!(why, "the database cannot be reached; trying again");
            }
        } else {
            tracing::error!(%error, "a store transaction failed");
        }
    }

    async fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Outcome, Fault> {
        let mut fresh = self.link.is_none();
        let mut deadlocks = 0;
        loop {
            self.connect().await?;
            let ended = match self.transaction(jobs).await {
                Ok(outcome) => {
                    self.unheard.clear();
                    return Ok(outcome);
                }
                Err(ended) => ended,
            };
            self.link = None;
            match ended {
                Ended::Failed(Fault::Deadlock) if deadlocks < DEADLOCKS => deadlocks += 1,
                // The session was closed while nothing happened: as good as never begun.
                Ended::Failed(Fault::Gone(_)) if !fresh => fresh = true,
                Ended::Failed(fault) => return Err(fault),
                Ended::InDoubt(doubt, fault) => match self.settle(&doubt).await {
                    Ok(true) => {
                        self.unheard.clear();
                        return Ok(doubt.outcome);
                    }
                    Ok(false) if !fresh => fresh = true,
                    Ok(false) => return Err(fault),
                    Err(_) => {
                        self.link = None;
                        self.doubt = Some(doubt);
                        return Err(fault);
                    }
                },
            }
        }
    }

    /// Makes a session if there is none.
    async fn connect(&mut self) -> Result<(), Fault> {
        if self.link.is_some() {
            return Ok(());
        }
        let mut link = Link::open(&*self.engine, Purpose::Write).await?;
        let register = statements::register(E::DIALECT, self.node.id, &self.node.name);
        link.run(&register).await?;
        let packet = link.packet().unwrap_or(u64::MAX);
        self.shared.packet.store(packet, Ordering::Relaxed);
        self.link = Some(link);
        if let Some(doubt) = self.doubt.take() {
            match self.settle(&doubt).await {
                Ok(true) => {
                    // Its callers were told that it failed.
                    self.unheard.extend(&doubt.outcome.begun);
                    let Outcome { counts, events, .. } = doubt.outcome;
                    self.announce(counts, events);
                }
                Ok(false) => {}
                Err(fault) => {
                    self.link = None;
                    self.doubt = Some(doubt);
                    return Err(fault);
                }
            }
        }
        if self.shared.set_down(false) {
            tracing::info!("the database is back");
        }
        Ok(())
    }

    /// Whether the transaction came to pass. Whatever session it ran in, if it is still running it
    /// holds the farm's row, and this waits until it has ended.
    async fn settle(&mut self, doubt: &Doubt) -> Result<bool, Fault> {
        if self.link.is_none() {
            let link = Link::open(&*self.engine, Purpose::Write).await?;
            self.link = Some(link);
        }
        let last = Statement::new("SELECT batch FROM node WHERE id = ?", [self.node.id.into()]);
        let link = self.link()?;
        link.script(&format!("BEGIN; {LOCK}")).await?;
        let rows = link.run(&last).await?;
        link.script("COMMIT").await?;
        let last = rows.into_iter().next().map(|row| Cells::of(row).integer());
        let last = last.transpose().map_err(Fault::Store)?.flatten();
        Ok(last == Some(doubt.number))
    }

    fn link(&mut self) -> Result<&mut Link<E::Session>, Fault> {
        let none = || Fault::Gone("no connection".into());
        self.link.as_mut().ok_or_else(none)
    }

    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Outcome, Ended> {
        let dialect = E::DIALECT;
        let node = self.node.id;
        let unheard = self.unheard.clone();
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let link = self.link()?;

        let images = images(jobs);
        let bytes: usize = images.iter().map(|(_, png)| png.len()).sum();
        let mut images = statements::images(dialect, &images);
        let locked = if bytes <= QUICK_BYTES {
            link.script(&format!("BEGIN; {LOCK}")).await?
        } else {
            link.script(E::BEGIN_WITH_IMAGES).await?;
            for statement in images.drain(..) {
                link.run(&statement).await?;
            }
            link.script(&format!("{}{LOCK}", E::BEFORE_LOCK)).await?
        };
        for statement in &images {
            link.run(statement).await?;
        }
        let mut cells = Cells::of(some(locked.into_iter().next())?);
        let next_row = some(cells.integer()?)?;
        let before = rows::counts(&mut cells)?;
        let mut batch = Batch::new(node, before, next_row);
        for statement in named(jobs, &unheard) {
            for row in link.run(&statement).await? {
                batch.load(rows::kept(row)?);
            }
        }
        for row in unheard {
            batch.give_back(row);
        }
        batch.begun.clear();
        for job in jobs {
            job.apply(&mut batch);
        }
        write(link, E::DIALECT, &batch).await?;
        let commit = if batch.is_empty() {
            "COMMIT".to_owned()
        } else {
            let Counts {
                queued,
                running,
                done,
                failed,
            } = batch.counts;
            let now = statements::now(dialect);
            format!(
                "UPDATE farm SET next_row = {}, queued = {queued}, running = {running}, \
                 done = {done}, failed = {failed} WHERE id = 1; \
                 UPDATE node SET batch = {number}, seen = {now} WHERE id = {node}; COMMIT",
                batch.next_row
            )
        };
        let committed = link.script(&commit).await;
        let nothing = batch.is_empty();
        let outcome = Outcome {
            counts: batch.counts,
            events: batch.events,
            begun: batch.begun,
        };
        match committed {
            Ok(_) => Ok(outcome),
            Err(fault @ Fault::Gone(_)) if !nothing => {
                Err(Ended::InDoubt(Doubt { number, outcome }, fault))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Keeps in touch while nothing is written.
    async fn tick(&mut self, alive: bool) -> Result<()> {
        self.connect().await?;
        if !self.unheard.is_empty() {
            Box::pin(self.group(Vec::new())).await;
            // One that came to nothing ends its session.
            self.connect().await?;
        }
        self.look().await?;
        if !alive {
            return Ok(());
        }
        let register = statements::register(E::DIALECT, self.node.id, &self.node.name);
        self.link()?.run(&register).await?;
        let most = self.shared.most_crashes.load(Ordering::Relaxed);
        if most == 0 {
            return Ok(());
        }
        let others = statements::other_nodes(self.node.id);
        let said = pairs(self.link()?.run(&others).await?)?;
        let gone = self.peers.look(&said);
        let left = statements::left_behind(gone.clone());
        let left = left_behind(self.link()?.run(&left).await?)?;
        if !left.is_empty() {
            tracing::info!(
                fractals = left.len(),
                "renders of nodes that fell silent are taken up again"
            );
            let (job, _) = take_over(left, most);
            self.group(vec![job]).await;
        } else if let Some(forget) = statements::forget(E::DIALECT, gone) {
            self.link()?.run(&forget).await?;
        }
        Ok(())
    }

    /// Reads what other nodes change, too: the counts, and whether this node's renders still are its.
    async fn look(&mut self) -> Result<()> {
        let text = format!("SELECT {COUNTS} FROM farm WHERE id = 1");
        let rows = self.link()?.run(&Statement::new(text, [])).await?;
        let counts = rows::counts(&mut Cells::of(some(rows.into_iter().next())?))?;
        let mut departed = Vec::new();
        if !self.mine.is_empty() {
            let text = "SELECT id FROM fractal WHERE status = 'running' AND node = ?";
            let own = Statement::new(text, [self.node.id.into()]);
            let mut still = HashSet::new();
            for row in self.link()?.run(&own).await? {
                still.insert(some(Cells::of(row).integer()?)?);
            }
            let gone = self.mine.difference(&still);
            departed.extend(gone.map(|row| Event::Departed(*row)));
        }
        self.announce(counts, departed);
        Ok(())
    }
}

fn pairs(found: Vec<Row>) -> Result<Vec<(i64, i64)>> {
    let one = |row| {
        let mut cells = Cells::of(row);
        Ok((some(cells.integer()?)?, some(cells.integer()?)?))
    };
    found.into_iter().map(one).collect()
}

async fn write<S: Session>(
    link: &mut Link<S>,
    dialect: crate::store::sql::Dialect,
    batch: &Batch,
) -> Result<(), Fault> {
    let gone: Vec<RowId> = [&batch.deleted[..], &batch.unwanted[..]].concat();
    let fractals = statements::delete("fractal", &batch.deleted);
    for statement in [fractals, statements::delete("image", &gone)]
        .iter()
        .flatten()
    {
        link.run(statement).await?;
    }
    for new in [true, false] {
        let written = batch.written().filter(|(_, is_new)| *is_new == new);
        let written: Vec<_> = written.map(|(kept, _)| kept).collect();
        for statement in statements::write(dialect, &written, new) {
            link.run(&statement).await?;
        }
    }
    Ok(())
}
