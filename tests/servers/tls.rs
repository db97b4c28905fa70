//! Databases that are reached through TLS: the certificate is checked where that is asked for.

use super::common::text;
use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority, and what it has signed for a server at 127.0.0.1.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        let folder = TempDir::new().unwrap();
        let files = Files { folder };
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap();
        for (name, pem) in [
            ("ca.pem", ca.pem()),
            ("cert.pem", cert.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            std::fs::write(files.folder.path().join(name), pem).unwrap();
        }
        common::database::give_to_servers(files.folder.path(), &["key.pem"]);
        files
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_certificate_is_checked_where_that_is_asked_for() {
    let (files, strangers) = (Files::new(), Files::new());
    for kind in BOTH {
        let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
        let options = match kind {
            Kind::Postgres => vec![
                "-c".to_owned(),
                "ssl=on".to_owned(),
                "-c".to_owned(),
                format!("ssl_cert_file={cert}"),
                "-c".to_owned(),
                format!("ssl_key_file={key}"),
            ],
            Kind::MariaDb => vec![
                format!("--ssl-cert={cert}"),
                format!("--ssl-key={key}"),
                "--require-secure-transport=ON".to_owned(),
            ],
        };
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let server = DbServer::start(kind, &options);
        execute(kind, &server.admin_url(), "CREATE DATABASE faafo").await;
        let url = server.url("faafo");
        let folder = TempDir::new().unwrap();
        let ca = files.path("ca.pem");
        // The default where the server offers it, and the given authority.
        for query in ["", "?sslmode=require", &format!("?sslrootcert={ca}")] {
            let farm = farm(folder.path(), "a", &format!("{url}{query}"), &["api"]);
            farm.created().await;
        }
        // The system's authorities, which SSL_CERT_FILE stands for.
        let verified = format!("{url}?sslmode=verify-full");
        let mut command = node(folder.path(), "a", &verified, &["api"]);
        command.env("SSL_CERT_FILE", &ca);
        drop(Farm::run(command, &folder.path().join("a")));
        // Neither an unknown authority nor another's.
        let other = strangers.path("ca.pem");
        for query in [
            "?sslmode=verify-full".to_owned(),
            format!("?sslrootcert={other}"),
        ] {
            let mut command = node(folder.path(), "a", &format!("{url}{query}"), &["api"]);
            let out = command.env("SSL_CERT_FILE", &other).output().unwrap();
            let said = text(&out.stderr);
            assert_eq!(out.status.code(), Some(1), "{kind:?} {query}: {said}");
            assert!(!said.contains(PASSWORD), "{said}");
            let said = said.to_lowercase();
            assert!(said.contains("certificate"), "{kind:?} {query}: {said}");
        }
    }
}
