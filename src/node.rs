//! A running node: which parts a role starts, and in what order they stop.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::{self, Access, Fellows, Parts, Tls, TlsError, Way};
use crate::config::{Config, ConfigError, WorkerConfig};
use crate::crews;
use crate::demo;
use crate::farm::Farm;
use crate::lessor::Lessor;
use crate::log::{self, LogFormat};
use crate::metrics::{BrokerMetrics, Metrics, Moment};
use crate::queue::LocalQueue;
use crate::queue::amqp::{AmqpQueue, News};
use crate::render;
use crate::roster::Roster;
use crate::service;
use crate::store::{self, OpenError, StoreError};
use crate::tokens::{Keeper, KeeperError, Kind, Made, Token};
use crate::watched::Watched;
use crate::worker::remote::{self, Remote, RemoteError};
use crate::worker::{self, Sink, Source, Workers};

/// What a node is for.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Render here, or leave that to others.
    pub renders: bool,
    /// Fill an empty gallery.
    pub demo: bool,
}

/// What a node gets from whoever starts it, beside its settings.
pub struct Start {
    pub role: Role,
    /// Opened for it already, at the address of the settings.
    pub listener: Option<std::net::TcpListener>,
    /// Reads the settings again.
    pub reread: Box<dyn Fn() -> Result<Config, ConfigError> + Send>,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("cannot listen on {address}: {error}{}", hint(error))]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("cannot tell metrics at {address}: {error}; choose another --metrics-address")]
    Metrics {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Tokens(#[from] KeeperError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The farm does not let this worker in.
    #[error("{0}")]
    ShutOut(String),
    #[error("the server broke down; nothing accepted is lost")]
    Server,
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, perhaps another faafo, has that port: choose one with --bind-port"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root: choose one with --bind-port"
        }
        _ => "",
    }
}

/// Of the time that stopping may take, renders get this much to finish: begun anew elsewhere they
/// are done soon, and whoever pressed Ctrl-C waits.
const RENDERS_FINISH: Duration = Duration::from_secs(5);

/// Runs until the process is told to stop.
pub async fn run(mut config: Config, start: Start) -> Result<(), NodeError> {
    let begun = Instant::now();
    let role = start.role;
    let mut signals = Signals::new()?;
    let listen = |error| NodeError::Listen {
        address: config.address,
        error,
    };
    let tls = match &config.tls {
        Some(files) => Some(Arc::new(Tls::open(&files.cert, &files.key)?)),
        None => None,
    };
    let listener = match start.listener {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(config.address).await,
    };
    let listener = listener.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let host = worker::host_name();
    let store = tokio::select! {
        store = store::open(&config.database, &config.data_dir, &host) => store?,
        // While it waits for a database.
        () = signals.stop() => return Ok(()),
    };
    // Once the data folder is this process's own.
    let (keeper, made) = match &config.tokens {
        Some(places) => {
            let (keeper, made) = Keeper::open(&places.user, &places.worker)?;
            (Some(keeper), made)
        }
        None => (None, Made::new()),
    };
    let mut metrics = Metrics::default();
    metrics.add(store.metrics());
    let (broker, news) = (BrokerMetrics::default(), Arc::new(News::default()));
    metrics.add(&broker);
    let farm = match config.transport.clone() {
        None => Farm::open(store, LocalQueue::start, config.policy).await?,
        Some(transport) => {
            let (news, broker) = (news.clone(), broker.clone());
            let queue = |store| AmqpQueue::start(store, transport, news, broker);
            Farm::open(store, queue, config.policy).await?
        }
    };
    let farm = Arc::new(farm);
    metrics.add(farm.metrics());
    let workers = role
        .renders
        .then(|| start_workers(config.workers, &host, &farm));
    if let Some(workers) = &workers {
        metrics.add(workers.metrics());
    }

    let stop = CancellationToken::new();
    let crew = workers.as_ref().map(|workers| workers.crew().clone());
    let lessor = Lessor::start(farm.clone(), Roster::new(crew), config.lease, stop.clone());
    let crews = config.transport.is_some().then(|| {
        let shared = crews::share(lessor.clone(), news.clone(), stop.clone());
        tokio::spawn(shared)
    });
    let way = Way {
        tls: tls.is_some(),
        behind_proxy: config.behind_proxy,
    };
    let parts = Parts {
        farm: farm.clone(),
        lessor: lessor.clone(),
        metrics,
        fellows: config
            .transport
            .is_some()
            .then_some(Fellows { news, broker }),
        thumbnails: config.data_dir.join("thumbnails"),
    };
    let app = api::router(parts, Access::new(keeper), way, stop.clone());
    if role.demo
        && let Err(error) = demo::fill(&farm).await
    {
        tracing::warn!(%error, "cannot fill the gallery");
    }
    let mut server = tokio::spawn(api::serve::serve(listener, tls, app, stop.clone()));
    announce(&config, address, begun);
    announce_tokens(&config, &made);
    let status = format!("serving at {address}");
    service::ready(&status);
    let _alive = service::sign_of_life();

    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => {
                    service::reloading();
                    reload(&mut config, &farm, (start.reread)());
                    service::ready(&status);
                }
            },
            // It ends by itself only by a panic, which has been told.
            _ = &mut server => return Err(NodeError::Server),
        }
    }
    tracing::info!("stopping");
    service::stopping();
    stop.cancel();
    let drained = async {
        if let Some(workers) = workers {
            let patience = RENDERS_FINISH.min(config.grace_period / 2);
            workers.drain(patience).await;
        }
        // A panic in the server has been told already.
        let _ = server.await;
        lessor.close().await;
        if let Some(crews) = crews {
            // It has said by then that nobody works here any more.
            let _ = crews.await;
        }
        farm.close().await;
    };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        () = tokio::time::sleep(config.grace_period) => {
            tracing::warn!("the grace period is over: stopping in the middle; nothing accepted is lost");
        }
        () = signals.stop() => tracing::warn!("told twice: stopping in the middle; nothing accepted is lost"),
    }
    Ok(())
}

/// Takes up what can be taken up while the node runs. Tokens and certificates are by themselves.
fn reload(config: &mut Config, farm: &Farm, reread: Result<Config, ConfigError>) {
    let Some(new) = usable(reread, |new| config.fixed_that_differ(new)) else {
        return;
    };
    log::set_level(new.log_level);
    farm.set_policy(new.policy);
    config.log_level = new.log_level;
    config.policy = new.policy;
    config.grace_period = new.grace_period;
    tracing::info!("the settings were read again: limits, log_level and grace_period hold now");
}

/// The same for a worker.
fn reload_worker(config: &mut WorkerConfig, reread: Result<WorkerConfig, ConfigError>) {
    let Some(new) = usable(reread, |new| config.fixed_that_differ(new)) else {
        return;
    };
    log::set_level(new.log_level);
    config.log_level = new.log_level;
    config.grace_period = new.grace_period;
    tracing::info!("the settings were read again: log_level and grace_period hold now");
}

/// Settings that were read again, if they make sense; tells which of them differ in vain.
fn usable<C>(
    reread: Result<C, ConfigError>,
    fixed_that_differ: impl FnOnce(&C) -> Vec<&'static str>,
) -> Option<C> {
    let new = reread
        .inspect_err(|error| tracing::error!("{error}; the settings of before stay in use"))
        .ok()?;
    let fixed = fixed_that_differ(&new);
    if !fixed.is_empty() {
        tracing::warn!(
            "these settings have changed, which takes a restart: {}",
            fixed.join(", ")
        );
    }
    Some(new)
}

/// A worker whose farm is elsewhere finishes what it can in this time when it stops: others wait for
/// the rest.
const REMOTE_RENDERS_FINISH: Duration = Duration::from_secs(1);

/// What a worker gets from whoever starts it, beside its settings.
pub struct WorkerStart {
    pub token: Option<Watched<Token>>,
    /// Reads the settings again.
    pub reread: Box<dyn Fn() -> Result<WorkerConfig, ConfigError> + Send>,
}

/// Runs a worker of a farm elsewhere until the process is told to stop.
pub async fn run_worker(mut config: WorkerConfig, start: WorkerStart) -> Result<(), NodeError> {
    let mut signals = Signals::new()?;
    let (slots, name) = (config.workers, config.name.clone());
    let listener = match config.metrics_address {
        Some(address) => Some(metrics_listener(address).await?),
        None => None,
    };
    let running = Remote::start(remote::Settings {
        name: name.clone(),
        slots,
        endpoints: config.endpoints.clone(),
        token: start.token,
        transport: config.transport.clone(),
        ca_file: config.ca_file.clone(),
        spool: config.spool.clone(),
        spool_bytes: config.spool_bytes,
    })?;
    let workers = start_workers(slots, &name, running.remote());
    if let Some(listener) = listener {
        let mut metrics = Metrics::default();
        metrics.add(workers.metrics());
        if config.transport.is_some() {
            metrics.add(running.remote().broker_metrics());
        }
        let address = listener.local_addr()?;
        let (metrics, remote) = (Arc::new(metrics), running.remote().clone());
        tokio::spawn(crate::metrics::serve(listener, move || {
            metrics.text(&Moment {
                undelivered: Some(remote.undelivered()),
                ..Moment::default()
            })
        }));
        tracing::info!(%address, "metrics are told");
    }
    tracing::info!(name, slots, "ready");
    let status = format!("rendering as {name}, {slots} pictures at a time");
    service::ready(&status);
    let _alive = service::sign_of_life();
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => {
                    service::reloading();
                    reload_worker(&mut config, (start.reread)());
                    service::ready(&status);
                }
            },
            why = running.remote().shut_out() => return Err(NodeError::ShutOut(why)),
        }
    }
    tracing::info!("stopping");
    service::stopping();
    let grace = config.grace_period;
    let patience = REMOTE_RENDERS_FINISH.min(grace / 2);
    // Enough to write down what cannot be delivered.
    let end = tokio::time::Instant::now() + grace * 3 / 4;
    tokio::select! {
        () = running.leave(workers, patience, end) => tracing::info!("stopped"),
        () = tokio::time::sleep(grace) => {
            tracing::warn!("the grace period is over: stopping in the middle; the farm gives the tasks to others");
        }
        () = signals.stop() => tracing::warn!("told twice: stopping in the middle; the farm gives the tasks to others"),
    }
    Ok(())
}

async fn metrics_listener(address: SocketAddr) -> Result<TcpListener, NodeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| NodeError::Metrics { address, error })
}

fn start_workers<W: Source + Sink + 'static>(slots: usize, name: &str, farm: &Arc<W>) -> Workers {
    // Fails only if a pool is there already, which then serves as well.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(slots)
        .thread_name(|n| format!("render-{n}"))
        .build_global();
    Workers::start(slots, name, render::render_to_vec, farm)
}

fn announce(config: &Config, address: SocketAddr, begun: Instant) {
    tracing::info!(
        %address,
        data = %config.data_dir.display(),
        ms = begun.elapsed().as_millis() as u64,
        "ready"
    );
    if config.log_format == LogFormat::Text {
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        // No browser can be sent to "all addresses".
        let host = match address.ip() {
            ip if ip.is_unspecified() => worker::host_name(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        };
        let port = address.port();
        eprintln!("\n  The farm is open: {scheme}://{host}:{port}/   (Ctrl-C closes it)\n");
    }
}

/// Shows new tokens to whoever sits at the terminal. What goes elsewhere is a log, where secrets do
/// not belong.
fn announce_tokens(config: &Config, made: &Made) {
    let Some(places) = &config.tokens else {
        return;
    };
    for (kind, _) in made {
        let path = match kind {
            Kind::User => places.user.path(),
            Kind::Worker => places.worker.path(),
        };
        let (kind, command) = (kind.name(), kind.command());
        tracing::info!(path = %path.display(), "made a {kind} token: `{command}` prints it");
    }
    let in_the_clear = config.tls.is_none() && !config.behind_proxy;
    if in_the_clear && !config.address.ip().is_loopback() {
        tracing::warn!(
            "tokens cross the network unencrypted: serve HTTPS by --tls-cert and --tls-key, or say \
             --behind-proxy if a proxy does"
        );
    }
    if made.is_empty() || config.log_format != LogFormat::Text || !io::stderr().is_terminal() {
        return;
    }
    eprintln!(
        "\n  Who is to write or to work needs a token. These are new, and shown this once:\n"
    );
    for (kind, token) in made {
        let (name, secret, command) = (kind.name(), token.expose(), kind.command());
        eprintln!("    {name:<6}  {secret}   (`{command}` prints it again)");
    }
    eprintln!();
}

/// What a process is told, by a service manager or from the keyboard.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// A terminal that hangs up is closed; nobody else says so who does not mean the settings.
    at_terminal: bool,
}

enum Asked {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            at_terminal: io::stdin().is_terminal(),
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => match self.at_terminal {
                true => Asked::Stop,
                false => Asked::Reload,
            },
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {}
    }
}
