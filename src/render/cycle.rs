//! Points that never escape because they go round in circles.
//!
//! Where z² + c has a cycle that attracts, it attracts all points inside, 0 among them, and in doubles
//! they end up in it to the last bit: a point that comes back to exactly where it was never escapes.
//! How long the cycle is, 0 tells.

use super::escape;
use crate::fractal::Constant;

/// Longest cycle looked for.
const LONGEST: u32 = 4096;

/// Most steps in which 0 must have found into its cycle.
const PATIENCE: u32 = 1 << 16;

/// Steps after which the orbit of 0 comes back to exactly where it was, again and again; `None` if
/// it escapes, or does not within `iterations` steps or a bounded number.
pub fn length(c: Constant, iterations: u32) -> Option<u32> {
    let (mut r, mut q) = (0.0, 0.0);
    // Brent's: from each power of two on, look for the value that was there.
    let (mut saved, mut since, mut power) = ((r, q), 0, 1);
    for _ in 0..iterations.min(PATIENCE) {
        if r * r + q * q > 4.0 + escape::DOUBT {
            return None;
        }
        (r, q) = escape::next(r, q, c);
        since += 1;
        if (r, q) == saved {
            return (since <= LONGEST).then_some(since);
        }
        if since == power {
            (saved, since, power) = ((r, q), 0, power * 2);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(re: f64, im: f64) -> Option<u32> {
        length(Constant { re, im }, 1_000_000)
    }

    #[test]
    fn cycles_of_well_known_constants() {
        assert_eq!(of(0.0, 0.0), Some(1));
        assert_eq!(of(-1.0, 0.0), Some(2));
        assert_eq!(of(-0.1, 0.1), Some(1));
        // Douady's rabbit; by rounding it may take several rounds to come back to the same bits.
        assert_eq!(of(-0.1226, 0.7449).map(|length| length % 3), Some(0));
    }

    #[test]
    fn there_is_none_where_0_escapes_or_wanders() {
        assert_eq!(of(-0.8, 0.156), None);
        assert_eq!(of(1.0, 0.0), None);
        assert_eq!(of(f64::MAX, 0.0), None);
        // On the edge of the main cardioid: it never gets there.
        assert_eq!(of(0.25, 0.0), None);
    }
}
