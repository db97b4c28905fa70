//! `GET /fractal/{uuid}?thumb=256`: pictures as small as the gallery shows them, made once.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use super::outgoing::FOREVER;
use crate::store::Lookup;
use crate::studio::{Cache, Shelf, Studio, thumb};

/// Bytes of thumbnails that are kept in memory.
const KEPT: usize = 32 << 20;

/// And on disk, for other lives of this node: some ten thousand.
const ON_DISK: u64 = 128 << 20;

/// Sizes there are: any other would be made for one client alone.
pub const SIDES: [u32; 3] = [128, 256, 512];

/// Known by their picture, whatever fractals have it.
pub struct Thumbs {
    kept: Cache<(String, u32)>,
    shelf: Arc<Shelf>,
    studio: Studio,
}

impl Thumbs {
    pub fn new(studio: Studio, folder: PathBuf) -> Thumbs {
        Thumbs {
            kept: Cache::new(KEPT),
            shelf: Arc::new(Shelf::new(folder, ON_DISK)),
            studio,
        }
    }
}

/// The size that a query asks for, if any.
pub fn asked(parameters: &[(String, String)]) -> Result<Option<u32>, ApiError> {
    let Some((_, value)) = parameters.iter().rfind(|(name, _)| name == "thumb") else {
        return Ok(None);
    };
    let side = value.parse().ok().filter(|side| SIDES.contains(side));
    side.map(Some).ok_or_else(|| {
        let sides = SIDES.map(|side| side.to_string()).join(", ");
        ApiError::refused("thumb", format!("thumb must be one of {sides}"))
    })
}

/// The picture of a fractal, made smaller.
pub async fn answer(
    api: &Api,
    uuid: Uuid,
    side: u32,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let fractal = api.farm.get(uuid).await?;
    let fractal = fractal.ok_or_else(|| ApiError::no_fractal(uuid))?;
    let Some(outcome) = fractal.outcome else {
        return Err(ApiError::no_image(fractal.status));
    };
    let tag = format!("\"{}-{side}\"", outcome.checksum);
    let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
    let common = [
        (header::CACHE_CONTROL, FOREVER),
        (header::ETAG, tag.clone()),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let png = small(api, uuid, (outcome.checksum, side)).await?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
    Ok((common, kind, png).into_response())
}

async fn small(api: &Api, uuid: Uuid, key: (String, u32)) -> Result<Bytes, ApiError> {
    let Thumbs {
        kept,
        shelf,
        studio,
    } = &*api.thumbs;
    if let Some(png) = kept.get(&key) {
        return Ok(png);
    }
    let name = format!("{}-{}", key.0, key.1);
    let found = tokio::task::spawn_blocking({
        let (shelf, name) = (shelf.clone(), name.clone());
        move || shelf.get(&name)
    });
    if let Ok(Some(png)) = found.await {
        kept.put(key, png.clone());
        return Ok(png);
    }
    // Those that wait for their turn hold the whole picture.
    let whole = match api.outgoing.read(&api.farm, uuid, None).await? {
        Lookup::Image(image) => image.png,
        // It was there a moment ago.
        Lookup::Same | Lookup::NoImage(_) | Lookup::NoFractal => {
            return Err(ApiError::no_fractal(uuid));
        }
    };
    let (side, shelf) = (key.1, shelf.clone());
    let png = studio.make(
        || kept.get(&key),
        move |cancel| {
            let png = thumb::shrink(&whole, side, cancel)?;
            // A picture that is its own thumbnail is in the store already. Without a place on disk
            // thumbnails are made again in the next life, and that is all.
            if png.len() < whole.len()
                && let Err(error) = shelf.put(&name, &png)
            {
                tracing::debug!(%error, "a thumbnail cannot be kept on disk");
            }
            Ok::<_, thumb::ThumbError>(Bytes::from(png))
        },
    );
    let png = png.await?;
    kept.put(key, png.clone());
    Ok(png)
}
