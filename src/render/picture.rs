//! A whole picture: shared out over the cores in pieces, and finished in bands from top to bottom.

use rayon::prelude::*;

use super::canvas::{Classic, Smooth, Steps};
use super::control::{Cancel, Control};
use super::grid::Grid;
use super::palette::Shades;
use super::path::Path;
use super::sieve::Run;
use super::{RenderError, classic, cycle};
use crate::fractal::FractalSpec;

/// Pixels that one core takes at a time. Smaller pieces even out the load between the cores; below
/// this the filling and emptying of the pools at a piece's ends begins to show.
const PIECE_PIXELS: usize = 1 << 16;

/// Most iterations in a piece, and the pixels it may have in any case: a piece is counted once it is
/// finished, and of pixels that stay it would take seconds.
const PIECE_WORK: usize = 1 << 30;
const PIECE_PIXELS_LEAST: usize = 1 << 10;

/// Most iterations of a picture that stays on one core: a tenth of a second, if no pixel escapes.
const SMALL: u64 = 1 << 29;

/// Most bytes to keep for the sake of symmetry.
const HALF_AT_MOST: usize = 1 << 26;

/// What may be left out because it is known.
#[derive(Clone, Copy, Debug)]
pub struct Shortcuts {
    /// `f(-z) = f(z)`: where the pixels lie so that each has its opposite, half of them will do.
    pub symmetry: bool,
    /// A point that comes back to where it was never escapes.
    pub cycles: bool,
}

impl Default for Shortcuts {
    fn default() -> Self {
        Shortcuts {
            symmetry: true,
            cycles: true,
        }
    }
}

/// How a picture is going to be made.
pub struct Picture {
    grid: Grid,
    path: Path,
    /// `None`: the classic palette.
    shades: Option<Shades>,
    cycle: Option<u32>,
    /// Whether it is the same upside down.
    symmetric: bool,
    /// Whether it is worth more than one core.
    big: bool,
}

impl Picture {
    pub fn new(spec: &FractalSpec, path: Path, shortcuts: Shortcuts) -> Self {
        let grid = Grid::new(spec);
        let pixels = u64::from(spec.width) * u64::from(spec.height);
        let half = grid.width() * spec.height.div_ceil(2) as usize;
        let cycle = cycle::length(spec.c, spec.iterations);
        Picture {
            shades: Shades::new(spec.palette, spec.iterations),
            cycle: cycle.filter(|_| shortcuts.cycles),
            symmetric: shortcuts.symmetry && half <= HALF_AT_MOST && grid.is_symmetric(),
            big: pixels * u64::from(spec.iterations) > SMALL,
            path,
            grid,
        }
    }

    pub fn on_one_core(self) -> Self {
        Picture { big: false, ..self }
    }

    /// How many cores the picture is worth.
    pub fn cores(&self) -> usize {
        if self.big {
            rayon::current_num_threads()
        } else {
            1
        }
    }

    /// The colours by palette index, three bytes each: red, green, blue.
    pub fn colours(&self) -> Vec<u8> {
        let shades = self.shades.as_ref();
        shades.map_or_else(classic::palette, Shades::colours)
    }

    /// Makes the picture from top to bottom, and gives each band of `rows` rows, or what is left
    /// below, to `done`: palette indices, row by row.
    pub fn bands(
        &self,
        rows: usize,
        control: &Control,
        mut done: impl FnMut(&[u8]) -> Result<(), RenderError> + Send,
    ) -> Result<(), RenderError> {
        let (width, height) = (self.grid.width(), self.grid.height() as usize);
        let half = if self.symmetric {
            let mut half = vec![0; height.div_ceil(2) * width];
            self.paint(0, &mut half, control)?;
            Some(half)
        } else {
            None
        };
        let paint = |first: usize, band: &mut Vec<u8>| {
            band.resize(rows.min(height - first) * width, 0);
            match &half {
                Some(half) => unfold(half, height * width, first * width, band, control),
                None => self.paint(first as u32, band, control)?,
            }
            if control.cancel.is_cancelled() {
                return Err(RenderError::Cancelled);
            }
            Ok(())
        };
        let (mut painted, mut next) = (Vec::new(), Vec::new());
        paint(0, &mut painted)?;
        for first in (rows..height).step_by(rows) {
            // At once: no core waits for the end of the one before it begins with the other.
            let (done, painting) = self.both(|| done(&painted), || paint(first, &mut next));
            done?;
            painting?;
            std::mem::swap(&mut painted, &mut next);
        }
        done(&painted)
    }

    fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        if self.big {
            rayon::join(one, other)
        } else {
            (one(), other())
        }
    }

    /// Fills `indices` with the whole picture.
    pub fn whole(&self, indices: &mut [u8], control: &Control) -> Result<(), RenderError> {
        if !self.symmetric {
            return self.paint(0, indices, control);
        }
        let pixels = indices.len();
        let half = self.grid.height().div_ceil(2) as usize * self.grid.width();
        let (upper, lower) = indices.split_at_mut(half);
        self.paint(0, upper, control)?;
        unfold(upper, pixels, half, lower, control);
        Ok(())
    }

    /// Fills `band`, whole rows from row `first` on.
    fn paint(&self, first: u32, band: &mut [u8], control: &Control) -> Result<(), RenderError> {
        let width = self.grid.width();
        let rows = (piece_pixels(self.grid.iterations) / width).max(1);
        let piece = |(piece, indices): (usize, &mut [u8])| {
            let row = first + (piece * rows) as u32;
            self.piece(row, indices, &control.cancel)?;
            control.progress.add(indices.len());
            Ok(())
        };
        if self.big {
            // Each piece for itself, or the last cores to work would have many in a row to do.
            let pieces = band.par_chunks_mut(rows * width).enumerate();
            pieces.with_max_len(1).try_for_each(piece)
        } else {
            let mut pieces = band.chunks_mut(rows * width);
            pieces.by_ref().enumerate().try_for_each(piece)
        }
    }

    fn piece(&self, row: u32, indices: &mut [u8], cancel: &Cancel) -> Result<(), RenderError> {
        // Where pixels take no steps at all, the sieve does not ask.
        if cancel.is_cancelled() {
            return Err(RenderError::Cancelled);
        }
        let (run, pixels) = (self.run(row, cancel), indices.len());
        match &self.shades {
            None => {
                let mut canvas = Classic::new(indices, self.grid.iterations);
                self.path.follow(&run, pixels, &mut canvas)
            }
            Some(shades) => {
                let mut canvas = Smooth::new(indices, shades);
                self.path.follow(&run, pixels, &mut canvas)
            }
        }
    }

    /// See [`super::iterations`].
    pub fn iterations(&self) -> Result<u64, RenderError> {
        let width = self.grid.width();
        let cancel = Cancel::default();
        let mut steps = vec![0; width];
        let mut sum = 0;
        for row in 0..self.grid.height() {
            let mut canvas = Steps::new(&mut steps, self.grid.iterations);
            self.path
                .follow(&self.run(row, &cancel), width, &mut canvas)?;
            sum += steps.iter().map(|steps| u64::from(*steps)).sum::<u64>();
        }
        Ok(sum)
    }

    fn run<'a>(&'a self, row: u32, cancel: &'a Cancel) -> Run<'a> {
        Run {
            grid: &self.grid,
            row,
            cycle: self.cycle,
            cancel,
        }
    }
}

/// Pixels of a piece of a picture with so many iterations, but that a piece is of whole rows.
fn piece_pixels(iterations: u32) -> usize {
    (PIECE_WORK / iterations as usize).clamp(PIECE_PIXELS_LEAST, PIECE_PIXELS)
}

/// Fills `band`, whose first pixel is `first` of a picture of `pixels`, from the upper half of it. The
/// pixel that lies opposite another comes as late from the end as that from the beginning.
fn unfold(half: &[u8], pixels: usize, first: usize, band: &mut [u8], control: &Control) {
    let upper = half.len().saturating_sub(first).min(band.len());
    let (above, below) = band.split_at_mut(upper);
    above.copy_from_slice(&half[first.min(half.len())..][..upper]);
    control.progress.add(below.len());
    let opposite = half[..pixels - first - upper].iter().rev();
    for (index, opposite) in below.iter_mut().zip(opposite) {
        *index = *opposite;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_smaller_where_pixels_may_take_long() {
        assert_eq!(piece_pixels(1), PIECE_PIXELS);
        assert_eq!(piece_pixels(512), PIECE_PIXELS);
        assert_eq!(piece_pixels(100_000), 10_737);
        assert_eq!(piece_pixels(1_000_000), 1_073);
    }
}
