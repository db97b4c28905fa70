//! Vectors of doubles: the only code here that depends on the processor.
//!
//! [`Lanes`] is what the sieve needs of a vector; each path implements it in one file. All compute
//! the same bits: IEEE addition, subtraction, multiplication and comparison, nothing fused.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod portable;

/// Most lanes that a vector of any path has.
pub const WIDEST: usize = 8;

/// Doubles side by side, and what is done to all of them at once.
///
/// `from` and `to` are longer than the vector or as long; only the first [`Lanes::N`] count.
pub trait Lanes: Copy {
    /// Doubles in the vector, at most [`WIDEST`].
    const N: usize;
    /// Yes or no for each lane.
    type Mask: Copy;
    /// A whole number for each lane.
    type Count: Copy;

    fn splat(value: f64) -> Self;
    /// `first` and the whole numbers that follow, each as the bits of a lane. Such a vector is moved
    /// about and never calculated with.
    fn ordinals(first: u64) -> Self;
    fn load(from: &[f64]) -> Self;
    fn store(self, to: &mut [f64]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// Whether less; no where either is not a number.
    fn less(self, than: Self) -> Self::Mask;
    /// Whether equal; no where either is not a number.
    fn equal(self, to: Self) -> Self::Mask;
    /// Itself, or `other` where that is less and `unless` says no.
    fn least(self, other: Self, unless: Self::Mask) -> Self;

    fn both(one: Self::Mask, other: Self::Mask) -> Self::Mask;
    /// A bit a lane, the first one lowest.
    fn bits(mask: Self::Mask) -> u64;

    fn zero() -> Self::Count;
    /// One more where the mask says so.
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count;
    /// The lanes that have counted to `n`, a bit each.
    fn reached(count: Self::Count, n: u64) -> u64;
    fn counts(count: Self::Count) -> [u64; WIDEST];
    /// The same for counts below 256.
    fn small_counts(count: Self::Count) -> [u8; WIDEST];

    /// Moves the lanes of these bits side by side, of `V` vectors of each kind into as long a slice,
    /// and returns how many they are. What comes after them in the slice is undefined.
    fn pack<const V: usize>(from: [&[Self; V]; 3], which: u64, to: [&mut [f64]; 3]) -> usize;
}

/// The lowest `n` bits, one a lane; `n` is at most 63.
#[inline(always)]
pub const fn lanes(n: usize) -> u64 {
    (1 << n) - 1
}
