//! What a deployment is to consist of: everything decided, nothing made yet.

use std::fmt::Write;

use serde::Serialize;

use super::artifact;
use super::choose::{self, Flavor, Image, Place};
use super::cloud::{Cloud, Service};
use super::groups::{self, Rule};
use super::kept::{self, New};
use super::key::{self, Key};
use super::quota::{self, ADDRESSES, Needs, Room};
use super::resources::{Network, Server};
use super::survey::Survey;
use super::tally::{self, Node, State};
use super::topology::Topology;
use super::volume::{self, Disk};
use super::wanted::Wanted;
use super::{Error, Name, Result, address, failed, mark, usage};

/// A resource in the plan, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub what: &'static str,
    pub name: String,
    pub state: State,
    pub about: String,
}

/// All that is decided.
#[derive(Debug)]
pub struct Blueprint {
    pub wanted: Wanted,
    pub topology: Topology,
    pub image: Image,
    pub flavor: Flavor,
    /// The availability zone that new nodes go to, if not one that the cloud chooses.
    pub zone: Option<String>,
    pub key: Key,
    pub place: Place,
    pub external: Option<Network>,
    pub nodes: Vec<Node>,
    pub has_store: bool,
    pub disk: Option<Disk>,
    pub survey: Survey,
    pub room: Vec<Room>,
}

impl Blueprint {
    pub async fn draw(cloud: &Cloud, wanted: Wanted) -> Result<Blueprint> {
        let survey = Survey::settled(cloud, &wanted.name).await?;
        survey.is_no_stack(&wanted.name)?;
        let blueprint = Blueprint::beside(cloud, wanted, survey).await?;
        let tokens = &blueprint.wanted.tokens;
        if blueprint.makes() && !blueprint.has_store && !tokens.are_named() {
            return usage(
                "this cloud has no object store to keep the deployment's tokens in: name files \
                 for them with --token-file and --worker-token-file, which are made if they are \
                 not there",
            );
        }
        Ok(blueprint)
    }

    /// With what a survey has found.
    pub async fn beside(cloud: &Cloud, wanted: Wanted, survey: Survey) -> Result<Blueprint> {
        let topology = tally::topology(&wanted, &survey)?;
        let nodes = tally::nodes(&wanted, topology, &survey)?;
        if topology == Topology::ScaledOut
            && let Some(key) = wanted.settings.own_services()
        {
            return usage(format!(
                "--set {key}: scaled-out has RabbitMQ and MariaDB of its own; --topology split takes \
                 those that you have"
            ));
        }
        let disk = volume::disk(cloud, &wanted, topology, &nodes, &survey).await?;
        let has_store = cloud.has(Service::ObjectStore).await?;
        let makes = nodes.iter().any(|node| node.state != State::Exists);
        if makes && !has_store && wanted.artifact.is_none() {
            return usage(artifact::NO_STORE);
        }
        // What is there already goes on as it is.
        let like = survey.servers.iter().find(|server| !server.is_stillborn());
        let image = wanted
            .image
            .clone()
            .or(like.and_then(|server| server.image.clone()));
        let flavor = wanted
            .flavor
            .clone()
            .or(like.and_then(|server| server.flavor.clone()));
        let zone = wanted
            .zone
            .clone()
            .or(like.and_then(|server| server.metadata.get(mark::ZONE).cloned()));
        let needed = makes || wanted.image.is_some();
        let found = choose::image(cloud, image.as_deref()).await;
        let image = unless_gone(found, needed, || Image::gone(&image.unwrap_or_default()))?;
        let needed = makes || wanted.flavor.is_some();
        let found = choose::flavor(cloud, flavor.as_deref(), &image).await;
        let flavor = unless_gone(found, needed, || Flavor::gone(&flavor.unwrap_or_default()))?;
        let needed = makes || wanted.zone.is_some();
        let found = choose::zone(cloud, zone.clone()).await;
        let zone = unless_gone(found, needed, || zone)?;
        let key = key::key(cloud, &wanted, like).await?;
        let network = survey.ports.first().map(|port| port.network_id.clone());
        let network = wanted.network.clone().or(network);
        let place = match &network {
            Some(id) if survey.networks.iter().any(|own| own.id == *id) => Place::Own,
            asked => choose::place(cloud, &wanted.name, asked.as_deref()).await?,
        };
        let external = choose::external(cloud, wanted.external_network.as_deref()).await?;
        let mut blueprint = Blueprint {
            topology,
            image,
            flavor,
            zone,
            key,
            place,
            external,
            nodes,
            has_store,
            disk,
            survey,
            wanted,
            room: Vec::new(),
        };
        blueprint.room = quota::check(cloud, &blueprint.needs()).await?;
        Ok(blueprint)
    }

    pub fn name(&self) -> &Name {
        &self.wanted.name
    }

    /// Whether any server is to be made.
    fn makes(&self) -> bool {
        self.nodes.iter().any(|node| node.state != State::Exists)
    }

    /// Servers that are there and shut off.
    pub fn off(&self) -> impl Iterator<Item = &Server> {
        self.there().filter(|server| server.is_off())
    }

    /// The servers that are there and stay.
    fn there(&self) -> impl Iterator<Item = &Server> {
        let stay = self.nodes.iter().filter(|node| node.state == State::Exists);
        stay.filter_map(|node| node.server.as_ref())
    }

    /// What of that which was asked for does not reach the nodes that are there, if anything.
    pub fn note(&self) -> Option<String> {
        let new = New {
            image: &self.image.id,
            flavor: &self.flavor.id,
            key: self.key.name(),
        };
        let there: Vec<_> = self.there().collect();
        kept::note(&self.wanted, &new, &there)
    }

    /// The nodes that answer requests.
    pub fn fronts(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role.is_front())
    }

    /// Groups of the deployment, and what each lets in.
    pub fn groups(&self) -> Vec<(String, Vec<Rule>)> {
        groups::of(self.name(), self.topology, self.wanted.ssh_from.as_deref())
    }

    pub fn is_own_network(&self) -> bool {
        matches!(self.place, Place::Own)
    }

    /// Whether a front node will want a floating IP, as far as can be told by now.
    pub fn wants_address(&self, front: &Node) -> bool {
        let Some(external) = &self.external else {
            return false;
        };
        match (&self.place, self.survey.port(&front.name)) {
            (_, Some(port)) if self.survey.address_of(port).is_some() => false,
            (_, Some(port)) if port.ip().is_some_and(address::is_routable) => false,
            (Place::Given(network), _) => network.id != external.id,
            (Place::Own, _) => true,
        }
    }

    fn needs(&self) -> Needs {
        let new = |node: &&Node| node.state == State::Make;
        let servers = self.nodes.iter().filter(new).count() as u64;
        let lacks_port = |node: &&Node| self.survey.port(&node.name).is_none();
        let ports = self.nodes.iter().filter(lacks_port).count() as u64;
        let own = u64::from(self.is_own_network());
        let lacks = |there: bool| if there { 0 } else { own };
        let missing = self.groups();
        let missing = missing
            .iter()
            .filter(|(name, _)| self.survey.group(name).is_none());
        let missing: Vec<_> = missing.collect();
        Needs {
            instances: servers,
            cores: servers * self.flavor.vcpus,
            ram: servers * self.flavor.ram,
            // A router's, and that of who hands out addresses.
            ports: ports + 2 * lacks(!self.survey.routers.is_empty()),
            networks: lacks(!self.survey.networks.is_empty()),
            subnets: lacks(!self.survey.subnets.is_empty()),
            routers: lacks(!self.survey.routers.is_empty()),
            groups: missing.len() as u64,
            // Two more for what goes out.
            rules: missing
                .iter()
                .map(|(_, rules)| rules.len() as u64 + 2)
                .sum(),
            addresses: self
                .fronts()
                .filter(|front| self.wants_address(front))
                .count() as u64,
            volumes: match &self.disk {
                Some(disk) if disk.there.is_none() => 1,
                _ => 0,
            },
            gigabytes: self.disk.as_ref().map_or(0, Disk::lacking),
        }
    }

    /// What is and what would be, in the order in which it is made.
    pub fn items(&self) -> Vec<Item> {
        let name = self.name();
        let mut items = Vec::new();
        let mut add = |what, name: &str, state, about: String| {
            items.push(Item {
                what,
                name: name.to_owned(),
                state,
                about,
            });
        };
        let made = |exists| match exists {
            true => State::Exists,
            false => State::Make,
        };
        let prefix = name.prefix();
        let survey = &self.survey;
        if let Key::Import { name, .. } = &self.key {
            add("key", name, made(survey.key), String::new());
        }
        if self.has_store {
            let about = match &self.wanted.artifact {
                None => "this binary, and the tokens",
                Some(_) => "the tokens",
            };
            let state = made(survey.objects.is_some());
            add("container", &prefix, state, about.into());
        }
        if self.is_own_network() {
            let state = made(!survey.networks.is_empty());
            add("network", &prefix, state, String::new());
            let state = made(!survey.subnets.is_empty());
            add("subnet", &prefix, state, String::new());
            if let Some(external) = &self.external {
                let about = format!("to {}", external.name);
                add("router", &prefix, made(!survey.routers.is_empty()), about);
            }
        }
        for (group, rules) in self.groups() {
            let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
            let state = made(survey.group(&group).is_some());
            add("security group", &group, state, rules.join(", "));
        }
        if let Some(disk) = &self.disk {
            add(
                "volume",
                &disk.title,
                made(disk.there.is_some()),
                disk.about(),
            );
        }
        for node in &self.nodes {
            let mut about = format!("{}, {}", self.image.name(), self.flavor.name);
            if let Some(zone) = &self.zone {
                let _ = write!(about, ", {zone}");
            }
            if self.off().any(|server| server.name == node.name) {
                about.push_str(", is shut off and will be started");
            }
            add("server", &node.name, node.state, about);
        }
        for front in self.fronts().filter(|front| self.wants_address(front)) {
            let about = format!("for {}, a free one of the project or a new one", front.name);
            add("floating IP", &prefix, State::Make, about);
        }
        items
    }

    /// An error if the quota has no room. Floating IPs are not counted: there may be a free one, and
    /// without one a deployment works, too.
    pub fn fits(&self) -> Result<()> {
        let lacking = self
            .room
            .iter()
            .filter(|room| !room.suffices() && room.what != ADDRESSES);
        let mut text = String::new();
        for room in lacking {
            let Room {
                what,
                needed,
                used,
                limit,
            } = room;
            let _ = write!(
                text,
                "; {needed} {what} needed, but {used} of {limit} are used"
            );
        }
        match text.is_empty() {
            true => Ok(()),
            false => failed(format!(
                "the project's quota is too small{text}. Nothing was made. Ask for less with \
                 --workers, --flavor or --volume-size, delete what is not needed, or have the quota raised"
            )),
        }
    }
}

/// What was found; or, if nothing is to be made of it, what stands for it where it has gone from the
/// cloud since: nodes that are there need it no longer.
fn unless_gone<T>(found: Result<T>, needed: bool, gone: impl FnOnce() -> T) -> Result<T> {
    match found {
        Err(Error::Usage(_)) if !needed => Ok(gone()),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_is_missed_only_where_something_is_made_of_it() {
        let gone = || Image::gone("i");
        let missing = || usage::<Image>("there is no image i here");
        assert_eq!(unless_gone(missing(), false, gone).unwrap().name(), "i");
        assert!(unless_gone(missing(), true, gone).is_err());
        assert!(unless_gone(failed::<Image>("broken"), false, gone).is_err());
        assert_eq!(
            unless_gone(Ok(Image::gone("j")), false, gone).unwrap().id,
            "j"
        );
    }
}
