//! `/v1/fractal`: create, list, look at, deliver, delete, retry.

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::access::Denied;
use super::body::{Fields, Unread, parse_uuid, small_json_object};
use super::error::{ApiError, Unavailable, Unkept};
use super::query::ListQuery;
use super::{Api, link};
use crate::farm::Retried;
use crate::fractal::{Draft, Fractal, Palette, Plane, Status};
use crate::wire::{ErrorDoc, FractalDoc, ListDoc, NewFractalDoc};

/// Fields that only rendering gives.
const RESULT_FIELDS: [&str; 12] = [
    "attempts",
    "checksum",
    "created_at",
    "duration",
    "error",
    "finished_at",
    "generated_by",
    "image",
    "progress",
    "size",
    "status",
    "url",
];

/// Fields that say what to render.
pub const SPEC_FIELDS: [&str; 10] = [
    "width",
    "height",
    "iterations",
    "xa",
    "xb",
    "ya",
    "yb",
    "c_re",
    "c_im",
    "palette",
];

/// Accept a fractal. Answered once it is on disk; it is rendered when its turn comes.
#[utoipa::path(post, path = "/v1/fractal", tag = "fractals",
    request_body = NewFractalDoc,
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 201, description = "accepted and kept", body = FractalDoc,
         headers(("Location" = String, description = "address of the fractal"))),
        (status = 400, description = "not JSON, a field missing or unknown, or a uuid that is there already", body = ErrorDoc),
        Unread,
        (status = 422, description = "a field's value is refused", body = ErrorDoc),
        (status = 429, description = "too many fractals wait already", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let fields = small_json_object(&headers, body).await?;
    let (uuid, draft) = new_fractal(fields)?;
    let fractal = api.farm.submit(uuid, &draft).await?;
    let location = api.way.location(&headers, &path(&fractal));
    let document = Json(FractalDoc::from(fractal));
    Ok((StatusCode::CREATED, location, document).into_response())
}

fn path(fractal: &Fractal) -> String {
    format!("/v1/fractal/{}", fractal.uuid)
}

fn new_fractal(mut fields: Fields) -> Result<(Uuid, Draft), ApiError> {
    if let Some(result) = fields.names().find(|name| RESULT_FIELDS.contains(name)) {
        let message = format!("{result} is what rendering gives: a new fractal cannot have it");
        return Err(ApiError::refused(result, message));
    }
    let (uuid, draft) = take_draft(&mut fields)?;
    if let Some(unknown) = fields.names().next() {
        return Err(unknown_field(unknown));
    }
    Ok((uuid.unwrap_or_else(Uuid::new_v4), draft))
}

/// Takes what says what to render.
pub fn take_draft(fields: &mut Fields) -> Result<(Option<Uuid>, Draft), ApiError> {
    let uuid = fields.optional_uuid("uuid")?;
    let draft = Draft {
        width: fields.integer("width")?,
        height: fields.integer("height")?,
        iterations: fields.integer("iterations")?,
        plane: Plane {
            xa: fields.number("xa")?,
            xb: fields.number("xb")?,
            ya: fields.number("ya")?,
            yb: fields.number("yb")?,
        },
        c_re: fields.optional_number("c_re")?,
        c_im: fields.optional_number("c_im")?,
        palette: match fields.optional_text("palette")? {
            Some(name) => name.parse()?,
            None => Palette::default(),
        },
    };
    Ok((uuid, draft))
}

pub fn unknown_field(name: &str) -> ApiError {
    let name: String = name.chars().take(64).collect();
    ApiError::bad_request(format!("Model does not have field '{name}'")).at(&name)
}

/// List fractals, page by page. `q` filters, orders and cuts: see the project's documentation.
#[utoipa::path(get, path = "/v1/fractal", tag = "fractals",
    params(
        ("page" = Option<i64>, Query, description = "from 1"),
        ("results_per_page" = Option<i64>, Query, description = "10, at most 100"),
        ("q" = Option<String>, Query, description = "a search as JSON: filters, order_by, limit, offset, single"),
    ),
    responses(
        (status = 200, description = "a page; or, with `single`, the one fractal found", body = ListDoc,
         headers(("Link" = String, description = "addresses of the next and the last page"))),
        (status = 400, description = "the search makes no sense, or `single` found several", body = ErrorDoc),
        (status = 404, description = "`single` found none", body = ErrorDoc),
        Unavailable,
    ))]
pub async fn list(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = ListQuery::parse(parameters)?;
    if query.single {
        return single(&api, &headers, query).await;
    }
    let per_page = query.per_page;
    let (skip, count) = match query.page.checked_sub(1) {
        Some(before) => (before.saturating_mul(per_page), per_page),
        None => (0, 0),
    };
    let found = api.farm.search(query.search, skip, count).await?;
    let total_pages = found.total.div_ceil(per_page);
    // The original calls an empty list's only page the first one, whatever was asked for.
    let page = if found.total == 0 { 1 } else { query.page };
    let base = api.way.absolute(&headers, uri.path());
    let links = link::pages(&base, page, total_pages, per_page, query.q.as_deref());
    let doc = ListDoc {
        num_results: found.total,
        objects: found
            .fractals
            .into_iter()
            .map(|fractal| document(&api, fractal))
            .collect(),
        page,
        total_pages,
    };
    let mut response = Json(doc).into_response();
    if let Some(links) = links.and_then(|links| HeaderValue::try_from(links).ok()) {
        response.headers_mut().insert(header::LINK, links);
    }
    Ok(response)
}

async fn single(api: &Api, headers: &HeaderMap, query: ListQuery) -> Result<Response, ApiError> {
    let found = api.farm.search(query.search, 0, 2).await?;
    let mut fractals = found.fractals.into_iter();
    match (fractals.next(), fractals.next()) {
        (None, _) => Err(ApiError::new(StatusCode::NOT_FOUND, "No result found")),
        (Some(_), Some(_)) => Err(ApiError::bad_request("Multiple results found")),
        (Some(fractal), None) => {
            let location = api.way.location(headers, &path(&fractal));
            Ok((location, Json(document(api, fractal))).into_response())
        }
    }
}

/// One fractal.
#[utoipa::path(get, path = "/v1/fractal/{uuid}", tag = "fractals",
    params(("uuid" = Uuid, Path)),
    responses(
        (status = 200, description = "the fractal", body = FractalDoc),
        (status = 404, description = "there is none", body = ErrorDoc),
        Unavailable,
    ))]
pub async fn show(
    State(api): State<Api>,
    Path(uuid): Path<String>,
) -> Result<Json<FractalDoc>, ApiError> {
    let fractal = find(&api, &uuid).await?;
    Ok(Json(document(&api, fractal)))
}

/// The fractal as its row says, and how far its render is.
fn document(api: &Api, fractal: Fractal) -> FractalDoc {
    let progress = match fractal.status {
        Status::Running => api.farm.fraction(fractal.row),
        _ => None,
    };
    FractalDoc {
        progress,
        ..fractal.into()
    }
}

/// The fractal that an address names.
pub async fn find(api: &Api, uuid: &str) -> Result<Fractal, ApiError> {
    let found = api.farm.get(in_path(uuid)?).await?;
    found.ok_or_else(|| ApiError::no_fractal(uuid))
}

/// The uuid in an address. What is no uuid names no fractal.
pub fn in_path(uuid: &str) -> Result<Uuid, ApiError> {
    parse_uuid(uuid).ok_or_else(|| ApiError::no_fractal(uuid))
}

/// Delete a fractal and its image. If it waits or is being rendered, it no longer is.
#[utoipa::path(delete, path = "/v1/fractal/{uuid}", tag = "fractals",
    params(("uuid" = Uuid, Path)),
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 204, description = "gone"),
        (status = 404, description = "there is none", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn delete(
    State(api): State<Api>,
    Path(uuid): Path<String>,
) -> Result<StatusCode, ApiError> {
    if api.farm.delete(in_path(&uuid)?).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::no_fractal(uuid))
    }
}

/// Queue a fractal again that has failed.
#[utoipa::path(post, path = "/v1/fractal/{uuid}/retry", tag = "fractals",
    params(("uuid" = Uuid, Path)),
    security((), ("bearerAuth" = ["user"])),
    responses(
        (status = 200, description = "it waits again", body = FractalDoc),
        (status = 404, description = "there is none", body = ErrorDoc),
        (status = 409, description = "it has not failed", body = ErrorDoc),
        Unkept,
        Denied,
    ))]
pub async fn retry(
    State(api): State<Api>,
    Path(uuid): Path<String>,
) -> Result<Json<FractalDoc>, ApiError> {
    match api.farm.retry(in_path(&uuid)?).await? {
        Retried::Queued(fractal) => Ok(Json((*fractal).into())),
        Retried::NotFailed(status) => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("the fractal is {status}: only one that has failed can be retried"),
        )),
        Retried::Gone => Err(ApiError::no_fractal(uuid)),
    }
}
