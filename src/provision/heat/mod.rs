//! Farms as stacks of Heat's: `template.rs` writes the template, of the parts that lie beside it,
//! `order.rs` finds what a cloud has for its parameters, and `stack.rs` has it made and waits for it.

mod order;
mod stack;
mod template;

use clap::ValueEnum;

use super::topology::{Role, Topology};

pub use super::key::in_file as public_key;
pub use order::{Order, parameters};
pub use stack::{Stack, all, create, delete, find, servers, token, wait};
pub use template::{Design, write};

/// Which nodes a stack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One node that does everything
    AllInOne,
    /// A node with RabbitMQ and MariaDB, API nodes and workers
    ScaledOut,
    /// An API node, and workers that become more or fewer at a call
    Autoscaling,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::AllInOne => "all-in-one",
            Shape::ScaledOut => "scaled-out",
            Shape::Autoscaling => "autoscaling",
        }
    }

    /// The topology of `up` with the same nodes.
    pub fn topology(self) -> Topology {
        match self {
            Shape::AllInOne => Topology::AllInOne,
            Shape::ScaledOut => Topology::ScaledOut,
            Shape::Autoscaling => Topology::Split,
        }
    }

    /// The role of the nodes that answer requests.
    fn front(self) -> Role {
        self.topology().front()
    }
}
