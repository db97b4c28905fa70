//! Arrays that the compiler makes vectors of, as the target allows: SSE2 on x86-64, NEON on ARM.

use super::Lanes;

#[derive(Clone, Copy)]
pub struct Portable([f64; N]);

const N: usize = 4;

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(f64, f64) -> f64) -> Self {
        Portable(std::array::from_fn(|i| op(self.0[i], other.0[i])))
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
        std::array::from_fn(|i| if self.0[i] < than.0[i] { u64::MAX } else { 0 })
    }

    #[inline(always)]
    fn first(n: usize) -> Self::Mask {
        std::array::from_fn(|i| if i < n { u64::MAX } else { 0 })
    }

    #[inline(always)]
    fn and(one: Self::Mask, other: Self::Mask) -> Self::Mask {
        std::array::from_fn(|i| one[i] & other[i])
    }

    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        (0..N).fold(0, |bits, i| bits | (mask[i] as u32 & 1) << i)
    }

    #[inline(always)]
    fn none() -> Self::Count {
        [0; N]
    }

    #[inline(always)]
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count {
        std::array::from_fn(|i| count[i].wrapping_sub(mask[i]))
    }

    #[inline(always)]
    fn counts(count: Self::Count, to: &mut [u64]) {
        to[..N].copy_from_slice(&count);
    }

    #[inline(always)]
    fn pack(self, bits: u32, to: &mut [f64]) {
        let to = &mut to[..N];
        let mut next = 0;
        for i in 0..N {
            to[next] = self.0[i];
            next += (bits >> i & 1) as usize;
        }
    }

    #[inline(always)]
    fn pack_small(bits: u32, at: &mut [u32], from: usize, to: usize) {
        let mut next = to;
        for i in 0..N {
            at[next] = at[from + i];
            next += (bits >> i & 1) as usize;
        }
    }
}
