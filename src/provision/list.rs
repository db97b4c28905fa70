//! The deployments of a project, also those of which there is no more than a network or a container
//! that a kill has left, or a volume that was kept.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::try_join;

use super::cloud::{Cloud, Service};
use super::resources::{Network, Server};
use super::survey;
use super::volume::Volume;
use super::{Name, Result, container, heat, mark, volume};

#[derive(Default, Serialize)]
pub struct Deployment {
    pub name: String,
    pub topology: Option<String>,
    pub servers: usize,
    /// How many of them the cloud calls ACTIVE.
    pub active: usize,
    /// When the first of its servers was made, or its stack.
    pub created: Option<String>,
}

pub async fn all(cloud: &Cloud) -> Result<Vec<Deployment>> {
    let project = cloud.project().await?;
    let networks = cloud
        .get(Service::Network, "/networks")
        .query("project_id", project);
    let stacks = heat::all(cloud).await?;
    // Heat gives its servers names of its own.
    let pattern = if stacks.is_empty() { "^faafo-" } else { "." };
    let (servers, networks, stored, volumes) = try_join!(
        survey::all_servers(cloud, pattern),
        networks.list::<Network>("networks"),
        container::names(cloud),
        volume::all(cloud),
    )?;
    let mut found: BTreeMap<String, Deployment> = BTreeMap::new();
    let marked = networks
        .iter()
        .filter_map(|net| Name::in_description(&net.description));
    let kept = volumes.iter().filter_map(Volume::deployment);
    for name in marked.chain(stored).chain(kept) {
        found.entry(name.to_string()).or_default();
    }
    for (name, stack) in stacks {
        let own = heat::servers(cloud, &stack).await?;
        let is_active = |one: &&Server| own.contains_key(&one.id) && one.status == "ACTIVE";
        let deployment = found.entry(name.to_string()).or_default();
        deployment.topology = Some(format!("{}, a stack", stack.shape().unwrap_or("?")));
        deployment.servers = own.len();
        deployment.active = servers.iter().filter(is_active).count();
        deployment.created = stack.creation_time;
    }
    for server in &servers {
        let Some(name) = server.metadata.get(mark::DEPLOYMENT) else {
            continue;
        };
        let deployment = found.entry(name.clone()).or_default();
        deployment.topology = server.metadata.get(mark::TOPOLOGY).cloned();
        deployment.servers += 1;
        deployment.active += usize::from(server.status == "ACTIVE");
        let first = deployment
            .created
            .get_or_insert_with(|| server.created.clone());
        if server.created < *first {
            *first = server.created.clone();
        }
    }
    for (name, deployment) in &mut found {
        deployment.name.clone_from(name);
    }
    Ok(found.into_values().collect())
}
