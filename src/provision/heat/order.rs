//! What a stack is to be made with: the parameters of its template, as this cloud has them.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::artifact;
use super::super::board::Board;
use super::super::choose::Place;
use super::super::cloud::{Cloud, Service};
use super::super::resources::Network;
use super::super::survey::Survey;
use super::super::{Blueprint, Result, Wanted, address, usage};
use super::Shape;

/// What was asked for.
pub struct Order {
    pub shape: Shape,
    /// As a deployment of `up` with as many nodes would be wanted.
    pub wanted: Wanted,
    /// How long its nodes may take.
    pub patience: Duration,
}

/// Hours for which nodes may fetch the binary, ten years: workers may be made at any time.
const FOR_LONG: i64 = 10 * 365 * 24;

/// All that the template leaves open, and the binary in the object store: once it is known that the
/// cloud has what is asked for, and room for it.
pub async fn parameters(cloud: &Cloud, order: &Order, board: &Board) -> Result<Value> {
    let name = &order.wanted.name;
    let survey = Survey::settled(cloud, name).await?;
    // A binary may have got there before the stack was refused.
    let bare = Survey {
        objects: None,
        ..survey
    };
    if !bare.is_empty() {
        return usage(format!(
            "there is a deployment {name} already: choose another --name, or take it away first with \
             `faafo provision down --name {name}`"
        ));
    }
    let blueprint = Blueprint::beside(cloud, order.wanted.clone(), bare).await?;
    blueprint.fits()?;
    let Blueprint {
        image,
        flavor,
        place,
        external,
        ..
    } = blueprint;
    let network = match &place {
        Place::Given(network) => network.id.as_str(),
        Place::Own => "",
    };
    let external = match external {
        Some(external) if wants_addresses(cloud, &place, &external).await? => external.id,
        _ => String::new(),
    };
    board.say(&format!(
        "{name}, {}, in {}: image {}, flavor {}",
        order.shape.name(),
        cloud.origin(),
        image.name(),
        flavor.name
    ));
    let given = match &order.wanted.artifact {
        Some(given) => given.clone(),
        None => {
            let given = artifact::publish(cloud, name, FOR_LONG).await?;
            board.say("this binary is in the object store");
            given
        }
    };
    Ok(json!({
        "image": image.id,
        "flavor": flavor.id,
        "network": network,
        "external_network": external,
        "artifact_url": given.url.as_str(),
        "artifact_sha256": given.sha256,
        "patience": order.patience.as_secs(),
    }))
}

#[derive(Deserialize)]
struct Range {
    cidr: String,
}

/// Whether nodes need floating IPs to be reached, as far as can be told by now.
async fn wants_addresses(cloud: &Cloud, place: &Place, external: &Network) -> Result<bool> {
    let Place::Given(network) = place else {
        return Ok(true);
    };
    if network.id == external.id {
        return Ok(false);
    }
    let call = cloud.get(Service::Network, "/subnets");
    let call = call.query("network_id", &network.id);
    let ranges: Vec<Range> = call.list("subnets").await?;
    let routable = ranges.iter().any(|range| {
        let first = range.cidr.split('/').next().unwrap_or_default();
        let ip = first.parse::<IpAddr>();
        ip.is_ok_and(|ip| ip.is_ipv4() && address::is_routable(ip))
    });
    Ok(!routable)
}
