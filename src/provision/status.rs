//! How a deployment is: its nodes, and what the farm on it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::cloud::Cloud;
use super::heat::{self, Stack};
use super::ready::{self, Farm};
use super::resources::{Port, Server};
use super::survey::{self, Survey};
use super::topology::{Role, Topology};
use super::user_data::{self, Heard};
use super::{Name, Result, servers, usage};
use crate::wire::CountsDoc;

/// A deployment, for people and programs.
#[derive(Serialize)]
pub struct Status {
    pub name: String,
    pub topology: Option<String>,
    /// The stack that it is, if Heat has made it.
    pub stack: Option<StackStatus>,
    /// Where the farm is, if it has an address.
    pub url: Option<String>,
    /// Fractals of each status; `None` if the farm does not answer from here.
    pub fractals: Option<CountsDoc>,
    /// How many speak to it; likewise.
    pub workers: Option<usize>,
    pub nodes: Vec<NodeStatus>,
    /// What the data are on, if not on a node's own disk.
    pub volume: Option<VolumeStatus>,
}

#[derive(Serialize)]
pub struct VolumeStatus {
    pub name: String,
    pub id: String,
    /// In GB.
    pub size: u64,
    /// As the cloud has it, such as in-use.
    pub status: String,
    /// The node that it is attached to.
    pub node: Option<String>,
}

impl VolumeStatus {
    fn of(survey: &Survey) -> Option<VolumeStatus> {
        let volume = survey.volumes.first()?;
        let mut servers = survey.servers.iter();
        let server = servers.find(|server| volume.is_at(&server.id));
        Some(VolumeStatus {
            name: volume.title().to_owned(),
            id: volume.id.clone(),
            size: volume.size,
            status: volume.status.clone(),
            node: server.map(|server| server.name.clone()),
        })
    }
}

#[derive(Serialize)]
pub struct StackStatus {
    pub name: String,
    /// As Heat has it, such as CREATE_COMPLETE.
    pub status: String,
    /// What to do with it, for people.
    #[serde(skip)]
    pub ways: String,
}

#[derive(Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub role: &'static str,
    /// As the cloud has it, such as ACTIVE.
    pub status: String,
    /// `ready`, `failed`, or how far it is.
    pub readiness: String,
    pub address: Option<IpAddr>,
    pub floating_ip: Option<IpAddr>,
    /// Of faafo there: an API node's own, and a worker's as the farm knows it.
    pub version: Option<String>,
    /// Of a worker, as the farm knows it.
    pub rendering: Option<usize>,
    pub done: Option<u64>,
}

const LINES: u32 = 300;

pub async fn of(cloud: &Cloud, name: &Name) -> Result<Status> {
    let survey = Survey::of(cloud, name).await?;
    if survey.is_empty() {
        return usage(format!(
            "there is no deployment {name} here; `faafo provision list` shows those there are"
        ));
    }
    let found = match &survey.stack {
        Some(stack) => of_stack(cloud, stack).await?,
        None => of_deployment(&survey),
    };
    let mut url = None;
    let mut fractals = None;
    // Those that answer, with their versions, and the workers that speak to them: each API node knows
    // its own.
    let mut answer = BTreeMap::new();
    let mut workers = Vec::new();
    for node in found
        .iter()
        .filter(|node| node.role.is_some_and(Role::is_front))
    {
        let Some(ip) = node.floating_ip.or(node.address) else {
            continue;
        };
        let farm = Farm::at(ip);
        let ready = farm.ready().await;
        // The address of one that answers, if any does.
        if url.is_none() || fractals.is_none() && ready.is_some() {
            url = Some(ready::url(ip));
        }
        if let Some(ready) = ready {
            fractals = fractals.or(Some(ready.counts));
            answer.insert(node.server.name.clone(), ready.version);
            workers.extend(farm.workers().await.into_iter().flat_map(|all| all.objects));
        }
    }
    // Nodes of one farm tell each other.
    let speakers: BTreeSet<_> = workers.iter().map(|worker| worker.id).collect();
    let mut nodes = Vec::new();
    for node in &found {
        let server = &node.server;
        let worker = workers.iter().find(|one| one.name == server.name);
        let readiness = match server.status.as_str() {
            _ if worker.is_some() || answer.contains_key(&server.name) => "ready".to_owned(),
            "ACTIVE" => match user_data::hear(&servers::console(cloud, &server.id, LINES).await?) {
                Heard::Ready => "ready, says its console".into(),
                Heard::Failed(why) => format!("failed: {why}"),
                Heard::Going(word) => word,
                Heard::Nothing => "nothing heard".into(),
            },
            "ERROR" => format!("failed: {}", servers::fault(cloud, server).await?),
            _ => "not yet".into(),
        };
        nodes.push(NodeStatus {
            name: server.name.clone(),
            role: node.role.map_or("?", Role::name),
            status: server.status.clone(),
            readiness,
            address: node.address,
            floating_ip: node.floating_ip,
            version: match answer.get(&server.name) {
                Some(version) => version.clone(),
                None => worker.map(|worker| worker.version.clone()),
            },
            rendering: worker.map(|worker| worker.rendering.len()),
            done: worker.map(|worker| worker.done),
        });
    }
    let stack = survey.stack.as_ref();
    let topology = match stack {
        Some(stack) => stack.shape(),
        None => survey.topology().map(Topology::name),
    };
    Ok(Status {
        name: name.to_string(),
        topology: topology.map(str::to_owned),
        stack: stack.map(|stack| StackStatus {
            name: stack.stack_name.clone(),
            status: stack.stack_status.clone(),
            ways: stack.ways(name),
        }),
        url,
        workers: fractals.map(|_| speakers.len()),
        fractals,
        nodes,
        volume: VolumeStatus::of(&survey),
    })
}

/// A server, and by what addresses it is known.
struct Found {
    server: Server,
    role: Option<Role>,
    address: Option<IpAddr>,
    floating_ip: Option<IpAddr>,
}

fn of_deployment(survey: &Survey) -> Vec<Found> {
    let found = survey.servers.iter().map(|server| {
        let port = survey.port(&server.name);
        let floating = port.and_then(|port| survey.address_of(port));
        Found {
            server: server.clone(),
            role: server.role(),
            address: port.and_then(Port::ip),
            floating_ip: floating.map(|address| address.floating_ip_address),
        }
    });
    found.collect()
}

async fn of_stack(cloud: &Cloud, stack: &Stack) -> Result<Vec<Found>> {
    let roles = heat::servers(cloud, stack).await?;
    // Their names are Heat's own.
    let servers = survey::all_servers(cloud, ".").await?.into_iter();
    let found = servers.filter_map(|server| {
        let role = roles.get(&server.id)?;
        Some(Found {
            role: Some(*role),
            address: server.address(false),
            floating_ip: server.address(true),
            server,
        })
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| (a.role, &a.server.name).cmp(&(b.role, &b.server.name)));
    Ok(found)
}
