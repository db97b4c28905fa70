//! Keystone: a token for credentials, and where the services are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::Deserialize;

use super::call::{self, REQUEST_ID};
use super::{Access, CloudError, Service, error};

/// A token, and what Keystone told with it.
pub struct Session {
    pub(super) token: String,
    expires: Timestamp,
    /// The project's id.
    pub project: String,
    catalog: Vec<Entry>,
}

#[derive(Deserialize)]
struct Document {
    token: Told,
}

#[derive(Deserialize)]
struct Told {
    expires_at: String,
    #[serde(default)]
    catalog: Vec<Entry>,
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

/// A token is renewed when no more than this is left of it.
const SOON: SignedDuration = SignedDuration::from_secs(60);

const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Asks Keystone for a token.
pub async fn log_in(http: &reqwest::Client, access: &Access) -> Result<Session, CloudError> {
    let call = "POST /auth/tokens";
    let service = Service::Identity.name();
    let url = format!("{}/auth/tokens", access.auth_url);
    let request = http.post(url).json(&access.login).timeout(ANSWER_TIME);
    let response = call::patiently(service, call, &request, true).await?;
    let status = response.status;
    if status == reqwest::StatusCode::UNAUTHORIZED {
        return Err(CloudError::LoggedOut {
            origin: access.origin.clone(),
            message: error::words(&response.body),
            request_id: response.header(REQUEST_ID),
        });
    }
    if !status.is_success() {
        return Err(CloudError::Refused {
            service,
            call: call.into(),
            status,
            message: error::words(&response.body),
            request_id: response.header(REQUEST_ID),
        });
    }
    let nonsense = |why: String| CloudError::Nonsense {
        service,
        call: call.into(),
        why,
    };
    let token = response
        .header("x-subject-token")
        .ok_or_else(|| nonsense("there is no X-Subject-Token".into()))?;
    let told: Document =
        serde_json::from_slice(&response.body).map_err(|error| nonsense(error.to_string()))?;
    let expires = told.token.expires_at.parse();
    let expires = expires.map_err(|error: jiff::Error| nonsense(error.to_string()))?;
    let project = told.token.project.ok_or_else(|| CloudError::LoggedOut {
        origin: access.origin.clone(),
        message: "these credentials belong to no project".into(),
        request_id: None,
    })?;
    Ok(Session {
        token,
        expires,
        project: project.id,
        catalog: told.token.catalog,
    })
}

impl Session {
    pub fn ends_soon(&self) -> bool {
        self.expires.duration_since(Timestamp::now()) < SOON
    }

    /// Whether any service that is called here is to be spoken to in HTTPS.
    pub fn is_https(&self, access: &Access) -> bool {
        let of = |service: &Service| self.endpoint(*service, access);
        let mut urls = Service::ALL.iter().filter_map(|service| of(service).ok());
        urls.any(|url| url.scheme() == "https")
    }

    /// Where a service is, by the interface and the region that were asked for.
    pub fn endpoint(&self, service: Service, access: &Access) -> Result<Url, CloudError> {
        let of_kind = self.catalog.iter().filter(|e| service.is_kind(&e.kind));
        let found = of_kind.flat_map(|entry| &entry.endpoints).find(|endpoint| {
            let region = endpoint.region_id.as_ref().or(endpoint.region.as_ref());
            endpoint.interface == access.interface
                && (access.region.is_none() || region == access.region.as_ref())
        });
        let Some(endpoint) = found else {
            let others: Vec<_> = self
                .catalog
                .iter()
                .map(|entry| entry.kind.as_str())
                .collect();
            let region = access
                .region
                .as_ref()
                .map(|name| format!(" in the region {name}"));
            return Err(CloudError::NoService {
                service: service.name(),
                place: format!(
                    "{} with the interface {}",
                    region.unwrap_or_default(),
                    access.interface
                ),
                others: others.join(", "),
            });
        };
        endpoint.url.parse().map_err(|why| CloudError::Nonsense {
            service: Service::Identity.name(),
            call: "POST /auth/tokens".into(),
            why: format!("{} is no address of a service: {why}", endpoint.url),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_catalog_in_https_behind_a_plain_keystone_is_seen() {
        let access = |region: &str| Access {
            auth_url: "http://k/v3".parse().unwrap(),
            login: json!({}),
            region: Some(region.into()),
            interface: "public".into(),
            ca_file: None,
            verify: true,
            overrides: [].into(),
            origin: "a test".into(),
        };
        let endpoint = |interface: &str, region: &str, url: &str| json!({"interface": interface, "region": region, "region_id": region, "url": url});
        let catalog = json!([
            {"type": "identity", "endpoints": [endpoint("public", "north", "http://k")]},
            {"type": "compute", "endpoints": [
                endpoint("public", "north", "http://n"),
                endpoint("admin", "north", "https://n"),
                endpoint("public", "south", "https://n"),
            ]},
            // Nobody here calls it.
            {"type": "dns", "endpoints": [endpoint("public", "north", "https://d")]},
        ]);
        let session = Session {
            token: "t".into(),
            expires: Timestamp::now(),
            project: "p".into(),
            catalog: serde_json::from_value(catalog).unwrap(),
        };
        assert!(!session.is_https(&access("north")));
        assert!(session.is_https(&access("south")));
    }
}
