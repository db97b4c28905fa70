//! Images, flavors and networks: by name or id, or, where nobody names one, a sensible one.

use std::fmt::Display;

use serde::Deserialize;
use uuid::Uuid;

use super::cloud::{Cloud, CloudError, Service};
use super::resources::Network;
use super::{Name, Result, usage};

#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: Option<String>,
    /// In UTC, in a form whose order is that of time.
    pub created_at: String,
    pub os_distro: Option<String>,
    #[serde(default)]
    status: String,
    /// `snapshot` or `backup`, if Nova has made it of a server.
    image_type: Option<String>,
    /// Of its processors, if somebody has said.
    architecture: Option<String>,
    /// Megabytes that its flavor must have.
    #[serde(default)]
    pub min_ram: u64,
    /// Gigabytes that its flavor must have.
    #[serde(default)]
    min_disk: u64,
    /// Bytes of the file, and of the disk that it is; not every cloud knows them.
    size: Option<u64>,
    virtual_size: Option<u64>,
}

impl Image {
    /// One that is no longer there, of which servers were made.
    pub fn gone(id: &str) -> Image {
        Image {
            id: id.to_owned(),
            name: None,
            created_at: String::new(),
            os_distro: None,
            status: String::new(),
            image_type: None,
            architecture: None,
            min_ram: 0,
            min_disk: 0,
            size: None,
            virtual_size: None,
        }
    }

    /// Gigabytes of disk that it takes.
    fn disk(&self) -> u64 {
        let bytes = self.size.max(self.virtual_size).unwrap_or(0);
        self.min_disk.max(bytes.div_ceil(1 << 30))
    }

    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Whether this is one of the distributions that a farm is put on by default.
    fn is_usual(&self) -> bool {
        let named = |text: &str| {
            let text = text.to_lowercase();
            text.contains("debian") || text.contains("ubuntu")
        };
        match &self.os_distro {
            Some(distro) => named(distro),
            None => named(self.name()),
        }
    }

    /// Whether it was a server, and has what that had on its disk.
    fn was_server(&self) -> bool {
        matches!(self.image_type.as_deref(), Some("snapshot" | "backup"))
    }

    /// Whether this very binary runs there, as far as is known.
    fn runs_this(&self) -> bool {
        let named = self.architecture.as_deref().unwrap_or_default();
        let architecture = match named.to_lowercase().as_str() {
            "" => return true,
            "amd64" => "x86_64".to_owned(),
            "arm64" => "aarch64".to_owned(),
            other => other.to_owned(),
        };
        architecture == std::env::consts::ARCH
    }

    /// The user that cloud-init makes on it.
    pub fn login(&self) -> &'static str {
        let text = format!(
            "{} {}",
            self.os_distro.as_deref().unwrap_or(""),
            self.name()
        );
        let text = text.to_lowercase();
        let known = ["debian", "ubuntu", "fedora", "rocky", "almalinux", "centos"];
        let found = known.iter().find(|name| text.contains(*name));
        match found {
            Some(&"centos") => "cloud-user",
            Some(name) => name,
            None => "debian",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Flavor {
    pub id: String,
    pub name: String,
    pub vcpus: u64,
    /// Megabytes.
    pub ram: u64,
    /// Gigabytes; 0 is as much as the image has.
    pub disk: u64,
}

impl Flavor {
    /// One that is no longer there, of which servers were made.
    pub fn gone(id: &str) -> Flavor {
        Flavor {
            id: id.to_owned(),
            name: id.to_owned(),
            vcpus: 0,
            ram: 0,
            disk: 0,
        }
    }
}

/// What a flavor has at least, in megabytes, that is taken by default.
const ENOUGH: u64 = 1024;

/// The image that was asked for, else the newest one of Debian or Ubuntu.
pub async fn image(cloud: &Cloud, asked: Option<&str>) -> Result<Image> {
    let call = cloud
        .get(Service::Image, "/images")
        .query("status", "active");
    let mut images: Vec<Image> = call.list("images").await?;
    if let Some(asked) = asked {
        let names = |image: &Image| vec![image.id.clone(), image.name().to_owned()];
        let is_it = |image: &Image| image.id == asked || image.name() == asked;
        if !images.iter().any(is_it)
            && let Some(image) = unlisted(cloud, asked).await?
        {
            return Ok(image);
        }
        return the_one("image", asked, images, names);
    }
    let all: Vec<_> = images.iter().map(|image| image.name().to_owned()).collect();
    images.retain(|image| image.is_usual() && !image.was_server() && image.runs_this());
    match images
        .into_iter()
        .max_by(|a, b| a.created_at.cmp(&b.created_at))
    {
        Some(newest) => Ok(newest),
        None => usage(format!(
            "there is no image of Debian or Ubuntu for {} here that is no server's snapshot: name \
             one of {} with --image",
            std::env::consts::ARCH,
            named(all.iter())
        )),
    }
}

/// An image that lists leave out, a hidden one or the community's, if this is the id of one.
async fn unlisted(cloud: &Cloud, asked: &str) -> Result<Option<Image>> {
    if Uuid::try_parse(asked).is_err() {
        return Ok(None);
    }
    let call = cloud.get(Service::Image, format!("/images/{asked}"));
    match call.read::<Image>().await {
        Ok(image) => Ok(Some(image).filter(|image| image.status == "active")),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The flavor that was asked for, else the smallest one with a gigabyte that the image fits on.
pub async fn flavor(cloud: &Cloud, asked: Option<&str>, image: &Image) -> Result<Flavor> {
    let flavors: Vec<Flavor> = cloud
        .get(Service::Compute, "/flavors/detail")
        .list("flavors")
        .await?;
    let chosen = match asked {
        Some(asked) => {
            let names = |flavor: &Flavor| vec![flavor.id.clone(), flavor.name.clone()];
            the_one("flavor", asked, flavors, names)?
        }
        None => {
            let all: Vec<_> = flavors.iter().map(|flavor| flavor.name.clone()).collect();
            match smallest(flavors, image) {
                Some(smallest) => smallest,
                None => {
                    return usage(format!(
                        "no flavor here has {ENOUGH} MB of memory and room for the image {}: name \
                         one of {} with --flavor",
                        image.name(),
                        named(all.iter())
                    ));
                }
            }
        }
    };
    match why_not(&chosen, image) {
        Some(why) => usage(format!(
            "the flavor {} {why}: choose a larger one",
            chosen.name
        )),
        None => Ok(chosen),
    }
}

/// One without a disk of its own comes last: by default Nova lets admins alone boot images on such.
fn smallest(flavors: Vec<Flavor>, image: &Image) -> Option<Flavor> {
    let fits = |flavor: &Flavor| flavor.ram >= ENOUGH && why_not(flavor, image).is_none();
    let size = |flavor: &Flavor| (flavor.disk == 0, flavor.ram, flavor.vcpus, flavor.disk);
    flavors.into_iter().filter(fits).min_by_key(size)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zone {
    zone_name: String,
    zone_state: ZoneState,
}

#[derive(Deserialize)]
struct ZoneState {
    available: bool,
}

/// The availability zones that take servers.
async fn zones(cloud: &Cloud) -> std::result::Result<Vec<String>, CloudError> {
    let zones: Vec<Zone> = cloud
        .get(Service::Compute, "/os-availability-zone")
        .read_in("availabilityZoneInfo")
        .await?;
    let open = zones.into_iter().filter(|zone| zone.zone_state.available);
    Ok(open.map(|zone| zone.zone_name).collect())
}

/// The availability zone that was asked for: Nova itself looks only when all else is made.
pub async fn zone(cloud: &Cloud, asked: Option<String>) -> Result<Option<String>> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let zones = zones(cloud).await?;
    match zones.contains(&asked) {
        true => Ok(Some(asked)),
        false => usage(format!(
            "there is no availability zone {asked} here that takes servers; there are: {}",
            named(zones.iter())
        )),
    }
}

fn why_not(flavor: &Flavor, image: &Image) -> Option<String> {
    if flavor.ram < image.min_ram {
        let (has, needs) = (flavor.ram, image.min_ram);
        return Some(format!(
            "has {has} MB of memory, and the image {} needs {needs}",
            image.name()
        ));
    }
    if flavor.disk != 0 && flavor.disk < image.disk() {
        let (has, needs) = (flavor.disk, image.disk());
        return Some(format!(
            "has {has} GB of disk, and the image {} needs {needs}",
            image.name()
        ));
    }
    None
}

/// Where the nodes' ports go.
#[derive(Clone, Debug)]
pub enum Place {
    /// On a network that is there.
    Given(Network),
    /// On one of the deployment's own.
    Own,
}

/// The network that was asked for; else the deployment's own, if it has one; else the only one that
/// the project can use; else one of its own, which is made.
pub async fn place(cloud: &Cloud, name: &Name, asked: Option<&str>) -> Result<Place> {
    let networks: Vec<Network> = cloud
        .get(Service::Network, "/networks")
        .list("networks")
        .await?;
    if let Some(asked) = asked {
        let names = |network: &Network| vec![network.id.clone(), network.name.clone()];
        return the_one("network", asked, networks, names).map(Place::Given);
    }
    if networks
        .iter()
        .any(|network| network.description == name.description())
    {
        return Ok(Place::Own);
    }
    let project = cloud.project().await?;
    let is_usable = |network: &&Network| {
        let ours = network.project_id == project || network.shared;
        // Another deployment's goes away with it.
        ours && !network.subnets.is_empty() && Name::in_description(&network.description).is_none()
    };
    let usable: Vec<_> = networks.iter().filter(is_usable).collect();
    let inner: Vec<_> = usable.iter().filter(|network| !network.external).collect();
    match (inner.as_slice(), usable.as_slice()) {
        ([only], _) => Ok(Place::Given((**only).clone())),
        ([], [only]) => Ok(Place::Given((*only).clone())),
        ([], _) => Ok(Place::Own),
        (several, _) => usage(format!(
            "name one of the project's networks with --network: {}",
            named(several.iter().map(|network| &network.name))
        )),
    }
}

/// The network that leads outside and that floating IPs are from: the one asked for, else the only
/// one, else the default one; `None` if the cloud has none.
pub async fn external(cloud: &Cloud, asked: Option<&str>) -> Result<Option<Network>> {
    let call = cloud
        .get(Service::Network, "/networks")
        .query("router:external", "true");
    let networks: Vec<Network> = call.list("networks").await?;
    if let Some(asked) = asked {
        let names = |network: &Network| vec![network.id.clone(), network.name.clone()];
        return the_one("external network", asked, networks, names).map(Some);
    }
    let is_default = |network: &&Network| network.is_default == Some(true);
    match networks.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => match several.iter().find(is_default) {
            Some(default) => Ok(Some(default.clone())),
            None => usage(format!(
                "name one of the external networks with --external-network: {}",
                named(several.iter().map(|network| &network.name))
            )),
        },
    }
}

/// The item with this id, or else the only one with this name.
fn the_one<T>(
    what: &str,
    asked: &str,
    items: Vec<T>,
    names: impl Fn(&T) -> Vec<String>,
) -> Result<T> {
    let all: Vec<_> = items.iter().filter_map(|item| names(item).pop()).collect();
    let mut found: Vec<T> = Vec::new();
    for item in items {
        let names = names(&item);
        if names[0] == asked {
            return Ok(item);
        }
        if names[1..].iter().any(|name| name == asked) {
            found.push(item);
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => usage(format!(
            "there is no {what} {asked} here; there are: {}",
            named(all.iter())
        )),
        (several, Some(last)) => {
            let ids: Vec<_> = found
                .iter()
                .chain([&last])
                .map(|item| names(item)[0].clone())
                .collect();
            usage(format!(
                "{several} of the cloud have the name {asked}: name the {what} by its id, which is \
                 one of {}",
                named(ids.iter())
            ))
        }
    }
}

/// Most names that an error lists.
const MOST: usize = 20;

fn named<N: Display>(names: impl Iterator<Item = N>) -> String {
    let mut names: Vec<_> = names.map(|name| name.to_string()).collect();
    names.sort();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    match (names.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_needs_the_disk_that_it_is() {
        let image = |more: serde_json::Value| {
            let mut image = json!({"id": "i", "name": "debian", "created_at": ""});
            let fields = more.as_object().unwrap().clone();
            image.as_object_mut().unwrap().extend(fields);
            serde_json::from_value::<Image>(image).unwrap()
        };
        let flavor = |disk: u64| Flavor {
            id: "f".into(),
            name: "small".into(),
            vcpus: 1,
            ram: 512,
            disk,
        };
        let fits = |disk, more| why_not(&flavor(disk), &image(more)).is_none();
        assert!(fits(1, json!({})));
        assert!(fits(1, json!({"size": null, "virtual_size": null})));
        assert!(!fits(1, json!({"min_disk": 2})));
        assert!(fits(
            2,
            json!({"size": 400_000_000_u64, "virtual_size": 2_147_483_648_u64})
        ));
        assert!(!fits(2, json!({"virtual_size": 2_147_483_649_u64})));
        // As much as the image has.
        assert!(fits(0, json!({"virtual_size": 1_u64 << 40})));
        let why = why_not(&flavor(1), &image(json!({"size": 1_500_000_000}))).unwrap();
        assert_eq!(why, "has 1 GB of disk, and the image debian needs 2");
    }
}
