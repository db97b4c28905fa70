//! What is there of a deployment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::try_join;

use super::cloud::{Cloud, CloudError, Service};
use super::heat::{self, Stack};
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

#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    pub id: String,
    pub name: String,
    pub status: String,
    /// In UTC, in a form whose order is that of time.
    pub created: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub fault: Option<Fault>,
    /// When it first ran; never, if it could not even be made.
    #[serde(rename = "OS-SRV-USG:launched_at")]
    pub launched: Option<String>,
    #[serde(default, deserialize_with = "id_of")]
    pub image: Option<String>,
    #[serde(default, deserialize_with = "id_of")]
    pub flavor: Option<String>,
    pub key_name: Option<String>,
    /// By network.
    #[serde(default)]
    addresses: BTreeMap<String, Vec<Interface>>,
}

/// An address of a server's.
#[derive(Clone, Debug, Deserialize)]
struct Interface {
    addr: IpAddr,
    #[serde(rename = "OS-EXT-IPS:type")]
    kind: Option<String>,
}

/// Why Nova could not make a server.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    pub message: String,
}

/// Nova tells of an image `{"id": …}`, or `""` where there is none.
fn id_of<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value["id"].as_str().map(str::to_owned))
}

impl Server {
    pub fn role(&self) -> Option<Role> {
        Role::named(self.metadata.get(mark::ROLE)?)
    }

    pub fn number(&self) -> u16 {
        let number = self.metadata.get(mark::NUMBER);
        number.and_then(|number| number.parse().ok()).unwrap_or(1)
    }

    /// An address on its network, or a floating one that leads there, as far as Nova knows.
    pub fn address(&self, floating: bool) -> Option<IpAddr> {
        let is_floating = |one: &&Interface| one.kind.as_deref() == Some("floating");
        let mut all = self.addresses.values().flatten();
        let found = all.find(|one| is_floating(one) == floating);
        found.map(|one| one.addr)
    }

    /// It has failed before it ever ran, and so holds nothing.
    pub fn is_stillborn(&self) -> bool {
        self.status == "ERROR" && self.launched.is_none()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub project_id: String,
    #[serde(default)]
    pub shared: bool,
    #[serde(default, rename = "router:external")]
    pub external: bool,
    #[serde(default)]
    pub is_default: Option<bool>,
    #[serde(default)]
    pub subnets: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Subnet {
    pub id: String,
    pub network_id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Router {
    pub id: String,
    pub external_gateway_info: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub security_group_rules: Vec<GroupRule>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct GroupRule {
    pub id: String,
    pub direction: String,
    pub ethertype: Option<String>,
    pub protocol: Option<String>,
    pub port_range_min: Option<u16>,
    pub port_range_max: Option<u16>,
    pub remote_ip_prefix: Option<String>,
    pub remote_group_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Port {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub fixed_ips: Vec<FixedIp>,
    #[serde(default)]
    pub device_owner: String,
    #[serde(default)]
    pub device_id: String,
    pub network_id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct FixedIp {
    pub ip_address: IpAddr,
    pub subnet_id: String,
}

impl Port {
    /// Its address: that of IPv4, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        let ips = || self.fixed_ips.iter().map(|fixed| fixed.ip_address);
        ips().find(IpAddr::is_ipv4).or_else(|| ips().next())
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Address {
    pub id: String,
    pub floating_ip_address: IpAddr,
    pub floating_network_id: String,
    pub port_id: Option<String>,
    #[serde(default)]
    pub description: String,
}

/// How long to wait for what is still on its way, and how often.
const SETTLE: Duration = Duration::from_secs(2);
const SETTLING: u32 = 10;

impl Survey {
    pub async fn of(cloud: &Cloud, name: &Name) -> Result<Survey, CloudError> {
        let (description, project) = (name.description(), cloud.project().await?);
        let marked = |path: &str| {
            cloud
                .get(Service::Network, path)
                .query("description", &description)
                .query("project_id", &project)
        };
        // Boxed, or whatever waits for a survey were large.
        let stack = Box::pin(heat::find(cloud, name));
        let volumes = Box::pin(volume::find(cloud, name));
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
        ) = try_join!(
            servers(cloud, name),
            marked("/networks").list("networks"),
            marked("/subnets").list("subnets"),
            marked("/routers").list("routers"),
            marked("/security-groups").list("security_groups"),
            marked("/ports").list("ports"),
            addresses(cloud),
            has_key(cloud, name),
            container::objects(cloud, name),
            stack,
            volumes,
        )?;
        let ports: Vec<Port> = ports;
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

/// The project's floating IPs.
pub async fn addresses(cloud: &Cloud) -> Result<Vec<Address>, CloudError> {
    let call = cloud.get(Service::Network, "/floatingips");
    let found = call
        .query("project_id", cloud.project().await?)
        .list("floatingips")
        .await;
    match found {
        // A cloud without routers has none.
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
