//! The two loops in which all the time goes: steps of a block of points, all at once.
//!
//! [`watch`] looks at each step who is still inside, which costs five operations more than the
//! seven of the step. [`dash`] looks at the last step only.
#![allow(clippy::needless_range_loop)] // several arrays are walked in step

use super::points::Block;
use super::simd::{Lanes, WIDEST};
use crate::fractal::Constant;

/// What [`watch`] saw.
pub struct Seen<L: Lanes, const V: usize> {
    /// Where the points have come to.
    pub points: Block<L, V>,
    /// The lanes that were inside at each step, a bit each.
    pub inside: u64,
    /// Steps at which each point was inside before it was not.
    pub steps: [L::Count; V],
    /// The square distance at which each point was found to be outside, if it was.
    distances: [L; V],
}

impl<L: Lanes, const V: usize> Seen<L, V> {
    /// Whether a point was outside for the first time at a square distance below this.
    #[inline(always)]
    pub fn is_any_closer(&self, than: f64) -> bool {
        let than = L::splat(than);
        let mut closer = 0;
        for distance in self.distances {
            closer |= L::bits(distance.less(than));
        }
        closer != 0
    }

    /// Calls `see(lane, steps, distance)` for each lane.
    #[inline(always)]
    pub fn each(&self, mut see: impl FnMut(usize, u32, f64)) {
        for v in 0..V {
            let steps = L::counts(self.steps[v]);
            let mut distances = [0.0; WIDEST];
            self.distances[v].store(&mut distances);
            for lane in 0..L::N {
                see(v * L::N + lane, steps[lane] as u32, distances[lane]);
            }
        }
    }
}

/// Takes `steps` steps, and notes when each point is outside for the first time: when its square
/// distance is not below `edge`.
///
/// With `STAYS_OUT` a point that is outside must get further out with each step.
#[inline(always)]
pub fn watch<L: Lanes, const V: usize, const STAYS_OUT: bool>(
    (mut r, mut q): Block<L, V>,
    c: Constant,
    steps: u32,
    edge: f64,
) -> Seen<L, V> {
    let (re, im) = (L::splat(c.re), L::splat(c.im));
    let edge = L::splat(edge);
    let mut inside = [L::splat(0.0).less(L::splat(1.0)); V];
    let mut count = [L::zero(); V];
    let mut distances = [L::splat(f64::INFINITY); V];
    for _ in 0..steps {
        for v in 0..V {
            let (rr, qq, rq) = (r[v].mul(r[v]), q[v].mul(q[v]), r[v].mul(q[v]));
            let distance = rr.add(qq);
            let here = distance.less(edge);
            inside[v] = if STAYS_OUT {
                here
            } else {
                L::both(inside[v], here)
            };
            count[v] = L::tick(count[v], inside[v]);
            // The least that is not inside is the first, where what is outside stays there.
            distances[v] = distances[v].least(distance, here);
            r[v] = rr.sub(qq).add(re);
            q[v] = rq.add(rq).add(im);
        }
    }
    let mut stayed = 0;
    for v in 0..V {
        stayed |= L::reached(count[v], u64::from(steps)) << (v * L::N);
    }
    Seen {
        points: (r, q),
        inside: stayed,
        steps: count,
        distances,
    }
}

/// Takes `steps` steps, one at least. Also returns the lanes, a bit each, that were inside before the
/// last one.
#[inline(always)]
pub fn dash<L: Lanes, const V: usize>(
    (mut r, mut q): Block<L, V>,
    c: Constant,
    steps: u32,
    edge: f64,
) -> (Block<L, V>, u64) {
    let (re, im) = (L::splat(c.re), L::splat(c.im));
    for _ in 1..steps {
        for v in 0..V {
            let (rr, qq, rq) = (r[v].mul(r[v]), q[v].mul(q[v]), r[v].mul(q[v]));
            r[v] = rr.sub(qq).add(re);
            q[v] = rq.add(rq).add(im);
        }
    }
    let edge = L::splat(edge);
    let mut inside = 0;
    for v in 0..V {
        let (rr, qq, rq) = (r[v].mul(r[v]), q[v].mul(q[v]), r[v].mul(q[v]));
        inside |= L::bits(rr.add(qq).less(edge)) << (v * L::N);
        r[v] = rr.sub(qq).add(re);
        q[v] = rq.add(rq).add(im);
    }
    ((r, q), inside)
}
