//! What Nova and Neutron tell of what a project has.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::mark;
use super::topology::Role;

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

    /// It was shut down, and would run again.
    pub fn is_off(&self) -> bool {
        self.status == "SHUTOFF"
    }

    /// It has failed before it ever ran, and so holds nothing.
    pub fn is_stillborn(&self) -> bool {
        self.status == "ERROR" && self.launched.is_none()
    }
}

/// Some tell `null` where nobody has described anything.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default, deserialize_with = "text")]
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
    #[serde(default)]
    pub name: String,
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    pub network_id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Router {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    pub external_gateway_info: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    pub id: String,
    pub name: String,
    #[serde(default, deserialize_with = "text")]
    pub description: String,
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
    #[serde(default, deserialize_with = "text")]
    pub description: String,
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
    /// Becomes more with each change, where the cloud counts them.
    pub revision_number: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub description: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_has_described_is_read_all_the_same() {
        let port = |more: Value| {
            let mut port = json!({"id": "p", "name": "", "network_id": "n"});
            let fields = more.as_object().unwrap().clone();
            port.as_object_mut().unwrap().extend(fields);
            serde_json::from_value::<Port>(port).unwrap().description
        };
        assert_eq!(port(json!({})), "");
        assert_eq!(port(json!({ "description": null })), "");
        assert_eq!(port(json!({ "description": "mine" })), "mine");
    }
}
