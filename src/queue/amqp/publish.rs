//! Publishes what waits, and holds on to it until the broker has confirmed it.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Connection};

use super::backlog::{Letter, Next};
use super::link::{self, LinkError};
use super::{Shared, message};

/// Messages with the broker that it has not confirmed, and rows that are read at a time.
const WINDOW: usize = 256;

/// Pause after the store could not be read, or the broker could not keep a message.
const REST: Duration = Duration::from_secs(1);

pub async fn publish(connection: &Connection, shared: &Shared) -> Result<Infallible, LinkError> {
    let channel = link::confirming(connection).await?;
    let (backlog, metrics) = (&shared.backlog, &shared.metrics);
    backlog.restart();
    let mut out = FuturesUnordered::new();
    loop {
        metrics.unconfirmed(backlog.unconfirmed());
        let mut idle = true;
        if out.len() < WINDOW {
            match backlog.next() {
                Next::Publish(number, letter) => {
                    let confirmed = send(&channel, shared, &letter).await?;
                    out.push(async move { (number, confirmed.await) });
                    idle = false;
                }
                Next::Read(after) => {
                    match shared.store.waiting(after, WINDOW).await {
                        Ok(page) => backlog.page(after, page),
                        Err(error) => {
                            tracing::warn!(%error, "cannot read what is queued; trying again");
                            tokio::time::sleep(REST).await;
                        }
                    }
                    idle = false;
                }
                Next::Nothing => {}
            }
        }
        let confirmed = tokio::select! {
            biased;
            Some(confirmed) = out.next() => confirmed,
            () = backlog.changed(), if idle && out.len() < WINDOW => continue,
            () = std::future::ready(()), if !idle => continue,
        };
        match confirmed {
            (number, Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => {
                backlog.confirmed(number);
                metrics.published();
            }
            (_, Ok(Confirmation::Ack(Some(_)))) => {
                metrics.refused();
                return Err(LinkError::Lost("somebody has taken its queue away"));
            }
            // As when its disk is full.
            (number, Ok(Confirmation::Nack(_))) => {
                metrics.refused();
                backlog.again(number);
                tokio::time::sleep(REST).await;
            }
            (_, Err(error)) => return Err(error.into()),
        }
    }
}

async fn send(
    channel: &Channel,
    shared: &Shared,
    letter: &Letter,
) -> Result<impl Future<Output = lapin::Result<Confirmation>> + use<>, LinkError> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let (exchange, key, task, properties) = match letter {
        Letter::Task(task) => {
            let queue = shared.transport.queue_type.queue();
            (link::EXCHANGE, queue, task, message::properties())
        }
        Letter::Dead(task, reason) => {
            shared.metrics.buried();
            (
                link::DEAD,
                "",
                task,
                link::with_reason(message::properties(), reason),
            )
        }
    };
    let (exchange, key, body) = (exchange.into(), key.into(), message::encode(task));
    let sent = channel.basic_publish(exchange, key, options, &body, properties);
    Ok(sent.await?)
}
