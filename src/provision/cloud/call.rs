//! One call of a service: with a token, tried again while that may help.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Cloud, CloudError, Microversion, Service, error};
use crate::outward::{root_cause, tls_error};

/// How long a cloud may be out of order before a call is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause before a call is tried again; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);

const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Uploads take as long as the line is slow.
const UPLOAD_TIME: Duration = Duration::from_secs(3600);

/// The name that all services but Swift give a request in their logs.
pub const REQUEST_ID: &str = "x-openstack-request-id";

/// A whole answer, whatever its status.
pub struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    }
}

/// A call in the making.
pub struct Call<'a> {
    cloud: &'a Cloud,
    service: Service,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    version: Option<Microversion>,
    json: Option<Value>,
    bytes: Option<Bytes>,
    repeatable: bool,
}

impl Cloud {
    /// `path` begins with a slash and is added to the service's address.
    pub fn call(&self, service: Service, method: Method, path: impl Into<String>) -> Call<'_> {
        Call {
            cloud: self,
            service,
            repeatable: method.is_idempotent(),
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            version: None,
            json: None,
            bytes: None,
        }
    }

    pub fn get(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        self.call(service, Method::GET, path)
    }

    pub fn post(&self, service: Service, path: impl Into<String>, body: Value) -> Call<'_> {
        self.call(service, Method::POST, path).json(body)
    }

    /// Deletes what may have gone already.
    pub async fn delete(&self, service: Service, path: String) -> Result<(), CloudError> {
        match self.call(service, Method::DELETE, path).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Call<'_> {
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Asks for this version of the compute API.
    pub fn version(mut self, version: Option<Microversion>) -> Self {
        self.version = version;
        self
    }

    pub fn json(mut self, body: Value) -> Self {
        self.json = Some(body);
        self
    }

    pub fn bytes(mut self, body: Bytes) -> Self {
        self.bytes = Some(body);
        self
    }

    /// That it may be sent again if its answer was lost, whatever its method.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The answer, if it is a good one.
    pub async fn send(self) -> Result<Answer, CloudError> {
        // Many are under way at once, and each is large.
        Box::pin(self.sent()).await
    }

    async fn sent(self) -> Result<Answer, CloudError> {
        let base = self.cloud.base(self.service).await?;
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), self.path);
        let (service, name) = (self.service.name(), self.name());
        let mut renewed = false;
        loop {
            let session = self.cloud.session().await?;
            let request = self.request(&url, &session.token);
            let answer = patiently(service, &name, &request, self.repeatable).await?;
            if answer.status == StatusCode::UNAUTHORIZED && !renewed {
                // It may have been revoked, or have run out on the way.
                self.cloud.renew(&session).await?;
                renewed = true;
                continue;
            }
            if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            return Err(CloudError::Refused {
                service,
                call: name,
                status: answer.status,
                message: error::words(&answer.body),
                request_id: answer
                    .header(REQUEST_ID)
                    .or_else(|| answer.header("x-trans-id")),
            });
        }
    }

    fn request(&self, url: &str, token: &str) -> RequestBuilder {
        let time = match self.bytes {
            Some(_) => UPLOAD_TIME,
            None => ANSWER_TIME,
        };
        let mut request = self
            .cloud
            .http
            .request(self.method.clone(), url)
            .query(&self.query)
            .header("x-auth-token", token)
            .timeout(time);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(version) = self.version {
            request = request
                .header("openstack-api-version", format!("compute {version}"))
                .header("x-openstack-nova-api-version", version.to_string());
        }
        match (&self.json, &self.bytes) {
            (Some(json), _) => request.json(json),
            (None, Some(bytes)) => request.body(bytes.clone()),
            (None, None) => request,
        }
    }

    /// What the answer holds.
    pub async fn read<T: DeserializeOwned>(self) -> Result<T, CloudError> {
        let (service, call) = (self.service.name(), self.name());
        let answer = self.send().await?;
        serde_json::from_slice(&answer.body).map_err(|error| CloudError::Nonsense {
            service,
            call,
            why: error.to_string(),
        })
    }

    /// What the answer holds under `key`.
    pub async fn read_in<T: DeserializeOwned>(self, key: &str) -> Result<T, CloudError> {
        let (service, call) = (self.service.name(), self.name());
        let mut document: Value = self.read().await?;
        serde_json::from_value(document[key].take()).map_err(|error| CloudError::Nonsense {
            service,
            call,
            why: format!("{key}: {error}"),
        })
    }

    /// All items of a list that comes in pages, under `key`.
    pub async fn list<T: DeserializeOwned>(self, key: &str) -> Result<Vec<T>, CloudError> {
        let (cloud, service, path) = (self.cloud, self.service, self.path.clone());
        let mut items = Vec::new();
        let mut page = self;
        loop {
            let call = page.name();
            let mut document: Value = page.read().await?;
            let next = next_page(&document, key);
            let found = document[key].take();
            let found: Vec<T> =
                serde_json::from_value(found).map_err(|error| CloudError::Nonsense {
                    service: service.name(),
                    call,
                    why: format!("{key}: {error}"),
                })?;
            let ended = found.is_empty();
            items.extend(found);
            match next {
                Some(query) if !ended => {
                    page = cloud.get(service, path.clone());
                    page.query = query;
                }
                _ => return Ok(items),
            }
        }
    }
}

/// The query of the next page: Glance names it as `next`, the others as a link.
fn next_page(document: &Value, key: &str) -> Option<Vec<(String, String)>> {
    let links = document[format!("{key}_links")].as_array();
    let link = links.and_then(|links| links.iter().find(|link| link["rel"] == "next"));
    let href = match link {
        Some(link) => link["href"].as_str()?,
        None => document["next"].as_str()?,
    };
    // Behind a proxy the rest of such an address is often wrong.
    let (_, query) = href.split_once('?')?;
    let url = reqwest::Url::parse(&format!("http://page/?{query}")).ok()?;
    Some(url.query_pairs().into_owned().collect())
}

/// Sends the request until it is answered by other than "not now". What may not be done twice is
/// sent again only if it did not arrive; if that is not known, the answer is [`CloudError::Lost`].
pub async fn patiently(
    service: &'static str,
    call: &str,
    request: &RequestBuilder,
    repeatable: bool,
) -> Result<Answer, CloudError> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let unreachable = |error: &reqwest::Error| {
            let why = root_cause(error);
            let hint = if tls_error(error).is_some() {
                TRUST
            } else {
                ""
            };
            CloudError::Unreachable {
                service,
                call: call.to_owned(),
                why: format!("{why}{hint}"),
            }
        };
        let lost = |why: String| CloudError::Lost {
            service,
            call: call.to_owned(),
            why,
        };
        let Some(copy) = request.try_clone() else {
            return Err(CloudError::Nonsense {
                service,
                call: call.to_owned(),
                why: "the request cannot be sent twice".into(),
            });
        };
        let (failure, wait) = match answered(copy).await {
            // A gateway that has lost its server does not know what became of the request.
            Ok(answer) if is_gateways(answer.status) && !repeatable => {
                return Err(lost(answer.status.to_string()));
            }
            Ok(answer) if !not_now(answer.status) => return Ok(answer),
            Ok(answer) => {
                let wait = answer.header(RETRY_AFTER.as_str());
                let wait = wait.and_then(|seconds| seconds.parse().ok());
                (Ok(answer), wait.map(Duration::from_secs))
            }
            // A certificate that is not trusted now will not be trusted later.
            Err(error) if error.is_builder() || tls_error(&error).is_some() => {
                return Err(unreachable(&error));
            }
            Err(error) if repeatable || error.is_connect() => (Err(error), None),
            Err(error) => return Err(lost(root_cause(&error))),
        };
        // Sooner than it says is in vain, or even counts against us.
        let wait = wait.unwrap_or(pause);
        if wait > PATIENCE.saturating_sub(begun.elapsed()) {
            return failure.map_err(|error| unreachable(&error));
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn answered(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

fn not_now(status: StatusCode) -> bool {
    let busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    busy.contains(&status) || is_gateways(status)
}

fn is_gateways(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What to do about a certificate that is not trusted.
const TRUST: &str = ": if an authority of your own has signed it, name its certificate as cacert in \
                     clouds.yaml, or as OS_CACERT";

impl Cloud {
    /// How an address answers that needs no token, without its body.
    pub async fn look(&self, url: &reqwest::Url) -> Result<StatusCode, CloudError> {
        let request = self.http.head(url.clone()).timeout(ANSWER_TIME);
        let service = Service::ObjectStore.name();
        let answer = patiently(service, &format!("HEAD {}", url.path()), &request, true).await?;
        Ok(answer.status)
    }
}
