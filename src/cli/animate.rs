//! `faafo animate`: have the farm render an animation, and fetch it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::StatusCode;

use super::client::{self, Client, Refused, WriteArgs, failure, is_status};
use super::file::NewFile;
use super::get::copy;
use super::progress::{PICTURE, bar, steps};
use super::spec::{finite, palette};
use super::{Done, Failure, output};
use crate::animation::{AnimationId, MOST_FPS, MOST_FRAMES};
use crate::fractal::{Constant, Palette};
use crate::wire::animation::{AnimationDoc, AnimationStatus, NewAnimationDoc};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo animate --from-c=-0.8,0.156 --to-c=-0.4,0.6 -o path.png
  faafo animate --from-c=0.285,0.01 --around=0.27,0 --frames 120 --palette magma -o loop.png
  faafo animate --from-c=-0.8,0.156 --zoom 1000 --at 0.3241,-0.1165 --frames 200 -o zoom.png
  faafo animate --from-c=-0.8,0.156 --to-c=-0.7,0.2 --width 1920 --height 1080 --zip -o frames.zip

The result is a PNG file that moves (APNG), as browsers show it. Its frames are fractals of the farm.
Ctrl-C cancels them all.")]
pub struct AnimateArgs {
    /// Constant c of the first frame
    #[arg(long, value_name = "RE,IM", value_parser = point, allow_hyphen_values = true)]
    from_c: Constant,
    /// c of the last frame: it goes straight there
    #[arg(long, value_name = "RE,IM", value_parser = point, allow_hyphen_values = true)]
    to_c: Option<Constant>,
    /// Instead, c goes once round this point; the last frame leads to the first one again
    #[arg(long, value_name = "RE,IM", value_parser = point, allow_hyphen_values = true, conflicts_with = "to_c")]
    around: Option<Constant>,
    /// The last frame shows so many times less of the plane than the first one
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    zoom: Option<f64>,
    /// Middle of the last frame [default: that of the first one]
    #[arg(long, value_name = "RE,IM", value_parser = point, allow_hyphen_values = true)]
    at: Option<Constant>,

    /// Number of frames
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_FRAMES)))]
    frames: u32,
    /// Frames a second
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_FPS)))]
    fps: u32,

    /// Pixels in a row
    #[arg(long, value_name = "PIXELS", default_value_t = 640)]
    width: u32,
    /// Rows of pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 480)]
    height: u32,
    /// Most escape steps a pixel is followed for
    #[arg(long, value_name = "N", default_value_t = 256)]
    iterations: u32,
    /// Middle of the first frame
    #[arg(long, value_name = "RE,IM", value_parser = point, allow_hyphen_values = true, default_value = "0,0")]
    centre: Constant,
    /// What the first frame shows of the plane, along its shorter side
    #[arg(long, value_name = "LENGTH", value_parser = factor, default_value = "3")]
    span: f64,
    /// Colours: the original's, or smooth ones
    #[arg(long, value_name = "NAME", default_value_t = Palette::Twilight, value_parser = palette())]
    palette: Palette,

    /// A ZIP file of numbered pictures instead of one that moves
    #[arg(long)]
    zip: bool,
    /// Where to put it; `-` is standard output [default: ID.png or ID.zip]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    client: WriteArgs,
}

/// A number of the plane such as `-0.8,0.156`.
fn point(text: &str) -> Result<Constant, String> {
    let (re, im) = text.split_once(',').unwrap_or((text, ""));
    match (finite(re.trim()), finite(im.trim())) {
        (Ok(re), Ok(im)) => Ok(Constant { re, im }),
        _ => Err("must be two numbers such as -0.8,0.156".into()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let value = finite(text)?;
    (value > 0.0)
        .then_some(value)
        .ok_or_else(|| "must be more than 0".into())
}

/// How often the farm is asked how far it is.
const PACE: Duration = Duration::from_millis(250);

/// After Ctrl-C an answer that is on its way is waited for, so that what it accepts can be cancelled.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Runs the command; Ctrl-C cancels what it has asked for, and pressed again gives that up.
pub async fn run(args: AnimateArgs) -> Done {
    let client = Client::writing(&args.client)?;
    let id = AnimationId::new(args.frames, args.fps);
    let wanted = args.document(id)?;
    // Before the farm does anything for a file that cannot be written.
    let path = args.path(id);
    let mut target = Target::open(&path)?;

    let mut accepted = pin!(create(&client, id, &wanted));
    let created = tokio::select! {
        created = &mut accepted => created,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            let _ = tokio::time::timeout(LAST_WORD, accepted).await;
            return cancel(&client, id).await;
        }
    };
    created.map_err(failure)?;
    let work = async {
        wait(&client, id).await?;
        let kind = if args.zip { "zip" } else { "png" };
        let file = client.animation_file(id, kind).await?;
        copy(&client, file, &mut target)
            .await
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok::<_, Failure>(())
    };
    tokio::select! {
        done = work => done?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            return cancel(&client, id).await;
        }
    }
    if let Target::File(file) = target {
        file.complete()?;
        output::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

impl AnimateArgs {
    fn document(&self, id: AnimationId) -> Result<NewAnimationDoc, Failure> {
        if self.to_c.is_none() && self.around.is_none() && self.zoom.is_none() && self.at.is_none()
        {
            let message = "say where it goes: --to-c, --around, or --zoom";
            return Err(Failure::Usage(message.into()));
        }
        let (xa, xb, ya, yb) = self.part(self.centre, self.span);
        let span = self.span / self.zoom.unwrap_or(1.0);
        let to = self.part(self.at.unwrap_or(self.centre), span);
        Ok(NewAnimationDoc {
            id: Some(id.uuid()),
            frames: i64::from(self.frames),
            fps: Some(i64::from(self.fps)),
            width: i64::from(self.width),
            height: i64::from(self.height),
            iterations: i64::from(self.iterations),
            xa,
            xb,
            ya,
            yb,
            c_re: self.from_c.re,
            c_im: self.from_c.im,
            palette: self.palette,
            to_c_re: self.to_c.map(|c| c.re),
            to_c_im: self.to_c.map(|c| c.im),
            around_re: self.around.map(|c| c.re),
            around_im: self.around.map(|c| c.im),
            to_xa: Some(to.0),
            to_xb: Some(to.1),
            to_ya: Some(to.2),
            to_yb: Some(to.3),
        })
    }

    /// The part of the plane around a point that has this length along the frame's shorter side.
    fn part(&self, centre: Constant, span: f64) -> (f64, f64, f64, f64) {
        let short = f64::from(self.width.min(self.height).max(1));
        let half = |pixels: u32| f64::from(pixels) * (span / short) / 2.0;
        let (x, y) = (half(self.width), half(self.height));
        (centre.re - x, centre.re + x, centre.im - y, centre.im + y)
    }

    fn path(&self, id: AnimationId) -> PathBuf {
        let kind = if self.zip { "zip" } else { "png" };
        let default = || PathBuf::from(format!("{}.{kind}", id.uuid()));
        self.output.clone().unwrap_or_else(default)
    }
}

enum Target {
    File(NewFile),
    Out(std::io::Stdout),
}

impl Target {
    fn open(path: &Path) -> anyhow::Result<Target> {
        match path == Path::new("-") {
            true => Ok(Target::Out(std::io::stdout())),
            false => Ok(Target::File(NewFile::create(path)?)),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Target::File(file) => file.write(bytes),
            Target::Out(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Target::File(file) => file.flush(),
            Target::Out(out) => out.flush(),
        }
    }
}

/// Posts, again where it makes sense. The id is ours: if an answer got lost on its way, the farm has
/// the frames already, and that is as good.
async fn create(
    client: &Client,
    id: AnimationId,
    wanted: &NewAnimationDoc,
) -> anyhow::Result<AnimationDoc> {
    let again = AtomicBool::new(false);
    let created = client::patiently(async || {
        let created = client.animate(wanted).await;
        match &created {
            Err(error) if again.swap(true, Ordering::Relaxed) && is_taken(error) => {
                client.animation(id).await
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

/// Waits until all frames are done.
async fn wait(client: &Client, id: AnimationId) -> Done {
    let frames = u64::from(id.frames());
    let template = "rendering {wide_bar} {msg} {eta}";
    let bar = bar(frames * PICTURE, template, "");
    loop {
        let now = client::patiently(async || client.animation(id).await);
        let now = now.await.map_err(|error| match gone(&error) {
            true => Failure::Failed(anyhow!("somebody has deleted the animation")),
            false => error.into(),
        })?;
        bar.set_message(format!("{}/{frames}", now.counts.done));
        bar.set_position(frames * steps(now.progress));
        let why = match now.status {
            AnimationStatus::Done => return Ok(()),
            AnimationStatus::Queued | AnimationStatus::Running => {
                tokio::time::sleep(PACE).await;
                continue;
            }
            AnimationStatus::Failed => format!(
                "{} of {frames} frames failed: {}; `faafo list --status failed` shows them, `faafo \
                 retry UUID` tries again, and then the farm has the animation at {}",
                now.counts.failed,
                now.error.unwrap_or_default(),
                client.address(&format!("/v1/animations/{}.png", id.uuid())),
            ),
            AnimationStatus::Incomplete => "somebody has deleted some of the frames".into(),
        };
        return Err(Failure::Failed(anyhow!(why)));
    }
}

fn gone(error: &anyhow::Error) -> bool {
    is_status(error, StatusCode::NOT_FOUND)
}

/// Has the farm drop all that it was asked for.
async fn cancel(client: &Client, id: AnimationId) -> Done {
    eprintln!("faafo: cancelling");
    let cancelled = client::patiently(async || match client.cancel(id).await {
        Err(error) if gone(&error) => Ok(()),
        cancelled => cancelled,
    });
    tokio::select! {
        cancelled = cancelled => cancelled?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Err(Failure::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_two_numbers() {
        let c = point("-0.8, 0.156").unwrap();
        assert_eq!((c.re, c.im), (-0.8, 0.156));
        for bad in ["", "1", "1,", "a,b", "1,2,3", "nan,0"] {
            assert!(point(bad).is_err(), "{bad}");
        }
    }
}
