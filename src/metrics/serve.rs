//! Metrics of a process that serves nothing else.

use std::io;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;

use super::CONTENT_TYPE;

/// Answers `GET /metrics` with `text`, and nothing else, without end.
pub async fn serve(
    listener: TcpListener,
    text: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    let answer = move || {
        let text = text();
        async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text) }
    };
    axum::serve(listener, Router::new().route("/metrics", get(answer))).await
}
