//! `GET /v1/images.zip`: many images in one file, sent as they are read.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::Api;
use super::error::{ApiError, Unavailable};
use super::query::ListQuery;
use crate::fractal::{Fractal, Status};
use crate::store::search::{Column, Comparison, Filter, Value};
use crate::store::{Lookup, StoreError};
use crate::wire::ErrorDoc;
use crate::zip::{MOST_BYTES, Zip};

/// Images of an archive.
const MOST: u64 = 1000;

/// The images of what a search finds, in one ZIP file: a thousand at most. `q` is that of the list;
/// what is not done is left out.
#[utoipa::path(get, path = "/v1/images.zip", tag = "images",
    params(("q" = Option<String>, Query, description = "a search as JSON, as in the list: filters, order_by, limit, offset")),
    responses(
        (status = 200, description = "the images, each as UUID.png", content_type = "application/zip", body = Vec<u8>),
        (status = 400, description = "the search makes no sense", body = ErrorDoc),
        (status = 404, description = "nothing that it finds is done", body = ErrorDoc),
        (status = 422, description = "it finds too many", body = ErrorDoc),
        Unavailable,
    ))]
pub async fn archive(
    State(api): State<Api>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let mut search = ListQuery::parse(parameters)?.search;
    let done = Value::Text(Status::Done.as_str().into());
    let done = Filter::Value(Column::Status, Comparison::Eq, done);
    search.filter = Filter::And(vec![search.filter, done]);
    let found = api.farm.search(search, 0, MOST).await?;
    let bytes: u64 = found.fractals.iter().map(size).sum();
    if found.total == 0 {
        let message = "nothing that the search finds is done";
        return Err(ApiError::new(StatusCode::NOT_FOUND, message));
    }
    if found.total > MOST || bytes > MOST_BYTES {
        let message = format!(
            "the search finds {} images, but an archive may have {MOST} of 4 GB together: narrow it",
            found.total
        );
        return Err(ApiError::refused("q", message));
    }
    let entry = |fractal: Fractal| Entry {
        name: format!("{}.png", fractal.uuid),
        fractal,
    };
    let body = body(&api, found.fractals.into_iter().map(entry).collect());
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"fractals.zip\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

/// Bytes of a fractal's image.
pub fn size(fractal: &Fractal) -> u64 {
    fractal.outcome.as_ref().map_or(0, |outcome| outcome.size)
}

/// A fractal whose image is to be in an archive, and what it is called there.
pub struct Entry {
    pub name: String,
    pub fractal: Fractal,
}

/// An archive of images that have [`MOST_BYTES`] together at most.
pub fn body(api: &Api, entries: Vec<Entry>) -> Body {
    let sender = Sender {
        api: api.clone(),
        entries: entries.into_iter(),
        zip: Some(Zip::default()),
        next: None,
    };
    Body::from_stream(stream::unfold(sender, |mut sender| async move {
        let piece = sender.piece().await.transpose()?;
        Some((piece, sender))
    }))
}

struct Sender {
    api: Api,
    entries: std::vec::IntoIter<Entry>,
    /// `None`: its end is sent.
    zip: Option<Zip>,
    /// The image whose header was sent.
    next: Option<Bytes>,
}

impl Sender {
    async fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(png) = self.next.take() {
            return Ok(Some(png));
        }
        let Some(zip) = &mut self.zip else {
            return Ok(None);
        };
        for Entry { name, fractal } in self.entries.by_ref() {
            // Room among those on the way first: a client that reads slowly holds one image.
            let room = self.api.outgoing.room(size(&fractal)).await;
            // Deleted since, it is left out.
            let Lookup::Image(image) = self.api.farm.image(fractal.uuid, None).await? else {
                continue;
            };
            let time = fractal.finished_at.unwrap_or(fractal.created_at);
            let header = zip.file(&name, &image.png, time);
            self.next = Some(room.hold(image.png));
            return Ok(Some(header.into()));
        }
        Ok(self.zip.take().map(|zip| zip.end().into()))
    }
}
