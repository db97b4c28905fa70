//! The news of several API nodes: each passes on its own, so that every page on every node is live.
//!
//! News are no truth: they are not confirmed, and whoever may have missed some is told to look.

use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ExchangeKind};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::link::{self, LinkError};

/// The exchange that news go through.
const EXCHANGE: &str = "faafo.events";

/// News kept on either way; what is too much is missed.
const KEPT: usize = 1024;

/// Messages that the broker keeps for a node that is slow.
const QUEUED: i64 = 10_000;

/// News of another node.
#[derive(Clone, Debug)]
pub enum Heard {
    /// An event by its name, with its document.
    Event(String, Bytes),
    /// Who works at that node.
    Workers(Uuid, Bytes),
    /// Some may be missing.
    Missed,
}

pub struct News {
    node: Uuid,
    tell: flume::Sender<(&'static str, Bytes)>,
    told: flume::Receiver<(&'static str, Bytes)>,
    /// Told and not sent.
    unsent: AtomicI64,
    heard: broadcast::Sender<Heard>,
}

impl Default for News {
    fn default() -> Self {
        let (tell, told) = flume::bounded(KEPT);
        News {
            node: Uuid::new_v4(),
            tell,
            told,
            unsent: AtomicI64::new(0),
            heard: broadcast::Sender::new(KEPT),
        }
    }
}

impl News {
    /// Tells the other nodes. If the broker is away or slow, they do not hear of it.
    pub fn tell(&self, name: &'static str, document: Bytes) {
        // They are told to look for themselves when they are connected again.
        self.unsent.fetch_add(1, Ordering::AcqRel);
        if self.tell.try_send((name, document)).is_err() {
            self.unsent.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether all that was told is on its way.
    pub fn are_sent(&self) -> bool {
        self.unsent.load(Ordering::Acquire) <= 0
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }
}

/// Passes on news in both directions for as long as the connection holds.
pub async fn share(connection: &Connection, news: &News) -> Result<Infallible, LinkError> {
    let channel = connection.create_channel().await?;
    let none = FieldTable::default;
    let options = ExchangeDeclareOptions::default();
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, options, none())
        .await?;
    let mut arguments = none();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(QUEUED));
    let options = QueueDeclareOptions::exclusive().auto_delete();
    let queue = channel
        .queue_declare("".into(), options, arguments)
        .await?
        .name()
        .clone();
    link::bind(&channel, queue.as_str(), EXCHANGE, "").await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut consumer = channel
        .basic_consume(queue, "".into(), options, none())
        .await?;
    // What was told while there was no connection, either way.
    news.told.drain();
    news.unsent.store(0, Ordering::Release);
    let _ = news.heard.send(Heard::Missed);
    announce(&channel, news, MISSED, &Bytes::from_static(b"{}")).await?;
    loop {
        tokio::select! {
            delivery = consumer.next() => match delivery {
                Some(delivery) => hear(news, delivery?),
                None => return Err(LinkError::Lost("somebody has taken the queue of news away")),
            },
            told = news.told.recv_async() => {
                // The other end is in this very struct.
                if let Ok((name, document)) = told {
                    let sent = announce(&channel, news, name, &document).await;
                    news.unsent.fetch_sub(1, Ordering::AcqRel);
                    sent?;
                }
            }
        }
    }
}

/// The event that says that some may be missing: this node could not tell them.
const MISSED: &str = "resync";

/// What a node says of its workers: no event.
pub const WORKERS: &str = "workers";

async fn announce(
    channel: &lapin::Channel,
    news: &News,
    name: &str,
    document: &[u8],
) -> Result<(), LinkError> {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_type(name.into())
        .with_app_id(news.node.to_string().into());
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(EXCHANGE.into(), "".into(), options, document, properties);
    sent.await?;
    Ok(())
}

fn hear(news: &News, delivery: Delivery) {
    let of = |text: &Option<lapin::types::ShortString>| text.clone().unwrap_or_default();
    let (node, name) = (
        of(delivery.properties.app_id()),
        of(delivery.properties.kind()),
    );
    if node.as_str() == news.node.to_string() {
        return;
    }
    let heard = match name.as_str() {
        MISSED => Heard::Missed,
        WORKERS => match Uuid::try_parse(node.as_str()) {
            Ok(node) => Heard::Workers(node, delivery.data.into()),
            Err(_) => return,
        },
        name => Heard::Event(name.to_owned(), delivery.data.into()),
    };
    // Nobody listening is fine.
    let _ = news.heard.send(heard);
}
