//! `GET /fractal/{uuid}`: the image, exactly as it was delivered.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use super::fractals::in_path;
use super::thumbs;
use crate::store::Lookup;
use crate::wire::ErrorDoc;

/// An image never changes: whoever has it need not ask again.
pub const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Images that are being sent take this much memory in all: clients that read slowly hold theirs.
pub const KILOBYTES_ON_THE_WAY: usize = 256 << 10;

/// Images that are read from the store at once, whose size is not known until they are there: twice
/// what keeps a store's connections busy.
pub const READS: usize = 16;

/// The image as a PNG file.
#[utoipa::path(get, path = "/fractal/{uuid}", tag = "images",
    params(
        ("uuid" = Uuid, Path),
        ("thumb" = Option<u32>, Query, description = "made smaller, so many pixels on the shorter side: 128, 256 or 512"),
    ),
    responses(
        (status = 200, description = "the image", content_type = "image/png", body = Vec<u8>,
         headers(("ETag" = String, description = "its SHA-256"))),
        (status = 304, description = "the client has it already"),
        (status = 404, description = "there is no such fractal, or no image of it so far", body = ErrorDoc),
        (status = 422, description = "there is no thumbnail of that size", body = ErrorDoc),
        (status = 429, description = "too many thumbnails are wanted at this moment", body = ErrorDoc),
        (status = 503, description = "the store does not answer, or too many images are being sent", body = ErrorDoc),
    ))]
pub async fn image(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = in_path(&uuid)?;
    if let Some(side) = thumbs::asked(&parameters)? {
        return thumbs::answer(&api, id, side, &headers).await;
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(checksum_in);
    match read(&api, id, known.clone()).await? {
        Lookup::Image(image) => {
            let tag = etag(&image.checksum);
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
                (header::CACHE_CONTROL, FOREVER),
                (header::ETAG, tag),
            ];
            Ok((headers, image.png).into_response())
        }
        Lookup::Same => {
            let tag = etag(known.as_deref().unwrap_or_default());
            let headers = [(header::CACHE_CONTROL, FOREVER), (header::ETAG, tag)];
            Ok((StatusCode::NOT_MODIFIED, headers).into_response())
        }
        Lookup::NoImage(status) => Err(ApiError::no_image(status)),
        Lookup::NoFractal => Err(ApiError::no_fractal(uuid)),
    }
}

/// An image of the store, which counts among those on the way until the last byte of it is sent.
pub async fn read(api: &Api, uuid: Uuid, known: Option<String>) -> Result<Lookup, ApiError> {
    // Held until it counts, or any number of them could be in memory uncounted. It is never closed.
    let _turn = api.reads.acquire().await;
    let mut found = api.farm.image(uuid, known).await?;
    if let Lookup::Image(image) = &mut found {
        image.png = on_the_way(api, std::mem::take(&mut image.png))?;
    }
    Ok(found)
}

fn on_the_way(api: &Api, png: Bytes) -> Result<Bytes, ApiError> {
    let kilobytes = u32::try_from(png.len() / 1024).unwrap_or(u32::MAX);
    match api.downloads.clone().try_acquire_many_owned(kilobytes) {
        Ok(room) => Ok(counted(png, room)),
        Err(_) => {
            let message = "too many images are being sent at this moment";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5))
        }
    }
}

/// The same bytes, which hold their room among those on the way.
pub fn counted(png: Bytes, room: OwnedSemaphorePermit) -> Bytes {
    struct Counted(
        Bytes,
        #[expect(dead_code, reason = "held")] OwnedSemaphorePermit,
    );
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Counted(png, room))
}

fn etag(checksum: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{checksum}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The checksum that a client says it has. Only a list of one is understood: an image has no
/// other version that a second tag could name.
fn checksum_in(tags: &HeaderValue) -> Option<String> {
    let tag = tags.to_str().ok()?.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let checksum = tag.strip_prefix('"')?.strip_suffix('"')?;
    let hex = checksum.len() == 64 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| checksum.to_ascii_lowercase())
}
