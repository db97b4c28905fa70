//! What `GET /metrics` tells, taken apart.

use std::collections::{BTreeMap, BTreeSet};

use super::Farm;

/// A sample's name and labels, sorted.
type Series = (String, BTreeMap<String, String>);

pub struct Scrape {
    pub text: String,
    pub samples: BTreeMap<Series, f64>,
    /// Kinds by the name that the format gives the metric.
    pub kinds: BTreeMap<String, String>,
}

impl Scrape {
    pub async fn of(farm: &Farm) -> Scrape {
        Scrape::answered(farm.get("/metrics").send().await.unwrap()).await
    }

    /// What was answered to a scrape.
    pub async fn answered(response: reqwest::Response) -> Scrape {
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(
            kind,
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        Scrape::read(response.text().await.unwrap())
    }

    fn read(text: String) -> Scrape {
        assert!(text.ends_with("\n# EOF\n"));
        let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, kind) = described.split_once(' ').unwrap();
                assert!(kinds.insert(name.into(), kind.into()).is_none(), "{line}");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let known = samples.insert(series_of(series), value.parse().unwrap());
                assert!(known.is_none(), "{line}");
            }
        }
        Scrape {
            text,
            samples,
            kinds,
        }
    }

    /// The value of a series, if it is there.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        self.samples.get(&(name.into(), labels.collect())).copied()
    }

    /// The value of a series, 0 if nothing has been counted in it.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or(0.0)
    }

    /// All values that a label has in the series of a name.
    pub fn values_of(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let of_name = self.samples.keys().filter(|(found, _)| found == name);
        of_name.map(|(_, labels)| &*labels[label]).collect()
    }
}

/// `name{label="value",...}`; no value here holds a quote.
fn series_of(text: &str) -> Series {
    let (name, labels) = match text.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (text, ""),
    };
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), labels.collect())
}
