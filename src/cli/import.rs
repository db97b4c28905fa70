//! `faafo import`: takes over the fractals of another farm, or of an original faafo.

use std::collections::HashSet;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use futures_util::StreamExt;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Refused, WriteArgs, failure, is_status, patiently};
use super::{Done, Failure, output, progress};
use crate::digest::checksum;
use crate::fractal::Palette;
use crate::wire::{ImportDoc, NewFractalDoc};

#[derive(Args)]
#[command(after_help = "\
Fractals are known by their uuids: those that are there already stay as they are, and an import that was
interrupted goes on where it was. What is not rendered there is rendered here. An original does not keep
the constant of its pictures, so that the one that is shown with them is not theirs.

Examples:
  faafo import http://old-faafo
  faafo import http://old-faafo --endpoint-url https://farm.example:8080 --token-file farm-token")]
pub struct ImportArgs {
    /// Address of the farm to take them from
    from: Url,

    #[command(flatten)]
    client: WriteArgs,
}

/// Fractals asked for at a time: the most that either side gives.
const PAGE: usize = 100;

/// Fractals on their way at a time. The original does one thing after another.
const CONCURRENT: usize = 4;

/// A fractal as the other farm tells of it. The original knows the first ones.
#[derive(Debug, Deserialize)]
struct Other {
    uuid: String,
    checksum: Option<String>,
    duration: Option<f64>,
    generated_by: Option<String>,
    width: i64,
    height: i64,
    iterations: i64,
    xa: f64,
    xb: f64,
    ya: f64,
    yb: f64,
    c_re: Option<f64>,
    c_im: Option<f64>,
    palette: Option<Palette>,
}

/// What became of a fractal.
enum Became {
    Imported,
    /// Kept, but other bytes than its checksum says: the original makes its files anew when it serves
    /// them.
    Remade,
    /// It has no image there, and waits here.
    Queued,
    There,
    Refused(String),
}

#[derive(Default)]
struct Tally {
    imported: u64,
    remade: u64,
    queued: u64,
    there: u64,
    refused: u64,
}

pub async fn run(args: ImportArgs) -> Done {
    let to = Client::writing(&args.client)?;
    let from = to.toward(args.from, &args.client)?;
    let mut page = patiently(async || page(&from, None).await).await?;
    let bar = progress::bar(
        page.total,
        "{msg} {wide_bar} {pos}/{len} {eta}",
        "importing",
    );
    let mut tally = Tally::default();
    while let Some(last) = page.last() {
        let there = there(&to, &page.objects).await.map_err(failure)?;
        let each = page.objects.into_iter().map(|other| {
            let (from, to, there) = (&from, &to, &there);
            async move {
                let name = name(&other).to_owned();
                (name, take(from, to, there, other).await)
            }
        });
        let mut each = futures_util::stream::iter(each).buffer_unordered(CONCURRENT);
        while let Some((name, became)) = each.next().await {
            let became =
                became.context("not all is imported; the same command goes on with the rest")?;
            if let Became::Refused(why) = &became {
                bar.suspend(|| eprintln!("faafo: {name} is left out: {why}"));
            }
            tally.add(&became);
            bar.inc(1);
        }
        drop(each);
        page = patiently(async || self::page(&from, Some(&last)).await).await?;
    }
    bar.finish_and_clear();
    tally.tell()
}

impl Tally {
    fn add(&mut self, became: &Became) {
        *match became {
            Became::Imported => &mut self.imported,
            Became::Remade => {
                self.imported += 1;
                &mut self.remade
            }
            Became::Queued => &mut self.queued,
            Became::There => &mut self.there,
            Became::Refused(_) => &mut self.refused,
        } += 1;
    }

    fn tell(&self) -> Done {
        if self.remade > 0 {
            eprintln!(
                "faafo: {} images are not the bytes that their checksums there say; kept as they came",
                self.remade
            );
        }
        let Tally {
            imported,
            queued,
            there,
            refused,
            ..
        } = self;
        output::print(&format!(
            "{imported} imported, {queued} to be rendered here, {there} there already, {refused} left out\n"
        ))?;
        match refused {
            0 => Ok(()),
            _ => Err(Failure::Told),
        }
    }
}

struct Page {
    total: u64,
    objects: Vec<Value>,
}

impl Page {
    fn last(&self) -> Option<String> {
        self.objects.last().map(|other| name(other).to_owned())
    }
}

fn name(other: &Value) -> &str {
    other["uuid"].as_str().unwrap_or("")
}

/// The fractals that follow `after`, in the order of their uuids: a page by its number would miss some
/// when others go.
async fn page(from: &Client, after: Option<&str>) -> anyhow::Result<Page> {
    let filters = after.map(|uuid| json!({"name": "uuid", "op": ">", "val": uuid}));
    let filters: Vec<_> = filters.into_iter().collect();
    let q = json!({"filters": filters, "order_by": [{"field": "uuid", "direction": "asc"}]});
    let text = from.list_text(&q, PAGE).await?;
    let strange = || anyhow!("{} does not answer like a faafo", from.base());
    let list: Value = serde_json::from_str(&finite(&text)).map_err(|_| strange())?;
    let (total, objects) = (list["num_results"].as_u64(), list["objects"].as_array());
    let (total, objects) = total.zip(objects).ok_or_else(strange)?;
    if let (Some(after), Some(first)) = (after, objects.first())
        && name(first) == after
    {
        return Err(anyhow!(
            "{} gives the same fractals again and again",
            from.base()
        ));
    }
    Ok(Page {
        total,
        objects: objects.clone(),
    })
}

/// The original's infinities, which are no JSON, as null.
fn finite(text: &str) -> String {
    let mut quoted = false;
    let mut parts = Vec::new();
    // A quote within a string follows an odd number of backslashes; uuids and host names have none.
    for part in text.split_inclusive('"') {
        parts.push(match quoted {
            true => part.to_owned(),
            false => part
                .replace("-Infinity", "null")
                .replace("Infinity", "null")
                .replace("NaN", "null"),
        });
        if part.ends_with('"') && !(quoted && escaped(part)) {
            quoted = !quoted;
        }
    }
    parts.concat()
}

fn escaped(part: &str) -> bool {
    let before = part[..part.len() - 1].bytes().rev();
    before.take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Those of a page that the farm has already.
async fn there(to: &Client, objects: &[Value]) -> anyhow::Result<HashSet<Uuid>> {
    let uuids = objects
        .iter()
        .filter_map(|other| Uuid::try_parse(name(other)).ok());
    let uuids: Vec<_> = uuids.map(|uuid| uuid.to_string()).collect();
    if uuids.is_empty() {
        return Ok(HashSet::new());
    }
    let q = json!({"filters": [{"name": "uuid", "op": "in", "val": uuids}]});
    let found = patiently(async || to.search(&q, PAGE).await).await?;
    Ok(found
        .objects
        .into_iter()
        .map(|fractal| fractal.uuid)
        .collect())
}

/// Takes one over. An error ends the whole import; what is wrong with this one alone does not.
async fn take(
    from: &Client,
    to: &Client,
    there: &HashSet<Uuid>,
    other: Value,
) -> anyhow::Result<Became> {
    let other: Other = match serde_json::from_value(other) {
        Ok(other) => other,
        Err(error) => return Ok(Became::Refused(error.to_string())),
    };
    let Ok(uuid) = Uuid::try_parse(&other.uuid) else {
        return Ok(Became::Refused("its uuid is none".into()));
    };
    if there.contains(&uuid) {
        return Ok(Became::There);
    }
    let kept = match &other.checksum {
        Some(_) => keep(from, to, uuid, &other).await,
        None => queue(to, &other.fractal(uuid)).await,
    };
    match kept {
        // What the farms say of this one, and not of all.
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if is_its_own(refused.status) => Ok(Became::Refused(error.to_string())),
            _ => Err(error),
        },
        kept => kept,
    }
}

fn is_its_own(status: StatusCode) -> bool {
    [
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNPROCESSABLE_ENTITY,
        // How the original tells that an image is none.
        StatusCode::INTERNAL_SERVER_ERROR,
    ]
    .contains(&status)
}

async fn keep(from: &Client, to: &Client, uuid: Uuid, other: &Other) -> anyhow::Result<Became> {
    let png = patiently(async || {
        let response = from.image_of(&other.uuid).await?;
        response
            .bytes()
            .await
            .map_err(|error| from.unreachable(error))
    });
    let png = png.await?;
    let doc = ImportDoc {
        fractal: other.fractal(uuid),
        duration: other.duration.unwrap_or(0.0),
        generated_by: other
            .generated_by
            .clone()
            .unwrap_or_else(|| "unknown".into()),
        checksum: Some(checksum(&png)),
        size: Some(png.len() as u64),
        image: BASE64_STANDARD.encode(&png),
    };
    let status = patiently(async || to.import(&doc).await).await?;
    Ok(match status {
        StatusCode::OK => Became::There,
        _ if doc.checksum != other.checksum => Became::Remade,
        _ => Became::Imported,
    })
}

async fn queue(to: &Client, new: &NewFractalDoc) -> anyhow::Result<Became> {
    match patiently(async || to.create(new).await).await {
        Ok(_) => Ok(Became::Queued),
        // Perhaps of an earlier try, of which no answer came.
        Err(error)
            if is_status(&error, StatusCode::BAD_REQUEST)
                && error.to_string().contains("already") =>
        {
            Ok(Became::There)
        }
        Err(error) => Err(error),
    }
}

impl Other {
    fn fractal(&self, uuid: Uuid) -> NewFractalDoc {
        NewFractalDoc {
            uuid: Some(uuid),
            width: self.width,
            height: self.height,
            iterations: self.iterations,
            xa: self.xa,
            xb: self.xb,
            ya: self.ya,
            yb: self.yb,
            c_re: self.c_re,
            c_im: self.c_im,
            palette: self.palette.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_become_null_and_texts_stay() {
        let text =
            r#"{"xa": -Infinity, "xb": Infinity, "generated_by": "Infinity \"NaN", "ya": NaN}"#;
        let value: Value = serde_json::from_str(&finite(text)).unwrap();
        let wanted = json!({"xa": null, "xb": null, "generated_by": "Infinity \"NaN", "ya": null});
        assert_eq!(value, wanted);
    }
}
