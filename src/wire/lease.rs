//! What workers on other machines and the farm say to each other.
//!
//! Fields may be added: either side leaves out what it does not know. Where that is not enough,
//! [`PROTOCOL`] is raised.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::fractal::{Constant, FractalSpec, Palette, Plane};
use crate::leases::Held;
use crate::queue::Task;
use crate::roster::{Announced, Crew, Worker};

/// What this version speaks.
pub const PROTOCOL: u32 = 1;

/// The oldest that a farm of this version still understands.
pub const OLDEST_PROTOCOL: u32 = 1;

/// A worker, as it announces itself with each request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnnounceDoc {
    /// Of the process.
    pub id: Uuid,
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Of these documents.
    pub protocol: u32,
    /// Pictures it renders at a time.
    pub slots: u32,
    /// Pictures rendered since it started.
    pub done: u64,
    /// Pictures a second over the last minute.
    pub rate: f64,
}

/// What `POST /v1/leases` takes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PollDoc {
    pub worker: AnnounceDoc,
    /// Tasks that it can begin with at once.
    pub want: u32,
    /// Further ones it would take, so as not to ask for each, if there are plenty.
    #[serde(default)]
    pub spare: u32,
    /// Seconds to wait for the first, 25 at most.
    pub wait: f64,
}

/// Tasks that are lent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LentDoc {
    /// They go to others when they are not renewed for so long.
    pub lease_seconds: f64,
    pub tasks: Vec<TaskDoc>,
}

/// What `POST /v1/leases/claim` takes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClaimDoc {
    pub worker: AnnounceDoc,
    /// Fractals that a message broker has handed to it, 1024 at most.
    pub uuids: Vec<Uuid>,
}

/// What a claim brought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClaimedDoc {
    /// They go to others when they are not renewed for so long.
    pub lease_seconds: f64,
    pub tasks: Vec<TaskDoc>,
    /// Nothing is to be done for these: done, failed, being rendered by others, or deleted. Whatever
    /// waits again is handed out by a message of its own.
    pub settled: Vec<Uuid>,
    /// There is no such fractal, or not any more.
    pub unknown: Vec<Uuid>,
}

/// A picture to render.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskDoc {
    pub lease: Uuid,
    /// The fractal's row, to be said with the image: its uuid may be another fractal's by then.
    pub row: i64,
    pub uuid: Uuid,
    pub width: u32,
    pub height: u32,
    pub iterations: u32,
    pub xa: f64,
    pub xb: f64,
    pub ya: f64,
    pub yb: f64,
    pub c_re: f64,
    pub c_im: f64,
    pub palette: Palette,
}

impl TaskDoc {
    pub fn new(lease: Uuid, task: &Task) -> TaskDoc {
        let spec = task.spec;
        TaskDoc {
            lease,
            row: task.row,
            uuid: task.uuid,
            width: spec.width,
            height: spec.height,
            iterations: spec.iterations,
            xa: spec.plane.xa,
            xb: spec.plane.xb,
            ya: spec.plane.ya,
            yb: spec.plane.yb,
            c_re: spec.c.re,
            c_im: spec.c.im,
            palette: spec.palette,
        }
    }

    pub fn task(&self) -> Task {
        Task {
            row: self.row,
            uuid: self.uuid,
            spec: FractalSpec {
                width: self.width,
                height: self.height,
                iterations: self.iterations,
                plane: Plane {
                    xa: self.xa,
                    xb: self.xb,
                    ya: self.ya,
                    yb: self.yb,
                },
                c: Constant {
                    re: self.c_re,
                    im: self.c_im,
                },
                palette: self.palette,
            },
            cancel: Default::default(),
        }
    }
}

/// What `POST /v1/leases/renew` takes: all that a worker holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenewDoc {
    pub worker: AnnounceDoc,
    pub leases: Vec<HeldDoc>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldDoc {
    pub lease: Uuid,
    pub row: i64,
    pub uuid: Uuid,
    /// It has been begun, and is not delivered yet.
    pub rendering: bool,
    /// The share of the picture that is rendered, 0 to 1; null while that is not worth a word.
    pub fraction: Option<f64>,
}

impl From<&HeldDoc> for Held {
    fn from(doc: &HeldDoc) -> Held {
        Held {
            lease: doc.lease,
            row: doc.row,
            uuid: doc.uuid,
            rendering: doc.rendering,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenewedDoc {
    /// Leases that have ended: deleted, finished elsewhere, or run out. Stop rendering these.
    pub gone: Vec<Uuid>,
    /// When to renew again.
    pub next_seconds: f64,
}

/// What `POST /v1/leases/return` takes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReturnDoc {
    /// The worker's id.
    pub worker: Uuid,
    pub leases: Vec<ReturnedDoc>,
    /// The worker leaves for good.
    #[serde(default)]
    pub leaves: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReturnedDoc {
    pub lease: Uuid,
    /// Why rendering failed; null where it was not carried out.
    pub failure: Option<String>,
}

/// A worker of the farm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerDoc {
    /// Of the process.
    pub id: Uuid,
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Pictures it renders at a time.
    pub slots: u32,
    /// The fractals that it is rendering.
    pub rendering: Vec<Uuid>,
    /// Pictures rendered since it started.
    pub done: u64,
    /// Pictures a second over the last minute.
    pub rate: f64,
    /// Seconds since it was last heard of.
    pub silent: f64,
}

impl From<Worker> for WorkerDoc {
    fn from(worker: Worker) -> WorkerDoc {
        let Announced {
            id,
            name,
            version,
            slots,
            done,
            rate,
        } = worker.announced;
        WorkerDoc {
            id,
            name,
            version,
            slots,
            rendering: worker.rendering,
            done,
            rate: (rate * 100.0).round() / 100.0,
            silent: (worker.silent.as_secs_f64() * 10.0).round() / 10.0,
        }
    }
}

impl From<WorkerDoc> for Worker {
    fn from(doc: WorkerDoc) -> Worker {
        let silent = Duration::try_from_secs_f64(doc.silent.max(0.0));
        Worker {
            announced: Announced {
                id: doc.id,
                name: doc.name,
                version: doc.version,
                slots: doc.slots,
                done: doc.done,
                rate: doc.rate,
            },
            rendering: doc.rendering,
            // For ever, if it is more than there are words for; but room to add to it.
            silent: silent.unwrap_or(Duration::MAX / 2),
        }
    }
}

/// The workers of an API node, as it tells the others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CrewDoc {
    pub count: u64,
    /// Pictures that they render at a time.
    pub slots: u64,
    /// The first thousand by name.
    pub workers: Vec<WorkerDoc>,
}

impl From<CrewDoc> for Crew {
    fn from(doc: CrewDoc) -> Crew {
        Crew {
            count: doc.count,
            slots: doc.slots,
            workers: doc.workers.into_iter().map(Worker::from).collect(),
        }
    }
}

/// The workers of the farm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkersDoc {
    /// How many there are.
    pub num_results: u64,
    /// The first thousand by name; of several API nodes, of the first thousand of each.
    pub objects: Vec<WorkerDoc>,
}
