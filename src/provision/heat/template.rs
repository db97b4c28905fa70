//! The template: parts in YAML, which lie beside this file, put together for a shape; and in it the
//! user data that `up` would give its nodes, with names where Heat puts in secrets and addresses.

use std::fmt::Write;

use serde_json::Value;

use super::super::secrets::Secrets;
use super::super::topology::Role;
use super::super::user_data::{self, Seed, Settings};
use super::super::{Result, usage};
use super::Shape;
use crate::tokens::Kind;

/// What a template is to be like.
pub struct Design<'a> {
    pub shape: Shape,
    /// API nodes, if not one.
    pub apis: u16,
    pub settings: &'a Settings,
    /// Parameters that need not be given then, and their values.
    pub defaults: Vec<(&'static str, Value)>,
}

/// The sections of a template, in their order.
const SECTIONS: [&str; 4] = ["parameters", "conditions", "resources", "outputs"];

/// The template's text.
pub fn write(design: &Design) -> Result<String> {
    if design.shape == Shape::ScaledOut
        && let Some(key) = design.settings.own_services()
    {
        return usage(format!(
            "--set {key}: scaled-out has RabbitMQ and MariaDB of its own; --topology autoscaling takes \
             those that you have"
        ));
    }
    let (shape, front) = (design.shape, design.shape.front());
    let (head, _) = FARM.split_once("parameters:").unwrap_or((FARM, ""));
    let mut parts = Parts::default();
    parts.add(FARM);
    let fronts: Vec<String> = (1..=design.apis)
        .map(|number| match (front, number) {
            (Role::All, _) => "farm".to_owned(),
            (_, 1) => "api".to_owned(),
            (_, number) => format!("api_{number}"),
        })
        .collect();
    let count = design.apis.to_string();
    parts.add(&boot(design, front, &fronts, &fronts.join(", "), &count)?);
    for (front, number) in fronts.iter().zip(1..) {
        let url = match number {
            1 => "url".to_owned(),
            number => format!("url_{number}"),
        };
        let words = [("NODE", front.as_str()), ("URL", &url)];
        parts.add(&node(front, "api", shape.front()));
        parts.add(&put_in(ADDRESS, &words));
    }
    if shape == Shape::ScaledOut {
        parts.add(SERVICES);
        parts.add(&boot(design, Role::Services, &fronts, "services", "1")?);
        parts.add(&node("services", "services", Role::Services));
    }
    if shape != Shape::AllInOne {
        let (workers, count) = match shape {
            Shape::Autoscaling => (AUTOSCALING, "1"),
            _ => (FIXED, "{get_param: workers}"),
        };
        parts.add(WORKERS);
        parts.add(&boot(design, Role::Worker, &fronts, "worker", count)?);
        parts.add(workers);
    }
    for (name, value) in &design.defaults {
        parts.0[0] = with_default(&parts.0[0], name, value);
    }
    let mut text = put_in(head, &[("SHAPE", shape.name())]);
    for (section, part) in SECTIONS.iter().zip(&parts.0) {
        let _ = writeln!(text, "{section}:\n{}\n", part.trim_end());
    }
    Ok(format!("{}\n", text.trim_end()))
}

const FARM: &str = include_str!("farm.yaml");
const BOOT: &str = include_str!("boot.yaml");
const NODE: &str = include_str!("node.yaml");
const ADDRESS: &str = include_str!("address.yaml");
const SERVICES: &str = include_str!("services.yaml");
const WORKERS: &str = include_str!("workers.yaml");
const FIXED: &str = include_str!("fixed.yaml");
const AUTOSCALING: &str = include_str!("autoscaling.yaml");
const TELL: &str = include_str!("tell.py");

/// What stands in each section so far.
#[derive(Default)]
struct Parts([String; SECTIONS.len()]);

impl Parts {
    fn add(&mut self, part: &str) {
        let mut section = None;
        for line in part.lines() {
            let heading = line.strip_suffix(':');
            let begins = SECTIONS.iter().position(|name| heading == Some(name));
            if let Some(begins) = begins {
                section = Some(begins);
                // A line between what parts bring.
                let so_far = self.0[begins].trim_end().len();
                self.0[begins].truncate(so_far);
                self.0[begins].push_str(if so_far > 0 { "\n\n" } else { "" });
            } else if let Some(section) = section {
                self.0[section].push_str(line);
                self.0[section].push('\n');
            }
        }
    }
}

fn put_in(part: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(part.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

/// As resources have it in their names.
fn name_of(role: Role) -> &'static str {
    match role {
        Role::All => "farm",
        other => other.name(),
    }
}

fn node(node: &str, group: &str, role: Role) -> String {
    let name = node.replace('_', "-");
    let words = [
        ("NODE", node),
        ("NAME", &name),
        ("GROUP", group),
        ("ROLE", name_of(role)),
    ];
    put_in(NODE, &words)
}

/// What nodes of a role do at their first boot, and that `nodes`, of which there are `count`, have done
/// it.
fn boot(
    design: &Design,
    role: Role,
    fronts: &[String],
    nodes: &str,
    count: &str,
) -> Result<String> {
    let token = |kind: Kind| format!("{}<{}_token>", kind.prefix(), kind.name());
    let secrets = Secrets {
        user_token: token(Kind::User),
        worker_token: token(Kind::Worker),
        broker_password: "<broker_password>".into(),
        database_password: "<database_password>".into(),
    };
    let endpoints: Vec<_> = fronts
        .iter()
        .map(|node| format!("http://<{node}>"))
        .collect();
    let what = name_of(role);
    let user_data = user_data::render(&Seed {
        node: &format!("{what} nodes"),
        name: None,
        role,
        artifact: "<artifact_url>",
        sha256: "<artifact_sha256>",
        secrets: &secrets,
        endpoints: &endpoints,
        services: (design.shape == Shape::ScaledOut).then_some("<services>"),
        settings: design.settings,
        tell: Some(TELL),
        volume: None,
    })?;
    let mut params = Vec::new();
    let mut param = |name: &str, value: String| {
        if user_data.contains(&format!("<{name}>")) {
            params.push(format!("<{name}>: {value}"));
        }
    };
    for name in ["artifact_url", "artifact_sha256"] {
        param(name, format!("{{get_param: {name}}}"));
    }
    for name in [
        "user_token",
        "worker_token",
        "broker_password",
        "database_password",
    ] {
        param(name, format!("{{get_attr: [{name}, value]}}"));
    }
    for node in fronts.iter().map(String::as_str).chain(["services"]) {
        param(
            node,
            format!("{{get_attr: [{node}_port, fixed_ips, 0, ip_address]}}"),
        );
    }
    param(
        "signal_url",
        format!("{{get_attr: [{what}_handle, endpoint]}}"),
    );
    param(
        "signal_token",
        format!("{{get_attr: [{what}_handle, token]}}"),
    );
    let words = [("ROLE", what), ("NODES", nodes), ("COUNT", count)];
    let part = put_in(BOOT, &words);
    let part = indented(&part, "PARAMS", params.iter().map(String::as_str));
    Ok(indented(&part, "USER_DATA", user_data.lines()))
}

/// `text` with these lines where a word stands, as far in as that.
fn indented<'a>(text: &str, word: &str, lines: impl Iterator<Item = &'a str>) -> String {
    let Some((before, after)) = text.split_once(word) else {
        return text.to_owned();
    };
    let (before, indent) = before.rsplit_once('\n').unwrap_or(("", before));
    let mut text = before.to_owned();
    for line in lines {
        text.push('\n');
        if !line.is_empty() {
            text.push_str(indent);
            text.push_str(line);
        }
    }
    text.push_str(after);
    text
}

/// The parameters with a default for one of them, behind its type.
fn with_default(parameters: &str, name: &str, value: &Value) -> String {
    let title = format!("  {name}:\n    type: ");
    let Some((before, (kind, after))) = parameters
        .split_once(&title)
        .and_then(|(before, rest)| Some((before, rest.split_once('\n')?)))
    else {
        return parameters.to_owned();
    };
    let after = match after.strip_prefix("    default: ") {
        Some(old) => old.split_once('\n').map_or("", |(_, after)| after),
        None => after,
    };
    format!("{before}{title}{kind}\n    default: {value}\n{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(shape: Shape, apis: u16) -> String {
        let defaults = vec![
            ("image", json!("debian \"13\"")),
            ("key", json!("mine")),
            ("patience", json!(60)),
        ];
        write(&Design {
            shape,
            apis,
            settings: &Settings::default(),
            defaults,
        })
        .unwrap()
    }

    #[test]
    fn defaults_stand_behind_their_types() {
        let text = template(Shape::AllInOne, 1);
        for expected in [
            "  image:\n    type: string\n    default: \"debian \\\"13\\\"\"\n    description: ",
            "  key:\n    type: string\n    default: \"mine\"\n    description: ",
            "  patience:\n    type: number\n    default: 60\n    description: ",
            "  flavor:\n    type: string\n    description: ",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn every_name_is_put_in_and_nothing_is_left_to_be_replaced() {
        for (shape, apis) in [
            (Shape::AllInOne, 1),
            (Shape::ScaledOut, 3),
            (Shape::Autoscaling, 1),
        ] {
            let text = template(shape, apis);
            let words = [
                "ROLE_",
                "NODE_",
                "NODES",
                "  NODE:",
                "PARAMS",
                "USER_DATA",
                "SHAPE",
                "  URL:",
            ];
            for word in words {
                let left = text.lines().find(|line| line.contains(word));
                assert_eq!(left, None, "{word}");
            }
            let fronts = text.matches("OS::Neutron::FloatingIP").count();
            assert_eq!(fronts, usize::from(apis));
        }
        let scaled_out = template(Shape::ScaledOut, 3);
        assert!(scaled_out.contains(
            "endpoint_url = [\"http://<api>\", \"http://<api_2>\", \"http://<api_3>\"]\n"
        ));
        assert!(scaled_out.contains("    depends_on: [api, api_2, api_3]\n"));
        // The node with the services needs no token, a worker none but its own.
        let of = |role: &str| {
            let (_, rest) = scaled_out.split_once(&format!("  {role}_boot:\n")).unwrap();
            rest.split_once("_handle:\n").unwrap().0
        };
        assert!(!of("services").contains("_token>: {get_attr: [user"));
        assert!(!of("worker").contains("user_token"));
        assert!(!of("worker").contains("database_password"));
        assert!(of("api").contains("faafo_u_<user_token>"));
    }

    #[test]
    fn services_of_ones_own_go_elsewhere() {
        let settings = Settings::parse(&["transport_url=amqp://a/".to_owned()]).unwrap();
        let of = |shape| {
            write(&Design {
                shape,
                apis: 1,
                settings: &settings,
                defaults: Vec::new(),
            })
        };
        assert!(of(Shape::ScaledOut).is_err());
        assert!(of(Shape::Autoscaling).is_ok());
    }
}
