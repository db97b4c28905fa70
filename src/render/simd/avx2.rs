//! Four doubles in an AVX2 register.
//!
//! Every `unsafe` block here is of instructions of AVX2 or older. They are sound because no value of
//! this type is made but by a sieve that runs under `#[target_feature(enable = "avx2")]`, which
//! [`super::super::path`] calls only on processors that have it. Loads and stores go through
//! slices whose length is checked first.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_range_loop)] // several arrays are walked in step

use std::arch::x86_64::*;

use super::{Lanes, WIDEST, lanes};

#[derive(Clone, Copy)]
pub struct Avx2(__m256d);

const N: usize = 4;

/// For each set of lanes: where each of eight 32-bit halves comes from, to bring them side by side.
static PACK: [[i32; 8]; 16] = {
    let mut table = [[0; 8]; 16];
    let mut bits = 0;
    while bits < 16 {
        let (mut lane, mut next) = (0, 0);
        while lane < N {
            if bits >> lane & 1 == 1 {
                table[bits][next] = 2 * lane as i32;
                table[bits][next + 1] = 2 * lane as i32 + 1;
                next += 2;
            }
            lane += 1;
        }
        bits += 1;
    }
    table
};

impl Avx2 {
    /// The lanes in the order of a row of [`PACK`].
    #[inline(always)]
    fn permute(self, order: __m256i) -> __m256d {
        unsafe { _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(self.0), order)) }
    }
}

impl Lanes for Avx2 {
    const N: usize = N;
    /// All bits of a lane set, or none.
    type Mask = __m256d;
    type Count = __m256i;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Avx2(unsafe { _mm256_set1_pd(value) })
    }

    #[inline(always)]
    fn ordinals(first: u64) -> Self {
        Avx2(unsafe {
            let places = _mm256_set_epi64x(3, 2, 1, 0);
            _mm256_castsi256_pd(_mm256_add_epi64(_mm256_set1_epi64x(first as i64), places))
        })
    }

    #[inline(always)]
    fn load(from: &[f64]) -> Self {
        let from = &from[..N];
        Avx2(unsafe { _mm256_loadu_pd(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f64]) {
        let to = &mut to[..N];
        unsafe { _mm256_storeu_pd(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_add_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_sub_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_mul_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn less(self, than: Self) -> Self::Mask {
        unsafe { _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, than.0) }
    }

    #[inline(always)]
    fn equal(self, to: Self) -> Self::Mask {
        unsafe { _mm256_cmp_pd::<_CMP_EQ_OQ>(self.0, to.0) }
    }

    #[inline(always)]
    fn least(self, other: Self, unless: Self::Mask) -> Self {
        // All bits set is not a number, and of two of which one is none the second is taken.
        Avx2(unsafe { _mm256_min_pd(_mm256_or_pd(other.0, unless), self.0) })
    }

    #[inline(always)]
    fn both(one: Self::Mask, other: Self::Mask) -> Self::Mask {
        unsafe { _mm256_and_pd(one, other) }
    }

    #[inline(always)]
    fn bits(mask: Self::Mask) -> u64 {
        unsafe { _mm256_movemask_pd(mask) as u64 }
    }

    #[inline(always)]
    fn zero() -> Self::Count {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count {
        unsafe { _mm256_sub_epi64(count, _mm256_castpd_si256(mask)) }
    }

    #[inline(always)]
    fn reached(count: Self::Count, n: u64) -> u64 {
        let equal = unsafe { _mm256_cmpeq_epi64(count, _mm256_set1_epi64x(n as i64)) };
        Self::bits(unsafe { _mm256_castsi256_pd(equal) })
    }

    #[inline(always)]
    fn counts(count: Self::Count) -> [u64; WIDEST] {
        let mut counts = [0; WIDEST];
        unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), count) }
        counts
    }

    #[inline(always)]
    fn small_counts(count: Self::Count) -> [u8; WIDEST] {
        let four = unsafe {
            // The lowest bytes of both lanes of each half, and then those of both halves.
            let pairs = _mm256_shuffle_epi8(count, _mm256_set1_epi64x(0x0800));
            let (low, high) = (
                _mm256_castsi256_si128(pairs),
                _mm256_extracti128_si256::<1>(pairs),
            );
            _mm_cvtsi128_si32(_mm_unpacklo_epi16(low, high)) as u32
        };
        u64::from(four).to_le_bytes()
    }

    #[inline(always)]
    fn pack<const V: usize>(from: [&[Self; V]; 3], mut which: u64, to: [&mut [f64]; 3]) -> usize {
        // Once for all vectors: `v` of them have `v * N` lanes at most, and one more fits behind.
        let [a, b, c] = to.map(|to| to[..V * N].as_mut_ptr());
        let mut kept = 0;
        for v in 0..V {
            let bits = (which & lanes(N)) as usize;
            unsafe {
                let order = _mm256_loadu_si256(PACK[bits].as_ptr().cast());
                _mm256_storeu_pd(a.add(kept), from[0][v].permute(order));
                _mm256_storeu_pd(b.add(kept), from[1][v].permute(order));
                _mm256_storeu_pd(c.add(kept), from[2][v].permute(order));
            }
            kept += bits.count_ones() as usize;
            which >>= N;
        }
        kept
    }
}
