//! A stack of Heat's: asked for, waited for, looked at, and taken away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::board::Board;
use super::super::cloud::{Cloud, CloudError, Service};
use super::super::servers::LOOK;
use super::super::topology::Role;
use super::super::{Name, Result, failed};
use super::Order;
use crate::tokens::{Kind, Token};

/// A stack, as Heat tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Stack {
    pub id: String,
    pub stack_name: String,
    pub stack_status: String,
    #[serde(default)]
    pub stack_status_reason: Option<String>,
    pub creation_time: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    outputs: Vec<Output>,
}

/// What a stack tells when it is there.
#[derive(Clone, Debug, Deserialize)]
struct Output {
    output_key: String,
    #[serde(default)]
    output_value: Value,
}

/// The tag that tells its shape.
const SHAPE: &str = "faafo-topology=";

impl Stack {
    fn path(&self) -> String {
        format!("/stacks/{}/{}", self.stack_name, self.id)
    }

    fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().flatten().map(String::as_str)
    }

    fn why(&self) -> &str {
        self.stack_status_reason.as_deref().unwrap_or("no reason")
    }

    /// The name of its shape.
    pub fn shape(&self) -> Option<&str> {
        self.tags().find_map(|tag| tag.strip_prefix(SHAPE))
    }

    /// By what it is looked at and changed, for people.
    pub fn ways(&self, name: &Name) -> String {
        let title = &self.stack_name;
        let scales = match self.shape() {
            Some("autoscaling") => {
                "its outputs scale_up_url and scale_down_url are what `faafo autoscale` takes, "
            }
            _ => "",
        };
        format!(
            "`openstack stack show {title}` tells all of it, `openstack stack update --existing \
             {title}` changes it, {scales}and `faafo provision down --name {name}` takes it away"
        )
    }
}

async fn list(cloud: &Cloud, name: Option<&Name>) -> std::result::Result<Vec<Stack>, CloudError> {
    if !cloud.has(Service::Orchestration).await? {
        return Ok(Vec::new());
    }
    let mut call = cloud.get(Service::Orchestration, "/stacks");
    if let Some(name) = name {
        call = call.query("name", name.prefix());
    }
    match call.list("stacks").await {
        // Not everybody may use Heat, and who may not has no stack.
        Err(CloudError::Refused { status, .. }) if status.is_client_error() => Ok(Vec::new()),
        stacks => stacks,
    }
}

/// The deployments that are stacks.
pub async fn all(cloud: &Cloud) -> std::result::Result<Vec<(Name, Stack)>, CloudError> {
    let stacks = list(cloud, None).await?.into_iter();
    let named = stacks.filter_map(|stack| {
        let name = stack.tags().find_map(Name::in_tag)?;
        Some((name, stack))
    });
    Ok(named.collect())
}

/// The stack of a deployment. What only has its name is somebody else's.
pub async fn find(cloud: &Cloud, name: &Name) -> std::result::Result<Option<Stack>, CloudError> {
    let stacks = list(cloud, Some(name)).await?;
    let mut ours = stacks
        .into_iter()
        .filter(|stack| stack.tags().any(|tag| tag == name.tag()));
    Ok(ours.next())
}

/// What Heat needs besides the nodes' own time.
const BESIDES: u64 = 15;

/// Asks for a stack.
pub async fn create(
    cloud: &Cloud,
    order: &Order,
    template: &str,
    parameters: &Value,
) -> Result<Stack> {
    let name = &order.wanted.name;
    let title = name.prefix();
    let body = json!({
        "stack_name": title,
        "template": template,
        "parameters": parameters,
        "timeout_mins": order.patience.as_secs().div_ceil(60) + BESIDES,
        // What has failed is there to be looked at.
        "disable_rollback": true,
        "tags": format!("{},{SHAPE}{}", name.tag(), order.shape.name()),
    });
    let call = cloud.post(Service::Orchestration, "/stacks", body);
    let made: Value = match call.read_in("stack").await {
        // It may be in the making all the same.
        Err(error) if error.is_lost() => {
            tokio::time::sleep(LOOK).await;
            return match find(cloud, name).await? {
                Some(stack) => Ok(stack),
                None => Err(error.into()),
            };
        }
        Err(error) if error.is_conflict() => {
            return failed(format!(
                "there is a stack {title} already: choose another --name, or take it away with \
                 `openstack stack delete {title}`"
            ));
        }
        made => made?,
    };
    let path = format!(
        "/stacks/{title}/{}",
        made["id"].as_str().unwrap_or_default()
    );
    Ok(show(cloud, &path).await?)
}

async fn show(cloud: &Cloud, path: &str) -> std::result::Result<Stack, CloudError> {
    let call = cloud.get(Service::Orchestration, path);
    call.read_in("stack").await
}

/// A part of a stack.
#[derive(Debug, Deserialize)]
struct Part {
    resource_name: String,
    resource_status: String,
    resource_type: String,
    /// The id of what it is.
    physical_resource_id: Option<String>,
    /// The group that it is in.
    parent_resource: Option<String>,
}

/// Its servers' ids, with their roles.
pub async fn servers(
    cloud: &Cloud,
    stack: &Stack,
) -> std::result::Result<BTreeMap<String, Role>, CloudError> {
    let path = format!("{}/resources", stack.path());
    let call = cloud.get(Service::Orchestration, path);
    let parts: Vec<Part> = match call.query("nested_depth", "2").list("resources").await {
        // It has just gone.
        Err(error) if error.is_not_found() => Vec::new(),
        parts => parts?,
    };
    let is_server = |part: &Part| part.resource_type == "OS::Nova::Server";
    let servers = parts.into_iter().filter(is_server).filter_map(|part| {
        let name = part.parent_resource.as_ref().unwrap_or(&part.resource_name);
        let role = match name.as_str() {
            "farm" => Role::All,
            "services" => Role::Services,
            "worker" => Role::Worker,
            _ => Role::Api,
        };
        Some((part.physical_resource_id.filter(|id| !id.is_empty())?, role))
    });
    Ok(servers.collect())
}

/// Waits until a stack is there, as it then is; Heat gives up by itself when its time is over.
pub async fn wait(cloud: &Cloud, name: &Name, stack: &Stack, board: &Board) -> Result<Stack> {
    loop {
        // Before its parts: what the last ones have come to is told as well.
        let seen = show(cloud, &stack.path()).await?;
        let path = format!("{}/resources", stack.path());
        let call = cloud.get(Service::Orchestration, path);
        let parts: Vec<Part> = call.list("resources").await?;
        for part in &parts {
            match part.resource_status.as_str() {
                "IN_PROGRESS" | "CREATE_IN_PROGRESS" => {
                    board.set(&part.resource_name, "in the making");
                }
                "COMPLETE" | "CREATE_COMPLETE" => board.set(&part.resource_name, "ready"),
                "FAILED" | "CREATE_FAILED" => board.set(&part.resource_name, "failed"),
                _ => {}
            }
        }
        match seen.stack_status.as_str() {
            "CREATE_IN_PROGRESS" => tokio::time::sleep(LOOK).await,
            "CREATE_COMPLETE" => return Ok(seen),
            status => {
                let title = &seen.stack_name;
                return failed(format!(
                    "the stack {title} is {status}: {}; `openstack stack resource list {title}` shows \
                     what there is of it, and `faafo provision down --name {name}` takes it away, which \
                     has to be before the next try",
                    seen.why()
                ));
            }
        }
    }
}

/// Heat deletes what is in a stack one after the other, and waits for servers.
const GONE: Duration = Duration::from_secs(900);

/// Deletes a stack and all that it made.
pub async fn delete(cloud: &Cloud, stack: &Stack, board: &Board) -> Result<()> {
    let title = &stack.stack_name;
    cloud.delete(Service::Orchestration, stack.path()).await?;
    board.set(title, "going");
    let begun = Instant::now();
    loop {
        let seen = match show(cloud, &stack.path()).await {
            Err(error) if error.is_not_found() => break,
            seen => seen?,
        };
        match seen.stack_status.as_str() {
            "DELETE_COMPLETE" => break,
            "DELETE_FAILED" => {
                return failed(format!(
                    "Heat could not delete the stack {title}: {}; take away what hinders it, then run \
                     `faafo provision down` again",
                    seen.why()
                ));
            }
            status if begun.elapsed() > GONE => {
                return failed(format!(
                    "the stack {title} is {status} and not gone after {} s; `openstack stack resource \
                     list {title}` shows what is left",
                    GONE.as_secs()
                ));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    board.set(title, "gone");
    Ok(())
}

impl Stack {
    /// Where its farm is, by each of the API nodes. Nowhere yet, if it is still in the making.
    pub fn urls(&self) -> Vec<&str> {
        let is_url = |output: &&Output| output.output_key.starts_with("url");
        let mut outputs: Vec<_> = self.outputs.iter().filter(is_url).collect();
        outputs.sort_by_key(|output| (output.output_key.len(), &output.output_key));
        let urls = outputs.iter();
        urls.filter_map(|output| output.output_value.as_str())
            .collect()
    }
}

/// The users' token of a deployment that is a stack.
pub async fn token(cloud: &Cloud, name: &Name) -> Result<Option<Token>> {
    let Some(stack) = find(cloud, name).await? else {
        return Ok(None);
    };
    let stack = show(cloud, &stack.path()).await?;
    let told = stack
        .outputs
        .iter()
        .find(|output| output.output_key == "user_token");
    let token = told.and_then(|told| told.output_value.as_str());
    Ok(token.and_then(|token| Token::parse_as(Kind::User, token).ok()))
}
