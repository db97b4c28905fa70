//! The connection to the broker: made again for as long as it takes, by ourselves, since the
//! library's own recovery is broken.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    ExchangeKind,
};
use rand::RngExt;
use tokio::time::Instant;

use super::Transport;
use crate::metrics::BrokerMetrics;

/// The exchange that tasks are published to.
pub const EXCHANGE: &str = "tasks";

/// Exchange and queue of what is no task, or failed for good: the broker keeps it for people to see.
pub const DEAD: &str = "tasks.dead";

/// Dead letters kept; beyond these the oldest go.
const DEAD_LETTERS: i64 = 10_000;

/// The broker has this long to let us in.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// It is asked this often whether it is still there, and has so long for each answer. Some ends of a
/// connection the library never tells to whoever waits (its issue 409).
const LOOK: Duration = Duration::from_secs(20);
const ANSWER_TIME: Duration = Duration::from_secs(45);

/// A connection that is given up has this long to say so.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// The first pause before another try, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{}", root(.0))]
    Broker(#[from] lapin::Error),
    #[error("it does not answer")]
    Silent,
    /// The broker took the queue or the consumer away.
    #[error("{0}")]
    Lost(&'static str),
}

/// The broker's or the system's own words.
fn root(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => crate::outward::root_cause(error),
    }
}

/// What is to be made of it.
enum Nature {
    Broken,
    /// Trying again is of no use until somebody sees to the broker or the settings.
    Refusal,
    /// A message was kept for longer than the broker likes. The work goes on without it.
    Overdue,
}

impl LinkError {
    /// The broker is there, and does not let us in.
    pub fn is_refusal(&self) -> bool {
        let LinkError::Broker(error) = self else {
            return false;
        };
        // The second is how it ends a connection to a virtual host that is none.
        let closed = matches!(error.kind(), ErrorKind::ProtocolError(_));
        closed || matches!(self.nature(), Nature::Refusal)
    }

    fn nature(&self) -> Nature {
        let LinkError::Broker(error) = self else {
            return Nature::Broken;
        };
        let ErrorKind::ProtocolError(error) = error.kind() else {
            return Nature::Broken;
        };
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
                if error.get_message().as_str().contains("acknowledgement") =>
            {
                Nature::Overdue
            }
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED,
            ) => Nature::Refusal,
            _ => Nature::Broken,
        }
    }
}

/// The line to the broker: one connection after the other.
pub struct Line {
    transport: Transport,
    name: String,
    metrics: BrokerMetrics,
    failures: u32,
    /// The log has been told that there is no connection.
    told: bool,
    since: Instant,
}

impl Line {
    /// `name` is what the broker shows of us.
    pub fn new(transport: Transport, name: String, metrics: BrokerMetrics) -> Line {
        Line {
            transport,
            name,
            metrics,
            failures: 0,
            told: false,
            since: Instant::now(),
        }
    }

    /// A connection, however long that takes.
    pub async fn connect(&mut self) -> Connection {
        loop {
            match connect(&self.transport, &self.name).await {
                Ok(connection) => {
                    tracing::info!(broker = %self.transport, "connected to the broker");
                    self.metrics.connected();
                    self.since = Instant::now();
                    return connection;
                }
                Err(error) => self.failed(&error).await,
            }
        }
    }

    /// A connection is of no use any more.
    pub async fn broke(&mut self, connection: Connection, error: LinkError) {
        self.metrics.disconnected();
        // The broker hears of it, if it is there.
        let closing = connection.close(200, "OK".into());
        let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
        if self.since.elapsed() > LONGEST_PAUSE {
            (self.failures, self.told) = (0, false);
        }
        self.failed(&error).await;
    }

    async fn failed(&mut self, why: &LinkError) {
        if !self.told {
            let broker = &self.transport;
            match why.nature() {
                Nature::Refusal => {
                    tracing::error!(%broker, %why, "the broker refuses us; trying on");
                }
                Nature::Broken => {
                    tracing::warn!(%broker, %why, "no connection to the broker; trying on");
                }
                Nature::Overdue => {
                    tracing::info!(
                        "the broker takes back messages of long renders, which go on; connecting anew"
                    );
                }
            }
        }
        self.told = true;
        let longest = (PAUSE * (1 << self.failures.min(10))).min(LONGEST_PAUSE);
        self.failures += 1;
        // Or all nodes of a farm would come back at once.
        let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(pause).await;
    }
}

async fn connect(transport: &Transport, name: &str) -> Result<Connection, LinkError> {
    // Fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let properties = ConnectionProperties::default()
        .with_client_property("product".into(), "faafo".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
        .with_connection_name(name.into());
    let tls = OwnedTLSConfig {
        cert_chain: transport.authorities.clone(),
        ..OwnedTLSConfig::default()
    };
    let runtime = lapin::runtime::default_runtime()?;
    let uri = transport.uri.clone();
    let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
    match tokio::time::timeout(CONNECT_TIME, connecting).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(LinkError::Silent),
    }
}

/// Whether the broker lets us in. Nothing is declared, and no connection stays.
pub async fn probe(transport: &Transport, name: &str) -> Result<(), LinkError> {
    let connection = connect(transport, name).await?;
    // What is wrong with a connection that is not wanted any more does not matter.
    let closing = connection.close(200, "OK".into());
    let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
    Ok(())
}

/// The queue of tasks as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// It was there before.
    pub was_there: bool,
    /// Messages that no consumer has.
    pub ready: u64,
}

/// What the broker answers, which does not take for ever.
pub async fn answered<T, E>(
    connection: &Connection,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, LinkError>
where
    LinkError: From<E>,
{
    let mut asked = pin!(asked);
    loop {
        match tokio::time::timeout(ANSWER_TIME, &mut asked).await {
            Ok(answer) => return Ok(answer?),
            // Without room for messages it listens to nothing, and has said so.
            Err(_) if connection.status().blocked() => {}
            Err(_) => return Err(LinkError::Silent),
        }
    }
}

/// Ends when the broker does not answer any more.
pub async fn alive(connection: &Connection) -> Result<Infallible, LinkError> {
    let channel = answered(connection, connection.create_channel()).await?;
    loop {
        tokio::time::sleep(LOOK).await;
        // On this channel it changes nothing.
        let asked = channel.basic_qos(0, BasicQosOptions::default());
        answered(connection, asked).await?;
    }
}

/// Declares everything the farm uses, as the original does where it has the same.
pub async fn declare(connection: &Connection, transport: &Transport) -> Result<Found, LinkError> {
    let queue = transport.queue_type.queue();
    // A channel of its own: if there is no such queue, the broker closes it.
    let asking = connection.create_channel().await?;
    let was_there = ready(&asking, queue).await.is_ok();
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, durable, none())
        .await?;
    let mut arguments = FieldTable::default();
    if queue != "normal" {
        let kind = AMQPValue::LongString("quorum".into());
        arguments.insert("x-queue-type".into(), kind);
    }
    let options = QueueDeclareOptions::durable();
    let declared = channel
        .queue_declare(queue.into(), options, arguments)
        .await?;
    bind(&channel, queue, EXCHANGE, queue).await?;

    channel
        .exchange_declare(DEAD.into(), ExchangeKind::Fanout, durable, none())
        .await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(DEAD_LETTERS));
    channel
        .queue_declare(DEAD.into(), options, arguments)
        .await?;
    bind(&channel, DEAD, DEAD, "").await?;
    Ok(Found {
        was_there,
        ready: declared.message_count().into(),
    })
}

pub async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), LinkError> {
    let options = QueueBindOptions::default();
    let (queue, exchange, key) = (queue.into(), exchange.into(), key.into());
    let binding = channel.queue_bind(queue, exchange, key, options, FieldTable::default());
    Ok(binding.await?)
}

/// How many messages lie in a queue that no consumer has. It has to be there.
pub async fn ready(channel: &Channel, queue: &str) -> Result<u64, LinkError> {
    let options = QueueDeclareOptions::default().passive();
    let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
    Ok(asked.await?.message_count().into())
}

/// A channel on which each message is confirmed.
pub async fn confirming(connection: &Connection) -> Result<Channel, LinkError> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

/// Puts a message where people may look at it, with the reason, and waits until it is kept there.
/// `channel` is a confirming one.
pub async fn bury(
    channel: &Channel,
    properties: BasicProperties,
    body: &[u8],
    reason: &str,
) -> Result<(), LinkError> {
    let properties = with_reason(properties, reason);
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let kept = channel
        .basic_publish(DEAD.into(), "".into(), options, body, properties)
        .await?
        .await?;
    match kept {
        Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => {
            Err(LinkError::Lost("it keeps no dead letters"))
        }
    }
}

/// The properties of a message, as those of a dead letter.
pub fn with_reason(properties: BasicProperties, reason: &str) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    let reason: String = reason.chars().take(1000).collect();
    headers.insert(
        "x-faafo-reason".into(),
        AMQPValue::LongString(reason.into()),
    );
    properties
        .with_headers(headers)
        .with_delivery_mode(super::message::PERSISTENT)
}
