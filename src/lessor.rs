//! Lends tasks to workers on other machines, and takes them back from those that are silent.
//!
//! ```text
//!   queue ──take──> lease ──begin──> worker ──renew, renew──> deliver    (ends the lease by its row)
//!                                        └──── silent, or told to stop ──> the row waits again
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::farm::Farm;
use crate::fractal::{RowId, Status};
use crate::leases::{Held, Renewal};
use crate::queue::Task;
use crate::render::Cancel;
use crate::roster::{Announced, Roster};
use crate::store::StoreError;
use crate::wire::lease::CrewDoc;

/// Workers that may wait for tasks at a time.
const POLLS: usize = 16_384;

/// Most tasks in one answer, whatever is asked for.
const BATCH: usize = 256;

/// Beats in a wait for tasks: it may end a hundredth of it before its time.
const BEATS: u32 = 100;

/// How late a lease that has run out may be noticed.
const LATE: Duration = Duration::from_millis(250);

/// Pause before a store that failed is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Workers that renew in a second: the more there are, the longer each waits before the next time.
const RENEWALS: f64 = 500.0;

pub struct Lessor {
    farm: Arc<Farm>,
    roster: Roster,
    time: Duration,
    polls: Semaphore,
    /// One of them at a time waits at the queue: there ten thousand would cost each that leaves a
    /// look at all others.
    turn: Mutex<()>,
    /// The store did not begin the last task: the log has been told.
    troubled: AtomicBool,
    stop: CancellationToken,
    runtime: Handle,
    /// From here the beats are counted on which those who wait in vain are answered.
    since: Instant,
}

/// How many tasks a worker asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// To begin with at once.
    pub now: usize,
    /// More, if others do not lack them.
    pub spare: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlent {
    #[error("{POLLS} workers wait for tasks already")]
    Crowded,
    #[error("the server is stopping")]
    Stopping,
}

/// What a worker says has become of a task that it brings back.
#[derive(Clone, Debug)]
pub struct Returned {
    pub lease: Uuid,
    /// Why it failed; `None`: it was not carried out.
    pub failure: Option<String>,
}

impl Lessor {
    /// Lends for `time`. Waiting workers are sent away when `stop` is cancelled.
    pub fn start(
        farm: Arc<Farm>,
        roster: Roster,
        time: Duration,
        stop: CancellationToken,
    ) -> Arc<Lessor> {
        let lessor = Arc::new(Lessor {
            farm: farm.clone(),
            roster,
            time,
            polls: Semaphore::new(POLLS),
            turn: Mutex::default(),
            troubled: AtomicBool::new(false),
            stop,
            runtime: Handle::current(),
            since: Instant::now(),
        });
        tokio::spawn(sweep(farm, Arc::downgrade(&lessor)));
        lessor
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Takes note of a worker.
    pub fn announce(&self, announced: Announced) {
        let (name, version) = (announced.name.clone(), announced.version.clone());
        let slots = announced.slots;
        if self.roster.announce(announced) {
            tracing::info!(worker = name, version, slots, "a worker joins");
        }
    }

    /// Who works here, for the other nodes; `most` of them by name.
    pub fn crew(&self, most: usize) -> CrewDoc {
        let workers = self.roster.workers_here(self.farm.leases().rendering());
        CrewDoc {
            count: workers.len() as u64,
            slots: self.roster.slots_here(),
            workers: workers.into_iter().take(most).map(Into::into).collect(),
        }
    }

    /// A lease lasts this long without being renewed.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// After so long a worker should renew: often enough to see its progress, if there are not too
    /// many of them, and thrice within a lease.
    pub fn pace(&self) -> Duration {
        let fair = self.roster.count() as f64 / RENEWALS;
        Duration::from_secs_f64(fair.max(1.0)).min(self.time / 3)
    }

    /// Lends tasks to a worker, waiting for the first of them for as long as `wait`. Dropping the
    /// call loses none.
    pub async fn lend(
        self: &Arc<Self>,
        worker: Uuid,
        wanted: Wanted,
        wait: Duration,
    ) -> Result<Lent, Unlent> {
        let _place = self.polls.try_acquire().map_err(|_| Unlent::Crowded)?;
        let end = self.on_the_beat(wait);
        loop {
            let mut taken = Taken {
                farm: self.farm.clone(),
                tasks: Vec::new(),
            };
            if wanted.now > 0 {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(Unlent::Stopping),
                    task = self.wait_for_one() => taken.tasks.push(task),
                    () = tokio::time::sleep_until(end) => return Ok(self.nothing()),
                }
            }
            if self.stop.is_cancelled() {
                return Err(Unlent::Stopping);
            }
            self.take_more(&mut taken, wanted);
            if taken.tasks.is_empty() {
                return Ok(self.nothing());
            }
            // On a task of its own: whoever asked may leave in the middle, and the commit come.
            let (lessor, begin) = (self.clone(), taken);
            let lent = tokio::spawn(async move { lessor.begin(worker, begin).await }).await;
            match lent {
                Ok(lent) if lent.tasks.is_empty() && wanted.now > 0 && Instant::now() < end => {}
                Ok(lent) => return Ok(lent),
                // A panic, which has been told.
                Err(_) => return Ok(self.nothing()),
            }
        }
    }

    /// When somebody is answered who waits in vain: a little early, so that many who wait alike are
    /// answered together. They come back together, too, and the process wakes up once for all of them
    /// instead of twice for each.
    fn on_the_beat(&self, wait: Duration) -> Instant {
        let end = Instant::now() + wait;
        let beat = (wait / BEATS).as_nanos().max(1);
        let early = end.duration_since(self.since).as_nanos() % beat;
        // Less than a beat, and so than the wait.
        end - Duration::from_nanos(early as u64)
    }

    /// In the order in which they came.
    async fn wait_for_one(&self) -> Task {
        let _turn = self.turn.lock().await;
        self.farm.take().await
    }

    /// What is there without waiting. Spare tasks only if all slots of the farm have one without
    /// them: rather than lie on a shelf here, the last ones are to be rendered elsewhere.
    fn take_more(&self, taken: &mut Taken, wanted: Wanted) {
        let most = (wanted.now + wanted.spare).min(BATCH);
        let plenty = || self.farm.counts().borrow().queued > self.roster.slots();
        while taken.tasks.len() < most {
            if taken.tasks.len() == wanted.now && !plenty() {
                return;
            }
            match self.farm.take().now_or_never() {
                Some(task) => taken.tasks.push(task),
                None => return,
            }
        }
    }

    async fn begin(self: &Arc<Self>, worker: Uuid, mut taken: Taken) -> Lent {
        let (farm, leases) = (&self.farm, self.farm.leases());
        let tasks = std::mem::take(&mut taken.tasks);
        let begun = tasks.into_iter().map(async |task| {
            // First the lease: what becomes of the row from now on ends it.
            let Some(lease) = leases.grant(worker, task.row, task.uuid) else {
                farm.drop_task(task.row);
                return None;
            };
            let lent = farm.lend(task.row, lease).await;
            let troubled = self.troubled.swap(lent.is_err(), Ordering::Relaxed);
            match lent {
                Ok(true) if leases.begun(lease, self.time) => Some((lease, task)),
                // Deleted in between.
                Ok(true) => None,
                Ok(false) => {
                    leases.end(worker, lease);
                    None
                }
                Err(error) => {
                    leases.end(worker, lease);
                    if !troubled {
                        tracing::warn!(%error, "cannot begin tasks; they stay queued");
                    }
                    // It comes back at once: without the pause this would spin.
                    tokio::time::sleep(STORE_PAUSE).await;
                    None
                }
            }
        });
        Lent {
            tasks: join_all(begun).await.into_iter().flatten().collect(),
            worker,
            lessor: self.clone(),
            sent: false,
        }
    }

    /// Lends those tasks, of which the worker has heard from a message broker.
    pub async fn claim(
        self: &Arc<Self>,
        worker: Uuid,
        uuids: Vec<Uuid>,
    ) -> Result<Claimed, StoreError> {
        let (mut tasks, mut settled, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for uuid in uuids {
            match self.farm.get(uuid).await? {
                Some(fractal) if fractal.status == Status::Queued => tasks.push(Task {
                    row: fractal.row,
                    uuid,
                    spec: fractal.spec,
                    cancel: Cancel::default(),
                }),
                Some(_) => settled.push(uuid),
                None => unknown.push(uuid),
            }
        }
        // On a task of its own: whoever asked may leave in the middle, and the commit come.
        let (lessor, claimed) = (self.clone(), tasks);
        let lent = tokio::spawn(async move { lessor.begin_claimed(worker, claimed).await });
        let (lent, lost) = lent.await.unwrap_or_else(|_| {
            // A panic, which has been told.
            (self.nothing(), Ok(Vec::new()))
        });
        settled.extend(lost?);
        Ok(Claimed {
            lent,
            settled,
            unknown,
        })
    }

    /// What could be begun, and what others were faster with.
    async fn begin_claimed(
        self: &Arc<Self>,
        worker: Uuid,
        claimed: Vec<Task>,
    ) -> (Lent, Result<Vec<Uuid>, StoreError>) {
        let (farm, leases) = (&self.farm, self.farm.leases());
        let begun = claimed.into_iter().map(async |task| {
            // First the lease, as in `begin`.
            let Some(lease) = leases.grant(worker, task.row, task.uuid) else {
                return Ok(Err(task.uuid));
            };
            let begun = farm.lend(task.row, lease).await;
            if matches!(begun, Ok(true)) && leases.begun(lease, self.time) {
                return Ok(Ok((lease, task)));
            }
            leases.end(worker, lease);
            begun.map(|_| Err(task.uuid))
        });
        let (mut tasks, mut lost) = (Vec::new(), Ok(Vec::new()));
        for begun in join_all(begun).await {
            match (begun, &mut lost) {
                (Ok(Ok(task)), _) => tasks.push(task),
                (Ok(Err(uuid)), Ok(lost)) => lost.push(uuid),
                (Ok(Err(_)), Err(_)) => {}
                (Err(error), lost) => *lost = Err(error),
            }
        }
        let lent = Lent {
            tasks,
            worker,
            lessor: self.clone(),
            sent: false,
        };
        (lent, lost)
    }

    fn nothing(self: &Arc<Self>) -> Lent {
        Lent {
            tasks: Vec::new(),
            worker: Uuid::nil(),
            lessor: self.clone(),
            sent: true,
        }
    }

    /// Renews what a worker holds. Answers which of it is no longer wanted.
    pub async fn renew(self: &Arc<Self>, worker: Uuid, held: &[Held]) -> Vec<Uuid> {
        let leases = self.farm.leases();
        let mut gone = Vec::new();
        for task in held {
            let renewed = match leases.renew(worker, *task, self.time) {
                Renewal::Renewed => true,
                Renewal::Ended => false,
                // What the store cannot tell now it is asked again at the next renewal.
                Renewal::Unknown => self.take_over(worker, *task).await.unwrap_or(true),
            };
            if !renewed {
                gone.push(task.lease);
            }
        }
        gone
    }

    /// Goes on with a render that was lent before this process started, or by another node, unless
    /// someone else has taken it up.
    async fn take_over(self: &Arc<Self>, worker: Uuid, held: Held) -> Result<bool, StoreError> {
        // On a task of its own: whoever asked may leave in the middle, and the commit come.
        let lessor = self.clone();
        let resumed = tokio::spawn(async move {
            let leases = lessor.farm.leases();
            if !leases.adopt(worker, held) {
                return Ok(false);
            }
            let resumed = lessor.farm.resume(held.row, held.lease).await;
            if matches!(resumed, Ok(true)) {
                return Ok(leases.begun(held.lease, lessor.time));
            }
            leases.end(worker, held.lease);
            resumed
        });
        // A panic has been told.
        resumed.await.unwrap_or(Ok(false))
    }

    /// Takes tasks back. What the store cannot note now it will when the lease runs out.
    pub async fn take_back(self: &Arc<Self>, worker: Uuid, returned: Vec<Returned>) {
        let back = returned.into_iter().map(|task| {
            let lessor = self.clone();
            // On tasks of their own: whoever asked may leave in the middle, when the lease has ended.
            tokio::spawn(async move { lessor.take_one_back(worker, task).await })
        });
        // A panic has been told.
        join_all(back.collect::<Vec<_>>()).await;
    }

    async fn take_one_back(&self, worker: Uuid, task: Returned) {
        let Some(row) = self.farm.leases().end(worker, task.lease) else {
            return;
        };
        let noted = match task.failure {
            Some(reason) => self.farm.fail(row, reason).await,
            None => self.farm.give_back(row).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot take back a task");
            self.lose_later(row);
        }
    }

    /// A worker leaves: takes back whatever it still had.
    pub async fn dismiss(self: &Arc<Self>, worker: Uuid) {
        self.take_all_back(worker).await;
        if let Some(name) = self.roster.leave(worker) {
            tracing::info!(worker = name, "a worker leaves");
        }
    }

    /// This process ends: what is lent waits again, which is no crash. The workers go on, and take
    /// it up anew when they reach the next one. Where there are several nodes they go to another at
    /// once: until then nobody else should begin what they are at.
    pub async fn close(self: &Arc<Self>) {
        if self.farm.is_shared() {
            return;
        }
        for worker in self.farm.leases().workers() {
            self.take_all_back(worker).await;
        }
    }

    async fn take_all_back(self: &Arc<Self>, worker: Uuid) {
        let all = self.farm.leases().of(worker).into_iter();
        let all = all.map(|lease| Returned {
            lease,
            failure: None,
        });
        self.take_back(worker, all.collect()).await;
    }

    /// Returns a task to the queue, however often that has to be tried.
    fn lose_later(&self, row: RowId) {
        let farm = self.farm.clone();
        self.runtime.spawn(async move {
            while farm.give_back(row).await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

/// How [`Lessor::claim`] ended.
pub struct Claimed {
    pub lent: Lent,
    /// Done, failed, or begun by others.
    pub settled: Vec<Uuid>,
    pub unknown: Vec<Uuid>,
}

/// Tasks between the queue and their leases; back in the queue when dropped.
struct Taken {
    farm: Arc<Farm>,
    tasks: Vec<Task>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        for task in &self.tasks {
            self.farm.put_back(task.row);
        }
    }
}

/// Tasks that have been begun for a worker; given back when dropped before they are sent.
pub struct Lent {
    tasks: Vec<(Uuid, Task)>,
    worker: Uuid,
    lessor: Arc<Lessor>,
    sent: bool,
}

impl Lent {
    /// The tasks with their leases.
    pub fn tasks(&self) -> &[(Uuid, Task)] {
        &self.tasks
    }

    pub fn sent(mut self) {
        self.sent = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.sent || self.tasks.is_empty() {
            return;
        }
        let (lessor, worker) = (self.lessor.clone(), self.worker);
        let back = self.tasks.iter().map(|(lease, _)| Returned {
            lease: *lease,
            failure: None,
        });
        let back: Vec<_> = back.collect();
        self.lessor
            .runtime
            .spawn(async move { lessor.take_back(worker, back).await });
    }
}

/// Returns what is lent to workers that are silent, without end.
async fn sweep(farm: Arc<Farm>, lessor: Weak<Lessor>) {
    let leases = farm.leases();
    loop {
        leases.any().await;
        let begun = Instant::now();
        tokio::time::sleep(LATE).await;
        if lessor.strong_count() == 0 {
            return;
        }
        // Stopped by a debugger, say, or starved: the workers could not renew meanwhile either.
        let stood_still = begun.elapsed().saturating_sub(LATE);
        if stood_still > LATE {
            leases.prolong(stood_still);
        }
        for lease in leases.expire() {
            tracing::warn!(uuid = %lease.uuid, worker = %lease.worker, "a worker is silent: its task waits again");
            let farm = farm.clone();
            tokio::spawn(async move {
                while let Err(error) = farm.lose(lease.row).await {
                    tracing::warn!(uuid = %lease.uuid, %error, "cannot return a task; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
    }
}
