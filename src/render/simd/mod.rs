//! Vectors of doubles: the only code here that depends on the processor.
//!
//! [`Lanes`] is what the sieve needs of a vector; each path implements it in one file. All compute
//! the same bits: IEEE addition, subtraction, multiplication and comparison, nothing fused.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod portable;

/// Doubles side by side, and what is done to all of them at once.
///
/// `from` and `to` are longer than the vector or as long; only the first [`Lanes::N`] count.
pub trait Lanes: Copy {
    /// Doubles in the vector.
    const N: usize;
    /// Yes or no for each lane.
    type Mask: Copy;
    /// A whole number for each lane.
    type Count: Copy;

    fn splat(value: f64) -> Self;
    fn load(from: &[f64]) -> Self;
    fn store(self, to: &mut [f64]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// Whether less; no where either is not a number.
    fn less(self, than: Self) -> Self::Mask;
    /// Yes in the first `n` lanes.
    fn first(n: usize) -> Self::Mask;
    fn and(one: Self::Mask, other: Self::Mask) -> Self::Mask;
    /// A bit a lane, the first one lowest.
    fn bits(mask: Self::Mask) -> u32;
    fn none() -> Self::Count;
    /// One more where the mask says so.
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count;
    fn counts(count: Self::Count, to: &mut [u64]);
    /// Stores the lanes of these bits side by side; what comes after them in `to` is undefined.
    fn pack(self, bits: u32, to: &mut [f64]);
    /// The same for one small number a lane, in place: from `at[from..]` to `at[to..]`.
    fn pack_small(bits: u32, at: &mut [u32], from: usize, to: usize);
}
