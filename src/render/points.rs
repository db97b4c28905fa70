//! Points under way, as the sieve holds them: side by side, ready to be loaded as vectors.

use super::simd::{Lanes, WIDEST};

/// Most lanes in a block: six vectors of eight.
const LARGEST_BLOCK: usize = 6 * WIDEST;

/// Where points that fill up a block begin: outside by any [`Canvas`](super::canvas::Canvas)'s
/// measure, so that they are gone after it.
const FILLER: f64 = 1024.0;

/// The pixel of points that fill up a block: in no picture.
pub const NO_PIXEL: usize = usize::MAX;

/// Points that are equally many steps away from their start.
#[derive(Default)]
pub struct Points {
    /// Real and imaginary part.
    r: Box<[f64]>,
    q: Box<[f64]>,
    /// The pixel that the point belongs to, counted from the first one of the run; the bits of a
    /// whole number, so that it is moved about as the others are.
    at: Box<[f64]>,
    len: usize,
}

/// Vectors of points: real parts and imaginary parts.
pub type Block<L, const V: usize> = ([L; V], [L; V]);

impl Points {
    /// Room for so many, and for whole blocks.
    pub fn new(most: usize) -> Self {
        let room = || vec![0.0; most + 2 * LARGEST_BLOCK].into();
        Points {
            r: room(),
            q: room(),
            at: room(),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes over all points of `from`.
    pub fn take(&mut self, from: &mut Points) {
        let (begin, end) = (self.len, self.len + from.len);
        for (to, from) in [
            (&mut self.r, &from.r),
            (&mut self.q, &from.q),
            (&mut self.at, &from.at),
        ] {
            to[begin..end].copy_from_slice(&from[..end - begin]);
        }
        self.len = end;
        from.len = 0;
    }

    /// Fills up the last block of so many points.
    #[inline(always)]
    pub fn fill_up(&mut self, block: usize) {
        let end = self.len.next_multiple_of(block);
        self.r[self.len..end].fill(FILLER);
        self.q[self.len..end].fill(0.0);
        self.at[self.len..end].fill(f64::from_bits(NO_PIXEL as u64));
        self.len = end;
    }

    #[inline(always)]
    pub fn load<L: Lanes, const V: usize>(&self, begin: usize) -> Block<L, V> {
        (load(&self.r, begin), load(&self.q, begin))
    }

    /// The pixels of the points of a block, [`NO_PIXEL`] among them.
    #[inline(always)]
    pub fn pixels(&self, begin: usize, block: usize) -> impl Iterator<Item = usize> {
        let at = &self.at[begin..begin + block];
        at.iter().map(|at| at.to_bits() as usize)
    }

    /// Adds some points of a block of pixels that follow one another from `pixel` on.
    #[inline(always)]
    pub fn add<L: Lanes, const V: usize>(
        &mut self,
        (r, q): &Block<L, V>,
        pixel: usize,
        which: u64,
    ) {
        let mut at = [L::splat(0.0); V];
        for (v, at) in at.iter_mut().enumerate() {
            *at = L::ordinals((pixel + v * L::N) as u64);
        }
        self.len += self.pack(self.len, [r, q, &at], which);
    }

    /// Adds some points of a block of another pool.
    #[inline(always)]
    pub fn copy<L: Lanes, const V: usize>(&mut self, from: &Points, begin: usize, which: u64) {
        let (r, q) = from.load::<L, V>(begin);
        let at = load(&from.at, begin);
        self.len += self.pack(self.len, [&r, &q, &at], which);
    }

    /// Keeps some points of the block at `begin`, which meanwhile have come to `(r, q)`, as those
    /// from `kept` on, and returns where they end. `kept` is at most `begin`.
    #[inline(always)]
    pub fn keep<L: Lanes, const V: usize>(
        &mut self,
        begin: usize,
        kept: usize,
        (r, q): &Block<L, V>,
        which: u64,
    ) -> usize {
        let at = load(&self.at, begin);
        kept + self.pack(kept, [r, q, &at], which)
    }

    /// [`Points::keep`] for a whole block.
    #[inline(always)]
    pub fn keep_all<L: Lanes, const V: usize>(
        &mut self,
        begin: usize,
        kept: usize,
        (r, q): &Block<L, V>,
    ) -> usize {
        let at = load::<L, V>(&self.at, begin);
        let end = kept + V * L::N;
        for (to, from) in [(&mut self.r, r), (&mut self.q, q), (&mut self.at, &at)] {
            let to = &mut to[kept..end];
            for v in 0..V {
                from[v].store(&mut to[v * L::N..]);
            }
        }
        end
    }

    /// Ends the points there.
    pub fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    #[inline(always)]
    fn pack<L: Lanes, const V: usize>(
        &mut self,
        begin: usize,
        from: [&[L; V]; 3],
        which: u64,
    ) -> usize {
        let to = begin..begin + V * L::N;
        let to = [
            &mut self.r[to.clone()],
            &mut self.q[to.clone()],
            &mut self.at[to],
        ];
        L::pack(from, which, to)
    }
}

#[inline(always)]
fn load<L: Lanes, const V: usize>(from: &[f64], begin: usize) -> [L; V] {
    let from = &from[begin..begin + V * L::N];
    let mut vectors = [L::splat(0.0); V];
    for v in 0..V {
        vectors[v] = L::load(&from[v * L::N..]);
    }
    vectors
}
