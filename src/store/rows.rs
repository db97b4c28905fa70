//! Between rows and the domain.

use jiff::Timestamp;
use rusqlite::types::{FromSqlError, ToSqlOutput};
use rusqlite::{Row, ToSql};
use uuid::Uuid;

use super::Waiting;
use super::search::Value;
use crate::fractal::{Constant, Fractal, FractalSpec, Outcome, Plane};

/// The columns of [`fractal`], in its order.
pub const FRACTAL: &str = "uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, \
     palette, status, attempts, error, checksum, size, duration, generated_by, created_at, \
     finished_at, id";

/// The columns of [`waiting`], in its order.
pub const WAITING: &str =
    "uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, palette, id";

pub fn fractal(row: &Row<'_>) -> rusqlite::Result<Fractal> {
    let status = row.get_ref(11)?.as_str()?;
    let checksum: Option<String> = row.get(14)?;
    let outcome = match checksum {
        Some(checksum) => Some(Outcome {
            checksum,
            size: row.get::<_, i64>(15)? as u64,
            duration: row.get(16)?,
            generated_by: row.get(17)?,
        }),
        None => None,
    };
    let finished_at: Option<i64> = row.get(19)?;
    Ok(Fractal {
        row: row.get(20)?,
        uuid: uuid(row)?,
        spec: spec(row)?,
        status: status.parse().map_err(FromSqlError::other)?,
        attempts: row.get(12)?,
        error: row.get(13)?,
        outcome,
        created_at: time(row.get(18)?)?,
        finished_at: finished_at.map(time).transpose()?,
    })
}

pub fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        row: row.get(11)?,
        uuid: uuid(row)?,
        spec: spec(row)?,
    })
}

fn uuid(row: &Row<'_>) -> rusqlite::Result<Uuid> {
    let text = row.get_ref(0)?.as_str()?;
    Ok(Uuid::try_parse(text).map_err(FromSqlError::other)?)
}

fn spec(row: &Row<'_>) -> rusqlite::Result<FractalSpec> {
    let palette = row.get_ref(10)?.as_str()?;
    Ok(FractalSpec {
        width: row.get(1)?,
        height: row.get(2)?,
        iterations: row.get(3)?,
        plane: Plane {
            xa: row.get(4)?,
            xb: row.get(5)?,
            ya: row.get(6)?,
            yb: row.get(7)?,
        },
        c: Constant {
            re: row.get(8)?,
            im: row.get(9)?,
        },
        palette: palette.parse().map_err(FromSqlError::other)?,
    })
}

fn time(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millisecond(milliseconds).map_err(FromSqlError::other)?)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Integer(value) => value.to_sql(),
            Value::Real(value) => value.to_sql(),
            Value::Text(value) => value.to_sql(),
        }
    }
}
