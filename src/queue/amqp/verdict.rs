//! What becomes of messages, said by whoever knows and told to the broker in one place.

use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::oneshot;

/// What is to become of a message.
pub enum Verdict {
    Ack(Acker),
    /// Another consumer shall have it.
    Requeue(Acker),
    /// No message: answered when the broker has been told all that was said before.
    Flush(oneshot::Sender<()>),
}

/// Tells the broker. Of a connection that is lost there is nothing to tell: the broker gives its
/// messages to others by itself.
pub async fn pronounce(verdicts: flume::Receiver<Verdict>) {
    while let Ok(verdict) = verdicts.recv_async().await {
        let told = match verdict {
            Verdict::Ack(acker) => acker.ack(BasicAckOptions::default()).await,
            Verdict::Requeue(acker) => {
                let requeue = BasicNackOptions {
                    requeue: true,
                    ..BasicNackOptions::default()
                };
                acker.nack(requeue).await
            }
            Verdict::Flush(told) => {
                // Whoever asked may not wait any more.
                let _ = told.send(());
                continue;
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "a message could not be settled");
        }
    }
}
