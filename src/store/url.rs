//! `--database-url`: which engine keeps the truth, and how to reach it.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

/// Text that is shown to nobody, `Debug` included.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where the store is. [`Display`](fmt::Display) leaves out the password.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// `faafo.db` in the data folder.
    InDataFolder,
    /// `sqlite:////path/to/file`.
    Sqlite(PathBuf),
    /// `mysql://`, `mysql+pymysql://`, `mariadb://`.
    MySql(Server),
    /// `postgres://`, `postgresql://`.
    Postgres(Server),
}

/// A database on a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    /// A local socket, used instead of host and port.
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    pub tls: Tls,
    /// Certificates that the server's is checked against, in PEM, instead of the system's.
    pub root_cert: Option<PathBuf>,
}

/// How much TLS there must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    Disable,
    /// Where the server offers it; its certificate is not checked.
    #[default]
    Prefer,
    /// Encrypted; the certificate is not checked.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// ... and be that of the host.
    VerifyFull,
}

/// Why a URL is none. Never holds a part of it that may be the password.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("database_url {0}")]
pub struct UrlError(String);

fn wrong(why: impl Into<String>) -> UrlError {
    UrlError(why.into())
}

impl Database {
    pub fn parse(text: &str) -> Result<Database, UrlError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong(
                "is no URL: it must start with sqlite://, mysql:// or postgres://",
            ));
        };
        match scheme {
            "sqlite" => sqlite(rest),
            "mysql" | "mysql+pymysql" | "mariadb" | "mariadb+pymysql" => {
                Ok(Database::MySql(server(&format!("mysql://{rest}"), 3306)?))
            }
            "postgres" | "postgresql" | "postgresql+psycopg2" => Ok(Database::Postgres(server(
                &format!("postgres://{rest}"),
                5432,
            )?)),
            // A password may hold "://"; a scheme is letters.
            _ if scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+') =>
            {
                Err(wrong(format!(
                    "begins with {scheme}://, which is no database this program knows: \
                     sqlite://, mysql:// (MySQL, MariaDB) or postgres://"
                )))
            }
            _ => Err(wrong(
                "is no URL: it must start with sqlite://, mysql:// or postgres://",
            )),
        }
    }
}

/// As in the original: three slashes, then the path; four where that is absolute.
fn sqlite(rest: &str) -> Result<Database, UrlError> {
    match rest.strip_prefix('/') {
        Some(path) if !path.is_empty() && !path.ends_with('/') => Ok(Database::Sqlite(path.into())),
        _ => Err(wrong(
            "names no file: sqlite:////var/lib/faafo/faafo.db is /var/lib/faafo/faafo.db",
        )),
    }
}

fn server(text: &str, port: u16) -> Result<Server, UrlError> {
    let url = Url::parse(text).map_err(|error| {
        wrong(format!(
            "is no URL: {error}; in user and password, write %40 for @, %2F for /, %3A for :"
        ))
    })?;
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let mut server = Server {
        host: decoded(url.host_str().unwrap_or_default()),
        port: url.port().unwrap_or(port),
        socket: None,
        user: decoded(url.username()),
        password: url.password().map(|password| decoded(password).into()),
        database: decoded(url.path().trim_start_matches('/')),
        tls: Tls::default(),
        root_cert: None,
    };
    // The brackets of an IPv6 address belong to the URL.
    if let Some(inner) = server.host.strip_prefix('[') {
        server.host = inner.trim_end_matches(']').to_owned();
    }
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "sslmode" | "ssl-mode" | "ssl_mode" => server.tls = tls(&value)?,
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "ssl_ca" => {
                server.root_cert = Some(value.into_owned().into());
            }
            "host" | "socket" | "unix_socket" if value.starts_with('/') => {
                server.socket = Some(value.into_owned().into());
            }
            // It is utf8mb4 in any case.
            "charset" => {}
            name => {
                return Err(wrong(format!(
                    "has the option {name:?}, which this program does not know: sslmode, \
                     sslrootcert or socket"
                )));
            }
        }
    }
    if server.root_cert.is_some() && server.tls == Tls::Prefer {
        server.tls = Tls::VerifyFull;
    }
    if server.host.is_empty() && server.socket.is_none() {
        return Err(wrong(
            "names no host, such as mysql://USER:PASSWORD@HOST/DATABASE",
        ));
    }
    if server.user.is_empty() || server.database.is_empty() || server.database.contains('/') {
        return Err(wrong(
            "must name user and database, such as postgres://USER:PASSWORD@HOST/DATABASE",
        ));
    }
    Ok(server)
}

fn tls(mode: &str) -> Result<Tls, UrlError> {
    Ok(match mode.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Tls::Disable,
        "prefer" | "preferred" => Tls::Prefer,
        "require" | "required" => Tls::Require,
        "verify-ca" => Tls::VerifyCa,
        "verify-full" | "verify-identity" => Tls::VerifyFull,
        _ => {
            return Err(wrong(
                "has an unknown sslmode: disable, prefer, require, verify-ca or verify-full",
            ));
        }
    })
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { user, database, .. } = self;
        match &self.socket {
            Some(socket) => write!(f, "{user}@{}/{database}", socket.display()),
            None => write!(f, "{user}@{}:{}/{database}", self.host, self.port),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InDataFolder => f.write_str("faafo.db in the data folder"),
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
            Self::MySql(server) => write!(f, "mysql://{server}"),
            Self::Postgres(server) => write!(f, "postgres://{server}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        match Database::parse(text).unwrap() {
            Database::MySql(server) | Database::Postgres(server) => server,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn urls_are_those_of_the_original() {
        let file = Database::parse("sqlite:////var/lib/faafo/faafo.db").unwrap();
        assert_eq!(file, Database::Sqlite("/var/lib/faafo/faafo.db".into()));
        let of = server("mysql+pymysql://faafo:pass%40word@db/gallery?charset=utf8");
        assert_eq!((of.host.as_str(), of.port), ("db", 3306));
        assert_eq!(of.password.as_ref().unwrap().reveal(), "pass@word");
        assert_eq!(
            (of.user.as_str(), of.database.as_str()),
            ("faafo", "gallery")
        );
        assert_eq!(server("postgresql://f@[::1]:99/f").port, 99);
        assert_eq!(server("postgres://f@[::1]/f").host, "::1");
        let local = server("postgres://f@localhost/f?host=/run/postgresql");
        assert_eq!(local.socket, Some("/run/postgresql".into()));
    }

    #[test]
    fn tls_is_said_in_either_engines_words() {
        assert_eq!(server("mysql://f@h/f").tls, Tls::Prefer);
        assert_eq!(
            server("mysql://f@h/f?ssl-mode=VERIFY_IDENTITY").tls,
            Tls::VerifyFull
        );
        assert_eq!(
            server("postgres://f@h/f?sslmode=verify-ca").tls,
            Tls::VerifyCa
        );
        let own = server("postgres://f@h/f?sslrootcert=/etc/ca.pem");
        assert_eq!(
            (own.tls, own.root_cert),
            (Tls::VerifyFull, Some("/etc/ca.pem".into()))
        );
    }

    #[test]
    fn what_is_no_database_is_refused_and_no_password_told() {
        for bad in [
            "",
            "hush-hush",
            "oracle://u:hush-hush@h/d",
            "u:hush-hush://x",
            "mysql://u:hush-hush@/d",
            "mysql://u:hush-hush@h",
            "mysql://u:hush-hush@h/d/e",
            "postgres://u:hush-hush@h:port/d",
            "postgres://u:hush-hush@h/d?sslmode=hush-hush",
            "postgres://u:hush-hush@h/d?options=x",
            "sqlite://",
            "sqlite:///",
            "sqlite:////folder/",
        ] {
            let error = Database::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
        let known = Database::parse("mysql://u:hush-hush@h/d").unwrap();
        assert_eq!(known.to_string(), "mysql://u@h:3306/d");
        assert!(!format!("{known:?}").contains("hush"));
    }
}
