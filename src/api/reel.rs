//! All frames of an animation in one file, sent as they are read: never more than one is in memory.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::Api;
use super::archive::{self, Entry};
use super::error::ApiError;
use super::outgoing::FOREVER;
use crate::animation::AnimationId;
use crate::apng::Apng;
use crate::digest::checksum;
use crate::fractal::{Fractal, FractalSpec, Status};
use crate::render::{head, repaint};
use crate::store::{Image, Lookup};
use crate::zip::MOST_BYTES;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Png,
    Zip,
}

/// Why a file ends in the middle: its client sees the connection break.
type Broken = Box<dyn std::error::Error + Send + Sync>;

pub fn answer(
    api: &Api,
    kind: Kind,
    id: AnimationId,
    frames: Vec<Fractal>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let all = id.frames() as usize;
    let done = frames.iter().filter(|frame| frame.status == Status::Done);
    let done = done.count();
    if done < all {
        let message = format!("{done} of {all} frames are done: there is no file of them so far");
        return Err(ApiError::new(StatusCode::NOT_FOUND, message).retry_after(1));
    }
    let tag = tag(kind, &frames);
    let common = [
        (header::CACHE_CONTROL, FOREVER),
        (header::ETAG, tag.clone()),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let (kind, body) = match kind {
        Kind::Png => ("image/png", moving(api, id, frames)?),
        Kind::Zip => ("application/zip", numbered(api, frames)?),
    };
    Ok((common, [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// Stands for the frames, and what is made of them.
fn tag(kind: Kind, frames: &[Fractal]) -> HeaderValue {
    let mut named = format!("{} {}", env!("CARGO_PKG_VERSION"), kind == Kind::Zip);
    for frame in frames {
        named.push_str(&frame.uuid.to_string());
        named.push_str(frame.outcome.as_ref().map_or("", |it| &it.checksum));
    }
    let tag = &checksum(named.as_bytes())[..32];
    HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn numbered(api: &Api, frames: Vec<Fractal>) -> Result<Body, ApiError> {
    let bytes: u64 = frames.iter().map(archive::size).sum();
    if bytes > MOST_BYTES {
        let message = "the frames have more than 4 GB together: fetch them one by one";
        return Err(ApiError::refused("id", message));
    }
    let name = |(i, fractal)| Entry {
        name: format!("frame-{:04}.png", i + 1),
        fractal,
    };
    let entries = frames.into_iter().enumerate().map(name).collect();
    Ok(archive::body(api, entries))
}

fn moving(api: &Api, id: AnimationId, frames: Vec<Fractal>) -> Result<Body, ApiError> {
    let Some(spec) = frames.first().map(|frame| frame.spec) else {
        return Err(ApiError::bad_request("an animation has frames"));
    };
    // Writing to memory does not fail.
    let head = head(&spec).unwrap_or_default();
    let size = (spec.width, spec.height);
    let reel = Reel {
        api: api.clone(),
        frames: frames.into_iter(),
        apng: Some(Apng::new(head, size, id.frames(), id.fps() as u16)),
    };
    Ok(Body::from_stream(stream::unfold(
        reel,
        |mut reel| async move {
            let piece = reel.piece().await.transpose()?;
            Some((piece, reel))
        },
    )))
}

struct Reel {
    api: Api,
    frames: std::vec::IntoIter<Fractal>,
    /// `None`: its end is sent.
    apng: Option<Apng>,
}

impl Reel {
    async fn piece(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(mut apng) = self.apng.take() else {
            return Ok(None);
        };
        let Some(frame) = self.frames.next() else {
            return Ok(Some(Apng::end().into()));
        };
        // Room among those on the way first: a client that reads slowly holds one image.
        let room = self.api.outgoing.room(archive::size(&frame)).await;
        let Lookup::Image(image) = self.api.farm.image(frame.uuid, None).await? else {
            return Err(format!("frame {} was deleted", frame.uuid).into());
        };
        let spec = frame.spec;
        let made = tokio::task::spawn_blocking(move || {
            let piece = placed(&mut apng, &image, &spec)?;
            Ok::<_, Broken>((apng, piece))
        });
        let (apng, piece) = made.await?.inspect_err(|error| {
            tracing::error!(%error, uuid = %frame.uuid, "an animation cannot be put together");
        })?;
        self.apng = Some(apng);
        Ok(Some(room.hold(piece.into())))
    }
}

/// The image as the next frame, in the colours that all of them have.
fn placed(apng: &mut Apng, image: &Image, spec: &FractalSpec) -> Result<Vec<u8>, Broken> {
    if apng.takes(&image.png) {
        return Ok(apng.frame(&image.png)?);
    }
    Ok(apng.frame(&repaint(&image.png, spec)?)?)
}
