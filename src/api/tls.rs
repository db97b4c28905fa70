//! HTTPS: the certificate and its key, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::watched::Watched;

pub struct Tls(Watched<ServerConfig>);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificate {path}: {}", plainly(error))]
    Cert { path: PathBuf, error: pem::Error },
    #[error("there is no certificate in {path}: it must be in PEM, -----BEGIN CERTIFICATE-----")]
    NoCert { path: PathBuf },
    #[error("cannot read the private key {path}: {}", plainly(error))]
    Key { path: PathBuf, error: pem::Error },
    #[error("the certificate {cert} and the key {key} do not do together: {error}")]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        error: rustls::Error,
    },
}

fn plainly(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in it; it must be in PEM".into(),
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Renewed certificates need not be in use sooner.
const REST: Duration = Duration::from_secs(1);

impl Tls {
    pub fn open(cert: &Path, key: &Path) -> Result<Tls, TlsError> {
        let files = (cert.to_owned(), key.to_owned());
        let config = Watched::new(&[cert, key], REST, move || load(&files.0, &files.1))?;
        Ok(Tls(config))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.0.get().into()
    }
}

fn load(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let broken_cert = |error| TlsError::Cert {
        path: cert.to_owned(),
        error,
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(broken_cert)?;
    if chain.is_empty() {
        return Err(TlsError::NoCert {
            path: cert.to_owned(),
        });
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key {
        path: key.to_owned(),
        error,
    })?;
    let unfit = |error| TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
