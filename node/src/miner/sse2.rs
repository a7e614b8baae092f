//! Four nonces side by side with SSE2, which every x86-64 has: the portable kernel's vector there.
//!
//! # Safety
//!
//! The functions of `core::arch` used here are unsafe only because the CPU must know the instruction, and SSE2
//! is part of x86-64 itself: this file is compiled for no other architecture. No pointer is dereferenced.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use core::ops::{ControlFlow, Range};

use super::lanes::{self, Lanes};
use super::puzzle::Puzzle;

/// Tries a range of nonces; see [`lanes::scan`].
pub(super) fn scan(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    lanes::scan::<Xmm>(puzzle, nonces, found)
}

/// Four words.
#[derive(Clone, Copy)]
struct Xmm(__m128i);

// SAFETY of each block: the page's argument.
impl Lanes for Xmm {
    const COUNT: u32 = 4;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        Self(unsafe { _mm_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn count_from(first: u32) -> Self {
        Self::splat(first).add(Self(unsafe { _mm_set_epi32(3, 2, 1, 0) }))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm_add_epi32(self.0, other.0) })
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
        // The count as an operand, for the immediate form takes no expression of a constant parameter.
        Self(unsafe {
            let right = _mm_srl_epi32(self.0, _mm_cvtsi32_si128(BITS));
            _mm_or_si128(right, _mm_sll_epi32(self.0, _mm_cvtsi32_si128(32 - BITS)))
        })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        Self(unsafe { _mm_srl_epi32(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        const EXCHANGED: i32 = 0b10_11_00_01;
        Self(unsafe {
            let pairs = _mm_or_si128(_mm_srli_epi16::<8>(self.0), _mm_slli_epi16::<8>(self.0));
            _mm_shufflehi_epi16::<EXCHANGED>(_mm_shufflelo_epi16::<EXCHANGED>(pairs))
        })
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        // SSE2 compares signed words only; turning over the top bit of both makes that the unsigned order.
        let top = Self::splat(1 << 31);
        let mask = unsafe {
            let above = _mm_cmpgt_epi32(self.xor(top).0, Self::splat(limit).xor(top).0);
            _mm_movemask_ps(_mm_castsi128_ps(above))
        };
        u64::from(!mask as u32 & 0b1111)
    }
}

impl Xmm {
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(unsafe { _mm_and_si128(self.0, other.0) })
    }
}
