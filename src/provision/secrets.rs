//! The tokens of a deployment's farm. They are kept in its container, which only members of the
//! project can read, so that any of them can add workers; or in files that were named.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use reqwest::Method;
use ring::hmac;

use super::cloud::{Cloud, CloudError, Service};
use super::{Name, Result, failed};
use crate::digest::hexadecimal;
use crate::tokens::{self, Kind, Token};

/// Files that hold tokens, where somebody has named them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub user: Option<PathBuf>,
    pub worker: Option<PathBuf>,
}

impl Files {
    pub fn are_named(&self) -> bool {
        self.user.is_some() && self.worker.is_some()
    }

    fn named(&self, kind: Kind) -> Option<&Path> {
        match kind {
            Kind::User => self.user.as_deref(),
            Kind::Worker => self.worker.as_deref(),
        }
    }
}

#[derive(Clone)]
pub struct Tokens {
    pub user: Token,
    pub worker: Token,
}

/// All secrets of a deployment, as its nodes' files have them; or the names for which Heat puts in
/// those that it makes.
pub struct Secrets {
    pub user_token: String,
    pub worker_token: String,
    /// For RabbitMQ.
    pub broker_password: String,
    /// For MariaDB.
    pub database_password: String,
}

impl Tokens {
    /// The passwords are no secrets of their own, that would have to be kept. RabbitMQ's, which workers
    /// know as well, comes from their token, and leads back to it by no means; nobody knows MariaDB's
    /// who has one of the tokens alone.
    pub fn secrets(&self) -> Secrets {
        let (user, worker) = (self.user.expose(), self.worker.expose());
        Secrets {
            user_token: user.to_owned(),
            worker_token: worker.to_owned(),
            broker_password: derived(worker, "RabbitMQ"),
            database_password: derived(&format!("{user} {worker}"), "MariaDB"),
        }
    }
}

fn derived(secret: &str, of_what: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hexadecimal(hmac::sign(&key, of_what.as_bytes()).as_ref())
}

/// The deployment's tokens, made if there are none so far.
pub async fn ensure(cloud: &Cloud, name: &Name, files: &Files) -> Result<Tokens> {
    Ok(Tokens {
        user: ensure_one(cloud, name, files, Kind::User).await?,
        worker: ensure_one(cloud, name, files, Kind::Worker).await?,
    })
}

/// One token, if there is one.
pub async fn fetch(cloud: &Cloud, name: &Name, kind: Kind) -> Result<Option<Token>> {
    if !cloud.has(Service::ObjectStore).await? {
        return Ok(None);
    }
    let answer = match cloud
        .get(Service::ObjectStore, path(name, kind))
        .send()
        .await
    {
        Ok(answer) => answer,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&answer.body);
    match Token::parse_as(kind, &text) {
        Ok(token) => Ok(Some(token)),
        Err(unfit) => failed(format!(
            "the object {} in the cloud, which is to hold the token, {unfit}",
            path(name, kind)
        )),
    }
}

fn path(name: &Name, kind: Kind) -> String {
    format!("/{}/{}-token", name.prefix(), kind.name())
}

async fn ensure_one(cloud: &Cloud, name: &Name, files: &Files, kind: Kind) -> Result<Token> {
    if let Some(file) = files.named(kind) {
        let kept = of_file(file, kind)?;
        // So that others can add workers without having the file.
        if cloud.has(Service::ObjectStore).await? && fetch(cloud, name, kind).await?.is_none() {
            keep(cloud, name, kind, &kept).await?;
        }
        return Ok(kept);
    }
    if let Some(token) = fetch(cloud, name, kind).await? {
        return Ok(token);
    }
    let token = random(kind)?;
    match keep(cloud, name, kind, &token).await {
        Ok(()) => Ok(token),
        // Somebody else has been faster.
        Err(CloudError::Refused { status, .. }) if status == 412 => {
            match fetch(cloud, name, kind).await? {
                Some(token) => Ok(token),
                None => failed("the token in the cloud came and went: try again"),
            }
        }
        Err(error) => Err(error.into()),
    }
}

async fn keep(
    cloud: &Cloud,
    name: &Name,
    kind: Kind,
    token: &Token,
) -> std::result::Result<(), CloudError> {
    let put = cloud.call(Service::ObjectStore, Method::PUT, path(name, kind));
    let put = put
        .header("if-none-match", "*")
        .header("content-type", "text/plain");
    put.bytes(format!("{}\n", token.expose()).into())
        .send()
        .await?;
    Ok(())
}

fn random(kind: Kind) -> Result<Token> {
    Token::random(kind)
        .or_else(|error| failed(format!("the system has no random numbers: {error}")))
}

/// The token in a file, which is made if it is not there.
fn of_file(file: &Path, kind: Kind) -> Result<Token> {
    let mut new = std::fs::OpenOptions::new();
    match new.write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut file) => {
            let token = random(kind)?;
            match writeln!(file, "{}", token.expose()).and_then(|()| file.sync_all()) {
                Ok(()) => Ok(token),
                Err(error) => failed(format!("cannot keep a token: {error}")),
            }
        }
        Err(_) => tokens::read(file).or_else(|error| failed(error.to_string())),
    }
}
