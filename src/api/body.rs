//! Request bodies: how large, how slow and of which type they may be, and what their fields hold.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::ApiError;
use crate::wire::ErrorDoc;

/// Most bytes of a JSON document.
pub const JSON_BYTES: usize = 64 << 10;

/// A client has this long to send a document of that size.
const JSON_TIME: Duration = Duration::from_secs(10);

/// What a route that reads a JSON document answers if none comes.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes; `ApiError` is what answers")]
pub enum Unread {
    /// the body did not arrive in time
    #[response(status = 408)]
    Slow(#[to_schema] ErrorDoc),
    /// the body is larger than this route takes: 64 KiB of users, 1 MiB of workers
    #[response(status = 413)]
    Large(#[to_schema] ErrorDoc),
    /// the body is not announced as JSON
    #[response(status = 415)]
    Type(#[to_schema] ErrorDoc),
}

/// Reads a JSON object. `null`, `false` and `[]` count as an empty one, as in the original.
pub async fn json_object(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    time: Duration,
) -> Result<Fields, ApiError> {
    if content_type(headers) != "application/json" {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Request must have \"Content-Type: application/json\" header",
        ));
    }
    let bytes = read(headers, body, most, time).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("Unable to decode data: {error}")))?;
    match value {
        Value::Object(fields) => Ok(Fields(fields)),
        Value::Null | Value::Bool(false) => Ok(Fields(Map::new())),
        Value::Array(items) if items.is_empty() => Ok(Fields(Map::new())),
        _ => Err(ApiError::bad_request(
            "the body must be a JSON object with the fractal's fields",
        )),
    }
}

/// [`json_object`] within the ordinary limits.
pub async fn small_json_object(headers: &HeaderMap, body: Body) -> Result<Fields, ApiError> {
    json_object(headers, body, JSON_BYTES, JSON_TIME).await
}

/// The type that the body is announced as, in lower case and without parameters.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = value.split(';').next().unwrap_or("");
    kind.trim().to_ascii_lowercase()
}

/// Reads a body of at most `most` bytes that arrives within `time`.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > (most + DISCARDED) as u64) {
        return Err(too_large(most));
    }
    match tokio::time::timeout(time, collect(body, most)).await {
        Ok(collected) => collected,
        Err(_) => Err(too_slow(time)),
    }
}

/// A client that sends nothing for this long is given up on, however much time is left.
const SILENCE: Duration = Duration::from_secs(10);

/// Of a body that is too large so much is still read: a client that is told only after it has sent
/// everything hears the answer, where one that is cut off may see no more than a broken connection.
const DISCARDED: usize = 1 << 20;

async fn collect(body: Body, most: usize) -> Result<Bytes, ApiError> {
    let mut body = body.into_data_stream();
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    loop {
        let next = tokio::time::timeout(SILENCE, body.next()).await;
        let Some(some) = next.map_err(|_| too_slow(SILENCE))? else {
            break;
        };
        let some =
            some.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        length += some.len();
        if length <= most {
            bytes.extend_from_slice(&some);
        } else if length > most + DISCARDED {
            break;
        }
    }
    match length {
        fits if fits <= most => Ok(bytes.freeze()),
        _ => Err(too_large(most)),
    }
}

/// Reads a body that nobody wants, within reason: see [`DISCARDED`]. One that is announced and not
/// sent before the answer to that is left alone.
pub async fn discard(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        // It is too large or too slow for nothing at all, and was expected to be.
        let _ = read(headers, body, 0, DISCARD_TIME).await;
    }
}

/// Time for that: what is on its way already has come by then.
const DISCARD_TIME: Duration = Duration::from_secs(1);

fn too_slow(time: Duration) -> ApiError {
    let message = format!("the body did not arrive within {} s", time.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
}

fn too_large(most: usize) -> ApiError {
    let message = format!("the body is too large: {most} bytes are allowed");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The fields of a document, taken out one by one; what is left over at the end is unknown.
pub struct Fields(Map<String, Value>);

impl Fields {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the fields that have not been taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A whole number, however large: one beyond 64 bits comes as the nearest that fits, to be
    /// refused by the limits.
    pub fn integer(&mut self, field: &str) -> Result<i64, ApiError> {
        let value = self.optional_integer(field)?;
        value.ok_or_else(|| missing(field))
    }

    pub fn optional_integer(&mut self, field: &str) -> Result<Option<i64>, ApiError> {
        self.take(field, "a whole number", |value| {
            let whole = |value: &f64| value.fract() == 0.0;
            let integer = value.as_i64();
            integer.or_else(|| value.as_f64().filter(whole).map(|value| value as i64))
        })
    }

    pub fn number(&mut self, field: &str) -> Result<f64, ApiError> {
        let value = self.optional_number(field)?;
        value.ok_or_else(|| missing(field))
    }

    pub fn optional_number(&mut self, field: &str) -> Result<Option<f64>, ApiError> {
        self.take(field, "a number", Value::as_f64)
    }

    pub fn text(&mut self, field: &str) -> Result<String, ApiError> {
        let value = self.optional_text(field)?;
        value.ok_or_else(|| missing(field))
    }

    pub fn optional_text(&mut self, field: &str) -> Result<Option<String>, ApiError> {
        self.take(field, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub fn optional_uuid(&mut self, field: &str) -> Result<Option<Uuid>, ApiError> {
        let Some(text) = self.optional_text(field)? else {
            return Ok(None);
        };
        match parse_uuid(&text) {
            Some(uuid) => Ok(Some(uuid)),
            None => {
                let message = format!(
                    "{field} is {}, but must be a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
                    shortened(&Value::String(text))
                );
                Err(ApiError::refused(field, message))
            }
        }
    }

    /// `None` where the field is missing or null.
    fn take<T>(
        &mut self,
        field: &str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(read) => Ok(Some(read)),
                None => {
                    let is = shortened(&value);
                    let message = format!("{field} is {is}, but must be {wanted}");
                    Err(ApiError::refused(field, message))
                }
            },
        }
    }
}

fn missing(field: &str) -> ApiError {
    ApiError::bad_request(format!("{field} is missing")).at(field)
}

/// A uuid in its usual form of 36 characters. Upper and lower case are the same.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// The value as JSON, cut where it would fill the answer.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
