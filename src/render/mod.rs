//! A [`FractalSpec`] in, a PNG out. Pure and deterministic: the same spec gives the same bytes on
//! every machine and with any number of threads.
//!
//! ```text
//!   spec ──grid──> start points ──sieve──> steps, distances ──canvas──> palette indices ──png──> bytes
//!                  |<──────── a band of rows, shared out over the cores ────────>| |<─ segments ─>|
//! ```
//!
//! Only two bands of palette indices are in memory at a time, whatever the size of the picture, one
//! being painted and one being encoded; or half of them, where the other half is the same.

mod canvas;
mod classic;
pub mod constant;
mod control;
mod cycle;
mod escape;
mod grid;
mod kernel;
mod limit;
mod palette;
mod path;
mod picture;
mod png;
mod points;
mod repaint;
mod sieve;
mod simd;
pub mod tile;
mod zlib;

use std::io::Write;

use crate::fractal::FractalSpec;
pub use control::{Cancel, Control, Progress};
pub use path::Path;
use picture::Picture;
pub use picture::Shortcuts;
pub use repaint::{RepaintError, head, repaint};

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("the render was cancelled")]
    Cancelled,
    #[error("the image cannot be written")]
    Write(#[from] std::io::Error),
}

/// Renders `spec` as an indexed PNG into `out`, band by band.
///
/// A picture of some size is shared out over rayon's current pool; a small one, of which there are
/// many, stays on the thread that asks for it.
pub fn render(
    spec: &FractalSpec,
    control: &Control,
    out: impl Write + Send,
) -> Result<(), RenderError> {
    let picture = Picture::new(spec, Path::chosen(), Shortcuts::default());
    encode(spec, &picture, control, out)
}

fn encode(
    spec: &FractalSpec,
    picture: &Picture,
    control: &Control,
    out: impl Write + Send,
) -> Result<(), RenderError> {
    let size = (spec.width, spec.height);
    let mut png = png::Encoder::new(out, size, &picture.colours(), picture.cores())?;
    picture.bands(png.band_rows(), control, |band| Ok(png.rows(band)?))?;
    Ok(png.finish()?)
}

/// [`render`] into memory.
pub fn render_to_vec(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::new();
    render(spec, control, &mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// [`render_to_vec`] on the thread that asks, however large the picture is: the same bytes.
pub fn render_here(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    let picture = Picture::new(spec, Path::chosen(), Shortcuts::default()).on_one_core();
    let mut bytes = Vec::new();
    encode(spec, &picture, control, &mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Palette indices alone, row by row into `indices`, on one core: what the renderer is measured by.
/// There must be room for `width * height` of them.
pub fn indices(
    spec: &FractalSpec,
    path: Path,
    shortcuts: Shortcuts,
    indices: &mut [u8],
) -> Result<(), RenderError> {
    let picture = Picture::new(spec, path, shortcuts).on_one_core();
    picture.whole(indices, &Control::default())
}

/// How many steps the definition takes for the whole picture.
pub fn iterations(spec: &FractalSpec) -> Result<u64, RenderError> {
    Picture::new(spec, Path::chosen(), Shortcuts::default()).iterations()
}

#[cfg(test)]
mod tests;
