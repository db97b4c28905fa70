//! What becomes of a pixel once its point has escaped, and when a point counts as escaped.

use super::classic;
use super::escape::{self, DOUBT, FAR};
use super::grid::Grid;
use super::kernel::Seen;
use super::palette::Shades;
use super::simd::Lanes;

/// Takes what the sieve finds out about the pixels of a run.
///
/// A pixel may be painted several times: the last time counts. Pixels beyond the run are ignored.
pub trait Canvas {
    /// With a square distance below this a point is certainly inside,
    const INSIDE_BELOW: f64;
    /// and with this or more certainly outside. Between the two the definition decides.
    const OUTSIDE_FROM: f64;

    /// The point was outside for the first time at `step`, at that square distance.
    fn escaped(&mut self, pixel: usize, step: u32, distance: f64);

    /// The same for a whole block of pixels that follow one another, after fewer than 32 steps.
    #[inline(always)]
    fn block_escaped<L: Lanes, const V: usize>(&mut self, pixel: usize, seen: &Seen<L, V>) {
        seen.each(|lane, step, distance| self.escaped(pixel + lane, step, distance));
    }

    /// The point was inside at each step.
    fn stayed(&mut self, pixel: usize);

    /// The point begins at `(r, q)`, and what becomes of it shall be found by the definition.
    fn define(&mut self, pixel: usize, start: (f64, f64), grid: &Grid);
}

/// Palette indices of the original's colours.
pub struct Classic<'a> {
    indices: &'a mut [u8],
    stayed: u8,
}

impl<'a> Classic<'a> {
    pub fn new(indices: &'a mut [u8], iterations: u32) -> Self {
        Classic {
            indices,
            stayed: classic::index(iterations - 1),
        }
    }
}

impl Canvas for Classic<'_> {
    const INSIDE_BELOW: f64 = 4.0 - DOUBT;
    const OUTSIDE_FROM: f64 = 4.0 + DOUBT;

    #[inline(always)]
    fn escaped(&mut self, pixel: usize, step: u32, _: f64) {
        if let Some(index) = self.indices.get_mut(pixel) {
            *index = classic::index(step);
        }
    }

    #[inline(always)]
    fn block_escaped<L: Lanes, const V: usize>(&mut self, pixel: usize, seen: &Seen<L, V>) {
        let Some(indices) = self.indices.get_mut(pixel..pixel + V * L::N) else {
            return;
        };
        for v in 0..V {
            // So few steps are their own index.
            let steps = L::small_counts(seen.steps[v]);
            indices[v * L::N..][..L::N].copy_from_slice(&steps[..L::N]);
        }
    }

    #[inline(always)]
    fn stayed(&mut self, pixel: usize) {
        if let Some(index) = self.indices.get_mut(pixel) {
            *index = self.stayed;
        }
    }

    fn define(&mut self, pixel: usize, (r, q): (f64, f64), grid: &Grid) {
        self.escaped(pixel, escape::step(r, q, grid.c, grid.iterations), 0.0);
    }
}

/// Palette indices of a smooth palette.
pub struct Smooth<'a> {
    indices: &'a mut [u8],
    shades: &'a Shades,
}

impl<'a> Smooth<'a> {
    pub fn new(indices: &'a mut [u8], shades: &'a Shades) -> Self {
        Smooth { indices, shades }
    }
}

impl Canvas for Smooth<'_> {
    // Here the rounded distance is what the definition goes by: there is no doubt.
    const INSIDE_BELOW: f64 = FAR.next_up();
    const OUTSIDE_FROM: f64 = FAR.next_up();

    #[inline(always)]
    fn escaped(&mut self, pixel: usize, step: u32, distance: f64) {
        if let Some(index) = self.indices.get_mut(pixel) {
            *index = self.shades.shade(step, distance);
        }
    }

    #[inline(always)]
    fn stayed(&mut self, pixel: usize) {
        if let Some(index) = self.indices.get_mut(pixel) {
            *index = Shades::INSIDE;
        }
    }

    fn define(&mut self, pixel: usize, (r, q): (f64, f64), grid: &Grid) {
        match escape::passage(r, q, grid.c, grid.iterations) {
            Some((step, distance)) => self.escaped(pixel, step, distance),
            None => self.stayed(pixel),
        }
    }
}

/// Escape steps as they are, to count them.
pub struct Steps<'a> {
    steps: &'a mut [u32],
    iterations: u32,
}

impl<'a> Steps<'a> {
    pub fn new(steps: &'a mut [u32], iterations: u32) -> Self {
        Steps { steps, iterations }
    }
}

impl Canvas for Steps<'_> {
    const INSIDE_BELOW: f64 = Classic::INSIDE_BELOW;
    const OUTSIDE_FROM: f64 = Classic::OUTSIDE_FROM;

    #[inline(always)]
    fn escaped(&mut self, pixel: usize, step: u32, _: f64) {
        if let Some(found) = self.steps.get_mut(pixel) {
            *found = step;
        }
    }

    #[inline(always)]
    fn stayed(&mut self, pixel: usize) {
        self.escaped(pixel, self.iterations - 1, 0.0);
    }

    fn define(&mut self, pixel: usize, (r, q): (f64, f64), grid: &Grid) {
        self.escaped(pixel, escape::step(r, q, grid.c, grid.iterations), 0.0);
    }
}
