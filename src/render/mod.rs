//! A [`FractalSpec`] in, a PNG out. Pure and deterministic: the same spec gives the same bytes on
//! every machine and with any number of threads.
//!
//! ```text
//!   spec ──grid──> start points ──escape──> steps ──classic──> palette indices ──png──> bytes
//!                  (band of rows, shared out over the cores)        (one band after another)
//! ```
//!
//! Only one band of palette indices is in memory at a time, whatever the size of the picture.

mod canvas;
mod classic;
pub mod constant;
mod control;
mod cycle;
mod escape;
mod grid;
mod kernel;
mod limit;
mod path;
mod png;
mod points;
mod sieve;
mod simd;

use std::io::Write;

use rayon::prelude::*;

use crate::fractal::FractalSpec;
use canvas::{Classic, Steps};
pub use control::{Cancel, Control, Progress};
use grid::Grid;
pub use path::Path;
use sieve::Run;

/// Palette indices in one band: enough to keep every core busy, little beside the farm's memory.
const BAND_PIXELS: usize = 1 << 20;

/// Palette indices that one core takes at a time. Smaller pieces even out the load between the
/// cores; below this the filling and emptying of the lanes at a piece's ends begins to show.
const PIECE_PIXELS: usize = 1 << 16;

/// Most iterations in a piece, and the pixels it may have in any case: a piece is counted once it is
/// finished, and of pixels that stay it would take seconds.
const PIECE_WORK: usize = 1 << 30;
const PIECE_PIXELS_LEAST: usize = 1 << 10;

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("the render was cancelled")]
    Cancelled,
    #[error("the image cannot be written")]
    Write(#[from] std::io::Error),
}

/// Renders `spec` as an indexed PNG into `out`, band by band.
///
/// Runs on rayon's current pool, so that one picture uses all cores and several share them.
pub fn render(spec: &FractalSpec, control: &Control, out: impl Write) -> Result<(), RenderError> {
    let grid = Grid::new(spec);
    let width = spec.width as usize;
    let band_rows = (BAND_PIXELS / width).clamp(1, spec.height as usize);
    let mut band = vec![0u8; band_rows * width];
    let size = (spec.width, spec.height);
    png::indexed(out, size, &classic::palette(), |png| {
        for first in (0..spec.height).step_by(band_rows) {
            let rows = band_rows.min((spec.height - first) as usize);
            let band = &mut band[..rows * width];
            steps(Path::chosen(), &grid, first, band, control)?;
            png.write_all(band)?;
        }
        Ok(())
    })
}

/// Fills `band`, whole rows from row `first` on, with palette indices.
fn steps(
    path: Path,
    grid: &Grid,
    first: u32,
    band: &mut [u8],
    control: &Control,
) -> Result<(), RenderError> {
    let width = grid.width();
    let piece_rows = (piece_pixels(grid.iterations) / width).max(1);
    band.par_chunks_mut(piece_rows * width)
        .enumerate()
        .try_for_each(|(piece, indices)| {
            let run = Run {
                grid,
                row: first + (piece * piece_rows) as u32,
                cycle: cycle::length(grid.c, grid.iterations),
                cancel: &control.cancel,
            };
            // Where pixels take no steps at all, the kernel does not ask.
            if control.cancel.is_cancelled() {
                return Err(RenderError::Cancelled);
            }
            let pixels = indices.len();
            path.follow(&run, pixels, &mut Classic::new(indices, grid.iterations))?;
            control.progress.add(pixels);
            Ok(())
        })
}

/// Pixels of a piece of a picture with so many iterations, but that a piece is of whole rows.
fn piece_pixels(iterations: u32) -> usize {
    (PIECE_WORK / iterations as usize).clamp(PIECE_PIXELS_LEAST, PIECE_PIXELS)
}

/// For benchmarks: how many iterations a picture takes in all, found by `path`.
pub fn steps_of(path: Path, spec: &FractalSpec, cancel: &Cancel) -> Result<u64, RenderError> {
    let grid = Grid::new(spec);
    let width = spec.width as usize;
    let rows = (PIECE_PIXELS / width).max(1);
    let mut total = 0;
    let mut steps = vec![0; rows * width];
    for row in (0..spec.height).step_by(rows) {
        let pixels = rows.min((spec.height - row) as usize) * width;
        let run = Run {
            grid: &grid,
            row,
            cycle: None,
            cancel,
        };
        let mut canvas = Steps {
            steps: &mut steps[..pixels],
            iterations: spec.iterations,
        };
        path.follow(&run, pixels, &mut canvas)?;
        total += steps[..pixels]
            .iter()
            .map(|steps| u64::from(*steps))
            .sum::<u64>();
    }
    Ok(total)
}

/// [`render`] into memory.
pub fn render_to_vec(spec: &FractalSpec, control: &Control) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::new();
    render(spec, control, &mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

#[cfg(test)]
mod tests;
