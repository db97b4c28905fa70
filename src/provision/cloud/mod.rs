//! An OpenStack cloud, as those who work with it know it: settings from where its own tools read
//! them, Keystone's tokens and catalog, and calls that are tried again when that may help.

mod auth;
mod call;
mod error;
mod settings;
mod version;

use std::sync::Arc;

use reqwest::Url;
use tokio::sync::{Mutex, OnceCell};

pub use auth::Session;
pub use call::{Answer, Call};
pub use error::CloudError;
pub use settings::{Access, Asked, SettingsError};
pub use version::Microversion;

use crate::outward::{self, OutwardError};

/// The services that are called here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Identity,
    Compute,
    Network,
    Image,
    ObjectStore,
    Orchestration,
    BlockStorage,
}

impl Service {
    const ALL: [Service; 7] = [
        Service::Identity,
        Service::Compute,
        Service::Network,
        Service::Image,
        Service::ObjectStore,
        Service::Orchestration,
        Service::BlockStorage,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Compute => "compute",
            Service::Network => "network",
            Service::Image => "image",
            Service::ObjectStore => "object store",
            Service::Orchestration => "orchestration",
            Service::BlockStorage => "block storage",
        }
    }

    /// Its type in the catalog.
    fn kind(self) -> &'static str {
        match self {
            Service::ObjectStore => "object-store",
            Service::BlockStorage => "block-storage",
            other => other.name(),
        }
    }

    /// Whether catalogs call it so. Most have Cinder under the name of its third version.
    fn is_kind(self, kind: &str) -> bool {
        kind == self.kind() || self == Service::BlockStorage && kind == "volumev3"
    }

    /// The version in its addresses, for catalogs that leave it to the client.
    fn version(self) -> Option<&'static str> {
        match self {
            Service::Compute => Some("v2.1"),
            Service::Network => Some("v2.0"),
            Service::Image => Some("v2"),
            Service::BlockStorage => Some("v3"),
            Service::Identity | Service::ObjectStore | Service::Orchestration => None,
        }
    }
}

/// One project of a cloud.
pub struct Cloud {
    http: reqwest::Client,
    access: Access,
    session: Mutex<Arc<Session>>,
    compute: OnceCell<Option<Microversion>>,
}

impl Cloud {
    pub async fn connect(access: Access) -> Result<Cloud, CloudError> {
        let https = access.is_https();
        let mut http = client(&access, https)?;
        let session = auth::log_in(&http, &access).await?;
        // Only the catalog tells what stands behind a Keystone that goes without.
        if !https && session.is_https(&access) {
            http = client(&access, true)?;
        }
        Ok(Cloud {
            http,
            access,
            session: Mutex::new(Arc::new(session)),
            compute: OnceCell::new(),
        })
    }

    /// Where the settings came from, for people.
    pub fn origin(&self) -> &str {
        &self.access.origin
    }

    /// The project that everything is made in.
    pub async fn project(&self) -> Result<String, CloudError> {
        Ok(self.session().await?.project.clone())
    }

    pub async fn has(&self, service: Service) -> Result<bool, CloudError> {
        match self.base(service).await {
            Ok(_) => Ok(true),
            Err(CloudError::NoService { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The service's address, without a slash at its end.
    pub async fn base(&self, service: Service) -> Result<Url, CloudError> {
        let given = match self.access.overrides.get(service.kind()) {
            Some(url) => url.clone(),
            None => self.session().await?.endpoint(service, &self.access)?,
        };
        Ok(with_version(given, service.version()))
    }

    /// The session, renewed if it ends soon.
    async fn session(&self) -> Result<Arc<Session>, CloudError> {
        let mut session = self.session.lock().await;
        if session.ends_soon() {
            *session = Arc::new(auth::log_in(&self.http, &self.access).await?);
        }
        Ok(session.clone())
    }

    /// Another session than the one that was refused. Of many calls that are refused at once the
    /// first renews it, for all of them.
    async fn renew(&self, refused: &Arc<Session>) -> Result<(), CloudError> {
        let mut session = self.session.lock().await;
        if Arc::ptr_eq(&session, refused) {
            *session = Arc::new(auth::log_in(&self.http, &self.access).await?);
        }
        Ok(())
    }
}

fn client(access: &Access, https: bool) -> Result<reqwest::Client, OutwardError> {
    let http = outward::builder(access.ca_file.as_deref(), https)?;
    let http = http.tls_danger_accept_invalid_certs(!access.verify);
    http.build().map_err(OutwardError::Tls)
}

/// `url` with this version at its end, unless it names one.
fn with_version(mut url: Url, version: Option<&str>) -> Url {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let path = url.path().trim_end_matches('/').to_owned();
    match version {
        Some(version) if !path.split('/').any(is_version) => {
            url.set_path(&format!("{path}/{version}"));
        }
        _ => url.set_path(&path),
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_added_where_the_catalog_names_none() {
        let with = |url: &str, version| with_version(url.parse().unwrap(), version).to_string();
        assert_eq!(with("http://c:1/", Some("v2.0")), "http://c:1/v2.0");
        assert_eq!(with("http://c/net", Some("v2.0")), "http://c/net/v2.0");
        assert_eq!(
            with("http://c/v2.1/abc/", Some("v2.1")),
            "http://c/v2.1/abc"
        );
        assert_eq!(with("http://c/v1/AUTH_1/", None), "http://c/v1/AUTH_1");
        assert_eq!(
            with("http://virt/volumes", Some("v2")),
            "http://virt/volumes/v2"
        );
    }
}
