//! The volume with a deployment's data, in Cinder. It outlives its servers: only `down` deletes it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::board::Board;
use super::cloud::{Cloud, CloudError, Service};
use super::servers::LOOK;
use super::survey::Survey;
use super::tally::{Node, State};
use super::topology::{Role, Topology};
use super::wanted::Wanted;
use super::{Blueprint, Name, Result, failed, mark, usage};

#[derive(Clone, Debug, Deserialize)]
pub struct Volume {
    pub id: String,
    name: Option<String>,
    pub status: String,
    /// In GB.
    pub size: u64,
    created_at: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Clone, Debug, Deserialize)]
struct Attachment {
    server_id: String,
}

impl Volume {
    /// Its name, for people.
    pub fn title(&self) -> &str {
        match self.name.as_deref() {
            None | Some("") => &self.id,
            Some(name) => name,
        }
    }

    /// The deployment whose mark it has.
    pub fn deployment(&self) -> Option<Name> {
        self.metadata.get(mark::DEPLOYMENT)?.parse().ok()
    }

    /// That of the deployment it was made for.
    pub fn topology(&self) -> Option<Topology> {
        Topology::named(self.metadata.get(mark::TOPOLOGY)?)
    }

    pub fn is_at(&self, server: &str) -> bool {
        let mut attachments = self.attachments.iter();
        attachments.any(|attachment| attachment.server_id == server)
    }
}

/// The name of a deployment's volume.
fn title(name: &Name) -> String {
    format!("{}-data", name.prefix())
}

/// The volumes of the project.
pub async fn all(cloud: &Cloud) -> std::result::Result<Vec<Volume>, CloudError> {
    match cloud.has(Service::BlockStorage).await? {
        true => {
            let call = cloud.get(Service::BlockStorage, "/volumes/detail");
            call.list("volumes").await
        }
        false => Ok(Vec::new()),
    }
}

/// A deployment's. Of several, which a kill at a bad moment may leave, first the one that is used, then
/// the oldest.
pub async fn find(cloud: &Cloud, name: &Name) -> std::result::Result<Vec<Volume>, CloudError> {
    let mut volumes = all(cloud).await?;
    volumes.retain(|volume| volume.deployment().as_ref() == Some(name));
    volumes.sort_by_key(|v| (Reverse(v.attachments.len()), v.created_at.clone()));
    Ok(volumes)
}

/// The volume that a deployment is to have.
#[derive(Clone, Debug)]
pub struct Disk {
    pub title: String,
    /// In GB.
    pub size: u64,
    pub there: Option<Volume>,
    /// The node that has it.
    pub node: String,
    pub role: Role,
}

impl Disk {
    /// What of it is to be made, in GB.
    pub fn lacking(&self) -> u64 {
        let there = self.there.as_ref().map_or(0, |volume| volume.size);
        self.size.saturating_sub(there)
    }

    /// For people.
    pub fn about(&self) -> String {
        let about = format!("{} GB, {} of {}", self.size, folder(self.role), self.node);
        match &self.there {
            Some(there) if self.lacking() > 0 => format!("{about}, {} GB so far", there.size),
            _ => about,
        }
    }
}

/// Where its data are on the node.
pub fn folder(role: Role) -> &'static str {
    match role {
        Role::Services => "/var/lib/mysql",
        _ => "/var/lib/faafo",
    }
}

/// What was asked for, beside what is there: a volume that is there is used, whoever asks.
pub async fn disk(
    cloud: &Cloud,
    wanted: &Wanted,
    topology: Topology,
    nodes: &[Node],
    survey: &Survey,
) -> Result<Option<Disk>> {
    let there = survey.volumes.first();
    let size = wanted.volume_size.or(there.map(|volume| volume.size));
    let keeper = nodes.iter().find(|node| node.role == topology.keeper());
    let (Some(size), Some(keeper)) = (size, keeper) else {
        return Ok(None);
    };
    let disk = Disk {
        title: there.map_or_else(|| title(&wanted.name), |volume| volume.title().to_owned()),
        size,
        there: there.cloned(),
        node: keeper.name.clone(),
        role: keeper.role,
    };
    fits(&disk, wanted, topology, keeper)?;
    if there.is_none() && !cloud.has(Service::BlockStorage).await? {
        return usage(
            "this cloud has no block storage (its catalog names neither block-storage nor volumev3), \
             and so no volumes: without --volume-size the data are on the node's own disk",
        );
    }
    Ok(Some(disk))
}

/// Whether what is there can become what was asked for.
fn fits(disk: &Disk, wanted: &Wanted, topology: Topology, keeper: &Node) -> Result<()> {
    let (name, size, node) = (&wanted.name, disk.size, &disk.node);
    let is_made = keeper.state == State::Exists;
    let Some(there) = &disk.there else {
        return match is_made {
            false => Ok(()),
            true => usage(format!(
                "{node} has its data on its own disk, and no volume can take their place: give another \
                 deployment a volume from the beginning, with another --name, and have it take over \
                 the fractals by `faafo import`"
            )),
        };
    };
    let title = there.title();
    if there.size > size {
        return usage(format!(
            "the volume {title} has {0} GB, and no volume becomes smaller: ask for --volume-size {0} or \
             more",
            there.size
        ));
    }
    if !is_made {
        return match there.topology() {
            Some(before) if folder(before.keeper()) != folder(topology.keeper()) => usage(format!(
                "the volume {title} has the data of a deployment that was {0}, which {1} cannot use: \
                 ask for --topology {0}, give the new one another --name, or delete those data with \
                 `faafo provision down --name {name}`",
                before.name(),
                topology.name()
            )),
            _ => Ok(()),
        };
    }
    if there.size < size {
        return usage(format!(
            "the volume {title} has {} GB and is in use: `faafo provision down --name {name} \
             --keep-data` takes away all but it, and `up --name {name} --volume-size {size}` after \
             that makes it larger and the rest anew",
            there.size
        ));
    }
    let attached = |server: &str| there.is_at(server);
    match &keeper.server {
        Some(server) if wanted.volume_size.is_some() && !attached(&server.id) => usage(format!(
            "the volume {title} is not attached to {node}, which was made with it: `openstack server \
             add volume {node} {}` and then `openstack server reboot {node}` mends that",
            there.id
        )),
        _ => Ok(()),
    }
}

/// Making a volume, or giving it back, takes no longer, or something is wrong with the cloud.
const PATIENCE: Duration = Duration::from_secs(180);

/// The volume, ready to be attached: made or enlarged if need be.
pub async fn ready(
    cloud: &Cloud,
    blueprint: &Blueprint,
    disk: &Disk,
    board: &Board,
) -> Result<Volume> {
    let name = blueprint.name();
    let (title, size) = (&disk.title, disk.size);
    let volume = match &disk.there {
        Some(there) => there.clone(),
        None => {
            let body = json!({ "volume": {
                "name": title,
                "description": name.description(),
                "size": size,
                "metadata": {
                    mark::DEPLOYMENT: name.to_string(),
                    mark::TOPOLOGY: blueprint.topology.name(),
                },
            } });
            let call = cloud.post(Service::BlockStorage, "/volumes", body);
            call.read_in("volume").await?
        }
    };
    let mut volume = settled(cloud, &volume).await?;
    if volume.size < size {
        let body = json!({ "os-extend": { "new_size": size } });
        let path = format!("/volumes/{}/action", volume.id);
        cloud.post(Service::BlockStorage, path, body).send().await?;
        volume = settled(cloud, &volume).await?;
    }
    let taken = if disk.there.is_some() {
        "taken"
    } else {
        "made"
    };
    board.say(&format!("the volume {title} of {size} GB is {taken}"));
    Ok(volume)
}

async fn show(cloud: &Cloud, id: &str) -> std::result::Result<Volume, CloudError> {
    let path = format!("/volumes/{id}");
    let call = cloud.get(Service::BlockStorage, path);
    call.read_in("volume").await
}

/// Waits until a volume is nobody's.
async fn settled(cloud: &Cloud, volume: &Volume) -> Result<Volume> {
    let begun = Instant::now();
    loop {
        let now = show(cloud, &volume.id).await?;
        let (title, id, status) = (now.title(), &now.id, &now.status);
        if status == "available" {
            return Ok(now);
        }
        if status.starts_with("error") {
            return failed(format!(
                "the volume {title} is in the status {status}: `openstack volume show {id}` may say \
                 why. If it holds nothing that you want, `openstack volume delete {id}`, and run `up` \
                 again, which makes another"
            ));
        }
        if begun.elapsed() > PATIENCE {
            return failed(format!(
                "the volume {title} is still {status} after {} s, and cannot be attached: `openstack \
                 volume show {id}` tells by whom it is held; run `up` again when it is free",
                PATIENCE.as_secs()
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Deletes a volume, as soon as its server has let it go, and waits until it has gone.
pub async fn remove(cloud: &Cloud, volume: &Volume) -> Result<()> {
    let begun = Instant::now();
    let mut refused = None;
    loop {
        let now = match show(cloud, &volume.id).await {
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(now) => now,
        };
        let (title, status) = (now.title(), &now.status);
        if status == "error_deleting" || begun.elapsed() > PATIENCE {
            let why = refused.map_or(String::new(), |error| format!(": {error}"));
            return failed(format!(
                "the volume {title} is {status} and cannot be deleted{why}; take away what hangs on it, \
                 such as snapshots, and run `faafo provision down` again, or ask the cloud's operator"
            ));
        }
        if status == "available" || status == "error" {
            let path = format!("/volumes/{}", now.id);
            match cloud.delete(Service::BlockStorage, path).await {
                Ok(()) => {}
                // A snapshot hangs on it: it will not go by itself.
                Err(error) if begun.elapsed() > HELD => return Err(error.into()),
                Err(error) if error.status().is_some_and(|s| s.is_client_error()) => {
                    refused = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// For so long a refusal may come from what a server has just let go.
const HELD: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tally::tests::{server, wanted};

    fn volume(size: u64, at: Option<&str>, topology: &str) -> Volume {
        let attachments: Vec<_> = at.iter().map(|id| json!({ "server_id": id })).collect();
        serde_json::from_value(json!({
            "id": "v", "name": "faafo-n-data", "status": "available", "size": size,
            "metadata": { "faafo-deployment": "n", "faafo-topology": topology },
            "attachments": attachments, "created_at": null,
        }))
        .unwrap()
    }

    /// Whether it can be, for a node that is there or not.
    fn fitting(size: u64, there: Option<Volume>, made: bool) -> std::result::Result<(), String> {
        let topology = Topology::Split;
        let server = made.then(|| server(Role::Api, 1, "ACTIVE"));
        let keeper = Node {
            name: "faafo-n-api".into(),
            role: Role::Api,
            number: 1,
            state: if made { State::Exists } else { State::Make },
            server,
        };
        let wanted = Wanted {
            volume_size: Some(size),
            ..wanted(Some(topology), None)
        };
        let disk = Disk {
            title: "faafo-n-data".into(),
            size,
            there,
            node: keeper.name.clone(),
            role: keeper.role,
        };
        fits(&disk, &wanted, topology, &keeper).map_err(|error| error.to_string())
    }

    #[test]
    fn a_volume_grows_only_while_nobody_uses_it() {
        let api = Some("faafo-n-api");
        assert_eq!(fitting(20, None, false), Ok(()));
        assert_eq!(fitting(20, Some(volume(20, api, "split")), true), Ok(()));
        assert_eq!(fitting(30, Some(volume(20, None, "split")), false), Ok(()));
        let refused = |size, there, made: bool, why: &str| {
            let said = fitting(size, there, made).unwrap_err();
            assert!(said.contains(why), "{said}");
        };
        refused(20, None, true, "on its own disk");
        let there = |at| Some(volume(20, at, "split"));
        refused(30, there(api), true, "--keep-data");
        refused(10, there(None), false, "--volume-size 20");
        refused(20, there(Some("other")), true, "not attached");
    }

    #[test]
    fn a_database_is_no_store_of_faafos_own() {
        let there = |topology| Some(volume(20, None, topology));
        assert_eq!(fitting(20, there("all-in-one"), false), Ok(()));
        let said = fitting(20, there("scaled-out"), false).unwrap_err();
        assert!(said.contains("--topology scaled-out"), "{said}");
    }
}
