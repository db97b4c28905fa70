//! One node of a deployment: its console, and how to log in.

use std::net::IpAddr;

use super::choose::Image;
use super::cloud::{Cloud, Service};
use super::resources::Server;
use super::survey::Survey;
use super::{Name, Result, servers, usage};

/// The server of a node, by its whole name or the part behind the deployment's.
pub fn find<'a>(survey: &'a Survey, name: &Name, asked: &str) -> Result<&'a Server> {
    let full = format!("{}-{asked}", name.prefix());
    let is_it =
        |server: &&Server| server.name == asked || server.name == full || server.id == asked;
    match survey.servers.iter().find(is_it) {
        Some(server) => Ok(server),
        None => {
            survey.is_no_stack(name)?;
            let names: Vec<_> = survey
                .servers
                .iter()
                .map(|server| server.name.as_str())
                .collect();
            usage(match names.is_empty() {
                true => {
                    format!("there is no deployment {name} here; `faafo provision list` shows all")
                }
                false => format!(
                    "the deployment {name} has no node {asked}, but {}",
                    names.join(", ")
                ),
            })
        }
    }
}

/// The last lines of a node's console.
pub async fn logs(cloud: &Cloud, name: &Name, asked: &str, lines: u32) -> Result<String> {
    let survey = Survey::of(cloud, name).await?;
    let server = find(&survey, name, asked)?;
    Ok(servers::console(cloud, &server.id, lines).await?)
}

/// How to log in: the user, the node's address, and the node that leads there.
#[derive(Debug)]
pub struct Way {
    pub login: String,
    pub ip: IpAddr,
    pub through: Option<IpAddr>,
}

impl Way {
    /// The arguments of `ssh`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(through) = self.through {
            arguments.extend(["-J".to_owned(), format!("{}@{through}", self.login)]);
        }
        arguments.push(format!("{}@{}", self.login, self.ip));
        arguments
    }
}

pub async fn way(cloud: &Cloud, name: &Name, asked: &str, login: Option<String>) -> Result<Way> {
    let survey = Survey::of(cloud, name).await?;
    let server = find(&survey, name, asked)?;
    let login = match (login, &server.image) {
        (Some(login), _) => login,
        (None, Some(image)) => {
            let path = format!("/images/{image}");
            match cloud.get(Service::Image, path).read::<Image>().await {
                Ok(image) => image.login().to_owned(),
                Err(error) if error.is_not_found() => "debian".to_owned(),
                Err(error) => return Err(error.into()),
            }
        }
        (None, None) => "debian".to_owned(),
    };
    let outside = |server: &Server| {
        let port = survey.port(&server.name)?;
        survey
            .address_of(port)
            .map(|address| address.floating_ip_address)
    };
    let own = survey.port(&server.name).and_then(|port| port.ip());
    let front = survey
        .servers
        .iter()
        .find(|server| server.role().is_some_and(|r| r.is_front()));
    let through = front
        .filter(|front| front.id != server.id)
        .and_then(outside);
    match (outside(server), own) {
        (Some(ip), _) => Ok(Way {
            login,
            ip,
            through: None,
        }),
        (None, Some(ip)) => Ok(Way { login, ip, through }),
        (None, None) => usage(format!("{} has no address", server.name)),
    }
}
