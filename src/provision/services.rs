//! The node with RabbitMQ and MariaDB, both from its distribution's packages: what is written there,
//! and where API nodes and workers find them.

use super::secrets::Secrets;
use super::user_data::{self, File, INSTALL};

/// Of RabbitMQ and MariaDB alike; the database's name, too.
const USER: &str = "faafo";

const BROKER_PASSWORD: &str = "/etc/faafo/broker-password";
const DATABASE_PASSWORD: &str = "/etc/faafo/database-password";
const DATABASE_SETTINGS: &str = "/etc/faafo/mariadb.cnf";

/// Its files. `tells`, if somebody is told how it went; `volume`, if MariaDB's data are on one.
pub fn files(secrets: &Secrets, tells: bool, volume: bool) -> Vec<File> {
    let line = |secret: &str| format!("{secret}\n");
    vec![
        (INSTALL, "0700", install(tells, volume)),
        (BROKER_PASSWORD, "0600", line(&secrets.broker_password)),
        (DATABASE_PASSWORD, "0600", line(&secrets.database_password)),
        (DATABASE_SETTINGS, "0644", DATABASE.into()),
        // A name that is always known, whatever the cloud calls the node.
        (
            "/etc/rabbitmq/rabbitmq-env.conf",
            "0644",
            "NODENAME=rabbit@localhost\n".into(),
        ),
    ]
}

/// Images are rows: the largest packet has to be larger than the largest of them.
const DATABASE: &str = "\
[mysqld]
bind-address = 0.0.0.0
max_allowed_packet = 64M
max_connections = 500
";

pub fn database_url(secrets: &Secrets, host: &str) -> String {
    let password = &secrets.database_password;
    format!("mysql://{USER}:{password}@{host}/{USER}\n")
}

pub fn transport_url(secrets: &Secrets, host: &str) -> String {
    let password = &secrets.broker_password;
    format!("amqp://{USER}:{password}@{host}:5672//\n")
}

/// A package that was there before the volume has left its data on the node's own disk; and to one that
/// came after it, its user's number may be another one than it was on another node.
const DATA: &str = "\
[ -d /var/lib/mysql/mysql ] || mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db >>$log 2>&1 ||
    fail \"cannot make MariaDB's folder on the volume: $(tail -n 1 $log)\"
[ \"$(stat -c %U /var/lib/mysql)\" = mysql ] || chown -R mysql:mysql /var/lib/mysql
";

/// Passwords go by standard input: arguments are seen by whoever lists processes.
fn install(tells: bool, volume: bool) -> String {
    let (words, ready) = (user_data::words(tells), user_data::ready(tells));
    let mounts = match volume {
        true => format!(
            "systemctl stop mariadb >>$log 2>&1\n{}",
            user_data::mounts(volume)
        ),
        false => String::new(),
    };
    let data = if volume { DATA } else { "" };
    format!(
        r#"#!/bin/sh
# Installs RabbitMQ and MariaDB and lets faafo in, at the first boot.
set -u
log=/var/log/faafo-install.log
settings=/etc/mysql/mariadb.conf.d/90-faafo.cnf
{words}
{mounts}export DEBIAN_FRONTEND=noninteractive HOME=/root
lacking=
[ -x /usr/sbin/mariadbd ] || lacking="$lacking mariadb-server"
[ -x /usr/sbin/rabbitmqctl ] || lacking="$lacking rabbitmq-server"
apt() {{ apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@" >>$log 2>&1 </dev/null; }}
if [ -n "$lacking" ]; then
    command -v apt-get >/dev/null || fail "RabbitMQ and MariaDB are installed on Debian and Ubuntu only: choose such an --image"
    say "installing$lacking"
    tries=0
    until apt update && apt install -y --no-install-recommends $lacking; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || fail "cannot install$lacking: $(tail -n 1 $log)"
        say "cannot install$lacking yet: $(tail -n 1 $log)"
        sleep 15
    done
fi
# What was called mysql before is in a package of its own by now.
client=$(command -v mariadb || command -v mysql) || fail "there is no MariaDB client here"
{data}systemctl daemon-reload
systemctl enable --quiet mariadb rabbitmq-server
rm -f $settings
# It is open on all addresses, whatever MariaDB's own settings say.
systemctl disable --now mariadb.socket >>$log 2>&1
# At first somebody else may still hold the socket: a login prompt that waits for its turn has copies of
# all that systemd listens on.
tries=0
until systemctl restart mariadb rabbitmq-server >>$log 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || fail "RabbitMQ or MariaDB does not start: $(journalctl --quiet --output=cat --unit=mariadb --unit=rabbitmq-server | grep -i error | tail -n 1)"
    sleep 3
done
tries=0
until "$client" -e 'SELECT 1' >/dev/null 2>&1 && rabbitmqctl -q status >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "RabbitMQ or MariaDB does not answer"
    sleep 1
done
password=$(cat {DATABASE_PASSWORD})
"$client" >>$log 2>&1 <<SQL || fail "cannot make the database: $(tail -n 1 $log)"
CREATE DATABASE IF NOT EXISTS {USER};
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '$password';
ALTER USER '{USER}'@'%' IDENTIFIED BY '$password';
GRANT ALL ON {USER}.* TO '{USER}'@'%';
SQL
# From here on others find it: not before they are let in.
cp {DATABASE_SETTINGS} $settings && systemctl restart mariadb || fail "MariaDB does not start with its new settings"
if ! rabbitmqctl -q list_users | grep -q '^{USER}[[:space:]]'; then
    rabbitmqctl -q add_user {USER} <{BROKER_PASSWORD} >>$log 2>&1 || fail "cannot make RabbitMQ's user: $(tail -n 1 $log)"
fi
rabbitmqctl -q set_permissions {USER} '.*' '.*' '.*' >>$log 2>&1 || fail "cannot let RabbitMQ's user in: $(tail -n 1 $log)"
# It has a password that everybody knows.
rabbitmqctl -q delete_user guest >>$log 2>&1
{ready}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::secrets::Tokens;
    use super::*;
    use crate::tokens::{Kind, Token};

    #[test]
    fn passwords_come_from_tokens_and_do_not_tell_them() {
        let user = Token::random(Kind::User).unwrap();
        let one = Tokens {
            user: user.clone(),
            worker: Token::random(Kind::Worker).unwrap(),
        };
        let urls = |tokens: &Tokens| {
            let secrets = tokens.secrets();
            assert_ne!(secrets.broker_password, secrets.database_password);
            [transport_url, database_url].map(|url| url(&secrets, "10.80.0.7"))
        };
        let [broker, database] = urls(&one);
        assert!(broker.starts_with("amqp://faafo:") && broker.ends_with("@10.80.0.7:5672//\n"));
        assert!(database.ends_with("@10.80.0.7/faafo\n"));
        for url in [&broker, &database] {
            assert!(!url.contains(user.expose()) && !url.contains(one.worker.expose()));
        }
        let other = Tokens {
            user: Token::random(Kind::User).unwrap(),
            worker: one.worker,
        };
        let [same, different] = urls(&other);
        assert_eq!(same, broker);
        assert_ne!(different, database);
    }

    #[test]
    fn the_database_client_has_either_name() {
        let script = install(false, false);
        assert!(script.contains("\nclient=$(command -v mariadb || command -v mysql) || fail "));
        assert_eq!(script.matches("\"$client\" ").count(), 2);
        assert!(!script.contains("mysql -e") && !script.contains("\nmysql "));
    }
}
