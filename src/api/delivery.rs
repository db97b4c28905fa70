//! `PUT /v1/fractal/{uuid}`: workers deliver images. Nothing is believed that can be checked.

use std::io::Cursor;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::Api;
use super::access::Denied;
use super::body::{self, Fields, parse_uuid};
use super::error::{ApiError, Unkept};
use super::fractals::{SPEC_FIELDS, find, in_path, unknown_field};
use crate::digest::checksum;
use crate::fractal::{FractalSpec, Outcome, RowId};
use crate::wire::{ErrorDoc, FractalDoc, ResultDoc};

/// Most bytes of an image. A picture of 100 million pixels is about 13 MB as workers make it.
const IMAGE_BYTES: usize = 64 << 20;

/// The same in base64, with the other fields.
pub const IMAGE_JSON_BYTES: usize = IMAGE_BYTES / 3 * 4 + body::JSON_BYTES;

/// A worker has this long to send one.
pub const IMAGE_TIME: Duration = Duration::from_secs(120);

/// Images being received at a time; further ones wait. Bounds the memory they take together: one in
/// base64 is held twice and decoded, and comes alone.
pub const UPLOADS: u32 = 4;

/// Longest name of a host.
const NAME_CHARS: usize = 256;

/// Deliver an image: as the PNG file itself, or in base64 as workers of the original do.
#[utoipa::path(put, path = "/v1/fractal/{uuid}", tag = "workers",
    params(
        ("uuid" = Uuid, Path),
        ("duration" = Option<f64>, Query, description = "with image/png: seconds it took to render"),
        ("generated_by" = Option<String>, Query, description = "with image/png: name of the host that rendered it"),
        ("row" = Option<i64>, Query, description = "with image/png: the row that was leased; another fractal's image is refused as 404"),
        ("checksum" = Option<String>, Query, description = "with image/png: SHA-256 of the file; checked where given"),
    ),
    request_body(content(("image/png"), (ResultDoc = "application/json"))),
    security((), ("bearerAuth" = ["worker"])),
    responses(
        (status = 200, description = "kept; if there was an image already, that one stays", body = FractalDoc),
        (status = 400, description = "not JSON, a field missing or unknown", body = ErrorDoc),
        (status = 404, description = "there is no such fractal", body = ErrorDoc),
        (status = 408, description = "the image did not arrive in time", body = ErrorDoc),
        (status = 413, description = "the image is larger than 64 MiB", body = ErrorDoc),
        (status = 415, description = "neither image/png nor application/json", body = ErrorDoc),
        (status = 422, description = "checksum, size or dimensions do not match the image", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn deliver(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FractalDoc>, ApiError> {
    let fractal = match find(&api, &uuid).await {
        Ok(fractal) if leased(&parameters).is_none_or(|row| row == fractal.row) => fractal,
        found => {
            // Whoever is still sending it may not hear an answer that comes before the end.
            let _turn = api.uploads.acquire_many(UPLOADS).await;
            let _ = body::read(&headers, body, IMAGE_JSON_BYTES, IMAGE_TIME).await;
            return Err(found.err().unwrap_or_else(|| ApiError::no_fractal(uuid)));
        }
    };
    let kind = body::content_type(&headers);
    let places = if kind == "image/png" { 1 } else { UPLOADS };
    let _turn = api.uploads.acquire_many(places).await;
    let delivery = match kind.as_str() {
        "image/png" => {
            let png = body::read(&headers, body, IMAGE_BYTES, IMAGE_TIME).await?;
            Delivery::from_parameters(png, parameters)?
        }
        "application/json" => {
            let fields = body::json_object(&headers, body, IMAGE_JSON_BYTES, IMAGE_TIME).await?;
            if fields.is_empty() {
                // The original changes nothing then, and is content.
                return Ok(Json(fractal.into()));
            }
            Delivery::from_fields(fields, in_path(&uuid)?)?
        }
        _ => {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the image as image/png, or as application/json with the image in base64",
            ));
        }
    };
    let (outcome, png) = delivery.checked(fractal.spec).await?;
    match api.farm.finish(fractal.row, outcome, png).await? {
        Some(fractal) => Ok(Json(fractal.into())),
        None => Err(ApiError::no_fractal(uuid)),
    }
}

/// The row that a worker was lent. No row has the number of nonsense.
fn leased(parameters: &[(String, String)]) -> Option<RowId> {
    let (_, row) = parameters.iter().find(|(name, _)| name == "row")?;
    Some(row.parse().unwrap_or(-1))
}

/// An image, and what was said of it.
pub struct Delivery {
    png: Bytes,
    duration: f64,
    generated_by: String,
    checksum: Option<String>,
    size: Option<i64>,
}

impl Delivery {
    fn from_parameters(png: Bytes, parameters: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut delivery = Delivery {
            png,
            duration: f64::NAN,
            generated_by: String::new(),
            checksum: None,
            size: None,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "duration" => delivery.duration = value.parse().unwrap_or(f64::NAN),
                "generated_by" => delivery.generated_by = value,
                "row" => {}
                "checksum" => delivery.checksum = Some(value),
                _ => return Err(unknown_field(&name)),
            }
        }
        Ok(delivery)
    }

    fn from_fields(mut fields: Fields, uuid: Uuid) -> Result<Self, ApiError> {
        if let Some(named) = fields.optional_text("uuid")?
            && parse_uuid(&named) != Some(uuid)
        {
            let message = format!("uuid is {named:?}, but the address names {uuid}");
            return Err(ApiError::refused("uuid", message));
        }
        let delivery = Delivery::take(&mut fields)?;
        match fields.names().next() {
            Some(name) if SPEC_FIELDS.contains(&name) => Err(ApiError::refused(
                name,
                format!("{name} was settled when the fractal was accepted"),
            )),
            Some(name) => Err(unknown_field(name)),
            None => Ok(delivery),
        }
    }

    /// Takes what tells of a result, the image in base64.
    pub fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let image = fields.text("image")?;
        let png = BASE64_STANDARD
            .decode(image.trim_ascii_end())
            .map_err(|error| ApiError::refused("image", format!("image is no base64: {error}")))?;
        Ok(Delivery {
            png: png.into(),
            duration: fields.number("duration")?,
            generated_by: fields.text("generated_by")?,
            checksum: fields.optional_text("checksum")?,
            size: fields.optional_integer("size")?,
        })
    }

    /// Holds what was said of the image against the image, and the image against what was asked, on a
    /// thread that may take its time.
    pub async fn checked(self, spec: FractalSpec) -> Result<(Outcome, Bytes), ApiError> {
        let checked = tokio::task::spawn_blocking(move || self.check(&spec)).await;
        checked.map_err(|_| broken("it cannot be decoded"))?
    }

    fn check(self, spec: &FractalSpec) -> Result<(Outcome, Bytes), ApiError> {
        if !self.duration.is_finite() || self.duration < 0.0 {
            let message = "duration must be the seconds it took to render";
            return Err(ApiError::refused("duration", message));
        }
        let name = &self.generated_by;
        if name.is_empty() || name.chars().count() > NAME_CHARS {
            let message = format!("generated_by must be a name of 1 to {NAME_CHARS} characters");
            return Err(ApiError::refused("generated_by", message));
        }
        let size = self.png.len();
        if let Some(said) = self.size
            && said != size as i64
        {
            let message = format!("size is {said}, but the image has {size} bytes");
            return Err(ApiError::refused("size", message));
        }
        let checksum = checksum(&self.png);
        if let Some(said) = self.checksum
            && said != checksum
        {
            let message = format!("checksum is {said:?}, but the image's is {checksum}");
            return Err(ApiError::refused("checksum", message));
        }
        check_png(&self.png, spec)?;
        let outcome = Outcome {
            checksum,
            size: size as u64,
            duration: self.duration,
            generated_by: self.generated_by,
        };
        Ok((outcome, self.png))
    }
}

/// Decodes the whole file, row by row so that a large one takes little memory.
fn check_png(bytes: &[u8], spec: &FractalSpec) -> Result<(), ApiError> {
    let mut options = png::DecodeOptions::default();
    options.set_ignore_adler32(false);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(bytes), options);
    // Looks every index up in the palette, and so finds out whether there is one.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder
        .read_info()
        .map_err(|error| broken(&error.to_string()))?;
    let (width, height) = reader.info().size();
    if (width, height) != (spec.width, spec.height) {
        let message = format!(
            "the image has {width} x {height} pixels, but the fractal {} x {}",
            spec.width, spec.height
        );
        return Err(ApiError::refused("image", message));
    }
    loop {
        match reader.next_row() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return Err(broken(&error.to_string())),
        }
    }
    reader.finish().map_err(|error| broken(&error.to_string()))
}

fn broken(why: &str) -> ApiError {
    ApiError::refused("image", format!("the image is no valid PNG file: {why}"))
}
