//! Smooth palettes: from a point's escape to its colour, the same on every processor.
//!
//! ```text
//!   step and distance ──count──> 256ths of a step ──table──> shade 1..=255 ──colours──> RGB
//!                       table                                0: never escaped
//! ```
//!
//! The tables are made for a picture, in doubles and of operations that IEEE defines to the last
//! bit; what is done for each pixel is integer arithmetic.

mod colours;
mod count;

use crate::fractal::Palette;
use colours::Gradient;
use count::{Counts, UNIT};

/// Shades beside that of points that never escape.
const SHADES: u32 = 255;

/// Entries for the counts between a power of two and the next. Even where the shades change fastest,
/// neighbouring entries are a shade apart at most.
const OCTAVE: usize = 256;

/// As far as steps in 32 bits can reach.
const ENTRIES: usize = 33 * OCTAVE;

/// The palette indices of a picture with a smooth palette.
pub struct Shades {
    gradient: Gradient,
    counts: &'static Counts,
    by_count: [u8; ENTRIES],
}

impl Shades {
    /// Index of points that never escape: black.
    pub const INSIDE: u8 = 0;

    /// `None`: the palette is not smooth.
    pub fn new(palette: Palette, iterations: u32) -> Option<Shades> {
        let gradient = Gradient::of(palette)?;
        let most = u64::from(gradient.turns * SHADES);
        // A handful of iterations hardly leaves the beginning of the curve: no stretching by that.
        let whole = rise(f64::from(iterations.max(16)));
        let used = entry((u64::from(iterations) + 1) * u64::from(UNIT));
        let mut by_count = [0; ENTRIES];
        for (entry, shade) in by_count[..=used].iter_mut().enumerate() {
            let place = rise(middle(entry)) / whole * most as f64;
            *shade = ((place as u64).min(most - 1) % u64::from(SHADES)) as u8 + 1;
        }
        // No point of the picture comes to these.
        let last = by_count[used];
        by_count[used + 1..].fill(last);
        Some(Shades {
            gradient,
            counts: Counts::table(),
            by_count,
        })
    }

    /// Palette index of a point that was found beyond [`FAR`](super::escape::FAR) at `step`, where
    /// its square distance was `distance`.
    #[inline]
    pub fn shade(&self, step: u32, distance: f64) -> u8 {
        self.by_count[entry(self.counts.of(step, distance))]
    }

    /// The colours by index, three bytes each: red, green, blue; as many as the picture may use.
    pub fn colours(&self) -> Vec<u8> {
        let used = self.by_count.iter().copied().max().unwrap_or(0);
        // A palette that goes round would have its first colour twice.
        let whole = if self.gradient.turns > 1 {
            SHADES
        } else {
            SHADES - 1
        };
        let shades = (0..u32::from(used)).flat_map(|shade| self.gradient.at(shade, whole));
        [0; 3].into_iter().chain(shades).collect()
    }
}

/// How far up the palette a continuous escape count lies, from 0 to 1 for those without end.
///
/// Most of a picture has counts below 10, and its finest parts counts of a hundred or a thousand:
/// both must have shades enough. Logarithms would do, but have no end; this curve is about one from
/// 10 to 1000, and gentle beyond.
fn rise(count: f64) -> f64 {
    /// Counts of points at a distance of 5 or so, a picture's corners.
    const BEGIN: f64 = 2.5;
    /// Steps from there in which it rises by three tenths.
    const PACE: f64 = 8.0;
    1.0 - 1.0 / (1.0 + (count - BEGIN).max(0.0) / PACE).sqrt()
}

/// Where a count, as [`Counts::of`] has it, is found in the table: by its highest nine bits. It is
/// at least [`UNIT`], and so has that many.
#[inline]
fn entry(count: u64) -> usize {
    let octave = 63 - 8 - count.leading_zeros() as usize;
    // The highest of the nine bits is always set.
    ((octave << 8) + (count >> octave) as usize - OCTAVE).min(ENTRIES - 1)
}

/// The middle of the counts that an entry is for, as [`count`](super::escape::count) has them.
fn middle(entry: usize) -> f64 {
    let (octave, place) = (entry / OCTAVE, entry % OCTAVE);
    let lowest = ((OCTAVE + place) as u64) << octave;
    let width = 1u64 << octave;
    (lowest as f64 + width as f64 / 2.0) / f64::from(UNIT) - 1.0
}

#[cfg(test)]
mod tests;
