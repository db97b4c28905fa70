//! The JSON documents of HTTP v1, for the server that sends them and the client that reads them.

pub mod animation;
pub mod lease;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::fractal::{Fractal, Palette, Status};
use crate::store::Counts;

/// A fractal. The first thirteen fields are the original's; its image is at `/fractal/{uuid}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FractalDoc {
    /// SHA-256 of the PNG file, in lower-case hexadecimal; null until it is done.
    pub checksum: Option<String>,
    /// Seconds it took to render.
    pub duration: Option<f64>,
    /// Name of the host that rendered it.
    pub generated_by: Option<String>,
    /// Rows.
    pub height: u32,
    /// Most escape steps a pixel is followed for.
    pub iterations: u32,
    /// Bytes of the PNG file.
    pub size: Option<u64>,
    /// Always null; part of the original's documents.
    pub url: Option<String>,
    pub uuid: Uuid,
    /// Pixels in a row.
    pub width: u32,
    /// Real part at the left edge.
    pub xa: f64,
    /// Real part at the right edge.
    pub xb: f64,
    /// Imaginary part at the top.
    pub ya: f64,
    /// Imaginary part at the bottom.
    pub yb: f64,
    /// Real part of the constant of z² + c.
    pub c_re: f64,
    /// Imaginary part of the constant.
    pub c_im: f64,
    pub palette: Palette,
    pub status: Status,
    /// While it is running: the share of the picture that is rendered, 0 to 1. Null when it is not
    /// running, or has been for less than half a second.
    pub progress: Option<f64>,
    /// How often rendering was begun, but for times when the whole process ended.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was accepted: RFC 3339, UTC, milliseconds.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was done or failed.
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
}

impl From<Fractal> for FractalDoc {
    fn from(fractal: Fractal) -> Self {
        let spec = fractal.spec;
        let (checksum, size, duration, generated_by) = match fractal.outcome {
            Some(outcome) => (
                Some(outcome.checksum),
                Some(outcome.size),
                Some(outcome.duration),
                Some(outcome.generated_by),
            ),
            None => Default::default(),
        };
        FractalDoc {
            checksum,
            duration,
            generated_by,
            height: spec.height,
            iterations: spec.iterations,
            size,
            url: None,
            uuid: fractal.uuid,
            width: spec.width,
            xa: spec.plane.xa,
            xb: spec.plane.xb,
            ya: spec.plane.ya,
            yb: spec.plane.yb,
            c_re: spec.c.re,
            c_im: spec.c.im,
            palette: spec.palette,
            status: fractal.status,
            progress: None,
            attempts: fractal.attempts,
            error: fractal.error,
            created_at: format!("{:.3}", fractal.created_at),
            finished_at: fractal.finished_at.map(|time| format!("{time:.3}")),
        }
    }
}

/// How much of a running fractal's picture is rendered: event `progress`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressDoc {
    pub uuid: Uuid,
    /// 0 to 1.
    pub fraction: f64,
}

/// What `POST /v1/fractal` takes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewFractalDoc {
    /// Left out, the server makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    pub width: i64,
    pub height: i64,
    pub iterations: i64,
    pub xa: f64,
    pub xb: f64,
    pub ya: f64,
    pub yb: f64,
    /// With `c_im`, or neither: then the server draws them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_re: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_im: Option<f64>,
    /// Left out, it is the classic one.
    #[serde(default)]
    pub palette: Palette,
}

/// What a worker of the original sends with `PUT /v1/fractal/{uuid}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ResultDoc {
    /// The PNG file in base64.
    #[schema(content_encoding = "base64")]
    pub image: String,
    /// Seconds it took to render.
    pub duration: f64,
    /// Name of the host that rendered it.
    pub generated_by: String,
    /// SHA-256 of the PNG file; checked where given.
    pub checksum: Option<String>,
    /// Bytes of the PNG file; checked where given.
    pub size: Option<u64>,
    /// If given, that of the address.
    pub uuid: Option<Uuid>,
}

/// What `POST /v1/import` takes: a fractal as `POST /v1/fractal` does, and its image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportDoc {
    /// With its uuid.
    #[serde(flatten)]
    pub fractal: NewFractalDoc,
    /// The PNG file in base64.
    #[schema(content_encoding = "base64")]
    pub image: String,
    /// Seconds it took to render.
    pub duration: f64,
    /// Name of the host that rendered it.
    pub generated_by: String,
    /// SHA-256 of the PNG file; checked where given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Bytes of the PNG file; checked where given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListDoc {
    /// How many the whole search finds.
    pub num_results: u64,
    pub objects: Vec<FractalDoc>,
    pub page: u64,
    pub total_pages: u64,
}

/// Every error's body.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDoc {
    pub message: String,
    /// The field of the request that is at fault, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where an image is not there yet: how the fractal stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// How many fractals there are of each status: event `queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountsDoc {
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
}

/// What `GET /readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyDoc {
    #[serde(flatten)]
    pub counts: CountsDoc,
    /// Where RabbitMQ hands out the tasks: whether there is a connection to it. Without one fractals
    /// are accepted all the same, and published once there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_connected: Option<bool>,
    /// Of faafo on this node; older ones do not tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl From<Counts> for CountsDoc {
    fn from(counts: Counts) -> Self {
        CountsDoc {
            queued: counts.queued,
            running: counts.running,
            done: counts.done,
            failed: counts.failed,
        }
    }
}

/// How the farm does: `GET /v1/farm`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FarmDoc {
    pub counts: CountsDoc,
    /// Pictures that all workers together render at a time.
    pub slots: u64,
    /// Pictures a second over the last minute.
    pub rate: f64,
    /// Since the oldest waiting fractal was accepted; null if none waits.
    pub oldest_waiting_seconds: Option<f64>,
    /// Time between two samples; the last one is of the time since the one before.
    pub interval_seconds: f64,
    /// Of the last hour, oldest first.
    pub samples: Vec<SampleDoc>,
}

/// What the farm did between two moments.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SampleDoc {
    /// The later one: RFC 3339, UTC, milliseconds.
    #[schema(format = DateTime)]
    pub at: String,
    /// Fractals that waited at its end, and that were being rendered.
    pub queued: u64,
    pub running: u64,
    /// Fractals that became so in this time.
    pub done: u64,
    pub failed: u64,
}

/// Why a fractal waits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaitDoc {
    /// For people.
    pub reason: String,
    /// Fractals that have waited longer.
    pub before: u64,
    /// Pictures that all workers together render at a time.
    pub slots: u64,
    /// About how long until it is done, if pictures take as long as those of late; null where nothing
    /// can be said.
    pub seconds: Option<f64>,
}
