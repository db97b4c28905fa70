//! `POST /v1/import`: fractals of another farm, with the images they have there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::Api;
use super::access::Denied;
use super::body;
use super::delivery::{Delivery, IMAGE_JSON_BYTES, IMAGE_TIME, UPLOADS};
use super::error::{ApiError, Unkept};
use super::fractals::{take_draft, unknown_field};
use crate::store::StoreError;
use crate::wire::{ErrorDoc, FractalDoc, ImportDoc};

/// Keep a fractal with an image that was made elsewhere. It is done at once, and never rendered here;
/// once it is there, importing it again changes nothing. Without `c_re` and `c_im`, which the original
/// does not keep, they are drawn as for a new fractal, and are not those of the image.
#[utoipa::path(post, path = "/v1/import", tag = "fractals",
    request_body = ImportDoc,
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 200, description = "there is a fractal of that uuid already, which stays as it is", body = FractalDoc),
        (status = 201, description = "kept", body = FractalDoc),
        (status = 400, description = "not JSON, or a field missing or unknown", body = ErrorDoc),
        (status = 408, description = "the body did not arrive in time", body = ErrorDoc),
        (status = 413, description = "the image is larger than 64 MiB, or than the database takes", body = ErrorDoc),
        (status = 415, description = "the body is not announced as JSON", body = ErrorDoc),
        (status = 422, description = "a field's value is refused, or checksum, size or dimensions do not match the image", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn import(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<FractalDoc>), ApiError> {
    let _turn = api.uploads.acquire_many(UPLOADS).await;
    let mut fields = body::json_object(&headers, body, IMAGE_JSON_BYTES, IMAGE_TIME).await?;
    let (uuid, draft) = take_draft(&mut fields)?;
    let uuid = uuid.ok_or_else(|| ApiError::bad_request("uuid is missing").at("uuid"))?;
    let delivery = Delivery::take(&mut fields)?;
    if let Some(unknown) = fields.names().next() {
        return Err(unknown_field(unknown));
    }
    let spec = api.farm.accept(uuid, &draft)?;
    let (outcome, png) = delivery.checked(spec).await?;
    match api.farm.import(uuid, spec, outcome, png).await {
        Ok(fractal) => Ok((StatusCode::CREATED, Json(fractal.into()))),
        Err(StoreError::Duplicate(_)) => {
            // Unless it was deleted just now: then the next try will do.
            let there = api.farm.get(uuid).await?.ok_or(StoreError::Busy)?;
            Ok((StatusCode::OK, Json(there.into())))
        }
        Err(error) => Err(error.into()),
    }
}
