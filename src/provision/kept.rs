//! What was asked for and does not reach the nodes that are there: they stay as they are.

use super::mark;
use super::resources::Server;
use super::wanted::Wanted;

/// How new nodes will be: ids of image and flavor, and the name of the key.
pub struct New<'a> {
    pub image: &'a str,
    pub flavor: &'a str,
    pub key: Option<&'a str>,
}

/// Says so, if it is anything. What settings a node has cannot be seen from here: those that are given
/// are always named.
pub fn note(wanted: &Wanted, new: &New, there: &[&Server]) -> Option<String> {
    let any = |differs: &dyn Fn(&Server) -> bool| there.iter().any(|server| differs(server));
    let differs = |has: &Option<String>, new: &str| has.as_ref().is_some_and(|has| has != new);
    let flags = [
        (
            "--image",
            wanted.image.is_some() && any(&|server| differs(&server.image, new.image)),
        ),
        (
            "--flavor",
            wanted.flavor.is_some() && any(&|server| differs(&server.flavor, new.flavor)),
        ),
        (
            "--availability-zone",
            wanted.zone.is_some()
                && any(&|server| server.metadata.get(mark::ZONE) != wanted.zone.as_ref()),
        ),
        (
            "--key",
            wanted.key.is_some() && any(&|server| server.key_name.as_deref() != new.key),
        ),
        ("--set", !wanted.settings.is_empty() && !there.is_empty()),
    ];
    let flags: Vec<_> = flags
        .into_iter()
        .filter_map(|(flag, is_new)| is_new.then_some(flag))
        .collect();
    let stay = match there.len() {
        1 => "the node that is there stays as it is".to_owned(),
        many => format!("the {many} nodes that are there stay as they are"),
    };
    (!flags.is_empty()).then(|| format!("note: {stay}; new ones alone get {}", flags.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::Settings;
    use crate::provision::tally::tests::{server, wanted};
    use crate::provision::topology::Role;

    #[test]
    fn what_does_not_reach_nodes_that_are_there_is_named() {
        let mut api = server(Role::Api, 1, "ACTIVE");
        api.image = Some("i".into());
        let worker = server(Role::Worker, 1, "ACTIVE");
        let new = New {
            image: "i2",
            flavor: "f",
            key: None,
        };
        let plain = wanted(None, None);
        assert_eq!(note(&plain, &new, &[&api, &worker]), None);
        let named = Wanted {
            image: Some("debian".into()),
            flavor: Some("small".into()),
            settings: Settings::parse(&["max_side=9000".into()]).unwrap(),
            ..plain
        };
        assert_eq!(note(&named, &new, &[]), None);
        assert_eq!(
            note(&named, &new, &[&api, &worker]).unwrap(),
            "note: the 2 nodes that are there stay as they are; new ones alone get --image, --set"
        );
        let as_it_is = Wanted {
            settings: Settings::default(),
            ..named
        };
        let same = New { image: "i", ..new };
        assert_eq!(note(&as_it_is, &same, &[&api]), None);
        let other = Wanted {
            key: Some("mine".into()),
            zone: Some("z2".into()),
            ..as_it_is
        };
        let new = New {
            flavor: "f2",
            key: Some("mine"),
            ..same
        };
        assert_eq!(
            note(&other, &new, &[&api]).unwrap(),
            "note: the node that is there stays as it is; new ones alone get --flavor, \
             --availability-zone, --key"
        );
    }
}
