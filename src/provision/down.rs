//! All of a deployment away, whatever a former run has left of it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;

use super::board::Board;
use super::cloud::{Cloud, CloudError, Service};
use super::survey::Survey;
use super::{Name, Result, address, failed, heat, network, servers, volume};

/// What of a deployment there is to delete, a line each.
pub fn items(survey: &Survey, name: &Name) -> Vec<String> {
    let mut items: Vec<_> = survey
        .stack
        .iter()
        .map(|stack| format!("stack {} with all that is in it", stack.stack_name))
        .collect();
    items.extend(survey.servers.iter().map(|s| format!("server {}", s.name)));
    let (allocated, others): (Vec<_>, Vec<_>) = survey
        .addresses
        .iter()
        .partition(|address| address.description == name.description());
    items.extend(
        allocated
            .iter()
            .map(|a| format!("floating IP {}", a.floating_ip_address)),
    );
    items.extend(others.iter().map(|a| {
        format!(
            "the way from floating IP {}, which stays the project's",
            a.floating_ip_address
        )
    }));
    items.extend(
        survey
            .ports
            .iter()
            .map(|port| format!("port {}", port.name)),
    );
    items.extend(survey.routers.iter().map(|r| format!("router {}", r.name)));
    items.extend(survey.subnets.iter().map(|s| format!("subnet {}", s.name)));
    items.extend(
        survey
            .networks
            .iter()
            .map(|network| format!("network {}", network.name)),
    );
    items.extend(
        survey
            .groups
            .iter()
            .map(|group| format!("security group {}", group.name)),
    );
    let title = name.prefix();
    if survey.key {
        items.push(format!("key {title}"));
    }
    if let Some(objects) = &survey.objects {
        items.push(format!("container {title} with {} objects", objects.len()));
    }
    items.extend(survey.volumes.iter().map(|volume| {
        format!(
            "volume {} of {} GB, with all that is on it",
            volume.title(),
            volume.size
        )
    }));
    items
}

/// What was just let go may be held for a moment longer.
const HELD: Duration = Duration::from_secs(30);

/// What a former run has asked for just before it was killed may come up while all else is deleted.
const PASSES: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(2);

/// What becomes of the volume with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Delete,
    Keep,
}

impl Data {
    /// What there is to delete.
    pub fn of(self, survey: Survey) -> Survey {
        match self {
            Data::Delete => survey,
            Data::Keep => Survey {
                volumes: Vec::new(),
                ..survey
            },
        }
    }
}

/// For so long the nodes may take to shut down, by which the data that are kept are whole.
const SHUT: Duration = Duration::from_secs(60);

/// Deletes all that a survey has found, and looks that nothing is left, but the volumes if they are
/// kept.
pub async fn run(
    cloud: &Cloud,
    name: &Name,
    survey: Survey,
    data: Data,
    board: &Board,
) -> Result<()> {
    let mut left = data.of(survey);
    if data == Data::Keep {
        let down = left
            .servers
            .iter()
            .map(|server| servers::shut_down(cloud, server, SHUT));
        try_join_all(down).await?;
    }
    pass(cloud, name, &left, board).await?;
    for _ in 1..PASSES {
        left = data.of(Survey::of(cloud, name).await?);
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
        pass(cloud, name, &left, board).await?;
    }
    let left = data.of(Survey::of(cloud, name).await?);
    match left.is_empty() {
        true => Ok(()),
        false => failed(format!(
            "of the deployment {name} there is still left: {}; run `faafo provision down --name \
             {name}{}` again",
            match data {
                Data::Delete => "",
                Data::Keep => " --keep-data",
            },
            items(&left, name).join(", ")
        )),
    }
}

async fn pass(cloud: &Cloud, name: &Name, survey: &Survey, board: &Board) -> Result<()> {
    if let Some(stack) = &survey.stack {
        heat::delete(cloud, stack, board).await?;
    }
    let gone = survey.servers.iter().map(|server| async move {
        board.set(&server.name, "going");
        servers::remove(cloud, server).await?;
        board.set(&server.name, "gone");
        Ok::<_, super::Error>(())
    });
    try_join_all(gone).await?;
    let net = Service::Network;
    for address in &survey.addresses {
        address::release(cloud, name, address).await?;
    }
    for port in &survey.ports {
        cloud.delete(net, format!("/ports/{}", port.id)).await?;
    }
    for router in &survey.routers {
        for port in network::router_ports(cloud, &router.id).await? {
            let path = format!("/routers/{}/remove_router_interface", router.id);
            let body = json!({ "port_id": port.id });
            match cloud.call(net, Method::PUT, path).json(body).send().await {
                Err(error) if !error.is_not_found() => return Err(in_use(error, "router", name)),
                _ => {}
            }
        }
        remove(cloud, format!("/routers/{}", router.id), "router", name).await?;
    }
    for subnet in &survey.subnets {
        remove(cloud, format!("/subnets/{}", subnet.id), "subnet", name).await?;
    }
    for found in &survey.networks {
        remove(cloud, format!("/networks/{}", found.id), "network", name).await?;
    }
    for group in &survey.groups {
        // Rules of one may name another.
        for rule in group
            .security_group_rules
            .iter()
            .filter(|r| r.remote_group_id.is_some())
        {
            cloud
                .delete(net, format!("/security-group-rules/{}", rule.id))
                .await?;
        }
    }
    for group in &survey.groups {
        remove(
            cloud,
            format!("/security-groups/{}", group.id),
            "security group",
            name,
        )
        .await?;
    }
    let title = name.prefix();
    if survey.key {
        cloud
            .delete(Service::Compute, format!("/os-keypairs/{title}"))
            .await?;
    }
    if let Some(objects) = &survey.objects {
        for object in objects {
            cloud
                .delete(Service::ObjectStore, format!("/{title}/{object}"))
                .await?;
        }
        cloud
            .delete(Service::ObjectStore, format!("/{title}"))
            .await?;
    }
    // By now their servers have let them go.
    for found in &survey.volumes {
        volume::remove(cloud, found).await?;
    }
    Ok(())
}

/// Deletes what may be in use a moment longer.
async fn remove(cloud: &Cloud, path: String, what: &str, name: &Name) -> Result<()> {
    let begun = Instant::now();
    loop {
        match cloud.delete(Service::Network, path.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_conflict() && begun.elapsed() < HELD => {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(error) => return Err(in_use(error, what, name)),
        }
    }
}

fn in_use(error: CloudError, what: &str, name: &Name) -> super::Error {
    match error {
        CloudError::Refused {
            status, message, ..
        } if status == 409 => super::Error::Failed(format!(
            "the {what} of the deployment {name} is used by something else: {message} Take that \
             away, then run `faafo provision down --name {name}` again"
        )),
        other => other.into(),
    }
}
