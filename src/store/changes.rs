//! What can happen to a row, inside a transaction of the writer's. Each change keeps the counts in
//! step and notes the event.

use std::sync::LazyLock;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use uuid::Uuid;

use super::writer::Group;
use super::{Result, StoreError, rows};
use crate::events::Event;
use crate::fractal::{Fractal, FractalSpec, Outcome, RowId, Status};

/// A uuid as the rows have it.
pub fn key(uuid: Uuid) -> String {
    uuid.hyphenated().to_string()
}

/// The fractal as the connection sees it.
pub fn get(conn: &Connection, uuid: Uuid) -> rusqlite::Result<Option<Fractal>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {} FROM fractal WHERE uuid = ?1", rows::FRACTAL));
    let mut statement = conn.prepare_cached(&SQL)?;
    statement.query_row([key(uuid)], rows::fractal).optional()
}

impl Group<'_> {
    /// Writes the parts of the row that ever change, and keeps the counts.
    pub fn update(&mut self, was: Status, fractal: &Fractal) -> Result<()> {
        self.write(was, fractal)?;
        let fractal = fractal.clone();
        self.events.push(match fractal.status {
            Status::Queued => Event::Queued(fractal),
            Status::Running => Event::Running(fractal),
            Status::Done => Event::Done(fractal),
            Status::Failed => Event::Failed(fractal),
        });
        Ok(())
    }

    fn write(&mut self, was: Status, fractal: &Fractal) -> Result<()> {
        let outcome = fractal.outcome.as_ref();
        let mut statement = self.conn.prepare_cached(
            "UPDATE fractal SET status = ?2, attempts = ?3, error = ?4, checksum = ?5, size = ?6, \
             duration = ?7, generated_by = ?8, finished_at = ?9 WHERE id = ?1",
        )?;
        statement.execute(params![
            fractal.row,
            fractal.status.as_str(),
            fractal.attempts,
            fractal.error,
            outcome.map(|outcome| &outcome.checksum),
            outcome.map(|outcome| outcome.size as i64),
            outcome.map(|outcome| outcome.duration),
            outcome.map(|outcome| &outcome.generated_by),
            fractal.finished_at.map(|time| time.as_millisecond()),
        ])?;
        self.counts.moved(Some(was), Some(fractal.status));
        Ok(())
    }

    /// The fractal of a row.
    pub fn at(&self, row: RowId) -> Result<Option<Fractal>> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM fractal WHERE id = ?1", rows::FRACTAL));
        let mut statement = self.conn.prepare_cached(&SQL)?;
        Ok(statement.query_row([row], rows::fractal).optional()?)
    }

    /// `update` for a change that starts from one status only. `None`: it had another.
    pub fn transition(
        &mut self,
        row: RowId,
        from: Status,
        change: impl FnOnce(&mut Fractal),
    ) -> Result<Option<Fractal>> {
        match self.at(row)? {
            Some(mut fractal) if fractal.status == from => {
                change(&mut fractal);
                self.update(from, &fractal)?;
                Ok(Some(fractal))
            }
            _ => Ok(None),
        }
    }

    /// Adds a row that has no result yet, and gives the fractal its place.
    pub fn insert(&mut self, fractal: &mut Fractal) -> Result<()> {
        self.add(fractal)?;
        self.events.push(Event::Created(fractal.clone()));
        Ok(())
    }

    /// Adds a row with its result, which is no render of this farm's.
    pub fn import(&mut self, fractal: &mut Fractal, outcome: Outcome) -> Result<()> {
        self.add(fractal)?;
        fractal.status = Status::Done;
        fractal.outcome = Some(outcome);
        fractal.finished_at = Some(fractal.created_at);
        self.write(Status::Queued, fractal)?;
        self.events.push(Event::Created(fractal.clone()));
        Ok(())
    }

    fn add(&mut self, fractal: &mut Fractal) -> Result<()> {
        let FractalSpec {
            width,
            height,
            iterations,
            plane,
            c,
            palette,
        } = fractal.spec;
        let mut statement = self.conn.prepare_cached(
            "INSERT INTO fractal (uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, \
             palette, status, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        let inserted = statement.execute(params![
            key(fractal.uuid),
            width,
            height,
            iterations,
            plane.xa,
            plane.xb,
            plane.ya,
            plane.yb,
            c.re,
            c.im,
            palette.as_str(),
            fractal.status.as_str(),
            fractal.created_at.as_millisecond(),
        ]);
        match inserted {
            Ok(_) => {
                fractal.row = self.conn.last_insert_rowid();
                self.counts.moved(None, Some(fractal.status));
                Ok(())
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(StoreError::Duplicate(fractal.uuid))
            }
            Err(error) => Err(error.into()),
        }
    }
}
