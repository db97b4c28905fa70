//! The continuous escape count in whole numbers, so that a pixel costs a look into a small table.
//!
//! [`escape::count`] takes two logarithms of the square distance. The table holds what comes of
//! them for 32 distances between each power of two and the next, in 256ths of a step. It is made
//! with `libm`, written in Rust: a C library's logarithms differ in the last bit from one to the next.

use std::sync::LazyLock;

use crate::render::escape::{self, FAR};

/// Parts of a step.
pub const UNIT: u32 = 256;

/// Bits of a double below those that the table is looked up with: the exponent, and as much of the
/// mantissa as it takes for two neighbours to differ by about a unit.
const SHIFT: u32 = 52 - 5;

/// Where the table begins: at the least square distance of an escaped point.
const FIRST: u64 = FAR.to_bits() >> SHIFT;

/// From a square distance of 2^16 to 2^48. A point that was within [`FAR`] a step ago is hardly ever
/// beyond 2^33; what is further away, as only start points are, counts as if it were there.
const ENTRIES: usize = 32 << 5;

pub struct Counts([u16; ENTRIES]);

impl Counts {
    pub fn table() -> &'static Counts {
        static TABLE: LazyLock<Counts> = LazyLock::new(|| {
            Counts(std::array::from_fn(|entry| {
                let from = f64::from_bits((FIRST + entry as u64) << SHIFT);
                let to = f64::from_bits((FIRST + entry as u64 + 1) << SHIFT);
                let count = escape::count(1, (from + to) / 2.0).max(1.0);
                (count * f64::from(UNIT) + 0.5) as u16
            }))
        });
        &TABLE
    }

    /// One more than [`escape::count`], in units; at least a whole step, so that what starts far
    /// beyond counts as 0.
    #[inline]
    pub fn of(&self, step: u32, distance: f64) -> u64 {
        let entry = (distance.to_bits() >> SHIFT).saturating_sub(FIRST);
        let part = self.0[entry.min(ENTRIES as u64 - 1) as usize];
        u64::from(step) * u64::from(UNIT) + u64::from(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_about_as_exact_as_its_unit() {
        let counts = Counts::table();
        let mut distance = FAR.next_up();
        while distance < 2f64.powi(48) {
            for step in [0, 1, 17, 999_999] {
                let found = counts.of(step, distance) as f64 / f64::from(UNIT) - 1.0;
                let exact = escape::count(step, distance).max(f64::from(step));
                let error = (found - exact).abs() * f64::from(UNIT);
                assert!(error < 1.1, "{step} {distance}: {error}");
            }
            distance *= 1.003;
        }
    }

    #[test]
    fn from_one_step_to_the_next_there_is_no_jump() {
        let counts = Counts::table();
        let (near, far) = (FAR.next_up(), FAR * FAR);
        assert!(counts.of(7, near).abs_diff(counts.of(8, far)) <= 1);
    }

    #[test]
    fn whatever_the_distance_there_is_a_count() {
        let counts = Counts::table();
        let most = counts.of(3, FAR.next_up());
        for odd in [0.0, -1.0, f64::INFINITY, f64::MAX, f64::NAN, -f64::NAN] {
            assert!(counts.of(3, odd) <= most, "{odd}");
        }
        assert!(counts.of(u32::MAX, f64::INFINITY) > u64::from(u32::MAX));
    }
}
