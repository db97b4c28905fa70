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
use crate::roster::{Crew, TOLD};
use crate::wire::lease::CrewDoc;

/// Workers for which a node waits a second longer before it tells of them again.
const WORKERS_A_SECOND: u64 = 100;

/// Most bytes of what a node may say.
const MOST_BYTES: usize = 1 << 20;

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
                    if let Some(crew) = crew(&document) {
                        lessor.roster().elsewhere().hear(node, crew);
                    }
                }
                // A node is new here, or back.
                Ok(Heard::Missed) => next = Instant::now(),
                Ok(Heard::Event(..)) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// What a node told, which comes from outside: nothing, if it makes no sense.
fn crew(document: &[u8]) -> Option<Crew> {
    if document.len() > MOST_BYTES {
        return None;
    }
    let doc: CrewDoc = serde_json::from_slice(document).ok()?;
    Some(doc.into())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::roster::Elsewhere;

    #[test]
    fn what_is_no_crew_is_not_taken_for_one() {
        for nonsense in [
            "",
            "{}",
            "[]",
            r#"{"count": -1, "slots": 1, "workers": []}"#,
        ] {
            assert!(crew(nonsense.as_bytes()).is_none(), "{nonsense}");
        }
        let (elsewhere, node) = (Elsewhere::default(), Uuid::new_v4());
        let worker = r#"{"id": "6f1fae11-52b2-4e0c-9f1f-5a6f6d1d2b11", "name": "w", "version": "9",
            "slots": 2, "rendering": [], "done": 1, "rate": 0.5, "silent": SILENT, "mood": "fine"}"#;
        for (silent, listed) in [("1", 1), ("-1", 1), ("1e300", 0)] {
            let worker = worker.replace("SILENT", silent);
            let told = format!(r#"{{"count": 5, "slots": 9, "workers": [{worker}], "more": 1}}"#);
            elsewhere.hear(node, crew(told.as_bytes()).unwrap());
            let (unnamed, workers) = elsewhere.workers();
            assert_eq!((unnamed, workers.len(), elsewhere.slots()), (4, listed, 9));
        }
        elsewhere.hear(node, Crew::default());
        assert_eq!((elsewhere.workers().0, elsewhere.slots()), (0, 0));
    }
}
