//! Topologies, and the roles of their nodes.

use clap::ValueEnum;

use super::Name;

/// Which nodes there are, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// One node that does everything
    AllInOne,
    /// An API node with queue and store, and workers
    Split,
    /// A node with RabbitMQ and MariaDB, API nodes and workers
    ScaledOut,
}

impl Topology {
    pub fn name(self) -> &'static str {
        match self {
            Topology::AllInOne => "all-in-one",
            Topology::Split => "split",
            Topology::ScaledOut => "scaled-out",
        }
    }

    pub fn named(name: &str) -> Option<Topology> {
        let all = Topology::value_variants().iter().copied();
        all.into_iter().find(|topology| topology.name() == name)
    }

    /// The role of the nodes that answer requests.
    pub fn front(self) -> Role {
        match self {
            Topology::AllInOne => Role::All,
            Topology::Split | Topology::ScaledOut => Role::Api,
        }
    }

    /// The role of the node, the first of it, that has the fractals.
    pub fn keeper(self) -> Role {
        match self {
            Topology::ScaledOut => Role::Services,
            other => other.front(),
        }
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    All,
    /// RabbitMQ and MariaDB, for API nodes and workers.
    Services,
    Api,
    Worker,
}

impl Role {
    /// As the command that runs there, if it is one of faafo's.
    pub fn name(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Services => "services",
            Role::Api => "api",
            Role::Worker => "worker",
        }
    }

    pub fn named(name: &str) -> Option<Role> {
        let mut all = [Role::All, Role::Services, Role::Api, Role::Worker].into_iter();
        all.find(|role| role.name() == name)
    }

    /// Whether it answers requests of the world.
    pub fn is_front(self) -> bool {
        matches!(self, Role::All | Role::Api)
    }

    pub fn node(self, name: &Name, number: u16) -> String {
        let prefix = name.prefix();
        match self {
            Role::All => format!("{prefix}-farm"),
            Role::Services => format!("{prefix}-services"),
            Role::Api if number == 1 => format!("{prefix}-api"),
            Role::Api => format!("{prefix}-api-{number}"),
            Role::Worker => format!("{prefix}-worker-{number}"),
        }
    }

    /// The security group of those who do this.
    pub fn group(self, name: &Name) -> String {
        let prefix = name.prefix();
        match self {
            Role::All | Role::Api => format!("{prefix}-api"),
            Role::Services => format!("{prefix}-services"),
            Role::Worker => format!("{prefix}-worker"),
        }
    }
}
