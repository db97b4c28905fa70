//! What a broker calls itself: it says so before anything else, and the library keeps that to itself.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use lapin::types::AMQPValue;
use lapin::types::parsing::parse_field_table;
use lapin::uri::AMQPScheme;

use super::Transport;

/// How a client of this version of the protocol begins.
const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// What comes before the payload: kind of frame, channel, and the payload's length in four bytes.
const FRAME: usize = 7;

/// What comes before the broker's properties in there: class, method and version of the protocol.
const METHOD: usize = 6;

/// A greeting is never as long.
const MOST: u32 = 64 << 10;

const PATIENCE: Duration = Duration::from_secs(5);

/// Product and version of the broker, where it tells them without encryption.
pub async fn greeting(transport: &Transport) -> Option<String> {
    if !matches!(transport.uri.scheme, AMQPScheme::AMQP) {
        return None;
    }
    let authority = &transport.uri.authority;
    let (host, port) = (authority.host.clone(), authority.port);
    let asked = tokio::task::spawn_blocking(move || ask(&host, port)).await;
    product(&asked.ok()??)
}

/// The payload of the broker's first frame.
fn ask(host: &str, port: u16) -> Option<Vec<u8>> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(HEADER).ok()?;
    let mut frame = [0; FRAME];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
    let mut payload = vec![0; length.min(MOST) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

fn product(payload: &[u8]) -> Option<String> {
    let (_, properties) = parse_field_table(payload.get(METHOD..)?).ok()?;
    let told = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    };
    Some(format!("{} {}", told("product")?, told("version")?))
}
