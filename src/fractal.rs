//! The domain: what a fractal is, which ones the farm accepts, and what has become of each.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The rectangle of the complex plane that the picture shows.
///
/// Column 0 lies at `xa` and the last one at `xb`, row 0 (the top) at `ya` and the last one at
/// `yb`. Either range may run backwards. An axis of one pixel sits at `xa` or `ya`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    pub xa: f64,
    pub xb: f64,
    pub ya: f64,
    pub yb: f64,
}

/// The constant of z² + c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    pub re: f64,
    pub im: f64,
}

/// A picture to draw, already held against the [`Limits`]: whoever has one need not check again.
///
/// The image depends on these values alone, whichever machine draws it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FractalSpec {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Most escape steps a pixel is followed for.
    pub iterations: u32,
    pub plane: Plane,
    pub c: Constant,
    pub palette: Palette,
}

impl FractalSpec {
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Most escape steps that the picture may take. Within the limits it never overflows.
    pub fn work(&self) -> u64 {
        self.pixels().saturating_mul(u64::from(self.iterations))
    }
}

/// A picture as somebody asks for it: nothing in here has been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    pub width: i64,
    pub height: i64,
    pub iterations: i64,
    pub plane: Plane,
    /// Left out, the farm draws the constant when it accepts the picture.
    pub c_re: Option<f64>,
    pub c_im: Option<f64>,
    pub palette: Palette,
}

/// The largest pictures that are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most pixels a side.
    pub side: u32,
    /// Most pixels in all.
    pub pixels: u64,
    /// Most iterations a pixel.
    pub iterations: u32,
    /// Most iterations in all: `width * height * iterations`.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            side: 20_000,
            pixels: 100_000_000,
            iterations: 1_000_000,
            work: 1_000_000_000_000,
        }
    }
}

/// Why a picture is refused: which field, what it held, and what it may hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but {limit}")]
pub struct Refusal {
    pub field: &'static str,
    pub value: String,
    pub limit: String,
}

impl Limits {
    /// Turns a request into a picture to draw, or says which value is refused.
    ///
    /// `draw` supplies the constant where the request leaves it out.
    pub fn accept(
        &self,
        draft: &Draft,
        draw: impl FnOnce(Plane, u32) -> Constant,
    ) -> Result<FractalSpec, Refusal> {
        let width = whole("width", draft.width, self.side)?;
        let height = whole("height", draft.height, self.side)?;
        let iterations = whole("iterations", draft.iterations, self.iterations)?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.pixels {
            return Err(Refusal {
                field: "width",
                value: format!("{width} and height {height}, together {pixels} pixels"),
                limit: format!("a picture may have {} at most", self.pixels),
            });
        }
        // At most 2^64 pixels of at most 2^32 iterations: only the product can overflow.
        let work = u128::from(pixels) * u128::from(iterations);
        if work > u128::from(self.work) {
            return Err(Refusal {
                field: "iterations",
                value: format!("{iterations} for each of {pixels} pixels, together {work}"),
                limit: format!("a picture may take {} at most", self.work),
            });
        }
        let Plane { xa, xb, ya, yb } = draft.plane;
        for (field, value) in [("xa", xa), ("xb", xb), ("ya", ya), ("yb", yb)] {
            finite(field, value)?;
        }
        let c = match (draft.c_re, draft.c_im) {
            (Some(re), Some(im)) => Constant {
                re: finite("c_re", re)?,
                im: finite("c_im", im)?,
            },
            (None, None) => draw(draft.plane, iterations),
            (Some(_), None) => return Err(half_constant("c_im", "c_re")),
            (None, Some(_)) => return Err(half_constant("c_re", "c_im")),
        };
        Ok(FractalSpec {
            width,
            height,
            iterations,
            plane: draft.plane,
            c,
            palette: draft.palette,
        })
    }
}

fn whole(field: &'static str, value: i64, most: u32) -> Result<u32, Refusal> {
    match u32::try_from(value) {
        Ok(fits) if (1..=most).contains(&fits) => Ok(fits),
        _ => Err(Refusal {
            field,
            value: value.to_string(),
            limit: format!("must be a whole number from 1 to {most}"),
        }),
    }
}

fn finite(field: &'static str, value: f64) -> Result<f64, Refusal> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Refusal {
        field,
        value: value.to_string(),
        limit: "must be a finite number".into(),
    })
}

fn half_constant(missing: &'static str, given: &str) -> Refusal {
    Refusal {
        field: missing,
        value: "missing".into(),
        limit: format!("must be given with {given}, or both left out"),
    }
}

/// The colours of a picture.
///
/// `Classic` are the original's 32, one an escape step, over and over. The others are smooth: their
/// colour follows the continuous escape count, and what never escapes is black.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Palette {
    #[default]
    Classic,
    Viridis,
    Magma,
    Inferno,
    Plasma,
    Cividis,
    Twilight,
    Turbo,
}

impl Palette {
    pub const ALL: [Palette; 8] = [
        Self::Classic,
        Self::Viridis,
        Self::Magma,
        Self::Inferno,
        Self::Plasma,
        Self::Cividis,
        Self::Twilight,
        Self::Turbo,
    ];

    /// The name used on the wire, in the store and by the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Viridis => "viridis",
            Self::Magma => "magma",
            Self::Inferno => "inferno",
            Self::Plasma => "plasma",
            Self::Cividis => "cividis",
            Self::Twilight => "twilight",
            Self::Turbo => "turbo",
        }
    }
}

impl fmt::Display for Palette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Palette {
    type Err = Refusal;

    fn from_str(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL
            .into_iter()
            .find(|palette| palette.as_str() == name);
        known.ok_or_else(|| Refusal {
            field: "palette",
            // However long it is, it must not fill the answer.
            value: format!("{:?}", name.chars().take(40).collect::<String>()),
            limit: format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")),
        })
    }
}

/// Where a fractal stands. `Queued -> Running -> Done`, or `Failed` after too many attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Queued,
    Running,
    Done,
    Failed,
}

impl Status {
    pub const ALL: [Status; 4] = [Self::Queued, Self::Running, Self::Done, Self::Failed];

    /// The name used on the wire, in the store and by the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(name: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| UnknownStatus(name.to_owned()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no status: queued, running, done or failed")]
pub struct UnknownStatus(String);

/// What rendering brought, beside the image itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// [`crate::digest::checksum`] of the PNG file.
    pub checksum: String,
    /// Bytes of the PNG file.
    pub size: u64,
    /// Seconds it took to render.
    pub duration: f64,
    /// Name of the host that rendered it.
    pub generated_by: String,
}

/// A fractal's place in the order of acceptance. Never used twice, where a uuid may come again once
/// its fractal was deleted: work in progress is known by this.
pub type RowId = i64;

/// A fractal the farm has accepted, as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct Fractal {
    pub row: RowId,
    pub uuid: Uuid,
    pub spec: FractalSpec,
    pub status: Status,
    /// How often rendering was begun, but for times when the whole process ended.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// There exactly when `status` is `Done`.
    pub outcome: Option<Outcome>,
    pub created_at: Timestamp,
    /// When it became `Done` or `Failed`.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
impl Fractal {
    /// The simplest there is, for tests of what does not look at the picture.
    pub fn plain(row: RowId, status: Status) -> Fractal {
        Fractal {
            row,
            uuid: Uuid::from_u128(row as u128),
            spec: FractalSpec {
                width: 1,
                height: 1,
                iterations: 1,
                plane: Plane {
                    xa: 0.0,
                    xb: 0.0,
                    ya: 0.0,
                    yb: 0.0,
                },
                c: Constant { re: 0.0, im: 0.0 },
                palette: Palette::Classic,
            },
            status,
            attempts: 1,
            error: None,
            outcome: None,
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAFT: Draft = Draft {
        width: 640,
        height: 480,
        iterations: 256,
        plane: Plane {
            xa: -2.0,
            xb: 2.0,
            ya: -1.5,
            yb: 1.5,
        },
        c_re: Some(-0.8),
        c_im: Some(0.156),
        palette: Palette::Classic,
    };

    fn accept(draft: Draft) -> Result<FractalSpec, Refusal> {
        Limits::default().accept(&draft, |_, _| Constant { re: 9.0, im: 9.0 })
    }

    #[test]
    fn a_refusal_names_field_value_and_limit() {
        let cases = [
            (
                Draft { width: 0, ..DRAFT },
                "width is 0, but must be a whole number from 1 to 20000",
            ),
            (
                Draft {
                    height: 20_001,
                    ..DRAFT
                },
                "height is 20001, but must be a whole number from 1 to 20000",
            ),
            (
                Draft {
                    iterations: i64::MAX,
                    ..DRAFT
                },
                "iterations is 9223372036854775807, but must be a whole number from 1 to 1000000",
            ),
            (
                Draft {
                    width: 20_000,
                    height: 5_001,
                    ..DRAFT
                },
                "width is 20000 and height 5001, together 100020000 pixels, \
                 but a picture may have 100000000 at most",
            ),
            (
                Draft {
                    width: 10_000,
                    height: 10_000,
                    iterations: 10_001,
                    ..DRAFT
                },
                "iterations is 10001 for each of 100000000 pixels, together 1000100000000, \
                 but a picture may take 1000000000000 at most",
            ),
            (
                Draft {
                    c_im: None,
                    ..DRAFT
                },
                "c_im is missing, but must be given with c_re, or both left out",
            ),
            (
                Draft {
                    c_re: Some(f64::NAN),
                    ..DRAFT
                },
                "c_re is NaN, but must be a finite number",
            ),
        ];
        for (draft, message) in cases {
            assert_eq!(accept(draft).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn coordinates_must_be_finite_but_may_run_backwards() {
        for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let plane = Plane {
                yb: bad,
                ..DRAFT.plane
            };
            assert_eq!(accept(Draft { plane, ..DRAFT }).unwrap_err().field, "yb");
        }
        let plane = Plane {
            xa: 2.0,
            xb: -2.0,
            ..DRAFT.plane
        };
        assert_eq!(accept(Draft { plane, ..DRAFT }).unwrap().plane, plane);
    }

    #[test]
    fn the_edges_of_the_limits_are_accepted() {
        for (width, height, iterations) in [
            (1, 1, 1),
            (20_000, 5_000, 10_000),
            (1, 20_000, 1_000_000),
            (1_000, 1_000, 1_000_000),
        ] {
            let draft = Draft {
                width,
                height,
                iterations,
                ..DRAFT
            };
            accept(draft).unwrap();
        }
    }

    #[test]
    fn a_constant_is_drawn_only_where_none_is_given() {
        assert_eq!(
            accept(DRAFT).unwrap().c,
            Constant {
                re: -0.8,
                im: 0.156
            }
        );
        let drawn = accept(Draft {
            c_re: None,
            c_im: None,
            ..DRAFT
        });
        assert_eq!(drawn.unwrap().c, Constant { re: 9.0, im: 9.0 });
    }

    #[test]
    fn every_status_reads_back_from_its_name() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().unwrap(), status);
        }
        assert!("Done".parse::<Status>().is_err());
    }

    #[test]
    fn every_palette_reads_back_from_its_name() {
        for palette in Palette::ALL {
            assert_eq!(palette.as_str().parse::<Palette>().unwrap(), palette);
            let json = serde_json::to_string(&palette).unwrap();
            assert_eq!(json, format!("\"{palette}\""));
        }
        assert_eq!(
            "Magma".parse::<Palette>().unwrap_err().to_string(),
            "palette is \"Magma\", but must be one of classic, viridis, magma, inferno, plasma, \
             cividis, twilight, turbo"
        );
        let long = "x".repeat(1000).parse::<Palette>().unwrap_err();
        assert!(long.to_string().len() < 200, "{long}");
    }
}
