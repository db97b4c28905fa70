//! The message broker, where there is one.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Part, table};

#[derive(Clone, Debug, Default)]
pub struct BrokerMetrics {
    connected: Gauge,
    disconnects: Counter,
    ready: Gauge,
    unconfirmed: Gauge,
    published: Counter,
    refused: Counter,
    consumed: Counter,
    dead_letters: Counter,
}

impl Part for BrokerMetrics {
    fn register(&self, registry: &mut Registry) {
        table::BROKER_CONNECTED.register(registry, self.connected.clone());
        table::BROKER_DISCONNECTS.register(registry, self.disconnects.clone());
        table::BROKER_READY.register(registry, self.ready.clone());
        table::BROKER_UNCONFIRMED.register(registry, self.unconfirmed.clone());
        table::BROKER_PUBLISHED.register(registry, self.published.clone());
        table::BROKER_REFUSED.register(registry, self.refused.clone());
        table::BROKER_CONSUMED.register(registry, self.consumed.clone());
        table::BROKER_DEAD_LETTERS.register(registry, self.dead_letters.clone());
    }
}

impl BrokerMetrics {
    pub fn connected(&self) {
        self.connected.set(1);
    }

    pub fn disconnected(&self) {
        self.connected.set(0);
        self.disconnects.inc();
    }

    pub fn is_connected(&self) -> bool {
        self.connected.get() == 1
    }

    /// So many messages lie in the queue that no consumer has.
    pub fn ready(&self, messages: u64) {
        self.ready.set(messages.cast_signed());
    }

    pub fn unconfirmed(&self, messages: usize) {
        self.unconfirmed.set(messages.cast_signed() as i64);
    }

    /// A message is confirmed.
    pub fn published(&self) {
        self.published.inc();
    }

    pub fn refused(&self) {
        self.refused.inc();
    }

    pub fn consumed(&self) {
        self.consumed.inc();
    }

    pub fn buried(&self) {
        self.dead_letters.inc();
    }
}
