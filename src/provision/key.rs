//! The key for logging in, by name or from a file.

use super::cloud::{Cloud, Service};
use super::resources::Server;
use super::wanted::Wanted;
use super::{Name, Result, usage};

/// The key for logging in.
#[derive(Clone, Debug)]
pub enum Key {
    None,
    /// One that is in the cloud already.
    Named(String),
    /// One that has to get there.
    Import {
        name: String,
        public: String,
    },
}

impl Key {
    /// In the cloud.
    pub fn name(&self) -> Option<&str> {
        match self {
            Key::None => None,
            Key::Named(name) | Key::Import { name, .. } => Some(name),
        }
    }
}

/// How public keys begin, by which a file is told from other things that lie about.
const KEYS: [&str; 4] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];

/// The public key in a file, without its comment; `None` if `given` is no file.
pub fn in_file(given: &str) -> Result<Option<String>> {
    let Ok(text) = std::fs::read_to_string(given) else {
        return Ok(None);
    };
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    let key = words.join(" ");
    match KEYS.iter().any(|begin| key.starts_with(begin)) {
        true => Ok(Some(key)),
        false => usage(format!(
            "{given} holds no public key: name the file that ends in .pub"
        )),
    }
}

/// A public key with the deployment's mark for a comment.
fn marked(public: &str, name: &Name) -> String {
    format!("{public} {}", name.description())
}

/// The one that is asked for; without one, that of the servers that are there.
pub async fn key(cloud: &Cloud, wanted: &Wanted, like: Option<&Server>) -> Result<Key> {
    let Some(asked) = &wanted.key else {
        return Ok(match like.and_then(|server| server.key_name.clone()) {
            Some(name) => Key::Named(name),
            None => Key::None,
        });
    };
    if let Some(public) = in_file(asked)? {
        return Ok(Key::Import {
            name: wanted.name.prefix(),
            public: marked(&public, &wanted.name),
        });
    }
    match cloud
        .get(Service::Compute, format!("/os-keypairs/{asked}"))
        .send()
        .await
    {
        Ok(_) => Ok(Key::Named(asked.clone())),
        Err(error) if error.is_not_found() => usage(format!(
            "{asked} is neither a file with a public key nor a key of yours in the cloud; \
             `openstack keypair list` shows them"
        )),
        Err(error) => Err(error.into()),
    }
}
