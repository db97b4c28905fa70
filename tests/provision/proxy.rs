//! A way to a service of the lab on which things go wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::common::client;

/// What goes wrong, from the first request on.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The service is out of order for so long.
    Away(Duration),
    /// So many tokens have run out on the way: the service itself refuses them.
    Stale(usize),
    /// It has too much to do for so long from the first request on, and says for how many seconds.
    Busy(Duration, &'static str),
    /// So many answers to GET break off in the middle.
    Cut(usize),
    /// What is asked for is done, but the answer is lost: the first of each of these, by how their
    /// paths end.
    Lost(&'static [&'static str]),
}

pub struct Proxy {
    pub url: String,
    /// Requests that went wrong.
    pub spoiled: Arc<AtomicUsize>,
}

/// Passes everything on to `target`, but for what goes wrong.
pub async fn start(target: String, fault: Fault) -> Proxy {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let spoiled = Arc::new(AtomicUsize::new(0));
    let (begun, count, http) = (Instant::now(), spoiled.clone(), client());
    let lost = Arc::new(Mutex::new(Vec::new()));
    let first = Arc::new(OnceLock::new());
    let pass = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (target, http, count) = (target.clone(), http.clone(), count.clone());
        let (lost, first) = (lost.clone(), first.clone());
        async move {
            let mut headers = headers;
            headers.remove("host");
            let mut cut = false;
            match fault {
                Fault::Busy(time, again) if first.get_or_init(Instant::now).elapsed() < time => {
                    count.fetch_add(1, Ordering::SeqCst);
                    let busy = StatusCode::TOO_MANY_REQUESTS;
                    return (busy, [("retry-after", again)]).into_response();
                }
                Fault::Cut(most) if method == "GET" && count.load(Ordering::SeqCst) < most => {
                    count.fetch_add(1, Ordering::SeqCst);
                    cut = true;
                }
                Fault::Lost(paths) if method == "POST" || method == "PUT" => {
                    let end = paths.iter().find(|end| uri.path().ends_with(**end));
                    let mut lost = lost.lock().unwrap();
                    if let Some(end) = end.filter(|end| !lost.contains(*end)) {
                        lost.push(*end);
                        count.fetch_add(1, Ordering::SeqCst);
                        cut = true;
                    }
                }
                Fault::Away(time) if begun.elapsed() < time => {
                    count.fetch_add(1, Ordering::SeqCst);
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                Fault::Stale(most) if count.load(Ordering::SeqCst) < most => {
                    count.fetch_add(1, Ordering::SeqCst);
                    headers.insert("x-auth-token", "gAAAAABstale".parse().unwrap());
                }
                _ => {}
            }
            let path = uri.path_and_query().unwrap().as_str();
            let request = http
                .request(method, format!("{target}{path}"))
                .headers(headers);
            let answer = request.body(body).send().await.unwrap();
            let mut response = Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                if name != "transfer-encoding" && name != "connection" {
                    response = response.header(name, value);
                }
            }
            let body = answer.bytes().await.unwrap();
            let body = match cut {
                true => {
                    let half = body.slice(..body.len() / 2);
                    let broken = std::io::Error::other("cut");
                    Body::from_stream(futures_util::stream::iter([Ok(half), Err(broken)]))
                }
                false => body.into(),
            };
            response.body(body).unwrap()
        }
    };
    let app = Router::new().fallback(pass);
    tokio::spawn(async move {
        let listener = axum::serve(listener, app);
        listener.await.unwrap();
    });
    Proxy { url, spoiled }
}
