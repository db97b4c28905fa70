//! Instances: made, waited for, and taken away.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::cloud::{Cloud, CloudError, Microversion, Service};
use super::resources::{Port, Server};
use super::survey;
use super::tally::Node;
use super::volume::Volume;
use super::{Blueprint, Result, failed, mark};

/// From here on tags can be given with the call that makes a server.
const WITH_TAGS: Microversion = Microversion(2, 52);

/// How often a server is looked at that changes.
pub const LOOK: Duration = Duration::from_secs(2);

/// Deleting a server takes no longer, or something is wrong with the cloud.
const GONE: Duration = Duration::from_secs(180);

/// Asks for a node's server.
pub async fn make(
    cloud: &Cloud,
    blueprint: &Blueprint,
    node: &Node,
    port: &Port,
    user_data: &str,
    volume: Option<&Volume>,
) -> Result<()> {
    let name = blueprint.name();
    let version = cloud.compute_version(WITH_TAGS).await?;
    let mut server = json!({
        "name": node.name,
        "imageRef": blueprint.image.id,
        "flavorRef": blueprint.flavor.id,
        "networks": [{ "port": port.id }],
        "user_data": BASE64_STANDARD.encode(user_data),
        "metadata": {
            mark::DEPLOYMENT: name.to_string(),
            mark::ROLE: node.role.name(),
            mark::NUMBER: node.number.to_string(),
            mark::TOPOLOGY: blueprint.topology.name(),
        },
    });
    if let Some(zone) = &blueprint.zone {
        server["availability_zone"] = json!(zone);
        server["metadata"][mark::ZONE] = json!(zone);
    }
    if let Some(volume) = volume {
        // Where disks are named, that of the image is one of them.
        server["block_device_mapping_v2"] = json!([
            {
                "boot_index": 0, "source_type": "image", "uuid": blueprint.image.id,
                "destination_type": "local", "delete_on_termination": true,
            },
            {
                "boot_index": -1, "source_type": "volume", "uuid": volume.id,
                "destination_type": "volume", "delete_on_termination": false,
            },
        ]);
    }
    if let Some(key) = blueprint.key.name() {
        server["key_name"] = json!(key);
    }
    if version.is_some() {
        server["tags"] = json!([name.tag()]);
    }
    let call = cloud.post(Service::Compute, "/servers", json!({ "server": server }));
    match call.version(version).send().await {
        // A former run has asked for it just before it was killed: two cannot have one port.
        Err(error) if error.is_conflict() => {
            let there = survey::servers(cloud, name).await?;
            match there.iter().any(|server| server.name == node.name) {
                true => Ok(()),
                false => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

pub async fn show(cloud: &Cloud, id: &str) -> std::result::Result<Server, CloudError> {
    cloud
        .get(Service::Compute, format!("/servers/{id}"))
        .read_in("server")
        .await
}

/// Why a server is in ERROR. Lists leave that out, and it may come a moment after the status.
pub async fn fault(cloud: &Cloud, server: &Server) -> std::result::Result<String, CloudError> {
    for _ in 0..3 {
        match show(cloud, &server.id).await {
            Ok(Server {
                fault: Some(fault), ..
            }) => return Ok(fault.message.trim().to_owned()),
            Err(error) if !error.is_not_found() => return Err(error),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    Ok("the cloud does not say why".to_owned())
}

/// Deletes a server and waits until it has gone.
pub async fn remove(cloud: &Cloud, server: &Server) -> Result<()> {
    cloud
        .delete(Service::Compute, format!("/servers/{}", server.id))
        .await?;
    let begun = Instant::now();
    loop {
        match show(cloud, &server.id).await {
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
            // Some clouds keep what is deleted for a while, to undo it.
            Ok(server) if server.status == "SOFT_DELETED" => return Ok(()),
            Ok(there) if begun.elapsed() > GONE => {
                let fault = there
                    .fault
                    .map_or(String::new(), |fault| format!(": {}", fault.message));
                return failed(format!(
                    "{} is {} and not gone after {} s{fault}; try again, or ask the cloud's operator",
                    server.name,
                    there.status,
                    GONE.as_secs()
                ));
            }
            Ok(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Shuts a server down as its power button would, so that faafo gives back what it renders; and no
/// longer than `patience`.
pub async fn shut_down(cloud: &Cloud, server: &Server, patience: Duration) -> Result<()> {
    let path = format!("/servers/{}/action", server.id);
    let stop = json!({ "os-stop": null });
    let call = cloud.post(Service::Compute, path, stop).repeatable();
    match call.send().await {
        // It runs no longer, or does not yet.
        Err(error) if error.is_conflict() || error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let begun = Instant::now();
    while begun.elapsed() < patience {
        match show(cloud, &server.id).await {
            Ok(server) if server.status == "ACTIVE" => tokio::time::sleep(LOOK).await,
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => break,
        }
    }
    Ok(())
}

/// Starts a server that was shut down.
pub async fn start(cloud: &Cloud, server: &Server) -> Result<()> {
    let path = format!("/servers/{}/action", server.id);
    let start = json!({ "os-start": null });
    let call = cloud.post(Service::Compute, path, start).repeatable();
    match call.send().await {
        // Somebody else has started it, or taken it away.
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// The last lines of a server's console; nothing where the cloud tells none.
pub async fn console(
    cloud: &Cloud,
    id: &str,
    lines: u32,
) -> std::result::Result<String, CloudError> {
    let path = format!("/servers/{id}/action");
    let body = json!({ "os-getConsoleOutput": { "length": lines } });
    let answer = cloud
        .post(Service::Compute, path, body)
        .repeatable()
        .read::<Value>()
        .await;
    match answer {
        Ok(answer) => Ok(answer["output"].as_str().unwrap_or("").to_owned()),
        // Not yet, or never on this hypervisor.
        Err(CloudError::Refused { status, .. }) if status.is_client_error() || status == 501 => {
            Ok(String::new())
        }
        Err(error) => Err(error),
    }
}
