//! The escape step: how long z² + c keeps a start point within distance 2.
//!
//! [`step`] is the definition, one point at a time; whatever is faster must give the same.

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
