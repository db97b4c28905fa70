//! How fast this machine renders: what `faafo bench` tells.
//!
//! Every figure is the median of several rounds, in each of which all are measured in turn: on a
//! machine that also does other things, that compares what belongs together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use serde::Serialize;
use uuid::Uuid;

use crate::farm::{Farm, Policy};
use crate::fractal::{Constant, Draft, FractalSpec, Limits, Palette, Plane};
use crate::queue::LocalQueue;
use crate::render::{self, Control, Path, Shortcuts, constant};
use crate::store::{Sqlite, Store};
use crate::worker::Workers;

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    rounds: usize,
    /// Steps of each lane when the limit is measured.
    limit_steps: u64,
    /// Pixels a side of the sets, and of the large picture.
    side: u32,
    large: u32,
    /// Pictures of the mix.
    pub tasks: usize,
}

impl Effort {
    /// A quarter of a minute.
    pub const FULL: Effort = Effort {
        rounds: 5,
        limit_steps: 5_000_000,
        side: 1024,
        large: 9999,
        tasks: 400,
    };

    /// A second or two: to see that it works, and about how fast.
    pub const QUICK: Effort = Effort {
        rounds: 3,
        limit_steps: 500_000,
        side: 256,
        large: 2000,
        tasks: 20,
    };
}

const NONE: Shortcuts = Shortcuts {
    symmetry: false,
    cycles: false,
};

#[derive(Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    pub processor: String,
    pub cores: usize,
    /// The last one is what this machine renders with.
    pub paths: Vec<PathReport>,
    pub shortcuts: Vec<ShortcutReport>,
    /// The share of a render's time that goes into the file, on the first set.
    pub png_share: f64,
    pub large: LargeReport,
    pub mix: MixReport,
}

/// One core with one kind of vector instructions.
#[derive(Debug, Serialize)]
pub struct PathReport {
    pub path: String,
    /// The most that the arithmetic allows, in 10^9 iterations a second.
    pub limit: f64,
    pub sets: Vec<SetReport>,
}

#[derive(Debug, Serialize)]
pub struct SetReport {
    pub set: &'static str,
    pub iterations: u64,
    pub seconds: f64,
    /// 10^9 iterations a second.
    pub rate: f64,
    pub share_of_limit: f64,
}

/// What is gained by leaving out what is known.
#[derive(Debug, Serialize)]
pub struct ShortcutReport {
    pub shortcut: &'static str,
    pub picture: String,
    pub seconds_without: f64,
    pub seconds: f64,
    pub times_faster: f64,
}

/// One big picture, as a PNG, on all cores.
#[derive(Debug, Serialize)]
pub struct LargeReport {
    pub picture: String,
    pub seconds_on_one_core: f64,
    pub seconds: f64,
    pub efficiency: f64,
}

/// Pictures as `faafo create` draws them, each on one core.
#[derive(Debug, Serialize)]
pub struct MixReport {
    pub tasks: usize,
    /// Through queue, workers and store.
    pub tasks_per_second: f64,
    /// Rendered alone: a farm of one worker keeps the other cores busy with its store.
    pub renders_per_second_on_one_core: f64,
    pub renders_per_second: f64,
    pub efficiency: f64,
}

fn spec(size: u32, iterations: u32, half: (f64, f64), c: (f64, f64)) -> FractalSpec {
    FractalSpec {
        width: size,
        height: size,
        iterations,
        plane: Plane {
            xa: -half.0,
            xb: half.0,
            ya: -half.1,
            yb: half.1,
        },
        c: Constant { re: c.0, im: c.1 },
        palette: Palette::Classic,
    }
}

const WHOLE: (f64, f64) = (2.0, 1.5);
const MIDDLE: (f64, f64) = (0.2, 0.2);
const DUST: (f64, f64) = (-0.8, 0.156);
const DISKS: (f64, f64) = (-0.1, 0.65);
const CALM: (f64, f64) = (-0.1, 0.1);

/// Measures everything; `tell` hears what is being measured. `mix` are the tasks of the mix.
pub fn run(effort: Effort, mix: &[Draft], tell: impl Fn(&str)) -> anyhow::Result<Report> {
    let mut paths = Vec::new();
    for path in Path::available() {
        tell(&format!("one core, {path}"));
        paths.push(one_core(effort, path)?);
    }
    tell("shortcuts");
    let shortcuts = vec![
        // A power of two and one: then the pixels lie exactly opposite to each other.
        shortcut(effort, "symmetry", &spec(effort.side + 1, 512, WHOLE, DUST))?,
        shortcut(
            effort,
            "cycles",
            &spec(effort.side / 8, 100_000, MIDDLE, CALM),
        )?,
    ];
    tell("PNG");
    let png_share = png_share(effort)?;
    tell("a large picture");
    let large = large(effort)?;
    tell("the default mix");
    let mix = run_mix(effort, mix)?;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        processor: processor(),
        cores: cores(),
        paths,
        shortcuts,
        png_share,
        large,
        mix,
    })
}

fn one_core(effort: Effort, path: Path) -> anyhow::Result<PathReport> {
    let sets = [
        ("c = -0.8+0.156i", spec(effort.side, 512, WHOLE, DUST)),
        ("c = -0.1+0.65i", spec(effort.side, 512, WHOLE, DISKS)),
        ("nothing escapes", spec(effort.side, 512, MIDDLE, CALM)),
    ];
    let mut limits = Vec::new();
    let mut seconds = vec![Vec::new(); sets.len()];
    let mut picture = blank(&sets[0].1);
    let mut iterations = Vec::new();
    for (_, spec) in &sets {
        iterations.push(render::iterations(spec)?);
    }
    for _ in 0..effort.rounds {
        limits.push(path.limit(effort.limit_steps));
        for ((_, spec), seconds) in sets.iter().zip(&mut seconds) {
            seconds.push(timed(|| render::indices(spec, path, NONE, &mut picture))?);
        }
    }
    let limit = median(limits);
    let sets = sets.iter().zip(iterations).zip(seconds);
    let sets = sets.map(|(((set, _), iterations), seconds)| {
        let seconds = median(seconds);
        let rate = iterations as f64 / seconds / 1e9;
        SetReport {
            set,
            iterations,
            seconds,
            rate,
            share_of_limit: rate / limit,
        }
    });
    Ok(PathReport {
        path: path.to_string(),
        limit,
        sets: sets.collect(),
    })
}

fn shortcut(
    effort: Effort,
    shortcut: &'static str,
    spec: &FractalSpec,
) -> anyhow::Result<ShortcutReport> {
    let mut picture = blank(spec);
    let mut measure =
        |shortcuts| timed(|| render::indices(spec, Path::chosen(), shortcuts, &mut picture));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        with.push(measure(Shortcuts::default())?);
        without.push(measure(NONE)?);
    }
    let (seconds, seconds_without) = (median(with), median(without));
    Ok(ShortcutReport {
        shortcut,
        picture: describe(spec),
        seconds_without,
        seconds,
        times_faster: seconds_without / seconds,
    })
}

fn png_share(effort: Effort) -> anyhow::Result<f64> {
    let spec = spec(effort.side, 512, WHOLE, DUST);
    let mut picture = blank(&spec);
    let (mut all, mut indices) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds * 2 {
        all.push(timed(|| render::render_to_vec(&spec, &Control::default()))?);
        indices.push(timed(|| {
            render::indices(&spec, Path::chosen(), Shortcuts::default(), &mut picture)
        })?);
    }
    Ok((1.0 - median(indices) / median(all)).max(0.0))
}

fn large(effort: Effort) -> anyhow::Result<LargeReport> {
    let spec = spec(effort.large, 512, WHOLE, DUST);
    let (one, all) = (pool(1)?, pool(cores())?);
    let (mut on_one, mut on_all) = (Vec::new(), Vec::new());
    let render = || render::render(&spec, &Control::default(), std::io::sink());
    for _ in 0..effort.rounds {
        on_one.push(one.install(|| timed(render))?);
        on_all.push(all.install(|| timed(render))?);
    }
    let (seconds_on_one_core, seconds) = (median(on_one), median(on_all));
    Ok(LargeReport {
        picture: describe(&spec),
        seconds_on_one_core,
        seconds,
        efficiency: seconds_on_one_core / seconds / cores() as f64,
    })
}

fn run_mix(effort: Effort, drafts: &[Draft]) -> anyhow::Result<MixReport> {
    let runtime = tokio::runtime::Runtime::new()?;
    let specs = drafts.iter().zip(0..).map(|(draft, number)| {
        let draw = |plane, n| constant::draw(Uuid::from_u128(number), plane, n);
        Limits::default().accept(draft, draw)
    });
    let specs = specs.collect::<Result<Vec<_>, _>>()?;
    let (one, all) = (pool(1)?, pool(cores())?);
    let (mut farm, mut on_one, mut on_all) = (Vec::new(), Vec::new(), Vec::new());
    let render = || {
        specs
            .par_iter()
            .with_max_len(1)
            .try_for_each(|spec| render::render(spec, &Control::default(), std::io::sink()))
    };
    for _ in 0..effort.rounds {
        farm.push(runtime.block_on(through_a_farm(drafts))?);
        on_one.push(one.install(|| timed(render))?);
        on_all.push(all.install(|| timed(render))?);
    }
    let (on_one, on_all) = (median(on_one), median(on_all));
    let tasks = drafts.len();
    Ok(MixReport {
        tasks,
        tasks_per_second: tasks as f64 / median(farm),
        renders_per_second_on_one_core: tasks as f64 / on_one,
        renders_per_second: tasks as f64 / on_all,
        efficiency: on_one / on_all / cores() as f64,
    })
}

fn pool(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new().num_threads(threads).build()
}

/// Seconds from the first task's acceptance to the last one's image in the store.
async fn through_a_farm(drafts: &[Draft]) -> anyhow::Result<f64> {
    let folder = tempfile::TempDir::new().context("cannot make a folder for the farm")?;
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.path())?);
    let farm = Arc::new(Farm::open(store, LocalQueue::start, Policy::default()).await?);
    let workers = Workers::start(cores(), "bench", render::render_to_vec, &farm);
    let mut counts = farm.counts();
    let begun = Instant::now();
    for (number, draft) in drafts.iter().enumerate() {
        // The constant is drawn by the uuid: the same tasks each time.
        farm.submit(Uuid::from_u128(number as u128), draft).await?;
    }
    counts
        .wait_for(|counts| counts.done == drafts.len() as u64)
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    workers.drain(Duration::from_secs(1)).await;
    Ok(seconds)
}

fn blank(spec: &FractalSpec) -> Vec<u8> {
    vec![0; spec.width as usize * spec.height as usize]
}

fn describe(spec: &FractalSpec) -> String {
    let FractalSpec {
        width,
        height,
        iterations,
        ..
    } = spec;
    format!("{width}x{height}, {iterations} iterations")
}

/// Seconds that some work takes.
fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<f64, E> {
    let begun = Instant::now();
    let result = std::hint::black_box(work()?);
    let seconds = begun.elapsed().as_secs_f64();
    drop(result);
    Ok(seconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor's name, as Linux has it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = info.lines();
    let name = lines.find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.into())
}
