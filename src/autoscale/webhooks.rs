//! Scaling by others: one address is called for a worker more, another for one fewer, as Heat's scaling
//! policies have them. A call says nothing of what comes of it.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use super::farm::Look;
use super::ledger::{Call, Ledger};
use crate::outward::{self, OutwardError, root_cause};

/// A call must be answered within this time.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What calls are made of. An address is as good as a password: nobody is told of more than its host.
pub struct Addresses {
    pub more: Url,
    pub fewer: Url,
}

pub struct Webhooks {
    http: reqwest::Client,
    addresses: Option<Addresses>,
    ledger: Ledger,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the webhook at {host} answers {status}{}", hint(*status))]
    Refused {
        host: String,
        status: reqwest::StatusCode,
    },
    #[error("the webhook at {host} cannot be reached: {why}")]
    Unreachable { host: String, why: String },
}

fn hint(status: reqwest::StatusCode) -> &'static str {
    match status.is_client_error() {
        true => ": is its address still what the stack's outputs say?",
        false => "",
    }
}

impl Webhooks {
    /// Without addresses nobody is called, and it only tells how many workers there are.
    pub fn new(
        addresses: Option<Addresses>,
        ledger: Ledger,
        ca_file: Option<&Path>,
    ) -> Result<Webhooks, OutwardError> {
        let urls = addresses.iter().flat_map(|both| [&both.more, &both.fewer]);
        let https = urls.into_iter().any(|url| url.scheme() == "https");
        let http = outward::builder(ca_file, https)?.timeout(ANSWER_TIME);
        Ok(Webhooks {
            http: http.build().map_err(OutwardError::Tls)?,
            addresses,
            ledger,
        })
    }

    pub fn blind(&mut self) {
        self.ledger.blind();
    }

    pub fn have(&mut self, now: Duration, look: &Look) -> u32 {
        self.ledger.look(now, look.workers.len() as u32);
        self.ledger.have()
    }

    /// Calls for one worker more, or one fewer, if that is due. Whether it was.
    pub async fn scale(
        &mut self,
        now: Duration,
        wanted: u32,
        look: &Look,
    ) -> Result<bool, CallError> {
        let (Some(addresses), Some(call)) = (&self.addresses, self.ledger.due(now, wanted, look))
        else {
            return Ok(false);
        };
        let url = match call {
            Call::More => &addresses.more,
            Call::Fewer => &addresses.fewer,
        };
        let host = url.host_str().unwrap_or("?").to_owned();
        let called = match self.http.post(url.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(true),
            Ok(answer) => {
                let status = answer.status();
                return Err(CallError::Refused { host, status });
            }
            Err(error) => {
                let (connects, why) = (error.is_connect(), root_cause(&error.without_url()));
                let unreachable = CallError::Unreachable { host, why };
                if connects {
                    return Err(unreachable);
                }
                // It may have got through before the connection broke: better one too few.
                Err(unreachable)
            }
        };
        self.ledger.called(now, call);
        called
    }
}
