//! The AVX-512 kernel: sixteen nonces side by side, rotates and three-way logic in one instruction each.
//!
//! # Safety
//!
//! Every function of `core::arch` used here is unsafe only because the CPU must know the instruction; so is the
//! one line of assembly, which adds two registers. A [`Zmm`] is made and used only inside [`scan_here`], into which everything of this file is inlined, and
//! which is called only by [`scan`], after [`available`] has asked the CPU. No pointer is dereferenced.
#![allow(unsafe_code)]

use core::arch::asm;
use core::arch::x86_64::*;
use core::ops::{ControlFlow, Range};

use super::lanes::{self, Lanes};
use super::puzzle::Puzzle;

/// Whether this CPU (and its operating system) runs the kernel.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
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
    assert!(available(), "the AVX-512 kernel is chosen only where the CPU has AVX-512");
    // SAFETY: the CPU has both features, which the line above has just made sure of.
    unsafe { scan_here(puzzle, nonces, found) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn scan_here(puzzle: &Puzzle, nonces: Range<u64>, found: &mut dyn FnMut(u32) -> ControlFlow<()>) -> u64 {
    lanes::scan::<Zmm>(puzzle, nonces, found)
}

#[derive(Clone, Copy)]
struct Zmm(__m512i);

/// The truth tables of `vpternlogd`: bit `4a + 2b + c` is the result for these three bits.
const XOR3: i32 = 0b1001_0110;
const CHOOSE: i32 = 0b1100_1010;
const MAJORITY: i32 = 0b1110_1000;

// SAFETY of each block: the page's argument.
impl Lanes for Zmm {
    const COUNT: u32 = 16;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        Self(unsafe { _mm512_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn count_from(first: u32) -> Self {
        let steps = Self(unsafe { _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0) });
        Self::splat(first).add(steps)
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn add_late(self, other: Self) -> Self {
        Self(unsafe { add_late(self.0, other.0) })
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        Self(unsafe { _mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        Self(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        Self(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Self {
        Self(unsafe { _mm512_ror_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        Self(unsafe { _mm512_srli_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        Self(unsafe {
            let reversed = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
            _mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(reversed))
        })
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        u64::from(unsafe { _mm512_cmple_epu32_mask(self.0, _mm512_set1_epi32(limit as i32)) })
    }
}

/// An addition that the compiler leaves where it stands; see [`Lanes::add_late`].
#[inline]
#[target_feature(enable = "avx512f")]
fn add_late(a: __m512i, b: __m512i) -> __m512i {
    let sum;
    // SAFETY: one instruction of the feature that this function has, on registers alone.
    unsafe {
        asm!(
            "vpaddd {}, {}, {}",
            lateout(zmm_reg) sum,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
