//! RabbitMQ, where it hands out the tasks.

use super::Finding;
use crate::queue::amqp::{LinkError, Transport, greeting, probe};

const BROKER: &str = "broker";

pub async fn check(transport: Option<&Transport>) -> Finding {
    let Some(transport) = transport else {
        return Finding::ok(BROKER, "none: the farm hands out its tasks by itself");
    };
    match probe(transport, "faafo doctor").await {
        Ok(()) => {
            let product = greeting(transport).await;
            let product = product.unwrap_or_else(|| "a broker".into());
            Finding::ok(BROKER, format!("{product} at {transport} lets us in"))
        }
        Err(error) => {
            let says = format!("{transport} cannot be used: {error}");
            Finding::wrong(BROKER, says, mend(&error))
        }
    }
}

fn mend(error: &LinkError) -> &'static str {
    match error.is_refusal() {
        true => {
            "see to user, password and virtual host in the transport_url, and to the rights: \
                 `rabbitmqctl list_permissions`"
        }
        false => {
            "systemctl start rabbitmq-server    there, and see to host and port in the transport_url"
        }
    }
}
