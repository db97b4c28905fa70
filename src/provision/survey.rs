//! What is there of a deployment.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::try_join;

use super::cloud::{Cloud, CloudError, Service};
use super::heat::{self, Stack};
use super::resources::{Address, Group, Network, Port, Router, Server, Subnet};
use super::topology::{Role, Topology};
use super::volume::{self, Volume};
use super::{Name, container, mark, usage};

/// All that carries a deployment's mark.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub servers: Vec<Server>,
    pub networks: Vec<Network>,
    pub subnets: Vec<Subnet>,
    pub routers: Vec<Router>,
    pub groups: Vec<Group>,
    pub ports: Vec<Port>,
    /// Floating IPs that were allocated for it, or lead to it.
    pub addresses: Vec<Address>,
    /// Whether the user has a key of its name.
    pub key: bool,
    /// What is in its container, if it has one.
    pub objects: Option<Vec<String>>,
    /// The stack that it is, if Heat has made it.
    pub stack: Option<Stack>,
    /// The one with the data first.
    pub volumes: Vec<Volume>,
}

/// How long to wait for what is still on its way, and how often.
const SETTLE: Duration = Duration::from_secs(2);
const SETTLING: u32 = 10;

impl Survey {
    pub async fn of(cloud: &Cloud, name: &Name) -> Result<Survey, CloudError> {
        let (
            servers,
            networks,
            subnets,
            routers,
            groups,
            ports,
            addresses,
            key,
            objects,
            stack,
            volumes,
            // Boxed, or whatever waits for a survey were large.
        ) = Box::pin(async {
            try_join!(
                servers(cloud, name),
                marked::<Network>(cloud, name, "networks", |one| &one.description),
                marked::<Subnet>(cloud, name, "subnets", |one| &one.description),
                routers(cloud, name),
                marked::<Group>(cloud, name, "security-groups", |one| &one.description),
                marked::<Port>(cloud, name, "ports", |one| &one.description),
                addresses(cloud),
                has_key(cloud, name),
                container::objects(cloud, name),
                heat::find(cloud, name),
                volume::find(cloud, name),
            )
        })
        .await?;
        let description = name.description();
        let leads_here = |address: &Address| {
            let port = address.port_id.as_ref();
            address.description == description
                || port.is_some_and(|id| ports.iter().any(|port| port.id == *id))
        };
        Ok(Survey {
            servers,
            networks,
            subnets,
            routers,
            groups,
            addresses: addresses.into_iter().filter(leads_here).collect(),
            ports,
            key,
            objects,
            stack,
            volumes,
        })
    }

    /// As [`Survey::of`], once nothing changes any more: a call of a run that was killed may still be
    /// on its way through the cloud.
    pub async fn settled(cloud: &Cloud, name: &Name) -> Result<Survey, CloudError> {
        let mut survey = Survey::of(cloud, name).await?;
        for _ in 0..SETTLING {
            if !survey.is_unfinished() {
                break;
            }
            tokio::time::sleep(SETTLE).await;
            let later = Survey::of(cloud, name).await?;
            let same = later.counts() == survey.counts();
            survey = later;
            if same {
                break;
            }
        }
        Ok(survey)
    }

    /// Whether something was begun here and not ended.
    fn is_unfinished(&self) -> bool {
        let building = self.servers.iter().any(|server| server.status == "BUILD");
        !self.is_empty() && (self.servers.len() < self.ports.len().max(1) || building)
    }

    fn counts(&self) -> [usize; 9] {
        [
            self.servers.len(),
            self.networks.len(),
            self.subnets.len(),
            self.routers.len(),
            self.groups.len(),
            self.ports.len(),
            self.addresses.len(),
            self.objects.as_ref().map_or(0, Vec::len),
            self.volumes.len(),
        ]
    }

    /// The deployment's own network: of several, which a kill at a bad moment may leave, the one that
    /// is furthest.
    pub fn network(&self) -> Option<&Network> {
        let on = |network: &&Network| {
            let ports = self
                .ports
                .iter()
                .filter(|port| port.network_id == network.id);
            (ports.count(), network.subnets.len())
        };
        self.networks.iter().max_by_key(on)
    }

    pub fn subnet(&self, network: &str) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.network_id == network)
    }

    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.networks.is_empty()
            && self.subnets.is_empty()
            && self.routers.is_empty()
            && self.groups.is_empty()
            && self.ports.is_empty()
            && self.addresses.is_empty()
            && !self.key
            && self.objects.is_none()
            && self.stack.is_none()
            && self.volumes.is_empty()
    }

    /// An error if Heat has made it: then it is Heat that changes it.
    pub fn is_no_stack(&self, name: &Name) -> super::Result<()> {
        match &self.stack {
            None => Ok(()),
            Some(stack) => usage(format!(
                "the deployment {name} is a stack of Heat's: {}",
                stack.ways(name)
            )),
        }
    }

    pub fn topology(&self) -> Option<Topology> {
        let mut named = self
            .servers
            .iter()
            .filter_map(|s| s.metadata.get(mark::TOPOLOGY));
        named.find_map(|name| Topology::named(name))
    }

    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }

    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The floating IP that leads to a port.
    pub fn address_of(&self, port: &Port) -> Option<&Address> {
        let leads = |address: &&Address| address.port_id.as_ref() == Some(&port.id);
        self.addresses.iter().find(leads)
    }

    /// Servers of a role, in the order of their numbers.
    pub fn of_role(&self, role: Role) -> Vec<&Server> {
        let is_it = |server: &&Server| server.role() == Some(role);
        let mut servers: Vec<_> = self.servers.iter().filter(is_it).collect();
        servers.sort_by_key(|server| server.number());
        servers
    }

    pub fn workers(&self) -> Vec<&Server> {
        self.of_role(Role::Worker)
    }
}

/// The servers of a deployment, in the order of their names.
pub async fn servers(cloud: &Cloud, name: &Name) -> Result<Vec<Server>, CloudError> {
    let mut servers = all_servers(cloud, &format!("^{}-", name.prefix())).await?;
    let own = name.to_string();
    servers.retain(|server| server.metadata.get(mark::DEPLOYMENT) == Some(&own));
    servers.sort_by_key(|server| (server.role(), server.number()));
    Ok(servers)
}

/// Servers whose names match a pattern.
pub async fn all_servers(cloud: &Cloud, pattern: &str) -> Result<Vec<Server>, CloudError> {
    let call = cloud.get(Service::Compute, "/servers/detail");
    call.query("name", pattern).list("servers").await
}

/// What a deployment has of a kind. A Neutron that does not know the filter tells of all that the
/// project has: so the descriptions are looked at here, too.
async fn marked<T: DeserializeOwned>(
    cloud: &Cloud,
    name: &Name,
    kind: &str,
    description: fn(&T) -> &str,
) -> Result<Vec<T>, CloudError> {
    let (own, key) = (name.description(), kind.replace('-', "_"));
    let call = cloud
        .get(Service::Network, format!("/{kind}"))
        .query("description", &own)
        .query("project_id", cloud.project().await?);
    let mut found: Vec<T> = call.list(&key).await?;
    found.retain(|one| description(one) == own);
    Ok(found)
}

async fn routers(cloud: &Cloud, name: &Name) -> Result<Vec<Router>, CloudError> {
    none_if_unknown(marked(cloud, name, "routers", |one: &Router| &one.description).await)
}

/// The project's floating IPs.
pub async fn addresses(cloud: &Cloud) -> Result<Vec<Address>, CloudError> {
    let call = cloud.get(Service::Network, "/floatingips");
    let call = call.query("project_id", cloud.project().await?);
    none_if_unknown(call.list("floatingips").await)
}

/// A cloud without routers has neither those nor floating IPs.
fn none_if_unknown<T>(found: Result<Vec<T>, CloudError>) -> Result<Vec<T>, CloudError> {
    match found {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        found => found,
    }
}

#[derive(Deserialize)]
struct Keypair {
    public_key: String,
}

/// Keys have no description: the mark is the comment behind the key itself.
async fn has_key(cloud: &Cloud, name: &Name) -> Result<bool, CloudError> {
    let path = format!("/os-keypairs/{}", name.prefix());
    match cloud
        .get(Service::Compute, path)
        .read_in::<Keypair>("keypair")
        .await
    {
        Ok(key) => Ok(key.public_key.trim_end().ends_with(&name.description())),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
