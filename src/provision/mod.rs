//! `faafo provision`: this binary boots itself onto an OpenStack cloud.
//!
//! There is no file of what was made: everything carries the deployment's mark in the cloud itself,
//! set in the same call that makes it. So each command begins with a survey, and `up` after a kill
//! goes on where it was.

mod address; //   floating IPs
mod artifact; //  how the binary gets there
mod blueprint; // what a deployment is to consist of, all decided
mod board; //     what is being done, live
mod choose; //    image, flavor and networks by name, or by themselves
pub mod cloud; // credentials, tokens, catalog, calls
mod container; // the deployment's container in the object store
pub mod down; //  all of a deployment away
mod groups; //    who may come in
pub mod heat; //  a farm as a stack of Heat's
mod kept; //      what does not reach nodes that are there
mod key; //       for logging in
pub mod list; //  the deployments of a project
mod mark; //      names, and by what one's own is known
mod mount; //     what a node does with its volume
mod network; //   a network of one's own
pub mod node; //  one node: its console, how it is reached
mod quota; //     whether there is room
mod ready; //     waiting until the nodes answer
mod resources; // what the cloud tells of what there is
pub mod scale; // more workers, or fewer
mod secrets; //   the deployment's tokens
mod servers; //   instances
mod services; //  the node with RabbitMQ and MariaDB
pub mod status; // how a deployment is
mod survey; //    what is there
mod tally; //     which nodes there are to be
mod topology; //  topologies and roles
pub mod up; //    make what is missing
mod user_data; // what cloud-init does at the first boot
mod volume; //    where the data are, if not on a node's own disk
mod wanted; //    what was asked for

pub use artifact::{Given as Artifact, own as own_binary};
pub use blueprint::{Blueprint, Item};
pub use board::Board;
pub use groups::Cidr;
pub use mark::Name;
pub use quota::Room;
pub use resources::Server;
pub use secrets::{Files as TokenFiles, fetch as tokens};
pub use survey::Survey;
pub use tally::State;
pub use topology::Topology;
pub use user_data::Settings;
pub use wanted::Wanted;

use cloud::CloudError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// It makes no sense as asked.
    #[error("{0}")]
    Usage(String),
    /// The cloud would not do, or did not.
    #[error("{0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Failed(message.into()))
}

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Usage(message.into()))
}
