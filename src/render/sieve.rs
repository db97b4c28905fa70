//! Escape steps of many points at once, with few lanes idle and few operations wasted.
//!
//! Points side by side in vector registers take their steps together, but escape at different ones:
//! in most pictures three of four are gone after four steps, and a few stay for hundreds. So points
//! go through a cascade of pools. All points of a pool are equally old. They run some steps without
//! anybody looking, and then are sorted: those that are still inside move together and go on; those
//! that are not go back to where they were before the run, and take it again, watched.
//!
//! ```text
//!   a row of pixels     | a b c d | e f g h | i j k l |
//!        4 steps, watched: b c e g h i k l escape, and are settled
//!   pool, 4 steps old   | a d f j | . . . . |
//!        dash of 9 steps: nobody looks till the last one; d is outside then
//!   pool, 13 steps old  | a f j . |             settling, 4 steps old  | d . . . |
//!        longer dashes, the fewer escape             9 steps, watched: d escaped at step 11
//!
//!   pixels ──> pool ──64 steps old──> pool ──512──> pool ──4096──> ... ──> last step
//!                         worked on when it is full, or when there are no more pixels
//! ```
//!
//! A dash may miss nobody: a point that is outside gets further out with each step, unless c is so
//! large that it may come back. With such a c every step is watched.
//!
//! Everything here is the definition in [`super::escape`], applied to all lanes alike; the rare
//! point that comes so close to the edge that rounding could decide is left to the definition.

use std::cell::Cell;

use super::canvas::Canvas;
use super::grid::Grid;
use super::kernel::{dash, watch};
use super::points::{NO_PIXEL, Points};
use super::simd::{Lanes, WIDEST, lanes};
use super::{Cancel, RenderError};

/// Points that make a pool worth working on.
const POOL: usize = 4096;

/// Steps that all pixels take, watched.
const BEGINNING: u32 = 4;

/// Age up to which points stay in the first pool; each further one lasts eight times as long.
const FIRST_END: u32 = 64;

/// Most steps between two looks at the cancel flag: a few milliseconds for a whole pool.
const MOST_STEPS: u32 = 4096;

/// Most lanes in a block of pixels.
const WIDEST_BLOCK: usize = 6 * WIDEST;

/// What a run of pixels is made of.
pub struct Run<'a> {
    pub grid: &'a Grid,
    /// Row of the first pixel; the run is of whole rows.
    pub row: u32,
    /// Length of the cycle that points inside fall into, where looking for it pays.
    pub cycle: Option<u32>,
    pub cancel: &'a Cancel,
}

/// Finds the escape step of each pixel of a run of `pixels`, and paints it.
///
/// `W` vectors are watched at a time, and `D` dash: as many as there are registers for.
#[inline(always)]
pub fn follow<C: Canvas, L: Lanes, const W: usize, const D: usize>(
    run: &Run<'_>,
    pixels: usize,
    canvas: &mut C,
) -> Result<(), RenderError> {
    let grid = run.grid;
    // How far out a point of the edge is at least, one step later.
    let least = C::INSIDE_BELOW - grid.c.re.hypot(grid.c.im);
    let stays_out = least > 1.001 * C::INSIDE_BELOW.sqrt();
    if grid.iterations <= BEGINNING || !grid.is_finite() {
        each_by_definition(run, pixels, canvas)
    } else {
        let mut cascade = Cascade::lent(grid.iterations - 1);
        let result = if stays_out {
            cascade.follow::<C, L, W, D, true>(run, pixels, canvas)
        } else {
            cascade.follow::<C, L, W, D, false>(run, pixels, canvas)
        };
        POOLS.set(Some(cascade));
        result
    }
}

thread_local! {
    /// A thread's pools: making new ones for each run would take longer than many a run.
    static POOLS: Cell<Option<Cascade>> = const { Cell::new(None) };
}

/// The pools for points that take up to so many steps.
#[derive(Default)]
struct Cascade {
    pools: Vec<Pool>,
    /// How many of them are in use.
    levels: usize,
    /// Points that escaped during the last dash, as they were before it.
    settling: Points,
}

struct Pool {
    points: Points,
    /// Steps taken when points enter and when they leave.
    age: u32,
    end: u32,
    /// The share of points that escape as their age doubles, if it goes on as of late.
    fading: f32,
}

impl Cascade {
    /// The thread's pools, made ready for `last` steps.
    fn lent(last: u32) -> Cascade {
        let mut cascade = POOLS.take().unwrap_or_default();
        cascade.prepare(last);
        cascade
    }

    fn prepare(&mut self, last: u32) {
        self.levels = 0;
        let (mut age, mut end) = (BEGINNING, FIRST_END.min(last));
        loop {
            if self.levels == self.pools.len() {
                // Nearly full already, a pool may be handed all that the one before can hold.
                let most = (self.levels + 1) * POOL;
                self.pools.push(Pool::new(most));
                self.settling = Points::new(most);
            }
            let pool = &mut self.pools[self.levels];
            if (pool.age, pool.end) != (age, end) {
                (pool.age, pool.end, pool.fading) = (age, end, 0.5);
            }
            pool.points.clear();
            self.levels += 1;
            if end == last {
                return;
            }
            (age, end) = (end, end.saturating_mul(8).min(last));
        }
    }

    #[inline(always)]
    fn follow<C: Canvas, L: Lanes, const W: usize, const D: usize, const STAYS_OUT: bool>(
        &mut self,
        run: &Run<'_>,
        pixels: usize,
        canvas: &mut C,
    ) -> Result<(), RenderError> {
        let mut next = 0;
        while next < pixels {
            let first = &mut self.pools[0].points;
            next = begin::<C, L, W, STAYS_OUT>(first, run, next, pixels, canvas);
            self.pour::<C, L, W, D, STAYS_OUT>(0, run, canvas)?;
        }
        for level in 1..self.levels {
            self.pour::<C, L, W, D, STAYS_OUT>(level, run, canvas)?;
        }
        Ok(())
    }

    /// Works on a pool and moves what it leaves to the next, and goes on with that one if it is full.
    #[inline(always)]
    fn pour<C: Canvas, L: Lanes, const W: usize, const D: usize, const STAYS_OUT: bool>(
        &mut self,
        level: usize,
        run: &Run<'_>,
        canvas: &mut C,
    ) -> Result<(), RenderError> {
        let mut pools = &mut self.pools[level..self.levels];
        while let Some((pool, later)) = pools.split_first_mut() {
            pool.sift::<C, L, W, D, STAYS_OUT>(&mut self.settling, run, canvas)?;
            match later.first_mut() {
                Some(next) => {
                    next.points.take(&mut pool.points);
                    if next.points.len() < POOL {
                        break;
                    }
                }
                // These have taken all their steps.
                None => {
                    for pixel in pool.points.pixels(0, pool.points.len()) {
                        canvas.stayed(pixel);
                    }
                    pool.points.clear();
                }
            }
            pools = later;
        }
        Ok(())
    }
}

/// Takes pixels from `next` on through their first steps into the first pool; returns the first one
/// that found no room.
#[inline(always)]
fn begin<C: Canvas, L: Lanes, const W: usize, const STAYS_OUT: bool>(
    pool: &mut Points,
    run: &Run<'_>,
    mut next: usize,
    pixels: usize,
    canvas: &mut C,
) -> usize {
    let block = W * L::N;
    let width = run.grid.width();
    while next < pixels && pool.len() < POOL {
        let mut x = next % width;
        let q = L::splat(run.grid.row(run.row + (next / width) as u32));
        while x < width && pool.len() < POOL {
            let some = block.min(width - x);
            let columns = &run.grid.columns()[x..x + some];
            let mut end_of_row = [0.0; WIDEST_BLOCK];
            let columns = if some < block {
                end_of_row[..some].copy_from_slice(columns);
                &end_of_row[..block]
            } else {
                columns
            };
            let mut r = [L::splat(0.0); W];
            for v in 0..W {
                r[v] = L::load(&columns[v * L::N..]);
            }
            let edge = C::INSIDE_BELOW;
            let start = (r, [q; W]);
            let seen = watch::<L, W, STAYS_OUT>(start, run.grid.c, BEGINNING, edge);
            if some == block {
                canvas.block_escaped(next, &seen);
            } else {
                seen.each(|lane, step, distance| {
                    if lane < some {
                        canvas.escaped(next + lane, step, distance);
                    }
                });
            }
            if seen.is_any_closer(C::OUTSIDE_FROM) {
                by_definition(run, next..next + some, canvas);
            }
            let inside = seen.inside & lanes(some);
            if inside != 0 {
                pool.add(&seen.points, next, inside);
            }
            next += some;
            x += some;
        }
    }
    next
}

impl Pool {
    fn new(most: usize) -> Self {
        Pool {
            points: Points::new(most),
            age: 0,
            end: 0,
            fading: 0.0,
        }
    }

    /// Takes all points to the age at which they leave.
    #[inline(always)]
    fn sift<C: Canvas, L: Lanes, const W: usize, const D: usize, const STAYS_OUT: bool>(
        &mut self,
        settling: &mut Points,
        run: &Run<'_>,
        canvas: &mut C,
    ) -> Result<(), RenderError> {
        let points = &mut self.points;
        let mut age = self.age;
        while age < self.end && points.len() > 0 {
            if run.cancel.is_cancelled() {
                return Err(RenderError::Cancelled);
            }
            if STAYS_OUT {
                let steps = dash_length(age, self.fading, run.cycle);
                let left = self.end - age;
                // No stump at the end.
                let steps = if left < steps + steps / 2 {
                    left
                } else {
                    steps
                };
                let before = points.len();
                let returns = run.cycle.is_some_and(|cycle| steps.is_multiple_of(cycle));
                if returns {
                    run_ahead::<C, L, D, true>(points, settling, run, steps, canvas);
                } else {
                    run_ahead::<C, L, D, false>(points, settling, run, steps, canvas);
                }
                let escaped = settling.len();
                if escaped > 0 {
                    generation::<C, L, W, true>(settling, run, age, steps, canvas);
                    settling.clear();
                }
                let share = escaped as f32 / before as f32;
                let now = share * age as f32 / steps as f32;
                self.fading = 0.75 * self.fading + 0.25 * now;
                age += steps;
            } else {
                let steps = (age / 2).clamp(8, MOST_STEPS).min(self.end - age);
                generation::<C, L, W, false>(points, run, age, steps, canvas);
                age += steps;
            }
        }
        Ok(())
    }
}

/// How many steps to take without a look: more, the fewer points escape meanwhile, as all their
/// steps are taken again; and not too few, as sorting costs about as much as three steps.
///
/// Where there is a cycle, a multiple of its length, so that a point in it comes back.
#[inline(always)]
fn dash_length(age: u32, fading: f32, cycle: Option<u32>) -> u32 {
    const SORTING: f32 = 3.0;
    let best = (SORTING * age as f32 / fading.max(1e-6)).sqrt() as u32;
    match cycle {
        None => best.clamp(6, MOST_STEPS),
        Some(cycle) => {
            // Not all points come back after the same number of rounds; 12 has many divisors.
            let length = best.min(age.max(cycle)).clamp(6, MOST_STEPS);
            let rounds = length / cycle;
            match rounds {
                0 => length,
                1..12 => rounds * cycle,
                _ => rounds / 12 * 12 * cycle,
            }
        }
    }
}

/// All points of a pool run `steps` steps. Those that escaped meanwhile move to `settling`, as they
/// were; with `CYCLE`, those that have come back to where they were have stayed.
#[inline(always)]
fn run_ahead<C: Canvas, L: Lanes, const D: usize, const CYCLE: bool>(
    points: &mut Points,
    settling: &mut Points,
    run: &Run<'_>,
    steps: u32,
    canvas: &mut C,
) {
    let block = D * L::N;
    points.fill_up(block);
    let mut kept = 0;
    for begin in (0..points.len()).step_by(block) {
        let before = points.load::<L, D>(begin);
        let (after, inside) = dash(before, run.grid.c, steps, C::INSIDE_BELOW);
        let mut going_on = inside;
        if CYCLE {
            let back = same(&before, &after) & inside;
            if back != 0 {
                for (lane, pixel) in points.pixels(begin, block).enumerate() {
                    if back >> lane & 1 == 1 {
                        canvas.stayed(pixel);
                    }
                }
                going_on &= !back;
            }
        }
        if going_on == lanes(block) {
            kept = points.keep_all(begin, kept, &after);
        } else {
            settling.copy::<L, D>(points, begin, inside ^ lanes(block));
            kept = points.keep(begin, kept, &after, going_on);
        }
    }
    points.truncate(kept);
}

/// The lanes in which two blocks are the same, a bit each.
#[inline(always)]
fn same<L: Lanes, const V: usize>(one: &([L; V], [L; V]), other: &([L; V], [L; V])) -> u64 {
    let mut same = 0;
    for v in 0..V {
        let equal = L::both(one.0[v].equal(other.0[v]), one.1[v].equal(other.1[v]));
        same |= L::bits(equal) << (v * L::N);
    }
    same
}

/// All points take `steps` steps from step `age` on, watched; those that escape are painted.
#[inline(always)]
fn generation<C: Canvas, L: Lanes, const W: usize, const STAYS_OUT: bool>(
    points: &mut Points,
    run: &Run<'_>,
    age: u32,
    steps: u32,
    canvas: &mut C,
) {
    let block = W * L::N;
    points.fill_up(block);
    let mut kept = 0;
    for begin in (0..points.len()).step_by(block) {
        let start = points.load::<L, W>(begin);
        let seen = watch::<L, W, STAYS_OUT>(start, run.grid.c, steps, C::INSIDE_BELOW);
        {
            let mut pixels = points.pixels(begin, block);
            seen.each(|_, steps, distance| {
                if let Some(pixel) = pixels.next() {
                    canvas.escaped(pixel, age + steps, distance);
                }
            });
        }
        if seen.is_any_closer(C::OUTSIDE_FROM) {
            let some = points.pixels(begin, block).zip(0..);
            let doubtful = some.filter(|(_, lane)| seen.inside >> lane & 1 == 0);
            by_definition(run, doubtful.map(|(pixel, _)| pixel), canvas);
        }
        if seen.inside != 0 {
            kept = points.keep(begin, kept, &seen.points, seen.inside);
        }
    }
    points.truncate(kept);
}

/// A few pixels, by the definition.
#[cold]
#[inline(never)]
fn by_definition<C: Canvas>(run: &Run<'_>, pixels: impl Iterator<Item = usize>, canvas: &mut C) {
    let width = run.grid.width();
    for pixel in pixels.filter(|pixel| *pixel != NO_PIXEL) {
        let (r, row) = (run.grid.columns()[pixel % width], pixel / width);
        canvas.define(pixel, (r, run.grid.row(run.row + row as u32)), run.grid);
    }
}

/// All pixels by the definition, where it is about as quick or what is said above does not hold.
fn each_by_definition<C: Canvas>(
    run: &Run<'_>,
    pixels: usize,
    canvas: &mut C,
) -> Result<(), RenderError> {
    for row in (0..pixels).step_by(run.grid.width()) {
        if run.cancel.is_cancelled() {
            return Err(RenderError::Cancelled);
        }
        by_definition(run, row..row + run.grid.width(), canvas);
    }
    Ok(())
}
