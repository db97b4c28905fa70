//! The HTTP API and the web page: routes by resource.
//!
//! The original's routes and documents, without its faults; `/v1/openapi.json` describes them.

mod access;
mod animations;
mod archive;
mod body;
mod delivery;
mod error;
mod events;
mod farm;
mod fractals;
mod health;
mod images;
mod import;
mod leases;
mod link;
mod metrics;
mod outgoing;
mod pages;
mod query;
mod reel;
mod request;
pub mod serve;
mod thumbs;
mod tiles;
mod tls;

use std::path::PathBuf;
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
use crate::history::History;
use crate::lessor::Lessor;
use crate::metrics::{BrokerMetrics, HttpMetrics, Metrics};
use crate::queue::amqp::News;
use crate::studio::Studio;
use crate::wire::ProgressDoc;

pub use access::Access;
use access::TokenScheme;
pub use link::Way;
use outgoing::Outgoing;
pub use tls::{Tls, TlsError};

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    farm: Arc<Farm>,
    metrics: Arc<Metrics>,
    lessor: Arc<Lessor>,
    hub: Arc<events::Hub>,
    uploads: Arc<Semaphore>,
    outgoing: Arc<Outgoing>,
    tiles: Arc<tiles::Tiles>,
    thumbs: Arc<thumbs::Thumbs>,
    history: Arc<History>,
    way: Way,
    /// The connection to the message broker, where there is to be one.
    broker: Option<BrokerMetrics>,
    stop: CancellationToken,
}

/// The way to the farm's other API nodes: a message broker.
pub struct Fellows {
    pub news: Arc<News>,
    pub broker: BrokerMetrics,
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

/// The rest of the node, as far as the routes lead to it.
pub struct Parts {
    pub farm: Arc<Farm>,
    pub lessor: Arc<Lessor>,
    /// Those of the other parts.
    pub metrics: Metrics,
    /// With them the news are shared.
    pub fellows: Option<Fellows>,
    /// Folder for thumbnails, which are made once.
    pub thumbnails: PathBuf,
}

/// All routes. Event streams end, and readiness with them, when `stop` is cancelled.
pub fn router(parts: Parts, access: Access, way: Way, stop: CancellationToken) -> Router {
    let Parts {
        farm,
        lessor,
        mut metrics,
        fellows,
        thumbnails,
    } = parts;
    let access = Arc::new(access);
    let requests = Arc::new(HttpMetrics::default());
    metrics.add(&*requests);
    let studio = Studio::default();
    let api = Api {
        hub: Arc::new(events::Hub::start(
            &farm,
            fellows.as_ref().map(|fellows| fellows.news.clone()),
            stop.clone(),
        )),
        broker: fellows.map(|fellows| fellows.broker),
        history: History::start(farm.clone(), stop.clone()),
        farm,
        metrics: Arc::new(metrics),
        lessor,
        uploads: Arc::new(Semaphore::new(delivery::UPLOADS as usize)),
        outgoing: Arc::default(),
        tiles: Arc::new(tiles::Tiles::new(studio.clone())),
        thumbs: Arc::new(thumbs::Thumbs::new(studio, thumbnails)),
        way,
        stop,
    };
    let (documented, openapi) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(fractals::create, fractals::list))
        .routes(routes!(fractals::show, fractals::delete, delivery::deliver))
        .routes(routes!(fractals::retry))
        .routes(routes!(import::import))
        .routes(routes!(farm::wait))
        .routes(routes!(farm::farm))
        .routes(routes!(leases::lease))
        .routes(routes!(leases::claim))
        .routes(routes!(leases::renew))
        .routes(routes!(leases::give_back))
        .routes(routes!(leases::workers))
        .routes(routes!(images::image))
        .routes(routes!(archive::archive))
        .routes(routes!(animations::create, animations::list))
        .routes(routes!(animations::show, animations::delete))
        .routes(routes!(tiles::tile))
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
        .route("/explore", get(pages::explore))
        .route("/animate", get(pages::animate))
        .route("/farm", get(pages::farm))
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
