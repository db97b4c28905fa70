//! Escape steps: how long z² + c keeps a start point within distance 2.
//!
//! [`step`] is the definition, one point at a time. [`follow`] does the same for a whole run of
//! pixels, several side by side so that the compiler can use vector registers. Pixels escape at
//! different steps; a lane whose pixel is done takes the next one at once, so none sits idle:
//!
//! ```text
//!   lane 0  |--pixel 0--|-----pixel 8-----|-pixel 11-|---
//!   lane 1  |-1-|-----pixel 5------|--pixel 9--|---------
//!   lane 2  |----pixel 2----|-6-|-7-|------pixel 10------
//!           every step advances all lanes ────────────> now
//! ```

use super::grid::Grid;
use super::{Cancel, RenderError};
use crate::fractal::Constant;

/// Points followed side by side: four SSE2 vectors, two of AVX2.
const LANES: usize = 8;

/// `r² + q²` in double precision errs by less than this near 4. Below 4 - `DOUBT` a point is
/// certainly within distance 2, above 4 + `DOUBT` certainly not.
const DOUBT: f64 = 1e-14;

/// Steps between two looks at the cancel flag: well under a millisecond.
const CANCEL_STEPS: u64 = 1 << 16;

/// Escape step of one start point: the first `i` at which it is further than 2 from the origin,
/// or `iterations - 1` if there is none. `iterations` is at least 1.
///
/// In doubles, without fused multiply-add: `z²` as `(r·r - q·q) + (r·q + q·r)i`, then `+ c`.
pub fn step(mut r: f64, mut q: f64, c: Constant, iterations: u32) -> u32 {
    for i in 0..iterations - 1 {
        if is_beyond_2(r, q) {
            return i;
        }
        (r, q) = (r * r - q * q + c.re, r * q + q * r + c.im);
    }
    iterations - 1
}

/// Follows `pixels` pixels, row by row from the start of row `row`, and gives each one's escape
/// step to `put(index, step)`, in no particular order.
pub fn follow(
    grid: &Grid,
    row: u32,
    pixels: usize,
    cancel: &Cancel,
    mut put: impl FnMut(usize, u32),
) -> Result<(), RenderError> {
    let last = u64::from(grid.iterations) - 1;
    let mut points = Points::new(grid, row, pixels);
    let mut lanes = Lanes::default();
    let mut now = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(RenderError::Cancelled);
        }
        let mut until = now + CANCEL_STEPS;
        let mut busy = false;
        for lane in 0..LANES {
            if let Some(pixel) = lanes.pixel[lane] {
                let step = now - lanes.born[lane];
                let (r, q) = (lanes.r[lane], lanes.q[lane]);
                if is_beyond_2(r, q) {
                    put(pixel, step as u32);
                } else if step == last || never_leaves(r, q) {
                    put(pixel, last as u32);
                } else {
                    until = until.min(lanes.born[lane] + last);
                    busy = true;
                    continue;
                }
            }
            // Points that are outside, or out of iterations, at step 0 never need a lane.
            let next = points.by_ref().find(|point| {
                let at_once = is_beyond_2(point.r, point.q);
                let done = at_once || last == 0;
                if done {
                    put(point.pixel, 0);
                }
                !done
            });
            match next {
                Some(point) => {
                    lanes.set(lane, &point, now);
                    until = until.min(now + last);
                    busy = true;
                }
                None => lanes.rest(lane),
            }
        }
        if !busy {
            return Ok(());
        }
        // Everything left has passed the test at this step; a lane in doubt must still move on.
        lanes.advance(grid.c);
        now = lanes.run(grid.c, now + 1, until);
    }
}

/// The state of the points side by side. A lane without a pixel is computed along and ignored.
#[derive(Default)]
struct Lanes {
    r: [f64; LANES],
    q: [f64; LANES],
    pixel: [Option<usize>; LANES],
    /// The step at which the lane took its pixel.
    born: [u64; LANES],
}

impl Lanes {
    fn set(&mut self, lane: usize, point: &Point, now: u64) {
        self.r[lane] = point.r;
        self.q[lane] = point.q;
        self.pixel[lane] = Some(point.pixel);
        self.born[lane] = now;
    }

    fn rest(&mut self, lane: usize) {
        self.r[lane] = 0.0;
        self.q[lane] = 0.0;
        self.pixel[lane] = None;
    }

    fn advance(&mut self, c: Constant) {
        for lane in 0..LANES {
            let (r, q) = (self.r[lane], self.q[lane]);
            self.r[lane] = r * r - q * q + c.re;
            self.q[lane] = r * q + q * r + c.im;
        }
    }

    /// Advances all lanes from step `now` until one may be outside, or to step `until`.
    /// Returns the step it stopped at.
    fn run(&mut self, c: Constant, mut now: u64, until: u64) -> u64 {
        let (mut r, mut q) = (self.r, self.q);
        while now < until {
            let mut inside = true;
            for lane in 0..LANES {
                // Written so that NaN counts as not inside.
                inside &= r[lane] * r[lane] + q[lane] * q[lane] < 4.0 - DOUBT;
            }
            if !inside {
                break;
            }
            for lane in 0..LANES {
                let (x, y) = (r[lane], q[lane]);
                r[lane] = x * x - y * y + c.re;
                q[lane] = x * y + y * x + c.im;
            }
            now += 1;
        }
        (self.r, self.q) = (r, q);
        now
    }
}

struct Point {
    r: f64,
    q: f64,
    pixel: usize,
}

/// The start points of a run of pixels.
struct Points<'a> {
    grid: &'a Grid,
    row: u32,
    q: f64,
    column: usize,
    pixel: usize,
    pixels: usize,
}

impl<'a> Points<'a> {
    fn new(grid: &'a Grid, row: u32, pixels: usize) -> Self {
        Points {
            grid,
            row,
            q: grid.row(row),
            column: 0,
            pixel: 0,
            pixels,
        }
    }
}

impl Iterator for Points<'_> {
    type Item = Point;

    fn next(&mut self) -> Option<Point> {
        if self.pixel == self.pixels {
            return None;
        }
        if self.column == self.grid.width() {
            self.column = 0;
            self.row += 1;
            self.q = self.grid.row(self.row);
        }
        let point = Point {
            r: self.grid.column(self.column),
            q: self.q,
            pixel: self.pixel,
        };
        self.column += 1;
        self.pixel += 1;
        Some(point)
    }
}

/// A value that is not a number stays one at every later step, and compares as not outside.
fn never_leaves(r: f64, q: f64) -> bool {
    (r + q).is_nan()
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
