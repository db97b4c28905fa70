//! The most that a processor can do of this arithmetic: what renders are measured against.

use std::hint::black_box;
use std::time::Instant;

use super::simd::Lanes;

/// Iterations a second, in units of 10^9, on one core: points that never escape, in registers from
/// beginning to end, with a comparison and a count at each step.
#[inline(always)]
pub fn measure<L: Lanes, const V: usize>(steps: u64) -> f64 {
    let begun = Instant::now();
    let counted = iterate::<L, V>(black_box(steps));
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(counted, steps, "a point of the measurement escaped");
    steps as f64 * (V * L::N) as f64 / seconds / 1e9
}

#[inline(always)]
fn iterate<L: Lanes, const V: usize>(steps: u64) -> u64 {
    // Near the fixed point of z² - 0.1 + 0.1i, and drawn to it.
    let (re, im) = (L::splat(black_box(-0.1)), L::splat(black_box(0.1)));
    let inside = L::splat(4.0);
    let mut r = [L::splat(0.0); V];
    for (v, r) in r.iter_mut().enumerate() {
        *r = L::splat(black_box(0.01 * v as f64));
    }
    let mut q = r;
    let mut count = [L::zero(); V];
    for _ in 0..steps {
        for v in 0..V {
            let (rr, qq, rq) = (r[v].mul(r[v]), q[v].mul(q[v]), r[v].mul(q[v]));
            count[v] = L::tick(count[v], rr.add(qq).less(inside));
            r[v] = rr.sub(qq).add(re);
            q[v] = rq.add(rq).add(im);
        }
    }
    black_box((r, q));
    L::counts(count[V - 1])[0]
}
