//! Which broker, and what the farm's things are called there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use reqwest::Url;
use serde::Deserialize;

/// Two of these without a word from the broker, and the connection counts as lost.
const HEARTBEAT: u16 = 10;

/// A broker's URL as it was given. It may hold a password: it shows itself without.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct TransportUrl(String);

impl From<String> for TransportUrl {
    fn from(text: String) -> Self {
        TransportUrl(text.trim().to_owned())
    }
}

impl FromStr for TransportUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportUrl")
    }
}

/// Which kind of queue holds the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// The original's: workers and clients of the original can share it
    #[default]
    Classic,
    /// Replicated over the nodes of a cluster, under a name of its own
    Quorum,
}

impl QueueType {
    /// The queue's name, which is its binding key as well.
    pub fn queue(self) -> &'static str {
        match self {
            QueueType::Classic => "normal",
            QueueType::Quorum => "normal.quorum",
        }
    }
}

/// What can be wrong with how the broker is named: bad usage.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("cannot read the transport_url_file {path}: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    // Never the text itself: it may hold a password.
    #[error("the transport_url is none: it must be like amqp://user:password@host:5672/")]
    Url,
    #[error("the transport_url must begin with amqp:// or amqps://")]
    Scheme,
    #[error(
        "the password in --transport-url is seen by whoever lists processes: put the URL into a file \
         and name that with --transport-url-file, or set it as FAAFO_TRANSPORT_URL"
    )]
    Exposed,
    #[error("cannot read the authorities {path}: {error}")]
    Authorities {
        path: PathBuf,
        error: std::io::Error,
    },
}

/// A broker, and how to talk to it.
#[derive(Clone, PartialEq)]
pub struct Transport {
    pub uri: AMQPUri,
    pub queue_type: QueueType,
    /// Authorities to trust besides the system's, in PEM.
    pub authorities: Option<String>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without user and password.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPAuthority { host, port, .. } = &self.uri.authority;
        write!(f, "{}://{host}:{port}", self.uri.scheme)
    }
}

impl Transport {
    /// The broker that was named, if one was.
    pub fn find(
        url: Option<TransportUrl>,
        file: Option<&Path>,
        queue_type: QueueType,
        ca_file: Option<&Path>,
    ) -> Result<Option<Transport>, TransportError> {
        let url = match (url, file) {
            (Some(url), _) => url,
            (None, None) => return Ok(None),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| TransportError::File {
                    path: path.to_owned(),
                    error,
                })?
                .into(),
        };
        let uri = parse(&url.0)?;
        // The password that every broker is installed with is no secret.
        let secret = uri.authority.userinfo.password != AMQPUserInfo::default().password;
        if secret && std::env::args().any(|arg| arg.contains(&url.0)) {
            return Err(TransportError::Exposed);
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| TransportError::Authorities {
                path: path.to_owned(),
                error,
            })
        };
        Ok(Some(Transport {
            uri,
            queue_type,
            authorities: ca_file.map(read).transpose()?,
        }))
    }
}

fn parse(text: &str) -> Result<AMQPUri, TransportError> {
    let url = Url::parse(text).map_err(|_| TransportError::Url)?;
    let scheme = match url.scheme() {
        "amqp" => AMQPScheme::AMQP,
        "amqps" => AMQPScheme::AMQPS,
        _ => return Err(TransportError::Scheme),
    };
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or(TransportError::Url)?;
    let plain = |text: &str| unescaped(text).ok_or(TransportError::Url);
    let guest = AMQPUserInfo::default();
    let username = match url.username() {
        "" => guest.username,
        name => plain(name)?,
    };
    let password = url.password().map_or(Ok(guest.password), plain)?;
    // The original's `host//` and `host/` both mean the host named `/`.
    let vhost = match url.path() {
        "" | "/" => "/".into(),
        path => plain(&path[1..])?,
    };
    let heartbeat = url.query_pairs().find(|(key, _)| key == "heartbeat");
    let heartbeat = match heartbeat {
        Some((_, seconds)) => seconds.parse().map_err(|_| TransportError::Url)?,
        None => HEARTBEAT,
    };
    Ok(AMQPUri {
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username, password },
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or_else(|| scheme.default_port()),
        },
        scheme,
        vhost,
        query: AMQPQueryString {
            heartbeat: Some(heartbeat),
            ..AMQPQueryString::default()
        },
    })
}

/// Undoes `%2F` and the like.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_mean_what_they_mean_to_the_original() {
        let of = |text: &str| {
            let uri = parse(text).unwrap();
            let AMQPAuthority {
                userinfo,
                host,
                port,
            } = uri.authority;
            let AMQPUserInfo { username, password } = userinfo;
            format!("{username} {password} {host} {port} {}", uri.vhost)
        };
        for root in ["", "/", "//", "/%2F", "/%2f"] {
            let url = format!("amqp://guest:guest@localhost:5672{root}");
            assert_eq!(of(&url), "guest guest localhost 5672 /");
        }
        assert_eq!(of("amqp://broker"), "guest guest broker 5672 /");
        assert_eq!(of("amqp://127.0.0.1:1/v"), "guest guest 127.0.0.1 1 v");
        assert_eq!(of("amqps://a%40b:p%2Fq@[::1]"), "a@b p/q ::1 5671 /");
        for (text, scheme) in [("http://x", true), ("nonsense", false), ("amqp:x", false)] {
            let error = parse(text).unwrap_err();
            assert_eq!(matches!(error, TransportError::Scheme), scheme, "{text}");
        }
    }

    #[test]
    fn a_password_does_not_show_itself() {
        let url = TransportUrl::from("amqp://user:hidden@host:1/".to_owned());
        let transport = Transport::find(Some(url.clone()), None, QueueType::Classic, None);
        let transport = transport.unwrap().unwrap();
        let shown = format!("{url:?} {transport:?} {transport}");
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.ends_with("amqp://host:1"), "{shown}");
    }
}
