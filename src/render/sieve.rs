//! Escape steps of many points at once, with few lanes idle.
//!
//! Points side by side in vector registers take their steps together, but escape at different ones:
//! in most pictures half of all points is gone after a dozen steps, and a few stay for hundreds.
//! So points go through a cascade of pools. All points of a pool are equally old. They take some
//! steps, those that escaped are settled, and the others move together:
//!
//! ```text
//!   pool, 8 steps old        8 steps more              16 steps old
//!   | a b c d | e f g h |  ─────────────>  a . . d | . f . h   ──pack──>  | a d f h | . . . .
//!                                            b c     e   g  settled
//!
//!   pixels ──> pool 0 ──32 steps old──> pool 1 ──256──> pool 2 ──2048──> ... ──> last step
//!              always full              worked on only when full, or when there are no more pixels
//! ```
//!
//! Everything here is the definition in [`super::escape`], applied to all lanes alike; the rare
//! point that comes so close to the circle that rounding could decide is left to the definition.

use super::escape::{self, DOUBT};
use super::grid::Grid;
use super::simd::Lanes;
use super::{Cancel, RenderError};
use crate::fractal::Constant;

/// Points that make a pool worth working on. Their state, 20 KB, stays in the nearest cache.
const POOL: usize = 1024;

/// Room at the end of a pool, so that its last points can be loaded as whole vectors.
const SPARE: usize = 64;

/// Age up to which points stay in the first pool; each further one lasts eight times as long.
const FIRST_END: u32 = 32;

/// Most steps between two looks at the cancel flag: a millisecond for a whole pool.
const MOST_STEPS: u32 = 4096;

/// Points that are all equally many steps away from their start.
struct Pool {
    r: Box<[f64]>,
    q: Box<[f64]>,
    /// The pixel that the point belongs to, counted from the first one of the run.
    at: Box<[u32]>,
    len: usize,
    /// Steps taken when points enter and when they leave.
    age: u32,
    end: u32,
}

impl Pool {
    fn new(points: usize, age: u32, end: u32) -> Self {
        let room = points + SPARE;
        Pool {
            r: vec![0.0; room].into(),
            q: vec![0.0; room].into(),
            at: vec![0; room].into(),
            len: 0,
            age,
            end,
        }
    }

    fn take(&mut self, from: &mut Pool) {
        let (begin, end) = (self.len, self.len + from.len);
        self.r[begin..end].copy_from_slice(&from.r[..from.len]);
        self.q[begin..end].copy_from_slice(&from.q[..from.len]);
        self.at[begin..end].copy_from_slice(&from.at[..from.len]);
        self.len = end;
        from.len = 0;
    }
}

/// The pools for points that take up to `last` steps.
fn cascade(last: u32) -> Vec<Pool> {
    let mut pools = vec![Pool::new(POOL, 0, FIRST_END.min(last))];
    while let Some(pool) = pools.last()
        && pool.end < last
    {
        // Nearly full already, it may be handed all that the one before can hold.
        let points = (pools.len() + 1) * POOL;
        let end = pool.end.saturating_mul(8).min(last);
        pools.push(Pool::new(points, pool.end, end));
    }
    pools
}

/// What a run of pixels is made of.
pub struct Run<'a> {
    pub grid: &'a Grid,
    /// Row of the first pixel; the run is of whole rows.
    pub row: u32,
    pub cancel: &'a Cancel,
}

/// Finds the escape step of each pixel of a run of `pixels`, and gives it to `put(pixel, step)`.
#[inline(always)]
pub fn follow<L: Lanes, const V: usize>(
    run: &Run<'_>,
    pixels: usize,
    mut put: impl FnMut(usize, u32),
) -> Result<(), RenderError> {
    let last = run.grid.iterations - 1;
    let mut pools = cascade(last);
    let mut next = 0;
    while next < pixels {
        next = fill(&mut pools[0], run, next, pixels);
        pour::<L, V>(&mut pools, run, &mut put)?;
    }
    for level in 1..pools.len() {
        pour::<L, V>(&mut pools[level..], run, &mut put)?;
    }
    Ok(())
}

/// Works on the first of these pools and moves what it leaves to the next, and goes on with that
/// one if it is full.
#[inline(always)]
fn pour<L: Lanes, const V: usize>(
    mut pools: &mut [Pool],
    run: &Run<'_>,
    put: &mut impl FnMut(usize, u32),
) -> Result<(), RenderError> {
    while let Some((pool, later)) = pools.split_first_mut() {
        sift::<L, V>(pool, run, put)?;
        match later.first_mut() {
            Some(next) => {
                next.take(pool);
                if next.len < POOL {
                    break;
                }
            }
            // These have taken all their steps.
            None => {
                for at in &pool.at[..pool.len] {
                    put(*at as usize, run.grid.iterations - 1);
                }
                pool.len = 0;
            }
        }
        pools = later;
    }
    Ok(())
}

/// Fills the first pool with pixels from `next` on; returns the first one that found no room.
#[inline(always)]
fn fill(pool: &mut Pool, run: &Run<'_>, mut next: usize, pixels: usize) -> usize {
    let width = run.grid.width();
    while pool.len < POOL && next < pixels {
        let (y, x) = (next / width, next % width);
        let some = (width - x).min(POOL - pool.len).min(pixels - next);
        let (begin, end) = (pool.len, pool.len + some);
        pool.r[begin..end].copy_from_slice(&run.grid.columns()[x..x + some]);
        pool.q[begin..end].fill(run.grid.row(run.row + y as u32));
        for (at, pixel) in pool.at[begin..end].iter_mut().zip(next..) {
            *at = pixel as u32;
        }
        pool.len = end;
        next += some;
    }
    next
}

/// Takes all points of a pool to the age at which they leave it.
#[inline(always)]
fn sift<L: Lanes, const V: usize>(
    pool: &mut Pool,
    run: &Run<'_>,
    put: &mut impl FnMut(usize, u32),
) -> Result<(), RenderError> {
    // From beyond distance 2, z² + c goes further out, unless |c| is about 2 or more: then a point
    // that is outside once may be inside again some steps later.
    let stays_out = run.grid.c.re.hypot(run.grid.c.im) < 1.99;
    let mut age = pool.age;
    while age < pool.end && pool.len > 0 {
        if run.cancel.is_cancelled() {
            return Err(RenderError::Cancelled);
        }
        // Longer for older points: of those, fewer escape in the same time.
        let steps = (age / 2).clamp(8, MOST_STEPS).min(pool.end - age);
        if stays_out {
            generation::<L, V, true>(pool, run, age, steps, put);
        } else {
            generation::<L, V, false>(pool, run, age, steps, put);
        }
        age += steps;
    }
    Ok(())
}

/// One generation: all points take `steps` steps from step `age` on.
#[inline(always)]
fn generation<L: Lanes, const V: usize, const STAYS_OUT: bool>(
    pool: &mut Pool,
    run: &Run<'_>,
    age: u32,
    steps: u32,
    put: &mut impl FnMut(usize, u32),
) {
    let mut distances = Distances([[0.0; STRIDE]; DASH]);
    let mut kept = 0;
    for begin in (0..pool.len).step_by(V * L::N) {
        let lane = |v: usize| begin + v * L::N;
        let (mut r, mut q) = ([L::splat(0.0); V], [L::splat(0.0); V]);
        for v in 0..V {
            r[v] = L::load(&pool.r[lane(v)..]);
            q[v] = L::load(&pool.q[lane(v)..]);
        }
        let mut alive = first((pool.len - begin).min(V * L::N));
        let mut taken = 0;
        while taken < steps && alive != 0 {
            let some = DASH.min((steps - taken) as usize);
            (r, q) = dash(r, q, run.grid.c, &mut distances.0[..some]);
            let escaped = alive & !distances.inside_at_last::<L, V, STAYS_OUT>(some);
            if escaped != 0 {
                alive &= !escaped;
                for v in 0..V {
                    let escaped = escaped >> (v * L::N) & first(L::N);
                    if escaped != 0 {
                        let steps = distances.steps_inside::<L>(v, some);
                        each(escaped, |i| {
                            let pixel = pool.at[lane(v) + i] as usize;
                            let distance = distances.0[steps[i] as usize][v * L::N + i];
                            let step = age + taken + steps[i] as u32;
                            put(pixel, settled(run, pixel, distance, step));
                        });
                    }
                }
            }
            taken += some as u32;
        }
        for v in 0..V {
            let alive = (alive >> (v * L::N) & first(L::N)) as u32;
            r[v].pack(alive, &mut pool.r[kept..]);
            q[v].pack(alive, &mut pool.q[kept..]);
            L::pack_small(alive, &mut pool.at, lane(v), kept);
            kept += alive.count_ones() as usize;
        }
    }
    pool.len = kept;
}

/// Takes a step for each of `distances`, noting there each point's square distance before it.
#[inline(always)]
fn dash<L: Lanes, const V: usize>(
    mut x: [L; V],
    mut y: [L; V],
    c: Constant,
    distances: &mut [[f64; STRIDE]],
) -> ([L; V], [L; V]) {
    let (re, im) = (L::splat(c.re), L::splat(c.im));
    for noted in distances {
        for v in 0..V {
            let (xx, yy, xy) = (x[v].mul(x[v]), y[v].mul(y[v]), x[v].mul(y[v]));
            xx.add(yy).store(&mut noted[v * L::N..]);
            x[v] = xx.sub(yy).add(re);
            y[v] = xy.add(xy).add(im);
        }
    }
    (x, y)
}

/// Steps taken before anybody looks who is still inside.
const DASH: usize = 16;

/// Most lanes in a block: six vectors of eight.
const STRIDE: usize = 48;

/// Square distances from the origin: at each step of a dash, of each lane of a block.
struct Distances([[f64; STRIDE]; DASH]);

const INSIDE: f64 = 4.0 - DOUBT;

impl Distances {
    /// The lanes, a bit each, whose point was inside at the last of so many steps, and so at all
    /// of them: what is outside stays there if `STAYS_OUT`, and is looked for otherwise.
    #[inline(always)]
    fn inside_at_last<L: Lanes, const V: usize, const STAYS_OUT: bool>(&self, steps: usize) -> u64 {
        let mut inside = u64::MAX;
        let looked_at = if STAYS_OUT {
            steps - 1..steps
        } else {
            0..steps
        };
        for noted in &self.0[looked_at] {
            let mut here = 0;
            for v in 0..V {
                let distance = L::load(&noted[v * L::N..]);
                here |= u64::from(L::bits(distance.less(L::splat(INSIDE)))) << (v * L::N);
            }
            inside &= here;
        }
        inside
    }

    /// For each lane of vector `v`: how many of so many steps it took until it was outside.
    #[inline(always)]
    fn steps_inside<L: Lanes>(&self, v: usize, steps: usize) -> [u64; 8] {
        let mut inside = L::first(L::N);
        let mut count = L::none();
        for noted in &self.0[..steps] {
            inside = L::and(inside, L::load(&noted[v * L::N..]).less(L::splat(INSIDE)));
            count = L::tick(count, inside);
        }
        let mut counts = [0; 8];
        L::counts(count, &mut counts);
        counts
    }
}

/// The lowest `n` bits.
#[inline(always)]
fn first(n: usize) -> u64 {
    (1 << n) - 1
}

/// Calls `act` with the place of each bit that is set.
#[inline(always)]
fn each(mut bits: u64, mut act: impl FnMut(usize)) {
    while bits != 0 {
        act(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// The step at which a pixel escaped: the one at which its square distance was found to be
/// `distance`, unless that is too close to 4 to tell, or not a number.
#[inline(always)]
fn settled(run: &Run<'_>, pixel: usize, distance: f64, step: u32) -> u32 {
    if distance > 4.0 + DOUBT {
        step
    } else {
        by_definition(run, pixel)
    }
}

#[cold]
#[inline(never)]
fn by_definition(run: &Run<'_>, pixel: usize) -> u32 {
    let (grid, width) = (run.grid, run.grid.width());
    let (y, x) = (pixel / width, pixel % width);
    escape::step(
        grid.columns()[x],
        grid.row(run.row + y as u32),
        grid.c,
        grid.iterations,
    )
}
