//! Fewer workers or API nodes: the last ones leave first, workers give back what they render, and API
//! nodes answer what they are being asked. More are made by `up`. And what `faafo autoscale` has to know
//! of a deployment.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::board::Board;
use super::cloud::{Cloud, CloudError, Service};
use super::resources::Server;
use super::survey::{self, Survey};
use super::topology::Role;
use super::{Name, Result, Topology, address, ready, servers, usage};

/// A node has this long to leave by itself.
const DRAIN: Duration = Duration::from_secs(60);

/// How many nodes there are to be of each kind that somebody has named.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub workers: Option<u16>,
    pub apis: Option<u16>,
}

impl Counts {
    fn each(self) -> [(Role, &'static str, Option<u16>); 2] {
        [
            (Role::Worker, "--workers", self.workers),
            (Role::Api, "--apis", self.apis),
        ]
    }

    /// Whether any have to be made.
    pub fn are_more(self, survey: &Survey) -> bool {
        let more = |(role, _, count): (Role, _, Option<u16>)| {
            count.is_some_and(|count| usize::from(count) > survey.of_role(role).len())
        };
        self.each().into_iter().any(more)
    }
}

/// The nodes that are too many for `counts`, those with the highest numbers first: who has opened the
/// farm at its first API node goes on there.
pub fn too_many(survey: &Survey, name: &Name, counts: Counts) -> Result<Vec<Server>> {
    survey.is_no_stack(name)?;
    match survey.topology() {
        Some(Topology::ScaledOut) => {}
        Some(Topology::Split) if counts.apis.is_none() => {}
        Some(Topology::Split) => {
            return usage(format!(
                "the deployment {name} is split, with one API node that has queue and store: \
                 --apis goes with scaled-out"
            ));
        }
        Some(other) => {
            return usage(format!(
                "the deployment {name} is {}: its one node does everything",
                other.name()
            ));
        }
        None => {
            return usage(format!(
                "there is no deployment {name} here: `faafo provision up --name {name} --topology \
                 split` makes one, and `faafo provision list` shows those there are"
            ));
        }
    }
    let mut leaving = Vec::new();
    for (role, flag, count) in counts.each() {
        let Some(count) = count else { continue };
        if count == 0 {
            return usage(format!(
                "{flag} must be at least 1; `faafo provision down` takes all away"
            ));
        }
        let servers = survey.of_role(role).into_iter();
        let many = servers.skip(usize::from(count)).rev();
        leaving.extend(many.cloned());
    }
    Ok(leaving)
}

/// Takes these nodes away, with what leads to them.
pub async fn remove(
    cloud: &Cloud,
    name: &Name,
    survey: &Survey,
    leaving: &[Server],
    board: &Board,
) -> Result<()> {
    let gone = leaving.iter().map(|server| async move {
        board.set(&server.name, "draining");
        servers::shut_down(cloud, server, DRAIN).await?;
        servers::remove(cloud, server).await?;
        if let Some(port) = survey.port(&server.name) {
            if let Some(address) = survey.address_of(port) {
                address::release(cloud, name, address).await?;
            }
            cloud
                .delete(Service::Network, format!("/ports/{}", port.id))
                .await?;
        }
        board.set(&server.name, "gone");
        Ok::<_, super::Error>(())
    });
    try_join_all(gone).await?;
    Ok(())
}

/// The workers that there are.
pub async fn workers(cloud: &Cloud, name: &Name) -> Result<Vec<Server>> {
    let mut servers = survey::servers(cloud, name).await?;
    servers.retain(|server| server.role() == Some(Role::Worker));
    Ok(servers)
}

/// Why a server is in ERROR.
pub async fn fault(cloud: &Cloud, server: &Server) -> std::result::Result<String, CloudError> {
    servers::fault(cloud, server).await
}

/// Where the farm is: its API nodes, by the addresses that lead to them from outside, if they have any.
pub fn fronts(survey: &Survey) -> Vec<String> {
    let servers = survey.servers.iter();
    let fronts = servers.filter(|server| server.role().is_some_and(Role::is_front));
    let ips = fronts.filter_map(|server| {
        let port = survey.port(&server.name)?;
        match survey.address_of(port) {
            Some(address) => Some(address.floating_ip_address),
            None => port.ip(),
        }
    });
    ips.map(ready::url).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tally::tests::server;

    /// Those that are made at once may have any order in time.
    #[test]
    fn the_highest_numbers_leave_however_old_they_are() {
        let mut second = server(Role::Worker, 2, "ACTIVE");
        second.created = "2020-01-01T00:00:00Z".into();
        let survey = Survey {
            servers: vec![
                second,
                server(Role::Worker, 3, "ACTIVE"),
                server(Role::Worker, 1, "ACTIVE"),
                server(Role::Api, 1, "ACTIVE"),
            ],
            ..Survey::default()
        };
        let counts = Counts {
            workers: Some(1),
            apis: None,
        };
        let leaving = too_many(&survey, &"n".parse().unwrap(), counts).unwrap();
        let names: Vec<_> = leaving.iter().map(|server| &server.name).collect();
        assert_eq!(names, ["faafo-n-worker-3", "faafo-n-worker-2"]);
    }
}
