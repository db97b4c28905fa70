//! The store in MySQL or MariaDB.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::mysql::{MySqlRow, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row as _, TypeInfo};

use super::StoreError;
use super::server::engine::{Cell, Cells, Engine, Fault, Purpose, Row, Session, Statement};
use super::sql::Dialect;
use super::url::{Database, Server, Tls};

pub struct MySql {
    options: MySqlConnectOptions,
    name: String,
}

impl MySql {
    pub fn new(server: &Server) -> MySql {
        let mode = match server.tls {
            Tls::Disable => MySqlSslMode::Disabled,
            Tls::Prefer => MySqlSslMode::Preferred,
            Tls::Require => MySqlSslMode::Required,
            Tls::VerifyCa => MySqlSslMode::VerifyCa,
            Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
        };
        let mut options = MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .database(&server.database)
            .charset("utf8mb4")
            .pipes_as_concat(false)
            .ssl_mode(mode)
            .disable_statement_logging();
        if let Some(socket) = &server.socket {
            options = options.socket(socket);
        }
        if let Some(password) = &server.password {
            options = options.password(password.reveal());
        }
        if let Some(file) = &server.root_cert {
            options = options.ssl_ca(file);
        }
        MySql {
            options,
            name: Database::MySql(server.clone()).to_string(),
        }
    }
}

/// A connection, and the server's limit on statements.
pub struct MySqlSession {
    conn: MySqlConnection,
    packet: u64,
}

#[async_trait]
impl Engine for MySql {
    type Session = MySqlSession;

    const DIALECT: Dialect = Dialect::MySql;

    const MIGRATIONS: &'static [&'static str] = &[include_str!("schema/mysql/1.sql")];

    async fn connect(&self, purpose: Purpose) -> Result<MySqlSession, Fault> {
        let conn = self.options.connect().await.map_err(unconnected)?;
        let mut session = MySqlSession { conn, packet: 0 };
        let found = session
            .script("SELECT CAST(@@max_allowed_packet AS SIGNED), VERSION()")
            .await?;
        let mut cells = Cells::of(found.into_iter().next().unwrap_or_default());
        let packet = cells.integer().map_err(Fault::Store)?;
        session.packet = packet.map_or(u64::MAX, |bytes| bytes.max(0) as u64);
        let version = cells.text().map_err(Fault::Store)?.unwrap_or_default();
        let maria = version.contains("MariaDB");
        let mut settings = String::from(
            "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'; \
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET SESSION innodb_lock_wait_timeout = 8; ",
        );
        settings.push_str(match (purpose, maria) {
            (Purpose::Migrate, _) => "DO 0",
            (_, true) => "SET SESSION max_statement_time = 30",
            (_, false) => "SET SESSION max_execution_time = 30000",
        });
        // A node that is frozen or cut off while it has the lock must not stop the others. MySQL has
        // no limit for that case alone; this session is never silent for long.
        settings.push_str(match (purpose, maria) {
            (Purpose::Read | Purpose::Migrate, _) => "",
            (Purpose::Write, true) => "; SET SESSION idle_transaction_timeout = 5",
            (Purpose::Write, false) => "; SET SESSION wait_timeout = 10",
        });
        session.script(&settings).await?;
        Ok(session)
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[async_trait]
impl Session for MySqlSession {
    async fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        let mut query = sqlx::query(AssertSqlSafe(statement.text.clone()));
        for cell in &statement.cells {
            query = bind(query, cell);
        }
        let rows = query.fetch_all(&mut self.conn).await.map_err(fault)?;
        rows.iter().map(cells).collect()
    }

    async fn script(&mut self, text: &str) -> Result<Vec<Row>, Fault> {
        let script = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        let rows = self.conn.fetch_all(script).await.map_err(fault)?;
        rows.iter().map(cells).collect()
    }

    fn packet(&self) -> Option<u64> {
        Some(self.packet)
    }
}

type Bound<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

fn bind<'q>(query: Bound<'q>, cell: &'q Cell) -> Bound<'q> {
    match cell {
        Cell::Integer(value) => query.bind(value),
        Cell::Real(value) => query.bind(value),
        Cell::Text(value) => query.bind(value),
        Cell::Bytes(value) => query.bind(value.as_deref()),
    }
}

fn cells(row: &MySqlRow) -> Result<Row, Fault> {
    let cell = |(i, column): (usize, &sqlx::mysql::MySqlColumn)| {
        Ok(match column.type_info().name() {
            "BIGINT" | "INT" => Cell::Integer(row.try_get_unchecked(i)?),
            "DOUBLE" => Cell::Real(row.try_get_unchecked(i)?),
            "LONGBLOB" | "BLOB" | "MEDIUMBLOB" => Cell::Bytes(
                row.try_get_unchecked::<Option<Vec<u8>>, _>(i)?
                    .map(Bytes::from),
            ),
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
    let said = error.as_database_error();
    let Some(said) = said.and_then(|said| said.try_downcast_ref::<MySqlDatabaseError>()) else {
        return Fault::Gone(error.to_string());
    };
    match said.number() {
        1213 => Fault::Deadlock,
        // Lock or statement took too long; too many connections.
        1205 | 1317 | 1969 | 3024 | 1040 | 1203 => Fault::Store(StoreError::Busy),
        // Disk or table full.
        1021 | 1114 => Fault::Store(StoreError::DiskFull),
        // Server stopping; connection ended by it, or for having been idle.
        1053 | 1077 | 1079 | 1927 | 3169 | 4031 => Fault::Gone(said.message().to_owned()),
        number => Fault::engine(format!("{} ({number})", said.message())),
    }
}
