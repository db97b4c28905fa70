//! Which nodes there are to be: what was asked for beside what is there.

use serde::Serialize;

use super::resources::Server;
use super::survey::Survey;
use super::topology::{Role, Topology};
use super::volume::Volume;
use super::wanted::Wanted;
use super::{Result, usage};

/// Most workers of a deployment, beyond which nobody has meant it.
const MOST_WORKERS: u16 = 500;

const DEFAULT_WORKERS: u16 = 2;

/// Likewise for API nodes.
const MOST_APIS: u16 = 50;

const DEFAULT_APIS: u16 = 2;

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub role: Role,
    pub number: u16,
    pub state: State,
    /// The server that is there, or that is to be replaced.
    pub server: Option<Server>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Exists,
    Make,
    /// It failed before it ever ran.
    Replace,
}

/// As asked for, or as it is.
pub fn topology(wanted: &Wanted, survey: &Survey) -> Result<Topology> {
    match (wanted.topology, survey.topology()) {
        (Some(asked), Some(there)) if asked != there => usage(format!(
            "the deployment {0} is {1}, and {2} is asked for: give the other one another --name, or \
             take this one away first with `faafo provision down --name {0}`",
            wanted.name,
            there.name(),
            asked.name()
        )),
        (asked, there) => {
            // As it was, if no more is left of it than its data.
            let before = survey.volumes.first().and_then(Volume::topology);
            Ok(asked.or(there).or(before).unwrap_or(Topology::AllInOne))
        }
    }
}

/// Those that are there, and those that are missing.
pub fn nodes(wanted: &Wanted, topology: Topology, survey: &Survey) -> Result<Vec<Node>> {
    let node = |role: Role, number: u16| {
        let name = role.node(&wanted.name, number);
        let server = survey.server(&name).cloned();
        let state = match &server {
            None => State::Make,
            Some(server) if server.is_stillborn() => State::Replace,
            Some(_) => State::Exists,
        };
        Node {
            name,
            role,
            number,
            state,
            server,
        }
    };
    let of = |role: Role| -> Vec<u16> {
        let servers = survey.servers.iter();
        let of_role = servers.filter(|server| server.role() == Some(role));
        of_role.map(|server| server.number()).collect()
    };
    let fewer = |flag: &str, count: Option<u16>| {
        format!(
            "`faafo provision scale --name {} {flag} {}` takes away those that are too many",
            wanted.name,
            count.unwrap_or_default()
        )
    };
    let mut nodes = Vec::new();
    if topology == Topology::ScaledOut {
        nodes.push(node(Role::Services, 1));
        let apis = Count {
            there: of(Role::Api),
            asked: wanted.apis,
            default: DEFAULT_APIS,
            most: MOST_APIS,
        };
        let fewer = fewer("--apis", wanted.apis);
        let numbers = apis.numbers("--apis", "API nodes", wanted, &fewer)?;
        nodes.extend(numbers.into_iter().map(|number| node(Role::Api, number)));
    } else if wanted.apis.is_some() {
        return usage(format!(
            "{} has one node that answers: --apis goes with --topology scaled-out",
            topology.name()
        ));
    } else {
        nodes.push(node(topology.front(), 1));
    }
    if topology == Topology::AllInOne {
        return match wanted.workers {
            None => Ok(nodes),
            Some(_) => usage(
                "all-in-one has no nodes for workers: ask for --topology split, or with --set \
                 workers=N for N pictures at a time on the one node",
            ),
        };
    }
    let workers = Count {
        there: of(Role::Worker),
        asked: wanted.workers,
        default: DEFAULT_WORKERS,
        most: MOST_WORKERS,
    };
    let fewer = fewer("--workers", wanted.workers);
    let numbers = workers.numbers("--workers", "workers", wanted, &fewer)?;
    nodes.extend(numbers.into_iter().map(|number| node(Role::Worker, number)));
    Ok(nodes)
}

/// How many nodes of a kind there are to be.
struct Count {
    there: Vec<u16>,
    asked: Option<u16>,
    /// If there are none, and nobody says.
    default: u16,
    most: u16,
}

impl Count {
    /// Their numbers: of those that are there, and the lowest free ones for those that are missing.
    fn numbers(self, flag: &str, what: &str, wanted: &Wanted, fewer: &str) -> Result<Vec<u16>> {
        let there = self.there;
        let default = if there.is_empty() { self.default } else { 0 };
        let count = self.asked.unwrap_or((there.len() as u16).max(default));
        if !(1..=self.most).contains(&count) {
            return usage(format!(
                "{flag} is {count}, but must be from 1 to {}",
                self.most
            ));
        }
        if usize::from(count) < there.len() {
            return usage(format!(
                "the deployment {} has {} {what}: {fewer}",
                wanted.name,
                there.len()
            ));
        }
        let free = (1..).filter(|number| !there.contains(number));
        let missing = usize::from(count) - there.len();
        let mut numbers: Vec<u16> = there.iter().copied().chain(free.take(missing)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::provision::{Name, Settings, TokenFiles, mark};

    pub fn server(role: Role, number: u16, status: &str) -> Server {
        let name: Name = "n".parse().unwrap();
        let metadata = [
            (mark::ROLE, role.name().to_owned()),
            (mark::NUMBER, number.to_string()),
            (mark::TOPOLOGY, "split".to_owned()),
        ];
        let metadata: BTreeMap<_, _> = metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let id = role.node(&name, number);
        serde_json::from_value(serde_json::json!({
            "id": id, "name": id, "status": status, "created": format!("2026-01-0{number}"),
            "metadata": metadata, "image": "", "flavor": {"id": "f"}, "key_name": null,
        }))
        .unwrap()
    }

    pub fn wanted(topology: Option<Topology>, workers: Option<u16>) -> Wanted {
        Wanted {
            name: "n".parse().unwrap(),
            topology,
            workers,
            apis: None,
            image: None,
            flavor: None,
            zone: None,
            key: None,
            network: None,
            external_network: None,
            ssh_from: None,
            settings: Settings::default(),
            artifact: None,
            tokens: TokenFiles::default(),
            volume_size: None,
        }
    }

    fn drawn(wanted: &Wanted, survey: &Survey) -> Vec<(String, State)> {
        let nodes = nodes(wanted, topology(wanted, survey).unwrap(), survey).unwrap();
        nodes
            .into_iter()
            .map(|node| (node.name, node.state))
            .collect()
    }

    #[test]
    fn what_is_missing_is_made_and_gaps_are_filled() {
        let survey = Survey {
            servers: vec![
                server(Role::Api, 1, "ACTIVE"),
                server(Role::Worker, 2, "ACTIVE"),
                server(Role::Worker, 3, "ERROR"),
            ],
            ..Survey::default()
        };
        let nodes = drawn(&wanted(None, Some(3)), &survey);
        let expected = [
            ("faafo-n-api", State::Exists),
            ("faafo-n-worker-1", State::Make),
            ("faafo-n-worker-2", State::Exists),
            ("faafo-n-worker-3", State::Replace),
        ];
        let expected = expected.map(|(name, state)| (name.to_owned(), state));
        assert_eq!(nodes, expected);
        // Nobody says how many: as many as there are.
        assert_eq!(drawn(&wanted(None, None), &survey).len(), 3);
        assert!(super::nodes(&wanted(None, Some(1)), Topology::Split, &survey).is_err());
        assert!(topology(&wanted(Some(Topology::AllInOne), None), &survey).is_err());
    }

    #[test]
    fn scaled_out_has_services_and_several_apis() {
        let scaled_out = Wanted {
            apis: Some(3),
            ..wanted(Some(Topology::ScaledOut), Some(1))
        };
        let names = |wanted: &Wanted, survey: &Survey| -> Vec<String> {
            let nodes = drawn(wanted, survey).into_iter();
            nodes.map(|(name, _)| name).collect()
        };
        let expected = ["services", "api", "api-2", "api-3", "worker-1"];
        let expected = expected.map(|node| format!("faafo-n-{node}"));
        assert_eq!(names(&scaled_out, &Survey::default()), expected);
        let two = wanted(Some(Topology::ScaledOut), None);
        assert_eq!(names(&two, &Survey::default()).len(), 5);
        let split = Wanted {
            apis: Some(2),
            ..wanted(Some(Topology::Split), None)
        };
        assert!(nodes(&split, Topology::Split, &Survey::default()).is_err());
        let survey = Survey {
            servers: vec![
                server(Role::Api, 1, "ACTIVE"),
                server(Role::Api, 2, "ACTIVE"),
            ],
            ..Survey::default()
        };
        let fewer = Wanted {
            apis: Some(1),
            ..two
        };
        assert!(nodes(&fewer, Topology::ScaledOut, &survey).is_err());
    }

    #[test]
    fn nothing_there_is_one_node_or_three() {
        let survey = Survey::default();
        assert_eq!(drawn(&wanted(None, None), &survey).len(), 1);
        assert_eq!(
            drawn(&wanted(Some(Topology::Split), None), &survey).len(),
            3
        );
        assert!(nodes(&wanted(None, Some(1)), Topology::AllInOne, &survey).is_err());
        assert!(nodes(&wanted(None, Some(0)), Topology::Split, &survey).is_err());
    }
}
