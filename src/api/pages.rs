//! The web page: files of `static/`, embedded, and the shell with a gallery for those without
//! scripts.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use include_dir::{Dir, DirEntry, include_dir};

use super::Api;
use super::error::ApiError;
use super::fractals::find;
use crate::digest::checksum;
use crate::fractal::{Fractal, Status};
use crate::store::Search;
use crate::store::search::{Column, Comparison, Direction, Filter, Value};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// Nothing from another site, nothing inline, nothing that frames the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// What is text comes in two ways.
const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("accept-encoding"));
const GZIP: (HeaderName, HeaderValue) =
    (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));

/// Fractals on a page of the gallery without scripts, as in the original.
const PER_PAGE: u64 = 5;

/// What pages share, and where they take it.
const PARTS: [(&str, &str); 3] = [
    ("<!-- pages -->", "parts/pages.html"),
    ("<!-- palettes -->", "parts/palettes.html"),
    ("<!-- common -->", "parts/common.html"),
];

/// Where the shell takes the gallery without scripts.
const MARKER: &str = "<!-- gallery -->";

pub async fn index(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    gallery(&api, &headers, 1).await
}

pub async fn index_page(
    State(api): State<Api>,
    Path(page): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match page.parse::<u32>() {
        Ok(page) => gallery(&api, &headers, u64::from(page.max(1))).await,
        Err(_) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no page {page:?}"),
        )),
    }
}

/// The shell for one fractal: the script fills it in. Unknown ones are 404 in the status too.
pub async fn view(
    State(api): State<Api>,
    Path(uuid): Path<String>,
    headers: HeaderMap,
) -> Response {
    let status = match find(&api, &uuid).await {
        Ok(_) => StatusCode::OK,
        Err(error) => error.into_response().status(),
    };
    (status, shell(&headers, "index.html", "")).into_response()
}

pub async fn explore(headers: HeaderMap) -> Response {
    shell(&headers, "explore.html", "")
}

pub async fn animate(headers: HeaderMap) -> Response {
    shell(&headers, "animate.html", "")
}

pub async fn farm(headers: HeaderMap) -> Response {
    shell(&headers, "farm.html", "")
}

async fn gallery(api: &Api, headers: &HeaderMap, page: u64) -> Result<Response, ApiError> {
    let done = Value::Text(Status::Done.as_str().into());
    let search = Search {
        filter: Filter::Value(Column::Status, Comparison::Eq, done),
        order: vec![(Column::CreatedAt, Direction::Descending)],
        ..Search::default()
    };
    let skip = (page - 1).saturating_mul(PER_PAGE);
    let found = api.farm.search(search, skip, PER_PAGE).await?;
    let pages = found.total.div_ceil(PER_PAGE);
    let mut html =
        String::from("<p>With scripts this page is live. Without, it shows what is done.</p>");
    for fractal in &found.fractals {
        html.push_str(&row(fractal));
    }
    html.push_str(&pagination(page, pages));
    Ok(shell(headers, "index.html", &html))
}

/// A page of `static/`, with the parts that pages share, and the gallery for those without scripts.
fn shell(headers: &HeaderMap, page: &str, gallery: &str) -> Response {
    let text = |path: &str| {
        let file = FILES.get_file(path);
        file.and_then(|file| file.contents_utf8())
            .unwrap_or_default()
    };
    let html = PARTS
        .iter()
        .fold(text(page).to_owned(), |html, (marker, path)| {
            html.replacen(marker, text(path), 1)
        });
    let html = html.replacen(MARKER, gallery, 1);
    let common = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        VARY,
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
    ];
    // At each request: with little effort.
    let gzipped = takes_gzip(headers).then(|| gzipped(html.as_bytes(), Compression::fast()));
    match gzipped.flatten() {
        Some(gzipped) => (common, [GZIP], gzipped).into_response(),
        None => (common, html).into_response(),
    }
}

/// The original's table of one fractal.
fn row(fractal: &Fractal) -> String {
    let (uuid, spec, plane) = (fractal.uuid, fractal.spec, fractal.spec.plane);
    let (width, height) = (spec.width, spec.height);
    let mut html = format!(
        "<p><a href=\"/fractal/{uuid}\" class=\"thumbnail\"><img src=\"/fractal/{uuid}\" \
         width=\"{width}\" height=\"{height}\" loading=\"lazy\" alt=\"fractal {uuid}\"></a></p>\
         <table><tr><th>UUID</th><td>{uuid}</td></tr>\
         <tr><th>Dimensions</th><td>{width} x {height} px</td></tr>\
         <tr><th>Iterations</th><td>{}</td></tr>\
         <tr><th>Parameters</th><td><pre>xa = {}\nxb = {}\nya = {}\nyb = {}</pre></td></tr>\
         <tr><th>Palette</th><td>{}</td></tr>",
        spec.iterations, plane.xa, plane.xb, plane.ya, plane.yb, spec.palette,
    );
    if let Some(outcome) = &fractal.outcome {
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<tr><th>Duration</th><td>{} seconds</td></tr>\
             <tr><th>Filesize</th><td>{} bytes</td></tr>\
             <tr><th>Checksum</th><td><pre>{}</pre></td></tr>\
             <tr><th>Generated by</th><td>{}</td></tr>",
            outcome.duration,
            outcome.size,
            outcome.checksum,
            escaped(&outcome.generated_by),
        );
    }
    html.push_str("</table>");
    html
}

fn pagination(page: u64, pages: u64) -> String {
    let link = |to: u64, text: &str| format!("<a href=\"/index/{to}\">{text}</a> ");
    let mut html = String::from("<p>");
    if page > 1 {
        html.push_str(&link((page - 1).min(pages.max(1)), "« newer"));
    }
    // Writing to a string cannot fail.
    let _ = write!(html, "page {page} of {} ", pages.max(1));
    if page < pages {
        html.push_str(&link(page + 1, "older »"));
    }
    html.push_str("</p>");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

struct StaticFile {
    contents: &'static [u8],
    /// The same for clients that take it, of text.
    gzipped: Option<Vec<u8>>,
    kind: &'static str,
    tag: HeaderValue,
}

/// The embedded files by path below `static/`.
static STATIC: LazyLock<HashMap<&'static str, StaticFile>> = LazyLock::new(|| {
    fn collect(folder: &'static Dir<'static>, files: &mut HashMap<&'static str, StaticFile>) {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(folder) => collect(folder, files),
                DirEntry::File(file) => {
                    let Some(path) = file.path().to_str() else {
                        continue;
                    };
                    let contents = file.contents();
                    let tag = HeaderValue::try_from(format!("\"{}\"", &checksum(contents)[..16]));
                    let file = StaticFile {
                        contents,
                        // Images are compressed.
                        gzipped: (!path.ends_with(".png"))
                            .then(|| gzipped(contents, Compression::best()))
                            .flatten(),
                        kind: content_type(path),
                        tag: tag.unwrap_or(HeaderValue::from_static("\"\"")),
                    };
                    files.insert(path, file);
                }
            }
        }
    }
    let mut files = HashMap::new();
    collect(&FILES, &mut files);
    files
});

pub async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Some(file) = STATIC.get(path.as_str()) else {
        let message = format!("there is no file {path:?}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, message));
    };
    // Asked for each time, sent only when the program changed.
    let common: [(HeaderName, HeaderValue); 2] = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, file.tag.clone()),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&file.tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let kind = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        VARY,
    ];
    if let Some(gzipped) = file.gzipped.as_deref().filter(|_| takes_gzip(&headers)) {
        return Ok((common, kind, [GZIP], gzipped).into_response());
    }
    Ok((common, kind, file.contents).into_response())
}

/// What a phone far away need not wait for.
fn gzipped(contents: &[u8], effort: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), effort);
    // Writing to memory cannot fail.
    encoder.write_all(contents).ok()?;
    encoder.finish().ok()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| {
        list.split(',').any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            name.trim().eq_ignore_ascii_case("gzip") && weight.trim() != "q=0"
        })
    })
}

pub async fn favicon(headers: HeaderMap) -> Result<Response, ApiError> {
    file(Path("favicon.svg".into()), headers).await
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
