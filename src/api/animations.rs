//! `/v1/animations`: create, list, look at, fetch as one file, cancel.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::access::Denied;
use super::body::{Fields, Unread, parse_uuid, small_json_object};
use super::error::{ApiError, Unavailable, Unkept};
use super::fractals::unknown_field;
use super::{Api, reel};
use crate::animation::{AnimationDraft, AnimationId, Course};
use crate::fractal::{Constant, Draft, Fractal, Palette, Plane};
use crate::store::Search;
use crate::store::search::{Column, Comparison, Direction, Filter, Value};
use crate::wire::ErrorDoc;
use crate::wire::animation::{AnimationDoc, AnimationsDoc, NewAnimationDoc};

/// Frames a second where nobody says how many.
const FPS: i64 = 25;

/// Animations of a list.
const LISTED: u64 = 12;

/// The uuids of first frames, and of hardly anything else.
const FIRST_FRAMES: &str = "______________8%001";

/// Accept an animation: all its frames, or none of them. They are rendered as fractals are, and are
/// fractals in everything else.
#[utoipa::path(post, path = "/v1/animations", tag = "animations",
    request_body = NewAnimationDoc,
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 201, description = "accepted and kept", body = AnimationDoc,
         headers(("Location" = String, description = "address of the animation"))),
        (status = 400, description = "not JSON, a field missing or unknown, or an id that is there already", body = ErrorDoc),
        Unread,
        (status = 422, description = "a field's value is refused", body = ErrorDoc),
        (status = 429, description = "too many fractals wait already for all frames to wait, too", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let fields = small_json_object(&headers, body).await?;
    let (id, draft) = new_animation(fields)?;
    let (id, frames) = api.farm.animate(id, &draft).await?;
    let doc = document(&api, id, &frames)?;
    let path = format!("/v1/animations/{}", id.uuid());
    let location = api.way.location(&headers, &path);
    Ok((StatusCode::CREATED, location, Json(doc)).into_response())
}

fn new_animation(mut fields: Fields) -> Result<(Option<Uuid>, AnimationDraft), ApiError> {
    let id = fields.optional_uuid("id")?;
    let plane = Plane {
        xa: fields.number("xa")?,
        xb: fields.number("xb")?,
        ya: fields.number("ya")?,
        yb: fields.number("yb")?,
    };
    let c = Constant {
        re: fields.number("c_re")?,
        im: fields.number("c_im")?,
    };
    let to = Plane {
        xa: fields.optional_number("to_xa")?.unwrap_or(plane.xa),
        xb: fields.optional_number("to_xb")?.unwrap_or(plane.xb),
        ya: fields.optional_number("to_ya")?.unwrap_or(plane.ya),
        yb: fields.optional_number("to_yb")?.unwrap_or(plane.yb),
    };
    let course = course(&mut fields, c)?;
    if to == plane && course == Course::Line(c) {
        let message = "the path leads nowhere: name to_c_re and to_c_im, around_re and around_im, \
                       or to_xa, to_xb, to_ya and to_yb";
        return Err(ApiError::refused("to_c_re", message));
    }
    let draft = AnimationDraft {
        frames: fields.integer("frames")?,
        fps: fields.optional_integer("fps")?.unwrap_or(FPS),
        first: Draft {
            width: fields.integer("width")?,
            height: fields.integer("height")?,
            iterations: fields.integer("iterations")?,
            plane,
            c_re: Some(c.re),
            c_im: Some(c.im),
            palette: match fields.optional_text("palette")? {
                Some(name) => name.parse()?,
                None => Palette::default(),
            },
        },
        to,
        course,
    };
    match fields.names().next() {
        Some(unknown) => Err(unknown_field(unknown)),
        None => Ok((id, draft)),
    }
}

fn course(fields: &mut Fields, c: Constant) -> Result<Course, ApiError> {
    let to_re = fields.optional_number("to_c_re")?;
    let to_im = fields.optional_number("to_c_im")?;
    let around_re = fields.optional_number("around_re")?;
    let around_im = fields.optional_number("around_im")?;
    match (around_re, around_im) {
        (None, None) => Ok(Course::Line(Constant {
            re: to_re.unwrap_or(c.re),
            im: to_im.unwrap_or(c.im),
        })),
        _ if to_re.or(to_im).is_some() => {
            let message = "around_re and around_im lead round, to_c_re and to_c_im straight on: \
                           name the ones or the others";
            Err(ApiError::refused("around_re", message))
        }
        (Some(re), Some(im)) => Ok(Course::Circle(Constant { re, im })),
        (Some(_), None) => Err(half("around_im", "around_re")),
        (None, Some(_)) => Err(half("around_re", "around_im")),
    }
}

fn half(missing: &str, given: &str) -> ApiError {
    let message = format!("{missing} is missing, but must be given with {given}");
    ApiError::refused(missing, message)
}

/// The newest animations: a dozen at most.
#[utoipa::path(get, path = "/v1/animations", tag = "animations",
    responses(
        (status = 200, description = "newest first; one whose first frame was deleted is not among them", body = AnimationsDoc),
        Unavailable,
    ))]
pub async fn list(State(api): State<Api>) -> Result<Json<AnimationsDoc>, ApiError> {
    let pattern = Value::Text(FIRST_FRAMES.into());
    let search = Search {
        filter: Filter::Value(Column::Uuid, Comparison::Like, pattern),
        order: vec![(Column::CreatedAt, Direction::Descending)],
        offset: 0,
        limit: Some(LISTED),
    };
    let mut animations = Vec::new();
    for first in api.farm.search(search, 0, LISTED).await?.fractals {
        let Some((id, 1)) = AnimationId::of_frame(first.uuid) else {
            continue;
        };
        // Cancelled meanwhile, it is not there.
        if let Ok(doc) = document(&api, id, &api.farm.frames(id).await?) {
            animations.push(doc);
        }
    }
    Ok(Json(AnimationsDoc { animations }))
}

/// An animation, or with `.png` behind its id all of it as a PNG file that moves (APNG), or with
/// `.zip` its frames as numbered files.
#[utoipa::path(get, path = "/v1/animations/{id}", tag = "animations",
    params(("id" = String, Path, description = "its id, or that and `.png` or `.zip`",
            example = "0f8fad5b-d9cb-803c-8ca5-708677289000.png")),
    responses(
        (status = 200, description = "the animation", content(
            (AnimationDoc = "application/json"),
            (Vec<u8> = "image/png"),
            (Vec<u8> = "application/zip"),
        )),
        (status = 304, description = "the client has the file already"),
        (status = 404, description = "there is none, or not all frames are done", body = ErrorDoc),
        (status = 422, description = "its frames have more than 4 GB: too much for a ZIP file", body = ErrorDoc),
        Unavailable,
    ))]
pub async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (uuid, kind) = match name.rsplit_once('.') {
        Some((uuid, "png")) => (uuid, Some(reel::Kind::Png)),
        Some((uuid, "zip")) => (uuid, Some(reel::Kind::Zip)),
        _ => (name.as_str(), None),
    };
    let id = named(uuid)?;
    let frames = api.farm.frames(id).await?;
    match kind {
        None => Ok(Json(document(&api, id, &frames)?).into_response()),
        Some(kind) => reel::answer(&api, kind, id, frames, &headers),
    }
}

/// Delete an animation, that is all its frames. Those that wait or are being rendered no longer are.
#[utoipa::path(delete, path = "/v1/animations/{id}", tag = "animations",
    params(("id" = Uuid, Path)),
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 204, description = "gone"),
        (status = 404, description = "there is none", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn delete(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    match api.farm.cancel(named(&name)?).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(none(&name)),
    }
}

/// The animation that an address names.
fn named(name: &str) -> Result<AnimationId, ApiError> {
    let id = parse_uuid(name).and_then(AnimationId::of);
    id.ok_or_else(|| none(name))
}

fn none(name: impl std::fmt::Display) -> ApiError {
    let message = format!("there is no animation {name}");
    ApiError::new(StatusCode::NOT_FOUND, message)
}

/// The animation as its frames' rows say, and how far their renders are.
fn document(api: &Api, id: AnimationId, frames: &[Fractal]) -> Result<AnimationDoc, ApiError> {
    let rendered = |frame: &Fractal| api.farm.fraction(frame.row);
    AnimationDoc::new(id, frames, rendered).ok_or_else(|| none(id.uuid()))
}
