//! `faafo watch`: what the farm does, live.

use std::collections::{HashMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use uuid::Uuid;

use super::client::{Client, ClientArgs, Refused};
use super::output::{self, Format};
use super::progress::{gauge, percent};
use super::{Done, Failure};
use crate::fractal::Status;
use crate::wire::{CountsDoc, FractalDoc, ProgressDoc};

#[derive(Args)]
#[command(after_help = "\
On a terminal a table that changes as the farm works; elsewhere a line an event.")]
pub struct WatchArgs {
    /// How to print events: `json` gives a document a line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,

    #[command(flatten)]
    client: ClientArgs,
}

pub async fn run(args: WatchArgs) -> Done {
    let client = Client::new(&args.client)?;
    let mut stream = Stream::new(&client);
    let live = args.format.is_none_or(|format| format == Format::Table)
        && std::io::stderr().is_terminal()
        && std::io::stdout().is_terminal();
    let mut table = live.then(Live::new);
    let mut tick = tokio::time::interval(REDRAW);
    loop {
        let event = {
            let next = stream.next();
            tokio::pin!(next);
            loop {
                tokio::select! {
                    event = &mut next => break event?,
                    // Times and rates change though nothing happens.
                    _ = tick.tick(), if table.is_some() => {
                        if let Some(table) = &mut table {
                            table.draw();
                        }
                    }
                }
            }
        };
        match &mut table {
            Some(table) => {
                table.take(&event)?;
                // The stream is new, or has missed something. If the list cannot be had, the
                // connection will not last, and there will be another.
                if (stream.is_fresh() || event.name == "resync")
                    && let Ok(running) = running(&client).await
                {
                    table.fill(running);
                }
            }
            None => output::print(&line(&event, args.format)?)?,
        }
    }
}

/// What is being rendered at this moment, as much as fits the table.
async fn running(client: &Client) -> anyhow::Result<Vec<FractalDoc>> {
    let filter = serde_json::json!({"name": "status", "op": "eq", "val": Status::Running});
    let q = serde_json::json!({"filters": [filter], "limit": RUNNING_SHOWN});
    Ok(client.search(&q, RUNNING_SHOWN).await?.objects)
}

/// How often the table is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

fn line(event: &Event, format: Option<Format>) -> Result<String, Failure> {
    let (name, data) = (&event.name, &event.data);
    if format == Some(Format::Json) {
        return Ok(format!("{{\"event\":\"{name}\",\"data\":{data}}}\n"));
    }
    Ok(match name.as_str() {
        "queue" => {
            let counts = event.counts()?;
            format!(
                "queue {} queued, {} running, {} done, {} failed\n",
                counts.queued, counts.running, counts.done, counts.failed
            )
        }
        "deleted" => format!("deleted {}\n", event.uuid()?),
        "progress" => {
            let ProgressDoc { uuid, fraction } = event.progress()?;
            format!("progress {uuid} {}\n", percent(fraction))
        }
        "resync" => "resync\n".to_owned(),
        _ => {
            let fractal = event.fractal()?;
            let mut line = format!(
                "{name} {} {} x {}",
                fractal.uuid, fractal.width, fractal.height
            );
            if let (Some(duration), Some(host)) = (fractal.duration, &fractal.generated_by) {
                line.push_str(&format!(" {duration:.3} s {host}"));
            }
            if let Some(error) = &fractal.error {
                line.push_str(&format!(" {error}"));
            }
            line.push('\n');
            line
        }
    })
}

/// A table in place: the counts, what is being rendered, and what ended last.
struct Live {
    bar: ProgressBar,
    counts: CountsDoc,
    running: HashMap<Uuid, Render>,
    ended: VecDeque<FractalDoc>,
    /// When the fractals of the last seconds were done.
    done: VecDeque<Instant>,
}

struct Render {
    fractal: FractalDoc,
    /// When it was first heard of.
    heard: Instant,
    /// Whether that was when it began.
    from_start: bool,
}

impl Render {
    fn heard(fractal: FractalDoc, from_start: bool) -> Render {
        Render {
            fractal,
            heard: Instant::now(),
            from_start,
        }
    }

    /// How far it is; else, as short ones do not say, for how long it has been on.
    fn end(&self) -> String {
        match self.fractal.progress {
            Some(fraction) => gauge(fraction),
            None if self.from_start => format!("{:.1} s", self.heard.elapsed().as_secs_f64()),
            None => String::new(),
        }
    }
}

const RUNNING_SHOWN: usize = 16;
const ENDED_SHOWN: usize = 8;
const RATE_OVER: Duration = Duration::from_secs(5);

impl Live {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg}");
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Live {
            bar,
            counts: CountsDoc {
                queued: 0,
                running: 0,
                done: 0,
                failed: 0,
            },
            running: HashMap::new(),
            ended: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    fn take(&mut self, event: &Event) -> Done {
        match event.name.as_str() {
            "queue" => self.counts = event.counts()?,
            "deleted" => {
                self.running.remove(&event.uuid()?);
            }
            "running" => {
                let fractal = event.fractal()?;
                self.running
                    .insert(fractal.uuid, Render::heard(fractal, true));
            }
            "progress" => {
                let ProgressDoc { uuid, fraction } = event.progress()?;
                if let Some(render) = self.running.get_mut(&uuid) {
                    render.fractal.progress = Some(fraction);
                }
            }
            "done" | "failed" => {
                let fractal = event.fractal()?;
                self.running.remove(&fractal.uuid);
                if event.name == "done" {
                    self.done.push_back(Instant::now());
                }
                self.ended.push_front(fractal);
                self.ended.truncate(ENDED_SHOWN);
            }
            "queued" => {
                self.running.remove(&event.uuid()?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in what is running, whatever was heard of it before.
    fn fill(&mut self, running: Vec<FractalDoc>) {
        let mut known = std::mem::take(&mut self.running);
        for fractal in running {
            let render = match known.remove(&fractal.uuid) {
                Some(render) => Render { fractal, ..render },
                None => Render::heard(fractal, false),
            };
            self.running.insert(render.fractal.uuid, render);
        }
    }

    fn draw(&mut self) {
        while self.done.front().is_some_and(|at| at.elapsed() > RATE_OVER) {
            self.done.pop_front();
        }
        self.bar.set_message(self.text());
        self.bar.tick();
    }

    fn text(&self) -> String {
        let counts = self.counts;
        let rate = self.done.len() as f64 / RATE_OVER.as_secs_f64();
        let mut text = format!(
            "{} queued   {} running   {} done   {} failed   {rate:.1}/s\n\n",
            counts.queued, counts.running, counts.done, counts.failed
        );
        let mut running: Vec<_> = self.running.values().collect();
        running.sort_by_key(|render| render.heard);
        for render in running.into_iter().take(RUNNING_SHOWN) {
            text.push_str(&row(&render.fractal, &render.end()));
        }
        for fractal in &self.ended {
            let time = fractal.duration.map(|seconds| format!("{seconds:.3} s"));
            let end = time.or_else(|| fractal.error.clone()).unwrap_or_default();
            text.push_str(&row(fractal, &end));
        }
        text
    }
}

fn row(fractal: &FractalDoc, end: &str) -> String {
    let size = format!("{} x {}", fractal.width, fractal.height);
    format!("{:<8} {} {size:<15} {end}\n", fractal.status, fractal.uuid)
}

/// A server-sent event.
pub struct Event {
    pub name: String,
    data: String,
}

impl Event {
    pub fn fractal(&self) -> anyhow::Result<FractalDoc> {
        self.read()
    }

    pub fn uuid(&self) -> anyhow::Result<Uuid> {
        #[derive(Deserialize)]
        struct Named {
            uuid: Uuid,
        }
        Ok(self.read::<Named>()?.uuid)
    }

    pub fn progress(&self) -> anyhow::Result<ProgressDoc> {
        self.read()
    }

    fn counts(&self) -> anyhow::Result<CountsDoc> {
        self.read()
    }

    fn read<T: serde::de::DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_str(&self.data)
            .with_context(|| format!("the farm's event {:?} makes no sense", self.name))
    }
}

/// Events from the farm, over as many connections as it takes.
pub struct Stream<'a> {
    client: &'a Client,
    connection: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    buffer: BytesMut,
    /// The last event was the first of its connection.
    fresh: bool,
    /// Whether there ever was a connection.
    known: bool,
}

/// A farm that is stopping, or full, may be back soon.
fn refused_for_good(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.retry_after.is_none())
}

/// Pause before a lost farm is looked for again, and for how long to do so.
const PAUSE: Duration = Duration::from_secs(1);
const GIVE_UP: Duration = Duration::from_secs(120);

impl<'a> Stream<'a> {
    pub fn new(client: &'a Client) -> Self {
        Stream {
            client,
            connection: None,
            buffer: BytesMut::new(),
            fresh: false,
            known: false,
        }
    }

    /// Whether news may have been missed before the last event.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The next event. A connection that breaks is made anew; only a farm that was never there, or
    /// stays away, is an error.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        self.fresh = false;
        loop {
            if let Some(event) = self.parsed() {
                return Ok(event);
            }
            let Some(connection) = &mut self.connection else {
                self.connection = Some(self.connect().await?);
                self.buffer.clear();
                self.fresh = true;
                continue;
            };
            match connection.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(_)) | None => {
                    self.connection = None;
                    // Something that answers and hangs up would be asked without end.
                    tokio::time::sleep(PAUSE / 4).await;
                }
            }
        }
    }

    async fn connect(&mut self) -> anyhow::Result<BoxStream<'static, reqwest::Result<Bytes>>> {
        let begun = Instant::now();
        loop {
            match self.client.events().await {
                Ok(response) => {
                    self.known = true;
                    return Ok(response.bytes_stream().boxed());
                }
                Err(error) if !self.known || begun.elapsed() > GIVE_UP => return Err(error),
                Err(error) if refused_for_good(&error) => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Takes a whole event off the buffer.
    fn parsed(&mut self) -> Option<Event> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
            let frame = self.buffer.split_to(end + 2);
            let frame = String::from_utf8_lossy(&frame);
            let field = |name: &str| {
                frame
                    .lines()
                    .find_map(|line| line.strip_prefix(name).map(str::to_owned))
            };
            // Comments keep the line open and have neither.
            if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                return Some(Event { name, data });
            }
        }
    }
}
