//! The HTTP API and the web page: routes by resource.
//!
//! The original's routes and documents, without its faults; `/v1/openapi.json` describes them.

mod access;
mod body;
mod delivery;
mod error;
mod events;
mod fractals;
mod health;
mod images;
mod leases;
mod link;
mod metrics;
mod pages;
mod query;
mod request;
pub mod serve;
mod tls;

use std::sync::Arc;

use axum::http::header;
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::farm::Farm;
use crate::lessor::Lessor;
use crate::metrics::{HttpMetrics, Metrics};
use crate::wire::ProgressDoc;

pub use access::Access;
use access::TokenScheme;
pub use link::Way;
pub use tls::{Tls, TlsError};

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    farm: Arc<Farm>,
    metrics: Arc<Metrics>,
    lessor: Arc<Lessor>,
    hub: Arc<events::Hub>,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    way: Way,
    stop: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "faafo",
        description = "A fractal render farm: create fractals, watch them being rendered, fetch the images."
    ),
    // What no answer but the stream of events has.
    components(schemas(ProgressDoc)),
    modifiers(&TokenScheme)
)]
struct Description;

/// All routes. Event streams end, and readiness with them, when `stop` is cancelled. `metrics` has
/// those of the other parts of the node.
pub fn router(
    farm: Arc<Farm>,
    lessor: Arc<Lessor>,
    access: Access,
    way: Way,
    mut metrics: Metrics,
    stop: CancellationToken,
) -> Router {
    let access = Arc::new(access);
    let requests = Arc::new(HttpMetrics::default());
    metrics.add(&*requests);
    let api = Api {
        hub: Arc::new(events::Hub::start(&farm, stop.clone())),
        farm,
        metrics: Arc::new(metrics),
        lessor,
        uploads: Arc::new(Semaphore::new(delivery::UPLOADS as usize)),
        downloads: Arc::new(Semaphore::new(images::KILOBYTES_ON_THE_WAY)),
        way,
        stop,
    };
    let (documented, openapi) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(fractals::create, fractals::list))
        .routes(routes!(fractals::show, fractals::delete, delivery::deliver))
        .routes(routes!(fractals::retry))
        .routes(routes!(leases::lease))
        .routes(routes!(leases::renew))
        .routes(routes!(leases::give_back))
        .routes(routes!(leases::workers))
        .routes(routes!(images::image))
        .routes(routes!(events::events))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    // A description made of derived parts always serialises.
    let openapi = Bytes::from(openapi.to_json().unwrap_or_default());
    let openapi = ([(header::CONTENT_TYPE, "application/json")], openapi);
    let routes = documented
        .route("/v1/openapi.json", get(|| std::future::ready(openapi)))
        .route("/", get(pages::index))
        .route("/index", get(pages::index))
        .route("/index/{page}", get(pages::index_page))
        .route("/view/{uuid}", get(pages::view))
        .route("/static/{*path}", get(pages::file))
        .route("/favicon.ico", get(pages::favicon))
        .layer(middleware::from_fn(request::note_route))
        .with_state(api);
    // Around the whole router, not each route: it adds to answers only after its own layers.
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn_with_state(
            access.clone(),
            access::admit,
        ))
        .layer(middleware::from_fn_with_state(
            (access, way),
            request::guard,
        ))
        .layer(middleware::from_fn(request::dress))
        .layer(middleware::from_fn_with_state(requests, request::identify))
}
