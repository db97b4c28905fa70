//! The farm's API nodes, one of which is talked to: another when it fails, and after a pause when
//! none answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::outward::{self, root_cause};
use crate::tokens::Token;
use crate::watched::Watched;
use crate::wire::ErrorDoc;

/// The first pause while none answers, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

pub struct Endpoints {
    http: reqwest::Client,
    urls: Vec<Url>,
    token: Option<Watched<Token>>,
    state: Mutex<State>,
    /// Which one is talked to, by its place in the list.
    current: watch::Sender<usize>,
    /// Why the farm does not let this worker in, if it never has.
    shut_out: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct State {
    /// What the log was last told.
    told: Told,
    /// What it was last told of those that answer as no API node does.
    strange: HashMap<usize, String>,
    ever_in: bool,
    /// Failures since the last success.
    failures: u32,
    retry_at: Option<Instant>,
}

#[derive(Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Connected(usize),
    Down,
    ShutOut(String),
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// None of the farm's business: it may work at the next try, which waits as long as is good.
    #[error("{0}")]
    Unreachable(String),
    /// The node answers, but breaks off, or has no room, no database or no time: later it may.
    #[error("{0}")]
    NotNow(String),
    /// The farm does not want it, and will not at another try either.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    /// It is the worker that the farm does not want, whatever it asks; the next try waits as well.
    #[error("{0}")]
    ShutOut(String),
}

impl CallError {
    /// Whether the next try would begin at once: whoever tries again has to wait before.
    pub fn has_no_pause(&self) -> bool {
        matches!(self, CallError::NotNow(_) | CallError::Refused { .. })
    }
}

impl Endpoints {
    /// There is at least one.
    pub fn new(http: reqwest::Client, urls: Vec<Url>, token: Option<Watched<Token>>) -> Endpoints {
        Endpoints {
            http,
            urls,
            token,
            state: Mutex::default(),
            current: watch::Sender::new(0),
            shut_out: watch::Sender::new(None),
        }
    }

    /// Whether it is known that none answers.
    pub fn are_down(&self) -> bool {
        matches!(self.state().told, Told::Down | Told::ShutOut(_))
    }

    /// Whether the one that is talked to has answered.
    pub fn are_up(&self) -> bool {
        self.state().told == Told::Connected(self.current())
    }

    /// Which one is talked to.
    pub fn current(&self) -> usize {
        *self.current.borrow()
    }

    /// Waits until another one is talked to.
    pub async fn turn_from(&self, at: usize) {
        let mut turns = self.current.subscribe();
        // It ends only with this struct.
        let _ = turns.wait_for(|now| *now != at).await;
    }

    /// Waits until the farm refuses a worker that it has never let in, and tells why.
    pub async fn shut_out(&self) -> String {
        let mut shut_out = self.shut_out.subscribe();
        match shut_out.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(why)) => why.clone(),
            _ => std::future::pending().await,
        }
    }

    /// One request, made of the base address and answered within `time`. Comes back after one try,
    /// but does not begin before the pause is over.
    pub async fn call(
        &self,
        time: Duration,
        make: impl FnOnce(&reqwest::Client, &str) -> RequestBuilder,
    ) -> Result<Response, CallError> {
        self.pause().await;
        let at = *self.current.borrow();
        let base = self.urls[at].as_str().trim_end_matches('/');
        let mut request = make(&self.http, base).timeout(time);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.get().expose());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(at, &error)),
        };
        let status = response.status();
        if status.is_success() && is_farms(&response) {
            self.succeeded(at);
            return Ok(response);
        }
        let doc = response.json::<ErrorDoc>().await.ok();
        let itself = doc.is_some();
        let message = doc.map_or_else(
            // A proxy, perhaps.
            || format!("{base} answered {status}, but not in the farm's words"),
            |doc| doc.message,
        );
        Err(match status {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::INSUFFICIENT_STORAGE
                if itself =>
            {
                self.turn_away(at);
                CallError::NotNow(message)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.refused(at, status, message),
            StatusCode::CONFLICT if itself => self.refused(at, status, message),
            // A proxy before the farm may take less than that: it will not take this one later either.
            StatusCode::PAYLOAD_TOO_LARGE => {
                self.succeeded(at);
                CallError::Refused { status, message }
            }
            StatusCode::NOT_FOUND
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
                if itself =>
            {
                self.succeeded(at);
                CallError::Refused { status, message }
            }
            // Too slow, too many, or something is wrong over there.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.failed(at, message),
            status if status.is_server_error() => self.failed(at, message),
            _ => self.misunderstood(at, message),
        })
    }

    /// The document that an answer brings.
    pub async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, CallError> {
        answer.json().await.map_err(|error| {
            // Where there is another, it may do better.
            self.turn_away(self.current());
            CallError::NotNow(root_cause(&error))
        })
    }

    async fn pause(&self) {
        let mut moves = self.current.subscribe();
        loop {
            let retry_at = self.state().retry_at;
            match retry_at {
                Some(at) if at > Instant::now() => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        // One that answers was found.
                        _ = moves.changed() => {}
                    }
                }
                _ => return,
            }
        }
    }

    fn succeeded(&self, at: usize) {
        let mut state = self.state();
        if at != *self.current.borrow() {
            return;
        }
        state.failures = 0;
        state.ever_in = true;
        state.strange.remove(&at);
        let waiting = state.retry_at.take().is_some();
        if state.told != Told::Connected(at) {
            state.told = Told::Connected(at);
            tracing::info!(endpoint = %self.urls[at], "connected");
        }
        drop(state);
        if waiting {
            // Whoever waits may go on.
            self.current.send_replace(at);
        }
    }

    /// What answers is no API node, or does not understand this worker: as if it did not answer.
    /// But somebody has to see to that, and the log says so even while another one answers.
    fn misunderstood(&self, at: usize, why: String) -> CallError {
        let before = self.state().strange.insert(at, why.clone());
        if before.as_ref() != Some(&why) {
            let endpoint = &self.urls[at];
            tracing::warn!(%endpoint, %why, "this endpoint does not answer as an API node does");
        }
        self.failed(at, why)
    }

    fn failed(&self, at: usize, why: String) -> CallError {
        if self.turn(at) {
            let mut state = self.state();
            if state.told != Told::Down {
                state.told = Told::Down;
                let endpoint = &self.urls[at];
                tracing::warn!(%endpoint, %why, "no API node answers; trying on");
            }
        }
        CallError::Unreachable(why)
    }

    fn unanswered(&self, at: usize, error: &reqwest::Error) -> CallError {
        let why = root_cause(error);
        match outward::tls_error(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let hint = outward::DISTRUSTED;
                self.shut(at, format!("cannot trust {}: {why}; {hint}", self.urls[at]));
                CallError::Unreachable(why)
            }
            Some(_) => self.failed(at, format!("{why}; {}", outward::NO_TLS)),
            None => self.failed(at, why),
        }
    }

    fn refused(&self, at: usize, status: StatusCode, message: String) -> CallError {
        let why = match (status, &self.token) {
            (StatusCode::CONFLICT, _) => message.clone(),
            (_, None) => format!(
                "{} asks for the workers' token: name a file that holds it with --token-file or \
                 FAAFO_TOKEN_FILE; `faafo token --worker` prints it on the farm's machine",
                self.urls[at]
            ),
            (StatusCode::FORBIDDEN, Some(_)) => format!(
                "{} takes the token for a user's: `faafo token --worker` prints the workers' on \
                 the farm's machine",
                self.urls[at]
            ),
            (_, Some(_)) => format!(
                "{} does not take this token: `faafo token --worker` prints the right one on the \
                 farm's machine",
                self.urls[at]
            ),
        };
        self.shut(at, why);
        CallError::ShutOut(message)
    }

    fn shut(&self, at: usize, why: String) {
        if !self.turn(at) {
            return;
        }
        let mut state = self.state();
        if !state.ever_in {
            self.shut_out.send_replace(Some(why.clone()));
        } else if state.told != Told::ShutOut(why.clone()) {
            tracing::error!("{why}; trying on");
        }
        state.told = Told::ShutOut(why);
    }

    /// Has the next call go to another, if there is one.
    fn turn_away(&self, at: usize) {
        let count = self.urls.len();
        if count > 1 && at == *self.current.borrow() {
            self.current.send_replace((at + 1) % count);
        }
    }

    /// Turns to the next one. Whether all have failed in turn, and a pause begins.
    fn turn(&self, at: usize) -> bool {
        let mut state = self.state();
        let resting = state.retry_at.is_some_and(|at| at > Instant::now());
        if at != *self.current.borrow() || resting {
            // A call that began earlier: it says nothing new.
            return false;
        }
        state.failures = state.failures.saturating_add(1);
        let count = self.urls.len();
        let round = state.failures / count as u32;
        let all = state.failures.is_multiple_of(count as u32);
        if all {
            state.retry_at = Some(Instant::now() + pause(round));
        }
        drop(state);
        if count > 1 {
            self.current.send_replace((at + 1) % count);
        }
        all
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is such an answer as the farm gives when all is well: JSON, or nothing.
fn is_farms(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    answer.status() == StatusCode::NO_CONTENT
        || kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// How long to wait after so many tries in vain: longer and longer.
pub fn pause(tries: u32) -> Duration {
    let doubled = 1 << tries.saturating_sub(1).min(10);
    let longest = (PAUSE * doubled).min(LONGEST_PAUSE);
    // Or the workers of a farm would come back all at once.
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    /// An endpoint that answers everything like this.
    async fn answering(status: &str, kind: &str, body: &str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Location: http://127.0.0.1:{port}/elsewhere\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://127.0.0.1:{port}").parse().unwrap()
    }

    fn endpoints(urls: Vec<Url>) -> Endpoints {
        let http = outward::builder(None, false).unwrap().no_proxy();
        let http = http.redirect(reqwest::redirect::Policy::none());
        Endpoints::new(http.build().unwrap(), urls, None)
    }

    async fn call(endpoints: &Endpoints) -> Result<Response, CallError> {
        endpoints.call(TIME, |http, base| http.get(base)).await
    }

    #[tokio::test]
    async fn only_the_farms_own_words_count_as_an_answer() {
        const JSON: &str = "application/json";
        let error = r#"{"message": "so it is"}"#;
        let page = "<h1>Not what you look for</h1>";
        for (status, kind, body, up) in [
            ("200 OK", JSON, "{}", true),
            ("204 No Content", "text/plain", "", true),
            ("200 OK", "text/html", page, false),
            ("301 Moved Permanently", "text/html", page, false),
            ("400 Bad Request", JSON, error, false),
            ("404 Not Found", JSON, error, true),
            ("404 Not Found", "text/html", page, false),
            ("405 Method Not Allowed", JSON, error, false),
            ("409 Conflict", "text/html", page, false),
            ("413 Payload Too Large", "text/html", page, true),
            ("422 Unprocessable Entity", JSON, error, true),
            ("429 Too Many Requests", "text/html", page, false),
            ("502 Bad Gateway", "text/html", page, false),
        ] {
            let endpoints = endpoints(vec![answering(status, kind, body).await]);
            let answer = call(&endpoints).await;
            let refused = matches!(answer, Err(CallError::Refused { .. }));
            let unreachable = matches!(answer, Err(CallError::Unreachable(_)));
            assert_eq!(answer.is_ok() || refused, up, "{status}: {answer:?}");
            assert_eq!(unreachable, !up, "{status}: {answer:?}");
            assert_eq!(endpoints.are_up(), up, "{status}");
            assert_eq!(endpoints.are_down(), !up, "{status}");
            // The next try waits.
            assert_eq!(endpoints.state().retry_at.is_some(), !up, "{status}");
        }
    }

    #[tokio::test]
    async fn what_shuts_the_worker_out_is_told_and_waited_for() {
        for (status, kind) in [
            ("401 Unauthorized", "text/html"),
            ("403 Forbidden", "application/json"),
            ("409 Conflict", "application/json"),
        ] {
            let url = answering(status, kind, r#"{"message": "upgrade"}"#).await;
            let endpoints = endpoints(vec![url]);
            let answer = call(&endpoints).await;
            assert!(matches!(answer, Err(CallError::ShutOut(_))), "{answer:?}");
            assert!(endpoints.state().retry_at.is_some());
            assert!(!endpoints.shut_out().await.is_empty());
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_is_no_farms_is_left_for_one_that_is() {
        let wrong = answering("404 Not Found", "text/html", "nothing").await;
        let right = answering("200 OK", "application/json", "{}").await;
        let endpoints = endpoints(vec![wrong, right]);
        assert!(call(&endpoints).await.is_err());
        assert!(endpoints.state().strange.contains_key(&0));
        assert!(call(&endpoints).await.is_ok());
        assert!(endpoints.are_up() && endpoints.current() == 1);
        // What is no such document leaves it for another one, too, and has no pause of its own.
        let answer = call(&endpoints).await.unwrap();
        let read = endpoints.read::<ErrorDoc>(answer).await.unwrap_err();
        assert!(read.has_no_pause() && endpoints.current() == 0, "{read:?}");
    }
}
