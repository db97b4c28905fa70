//! Takes tasks from the broker for the workers that this node serves, as many as they want: what
//! they do not, others shall have.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use serde::Deserialize;
use uuid::Uuid;

use super::desk;
use super::link::{self, LinkError};
use super::{Shared, Verdict, message};
use crate::fractal::Status;

/// Between two looks at how much is wanted.
const LOOK: Duration = Duration::from_millis(250);

/// After so many looks at which nobody wanted a task, what lies here goes to others.
const PATIENCE: u32 = 4;

/// Pause after the store could not be read.
const REST: Duration = Duration::from_secs(1);

pub async fn consume(connection: &Connection, shared: &Shared) -> Result<Infallible, LinkError> {
    let graves = link::confirming(connection).await?;
    let desk = &shared.desk;
    let mut recent = 0;
    loop {
        desk.wanted().await;
        let prefetch = (desk.hungry() + recent).clamp(1, desk::MOST);
        let begun = begin(connection, shared.transport.queue_type.queue(), prefetch);
        let (channel, mut consumer) = link::answered(connection, begun).await?;
        let (mut looks, mut idle, mut taken) = (tokio::time::interval(LOOK), 0, desk.taken());
        loop {
            tokio::select! {
                delivery = consumer.next() => match delivery {
                    Some(delivery) => receive(shared, &graves, delivery?).await?,
                    None => return Err(LinkError::Lost("somebody has taken its queue away")),
                },
                _ = looks.tick() => {
                    recent = (desk.taken() - taken) as usize;
                    taken = desk.taken();
                    idle = if desk.hungry() > 0 { 0 } else { idle + 1 };
                    let more = desk.is_empty() && desk.hungry() + recent > 2 * prefetch;
                    if idle >= PATIENCE || more && prefetch < desk::MOST {
                        break;
                    }
                }
            }
        }
        drop(consumer);
        desk.clear();
        link::answered(connection, channel.close(200, "OK".into())).await?;
    }
}

/// A channel of its own: closed, it gives back what nobody wanted.
async fn begin(
    connection: &Connection,
    queue: &str,
    prefetch: usize,
) -> Result<(Channel, Consumer), LinkError> {
    let channel = connection.create_channel().await?;
    let consumer = consumer(&channel, queue, prefetch, "faafo-api").await?;
    Ok((channel, consumer))
}

/// A consumer of tasks that has `prefetch` of them at a time.
pub async fn consumer(
    channel: &Channel,
    queue: &str,
    prefetch: usize,
    tag: &str,
) -> Result<Consumer, LinkError> {
    let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = channel.basic_consume(queue.into(), tag.into(), options, none);
    Ok(consuming.await?)
}

async fn receive(shared: &Shared, graves: &Channel, delivery: Delivery) -> Result<(), LinkError> {
    shared.metrics.consumed();
    let read = message::decode(&delivery.properties, &delivery.data);
    let uuid = match &read {
        Ok(task) => Some(task.uuid),
        Err(_) => named(&delivery.data),
    };
    let row = match uuid {
        Some(uuid) => match shared.store.get(uuid).await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(%error, "cannot look a task up; it stays queued");
                shared.desk.say(Verdict::Requeue(delivery.acker));
                tokio::time::sleep(REST).await;
                return Ok(());
            }
        },
        None => None,
    };
    // The row is the task: whatever the message says of it beyond the name does not count.
    let row = row.filter(|fractal| fractal.status == Status::Queued);
    if let Err(why) = read {
        bury(shared, graves, &delivery, &why).await?;
    }
    match row {
        Some(fractal) => {
            let task = super::waiting(&fractal);
            shared.desk.put(task, delivery.acker).await;
        }
        // Deleted, done, or somebody has begun with it.
        None => shared.desk.say(Verdict::Ack(delivery.acker)),
    }
    Ok(())
}

async fn bury(
    shared: &Shared,
    graves: &Channel,
    delivery: &Delivery,
    why: &str,
) -> Result<(), LinkError> {
    tracing::warn!(why, "a message is laid aside in {}", link::DEAD);
    shared.metrics.buried();
    link::bury(graves, delivery.properties.clone(), &delivery.data, why).await
}

/// Which fractal a broken message is about, if it says so.
pub fn named(body: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Named {
        uuid: Uuid,
    }
    let named: Option<Named> = serde_json::from_slice(body).ok();
    named.map(|named| named.uuid)
}
