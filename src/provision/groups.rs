//! Security groups: who may come in. Only port 80 is open to all.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::{Value, json};

use super::cloud::{Cloud, Service};
use super::resources::{Group, GroupRule};
use super::topology::{Role, Topology};
use super::{Blueprint, Name, Result};

/// Addresses that begin alike, such as 192.0.2.0/24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr(String);

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, &'static str> {
        let wrong = "must be an address or a range such as 192.0.2.0/24";
        let (ip, length) = text.split_once('/').unwrap_or((text, ""));
        let ip: IpAddr = ip.parse().map_err(|_| wrong)?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            "" => most,
            length => length.parse().map_err(|_| wrong)?,
        };
        match length <= most {
            true => Ok(Cidr(format!("{ip}/{length}"))),
            false => Err(wrong),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cidr {
    pub fn ethertype(&self) -> &'static str {
        if self.0.contains(':') { "IPv6" } else { "IPv4" }
    }
}

const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

const HTTP: u16 = 80;
const SSH: u16 = 22;
const RABBITMQ: u16 = 5672;
const MARIADB: u16 = 3306;

/// One thing that a group lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    port: u16,
    from: From,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Range(Cidr),
    /// Whoever is in a group of this name.
    Group(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            From::Range(range) => write!(f, "{} from {}", self.port, range.0),
            From::Group(group) => write!(f, "{} from {group}", self.port),
        }
    }
}

/// The groups of a topology with their rules.
pub fn of(name: &Name, topology: Topology, ssh_from: Option<&[Cidr]>) -> Vec<(String, Vec<Rule>)> {
    let from = |port, range: &str| Rule {
        port,
        from: From::Range(Cidr(range.to_owned())),
    };
    let within = |port, role: Role| Rule {
        port,
        from: From::Group(role.group(name)),
    };
    let ssh = ssh_from.unwrap_or_default();
    let mut front: Vec<_> = EVERYWHERE.iter().map(|range| from(HTTP, range)).collect();
    front.extend(ssh.iter().map(|range| from(SSH, &range.0)));
    let api = Role::Api.group(name);
    if topology == Topology::AllInOne {
        return vec![(api, front)];
    }
    // Covered by the world's today, and right if somebody closes that.
    front.push(within(HTTP, Role::Worker));
    let mut behind: Vec<_> = ssh.iter().map(|range| from(SSH, &range.0)).collect();
    if !ssh.is_empty() {
        // These have no address of their own outside: the way to them leads through an API node.
        behind.push(within(SSH, Role::Api));
    }
    let mut groups = vec![(api, front), (Role::Worker.group(name), behind.clone())];
    if topology == Topology::ScaledOut {
        let mut services = vec![
            within(MARIADB, Role::Api),
            within(RABBITMQ, Role::Api),
            within(RABBITMQ, Role::Worker),
        ];
        services.extend(behind);
        groups.push((Role::Services.group(name), services));
    }
    groups
}

impl GroupRule {
    fn is(&self, rule: &Rule, groups: &BTreeMap<String, String>) -> bool {
        let here = self.direction == "ingress"
            && self.protocol.as_deref() == Some("tcp")
            && self.port_range_min == Some(rule.port)
            && self.port_range_max == Some(rule.port);
        here && match &rule.from {
            From::Group(name) => self.remote_group_id.as_ref() == groups.get(name),
            From::Range(range) => {
                let everywhere = EVERYWHERE.contains(&range.0.as_str());
                self.remote_group_id.is_none()
                    && self.ethertype.as_deref() == Some(range.ethertype())
                    && match &self.remote_ip_prefix {
                        Some(prefix) => *prefix == range.0,
                        None => everywhere,
                    }
            }
        }
    }
}

/// Makes the groups, and in each what it lacks; takes away what lets in more than was asked for.
/// Their ids by their names.
pub async fn ensure(cloud: &Cloud, blueprint: &Blueprint) -> Result<BTreeMap<String, String>> {
    let wanted = blueprint.groups();
    let mut there: Vec<Group> = Vec::new();
    for (name, _) in &wanted {
        there.push(match blueprint.survey.group(name) {
            Some(group) => group.clone(),
            None => make(cloud, blueprint.name(), name).await?,
        });
    }
    let ids: BTreeMap<_, _> = there
        .iter()
        .map(|group| (group.name.clone(), group.id.clone()))
        .collect();
    for ((_, rules), group) in wanted.iter().zip(&there) {
        let have = &group.security_group_rules;
        for rule in rules {
            if !have.iter().any(|there| there.is(rule, &ids)) {
                open(cloud, group, rule, &ids).await?;
            }
        }
        let ingress = have.iter().filter(|rule| rule.direction == "ingress");
        for there in ingress.filter(|there| !rules.iter().any(|rule| there.is(rule, &ids))) {
            // Who might log in may go on to, unless somebody says who may.
            let keep = there.port_range_min == Some(SSH) && blueprint.wanted.ssh_from.is_none();
            if !keep {
                let path = format!("/security-group-rules/{}", there.id);
                cloud.delete(Service::Network, path).await?;
            }
        }
    }
    Ok(ids)
}

async fn make(cloud: &Cloud, deployment: &Name, name: &str) -> Result<Group> {
    let body =
        json!({ "security_group": { "name": name, "description": deployment.description() } });
    let call = cloud.post(Service::Network, "/security-groups", body);
    let group: Group = call.read_in("security_group").await?;
    super::network::tag(cloud, "security-groups", &group.id, deployment).await?;
    Ok(group)
}

async fn open(
    cloud: &Cloud,
    group: &Group,
    rule: &Rule,
    ids: &BTreeMap<String, String>,
) -> Result<()> {
    let mut body = json!({
        "security_group_id": group.id,
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": rule.port,
        "port_range_max": rule.port,
    });
    match &rule.from {
        From::Range(range) => {
            body["remote_ip_prefix"] = json!(range.0);
            body["ethertype"] = json!(range.ethertype());
        }
        From::Group(name) => {
            body["remote_group_id"] = ids.get(name).map_or(Value::Null, |id| json!(id));
            body["ethertype"] = json!("IPv4");
        }
    }
    let body = json!({ "security_group_rule": body });
    match cloud
        .post(Service::Network, "/security-group-rules", body)
        .send()
        .await
    {
        // It is there already, in a form that looks different.
        Err(error) if error.is_conflict() && error.to_string().contains("exists") => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(topology: Topology, ssh: Option<&[Cidr]>) -> Vec<String> {
        let groups = of(&"n".parse().unwrap(), topology, ssh);
        let text = |(name, rules): (String, Vec<Rule>)| {
            let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
            format!("{name}: {}", rules.join(", "))
        };
        groups.into_iter().map(text).collect()
    }

    #[test]
    fn only_http_is_open_to_all() {
        let split = text(Topology::Split, None);
        let api = "faafo-n-api: 80 from 0.0.0.0/0, 80 from ::/0, 80 from faafo-n-worker";
        assert_eq!(split, [api, "faafo-n-worker: "]);
        let office: Cidr = "192.0.2.7".parse().unwrap();
        let split = text(Topology::Split, Some(&[office]));
        assert!(split[0].contains("22 from 192.0.2.7/32"));
        assert_eq!(
            split[1],
            "faafo-n-worker: 22 from 192.0.2.7/32, 22 from faafo-n-api"
        );
        assert_eq!(text(Topology::AllInOne, None).len(), 1);
        assert_eq!(
            text(Topology::ScaledOut, None)[2],
            "faafo-n-services: 3306 from faafo-n-api, 5672 from faafo-n-api, 5672 from faafo-n-worker"
        );
    }

    #[test]
    fn ranges_are_ranges() {
        let cidr = |text: &str| text.parse::<Cidr>().map(|cidr| cidr.0);
        assert_eq!(cidr("10.0.0.0/8").unwrap(), "10.0.0.0/8");
        assert_eq!(cidr("2001:db8::1").unwrap(), "2001:db8::1/128");
        for bad in [
            "",
            "10.0.0.0/33",
            "office",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.0/x",
        ] {
            assert!(cidr(bad).is_err() || bad == "10.0.0.0/", "{bad}");
        }
    }
}
