//! The farm's API nodes, one of which is talked to: another when it fails, and after a pause when
//! none answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
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
    /// The node answers, but has no room, no database or no time for it: later it may.
    #[error("{0}")]
    NotNow(String),
    /// The farm does not want it, and will not at another try either.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
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
        if status.is_success() {
            self.succeeded(at);
            return Ok(response);
        }
        let (message, itself) = match response.json::<ErrorDoc>().await {
            Ok(doc) => (doc.message, true),
            // A proxy, perhaps.
            Err(_) => (format!("{base} answered {status}"), false),
        };
        match status {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::INSUFFICIENT_STORAGE
                if itself =>
            {
                self.turn_away(at);
                Err(CallError::NotNow(message))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT => {
                self.refused(at, status, message.clone());
                Err(CallError::Refused { status, message })
            }
            // Too slow, too many, or something is wrong over there.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(self.failed(at, message))
            }
            status if status.is_server_error() => Err(self.failed(at, message)),
            status => {
                self.succeeded(at);
                Err(CallError::Refused { status, message })
            }
        }
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

    fn refused(&self, at: usize, status: StatusCode, message: String) {
        let why = match (status, &self.token) {
            (StatusCode::CONFLICT, _) => message,
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

/// How long to wait after so many tries in vain: longer and longer.
pub fn pause(tries: u32) -> Duration {
    let doubled = 1 << tries.saturating_sub(1).min(10);
    let longest = (PAUSE * doubled).min(LONGEST_PAUSE);
    // Or the workers of a farm would come back all at once.
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}
