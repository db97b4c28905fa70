//! Connections: accepted, bounded in number and in patience, and ended without breaking an answer.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Tls;
use super::access::Peer;

/// A client has this long to send a request's headers, and an idle connection until it is closed.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// A client has this long to agree on how to encrypt.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// A client that takes nothing of its answer for this long is cut off.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Bytes of a request's headers: room for a long search.
const HEADER_BYTES: usize = 64 << 10;

/// Connections open at a time; further ones wait to be accepted.
const CONNECTIONS: usize = 16_384;

/// Files that the rest of the process may need.
const OTHER_FILES: u64 = 64;

/// Serves until `stop` is cancelled, then lets the requests that are on be answered.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    app: Router,
    stop: CancellationToken,
) {
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
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, say, or a client that is gone already. Trying on at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let caller = Caller {
            peer: peer.ip(),
            http: http.clone(),
            service: service.clone(),
            watcher: graceful.watcher(),
        };
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => caller.attend(patient(stream)).await,
                // Apart, because it is larger: ten thousand workers may wait without.
                Some(tls) => Box::pin(caller.attend_encrypted(stream, &tls, stop)).await,
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// One connection, until it ends.
struct Caller {
    peer: IpAddr,
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
}

impl Caller {
    async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Caller { peer, service, .. } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            service.call(request)
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke off");
        }
    }

    async fn attend_encrypted(self, stream: TcpStream, tls: &Tls, stop: CancellationToken) {
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, encrypted(stream, tls));
        tokio::select! {
            // Nothing has been asked yet that should be answered.
            () = stop.cancelled() => {}
            done = handshake => match done {
                Ok(Ok(stream)) => self.attend(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "no agreement on encryption"),
                Err(_) => tracing::debug!("a client never began to encrypt"),
            }
        }
    }
}

type Patient = Pin<Box<TimeoutStream<TcpStream>>>;

/// How a client begins to encrypt; HTTP begins with a letter.
const TLS_RECORD: u8 = 22;

/// What a client hears that does not.
const WRITE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
    Content-Length: 65\r\nConnection: close\r\n\r\n\
    {\"message\": \"this farm is served encrypted: begin with https://\"}";

async fn encrypted(stream: TcpStream, tls: &Tls) -> io::Result<TlsStream<Patient>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [TLS_RECORD] {
        // Closed with the request unread, the connection would break before the answer is there.
        let _ = stream.try_read(&mut [0; 4096]);
        let _ = stream.try_write(WRITE_HTTPS);
        return Err(io::Error::other("the client speaks plain HTTP"));
    }
    tls.acceptor().accept(patient(stream)).await
}

fn patient(stream: TcpStream) -> Patient {
    // Without it an answer's last packet may wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    Box::pin(stream)
}

/// Memory of a connection, with a request on; connections together get a quarter of it all.
const CONNECTION_MEMORY: u64 = 16 << 10;

/// As many connections as the process may have files open, which is raised to what the system
/// allows, and as fit into its memory.
fn places() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let memory = crate::memory::limit().unwrap_or(u64::MAX);
    let places = files
        .saturating_sub(OTHER_FILES)
        .min(memory / 4 / CONNECTION_MEMORY);
    usize::try_from(places).map_or(CONNECTIONS, |places| places.clamp(16, CONNECTIONS))
}
