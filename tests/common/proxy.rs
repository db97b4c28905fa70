//! A link that can be cut and frozen: a proxy for TCP on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Nothing is carried and nothing is closed, as when a cable is pulled.
    Frozen,
    /// Connections are closed, and new ones at once.
    Cut,
}

pub struct Proxy {
    pub port: u16,
    state: watch::Sender<State>,
    /// What is said instead of what, on the way there: as many bytes.
    words: Words,
}

type Words = Arc<Mutex<(String, String)>>;

impl Proxy {
    /// To a port of loopback, from a new one; open, for as long as the test's runtime is.
    pub async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (state, seen) = watch::channel(State::Open);
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            state,
            words: Words::default(),
        };
        let words = proxy.words.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, port, seen.clone(), words.clone()));
            }
        });
        proxy
    }

    /// [`State::Cut`], and the connections are.
    pub async fn cut(&self) {
        self.set(State::Cut);
        while self.state.receiver_count() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Says `there` for `here`, which must not be longer or shorter.
    pub async fn that_says(port: u16, here: &str, there: &str) -> Proxy {
        let proxy = Proxy::to(port).await;
        proxy.say(here, there);
        proxy
    }

    /// From now on, as [`Proxy::that_says`]; an empty `here` leaves all as it is.
    pub fn say(&self, here: &str, there: &str) {
        assert_eq!(here.len(), there.len());
        *self.words.lock().unwrap() = (here.to_owned(), there.to_owned());
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn carry(near: TcpStream, port: u16, mut state: watch::Receiver<State>, words: Words) {
    let mut cut = state.clone();
    let both_ways = async {
        // A closed channel is the end of the test.
        if state.wait_for(|state| *state == State::Open).await.is_err() {
            return;
        }
        let far = SocketAddr::from(([127, 0, 0, 1], port));
        let Ok(far) = TcpStream::connect(far).await else {
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_reads, near_writes) = near.into_split();
        let (far_reads, far_writes) = far.into_split();
        tokio::join!(
            pump(near_reads, far_writes, state.clone(), words),
            pump(far_reads, near_writes, state.clone(), Words::default()),
        );
    };
    tokio::select! {
        () = both_ways => {}
        _ = cut.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    words: Words,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if state.wait_for(|state| *state == State::Open).await.is_err() {
            return;
        }
        replace(&mut buffer[..count], &words);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The other direction may go on.
    let _ = to.shutdown().await;
}

/// In what came in one piece.
fn replace(bytes: &mut [u8], words: &Words) {
    let words = words.lock().unwrap();
    let (here, there) = (words.0.as_bytes(), words.1.as_bytes());
    if here.is_empty() {
        return;
    }
    for place in 0..bytes.len().saturating_sub(here.len() - 1) {
        if bytes[place..].starts_with(here) {
            bytes[place..place + there.len()].copy_from_slice(there);
        }
    }
}
