//! The name of a deployment, and the marks by which what belongs to it is found.

use std::fmt;
use std::str::FromStr;

/// A deployment's name: letters, digits and hyphens, as host names have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// So that tags, of 60 characters at most, have room for it.
const LONGEST: usize = 40;

const NO_NAME: &str = "a deployment's name has 1 to 40 of the characters a-z, 0-9 and -, and \
                       begins and ends with none of the last";

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let good = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(fits)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if good {
            Ok(Name(text.into()))
        } else {
            Err(NO_NAME)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the descriptions of all that is made begin.
const DESCRIPTION: &str = "faafo deployment ";

/// The metadata of servers and volumes.
pub const DEPLOYMENT: &str = "faafo-deployment";
pub const ROLE: &str = "faafo-role";
pub const NUMBER: &str = "faafo-number";
pub const TOPOLOGY: &str = "faafo-topology";
/// The availability zone, if somebody has chosen it.
pub const ZONE: &str = "faafo-zone";

impl Name {
    /// The user's, so that those who share a project do not meddle with each other's.
    pub fn of_user() -> Name {
        let user = ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok());
        Name::from_user(&user.unwrap_or_default())
    }

    fn from_user(user: &str) -> Name {
        let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = user.to_lowercase().chars().map(fit).take(LONGEST).collect();
        name.trim_matches('-')
            .parse()
            .unwrap_or(Name("farm".into()))
    }

    /// What all names of its resources begin with.
    pub fn prefix(&self) -> String {
        format!("faafo-{}", self.0)
    }

    /// The mark of what has a description: set when it is made, never in a call of its own that a
    /// kill might leave out.
    pub fn description(&self) -> String {
        format!("{DESCRIPTION}{}", self.0)
    }

    /// The same for people, where the cloud knows tags.
    pub fn tag(&self) -> String {
        format!("{DEPLOYMENT}={}", self.0)
    }

    /// The deployment that such a description names.
    pub fn in_description(description: &str) -> Option<Name> {
        description.strip_prefix(DESCRIPTION)?.parse().ok()
    }

    /// The deployment that such a tag names.
    pub fn in_tag(tag: &str) -> Option<Name> {
        tag.strip_prefix(DEPLOYMENT)?
            .strip_prefix('=')?
            .parse()
            .ok()
    }

    /// The deployment whose container has this name.
    pub fn in_prefix(prefix: &str) -> Option<Name> {
        prefix.strip_prefix("faafo-")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        for good in ["a", "ann-2", "0"] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for bad in ["", "-a", "a-", "Ann", "a_b", "a.b", "ä", &"x".repeat(41)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_user_has_one() {
        let name = |user: &str| Name::from_user(user).to_string();
        assert_eq!(name("Ann.Example"), "ann-example");
        assert_eq!(name("_apt"), "apt");
        assert_eq!(name(""), "farm");
        assert_eq!(name("Ünï"), "n");
    }

    #[test]
    fn marks_lead_back_to_the_name() {
        let name: Name = "a-b".parse().unwrap();
        assert_eq!(
            Name::in_description(&name.description()),
            Some(name.clone())
        );
        assert_eq!(Name::in_prefix(&name.prefix()), Some(name.clone()));
        assert_eq!(Name::in_tag(&name.tag()), Some(name.clone()));
        assert_eq!(Name::in_description("my network"), None);
        assert!(name.tag().len() <= 60);
    }
}
