//! What cloud-init does at a node's first boot: writes faafo's settings, its tokens and a unit for
//! systemd, fetches the binary, checks it and starts it. Later boots need systemd alone.

use std::fmt::Write;

use super::secrets::Secrets;
use super::topology::Role;
use super::{Result, failed, mount, services, usage};
use crate::config;

/// faafo's own settings, as `--set` gives them.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<(String, String)>);

/// What the nodes are told anyway, and so nobody else may.
const TAKEN: [&str; 8] = [
    "listen_address",
    "bind_port",
    "data_dir",
    "token_file",
    "worker_token_file",
    "endpoint_url",
    "name",
    "spool",
];

/// What names a file: none but those that provisioning writes are on the nodes.
const FILES: [&str; 6] = [
    "database_url_file",
    "transport_url_file",
    "transport_ca_file",
    "tls_cert",
    "tls_key",
    "ca_file",
];

/// Those that workers know, too.
const OF_WORKERS: [&str; 5] = [
    "workers",
    "log_level",
    "log_format",
    "grace_period",
    "spool_size",
];

impl Settings {
    /// Of texts such as `max_side=9000`.
    pub fn parse(given: &[String]) -> Result<Settings> {
        let mut settings = Vec::new();
        for given in given {
            let Some((key, value)) = given.split_once('=') else {
                return usage(format!("--set {given}: it must be KEY=VALUE"));
            };
            if given.contains(char::is_control) {
                return usage(format!("--set {key}: a value is one line"));
            }
            if TAKEN.contains(&key) {
                return usage(format!("--set {given}: provisioning sets {key} itself"));
            }
            if FILES.contains(&key) {
                let instead = match key.strip_suffix("_url_file") {
                    Some(what) => format!(": --set {what}_url=… takes the address itself"),
                    None => String::new(),
                };
                return usage(format!(
                    "--set {given}: it names a file, and provisioning puts none of yours on the \
                     nodes{instead}"
                ));
            }
            // Text needs no quotes here.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            let fits = |value: &str| {
                toml::from_str::<config::Settings>(&format!("{key} = {value}\n")).map(|_| ())
            };
            match fits(value).or_else(|error| fits(&quoted).map_err(|_| error)) {
                Ok(()) if fits(value).is_ok() => settings.push((key.into(), value.into())),
                Ok(()) => settings.push((key.into(), quoted)),
                Err(error) => {
                    return usage(format!("--set {given}: {}", error.message()));
                }
            }
        }
        Ok(Settings(settings))
    }
}

/// Which database and broker there is.
const SERVICES: [&str; 2] = ["database_url", "transport_url"];

impl Settings {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that names a database or broker, if there is one.
    pub fn own_services(&self) -> Option<&str> {
        let mut keys = self.0.iter().map(|(key, _)| key.as_str());
        keys.find(|key| SERVICES.contains(key))
    }
}

/// Most bytes that Nova takes, once they are in base64.
const MOST: usize = 65_535;

/// What one node has to know. In a template for Heat secrets and addresses are names, for which it puts
/// in what it has made.
pub struct Seed<'a> {
    /// Which node it is, for people.
    pub node: &'a str,
    /// What a worker calls itself, if not by its host's name.
    pub name: Option<&'a str>,
    pub role: Role,
    /// Where the binary is.
    pub artifact: &'a str,
    /// Of the binary, in hexadecimal.
    pub sha256: &'a str,
    pub secrets: &'a Secrets,
    /// Where workers find the API nodes.
    pub endpoints: &'a [String],
    /// Where RabbitMQ and MariaDB are, as addresses have it, if they have a node of their own.
    pub services: Option<&'a str>,
    pub settings: &'a Settings,
    /// A program that tells somebody how it went, called with SUCCESS or FAILURE and a reason.
    pub tell: Option<&'a str>,
    /// The id of the volume for its data, if they are not on its own disk.
    pub volume: Option<&'a str>,
}

/// The document, in cloud-config.
pub fn render(seed: &Seed) -> Result<String> {
    let mut text = String::from("#cloud-config\n");
    let _ = writeln!(text, "# {}: made by faafo provision", seed.node);
    text.push_str("write_files:\n");
    for (path, mode, content) in files(seed) {
        let _ = write!(
            text,
            "  - path: {path}\n    permissions: '{mode}'\n    content: |\n"
        );
        for line in content.lines() {
            match line.is_empty() {
                true => text.push('\n'),
                false => {
                    let _ = writeln!(text, "      {line}");
                }
            }
        }
    }
    let _ = write!(text, "runcmd:\n  - [{INSTALL}]\n");
    match text.len().div_ceil(3) * 4 <= MOST {
        true => Ok(text),
        false => failed("the settings are too long for the cloud: they must fit into 48 KB"),
    }
}

pub const INSTALL: &str = "/usr/local/sbin/faafo-install";

/// Its path, its mode, and what is in it.
pub type File = (&'static str, &'static str, String);

const DATABASE_URL: &str = "/etc/faafo/database-url";
const TRANSPORT_URL: &str = "/etc/faafo/transport-url";

/// The database may be the last to be there: its unit tries until it lets the API node in.
const PATIENT: &str = "/etc/systemd/system/faafo-api.service.d/services.conf";
const PATIENCE: &str = "[Unit]\nStartLimitIntervalSec=0\n";

fn files(seed: &Seed) -> Vec<File> {
    let mut files: Vec<_> = seed
        .tell
        .map(|program| (TELL, "0700", program.to_owned()))
        .into_iter()
        .collect();
    let tells = seed.tell.is_some();
    let volume = seed.volume;
    files.extend(
        volume
            .into_iter()
            .flat_map(|id| mount::files(id, seed.role, tells)),
    );
    let Some((name, unit)) = unit(seed.role) else {
        files.extend(services::files(seed.secrets, tells, volume.is_some()));
        return files;
    };
    files.push((INSTALL, "0700", install(seed)));
    let worker = format!("{}\n", seed.secrets.worker_token);
    files.push(("/etc/faafo/worker-token", "0600", worker));
    if seed.role.is_front() {
        let user = format!("{}\n", seed.secrets.user_token);
        files.push(("/etc/faafo/user-token", "0600", user));
    }
    if let Some(host) = seed.services {
        let url = services::transport_url(seed.secrets, host);
        files.push((TRANSPORT_URL, "0600", url));
        if seed.role.is_front() {
            let url = services::database_url(seed.secrets, host);
            files.push((DATABASE_URL, "0600", url));
            files.push((PATIENT, "0644", PATIENCE.into()));
        }
    }
    files.push((SETTINGS, "0640", settings(seed)));
    // Here no package manager looks after the binary.
    let unit = unit.replace("/usr/bin/faafo", "/usr/local/bin/faafo");
    files.push((name, "0644", unit));
    files
}

const SETTINGS: &str = "/etc/faafo/faafo.toml";

/// The settings file of a node.
fn settings(seed: &Seed) -> String {
    let mut text = format!(
        "# Settings of {}; `systemctl restart {}` takes up changes.\n\
         worker_token_file = \"/etc/faafo/worker-token\"\n",
        seed.node,
        service(seed.role)
    );
    text.push_str(match seed.role.is_front() {
        true => {
            "token_file = \"/etc/faafo/user-token\"\n\
             listen_address = \"0.0.0.0\"\n\
             bind_port = 80\n\
             data_dir = \"/var/lib/faafo\"\n"
        }
        false => "spool = \"/var/lib/faafo/spool\"\n",
    });
    if !seed.role.is_front() {
        let _ = writeln!(text, "endpoint_url = {:?}", seed.endpoints);
    }
    if let Some(name) = seed.name {
        let _ = writeln!(text, "name = \"{name}\"");
    }
    if seed.services.is_some() {
        let _ = writeln!(text, "transport_url_file = \"{TRANSPORT_URL}\"");
        if seed.role.is_front() {
            let _ = writeln!(text, "database_url_file = \"{DATABASE_URL}\"");
        }
    }
    for (key, value) in &seed.settings.0 {
        if seed.role.is_front() || OF_WORKERS.contains(&key.as_str()) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

/// The step of an installation that mounts the volume, if there is one.
pub fn mounts(volume: bool) -> String {
    match volume {
        true => format!("{} || exit 1\n", mount::MOUNT),
        false => String::new(),
    }
}

/// The package's own unit for a role of faafo's, and where it goes.
fn unit(role: Role) -> Option<(&'static str, &'static str)> {
    Some(match role {
        Role::Services => return None,
        Role::All => (
            "/etc/systemd/system/faafo.service",
            include_str!("../../packaging/faafo.service"),
        ),
        Role::Api => (
            "/etc/systemd/system/faafo-api.service",
            include_str!("../../packaging/faafo-api.service"),
        ),
        Role::Worker => (
            "/etc/systemd/system/faafo-worker.service",
            include_str!("../../packaging/faafo-worker.service"),
        ),
    })
}

/// The unit's name for systemd.
fn service(role: Role) -> &'static str {
    match role {
        Role::All => "faafo",
        Role::Api => "faafo-api",
        Role::Services => "mariadb",
        Role::Worker => "faafo-worker",
    }
}

/// How all lines of the installation begin in a node's console log.
const SAID: &str = "faafo-provision: ";
const READY: &str = "ready";
const FAILED: &str = "failed: ";

const TELL: &str = "/usr/local/sbin/faafo-tell";

/// The functions by which an installation says how it goes.
pub fn words(tells: bool) -> String {
    let told = match tells {
        true => format!(" {TELL} FAILURE \"$*\";"),
        false => String::new(),
    };
    format!(
        "say() {{ echo \"{SAID}$*\" | tee /dev/console; }}\n\
         fail() {{ say \"{FAILED}$*\";{told} exit 1; }}"
    )
}

/// Its end, if all went well.
pub fn ready(tells: bool) -> String {
    match tells {
        true => format!("say \"{READY}\"\n{TELL} SUCCESS {READY}"),
        false => format!("say \"{READY}\""),
    }
}

fn install(seed: &Seed) -> String {
    let service = service(seed.role);
    // The node with the database may have to fetch a lot first.
    let seconds = if seed.services.is_some() { 900 } else { 120 };
    // Its unit is active only once it has said that it is ready.
    let probe = match seed.role.is_front() {
        true => "fetch http://127.0.0.1/readyz /dev/null 2>/dev/null".to_owned(),
        false => format!("systemctl is-active --quiet {service}"),
    };
    let (words, ready) = (words(seed.tell.is_some()), ready(seed.tell.is_some()));
    let mounts = mounts(seed.volume.is_some());
    format!(
        r#"#!/bin/sh
# Fetches faafo, checks it and starts it, at the first boot.
set -u
{words}
fetch() {{
    if command -v curl >/dev/null; then curl -fsS --max-time 300 -o "$2" "$1"
    elif command -v wget >/dev/null; then wget -q -T 300 -O "$2" "$1"
    else python3 -c 'import sys, urllib.request as u; open(sys.argv[2], "wb").write(u.urlopen(sys.argv[1], timeout=300).read())' "$1" "$2"
    fi
}}
{mounts}getent group faafo >/dev/null || groupadd --system faafo || fail "cannot make the group faafo"
getent passwd faafo >/dev/null ||
    useradd --system --gid faafo --home-dir /var/lib/faafo --no-create-home --shell /usr/sbin/nologin faafo ||
    fail "cannot make the user faafo"
chown faafo:faafo /etc/faafo/*-* && chgrp faafo {SETTINGS} || fail "cannot hand over the tokens"
new=/usr/local/bin/.faafo.new
tries=0
until why=$(fetch '{url}' "$new" 2>&1); do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || fail "cannot fetch faafo: $why"
    say "cannot fetch faafo yet: $why"
    sleep 5
done
echo '{sha256}  '"$new" | sha256sum --check --status || fail "what was fetched is not the faafo that was sent"
chmod 755 "$new" && mv "$new" /usr/local/bin/faafo || fail "cannot install faafo"
systemctl daemon-reload
systemctl enable --quiet {service} && systemctl start --no-block {service} || fail "systemd cannot start faafo"
tries=0
until {probe}; do
    tries=$((tries + 1))
    [ "$tries" -lt {seconds} ] || fail "faafo does not get ready: $(journalctl -u {service} -n 5 -o cat --no-pager | tr '\n' ' ')"
    sleep 1
done
{ready}
"#,
        url = seed.artifact,
        sha256 = seed.sha256,
    )
}

/// What a node's console log says of its installation: the last word of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    Ready,
    Failed(String),
    Going(String),
}

pub fn hear(console: &str) -> Heard {
    let said = console.lines().rev().find_map(|line| line.split_once(SAID));
    match said.map(|(_, word)| word.trim()) {
        None => Heard::Nothing,
        Some(READY) => Heard::Ready,
        Some(word) => match word.strip_prefix(FAILED) {
            Some(why) => Heard::Failed(why.to_owned()),
            None => Heard::Going(word.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::super::secrets::Tokens;
    use super::*;
    use crate::tokens::{Kind, Token};

    fn secrets() -> Secrets {
        let tokens = Tokens {
            user: Token::random(Kind::User).unwrap(),
            worker: Token::random(Kind::Worker).unwrap(),
        };
        tokens.secrets()
    }

    static ENDPOINTS: LazyLock<[String; 1]> = LazyLock::new(|| ["http://10.80.0.5".to_owned()]);

    fn seed<'a>(role: Role, secrets: &'a Secrets, settings: &'a Settings) -> Seed<'a> {
        Seed {
            node: "faafo-n-x",
            name: None,
            role,
            artifact: "http://c/v1/a/b/c?temp_url_sig=1&temp_url_expires=2",
            sha256: "00",
            secrets,
            endpoints: &*ENDPOINTS,
            services: None,
            settings,
            tell: None,
            volume: None,
        }
    }

    fn rendered(role: Role, settings: &[&str]) -> String {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let (settings, secrets) = (Settings::parse(&settings).unwrap(), secrets());
        let text = render(&seed(role, &secrets, &settings)).unwrap();
        assert_eq!(text.contains(&secrets.user_token), role.is_front());
        assert!(text.contains(&secrets.worker_token));
        text
    }

    #[test]
    fn a_worker_has_no_other_token_than_its_own() {
        let worker = rendered(Role::Worker, &["workers=3", "max_side=9000"]);
        assert!(worker.contains("      endpoint_url = [\"http://10.80.0.5\"]\n"));
        assert!(worker.contains("      workers = 3\n"));
        assert!(!worker.contains("9000"));
        assert!(!worker.contains("user-token"));
        let api = rendered(Role::Api, &[]);
        assert!(api.contains("ExecStart=/usr/local/bin/faafo api --config-file"));
    }

    #[test]
    fn each_node_knows_the_passwords_that_it_needs() {
        let (secrets, own) = (secrets(), Settings::default());
        let text = |role: Role| {
            let mut seed = seed(role, &secrets, &own);
            seed.services = Some("10.80.0.9");
            render(&seed).unwrap()
        };
        let knows = |role: Role| {
            let text = text(role);
            let of_farm = [&secrets.worker_token, &secrets.user_token];
            let of_services = [&secrets.broker_password, &secrets.database_password];
            [of_farm[0], of_farm[1], of_services[0], of_services[1]]
                .map(|secret| text.contains(secret))
        };
        assert_eq!(knows(Role::Services), [false, false, true, true]);
        assert_eq!(knows(Role::Api), [true, true, true, true]);
        assert_eq!(knows(Role::Worker), [true, false, true, false]);
        assert!(text(Role::Api).contains("database_url_file = "));
        assert!(!text(Role::Worker).contains("database_url_file"));
    }

    #[test]
    fn settings_are_faafos_own() {
        let toml = |given: &[&str]| {
            let given: Vec<_> = given.iter().map(ToString::to_string).collect();
            Settings::parse(&given).map(|own| {
                let secrets = secrets();
                settings(&seed(Role::All, &secrets, &own))
            })
        };
        let text = toml(&["log_level=debug", "max_side=9000"]).unwrap();
        assert!(
            text.ends_with("log_level = \"debug\"\nmax_side = 9000\n"),
            "{text}"
        );
        let parsed: config::Settings = toml::from_str(&text).unwrap();
        assert_eq!(parsed.max_side, Some(9000));
        for bad in [
            "nothing",
            "no_such=1",
            "max_side=tall",
            "bind_port=81",
            "name=x",
            "log_level=\"info\"\nbind_port=81",
        ] {
            assert!(toml(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_setting_names_a_file_that_no_node_has() {
        let refused = |given: &str| {
            let Err(error) = Settings::parse(&[given.to_owned()]) else {
                panic!("{given} is taken")
            };
            error.to_string()
        };
        assert_eq!(
            refused("tls_cert=/etc/cert.pem"),
            "--set tls_cert=/etc/cert.pem: it names a file, and provisioning puts none of yours on \
             the nodes"
        );
        let instead = ": --set database_url=… takes the address itself";
        assert!(refused("database_url_file=/root/url").ends_with(instead));
        for key in FILES {
            assert!(refused(&format!("{key}=f")).contains("names a file"));
        }
        // A new setting that names one belongs here, or to what provisioning sets itself.
        for key in settings_that_name_files() {
            let known = FILES.contains(&&*key) || TAKEN.contains(&&*key);
            assert!(known, "{key}");
        }
    }

    /// By what they are called in the file that explains all of them.
    fn settings_that_name_files() -> Vec<String> {
        let explained = include_str!("../../packaging/faafo.toml").lines();
        let keys = explained.filter_map(|line| {
            let (key, _) = line.trim_start_matches(['#', ' ']).split_once(" = ")?;
            let names = ["_file", "_cert", "_key", "_dir"].iter();
            let names_one = names.copied().any(|end| key.ends_with(end));
            names_one.then(|| key.to_owned())
        });
        let keys: Vec<_> = keys.collect();
        assert!(keys.len() >= FILES.len(), "{keys:?}");
        keys
    }

    /// What Nova takes is counted in base64: 4 characters for 3 bytes or less.
    #[test]
    fn user_data_are_as_long_as_nova_takes_them_and_no_longer() {
        const LONGEST: usize = MOST / 4 * 3;
        let secrets = secrets();
        let with = |length: usize| {
            let url = format!("database_url=mysql://{}", "h".repeat(length));
            let settings = Settings::parse(&[url]).unwrap();
            render(&seed(Role::Api, &secrets, &settings))
        };
        let rest = with(1).unwrap().len() - 1;
        let longest = with(LONGEST - rest).unwrap();
        assert_eq!(longest.len(), LONGEST);
        assert!(BASE64_STANDARD.encode(&longest).len() <= 65_535);
        let why = with(LONGEST - rest + 1).unwrap_err().to_string();
        assert!(why.contains("must fit into 48 KB"), "{why}");
    }

    #[test]
    fn the_last_word_on_the_console_counts() {
        let log = "[ 9.1] boot\nfaafo-provision: cannot fetch faafo yet: x\r\n";
        assert_eq!(hear(log), Heard::Going("cannot fetch faafo yet: x".into()));
        let log = format!("{log}[ 12.0] cloud-init[1]: faafo-provision: failed: no way\nlogin:");
        assert_eq!(hear(&log), Heard::Failed("no way".into()));
        let log = format!("{log}\nfaafo-provision: ready\n");
        assert_eq!(hear(&log), Heard::Ready);
        assert_eq!(hear("login:"), Heard::Nothing);
    }
}
