//! `GET /v1/tiles/{z}/{x}/{y}.png`: the explorer's pieces of a Julia set.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::Api;
use super::error::ApiError;
use super::outgoing::FOREVER;
use crate::digest::checksum;
use crate::fractal::{Constant, FractalSpec, Palette};
use crate::render::tile::{DEEPEST, SIDE, Tile};
use crate::render::{self, Control};
use crate::studio::{Cache, Studio, Unmade};
use crate::wire::ErrorDoc;

/// Bytes of tiles that are kept.
const KEPT: usize = 32 << 20;

/// Most iterations of a tile: a third of a second of a core, if no point escapes.
const MOST_ITERATIONS: u32 = 20_000;

/// As many as a fractal of the page's form has.
const ITERATIONS: u32 = 256;

/// A tile and all that its picture depends on, coordinates by their bits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    tile: Tile,
    c: [u64; 2],
    iterations: u32,
    palette: Palette,
}

pub struct Tiles {
    kept: Cache<Key>,
    studio: Studio,
}

impl Tiles {
    pub fn new(studio: Studio) -> Tiles {
        Tiles {
            kept: Cache::new(KEPT),
            studio,
        }
    }

    async fn get(&self, key: Key) -> Result<Bytes, Unmade> {
        if let Some(png) = self.kept.get(&key) {
            return Ok(png);
        }
        let spec = key.spec();
        let png = self.studio.make(
            || self.kept.get(&key),
            move |cancel| {
                render::render_here(&spec, &Control::new(cancel.clone())).map(Bytes::from)
            },
        );
        let png = png.await?;
        self.kept.put(key, png.clone());
        Ok(png)
    }
}

impl Key {
    fn spec(&self) -> FractalSpec {
        let [re, im] = self.c.map(f64::from_bits);
        FractalSpec {
            width: SIDE,
            height: SIDE,
            iterations: self.iterations,
            plane: self.tile.plane(),
            c: Constant { re, im },
            palette: self.palette,
        }
    }

    /// The same spec gives the same bytes: what the picture depends on names it as well as its own
    /// bytes would, and is known before it is made.
    fn etag(&self) -> HeaderValue {
        let named = format!(
            "{} {:?} {:?} {} {}",
            env!("CARGO_PKG_VERSION"),
            self.tile,
            self.c,
            self.iterations,
            self.palette
        );
        let tag = &checksum(named.as_bytes())[..32];
        HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// A piece of a Julia set, 256 by 256 pixels. Level `z` cuts the square from -4-4i to 4+4i into 2^z
/// by 2^z tiles; pixels take the colour of their middles, and so a tile continues its neighbours
/// exactly. Pixel (i, j) of tile (x, y) begins at ((256x + i + 1/2) s - 4) + ((256y + j + 1/2) s - 4)i,
/// where s = 2^-(z+5).
#[utoipa::path(get, path = "/v1/tiles/{z}/{x}/{y}", tag = "images",
    params(
        ("z" = u32, Path, description = "level, 0 to 38: at that pixels are 1.1e-13 apart, about what doubles tell apart"),
        ("x" = u64, Path, description = "column from the left, below 2^z"),
        ("y" = String, Path, description = "row from the top, below 2^z, and `.png`", example = "0.png"),
        ("c_re" = f64, Query, description = "real part of the constant of z² + c"),
        ("c_im" = f64, Query, description = "imaginary part of the constant"),
        ("iterations" = Option<u32>, Query, description = "256 unless given, 20000 at most"),
        ("palette" = Option<Palette>, Query, description = "the classic one unless given"),
    ),
    responses(
        (status = 200, description = "the tile", content_type = "image/png", body = Vec<u8>,
         headers(("ETag" = String, description = "stands for all that the picture depends on"))),
        (status = 304, description = "the client has it already"),
        (status = 404, description = "there is no such tile", body = ErrorDoc),
        (status = 422, description = "a parameter is missing or refused", body = ErrorDoc),
        (status = 429, description = "too many tiles are wanted at this moment", body = ErrorDoc),
        (status = 503, description = "the server is stopping", body = ErrorDoc),
    ))]
pub async fn tile(
    State(api): State<Api>,
    Path((z, x, y)): Path<(String, String, String)>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = asked(at(&z, &x, &y)?, &parameters)?;
    let tag = key.etag();
    let common = [
        (header::CACHE_CONTROL, FOREVER),
        (header::ETAG, tag.clone()),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let stopping = || {
        let message = "the server is stopping";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5)
    };
    let png = tokio::select! {
        png = api.tiles.get(key) => png?,
        () = api.stop.cancelled() => return Err(stopping()),
    };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
    Ok((common, kind, png).into_response())
}

fn at(z: &str, x: &str, y: &str) -> Result<Tile, ApiError> {
    let find = || {
        let y = y.strip_suffix(".png")?.parse().ok()?;
        Tile::new(z.parse().ok()?, x.parse().ok()?, y)
    };
    find().ok_or_else(|| {
        let message = format!(
            "there is no such tile: /v1/tiles/Z/X/Y.png has Z from 0 to {DEEPEST}, X and Y from 0 to 2^Z - 1"
        );
        ApiError::new(StatusCode::NOT_FOUND, message)
    })
}

fn asked(tile: Tile, parameters: &[(String, String)]) -> Result<Key, ApiError> {
    let value = |name: &str| {
        let mut found = parameters.iter().filter(|(given, _)| given == name);
        found.next_back().map(|(_, value)| value.as_str())
    };
    let coordinate = |name: &str| {
        let refused = |what: &str| ApiError::refused(name, format!("{name} {what}"));
        let text = value(name).ok_or_else(|| refused("is missing: a tile is one of a given c"))?;
        match text.parse::<f64>() {
            // Plus zero and minus zero are one.
            Ok(number) if number.is_finite() => Ok((number + 0.0).to_bits()),
            _ => Err(refused("must be a finite number")),
        }
    };
    let iterations = match value("iterations").map(str::parse::<u32>) {
        None => ITERATIONS,
        Some(Ok(n)) if (1..=MOST_ITERATIONS).contains(&n) => n,
        Some(_) => {
            let message = format!("iterations must be a whole number from 1 to {MOST_ITERATIONS}");
            return Err(ApiError::refused("iterations", message));
        }
    };
    let palette = value("palette").map_or(Ok(Palette::default()), str::parse)?;
    Ok(Key {
        tile,
        c: [coordinate("c_re")?, coordinate("c_im")?],
        iterations,
        palette,
    })
}

impl From<Unmade> for ApiError {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Crowded => {
                let message = "too many small pictures are wanted at this moment";
                Self::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(1)
            }
            Unmade::Broken => {
                let message = "the picture cannot be made; the server's log says why";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(10)
            }
        }
    }
}
