//! Four doubles in an AVX2 register.
//!
//! Every `unsafe` block here is an instruction of AVX2 or older. They are sound because no value of
//! this type is made but by a sieve that runs under `#[target_feature(enable = "avx2")]`, which
//! [`super::super::path`] calls only on processors that have it. Loads and stores go through
//! slices whose length is checked first.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::arch::x86_64::*;

use super::Lanes;

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

/// The same for four 32-bit numbers, in bytes.
static PACK_SMALL: [[i8; 16]; 16] = {
    let mut table = [[0; 16]; 16];
    let mut bits = 0;
    while bits < 16 {
        let (mut lane, mut next) = (0, 0);
        while lane < N {
            if bits >> lane & 1 == 1 {
                let mut byte = 0;
                while byte < 4 {
                    table[bits][next] = (4 * lane + byte) as i8;
                    next += 1;
                    byte += 1;
                }
            }
            lane += 1;
        }
        bits += 1;
    }
    table
};

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
    fn first(n: usize) -> Self::Mask {
        unsafe {
            let lanes = _mm256_set_epi64x(3, 2, 1, 0);
            _mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), lanes))
        }
    }

    #[inline(always)]
    fn and(one: Self::Mask, other: Self::Mask) -> Self::Mask {
        unsafe { _mm256_and_pd(one, other) }
    }

    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        unsafe { _mm256_movemask_pd(mask) as u32 }
    }

    #[inline(always)]
    fn none() -> Self::Count {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count {
        unsafe { _mm256_sub_epi64(count, _mm256_castpd_si256(mask)) }
    }

    #[inline(always)]
    fn counts(count: Self::Count, to: &mut [u64]) {
        let to = &mut to[..N];
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), count) }
    }

    #[inline(always)]
    fn pack(self, bits: u32, to: &mut [f64]) {
        let order = &PACK[bits as usize & 15];
        let packed = unsafe {
            let order = _mm256_loadu_si256(order.as_ptr().cast());
            _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(self.0), order))
        };
        Avx2(packed).store(to);
    }

    #[inline(always)]
    fn pack_small(bits: u32, at: &mut [u32], from: usize, to: usize) {
        let order = &PACK_SMALL[bits as usize & 15];
        let source = &at[from..from + N];
        let packed = unsafe {
            let order = _mm_loadu_si128(order.as_ptr().cast());
            _mm_shuffle_epi8(_mm_loadu_si128(source.as_ptr().cast()), order)
        };
        let target = &mut at[to..to + N];
        unsafe { _mm_storeu_si128(target.as_mut_ptr().cast(), packed) }
    }
}
