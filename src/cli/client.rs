//! The client's side of HTTP v1.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Failure;
use crate::animation::AnimationId;
use crate::config;
use crate::outward::{self, OutwardError, is_here, root_cause};
use crate::tokens::{self, Kind, Place, Token};
use crate::wire::animation::{AnimationDoc, NewAnimationDoc};
use crate::wire::lease::WorkersDoc;
use crate::wire::{ErrorDoc, FractalDoc, ImportDoc, ListDoc, NewFractalDoc};

#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// Address of the farm
    #[arg(
        long,
        env = "FAAFO_ENDPOINT_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    endpoint_url: Url,

    /// Authorities to trust instead of the system's, in PEM
    #[arg(long, env = "FAAFO_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// For commands that change something.
#[derive(Args, Clone, Debug)]
pub struct WriteArgs {
    #[command(flatten)]
    farm: ClientArgs,

    /// File with the farm's token, if it asks for one; `-` is standard input [default: that of this
    /// machine's farm]
    #[arg(long, env = "FAAFO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

const ANIMATIONS: &str = "/v1/animations";

/// A server has this long to begin an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Known>,
}

/// A token, and where it was found.
#[derive(Clone)]
struct Known {
    token: Token,
    file: PathBuf,
}

/// An error status, and the server's words for it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub status: StatusCode,
    pub message: String,
    pub field: Option<String>,
    /// When to try again, if that may help.
    pub retry_after: Option<Duration>,
}

impl Client {
    pub fn new(args: &ClientArgs) -> Result<Self, Failure> {
        let base = args.endpoint_url.clone();
        if !matches!(base.scheme(), "http" | "https") {
            let message = format!("--endpoint-url {base} must begin with http:// or https://");
            return Err(Failure::Usage(message));
        }
        let https = base.scheme() == "https";
        let http = outward::builder(args.ca_file.as_deref(), https)?.read_timeout(ANSWER_TIME);
        let http = http.build().map_err(OutwardError::Tls)?;
        Ok(Client {
            http,
            base,
            token: None,
        })
    }

    /// One that may change something, if the farm lets it.
    pub fn writing(args: &WriteArgs) -> Result<Self, Failure> {
        let mut client = Client::new(&args.farm)?;
        client.token = match &args.token_file {
            Some(file) => {
                let token = match file.as_os_str() == "-" {
                    true => tokens::read_from(std::io::stdin().lock())?,
                    false => tokens::read(file)?,
                };
                let file = file.clone();
                Some(Known { token, file })
            }
            None if is_here(&client.base) => own_token(),
            None => None,
        };
        Ok(client)
    }

    /// Another farm, from which this one only reads, with the same authorities and no token.
    pub fn toward(&self, base: Url, args: &WriteArgs) -> Result<Self, Failure> {
        Client::new(&ClientArgs {
            endpoint_url: base,
            ca_file: args.farm.ca_file.clone(),
        })
    }

    /// Where the farm is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Where the farm has what it has at this path.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let reads = method.is_safe();
        let request = self.http.request(method, self.address(path));
        match &self.token {
            // Sent no oftener than it is needed.
            Some(known) if !reads => request.bearer_auth(known.token.expose()),
            _ => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let seconds = response.headers().get(header::RETRY_AFTER);
        let retry_after = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        if status == StatusCode::UNAUTHORIZED {
            return Err(anyhow!(Refused {
                status,
                message: self.locked_out(),
                field: None,
                retry_after: None,
            }));
        }
        let (message, field) = match response.json::<ErrorDoc>().await {
            Ok(doc) => (doc.message, doc.field),
            Err(_) => (format!("{} answered {status}", self.base), None),
        };
        Err(anyhow!(Refused {
            status,
            message,
            field,
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    fn locked_out(&self) -> String {
        let base = &self.base;
        match &self.token {
            None => format!(
                "{base} asks for a token: name a file that holds it with --token-file or \
                 FAAFO_TOKEN_FILE; `faafo token` prints it on the farm's machine"
            ),
            Some(Known { file, .. }) => format!(
                "{base} does not take the token in {}: `faafo token` prints the right one on the \
                 farm's machine, and --token-file names a file that holds it",
                file.display()
            ),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = self.send(request).await?;
        response
            .json()
            .await
            .with_context(|| format!("{} does not answer like a faafo", self.base))
    }

    /// A connection that did not come about, or broke, in words that help.
    pub fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let base = &self.base;
        if !error.is_connect() {
            return anyhow!(error.without_url()).context(format!("lost the farm at {base}"));
        }
        let cause = root_cause(&error);
        let hint = match outward::tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(_)) => outward::DISTRUSTED,
            Some(_) => outward::NO_TLS,
            None => "start one with `faafo all`, or name another with --endpoint-url",
        };
        anyhow!("cannot reach a farm at {base}: {cause}; {hint}")
    }

    pub async fn create(&self, fractal: &NewFractalDoc) -> anyhow::Result<FractalDoc> {
        let request = self.request(Method::POST, "/v1/fractal").json(fractal);
        self.read(request).await
    }

    pub async fn show(&self, uuid: Uuid) -> anyhow::Result<FractalDoc> {
        let path = format!("/v1/fractal/{uuid}");
        self.read(self.request(Method::GET, &path)).await
    }

    pub async fn delete(&self, uuid: Uuid) -> anyhow::Result<()> {
        let path = format!("/v1/fractal/{uuid}");
        self.send(self.request(Method::DELETE, &path)).await?;
        Ok(())
    }

    pub async fn retry(&self, uuid: Uuid) -> anyhow::Result<FractalDoc> {
        let path = format!("/v1/fractal/{uuid}/retry");
        self.read(self.request(Method::POST, &path)).await
    }

    /// The first `count` fractals, at most 100, that the search finds.
    pub async fn search(&self, q: &Value, count: usize) -> anyhow::Result<ListDoc> {
        let request = self.request(Method::GET, "/v1/fractal").query(&[
            ("results_per_page", count.to_string()),
            ("q", q.to_string()),
        ]);
        self.read(request).await
    }

    /// As [`Client::search`], of a farm whose documents may be strange.
    pub async fn list_text(&self, q: &Value, count: usize) -> anyhow::Result<String> {
        let request = self.request(Method::GET, "/v1/fractal").query(&[
            ("results_per_page", count.to_string()),
            ("q", q.to_string()),
        ]);
        let response = self.send(request).await?;
        response
            .text()
            .await
            .map_err(|error| self.unreachable(error))
    }

    /// Keeps a fractal with its image; 200 if there is one of its uuid, 201 if it is new.
    pub async fn import(&self, fractal: &ImportDoc) -> anyhow::Result<StatusCode> {
        let request = self.request(Method::POST, "/v1/import").json(fractal);
        Ok(self.send(request).await?.status())
    }

    /// The image of a fractal, whatever its uuid looks like.
    pub async fn image_of(&self, uuid: &str) -> anyhow::Result<Response> {
        let path = format!("/fractal/{uuid}");
        self.send(self.request(Method::GET, &path)).await
    }

    pub async fn image(&self, uuid: Uuid) -> anyhow::Result<Response> {
        let path = format!("/fractal/{uuid}");
        self.send(self.request(Method::GET, &path)).await
    }

    pub async fn animate(&self, animation: &NewAnimationDoc) -> anyhow::Result<AnimationDoc> {
        let request = self.request(Method::POST, ANIMATIONS).json(animation);
        self.read(request).await
    }

    pub async fn animation(&self, id: AnimationId) -> anyhow::Result<AnimationDoc> {
        let path = format!("{ANIMATIONS}/{}", id.uuid());
        self.read(self.request(Method::GET, &path)).await
    }

    /// All of it in one file, `png` or `zip`.
    pub async fn animation_file(&self, id: AnimationId, kind: &str) -> anyhow::Result<Response> {
        let path = format!("{ANIMATIONS}/{}.{kind}", id.uuid());
        self.send(self.request(Method::GET, &path)).await
    }

    pub async fn cancel(&self, id: AnimationId) -> anyhow::Result<()> {
        let path = format!("{ANIMATIONS}/{}", id.uuid());
        self.send(self.request(Method::DELETE, &path)).await?;
        Ok(())
    }

    pub async fn workers(&self) -> anyhow::Result<WorkersDoc> {
        self.read(self.request(Method::GET, "/v1/workers")).await
    }

    pub async fn events(&self) -> anyhow::Result<Response> {
        self.send(self.request(Method::GET, "/v1/events")).await
    }
}

/// The token of this machine's farm, if whoever runs this may read it.
fn own_token() -> Option<Known> {
    let data = match std::env::var_os("FAAFO_DATA_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => config::default_data_dir().ok()?,
    };
    let place = Place::own(Kind::User, &data);
    let token = place.read().ok()?;
    let file = place.path().to_owned();
    Some(Known { token, file })
}

/// How often a request that did not get through is sent again, and the first pause before that.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Does something that may be done twice, again where it failed for a reason that passes: a
/// connection that broke, a server that is busy. With growing pauses, or as long as the server says.
pub async fn patiently<T>(act: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        let error = match act().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        tokio::time::sleep(match error.downcast_ref::<Refused>() {
            None => pause,
            Some(Refused {
                status: StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS,
                retry_after,
                ..
            }) => retry_after.unwrap_or(pause),
            Some(_) => return Err(error),
        })
        .await;
        pause *= 2;
    }
    act().await
}

/// Whether an error is the server's, with this status.
pub fn is_status(error: &anyhow::Error, status: StatusCode) -> bool {
    error
        .downcast_ref::<Refused>()
        .is_some_and(|refused| refused.status == status)
}

/// The failure of a command that names one fractal.
pub fn failure(error: anyhow::Error) -> Failure {
    let Some(refused) = error.downcast_ref::<Refused>() else {
        return error.into();
    };
    match refused.status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            Failure::Usage(refused.message.clone())
        }
        StatusCode::NOT_FOUND => Failure::Failed(anyhow!(
            "{}; `faafo list` shows what there is",
            refused.message
        )),
        _ => error.into(),
    }
}
