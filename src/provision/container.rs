//! The deployment's container in the object store, for the binary and the tokens.

use rand::TryRng;
use rand::rngs::SysRng;
use reqwest::Method;
use serde::Deserialize;

use super::cloud::{Answer, Cloud, CloudError, Service};
use super::{Name, Result, failed};
use crate::digest::hexadecimal;

/// The key that signs its addresses.
const KEY: &str = "x-container-meta-temp-url-key";

/// The deployment that it belongs to: a name alone might be somebody else's.
const MARK: &str = "x-container-meta-faafo-deployment";

fn path(name: &Name) -> String {
    format!("/{}", name.prefix())
}

fn is_of(name: &Name, answer: &Answer) -> bool {
    answer.header(MARK) == Some(name.to_string())
}

/// Makes it if it is not there. The key that signs its addresses.
pub async fn ensure(cloud: &Cloud, name: &Name) -> Result<String> {
    match cloud
        .call(Service::ObjectStore, Method::HEAD, path(name))
        .send()
        .await
    {
        Ok(there) => {
            return match there.header(KEY) {
                Some(key) if is_of(name, &there) => Ok(key),
                _ => failed(format!(
                    "there is a container {} that no deployment has made: choose another --name",
                    name.prefix()
                )),
            };
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let mut key = [0; 32];
    if let Err(error) = SysRng.try_fill_bytes(&mut key) {
        return failed(format!("the system has no random numbers: {error}"));
    }
    let key = hexadecimal(&key);
    let put = cloud.call(Service::ObjectStore, Method::PUT, path(name));
    put.header(KEY, &key)
        .header(MARK, name.to_string())
        .send()
        .await?;
    Ok(key)
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

/// What is in it, if it is there.
pub async fn objects(
    cloud: &Cloud,
    name: &Name,
) -> std::result::Result<Option<Vec<String>>, CloudError> {
    if !cloud.has(Service::ObjectStore).await? {
        return Ok(None);
    }
    match cloud
        .call(Service::ObjectStore, Method::HEAD, path(name))
        .send()
        .await
    {
        Ok(there) if is_of(name, &there) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    }
    let call = cloud
        .get(Service::ObjectStore, path(name))
        .query("format", "json");
    let entries: Vec<Entry> = match call.read().await {
        Err(error) if error.is_not_found() => return Ok(None),
        entries => entries?,
    };
    Ok(Some(entries.into_iter().map(|entry| entry.name).collect()))
}

/// The deployments that have one.
pub async fn names(cloud: &Cloud) -> std::result::Result<Vec<Name>, CloudError> {
    if !cloud.has(Service::ObjectStore).await? {
        return Ok(Vec::new());
    }
    let call = cloud.get(Service::ObjectStore, "");
    let call = call.query("format", "json").query("prefix", "faafo-");
    let entries: Vec<Entry> = match call.read().await {
        // An account that has never held anything.
        Err(error) if error.is_not_found() => Vec::new(),
        entries => entries?,
    };
    let mut names = Vec::new();
    for name in entries
        .iter()
        .filter_map(|entry| Name::in_prefix(&entry.name))
    {
        match cloud
            .call(Service::ObjectStore, Method::HEAD, path(&name))
            .send()
            .await
        {
            Ok(there) if is_of(&name, &there) => names.push(name),
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(names)
}
