//! Each API node tells the others by the message broker who works at it, so that every node's list is
//! whole. Nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lessor::Lessor;
use crate::queue::amqp::{Heard, News, WORKERS};
use crate::roster::TOLD;
use crate::wire::lease::CrewDoc;

/// Workers for which a node waits a second longer before it tells of them again.
const WORKERS_A_SECOND: u64 = 100;

/// Tells the other nodes who works here, and listens to them, until `stop` is cancelled.
pub async fn share(lessor: Arc<Lessor>, news: Arc<News>, stop: CancellationToken) {
    let tell = |crew: &CrewDoc| {
        // Numbers and names always serialise.
        let document = serde_json::to_vec(crew).unwrap_or_default();
        news.tell(WORKERS, Bytes::from(document));
    };
    let mut heard = news.subscribe();
    let (mut next, mut told) = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // They go to other nodes now, which tell of them.
                return tell(&CrewDoc::default());
            }
            () = tokio::time::sleep_until(next) => {
                let crew = lessor.crew(TOLD);
                if crew.count > 0 || told > 0 {
                    tell(&crew);
                }
                told = crew.count;
                let seconds = 1 + told.min(TOLD as u64) / WORKERS_A_SECOND;
                next = Instant::now() + Duration::from_secs(seconds);
            }
            said = heard.recv() => match said {
                Ok(Heard::Workers(node, document)) => {
                    lessor.roster().elsewhere().hear(node, &document);
                }
                // A node is new here, or back.
                Ok(Heard::Missed) => next = Instant::now(),
                Ok(Heard::Event(..)) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}
