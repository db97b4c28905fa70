//! A real RabbitMQ on ports and in a folder of its own, and a plain client of it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind, Queue,
};
use tempfile::TempDir;

use super::PATIENCE;

/// Where Debian's package puts it; the command in the path insists on a user of its own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// It has this long to let somebody in.
const CONNECT_TIME: Duration = Duration::from_secs(10);

const INSTALL: &str = "RabbitMQ is not installed: tests/run does that";

/// A broker in processes of its own. Killed when dropped.
pub struct Rabbit {
    folder: TempDir,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
    shell: Child,
    /// The daemon by which Erlang's nodes find each other. The broker would start one that stays.
    names: Child,
}

impl Rabbit {
    pub async fn start() -> Rabbit {
        Rabbit::with("[].").await
    }

    /// With settings in Erlang's words.
    pub async fn with(settings: &str) -> Rabbit {
        let free: Vec<_> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<_> = free
            .iter()
            .map(|free| free.local_addr().unwrap().port())
            .collect();
        drop(free);
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("plugins"), "[].").unwrap();
        std::fs::write(folder.path().join("advanced.config"), settings).unwrap();
        let (port, dist_port, epmd_port) = (ports[0], ports[1], ports[2]);
        let names = Command::new("epmd")
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(INSTALL);
        let shell = run(folder.path(), port, dist_port, epmd_port);
        let rabbit = Rabbit {
            folder,
            port,
            dist_port,
            epmd_port,
            shell,
            names,
        };
        rabbit.until_up().await;
        rabbit
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}//", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What its own tool for such things does.
    pub fn control(&self, args: &[&str]) {
        let done = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl")
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .args(["--node", &node_name(self.port)])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    async fn until_up(&self) {
        let begun = Instant::now();
        while let Err(error) = self.try_connect().await {
            assert!(begun.elapsed() < 2 * PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A broker that is about to begin, or to end, may leave a connection without an answer for good.
    async fn try_connect(&self) -> Result<Connection, String> {
        let url = self.url();
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        match tokio::time::timeout(CONNECT_TIME, connecting).await {
            Ok(connection) => connection.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".into()),
        }
    }

    pub async fn client(&self) -> Client {
        let connection = self.try_connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await.unwrap();
        Client {
            _connection: connection,
            channel,
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        signal("-KILL", pid.trim());
        self.shell.wait().unwrap();
    }

    /// Starts it again after [`Rabbit::kill`], with all that it had on disk.
    pub async fn again(&mut self) {
        let folder = self.folder.path();
        self.shell = run(folder, self.port, self.dist_port, self.epmd_port);
        self.until_up().await;
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        // All of the group: the shell, the broker, and what they have started.
        let group = format!("-{}", self.shell.id());
        signal("-KILL", &group);
        let _ = self.shell.wait();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn signal(signal: &str, pid: &str) {
    // It may be gone already.
    let _ = Command::new("kill")
        .args([signal, "--", pid])
        .stderr(Stdio::null())
        .status();
}

fn node_name(port: u16) -> String {
    format!("faafo{port}@localhost")
}

fn run(folder: &Path, port: u16, dist_port: u16, epmd_port: u16) -> Child {
    let log = std::fs::File::create(folder.join("output")).unwrap();
    Command::new(SERVER)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", node_name(port))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", dist_port.to_string())
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", folder.join("none"))
        .env(
            "RABBITMQ_ADVANCED_CONFIG_FILE",
            folder.join("advanced.config"),
        )
        // It takes one core, and does not spin.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        )
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect(INSTALL)
}

/// A plain AMQP client, which does as the original's programs do.
pub struct Client {
    _connection: Connection,
    pub channel: Channel,
}

impl Client {
    /// What the original's worker declares, in its words.
    pub async fn declare_as_the_original(&self) {
        let (channel, none) = (&self.channel, FieldTable::default);
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare("tasks".into(), ExchangeKind::Direct, durable, none())
            .await
            .unwrap();
        let options = QueueDeclareOptions::durable();
        channel
            .queue_declare("normal".into(), options, none())
            .await
            .unwrap();
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                "normal".into(),
                "tasks".into(),
                "normal".into(),
                options,
                none(),
            )
            .await
            .unwrap();
    }

    /// A consumer without any limit to what it takes.
    pub async fn consume(&self, queue: &str) -> Consumer {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        self.channel
            .basic_consume(queue.into(), "None1".into(), options, none)
            .await
            .unwrap()
    }

    pub async fn publish(&self, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let sent =
            self.channel
                .basic_publish("tasks".into(), "normal".into(), options, body, properties);
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }

    /// How many messages lie in a queue that no consumer has; `None`: there is no such queue.
    pub async fn ready(&self, queue: &str) -> Option<u32> {
        let found = self.look_at(queue).await;
        found.map(|queue| queue.message_count())
    }

    /// How many take messages from a queue.
    pub async fn consumers(&self, queue: &str) -> u32 {
        let found = self.look_at(queue).await;
        found.map_or(0, |queue| queue.consumer_count())
    }

    /// A queue, if there is one.
    async fn look_at(&self, queue: &str) -> Option<Queue> {
        let options = QueueDeclareOptions::default().passive();
        let channel = self._connection.create_channel().await.unwrap();
        let found = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await;
        found.ok()
    }

    /// Waits until a queue has so many messages that no consumer has.
    pub async fn until_ready(&self, queue: &str, count: u32) {
        let begun = Instant::now();
        loop {
            let ready = self.ready(queue).await;
            if ready == Some(count) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{queue}: {ready:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn purge(&self, queue: &str) {
        let options = QueuePurgeOptions::default();
        self.channel
            .queue_purge(queue.into(), options)
            .await
            .unwrap();
    }

    /// Takes a message from a queue.
    pub async fn get(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await;
        got.unwrap().map(|message| message.delivery)
    }
}

/// The next message of a consumer.
pub async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.unwrap().unwrap().unwrap()
}

pub async fn ack(delivery: &Delivery) {
    assert!(delivery.ack(BasicAckOptions::default()).await.unwrap());
}
