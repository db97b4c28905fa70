//! A load generator for HTTP/1.1: many keep-alive connections, each asking as soon as it is answered.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a load brought.
pub struct Load {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Answers that were not what they should be.
    pub wrong: usize,
}

/// Sends requests from `connections` for `time`; `request(n)` is the n-th one's text, and
/// `status` what each should be answered.
pub async fn load(
    port: u16,
    connections: usize,
    time: Duration,
    status: u16,
    request: impl Fn(u64) -> String + Clone + Send + 'static,
) -> Load {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..connections as u64)
        .map(|first| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                let (mut taken, mut wrong) = (Vec::new(), 0);
                for n in (first..).step_by(connections) {
                    let asked = Instant::now();
                    if asked - begun >= time {
                        break;
                    }
                    wrong += usize::from(connection.ask(&request(n)).await != status);
                    taken.push(asked.elapsed());
                }
                (taken, wrong)
            })
        })
        .collect();
    let (mut taken, mut wrong) = (Vec::new(), 0);
    for task in tasks {
        let (some, more) = task.await.unwrap();
        taken.extend(some);
        wrong += more;
    }
    let seconds = begun.elapsed().as_secs_f64();
    taken.sort_unstable();
    Load {
        per_second: taken.len() as f64 / seconds,
        p50: taken[taken.len() / 2],
        p99: taken[taken.len() * 99 / 100],
        wrong,
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream,
            buffer: vec![0; 1 << 17],
        }
    }

    /// Sends a request, reads the whole answer, and returns its status.
    async fn ask(&mut self, request: &str) -> u16 {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some((status, length)) = answer(&self.buffer[..filled])
                && filled >= length
            {
                return status;
            }
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
        }
    }
}

/// Status and total length of an answer whose headers are complete.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let status = text[9..12].parse().unwrap();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    Some((status, head + length))
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

pub fn post(path: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    )
}
