//! What an engine on a server has to bring: sessions that take statements and give rows.

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::search::Value;
use crate::store::sql::{Dialect, Sql};
use crate::store::{Result, StoreError};

/// What stands in a column, or for a `?`. A missing value has a type as well: PostgreSQL asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Bytes(Option<Bytes>),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(Some(text.into()))
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Integer(Some(value))
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Cell::Real(Some(value))
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(value) => value.into(),
            // Neither engine compares with infinities in all its versions.
            Value::Real(value) => value.clamp(f64::MIN, f64::MAX).into(),
            Value::Text(value) => Cell::text(value),
        }
    }
}

/// One statement, and the values for its `?`s.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    pub text: String,
    pub cells: Vec<Cell>,
}

impl Statement {
    pub fn new(text: impl Into<String>, cells: impl IntoIterator<Item = Cell>) -> Statement {
        Statement {
            text: text.into(),
            cells: cells.into_iter().collect(),
        }
    }
}

impl From<Sql> for Statement {
    fn from(sql: Sql) -> Self {
        Statement::new(sql.text, sql.values.into_iter().map(Cell::from))
    }
}

pub type Row = Vec<Cell>;

/// What became of a statement that went wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The server is gone, or does not answer: the session is of no more use.
    Gone(String),
    /// Two transactions waited for each other, and this one was ended: run it again.
    Deadlock,
    Store(StoreError),
}

impl Fault {
    pub fn engine(error: impl std::fmt::Display) -> Fault {
        Fault::Store(StoreError::Engine(error.to_string()))
    }
}

impl StoreError {
    /// The server could not be reached just now, and is not asked again.
    pub(super) fn away() -> StoreError {
        StoreError::Unreachable("tried a moment ago".into())
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone(why) => StoreError::Unreachable(why),
            Fault::Deadlock => StoreError::Busy,
            Fault::Store(error) => error,
        }
    }
}

/// What a session is for, as far as the server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Read,
    /// Makes and changes tables, however long that takes.
    Migrate,
    /// Holds the lock that all nodes wait for: if it falls silent, the server must end it soon.
    Write,
}

#[async_trait]
pub trait Engine: Send + Sync + 'static {
    type Session: Session;

    const DIALECT: Dialect;

    /// Each makes version N + 1 of version N. Once released, one is never changed.
    const MIGRATIONS: &'static [&'static str];

    /// Begins a transaction that sends large images before it takes the farm's lock, and what then
    /// goes before that.
    const BEGIN_WITH_IMAGES: &'static str = "BEGIN";
    const BEFORE_LOCK: &'static str = "";

    async fn connect(&self, purpose: Purpose) -> Result<Self::Session, Fault>;

    /// How the database is called in messages: no password.
    fn name(&self) -> String;
}

/// A connection. After a fault, or a call that was dropped half-way, it must not be used again.
#[async_trait]
pub trait Session: Send + 'static {
    async fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault>;

    /// Statements without values, in one message; rows of all of them.
    async fn script(&mut self, text: &str) -> Result<Vec<Row>, Fault>;

    /// Bytes that a statement with its values may have, where the server has such a limit.
    fn packet(&self) -> Option<u64>;
}

/// Reads a row's cells one after another.
pub struct Cells(std::vec::IntoIter<Cell>);

impl Cells {
    pub fn of(row: Row) -> Cells {
        Cells(row.into_iter())
    }

    pub fn integer(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Cell::Integer(value)) => Ok(value),
            // The type of a NULL may be lost.
            Some(Cell::Real(None) | Cell::Text(None) | Cell::Bytes(None)) => Ok(None),
            other => Err(unexpected("an integer", other)),
        }
    }

    pub fn real(&mut self) -> Result<Option<f64>> {
        match self.0.next() {
            Some(Cell::Real(value)) => Ok(value),
            Some(Cell::Integer(None) | Cell::Text(None) | Cell::Bytes(None)) => Ok(None),
            other => Err(unexpected("a number", other)),
        }
    }

    pub fn text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Cell::Text(value)) => Ok(value),
            // What MySQL calls a text that is compared by its bytes.
            Some(Cell::Bytes(Some(text))) => match String::from_utf8(text.into()) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(unexpected("text", Some(Cell::Bytes(None)))),
            },
            Some(Cell::Integer(None) | Cell::Real(None) | Cell::Bytes(None)) => Ok(None),
            other => Err(unexpected("text", other)),
        }
    }

    pub fn bytes(&mut self) -> Result<Option<Bytes>> {
        match self.0.next() {
            Some(Cell::Bytes(value)) => Ok(value),
            Some(Cell::Integer(None) | Cell::Real(None) | Cell::Text(None)) => Ok(None),
            other => Err(unexpected("bytes", other)),
        }
    }
}

/// A value that must be there.
pub fn some<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| StoreError::Engine("a value is missing in the database".into()))
}

fn unexpected(wanted: &str, found: Option<Cell>) -> StoreError {
    let found = match found {
        None => "nothing",
        Some(Cell::Integer(_)) => "an integer",
        Some(Cell::Real(_)) => "a number",
        Some(Cell::Text(_)) => "text",
        Some(Cell::Bytes(_)) => "bytes",
    };
    StoreError::Engine(format!(
        "the database has {found} where {wanted} was expected"
    ))
}
