//! `faafo render`: a picture straight to a file, without a farm.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use uuid::Uuid;

use super::file::NewFile;
use super::spec::SpecArgs;
use super::{Done, Failure, output};
use crate::fractal::{FractalSpec, Limits};
use crate::render::{self, Cancel, RenderError, constant};

#[derive(Args)]
#[command(after_help = "\
Examples:
  faafo render -o random.png
  faafo render --width 3840 --height 2160 --iterations 1000 --c-re=-0.8 --c-im=0.156 -o wallpaper.png
  faafo render -o - | display")]
pub struct RenderArgs {
    #[command(flatten)]
    spec: SpecArgs,

    /// Where to put it; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: &RenderArgs) -> Done {
    let draft = args.spec.draw(&mut rand::rng())?;
    let uuid = Uuid::new_v4();
    let spec = Limits::default()
        .accept(&draft, |plane, n| constant::draw(uuid, plane, n))
        .map_err(|refusal| Failure::Usage(refusal.to_string()))?;
    let path = &args.output;
    if path == Path::new("-") {
        return Ok(write(&spec, std::io::stdout().lock())?);
    }
    let begun = Instant::now();
    let mut file = NewFile::create(path)?;
    write(&spec, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
    file.complete()?;
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

fn write(spec: &FractalSpec, out: impl Write) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    match render::render(spec, &Cancel::default(), &mut out) {
        // As itself, so that a reader that went away is told from a full disk.
        Err(RenderError::Write(error)) => return Err(error.into()),
        other => other?,
    }
    out.flush()?;
    Ok(())
}
