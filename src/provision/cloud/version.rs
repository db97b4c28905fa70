//! Microversions of the compute API.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::{Cloud, CloudError, Service};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u16, pub u16);

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Microversion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Microversion(number(major)?, number(minor)?))
    }
}

impl Cloud {
    /// `wanted`, if the cloud's compute API knows it; else `None`, for the oldest version.
    pub async fn compute_version(
        &self,
        wanted: Microversion,
    ) -> Result<Option<Microversion>, CloudError> {
        let newest = self
            .compute
            .get_or_try_init(|| self.newest_compute())
            .await?;
        Ok(newest.filter(|newest| *newest >= wanted).map(|_| wanted))
    }

    async fn newest_compute(&self) -> Result<Option<Microversion>, CloudError> {
        // Some catalogs name the project behind the version, where the version's document is not.
        let project = self.project().await?;
        let base = self.base(Service::Compute).await?;
        let up = if base.path().ends_with(&project) {
            "/.."
        } else {
            ""
        };
        let document: Value = match self.get(Service::Compute, format!("{up}/")).read().await {
            Ok(document) => document,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let newest = document["version"]["version"].as_str();
        Ok(newest.and_then(|text| text.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_numbers_and_not_decimals() {
        let version = |text: &str| text.parse::<Microversion>().unwrap();
        assert!(version("2.9") < version("2.52"));
        assert_eq!(version("2.96").to_string(), "2.96");
        assert!("".parse::<Microversion>().is_err());
        assert!("latest".parse::<Microversion>().is_err());
    }
}
