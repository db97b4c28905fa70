//! The store in PostgreSQL.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row as _, TypeInfo};

use super::StoreError;
use super::server::engine::{Cell, Engine, Fault, Purpose, Row, Session, Statement};
use super::sql::Dialect;
use super::url::{Database, Server, Tls};

pub struct Postgres {
    options: PgConnectOptions,
    name: String,
}

impl Postgres {
    pub fn new(server: &Server) -> Postgres {
        let mode = match server.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .database(&server.database)
            .application_name("faafo")
            .ssl_mode(mode)
            .disable_statement_logging();
        if let Some(socket) = &server.socket {
            options = options.socket(socket);
        }
        if let Some(password) = &server.password {
            options = options.password(password.reveal());
        }
        if let Some(file) = &server.root_cert {
            options = options.ssl_root_cert(file);
        }
        Postgres {
            options,
            name: Database::Postgres(server.clone()).to_string(),
        }
    }
}

#[async_trait]
impl Engine for Postgres {
    type Session = PgConnection;

    const DIALECT: Dialect = Dialect::Postgres;

    const MIGRATIONS: &'static [&'static str] = &[include_str!("schema/postgres/1.sql")];

    // To the server a session is idle as long as an image is on its way.
    const BEGIN_WITH_IMAGES: &'static str =
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5min'";

    const BEFORE_LOCK: &'static str = "SET LOCAL idle_in_transaction_session_timeout = '5s'; ";

    async fn connect(&self, purpose: Purpose) -> Result<PgConnection, Fault> {
        let mut conn = self.options.connect().await.map_err(unconnected)?;
        let own = match purpose {
            Purpose::Read => "SET statement_timeout = '30s';",
            Purpose::Migrate => "SET statement_timeout = 0;",
            // A node that is frozen or cut off while it has the lock must not stop the others.
            Purpose::Write => {
                "SET statement_timeout = '10s'; SET lock_timeout = '8s'; \
                 SET idle_in_transaction_session_timeout = '5s'; \
                 SET synchronous_commit = on; \
                 SET default_transaction_isolation = 'read committed';"
            }
        };
        let settings = format!(
            "{own} SET tcp_keepalives_idle = 30; \
             SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
        );
        conn.script(&settings).await?;
        Ok(conn)
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[async_trait]
impl Session for PgConnection {
    async fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        let text = numbered(&statement.text, &statement.cells);
        let mut query = sqlx::query(AssertSqlSafe(text));
        for cell in &statement.cells {
            query = bind(query, cell);
        }
        let rows = query.fetch_all(self).await.map_err(fault)?;
        rows.iter().map(cells).collect()
    }

    async fn script(&mut self, text: &str) -> Result<Vec<Row>, Fault> {
        let rows = self.fetch_all(sqlx::raw_sql(AssertSqlSafe(text.to_owned())));
        let rows = rows.await.map_err(fault)?;
        rows.iter().map(cells).collect()
    }

    fn packet(&self) -> Option<u64> {
        // A value's own limit: 1 GB.
        Some((1 << 30) - 1)
    }
}

/// `$1::int8`, `$2::text`, ... for the `?`s. sqlx keeps prepared statements by their text alone, and
/// would send a fraction to one that was prepared for a whole number.
fn numbered(text: &str, cells: &[Cell]) -> String {
    let mut parts = text.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (i, (part, cell)) in parts.zip(cells).enumerate() {
        let kind = match cell {
            Cell::Integer(_) => "int8",
            Cell::Real(_) => "float8",
            Cell::Text(_) => "text",
            Cell::Bytes(_) => "bytea",
        };
        numbered.push_str(&format!("${}::{kind}{part}", i + 1));
    }
    numbered
}

type Bound<'q> = Query<'q, sqlx::Postgres, PgArguments>;

fn bind<'q>(query: Bound<'q>, cell: &'q Cell) -> Bound<'q> {
    match cell {
        Cell::Integer(value) => query.bind(value),
        Cell::Real(value) => query.bind(value),
        // PostgreSQL's texts have no NUL in them.
        Cell::Text(Some(text)) if text.contains('\0') => query.bind(text.replace('\0', "\u{fffd}")),
        Cell::Text(value) => query.bind(value),
        Cell::Bytes(value) => query.bind(value.as_deref()),
    }
}

fn cells(row: &PgRow) -> Result<Row, Fault> {
    let cell = |(i, column): (usize, &sqlx::postgres::PgColumn)| {
        Ok(match column.type_info().name() {
            "INT8" => Cell::Integer(row.try_get_unchecked(i)?),
            "FLOAT8" => Cell::Real(row.try_get_unchecked(i)?),
            "BYTEA" => Cell::Bytes(
                row.try_get_unchecked::<Option<Vec<u8>>, _>(i)?
                    .map(Bytes::from),
            ),
            "VOID" => Cell::Text(None),
            _ => Cell::Text(row.try_get_unchecked(i)?),
        })
    };
    let cells = row.columns().iter().enumerate().map(cell);
    cells
        .collect::<Result<_, sqlx::Error>>()
        .map_err(Fault::engine)
}

/// Why there is no session. What trying again does not help is no [`Fault::Gone`].
fn unconnected(error: sqlx::Error) -> Fault {
    match &error {
        // Rustls tells of certificates in this way.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => Fault::engine(error),
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Fault::engine(error),
        _ => fault(error),
    }
}

fn fault(error: sqlx::Error) -> Fault {
    let Some(said) = error.as_database_error() else {
        return Fault::Gone(error.to_string());
    };
    let code = said.code().unwrap_or_default().into_owned();
    match code.as_str() {
        "40001" | "40P01" => Fault::Deadlock,
        // Lock or statement took too long; too many connections.
        "55P03" | "57014" | "53300" => Fault::Store(StoreError::Busy),
        "53100" => Fault::Store(StoreError::DiskFull),
        // Connection broken; server stopping, crashed or starting; session idle for too long.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Fault::Gone(said.message().to_owned()),
        _ if code.starts_with("08") => Fault::Gone(said.message().to_owned()),
        _ => Fault::engine(format!("{} ({code})", said.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_have_numbers_and_types() {
        let cells = [
            Cell::Integer(Some(1)),
            Cell::Real(Some(0.5)),
            Cell::Text(None),
        ];
        assert_eq!(
            numbered("a = ? AND b IN (?, ?)", &cells),
            "a = $1::int8 AND b IN ($2::float8, $3::text)"
        );
        assert_eq!(numbered("SELECT 1", &[]), "SELECT 1");
    }
}
