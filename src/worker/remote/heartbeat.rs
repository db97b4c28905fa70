//! Tells the farm what this worker is at, and learns what is no longer wanted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoints::CallError;
use super::{ANSWER_TIME, Held, Remote};
use crate::wire::lease::{HeldDoc, RenewDoc, RenewedDoc};

/// The pause between heartbeats before the farm has said how long it is to be.
const FIRST_PACE: Duration = Duration::from_secs(1);

/// Most leases of a request: the farm takes a megabyte of them, and a worker may hold any number of
/// results that nobody takes.
const LEASES: usize = 2000;

/// A worker that holds nothing says this often that it is there.
const ANNOUNCE: Duration = Duration::from_secs(10);

/// Renews what is held, and says that the worker is there.
pub async fn heartbeat(remote: Arc<Remote>) {
    let (mut pace, mut last) = (FIRST_PACE, None::<Instant>);
    loop {
        tokio::time::sleep(pace).await;
        // A request for tasks says that it is there; but while none is wanted, none is sent.
        let asks = remote.asks.load(Ordering::Relaxed);
        let known = asks || last.is_some_and(|last| last.elapsed() < ANNOUNCE);
        if remote.held().is_empty() && known {
            continue;
        }
        match remote.renew().await {
            Ok(next) => (pace, last) = (next, Some(Instant::now())),
            Err(error) => tracing::debug!(%error, "cannot renew"),
        }
    }
}

impl Remote {
    /// Tells the farm what is held. Whoever holds something that is gone stops.
    async fn renew(&self) -> Result<Duration, CallError> {
        let _talk = self.talk.lock().await;
        let held = self.all_held();
        let mut parts = held.chunks(LEASES);
        // One that holds nothing still says that it is there.
        let mut pace = self.renew_part(parts.next().unwrap_or_default()).await?;
        for part in parts {
            pace = self.renew_part(part).await?;
        }
        Ok(pace)
    }

    fn all_held(&self) -> Vec<HeldDoc> {
        let of = |held: &Held| HeldDoc {
            lease: held.lease,
            row: held.task.row,
            uuid: held.task.uuid,
            rendering: held.rendering,
            fraction: held.fraction,
        };
        self.held().values().map(of).collect()
    }

    async fn renew_part(&self, leases: &[HeldDoc]) -> Result<Duration, CallError> {
        let doc = RenewDoc {
            worker: self.announce(),
            leases: leases.to_vec(),
        };
        let call = self.endpoints.call(ANSWER_TIME, |http, base| {
            http.post(format!("{base}/v1/leases/renew")).json(&doc)
        });
        let renewed: RenewedDoc = self.endpoints.read(call.await?).await?;
        let mut held = self.held();
        for (_, held) in held.extract_if(|_, held| renewed.gone.contains(&held.lease)) {
            held.task.cancel.cancel();
            held.end();
        }
        let next = renewed.next_seconds;
        Ok(
            Duration::try_from_secs_f64(next).map_or(FIRST_PACE, |next| {
                next.clamp(Duration::from_millis(50), ANNOUNCE)
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::wire::lease::{AnnounceDoc, PROTOCOL};

    #[test]
    fn as_many_leases_as_a_request_renews_fit_into_one() {
        let held = HeldDoc {
            lease: Uuid::max(),
            row: i64::MAX,
            uuid: Uuid::max(),
            rendering: false,
            fraction: Some(1.0 / 3.0),
        };
        let doc = RenewDoc {
            worker: AnnounceDoc {
                id: Uuid::max(),
                // Quotes are sent as two characters.
                name: "\"".repeat(256),
                version: "\"".repeat(256),
                protocol: PROTOCOL,
                slots: u32::MAX,
                done: u64::MAX,
                rate: f64::MIN_POSITIVE,
            },
            leases: vec![held; LEASES],
        };
        assert!(serde_json::to_vec(&doc).unwrap().len() < 1 << 20);
    }
}
