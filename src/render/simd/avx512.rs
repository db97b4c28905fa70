//! Eight doubles in an AVX-512 register.
//!
//! Every `unsafe` block here is of instructions of AVX-512F or older. They are sound because no
//! value of this type is made but by a sieve that runs under
//! `#[target_feature(enable = "avx512f")]`, which [`super::super::path`] calls only on processors
//! that have it. Loads and stores go through slices whose length is checked first.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_range_loop)] // several arrays are walked in step

use std::arch::x86_64::*;

use super::{Lanes, WIDEST, lanes};

#[derive(Clone, Copy)]
pub struct Avx512(__m512d);

const N: usize = 8;

impl Lanes for Avx512 {
    const N: usize = N;
    /// A bit a lane, in a register of its own kind.
    type Mask = __mmask8;
    type Count = __m512i;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Avx512(unsafe { _mm512_set1_pd(value) })
    }

    #[inline(always)]
    fn ordinals(first: u64) -> Self {
        Avx512(unsafe {
            let places = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
            _mm512_castsi512_pd(_mm512_add_epi64(_mm512_set1_epi64(first as i64), places))
        })
    }

    #[inline(always)]
    fn load(from: &[f64]) -> Self {
        let from = &from[..N];
        Avx512(unsafe { _mm512_loadu_pd(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f64]) {
        let to = &mut to[..N];
        unsafe { _mm512_storeu_pd(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_add_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_sub_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_mul_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn less(self, than: Self) -> Self::Mask {
        unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, than.0) }
    }

    #[inline(always)]
    fn equal(self, to: Self) -> Self::Mask {
        unsafe { _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(self.0, to.0) }
    }

    #[inline(always)]
    fn least(self, other: Self, unless: Self::Mask) -> Self {
        // Of two of which one is not a number the second is taken.
        Avx512(unsafe { _mm512_mask_min_pd(self.0, !unless, other.0, self.0) })
    }

    #[inline(always)]
    fn both(one: Self::Mask, other: Self::Mask) -> Self::Mask {
        one & other
    }

    #[inline(always)]
    fn bits(mask: Self::Mask) -> u64 {
        u64::from(mask)
    }

    #[inline(always)]
    fn zero() -> Self::Count {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn tick(count: Self::Count, mask: Self::Mask) -> Self::Count {
        unsafe { _mm512_mask_add_epi64(count, mask, count, _mm512_set1_epi64(1)) }
    }

    #[inline(always)]
    fn reached(count: Self::Count, n: u64) -> u64 {
        u64::from(unsafe { _mm512_cmpeq_epi64_mask(count, _mm512_set1_epi64(n as i64)) })
    }

    #[inline(always)]
    fn counts(count: Self::Count) -> [u64; WIDEST] {
        let mut counts = [0; WIDEST];
        unsafe { _mm512_storeu_si512(counts.as_mut_ptr().cast(), count) }
        counts
    }

    #[inline(always)]
    fn small_counts(count: Self::Count) -> [u8; WIDEST] {
        let eight = unsafe { _mm_cvtsi128_si64(_mm512_cvtepi64_epi8(count)) };
        eight.to_le_bytes()
    }

    #[inline(always)]
    fn pack<const V: usize>(from: [&[Self; V]; 3], mut which: u64, to: [&mut [f64]; 3]) -> usize {
        // Once for all vectors: `v` of them have `v * N` lanes at most, and one more fits behind.
        let [a, b, c] = to.map(|to| to[..V * N].as_mut_ptr());
        let mut kept = 0;
        for v in 0..V {
            let bits = (which & lanes(N)) as __mmask8;
            // Packed in a register and stored whole: storing packed is slow on some processors.
            unsafe {
                _mm512_storeu_pd(a.add(kept), _mm512_maskz_compress_pd(bits, from[0][v].0));
                _mm512_storeu_pd(b.add(kept), _mm512_maskz_compress_pd(bits, from[1][v].0));
                _mm512_storeu_pd(c.add(kept), _mm512_maskz_compress_pd(bits, from[2][v].0));
            }
            kept += bits.count_ones() as usize;
            which >>= N;
        }
        kept
    }
}
