//! HTTP and HTTPS outwards, as commands and workers use it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Url};

/// A server has this long to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OutwardError {
    #[error("cannot read the authorities {path}: {why}")]
    Authorities { path: PathBuf, why: String },
    #[error(
        "cannot prepare TLS; are certificates installed (package ca-certificates)? Else name your \
         own with --ca-file: {0}"
    )]
    Tls(reqwest::Error),
}

/// A client that trusts the authorities in `ca_file`, or else the system's if it speaks HTTPS.
pub fn builder(ca_file: Option<&Path>, https: bool) -> Result<ClientBuilder, OutwardError> {
    // Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIME)
        .user_agent(concat!("faafo/", env!("CARGO_PKG_VERSION")));
    Ok(match ca_file {
        Some(file) => http.tls_certs_only(authorities(file)?),
        // Otherwise a system without certificates could not even talk plain HTTP.
        None if !https => http.tls_certs_only([]),
        None => http,
    })
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, OutwardError> {
    let cannot = |why: String| OutwardError::Authorities {
        path: file.to_owned(),
        why,
    };
    let pem = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| cannot(error.to_string()))?;
    if certificates.is_empty() {
        let why = "there is no certificate in it; they must be in PEM";
        return Err(cannot(why.into()));
    }
    Ok(certificates)
}

/// What lies at the bottom of an error, in its own words.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What went wrong with the encryption, if that is it.
pub fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // Which does not count what it holds among its sources.
    let io = error.downcast_ref::<std::io::Error>();
    match io.and_then(|error| error.get_ref()) {
        Some(held) => tls_error(held),
        None => tls_error(error.source()?),
    }
}

/// What to do about a certificate that is not trusted.
pub const DISTRUSTED: &str = "call the farm by a name in its certificate, and name the authority \
                              that signed it with --ca-file, if that is your own";

/// What to do about a server that does not understand the encryption.
pub const NO_TLS: &str = "if it speaks no HTTPS, write http://";

/// Whether an address leads no further than this machine.
pub fn is_here(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let ip = host.trim_start_matches('[').trim_end_matches(']');
            ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_farm_gets_its_token_unasked() {
        for here in [
            "http://localhost:1",
            "https://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert!(is_here(&here.parse().unwrap()), "{here}");
        }
        for elsewhere in [
            "http://localhost.example",
            "http://192.0.2.1",
            "http://0.0.0.0:8080",
            "http://127.0.0.1.example",
        ] {
            assert!(!is_here(&elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }
}
