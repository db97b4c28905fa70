//! A network of the deployment's own, and the nodes' ports.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;

use super::choose::Place;
use super::cloud::{Cloud, CloudError, Service};
use super::resources::{Network, Port, Router, Subnet};
use super::{Blueprint, Name, Result};

/// The addresses of a network of one's own: unlikely to be those of anything that it is joined to.
const RANGE: &str = "10.80.0.0/22";

/// The network for the nodes: as much of it made as is missing. Its id.
pub async fn ensure(cloud: &Cloud, blueprint: &Blueprint) -> Result<String> {
    if let Place::Given(network) = &blueprint.place {
        return Ok(network.id.clone());
    }
    let (name, survey) = (blueprint.name(), &blueprint.survey);
    let (title, description) = (name.prefix(), name.description());
    let network = match survey.network() {
        Some(network) => network.id.clone(),
        None => {
            let body = json!({ "network": { "name": title, "description": description } });
            let call = cloud.post(Service::Network, "/networks", body);
            let network: Network = call.read_in("network").await?;
            tag(cloud, "networks", &network.id, name).await?;
            network.id
        }
    };
    let subnet = match survey.subnet(&network) {
        Some(subnet) => subnet.id.clone(),
        None => {
            let body = json!({ "subnet": {
                "name": title, "description": description, "network_id": network,
                "ip_version": 4, "cidr": RANGE,
            } });
            let call = cloud.post(Service::Network, "/subnets", body);
            let subnet: Subnet = call.read_in("subnet").await?;
            tag(cloud, "subnets", &subnet.id, name).await?;
            subnet.id
        }
    };
    let Some(external) = &blueprint.external else {
        return Ok(network);
    };
    let router = match survey.routers.first() {
        Some(router) => router.id.clone(),
        None => {
            let body = json!({ "router": {
                "name": title, "description": description,
                "external_gateway_info": { "network_id": external.id },
            } });
            let call = cloud.post(Service::Network, "/routers", body);
            let router: Router = call.read_in("router").await?;
            tag(cloud, "routers", &router.id, name).await?;
            router.id
        }
    };
    let ports = router_ports(cloud, &router).await?;
    let joined = |port: &Port| port.fixed_ips.iter().any(|fixed| fixed.subnet_id == subnet);
    if !ports.iter().any(joined) {
        let path = format!("/routers/{router}/add_router_interface");
        let body = json!({ "subnet_id": subnet });
        let call = cloud.call(Service::Network, Method::PUT, path).json(body);
        if let Err(error) = call.send().await {
            // It may have been done by a try whose answer was lost: then another one is refused.
            let refused = error
                .status()
                .is_some_and(|status| status.is_client_error());
            if !refused || !router_ports(cloud, &router).await?.iter().any(joined) {
                return Err(error.into());
            }
        }
    }
    Ok(network)
}

/// The ports by which a router is joined to subnets.
pub async fn router_ports(
    cloud: &Cloud,
    router: &str,
) -> std::result::Result<Vec<Port>, CloudError> {
    let call = cloud
        .get(Service::Network, "/ports")
        .query("device_id", router);
    let mut ports: Vec<Port> = call.list("ports").await?;
    // Routers of other kinds, such as distributed ones, have other words for it.
    ports.retain(|port| {
        port.device_owner.starts_with("network:") && port.device_owner.contains("interface")
    });
    Ok(ports)
}

/// A port for each node, made before its server: so its address is known at once, to it and to those
/// who are to find it. Their ports by the nodes' names.
pub async fn ensure_ports(
    cloud: &Cloud,
    blueprint: &Blueprint,
    network: &str,
    groups: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Port>> {
    let name = blueprint.name();
    let mut ports = BTreeMap::new();
    for node in &blueprint.nodes {
        let port = match blueprint.survey.port(&node.name) {
            Some(port) => port.clone(),
            None => {
                let group = groups.get(&node.role.group(name));
                let body = json!({ "port": {
                    "name": node.name, "description": name.description(),
                    "network_id": network, "security_groups": group.into_iter().collect::<Vec<_>>(),
                } });
                let call = cloud.post(Service::Network, "/ports", body);
                let port: Port = call.read_in("port").await?;
                tag(cloud, "ports", &port.id, name).await?;
                port
            }
        };
        ports.insert(node.name.clone(), port);
    }
    Ok(ports)
}

/// Tags a resource for people. What counts is its description: some clouds have no tags.
pub async fn tag(cloud: &Cloud, kind: &str, id: &str, name: &Name) -> Result<()> {
    let call = cloud.call(Service::Network, Method::PUT, format!("/{kind}/{id}/tags"));
    match call.json(json!({ "tags": [name.tag()] })).send().await {
        Err(CloudError::Refused { status, .. }) if status.is_client_error() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}
