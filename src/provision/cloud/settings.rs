//! Which cloud, and as whom: clouds.yaml, secure.yaml and OS_* in the environment, in the order and
//! with the meaning that OpenStack's own tools give them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a cloud is reached by. Holds secrets: it cannot be printed.
pub struct Access {
    /// With `/v3` at its end.
    pub auth_url: Url,
    /// The body by which Keystone is asked for a token.
    pub login: Value,
    pub region: Option<String>,
    pub interface: String,
    pub ca_file: Option<PathBuf>,
    /// Whether certificates are looked at.
    pub verify: bool,
    /// Addresses of services that go before the catalog's, by type.
    pub overrides: BTreeMap<&'static str, Url>,
    /// Where all this was found, for people.
    pub origin: String,
}

impl Access {
    /// Whether any of it may be encrypted, for which authorities are needed.
    pub fn is_https(&self) -> bool {
        self.auth_url.scheme() == "https"
            || self.overrides.values().any(|url| url.scheme() == "https")
    }
}

/// What was asked for on the command line, or by its variables.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub cloud: Option<String>,
    pub region: Option<String>,
}

/// Settings that lead to no cloud: bad usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

type Result<T> = std::result::Result<T, SettingsError>;

fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(SettingsError(message.into()))
}

/// A file of clouds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    clouds: BTreeMap<String, Entry>,
    #[serde(rename = "public-clouds")]
    profiles: BTreeMap<String, Entry>,
}

/// One cloud in it. Values that YAML takes for numbers or for true and false are texts here: a
/// password may look like either.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    profile: Option<String>,
    auth: BTreeMap<String, Option<String>>,
    auth_type: Option<String>,
    region_name: Option<String>,
    interface: Option<String>,
    endpoint_type: Option<String>,
    cacert: Option<String>,
    verify: Option<String>,
    insecure: Option<String>,
    identity_endpoint_override: Option<String>,
    compute_endpoint_override: Option<String>,
    network_endpoint_override: Option<String>,
    image_endpoint_override: Option<String>,
    object_store_endpoint_override: Option<String>,
    orchestration_endpoint_override: Option<String>,
}

impl Entry {
    /// This, and `other` where it says nothing.
    fn or(self, other: Entry) -> Entry {
        let mut auth = other.auth;
        auth.extend(self.auth.into_iter().filter(|(_, value)| value.is_some()));
        Entry {
            profile: self.profile.or(other.profile),
            auth,
            auth_type: self.auth_type.or(other.auth_type),
            region_name: self.region_name.or(other.region_name),
            interface: self.interface.or(other.interface),
            endpoint_type: self.endpoint_type.or(other.endpoint_type),
            cacert: self.cacert.or(other.cacert),
            verify: self.verify.or(other.verify),
            insecure: self.insecure.or(other.insecure),
            identity_endpoint_override: self
                .identity_endpoint_override
                .or(other.identity_endpoint_override),
            compute_endpoint_override: self
                .compute_endpoint_override
                .or(other.compute_endpoint_override),
            network_endpoint_override: self
                .network_endpoint_override
                .or(other.network_endpoint_override),
            image_endpoint_override: self
                .image_endpoint_override
                .or(other.image_endpoint_override),
            object_store_endpoint_override: self
                .object_store_endpoint_override
                .or(other.object_store_endpoint_override),
            orchestration_endpoint_override: self
                .orchestration_endpoint_override
                .or(other.orchestration_endpoint_override),
        }
    }
}

impl Access {
    /// The cloud that was asked for: by name in clouds.yaml; else by OS_* in the environment; else
    /// the only one in clouds.yaml.
    pub fn find(asked: &Asked) -> Result<Access> {
        let clouds = read("OS_CLIENT_CONFIG_FILE", "clouds.yaml")?;
        if asked.cloud.is_none() && variable("OS_AUTH_URL").is_some() {
            let entry = from_environment();
            return checked(entry, asked, "the OS_* variables".into());
        }
        let Some((path, file)) = clouds else {
            return bad(
                "no cloud is named: put a clouds.yaml into ~/.config/openstack (your cloud's web \
                 page offers it for download), or read its openrc file into the environment first",
            );
        };
        let names: Vec<_> = file.clouds.keys().map(String::as_str).collect();
        let name = match (&asked.cloud, names.as_slice()) {
            (Some(name), _) => name.as_str(),
            (None, [only]) => only,
            (None, names) => {
                return bad(format!(
                    "name one of the clouds in {} with --os-cloud or OS_CLOUD: {}",
                    path.display(),
                    names.join(", ")
                ));
            }
        };
        let Some(entry) = file.clouds.get(name) else {
            return bad(format!(
                "there is no cloud {name} in {}; it has: {}",
                path.display(),
                names.join(", ")
            ));
        };
        let mut entry = entry.clone();
        if let Some((_, mut secure)) = read("OS_CLIENT_SECURE_FILE", "secure.yaml")?
            && let Some(secret) = secure.clouds.remove(name)
        {
            entry = secret.or(entry);
        }
        if let Some(profile) = entry.profile.clone() {
            let public = read("OS_CLIENT_VENDOR_FILE", "clouds-public.yaml")?;
            let found = public.and_then(|(_, mut file)| file.profiles.remove(&profile));
            entry = match found {
                Some(found) => entry.or(found),
                // Then all that is needed may stand with the cloud itself.
                None if entry.auth.contains_key("auth_url") => entry,
                None => {
                    return bad(format!(
                        "the cloud {name} has the profile {profile}, which is in no \
                         clouds-public.yaml: write its auth_url into {}",
                        path.display()
                    ));
                }
            };
        }
        checked(
            entry,
            asked,
            format!("the cloud {name} of {}", path.display()),
        )
    }
}

/// The first such file of the usual places.
fn read(named_by: &str, name: &str) -> Result<Option<(PathBuf, File)>> {
    if let Some(path) = variable(named_by) {
        let path = PathBuf::from(path);
        return match path.exists() {
            true => parse(path).map(Some),
            false => bad(format!(
                "{named_by} names {}, which is not there",
                path.display()
            )),
        };
    }
    let config = match env::var_os("XDG_CONFIG_HOME") {
        Some(folder) if !folder.is_empty() => Some(PathBuf::from(folder)),
        _ => env::var_os("HOME").map(|home| Path::new(&home).join(".config")),
    };
    let folders = [
        Some(PathBuf::from(".")),
        config.map(|folder| folder.join("openstack")),
        Some(PathBuf::from("/etc/openstack")),
    ];
    let stem = name.trim_end_matches(".yaml");
    for folder in folders.into_iter().flatten() {
        for ending in ["yaml", "yml", "json"] {
            let path = folder.join(format!("{stem}.{ending}"));
            if path.exists() {
                return parse(path).map(Some);
            }
        }
    }
    Ok(None)
}

fn parse(path: PathBuf) -> Result<(PathBuf, File)> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return bad(format!("cannot read {}: {error}", path.display())),
    };
    match from_yaml(&text) {
        Ok(file) => Ok((path, file)),
        Err(why) => bad(format!("{} cannot be understood: {why}", path.display())),
    }
}

fn from_yaml(text: &str) -> std::result::Result<File, String> {
    // Without the excerpt of the file that it would show: there may be a password in it.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Names of what `auth` may hold, and the variables beside OS_NAME that mean it, too.
const AUTH: [(&str, &str); 18] = [
    ("auth_url", ""),
    ("username", "OS_USER_NAME"),
    ("user_id", ""),
    ("password", ""),
    ("project_name", "OS_TENANT_NAME"),
    ("project_id", "OS_TENANT_ID"),
    ("user_domain_name", ""),
    ("user_domain_id", ""),
    ("project_domain_name", ""),
    ("project_domain_id", ""),
    ("domain_name", ""),
    ("domain_id", ""),
    ("default_domain", "OS_DEFAULT_DOMAIN_NAME"),
    ("default_domain_id", ""),
    ("application_credential_id", ""),
    ("application_credential_name", ""),
    ("application_credential_secret", ""),
    ("token", ""),
];

fn from_environment() -> Entry {
    let auth = AUTH.iter().filter_map(|(name, also)| {
        let value = variable(&format!("OS_{}", name.to_uppercase()));
        let value = value.or_else(|| variable(also))?;
        Some(((*name).to_owned(), Some(value)))
    });
    Entry {
        auth: auth.collect(),
        auth_type: variable("OS_AUTH_TYPE"),
        region_name: variable("OS_REGION_NAME"),
        interface: variable("OS_INTERFACE"),
        endpoint_type: variable("OS_ENDPOINT_TYPE"),
        cacert: variable("OS_CACERT"),
        insecure: variable("OS_INSECURE"),
        ..Entry::default()
    }
}

fn checked(entry: Entry, asked: &Asked, origin: String) -> Result<Access> {
    let bad = |why: String| bad(format!("{origin}: {why}"));
    let auth: BTreeMap<_, _> = entry
        .auth
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
        .collect();
    let Some(given) = auth.get("auth_url") else {
        return bad("there is no auth_url".into());
    };
    let auth_url = match given.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") => v3(url),
        _ => {
            return bad(format!(
                "the auth_url {given} is no address of HTTP or HTTPS"
            ));
        }
    };
    let login = match login(&auth, entry.auth_type.as_deref()) {
        Ok(login) => login,
        Err(why) => return bad(why),
    };
    let interface = entry.interface.or(entry.endpoint_type);
    let interface = interface.unwrap_or_else(|| "public".into());
    let interface = interface.trim_end_matches("URL").to_owned();
    let verify =
        entry.verify.as_deref().is_none_or(truth) && !entry.insecure.as_deref().is_some_and(truth);
    let mut overrides = BTreeMap::new();
    for (service, given) in [
        ("identity", &entry.identity_endpoint_override),
        ("compute", &entry.compute_endpoint_override),
        ("network", &entry.network_endpoint_override),
        ("image", &entry.image_endpoint_override),
        ("object-store", &entry.object_store_endpoint_override),
        ("orchestration", &entry.orchestration_endpoint_override),
    ] {
        if let Some(given) = given {
            match given.parse() {
                Ok(url) => overrides.insert(service, url),
                Err(why) => return bad(format!("the address {given} of {service}: {why}")),
            };
        }
    }
    Ok(Access {
        auth_url,
        login,
        region: asked.region.clone().or(entry.region_name),
        interface,
        ca_file: entry.cacert.map(|path| home(&path)),
        verify,
        overrides,
        origin,
    })
}

/// What YAML 1.1 takes for true.
fn truth(text: &str) -> bool {
    matches!(
        text.to_lowercase().as_str(),
        "true" | "yes" | "on" | "y" | "1"
    )
}

fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.into(),
    }
}

/// Keystone's address with its version, which some give and some leave out.
fn v3(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/');
    let bare = path
        .strip_suffix("/v2.0")
        .or_else(|| path.strip_suffix("/v3"));
    let path = format!("{}/v3", bare.unwrap_or(path));
    url.set_path(&path);
    url
}

/// The request for a token.
fn login(auth: &BTreeMap<&str, &str>, kind: Option<&str>) -> std::result::Result<Value, String> {
    let get = |name: &str| auth.get(name).copied();
    let need = |name: &str| get(name).ok_or_else(|| format!("there is no {name}"));
    let kind = match kind {
        Some(kind) => kind.strip_prefix("v3").unwrap_or(kind),
        None if get("application_credential_secret").is_some() => "applicationcredential",
        None if get("token").is_some() && get("password").is_none() => "token",
        None => "password",
    };
    let domain = |of: &str| {
        let id = get(&format!("{of}_domain_id"));
        let name = get(&format!("{of}_domain_name"));
        match (id, name.or(get("default_domain"))) {
            (Some(id), _) => json!({ "id": id }),
            (None, Some(name)) => json!({ "name": name }),
            (None, None) => json!({ "id": get("default_domain_id").unwrap_or("default") }),
        }
    };
    let user = || match get("user_id") {
        Some(id) => Ok(json!({ "id": id })),
        None => need("username").map(|name| json!({ "name": name, "domain": domain("user") })),
    };
    let project = match (get("project_id"), get("project_name")) {
        (Some(id), _) => Some(json!({ "project": { "id": id } })),
        (None, Some(name)) => {
            Some(json!({ "project": { "name": name, "domain": domain("project") } }))
        }
        (None, None) => None,
    };
    let (identity, scope) = match kind {
        "password" => {
            let mut user = user()?;
            user["password"] = json!(need("password")?);
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            let project = project.ok_or("there is neither project_name nor project_id")?;
            (identity, Some(project))
        }
        "token" => {
            let token = json!({ "id": need("token")? });
            (json!({ "methods": ["token"], "token": token }), project)
        }
        "applicationcredential" => {
            let mut credential = match get("application_credential_id") {
                Some(id) => json!({ "id": id }),
                None => json!({ "name": need("application_credential_name")?, "user": user()? }),
            };
            credential["secret"] = json!(need("application_credential_secret")?);
            let identity = json!({
                "methods": ["application_credential"],
                "application_credential": credential,
            });
            // It belongs to a project, and to name one is an error.
            (identity, None)
        }
        other => {
            return Err(format!(
                "faafo knows no auth_type {other}, but password, v3applicationcredential and token"
            ));
        }
    };
    let mut auth = json!({ "identity": identity });
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    Ok(json!({ "auth": auth }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(yaml: &str) -> Entry {
        let mut file = from_yaml(yaml).unwrap();
        file.clouds.remove("c").unwrap()
    }

    fn access(yaml: &str) -> Result<Access> {
        checked(entry(yaml), &Asked::default(), "here".into())
    }

    #[test]
    fn passwords_may_look_like_anything() {
        let access = access(
            "clouds: {c: {auth: {auth_url: 'http://k:5000', username: 007, password: 1e3,
             project_name: yes, user_domain_name: Default}, verify: no, unknown: [1, {}]}}",
        )
        .unwrap();
        let auth = &access.login["auth"];
        let user = &auth["identity"]["password"]["user"];
        assert_eq!(user["name"], "007");
        assert_eq!(user["password"], "1e3");
        assert_eq!(user["domain"], json!({"name": "Default"}));
        let project = json!({"name": "yes", "domain": {"id": "default"}});
        assert_eq!(auth["scope"]["project"], project);
        assert_eq!(access.auth_url.as_str(), "http://k:5000/v3");
        assert!(!access.verify);
        assert_eq!(access.interface, "public");
    }

    #[test]
    fn anchors_and_merges_are_understood() {
        let yaml = "
base: &base
  auth: {auth_url: https://k/identity/v3/, application_credential_id: a}
  region_name: R
clouds:
  c:
    <<: *base
    interface: internalURL
    cacert: /ca.pem
";
        let with = entry("clouds: {c: {auth: {application_credential_secret: s}}}").or(entry(yaml));
        let access = checked(with, &Asked::default(), "here".into()).unwrap();
        assert_eq!(access.auth_url.as_str(), "https://k/identity/v3");
        assert_eq!(access.region.as_deref(), Some("R"));
        assert_eq!(access.interface, "internal");
        assert_eq!(access.ca_file, Some("/ca.pem".into()));
        let credential = json!({"id": "a", "secret": "s"});
        assert_eq!(
            access.login["auth"]["identity"]["application_credential"],
            credential
        );
        assert!(access.login["auth"].get("scope").is_none());
        assert!(access.verify && access.is_https());
    }

    #[test]
    fn what_leads_to_no_cloud_says_why() {
        let why = |yaml: &str| access(yaml).err().unwrap().to_string();
        assert!(why("clouds: {c: {auth: {username: u}}}").contains("no auth_url"));
        let begin = "clouds: {c: {auth: {auth_url: 'http://k', username: u";
        assert!(why(&format!("{begin}}}}}}}")).contains("no password"));
        assert!(why(&format!("{begin}, password: p}}}}}}")).contains("project_name"));
        assert!(why(&format!("{begin}}}, auth_type: v3oidc}}}}")).contains("auth_type oidc"));
        assert!(why("clouds: {c: {auth: {auth_url: 'k:5000'}}}").contains("no address"));
    }

    #[test]
    fn a_file_that_is_wrong_does_not_tell_its_secrets() {
        let yaml = "clouds:\n  c:\n    auth: {password: hush-hush\n  d: ]\n";
        let Err(why) = from_yaml(yaml) else {
            panic!("it was understood")
        };
        assert!(!why.contains("hush"), "{why}");
    }

    #[test]
    fn a_token_is_scoped_if_a_project_is_named() {
        let access = access("clouds: {c: {auth: {auth_url: 'http://k/v2.0', token: t}}}").unwrap();
        let identity = json!({"methods": ["token"], "token": {"id": "t"}});
        assert_eq!(access.login, json!({"auth": {"identity": identity}}));
        assert_eq!(access.auth_url.as_str(), "http://k/v3");
    }
}
