//! `faafo create`: ask for fractals, and wait for them if told to.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use uuid::Uuid;

use super::client::{self, Client, Refused, WriteArgs};
use super::output::{self, Format, FractalWriter};
use super::progress::{PICTURE, bar, steps};
use super::spec::{SpecArgs, whole_between};
use super::watch::Stream;
use super::{Done, Failure};
use crate::fractal::{Draft, Status};
use crate::wire::{FractalDoc, NewFractalDoc};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo create                            one to ten random fractals, as the original does
  faafo create --tasks 1 --width 512 --height 512 --xa=-2 --xb=2 --ya=-1.5 --yb=1.5
  faafo create --tasks 1000 --wait        a thousand, with a progress bar
  faafo create --c-re=-0.8 --c-im=0.156 --palette twilight -f json")]
pub struct CreateArgs {
    /// How many [default: random]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    tasks: Option<i64>,

    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Ranges of random values"
    )]
    min_tasks: i64,
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        help_heading = "Ranges of random values"
    )]
    max_tasks: i64,

    /// Wait until all are done; exit 1 if one fails
    #[arg(long)]
    wait: bool,

    /// How to print them; without it, the uuids
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,

    #[command(flatten)]
    client: WriteArgs,

    // Last: its headings go for whatever follows.
    #[command(flatten)]
    spec: SpecArgs,
}

/// Requests under way at a time.
const CONCURRENT: usize = 32;

pub async fn run(args: CreateArgs) -> Done {
    let client = Client::writing(&args.client)?;
    let mut random = rand::rng();
    let tasks = match args.tasks {
        Some(tasks) => tasks,
        None => whole_between(&mut random, "tasks", args.min_tasks, args.max_tasks)?,
    };
    let bar = bar(
        u64::try_from(tasks).unwrap_or(0),
        "{msg} {wide_bar} {pos}/{len} {eta}",
        "creating",
    );
    let stop = AtomicBool::new(false);
    let drafts = (0..tasks)
        .take_while(|_| !stop.load(Ordering::Relaxed))
        .map(|_| args.spec.draw(&mut random));
    let posts = futures_util::stream::iter(drafts).map(|draft| {
        let client = &client;
        async move {
            let new = document(Uuid::new_v4(), draft?);
            create(client, &new).await.map_err(client::failure)
        }
    });
    let mut posts = posts.buffer_unordered(CONCURRENT);
    let mut writer = args.format.map(FractalWriter::begin).transpose()?;
    let (mut created, mut documents) = (HashSet::new(), Vec::new());
    let mut failure = None;
    while let Some(fractal) = posts.next().await {
        let fractal = match fractal {
            Ok(fractal) => fractal,
            Err(first) => {
                // No further ones; but those under way may be accepted, and then are to be told.
                stop.store(true, Ordering::Relaxed);
                failure = failure.or(Some(first));
                continue;
            }
        };
        created.insert(fractal.uuid);
        bar.inc(1);
        // With --wait the whole document is worth printing only at the end.
        match &mut writer {
            None => bar.suspend(|| output::print(&format!("{}\n", fractal.uuid)))?,
            Some(writer) if !args.wait => bar.suspend(|| writer.write(&fractal))?,
            Some(_) => documents.push(fractal),
        }
    }
    bar.finish_and_clear();
    if let Some(failure) = failure {
        if let Some(mut writer) = writer.filter(|_| !created.is_empty()) {
            documents
                .iter()
                .try_for_each(|fractal| writer.write(fractal))?;
            writer.end()?;
        }
        return Err(failure);
    }
    let failed = match args.wait {
        true => wait(&client, created, writer.as_mut()).await?,
        false => 0,
    };
    if let Some(writer) = writer {
        writer.end()?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Failed(anyhow::anyhow!(
            "{failed} of {tasks} fractals failed or were deleted; \
             `faafo list --status failed` shows them, `faafo retry UUID` tries again"
        ))),
    }
}

fn document(uuid: Uuid, draft: Draft) -> NewFractalDoc {
    NewFractalDoc {
        uuid: Some(uuid),
        width: draft.width,
        height: draft.height,
        iterations: draft.iterations,
        xa: draft.plane.xa,
        xb: draft.plane.xb,
        ya: draft.plane.ya,
        yb: draft.plane.yb,
        c_re: draft.c_re,
        c_im: draft.c_im,
        palette: draft.palette,
    }
}

/// Posts, again where it makes sense. The uuid is ours: if an answer got lost on its way, the
/// server finds the fractal there already, and that is as good.
async fn create(client: &Client, new: &NewFractalDoc) -> anyhow::Result<FractalDoc> {
    let again = AtomicBool::new(false);
    let created = client::patiently(async || {
        let created = client.create(new).await;
        match (&created, new.uuid) {
            (Err(error), Some(uuid)) if again.swap(true, Ordering::Relaxed) && is_taken(error) => {
                client.show(uuid).await
            }
            _ => created,
        }
    });
    created.await
}

fn is_taken(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.field.as_deref() == Some("uuid"))
}

/// Waits until all of `open` are done, writing each; returns how many will never be.
async fn wait(
    client: &Client,
    open: HashSet<Uuid>,
    mut writer: Option<&mut FractalWriter>,
) -> Result<usize, Failure> {
    let mut open = Open::new(open);
    let mut lost = 0;
    let mut settle = |fractal: FractalDoc, open: &mut Open| -> Done {
        let settled = matches!(fractal.status, Status::Done | Status::Failed);
        if settled && open.remove(fractal.uuid) {
            lost += usize::from(fractal.status == Status::Failed);
            if let Some(writer) = &mut writer {
                open.bar.suspend(|| writer.write(&fractal))?;
            }
        } else {
            open.reached(fractal.uuid, fractal.progress);
        }
        Ok(())
    };
    let mut deleted = 0;
    let mut stream = Stream::new(client);
    while !open.uuids.is_empty() {
        let event = stream.next().await?;
        match event.name.as_str() {
            "queued" | "done" | "failed" => settle(event.fractal()?, &mut open)?,
            "deleted" => deleted += usize::from(open.remove(event.uuid()?)),
            "progress" => {
                let progress = event.progress()?;
                open.reached(progress.uuid, Some(progress.fraction));
            }
            // The stream is new, or has missed something: look at what is still open.
            "queue" if !stream.is_fresh() => {}
            "queue" | "resync" => {
                let uuids: Vec<_> = open.uuids.iter().copied().collect();
                for some in uuids.chunks(100) {
                    let q = serde_json::json!({
                        "filters": [{"name": "uuid", "op": "in", "val": some}]
                    });
                    let found = client::patiently(async || client.search(&q, 100).await);
                    let found = found.await?.objects;
                    let there: HashSet<_> = found.iter().map(|fractal| fractal.uuid).collect();
                    for fractal in found {
                        settle(fractal, &mut open)?;
                    }
                    for gone in some.iter().filter(|uuid| !there.contains(uuid)) {
                        deleted += usize::from(open.remove(*gone));
                    }
                }
            }
            _ => {}
        }
        open.draw();
    }
    Ok(lost + deleted)
}

/// What is waited for, and how far it is.
struct Open {
    uuids: HashSet<Uuid>,
    /// Of those that are running, the part that is rendered.
    fractions: HashMap<Uuid, f64>,
    all: usize,
    bar: ProgressBar,
}

impl Open {
    fn new(uuids: HashSet<Uuid>) -> Open {
        let all = uuids.len();
        let template = "rendering {wide_bar} {msg} {eta}";
        Open {
            uuids,
            fractions: HashMap::new(),
            all,
            bar: bar(all as u64 * PICTURE, template, ""),
        }
    }

    /// `false`: it was not waited for.
    fn remove(&mut self, uuid: Uuid) -> bool {
        self.fractions.remove(&uuid);
        self.uuids.remove(&uuid)
    }

    fn reached(&mut self, uuid: Uuid, fraction: Option<f64>) {
        match fraction {
            Some(fraction) if self.uuids.contains(&uuid) => {
                self.fractions.insert(uuid, fraction);
            }
            _ => {
                self.fractions.remove(&uuid);
            }
        }
    }

    fn draw(&self) {
        let settled = self.all - self.uuids.len();
        let running: u64 = self.fractions.values().copied().map(steps).sum();
        self.bar.set_message(format!("{settled}/{}", self.all));
        self.bar.set_position(settled as u64 * PICTURE + running);
    }
}
