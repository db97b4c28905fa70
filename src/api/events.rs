//! `GET /v1/events`: the news as server-sent events.
//!
//! Each event is put into words once, however many clients listen.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::ApiError;
use crate::events::Event;
use crate::farm::Farm;
use crate::queue::amqp::{Heard, News};
use crate::store::Counts;
use crate::wire::{CountsDoc, ErrorDoc, FractalDoc, ProgressDoc};

/// Events kept for a client that reads slowly; then it is told to look for itself.
const KEPT: usize = 1024;

/// Clients that may listen at a time.
const CLIENTS: usize = 1024;

/// The counts are told at most this often.
const COUNTS_PAUSE: Duration = Duration::from_millis(250);

/// Silence after which a comment is sent, so that everyone on the way sees the line is in use.
const SILENCE: Duration = Duration::from_secs(15);

pub struct Hub {
    frames: broadcast::Sender<Bytes>,
    counts: watch::Receiver<Counts>,
    clients: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Hub {
    /// Streams end when `stop` is cancelled. `news`: those of other nodes, and the way to them.
    pub fn start(farm: &Farm, news: Option<Arc<News>>, stop: CancellationToken) -> Hub {
        let frames = broadcast::Sender::new(KEPT);
        if let Some(news) = &news {
            tokio::spawn(pump_news(news.subscribe(), frames.clone()));
        }
        tokio::spawn(pump(farm.events().subscribe(), frames.clone(), news));
        tokio::spawn(pump_counts(farm.counts(), frames.clone()));
        Hub {
            frames,
            counts: farm.counts(),
            clients: Arc::new(Semaphore::new(CLIENTS)),
            stop,
        }
    }

    /// Clients that listen.
    pub fn listeners(&self) -> usize {
        self.frames.receiver_count()
    }
}

async fn pump(
    mut events: broadcast::Receiver<Arc<Event>>,
    frames: broadcast::Sender<Bytes>,
    news: Option<Arc<News>>,
) {
    loop {
        let frame = match events.recv().await {
            // Words nobody would hear are saved.
            Ok(_) if frames.receiver_count() == 0 && news.is_none() => continue,
            Ok(event) => {
                let Some((name, document)) = words(&event) else {
                    continue;
                };
                let frame = frame(name, &document);
                if let Some(news) = &news {
                    news.tell(name, document.into());
                }
                frame
            }
            Err(RecvError::Lagged(_)) => resync(),
            Err(RecvError::Closed) => return,
        };
        // The last client may just have left.
        let _ = frames.send(frame);
    }
}

async fn pump_counts(mut counts: watch::Receiver<Counts>, frames: broadcast::Sender<Bytes>) {
    while counts.changed().await.is_ok() {
        let now = *counts.borrow_and_update();
        if frames.receiver_count() > 0 {
            let _ = frames.send(queue(now));
        }
        tokio::time::sleep(COUNTS_PAUSE).await;
    }
}

/// What other nodes tell.
async fn pump_news(mut news: broadcast::Receiver<Heard>, frames: broadcast::Sender<Bytes>) {
    loop {
        let frame = match news.recv().await {
            Ok(_) if frames.receiver_count() == 0 => continue,
            Ok(Heard::Workers(..)) => continue,
            Ok(Heard::Event(name, document)) => match heard(&name, &document) {
                Some(frame) => frame,
                None => continue,
            },
            Ok(Heard::Missed) | Err(RecvError::Lagged(_)) => resync(),
            Err(RecvError::Closed) => return,
        };
        let _ = frames.send(frame);
    }
}

/// News of another node as a frame, if they are what they should be: they come from outside.
fn heard(name: &str, document: &[u8]) -> Option<Bytes> {
    let known = [
        "created", "queued", "running", "done", "failed", "deleted", "progress",
    ];
    let document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(document).ok()?;
    known.contains(&name).then(|| frame(name, &text(&document)))
}

/// The event's name and document, if it is for those who watch.
fn words(event: &Event) -> Option<(&'static str, String)> {
    let (name, fractal) = match event {
        Event::Created(fractal) => ("created", fractal),
        Event::Queued(fractal) => ("queued", fractal),
        Event::Running(fractal) => ("running", fractal),
        Event::Done(fractal) => ("done", fractal),
        Event::Failed(fractal) => ("failed", fractal),
        Event::Deleted(_, uuid) => {
            return Some(("deleted", text(&serde_json::json!({ "uuid": uuid }))));
        }
        &Event::Progress(uuid, fraction) => {
            return Some(("progress", text(&ProgressDoc { uuid, fraction })));
        }
        Event::Adopted(_) | Event::Departed(_) => return None,
    };
    Some((name, text(&FractalDoc::from(fractal.clone()))))
}

fn queue(counts: Counts) -> Bytes {
    frame("queue", &text(&CountsDoc::from(counts)))
}

/// Tells a client that it missed some news and should read the lists again.
fn resync() -> Bytes {
    Bytes::from_static(b"event: resync\ndata: {}\n\n")
}

/// JSON on one line, which has no line break that would end the frame; these documents always
/// serialise.
fn text(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

fn frame(name: &str, document: &str) -> Bytes {
    format!("event: {name}\ndata: {document}\n\n").into()
}

/// What happens to fractals, as it happens: `created`, `queued` (again), `running`, `done`,
/// `failed` with the fractal; `deleted` with its uuid; `progress` with the uuid of one that is
/// running and the `fraction` of its picture that is rendered, 0 to 1, about four times a second
/// for renders of more than half a second; `queue` with the counts, first of all and
/// whenever they change; `resync` when this client was too slow and missed some.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    responses(
        (status = 200, description = "a stream of server-sent events", content_type = "text/event-stream", body = String),
        (status = 503, description = "too many clients listen already, or the server is stopping", body = ErrorDoc),
    ))]
pub async fn events(State(api): State<Api>) -> Result<Response, ApiError> {
    let hub = &api.hub;
    let Ok(place) = hub.clients.clone().try_acquire_owned() else {
        let message = format!("{CLIENTS} clients listen already");
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(10));
    };
    if hub.stop.is_cancelled() {
        let message = "the server is stopping";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5));
    }
    let listener = Listener {
        frames: hub.frames.subscribe(),
        first: Some(queue(*hub.counts.borrow())),
        stop: hub.stop.clone(),
        _place: place,
    };
    let stream = stream::unfold(listener, |mut listener| async move {
        let frame = listener.next().await?;
        Some((Ok::<_, Infallible>(frame), listener))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

struct Listener {
    frames: broadcast::Receiver<Bytes>,
    first: Option<Bytes>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            () = self.stop.cancelled() => None,
            frame = self.frames.recv() => match frame {
                Ok(frame) => Some(frame),
                Err(RecvError::Lagged(_)) => Some(resync()),
                Err(RecvError::Closed) => None,
            },
            () = tokio::time::sleep(SILENCE) => Some(Bytes::from_static(b":\n\n")),
        }
    }
}
