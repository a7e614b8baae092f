//! Eight nonces side by side with AVX2: the portable kernel's vector on the many CPUs that have no AVX-512.
//!
//! # Safety
//!
//! Every function of `core::arch` used here is unsafe only because the CPU must know the instruction. A
//! [`Ymm`] is made and used only inside [`scan_here`], into which everything of this file is inlined, and
//! which is called only by [`scan`], after [`available`] has asked the CPU. No pointer is dereferenced.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::ops::{ControlFlow, Range};

use super::lanes::{self, Lanes};
use super::puzzle::Puzzle;

/// Whether this CPU (and its operating system) runs the kernel.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Tries a range of nonces; see [`lanes::scan`].
///
/// # Panics
///
/// When the kernel is not [`available`].
pub(super) fn scan(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    assert!(available(), "the AVX2 kernel is chosen only where the CPU has AVX2");
    // SAFETY: the CPU has the feature, which the line above has just made sure of.
    unsafe { scan_here(puzzle, nonces, found) }
}

#[target_feature(enable = "avx2")]
fn scan_here(puzzle: &Puzzle, nonces: Range<u64>, found: &mut dyn FnMut(u32) -> ControlFlow<()>) -> u64 {
    lanes::scan::<Ymm>(puzzle, nonces, found)
}

#[derive(Clone, Copy)]
struct Ymm(__m256i);

// SAFETY of each block: the page's argument.
impl Lanes for Ymm {
    const COUNT: u32 = 8;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        Self(unsafe { _mm256_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn count_from(first: u32) -> Self {
        Self::splat(first).add(Self(unsafe { _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0) }))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }

    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        b.xor(c).and(self).xor(c)
    }

    // In this form `b ^ c` is the last round's `a ^ b`, which the compiler keeps.
    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        self.xor(b).and(b.xor(c)).xor(b)
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Self {
        Self(unsafe {
            let right = _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS));
            _mm256_or_si256(right, _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(32 - BITS)))
        })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        Self(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        Self(unsafe {
            let reversed = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
            _mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(reversed))
        })
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        // A word is at most the limit when the smaller of the two is the word.
        let mask = unsafe {
            let smaller = _mm256_min_epu32(self.0, _mm256_set1_epi32(limit as i32));
            _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(smaller, self.0)))
        };
        u64::from(mask as u32)
    }
}

impl Ymm {
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }
}
