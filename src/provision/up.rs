//! Make what is missing of a deployment. Every step finds what a former run has made, so that after
//! a kill at any point the next one goes on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::json;

use super::blueprint::Blueprint;
use super::board::Board;
use super::cloud::{Cloud, Service};
use super::key::Key;
use super::resources::{Port, Server};
use super::servers::LOOK;
use super::tally::{Node, State};
use super::topology::Role;
use super::user_data::{self, Seed};
use super::{
    Artifact, Error, Result, address, artifact, container, groups, network, ready, secrets,
    servers, volume,
};
use crate::tokens::{Kind, Token};

/// A deployment that is there.
pub struct Done {
    /// Where the farm is, by each of its API nodes whose address is known.
    pub urls: Vec<String>,
    pub token: Option<Token>,
    /// Whether any node had to be made or started.
    pub changed: bool,
}

/// A cloud that loses more answers than this is out of order.
const TRIES: u32 = 5;

/// Makes all that the blueprint has and the cloud has not; waits until it works, if `wait` says how
/// long.
pub async fn run(
    cloud: &Cloud,
    blueprint: &Blueprint,
    wait: Option<Duration>,
    board: &Board,
) -> Result<Done> {
    let mut again: Option<Blueprint> = None;
    let mut left = TRIES;
    loop {
        left -= 1;
        let blueprint = again.as_ref().unwrap_or(blueprint);
        let done = Box::pin(pass(cloud, blueprint, wait, board)).await;
        match done {
            // It may be there or not. To ask for it again might double it, so look at all anew.
            Err(Error::Cloud(error)) if error.is_lost() && left > 0 => {
                board.say(&format!("{error}; looking whether it was done"));
                tokio::time::sleep(LOOK).await;
                let wanted = blueprint.wanted.clone();
                again = Some(Box::pin(Blueprint::draw(cloud, wanted)).await?);
            }
            Ok(done) if again.is_some() => {
                // What was made in a try before counts as well.
                let token = match done.token {
                    None => secrets::fetch(cloud, blueprint.name(), Kind::User).await?,
                    token => token,
                };
                return Ok(Done {
                    token,
                    changed: true,
                    ..done
                });
            }
            done => return done,
        }
    }
}

async fn pass(
    cloud: &Cloud,
    blueprint: &Blueprint,
    wait: Option<Duration>,
    board: &Board,
) -> Result<Done> {
    blueprint.fits()?;
    let name = blueprint.name();
    if let Key::Import { name, public } = &blueprint.key
        && !blueprint.survey.key
    {
        let key = json!({ "keypair": { "name": name, "public_key": public } });
        cloud
            .post(Service::Compute, "/os-keypairs", key)
            .send()
            .await?;
        board.say(&format!("imported the key {name}"));
    }
    let missing: Vec<&Node> = blueprint
        .nodes
        .iter()
        .filter(|node| node.state != State::Exists)
        .collect();
    let seeds = match missing.is_empty() {
        true => None,
        false => {
            if blueprint.has_store {
                container::ensure(cloud, name).await?;
            }
            let tokens = secrets::ensure(cloud, name, &blueprint.wanted.tokens).await?;
            let given = match &blueprint.wanted.artifact {
                Some(given) => given.clone(),
                None => {
                    let given = artifact::publish(cloud, name, artifact::FOR_NOW).await?;
                    board.say("this binary is in the object store");
                    given
                }
            };
            Some((tokens, given))
        }
    };
    let own_network = network::ensure(cloud, blueprint).await?;
    let groups = groups::ensure(cloud, blueprint).await?;
    let ports = network::ensure_ports(cloud, blueprint, &own_network, &groups).await?;
    board.say("network, security groups and ports are there");

    let mut fronts = Vec::new();
    for front in blueprint.fronts() {
        let found = address::ensure(cloud, blueprint, port(&ports, &front.name)?).await?;
        if let Some(note) = &found.note {
            board.say(note);
        }
        fronts.push((front.name.clone(), found.ip));
    }
    let token = match &seeds {
        Some((tokens, given)) => {
            let made = missing
                .iter()
                .map(|node| make(cloud, blueprint, node, &ports, tokens, given, board));
            try_join_all(made).await?;
            Some(tokens.user.clone())
        }
        None => None,
    };
    // A host that went down leaves them so, or a `scale` that was killed while they drained.
    let off: Vec<&Server> = blueprint.off().collect();
    for server in &off {
        servers::start(cloud, server).await?;
        board.set(&server.name, "was shut off, starting");
    }
    if let Some(patience) = wait {
        ready::wait(cloud, blueprint, &fronts, patience, board).await?;
    }
    let ips = fronts.into_iter().filter_map(|(_, ip)| ip);
    Ok(Done {
        urls: ips.map(ready::url).collect(),
        token,
        changed: !missing.is_empty() || !off.is_empty(),
    })
}

fn port<'a>(ports: &'a BTreeMap<String, Port>, node: &str) -> Result<&'a Port> {
    ports
        .get(node)
        .ok_or_else(|| Error::Failed(format!("{node} has no port")))
}

async fn make(
    cloud: &Cloud,
    blueprint: &Blueprint,
    node: &Node,
    ports: &BTreeMap<String, Port>,
    tokens: &secrets::Tokens,
    given: &Artifact,
    board: &Board,
) -> Result<()> {
    let ip_of = |node: &Node| -> Result<IpAddr> {
        match port(ports, &node.name)?.ip() {
            Some(ip) => Ok(ip),
            None => super::failed(format!(
                "the network gives {} no address: has it a subnet?",
                node.name
            )),
        }
    };
    let endpoints: Result<Vec<String>> = blueprint
        .fronts()
        .map(|front| ip_of(front).map(ready::url))
        .collect();
    let mut nodes = blueprint.nodes.iter();
    let services = nodes.find(|node| node.role == Role::Services);
    let services = services.map(ip_of).transpose()?.map(ready::host);
    if let Some(server) = &node.server {
        board.set(&node.name, "replacing what failed");
        servers::remove(cloud, server).await?;
    }
    let disk = blueprint.disk.as_ref();
    let disk = match disk.filter(|disk| disk.node == node.name) {
        Some(disk) => {
            board.set(&node.name, "waiting for its volume");
            Some(volume::ready(cloud, blueprint, disk, board).await?)
        }
        None => None,
    };
    let seed = Seed {
        node: &node.name,
        name: (node.role == Role::Worker).then_some(&node.name),
        role: node.role,
        artifact: given.url.as_str(),
        sha256: &given.sha256,
        secrets: &tokens.secrets(),
        endpoints: &endpoints?,
        services: services.as_deref(),
        settings: &blueprint.wanted.settings,
        tell: None,
        volume: disk.as_ref().map(|volume| volume.id.as_str()),
    };
    let user_data = user_data::render(&seed)?;
    let port = port(ports, &node.name)?;
    servers::make(cloud, blueprint, node, port, &user_data, disk.as_ref()).await?;
    board.set(&node.name, "created");
    Ok(())
}
