//! Arrays that the compiler makes vectors of, as the target allows: SSE2 on x86-64, NEON on ARM.
#![allow(clippy::needless_range_loop)] // several arrays are walked in step

use super::{Lanes, WIDEST};

#[derive(Clone, Copy)]
pub struct Portable([f64; N]);

const N: usize = 4;

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(f64, f64) -> f64) -> Self {
        Portable(std::array::from_fn(|i| op(self.0[i], other.0[i])))
    }

    #[inline(always)]
    fn compare(self, other: Self, holds: impl Fn(f64, f64) -> bool) -> [u64; N] {
        std::array::from_fn(|i| u64::from(holds(self.0[i], other.0[i])).wrapping_neg())
    }
}

impl Lanes for Portable {
    const N: usize = N;
    /// All bits of a lane set, or none.
    type Mask = [u64; N];
    type Count = [u64; N];

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Portable([value; N])
    }

    #[inline(always)]
    fn ordinals(first: u64) -> Self {
        Portable(std::array::from_fn(|i| f64::from_bits(first + i as u64)))
    }

    #[inline(always)]
    fn load(from: &[f64]) -> Self {
        let from = &from[..N];
        Portable(std::array::from_fn(|i| from[i]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f64]) {
        to[..N].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn less(self, than: Self) -> Self::Mask {
        self.compare(than, |a, b| a < b)
    }

    #[inline(always)]
    fn equal(self, to: Self) -> Self::Mask {
        self.compare(to, |a, b| a == b)
    }

    #[inline(always)]
    fn least(self, other: Self, unless: Self::Mask) -> Self {
        // All bits set is not a number, and so never less.
        let other = Portable(std::array::from_fn(|i| {
            f64::from_bits(other.0[i].to_bits() | unless[i])
        }));
        other.zip(self, |other, own| if other < own { other } else { own })
    }

    #[inline(always)]
    fn both(one: Self::Mask, other: Self::Mask) -> Self::Mask {
        std::array::from_fn(|i| one[i] & other[i])
    }

    #[inline(always)]
    fn bits(mask: Self::Mask) -> u64 {
        (0..N).fold(0, |bits, i| bits | (mask[i] & 1) << i)
    }

    #[inline(always)]
    fn zero() -> Self::Count {
        [0; N]
    }

    #[inline(always)]
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count {
        std::array::from_fn(|i| count[i].wrapping_sub(mask[i]))
    }

    #[inline(always)]
    fn reached(count: Self::Count, n: u64) -> u64 {
        (0..N).fold(0, |bits, i| bits | u64::from(count[i] == n) << i)
    }

    #[inline(always)]
    fn counts(count: Self::Count) -> [u64; WIDEST] {
        let mut counts = [0; WIDEST];
        counts[..N].copy_from_slice(&count);
        counts
    }

    #[inline(always)]
    fn small_counts(count: Self::Count) -> [u8; WIDEST] {
        let mut counts = [0; WIDEST];
        for i in 0..N {
            counts[i] = count[i] as u8;
        }
        counts
    }

    #[inline(always)]
    fn pack<const V: usize>(from: [&[Self; V]; 3], which: u64, to: [&mut [f64]; 3]) -> usize {
        let [a, b, c] = to.map(|to| &mut to[..V * N]);
        let mut kept = 0;
        for v in 0..V {
            for i in 0..N {
                // Written over by the next one if it is not wanted.
                a[kept] = from[0][v].0[i];
                b[kept] = from[1][v].0[i];
                c[kept] = from[2][v].0[i];
                kept += (which >> (v * N + i) & 1) as usize;
            }
        }
        kept
    }
}
