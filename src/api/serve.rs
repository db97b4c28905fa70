//! Connections: accepted, bounded in number and in patience, and ended without breaking an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// A client has this long to send a request's headers, and an idle connection until it is closed.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// A client that takes nothing of its answer for this long is cut off.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Bytes of a request's headers: room for a long search.
const HEADER_BYTES: usize = 64 << 10;

/// Connections open at a time; further ones wait to be accepted.
const CONNECTIONS: usize = 8192;

/// Files that the rest of the process may need.
const OTHER_FILES: u64 = 64;

/// Serves until `stop` is cancelled, then lets the requests that are on be answered.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(places()));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES);
    let service = TowerToHyperService::new(app);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, say, or a client that is gone already. Trying on at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = http.serve_connection(TokioIo::new(patient(stream)), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

fn patient(stream: TcpStream) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    // Without it an answer's last packet may wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    Box::pin(stream)
}

/// As many connections as the process may have files open, which is raised to what the system
/// allows.
fn places() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let places = files.saturating_sub(OTHER_FILES);
    usize::try_from(places).map_or(CONNECTIONS, |places| places.clamp(16, CONNECTIONS))
}
