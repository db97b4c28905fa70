//! What goes wrong in a request, and how it is told: one JSON document, and the right status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::farm::SubmitError;
use crate::fractal::{Refusal, Status};
use crate::store::StoreError;
use crate::wire::ErrorDoc;

#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    doc: ErrorDoc,
    /// Seconds after which trying again makes sense.
    retry_after: Option<u32>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        ApiError {
            status,
            doc: ErrorDoc {
                message: message.into(),
                field: None,
                status: None,
            },
            retry_after: None,
        }
    }

    /// The request itself makes no sense: 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// It makes sense and is refused: 422.
    pub fn refused(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message).at(field)
    }

    pub fn no_fractal(uuid: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no fractal {uuid}"))
    }

    pub fn no_image(status: Status) -> Self {
        let mut error = Self::new(
            StatusCode::NOT_FOUND,
            format!("the fractal is {status}: there is no image of it"),
        );
        error.doc.status = Some(status);
        if status != Status::Failed {
            error.retry_after = Some(1);
        }
        error
    }

    pub fn at(mut self, field: &str) -> Self {
        self.doc.field = Some(field.into());
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.doc)).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.field, refusal.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate(_) => Self::bad_request(error.to_string()).at("uuid"),
            StoreError::QueueFull(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry_after(10)
            }
            StoreError::DiskFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()).retry_after(30)
            }
            StoreError::Busy | StoreError::Closed | StoreError::Gone => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(1)
            }
            StoreError::Unreachable(_) => {
                // Why is for the log, once: it names hosts and users.
                let message = "the database cannot be reached; trying again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(2)
            }
            StoreError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            StoreError::Newer { .. } | StoreError::Foreign { .. } | StoreError::Engine(_) => {
                // What exactly is for the log: it may name files.
                tracing::error!(%error, "a request met a broken store");
                let message = "the store failed; the server's log says why";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(10)
            }
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::Store(error) => error.into(),
        }
    }
}

/// What a route that reads from the store answers without it.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes; `ApiError` is what answers")]
pub enum Unavailable {
    /// the store does not answer
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorDoc),
}

/// What a route that writes to the store answers if that does not last.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes; `ApiError` is what answers")]
pub enum Unkept {
    /// the store does not answer
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorDoc),
    /// the store's disk is full
    #[response(status = 507)]
    Full(#[to_schema] ErrorDoc),
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_of_the_stores_errors_has_its_status() {
        let newer = StoreError::Newer {
            path: "/secret".into(),
            found: 2,
            known: 1,
        };
        let too_large = StoreError::TooLarge { size: 2, packet: 1 };
        for (error, status, retry) in [
            (StoreError::Duplicate(Uuid::nil()), 400, false),
            (StoreError::QueueFull(5), 429, true),
            (StoreError::DiskFull, 507, true),
            (StoreError::Busy, 503, true),
            (StoreError::Closed, 503, true),
            (StoreError::Gone, 503, true),
            (StoreError::Unreachable("/secret".into()), 503, true),
            (too_large, 413, false),
            (StoreError::Engine("/secret".into()), 503, true),
            (newer, 503, true),
        ] {
            let error = ApiError::from(error);
            assert!(!error.doc.message.contains("/secret"));
            let response = error.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry);
        }
    }
}
