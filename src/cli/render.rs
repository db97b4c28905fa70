//! `faafo render`: a picture straight to a file, without a farm.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use uuid::Uuid;

use super::file::NewFile;
use super::spec::SpecArgs;
use super::{Done, Failure, output, progress};
use crate::fractal::{FractalSpec, Limits};
use crate::render::{self, Cancel, Control, RenderError, constant};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo render -o random.png
  faafo render --width 3840 --height 2160 --iterations 1000 --c-re=-0.8 --c-im=0.156 -o wallpaper.png
  faafo render --c-re=0.285 --c-im=0.01 --palette inferno -o inferno.png
  faafo render -o - | display")]
pub struct RenderArgs {
    /// Where to put it; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    // Last: its headings go for whatever follows.
    #[command(flatten)]
    spec: SpecArgs,
}

pub async fn run(args: RenderArgs) -> Done {
    let draft = args.spec.draw(&mut rand::rng())?;
    let uuid = Uuid::new_v4();
    let spec = Limits::default()
        .accept(&draft, |plane, n| constant::draw(uuid, plane, n))
        .map_err(|refusal| Failure::Usage(refusal.to_string()))?;
    let cancel = CancelOnDrop(Cancel::default());
    let path = &args.output;
    if path == Path::new("-") {
        return Ok(write(spec, &cancel, std::io::stdout()).await.map(drop)?);
    }
    let begun = Instant::now();
    let file = write(spec, &cancel, NewFile::create(path)?).await;
    file.with_context(|| format!("cannot write {}", path.display()))?
        .complete()?;
    let seconds = begun.elapsed().as_secs_f64();
    let FractalSpec {
        width, height, c, ..
    } = spec;
    eprintln!(
        "{width} x {height} pixels, c = {} {:+}i, in {seconds:.3} s",
        c.re, c.im
    );
    output::print(&format!("{}\n", path.display()))
}

/// Stops the render when nobody waits for it any more, as after Ctrl-C.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Renders on another thread, so that Ctrl-C is heard meanwhile and people see how far it is, and
/// returns what was written to.
async fn write<W: Write + Send + 'static>(
    spec: FractalSpec,
    cancel: &CancelOnDrop,
    out: W,
) -> anyhow::Result<W> {
    let control = Control::new(cancel.0.clone());
    let seen = control.progress.clone();
    let render = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        match render::render(&spec, &control, &mut out) {
            // As itself, so that a reader that went away is told from a full disk.
            Err(RenderError::Write(error)) => return Err(error.into()),
            other => other?,
        }
        Ok(out.into_inner().map_err(|error| error.into_error())?)
    });
    tokio::select! {
        rendered = render => rendered?,
        never = progress::show(seen, spec) => match never {},
    }
}
