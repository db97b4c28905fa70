//! How the world reaches the front node: by its own address if that is routable, else by a floating
//! IP that leads to it.

use std::net::IpAddr;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::choose::Place;
use super::cloud::{Cloud, CloudError, Service};
use super::resources::{Address, Port};
use super::survey;
use super::{Blueprint, Name, Result};

/// Whether an address is of those that the world may reach: a floating IP in front of such a one
/// would be wasted.
pub fn is_routable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let carrier = a == 100 && (64..128).contains(&b);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier)
        }
        IpAddr::V6(ip) => {
            let local = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            !local
        }
    }
}

/// Where the front node is found, and what there is to say about it.
#[derive(Debug)]
pub struct Found {
    pub ip: Option<IpAddr>,
    pub note: Option<String>,
}

/// An address for the front node, whose port this is.
pub async fn ensure(cloud: &Cloud, blueprint: &Blueprint, port: &Port) -> Result<Found> {
    let own = |note: Option<String>| Found {
        ip: port.ip(),
        note,
    };
    if let Some(address) = blueprint.survey.address_of(port) {
        return Ok(floating(address, None));
    }
    if port.ip().is_some_and(is_routable) {
        return Ok(own(None));
    }
    let Some(external) = &blueprint.external else {
        let why = "this cloud has no external network, and so no floating IPs: the farm is reached \
                   from its own network only";
        return Ok(own(Some(why.into())));
    };
    if matches!(&blueprint.place, Place::Given(network) if network.id == external.id) {
        return Ok(own(None));
    }
    let mark = blueprint.name().description();
    let is_free = |address: &&Address| {
        address.port_id.is_none()
            && address.floating_network_id == external.id
            && (address.description == mark || Name::in_description(&address.description).is_none())
    };
    let all = survey::addresses(cloud).await?;
    for free in all.iter().filter(is_free) {
        match take(cloud, free, port).await {
            Ok(Some(address)) => {
                let note = format!(
                    "took the project's free floating IP {}",
                    free.floating_ip_address
                );
                return Ok(floating(&address, Some(note)));
            }
            Ok(None) => {}
            Err(error) => return without(own, error),
        }
    }
    let body = json!({ "floatingip": {
        "floating_network_id": external.id, "port_id": port.id, "description": mark,
    } });
    let call = cloud.post(Service::Network, "/floatingips", body);
    match call.read_in::<Address>("floatingip").await {
        Ok(address) => {
            super::network::tag(cloud, "floatingips", &address.id, blueprint.name()).await?;
            Ok(floating(&address, None))
        }
        Err(error) => without(own, error),
    }
}

/// Has a free address lead to a port. `None`, if somebody else has changed it since it was looked at:
/// clouds that number such changes tell.
async fn take(
    cloud: &Cloud,
    free: &Address,
    port: &Port,
) -> std::result::Result<Option<Address>, CloudError> {
    let path = format!("/floatingips/{}", free.id);
    let body = json!({ "floatingip": { "port_id": port.id } });
    let mut call = cloud.call(Service::Network, Method::PUT, &path).json(body);
    if let Some(number) = free.revision_number {
        call = call.header("if-match", format!("revision_number={number}"));
    }
    match call.read_in::<Address>("floatingip").await {
        Ok(address) => Ok(Some(address)),
        Err(error) if error.status() == Some(StatusCode::PRECONDITION_FAILED) => {
            // By this very call, if it was sent again because its answer did not come.
            let call = cloud.get(Service::Network, path);
            match call.read_in::<Address>("floatingip").await {
                Ok(now) => Ok(Some(now).filter(|now| now.port_id.as_ref() == Some(&port.id))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Gives an address back: one that was allocated for this deployment goes, another is free again.
pub async fn release(cloud: &Cloud, name: &Name, address: &Address) -> Result<()> {
    let path = format!("/floatingips/{}", address.id);
    if address.description == name.description() {
        cloud.delete(Service::Network, path).await?;
    } else {
        let body = json!({ "floatingip": { "port_id": null } });
        let call = cloud.call(Service::Network, Method::PUT, path).json(body);
        call.send().await?;
    }
    Ok(())
}

fn floating(address: &Address, note: Option<String>) -> Found {
    Found {
        ip: Some(address.floating_ip_address),
        note,
    }
}

/// Goes on without a floating IP if the cloud has none to give.
fn without(own: impl Fn(Option<String>) -> Found, error: CloudError) -> Result<Found> {
    match error {
        CloudError::Refused {
            status, message, ..
        } if status.is_client_error() => Ok(own(Some(format!(
            "there is no floating IP to be had ({message}): the farm is reached by its own address, \
             from where that is known"
        )))),
        other => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_routable_ones() {
        let routable = |ip: &str| is_routable(ip.parse().unwrap());
        for private in [
            "10.0.0.5",
            "172.31.1.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(!routable(private), "{private}");
        }
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "203.0.113.9",
            "2a00::1",
        ] {
            assert!(routable(public), "{public}");
        }
    }
}
