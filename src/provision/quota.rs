//! Whether the project's quota has room for what is to be made: asked before the first thing is.

use serde::Serialize;
use serde_json::Value;
use tokio::try_join;

use super::Result;
use super::cloud::{Cloud, CloudError, Service};

/// One kind of resource, and how much of it there may be.
#[derive(Clone, Debug, Serialize)]
pub struct Room {
    pub what: &'static str,
    pub needed: u64,
    pub used: u64,
    pub limit: u64,
}

impl Room {
    pub fn suffices(&self) -> bool {
        self.needed == 0 || self.used + self.needed <= self.limit
    }
}

/// What is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    pub instances: u64,
    pub cores: u64,
    pub ram: u64,
    pub ports: u64,
    pub networks: u64,
    pub subnets: u64,
    pub routers: u64,
    pub groups: u64,
    pub rules: u64,
    pub addresses: u64,
    pub volumes: u64,
    pub gigabytes: u64,
}

/// The floating IPs' name, without which a deployment goes on.
pub const ADDRESSES: &str = "floating IPs";

/// What is limited of all that is needed.
pub async fn check(cloud: &Cloud, needs: &Needs) -> Result<Vec<Room>> {
    let limits = async { cloud.get(Service::Compute, "/limits").read::<Value>().await };
    let (limits, quota, storage) = try_join!(limits, network(cloud), storage(cloud, needs))?;
    let absolute = &limits["limits"]["absolute"];
    let compute = [
        (
            "instances",
            needs.instances,
            "totalInstancesUsed",
            "maxTotalInstances",
        ),
        ("cores", needs.cores, "totalCoresUsed", "maxTotalCores"),
        ("MB of memory", needs.ram, "totalRAMUsed", "maxTotalRAMSize"),
    ];
    let compute = compute
        .into_iter()
        .filter_map(|(what, needed, used, limit)| {
            room(what, needed, &absolute[used], &absolute[limit])
        });
    let network = [
        ("ports", needs.ports, "port"),
        ("networks", needs.networks, "network"),
        ("subnets", needs.subnets, "subnet"),
        ("routers", needs.routers, "router"),
        ("security groups", needs.groups, "security_group"),
        ("security group rules", needs.rules, "security_group_rule"),
        (ADDRESSES, needs.addresses, "floatingip"),
    ];
    let network = network.into_iter().filter_map(|(what, needed, key)| {
        let quota = &quota[key];
        room(what, needed, &quota["used"], &quota["limit"])
    });
    let storage = [
        (
            "volumes",
            needs.volumes,
            "totalVolumesUsed",
            "maxTotalVolumes",
        ),
        (
            "GB of volumes",
            needs.gigabytes,
            "totalGigabytesUsed",
            "maxTotalVolumeGigabytes",
        ),
    ]
    .into_iter()
    .filter_map(|(what, needed, used, limit)| room(what, needed, &storage[used], &storage[limit]));
    Ok(compute
        .chain(network)
        .chain(storage)
        .filter(|room| room.needed > 0)
        .collect())
}

/// `None` where there is no limit, which is written -1.
fn room(what: &'static str, needed: u64, used: &Value, limit: &Value) -> Option<Room> {
    let (used, limit) = (used.as_u64()?, limit.as_u64()?);
    Some(Room {
        what,
        needed,
        used,
        limit,
    })
}

/// Cinder's limits, if any of it is needed.
async fn storage(cloud: &Cloud, needs: &Needs) -> std::result::Result<Value, CloudError> {
    if needs.gigabytes == 0 {
        return Ok(Value::Null);
    }
    let mut limits: Value = cloud
        .get(Service::BlockStorage, "/limits")
        .read_in("limits")
        .await?;
    Ok(limits["absolute"].take())
}

/// Neutron's quotas with what is used of them, if it tells.
async fn network(cloud: &Cloud) -> std::result::Result<Value, CloudError> {
    let path = format!("/quotas/{}/details", cloud.project().await?);
    match cloud.get(Service::Network, path).read_in("quota").await {
        Err(CloudError::Refused { status, .. }) if status.is_client_error() => Ok(Value::Null),
        answer => answer,
    }
}
