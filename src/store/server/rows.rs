//! Between rows and the domain.

use jiff::Timestamp;
use uuid::Uuid;

use super::engine::{Cell, Cells, Row, some};
use crate::fractal::{Constant, Fractal, FractalSpec, Outcome, Plane, Status};
use crate::store::{Counts, Result, StoreError, Waiting};

/// The columns of [`kept`], in its order.
pub const COLUMNS: &str = "id, uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, \
     palette, status, attempts, crashes, node, lease, error, checksum, size, duration, generated_by, \
     created_at, finished_at";

/// How many they are.
pub const WIDTH: usize = 24;

/// Those of them that ever change.
pub const CHANGING: &[&str] = &[
    "status",
    "attempts",
    "crashes",
    "node",
    "lease",
    "error",
    "checksum",
    "size",
    "duration",
    "generated_by",
    "finished_at",
];

/// The columns of [`waiting`], in its order.
pub const WAITING: &str =
    "id, uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, palette";

/// The columns of [`counts`], in its order.
pub const COUNTS: &str = "queued, running, done, failed";

/// A fractal with what only the store knows of it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub fractal: Fractal,
    /// Renders during which the whole node ended.
    pub crashes: u32,
    /// Who renders it, while it is running.
    pub node: Option<i64>,
    /// And if that is a worker elsewhere, under which lease.
    pub lease: Option<Uuid>,
}

pub fn kept(row: Row) -> Result<Kept> {
    let mut cells = Cells::of(row);
    let Waiting { row, uuid, spec } = task(&mut cells)?;
    let status = parsed::<Status>(&mut cells)?;
    let attempts = small(cells.integer()?)?;
    let crashes = small(cells.integer()?)?;
    let node = cells.integer()?;
    let lease = cells.text()?.map(|lease| lease.parse());
    let lease = lease.transpose().map_err(|_| wrong("a lease"))?;
    let error = cells.text()?;
    let (checksum, size) = (cells.text()?, cells.integer()?);
    let (duration, generated_by) = (cells.real()?, cells.text()?);
    let outcome = match checksum {
        Some(checksum) => Some(Outcome {
            checksum,
            size: some(size)? as u64,
            duration: some(duration)?,
            generated_by: some(generated_by)?,
        }),
        None => None,
    };
    let created_at = time(some(cells.integer()?)?)?;
    let finished_at = cells.integer()?.map(time).transpose()?;
    Ok(Kept {
        fractal: Fractal {
            row,
            uuid,
            spec,
            status,
            attempts,
            error,
            outcome,
            created_at,
            finished_at,
        },
        crashes,
        node,
        lease,
    })
}

pub fn fractal(row: Row) -> Result<Fractal> {
    kept(row).map(|kept| kept.fractal)
}

pub fn waiting(row: Row) -> Result<Waiting> {
    task(&mut Cells::of(row))
}

pub fn counts(cells: &mut Cells) -> Result<Counts> {
    let mut count = || Ok::<_, StoreError>(some(cells.integer()?)?.max(0) as u64);
    Ok(Counts {
        queued: count()?,
        running: count()?,
        done: count()?,
        failed: count()?,
    })
}

fn task(cells: &mut Cells) -> Result<Waiting> {
    Ok(Waiting {
        row: some(cells.integer()?)?,
        uuid: parsed(cells)?,
        spec: FractalSpec {
            width: small(cells.integer()?)?,
            height: small(cells.integer()?)?,
            iterations: small(cells.integer()?)?,
            plane: Plane {
                xa: some(cells.real()?)?,
                xb: some(cells.real()?)?,
                ya: some(cells.real()?)?,
                yb: some(cells.real()?)?,
            },
            c: Constant {
                re: some(cells.real()?)?,
                im: some(cells.real()?)?,
            },
            palette: parsed(cells)?,
        },
    })
}

fn small(value: Option<i64>) -> Result<u32> {
    u32::try_from(some(value)?).map_err(|_| wrong("a number"))
}

fn parsed<T: std::str::FromStr>(cells: &mut Cells) -> Result<T> {
    some(cells.text()?)?.parse().map_err(|_| wrong("a name"))
}

fn time(milliseconds: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| wrong("a time"))
}

fn wrong(what: &str) -> StoreError {
    StoreError::Engine(format!("{what} in the database is none of this program's"))
}

/// A uuid as the rows have it.
pub fn key(uuid: Uuid) -> Cell {
    Cell::text(uuid.hyphenated().to_string())
}

/// [`COLUMNS`] of a fractal.
pub fn cells(kept: &Kept) -> [Cell; WIDTH] {
    let Kept {
        fractal,
        crashes,
        node,
        lease,
    } = kept;
    let FractalSpec {
        width,
        height,
        iterations,
        plane,
        c,
        palette,
    } = fractal.spec;
    let outcome = fractal.outcome.as_ref();
    [
        fractal.row.into(),
        key(fractal.uuid),
        i64::from(width).into(),
        i64::from(height).into(),
        i64::from(iterations).into(),
        plane.xa.into(),
        plane.xb.into(),
        plane.ya.into(),
        plane.yb.into(),
        c.re.into(),
        c.im.into(),
        Cell::text(palette.as_str()),
        Cell::text(fractal.status.as_str()),
        i64::from(fractal.attempts).into(),
        i64::from(*crashes).into(),
        Cell::Integer(*node),
        Cell::Text(lease.map(|lease| lease.to_string())),
        Cell::Text(fractal.error.clone()),
        Cell::Text(outcome.map(|outcome| outcome.checksum.clone())),
        Cell::Integer(outcome.map(|outcome| outcome.size as i64)),
        Cell::Real(outcome.map(|outcome| outcome.duration)),
        Cell::Text(outcome.map(|outcome| outcome.generated_by.clone())),
        fractal.created_at.as_millisecond().into(),
        Cell::Integer(fractal.finished_at.map(|time| time.as_millisecond())),
    ]
}
