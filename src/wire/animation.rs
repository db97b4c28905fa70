//! The documents of `/v1/animations`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::CountsDoc;
use crate::animation::AnimationId;
use crate::fractal::{Fractal, Palette, Status};

/// What `POST /v1/animations` takes: the first frame, as a fractal is described, and where the path
/// leads from there. What the `to_...` fields leave out stays as it is in the first frame.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewAnimationDoc {
    /// Of the form that the server makes, and for as many frames a second; left out, it makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// At least 2.
    pub frames: i64,
    /// Frames a second, 1 to 100; left out, 25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<i64>,
    pub width: i64,
    pub height: i64,
    pub iterations: i64,
    pub xa: f64,
    pub xb: f64,
    pub ya: f64,
    pub yb: f64,
    pub c_re: f64,
    pub c_im: f64,
    /// Left out, it is the classic one.
    #[serde(default)]
    pub palette: Palette,
    /// c of the last frame: it goes straight there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_c_re: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_c_im: Option<f64>,
    /// Instead: c goes once round this point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub around_re: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub around_im: Option<f64>,
    /// What the last frame shows of the plane: from frame to frame it grows by the same factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_xa: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_xb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ya: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_yb: Option<f64>,
}

/// Where an animation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnimationStatus {
    /// No frame has been begun.
    Queued,
    Running,
    /// All frames are.
    Done,
    /// Nothing goes on, and a frame has failed: `/v1/fractal/UUID/retry` gives it another chance.
    Failed,
    /// Nothing goes on, and frames were deleted.
    Incomplete,
}

/// An animation. Its frames are fractals: the uuid of each is the id with the frame's number, from 1,
/// in its last three hexadecimal digits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnimationDoc {
    pub id: Uuid,
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    pub status: AnimationStatus,
    /// The share of all frames that is rendered, 0 to 1.
    pub progress: f64,
    /// How many of the frames are so.
    pub counts: CountsDoc,
    pub width: u32,
    pub height: u32,
    pub iterations: u32,
    pub palette: Palette,
    /// Bytes of the images of all frames together, so far.
    pub size: u64,
    /// Why a frame failed, if one did.
    pub error: Option<String>,
    /// When it was accepted: RFC 3339, UTC, milliseconds.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When all frames were done.
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
}

/// The newest animations.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnimationsDoc {
    pub animations: Vec<AnimationDoc>,
}

impl AnimationDoc {
    /// `rendered` tells of a running frame how much of it is. `None`: there are no frames.
    pub fn new(
        id: AnimationId,
        frames: &[Fractal],
        rendered: impl Fn(&Fractal) -> Option<f64>,
    ) -> Option<AnimationDoc> {
        let first = frames.first()?;
        let count =
            |status: Status| frames.iter().filter(|frame| frame.status == status).count() as u64;
        let counts = CountsDoc {
            queued: count(Status::Queued),
            running: count(Status::Running),
            done: count(Status::Done),
            failed: count(Status::Failed),
        };
        let all = u64::from(id.frames());
        let status = match counts {
            CountsDoc { done, .. } if done == all => AnimationStatus::Done,
            CountsDoc { queued, .. } if queued == frames.len() as u64 => AnimationStatus::Queued,
            CountsDoc {
                queued, running, ..
            } if queued + running > 0 => AnimationStatus::Running,
            CountsDoc { failed: 1.., .. } => AnimationStatus::Failed,
            _ => AnimationStatus::Incomplete,
        };
        let running = frames.iter().filter(|f| f.status == Status::Running);
        let running: f64 = running.filter_map(rendered).sum();
        let last = frames.iter().filter_map(|frame| frame.finished_at).max();
        let outcomes = frames.iter().filter_map(|frame| frame.outcome.as_ref());
        let failed = frames.iter().find(|frame| frame.status == Status::Failed);
        Some(AnimationDoc {
            id: id.uuid(),
            frames: id.frames(),
            fps: id.fps(),
            status,
            progress: ((counts.done as f64 + running) / all as f64).min(1.0),
            counts,
            width: first.spec.width,
            height: first.spec.height,
            iterations: first.spec.iterations,
            palette: first.spec.palette,
            size: outcomes.map(|outcome| outcome.size).sum(),
            error: failed.and_then(|frame| frame.error.clone()),
            created_at: format!("{:.3}", first.created_at),
            finished_at: last
                .filter(|_| status == AnimationStatus::Done)
                .map(|time| format!("{time:.3}")),
        })
    }
}
