//! Brings the farm what is rendered, and keeps what it cannot take now.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{StatusCode, header};

use super::Remote;
use super::endpoints::{CallError, pause};
use super::outbox::Due;
use crate::wire::FractalDoc;

/// An image must be taken within this time.
const DELIVERY_TIME: Duration = Duration::from_secs(150);

/// Delivers one result after the other.
pub async fn deliver(remote: Arc<Remote>) {
    let mut vain = 0;
    loop {
        let parcel = match remote.outbox.next().await {
            Due::Deliver(parcel) => parcel,
            Due::Lost(row) => {
                remote.bring_back_row(row, None).await;
                continue;
            }
        };
        let (row, uuid) = (parcel.row, parcel.uuid);
        let call = remote.endpoints.call(DELIVERY_TIME, |http, base| {
            let outcome = &parcel.outcome;
            http.put(format!("{base}/v1/fractal/{uuid}"))
                .query(&[("row", row.to_string())])
                .query(&[("duration", outcome.duration)])
                .query(&[
                    ("generated_by", &outcome.generated_by),
                    ("checksum", &outcome.checksum),
                ])
                .header(header::CONTENT_TYPE, "image/png")
                .body(parcel.png.clone())
        });
        // Others than the farm may answer that all is well, too; it tells of the fractal.
        let answer = match call.await {
            Ok(answer) => remote.endpoints.read::<FractalDoc>(answer).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(_) => {
                vain = 0;
                remote.note_keeping(Ok(()));
            }
            Err(CallError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => tracing::debug!(%uuid, "deleted while it was rendered"),
            Err(CallError::Refused { message, .. }) => {
                tracing::error!(%uuid, why = %message, "the farm refuses a result");
                // Until that is told it is on its way: whoever leaves waits for it.
                let failure = format!("the farm refused the result: {message}");
                remote.bring_back_row(row, Some(failure)).await;
                remote.outbox.done(parcel);
                // What is held of that row by now was lent anew.
                continue;
            }
            Err(error) => {
                tracing::debug!(%uuid, %error, "cannot deliver a result; it is kept");
                remote.outbox.again(parcel);
                if let CallError::NotNow(why) = error {
                    remote.note_keeping(Err(&why));
                    remote.outbox.spill().await;
                    vain += 1;
                    tokio::time::sleep(pause(vain)).await;
                } else if remote.endpoints.are_down() {
                    remote.outbox.spill().await;
                }
                continue;
            }
        }
        remote.outbox.done(parcel);
        remote.release(row);
    }
}

impl Remote {
    /// Takes note of whether the farm could keep a result, or why not; the log hears of changes.
    fn note_keeping(&self, kept: Result<(), &str>) {
        let full = kept.is_err();
        if self.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        match kept {
            Ok(()) => tracing::info!("the farm keeps results again"),
            Err(why) => {
                tracing::warn!(
                    why,
                    "the farm cannot keep results now; they wait here until it can"
                );
            }
        }
    }
}
