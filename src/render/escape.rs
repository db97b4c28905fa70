//! The escape step: how long z² + c keeps a start point within distance 2.
//!
//! [`step`] is the definition, one point at a time; whatever is faster must give the same. Smooth
//! palettes ask on, where a point is far out, and have a definition of their own: [`passage`] and
//! [`count`].

use crate::fractal::Constant;

/// `r² + q²` in double precision errs by less than this near 4. Below 4 - `DOUBT` a point is
/// certainly within distance 2, above 4 + `DOUBT` certainly not.
pub const DOUBT: f64 = 1e-14;

/// Escape step of one start point: the first `i` at which it is further than 2 from the origin,
/// or `iterations - 1` if there is none. `iterations` is at least 1.
///
/// In doubles, without fused multiply-add: `z²` as `(r·r - q·q) + (r·q + q·r)i`, then `+ c`.
pub fn step(mut r: f64, mut q: f64, c: Constant, iterations: u32) -> u32 {
    for i in 0..iterations - 1 {
        if is_beyond_2(r, q) {
            return i;
        }
        (r, q) = next(r, q, c);
    }
    iterations - 1
}

/// `z² + c`.
#[inline(always)]
pub fn next(r: f64, q: f64, c: Constant) -> (f64, f64) {
    (r * r - q * q + c.re, r * q + q * r + c.im)
}

/// The square distance beyond which [`passage`] takes a point for escaped. So far out, each step
/// doubles the logarithm of the distance, whatever c: that makes [`count`] continuous.
pub const FAR: f64 = 65536.0;

/// Where a start point gets beyond distance 256: the first step `i` below `iterations - 1` at which
/// `r·r + q·q` is more than [`FAR`], and that sum; `None` if there is no such step. `iterations` is
/// at least 1.
///
/// Steps are those of [`step`], and the sum is rounded as doubles are, nothing fused.
pub fn passage(mut r: f64, mut q: f64, c: Constant, iterations: u32) -> Option<(u32, f64)> {
    for i in 0..iterations - 1 {
        let distance = r * r + q * q;
        if distance > FAR {
            return Some((i, distance));
        }
        (r, q) = next(r, q, c);
    }
    None
}

/// The continuous escape count of a [`passage`]: how many steps it takes to a distance of 256, with
/// the part of the last one. Negative for points that start far beyond.
pub fn count(step: u32, distance: f64) -> f64 {
    f64::from(step) + 1.0 - libm::log2(libm::log2(distance) / FAR_BITS)
}

/// The logarithm of [`FAR`] to base 2.
const FAR_BITS: f64 = 16.0;

/// Whether the distance of r + qi from the origin, correctly rounded, is more than 2: what the
/// original asked with `hypot(r, q) > 2.0`.
pub fn is_beyond_2(r: f64, q: f64) -> bool {
    let s = r * r + q * q;
    if s < 4.0 - DOUBT {
        false
    } else if s > 4.0 + DOUBT {
        true
    } else {
        // Too close to tell, or not a number.
        is_beyond_2_exactly(r, q)
    }
}

/// The rounded distance is more than 2 exactly when the true one is more than 2 + 2^-52: half way
/// to the next double, which is a tie and goes to the even 2. Squared, with nothing rounded:
/// `r² + q² > 4 + 2^-50 + 2^-104`.
///
/// C libraries differ in how well they round `hypot`; this does not depend on any.
#[cold]
fn is_beyond_2_exactly(r: f64, q: f64) -> bool {
    if r.is_infinite() || q.is_infinite() {
        return true;
    }
    if r.is_nan() || q.is_nan() {
        return false;
    }
    const TWO_POW_52: f64 = (1u64 << 52) as f64;
    let edge = [-4.0, -4.0 / TWO_POW_52, -1.0 / TWO_POW_52 / TWO_POW_52];
    // A square is the sum of two doubles: the rounded one, and what `mul_add` says is missing.
    let (rr, qq) = (r * r, q * q);
    let squares = [rr, r.mul_add(r, -rr), qq, q.mul_add(q, -qq)];
    sign_of_sum(edge.into_iter().chain(squares)) > 0.0
}

/// A number with the sign of the exact sum of at most 8 `terms` (Shewchuk's growing expansion).
fn sign_of_sum(terms: impl Iterator<Item = f64>) -> f64 {
    // Parts that do not overlap, in growing size: the largest one that is not zero has the sign.
    let mut parts = [0.0; 8];
    for (used, term) in terms.enumerate() {
        let mut carry = term;
        for part in &mut parts[..used] {
            let sum = carry + *part;
            let moved = sum - carry;
            *part = (carry - (sum - moved)) + (*part - moved);
            carry = sum;
        }
        parts[used] = carry;
    }
    parts
        .into_iter()
        .rev()
        .find(|part| *part != 0.0)
        .unwrap_or(0.0)
}
