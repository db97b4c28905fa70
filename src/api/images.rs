//! `GET /fractal/{uuid}`: the image, exactly as it was delivered.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::ApiError;
use super::fractals::in_path;
use super::outgoing::FOREVER;
use super::thumbs;
use crate::store::Lookup;
use crate::wire::ErrorDoc;

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
    match api.outgoing.read(&api.farm, id, known.clone()).await? {
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
