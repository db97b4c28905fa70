//! What a service manager gives a node and is told by it, as systemd has it. Without one all of this
//! does nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio_util::task::AbortOnDropHandle;

/// The socket that was opened for this process, which stays open when the process ends: whoever
/// connects between two of them waits. To be called while there is one thread.
pub fn inherited() -> io::Result<Option<(TcpListener, SocketAddr)>> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        let message = format!(
            "{} sockets were handed over, but one is served",
            sockets.len()
        );
        return Err(io::Error::other(message));
    }
    let Some(listener) = sockets.take_tcp_listener(0)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
}

/// It does its work.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its settings again, and will be ready.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It finishes what is on.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// Tells again and again that tasks of this runtime get their turn, if somebody wants to know, until
/// it is dropped.
pub fn sign_of_life() -> Option<AbortOnDropHandle<()>> {
    let patience = sd_notify::watchdog_enabled()?;
    let mut ticks = tokio::time::interval((patience / 3).max(Duration::from_millis(1)));
    let signs = async move {
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    };
    Some(AbortOnDropHandle::new(tokio::spawn(signs)))
}

/// Where the units of the package have their credentials from, for root alone.
const STORE: &str = "/etc/credstore";

/// This process speaks for the service that the package installs, and is not it.
static SPEAKS_FOR_IT: AtomicBool = AtomicBool::new(false);

/// Where its units keep their state.
const STATE: &str = "/var/lib/faafo";

/// From now on the service's state and its credentials are this process's own: root may read both.
pub fn speak_for_it() {
    SPEAKS_FOR_IT.store(true, Ordering::Relaxed);
}

/// The folder for what the service keeps, if this process is one.
pub fn state_folder() -> Option<PathBuf> {
    match std::env::var_os("STATE_DIRECTORY") {
        Some(folder) => Some(PathBuf::from(folder)),
        None if SPEAKS_FOR_IT.load(Ordering::Relaxed) => Some(PathBuf::from(STATE)),
        None => None,
    }
}

/// The file of a credential that was handed over, if there is one of this name.
pub fn credential(name: &str) -> Option<PathBuf> {
    let file = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => PathBuf::from(folder).join(name),
        None if SPEAKS_FOR_IT.load(Ordering::Relaxed) => {
            PathBuf::from(STORE).join(format!("faafo-{name}"))
        }
        None => return None,
    };
    file.exists().then_some(file)
}
