//! The SHA-NI kernel: the CPU's own SHA-256 instructions, with two nonces interleaved.
//!
//! `sha256rnds2` does two rounds but its result comes late; a second, independent hash fills the wait. Each
//! function below works on a [`Pair`], so that the two streams alternate instruction by instruction.
//!
//! The instructions keep the state as two vectors, from the low word up: F E B A ("abef") and H G D C ("cdgh").
//! Two rounds turn (abef, cdgh) into (new, abef). After rounds 60 and 61 of the second hash the low word is F,
//! which was E after round 60: the digest's last word but for the initial state's, and rounds 62 and 63 are
//! never done.
//!
//! # Safety
//!
//! The functions of `core::arch` used here are unsafe only because the CPU must know the instruction. A
//! [`Pair`] is made and used only inside [`scan_here`], into which everything of this file is inlined, and
//! which is called only by [`scan`], after [`available`] has asked the CPU. No pointer is dereferenced.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::ops::{ControlFlow, Range};

use super::puzzle::{Candidates, Puzzle};
use super::words::{INITIAL_STATE, PADDING, ROUND_CONSTANTS, small_sigma0};

/// Whether this CPU runs the kernel.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")
}

/// Tries a range of nonces, and tells those that solve the puzzle in rising order. Returns how many were
/// tried; fewer than the range holds only after `found` broke off.
///
/// # Panics
///
/// When the kernel is not [`available`].
pub(super) fn scan(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    assert!(available(), "the SHA-NI kernel is chosen only where the CPU has SHA-NI");
    // SAFETY: the CPU has all three features, which the line above has just made sure of.
    unsafe { scan_here(puzzle, nonces, found) }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn scan_here(puzzle: &Puzzle, nonces: Range<u64>, found: &mut dyn FnMut(u32) -> ControlFlow<()>) -> u64 {
    let start = Start::new(puzzle);
    let mut first = nonces.start;
    while first < nonces.end {
        let nonce = first as u32;
        let [one, two] = last_words(puzzle, &start, [nonce, nonce.wrapping_add(1)]);
        let at_most = |word: u32| u64::from(word.swap_bytes() <= puzzle.target_top);
        let mask = at_most(one) | at_most(two) << 1;
        if mask != 0 && puzzle.settle(Candidates::within(first, mask, &nonces), found).is_break() {
            return (first + 2).min(nonces.end) - nonces.start;
        }
        first += 2;
    }
    nonces.end.saturating_sub(nonces.start)
}

/// What the rounds of the first hash start from, in vectors.
struct Start {
    abef: Pair,
    cdgh: Pair,
    midstate_abef: Pair,
    midstate_cdgh: Pair,
    /// Words 20 to 23 before σ1.
    before_20: Pair,
    /// Words 28 to 31: what words 12 to 16 give to them.
    before_28: Pair,
}

impl Start {
    #[inline(always)]
    fn new(puzzle: &Puzzle) -> Self {
        let known = &puzzle.schedule;
        let (abef, cdgh) = packed(puzzle.after_round_1);
        let (midstate_abef, midstate_cdgh) = packed(puzzle.midstate);
        let before_20 = Pair::quad([PADDING, 0, 640, known.w16]);
        let before_28 = Pair::quad([0, 0, small_sigma0(640), known.w31_rest]);
        Self { abef, cdgh, midstate_abef, midstate_cdgh, before_20, before_28 }
    }
}

/// The last word of the double hash, for two nonces.
#[inline(always)]
fn last_words(puzzle: &Puzzle, start: &Start, nonces: [u32; 2]) -> [u32; 2] {
    let [one, two] = nonces;
    let [first, second] = first_hash(puzzle, start, [one.swap_bytes(), two.swap_bytes()]);
    last_words_of_second_hash(first, second)
}

/// The digests of the header with each nonce word, as words 0 to 3 and 4 to 7.
#[inline(always)]
fn first_hash(puzzle: &Puzzle, start: &Start, w3: [u32; 2]) -> [Pair; 2] {
    let known = &puzzle.schedule;
    let mut s = State { abef: start.abef, cdgh: start.cdgh };
    let w2_plus_constant = puzzle.tail[2].wrapping_add(ROUND_CONSTANTS[2]);
    s.two_rounds(Pair::each(w3, |w3| [w2_plus_constant, w3.wrapping_add(ROUND_CONSTANTS[3]), 0, 0]));
    s.four_rounds(plus_constants::<4>([PADDING, 0, 0, 0]));
    s.four_rounds(plus_constants::<8>([0; 4]));
    s.four_rounds(plus_constants::<12>([0, 0, 0, 640]));

    let w16 = Pair::each(w3, |w3| {
        let w18 = known.w18_rest.wrapping_add(small_sigma0(w3));
        [known.w16, known.w17, w18, known.w19_rest.wrapping_add(w3)]
    });
    let w20 = start.before_20.message_2(w16);
    let w24 = w20.words_after_first(w16).message_2(w20);
    let w28 = start.before_28.add(w24.words_after_first(w20)).message_2(w24);
    s.four_scheduled_rounds::<16>(w16);
    s.four_scheduled_rounds::<20>(w20);
    s.four_scheduled_rounds::<24>(w24);
    s.four_scheduled_rounds::<28>(w28);
    let mut w = [w16, w20, w24, w28];
    s.four_more_rounds::<32>(&mut w);
    s.four_more_rounds::<36>(&mut w);
    s.four_more_rounds::<40>(&mut w);
    s.four_more_rounds::<44>(&mut w);
    s.four_more_rounds::<48>(&mut w);
    s.four_more_rounds::<52>(&mut w);
    s.four_more_rounds::<56>(&mut w);
    s.four_more_rounds::<60>(&mut w);
    unpacked(s.abef.add(start.midstate_abef), s.cdgh.add(start.midstate_cdgh))
}

/// The last words of the hashes of two 32-byte digests.
#[inline(always)]
fn last_words_of_second_hash(w0: Pair, w4: Pair) -> [u32; 2] {
    let (abef, cdgh) = packed(INITIAL_STATE);
    let mut s = State { abef, cdgh };
    s.four_scheduled_rounds::<0>(w0);
    s.four_scheduled_rounds::<4>(w4);
    s.four_rounds(plus_constants::<8>([PADDING, 0, 0, 0]));
    s.four_rounds(plus_constants::<12>([0, 0, 0, 256]));

    let (w8, w12) = (Pair::quad([PADDING, 0, 0, 0]), Pair::quad([0, 0, 0, 256]));
    let w16 = w0.message_1(w4).message_2(w12);
    s.four_scheduled_rounds::<16>(w16);
    let w20 = w4.message_1(w8).add(w16.words_after_first(w12)).message_2(w16);
    s.four_scheduled_rounds::<20>(w20);
    let w24 = w8.add(w20.words_after_first(w16)).message_2(w20);
    s.four_scheduled_rounds::<24>(w24);
    let w28 = w12.message_1(w16).add(w24.words_after_first(w20)).message_2(w24);
    s.four_scheduled_rounds::<28>(w28);
    let mut w = [w16, w20, w24, w28];
    s.four_more_rounds::<32>(&mut w);
    s.four_more_rounds::<36>(&mut w);
    s.four_more_rounds::<40>(&mut w);
    s.four_more_rounds::<44>(&mut w);
    s.four_more_rounds::<48>(&mut w);
    s.four_more_rounds::<52>(&mut w);
    s.four_more_rounds::<56>(&mut w);
    w[3] = next_words(&w, 3);
    s.two_rounds(w[3].add(plus_constants::<60>([0; 4])));
    let [one, two] = s.abef.low_words();
    [one.wrapping_add(INITIAL_STATE[7]), two.wrapping_add(INITIAL_STATE[7])]
}

/// The states of two hashes.
struct State {
    abef: Pair,
    cdgh: Pair,
}

impl State {
    #[inline(always)]
    fn two_rounds(&mut self, words_plus_constants: Pair) {
        let next = self.cdgh.rounds(self.abef, words_plus_constants);
        self.cdgh = self.abef;
        self.abef = next;
    }

    #[inline(always)]
    fn four_rounds(&mut self, words_plus_constants: Pair) {
        self.two_rounds(words_plus_constants);
        self.two_rounds(words_plus_constants.high_half());
    }

    /// Rounds `I` to `I + 3` with these words.
    #[inline(always)]
    fn four_scheduled_rounds<const I: usize>(&mut self, words: Pair) {
        self.four_rounds(words.add(plus_constants::<I>([0; 4])));
    }

    /// Rounds `I` to `I + 3` after extending the schedule for them.
    #[inline(always)]
    fn four_more_rounds<const I: usize>(&mut self, w: &mut [Pair; 4]) {
        w[I / 4 % 4] = next_words(w, I / 4 % 4);
        self.four_scheduled_rounds::<I>(w[I / 4 % 4]);
    }
}

/// The four words that follow a ring of 16 whose oldest four are at index `i`.
#[inline(always)]
fn next_words(w: &[Pair; 4], i: usize) -> Pair {
    let newest = w[(i + 3) % 4];
    let middle = newest.words_after_first(w[(i + 2) % 4]);
    w[i].message_1(w[(i + 1) % 4]).add(middle).message_2(newest)
}

/// Round constants `I` to `I + 3` plus known words.
#[inline(always)]
fn plus_constants<const I: usize>([a, b, c, d]: [u32; 4]) -> Pair {
    let k = &ROUND_CONSTANTS;
    Pair::quad([
        a.wrapping_add(k[I]),
        b.wrapping_add(k[I + 1]),
        c.wrapping_add(k[I + 2]),
        d.wrapping_add(k[I + 3]),
    ])
}

/// A state a..h as the instructions want it.
#[inline(always)]
fn packed([a, b, c, d, e, f, g, h]: [u32; 8]) -> (Pair, Pair) {
    (Pair::quad([f, e, b, a]), Pair::quad([h, g, d, c]))
}

/// The words a b c d and e f g h of a state.
#[inline(always)]
fn unpacked(abef: Pair, cdgh: Pair) -> [Pair; 2] {
    // SAFETY: the page's argument.
    let halves = |i: usize| unsafe {
        let abef = _mm_shuffle_epi32::<0b00_01_10_11>(abef.0[i]);
        let ghcd = _mm_shuffle_epi32::<0b10_11_00_01>(cdgh.0[i]);
        (_mm_blend_epi16::<0b1111_0000>(abef, ghcd), _mm_alignr_epi8::<8>(ghcd, abef))
    };
    let ((abcd_0, efgh_0), (abcd_1, efgh_1)) = (halves(0), halves(1));
    [Pair([abcd_0, abcd_1]), Pair([efgh_0, efgh_1])]
}

/// Four words of each of two hashes.
#[derive(Clone, Copy)]
struct Pair([__m128i; 2]);

// SAFETY of each block: the page's argument.
impl Pair {
    /// The same four words for both.
    #[inline(always)]
    fn quad(words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        let quad = unsafe { _mm_set_epi32(d as i32, c as i32, b as i32, a as i32) };
        Self([quad, quad])
    }

    /// Four words for each, made from a word of each.
    #[inline(always)]
    fn each([one, two]: [u32; 2], words: impl Fn(u32) -> [u32; 4]) -> Self {
        let (Self([one, _]), Self([two, _])) = (Self::quad(words(one)), Self::quad(words(two)));
        Self([one, two])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Self(unsafe { [_mm_add_epi32(a, c), _mm_add_epi32(b, d)] })
    }

    /// Two rounds from the state (`abef`, self), with the two low words.
    #[inline(always)]
    fn rounds(self, abef: Self, words_plus_constants: Self) -> Self {
        let ([a, b], [c, d], [e, f]) = (self.0, abef.0, words_plus_constants.0);
        Self(unsafe { [_mm_sha256rnds2_epu32(a, c, e), _mm_sha256rnds2_epu32(b, d, f)] })
    }

    /// Words t−16 to t−13 with σ0 of words t−15 to t−12 added.
    #[inline(always)]
    fn message_1(self, next: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, next.0);
        Self(unsafe { [_mm_sha256msg1_epu32(a, c), _mm_sha256msg1_epu32(b, d)] })
    }

    /// Words t to t+3, from all of them but σ1 and from words t−4 to t−1.
    #[inline(always)]
    fn message_2(self, newest: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, newest.0);
        Self(unsafe { [_mm_sha256msg2_epu32(a, c), _mm_sha256msg2_epu32(b, d)] })
    }

    /// Words t−7 to t−4, of which `older` ends three earlier and self begins.
    #[inline(always)]
    fn words_after_first(self, older: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, older.0);
        Self(unsafe { [_mm_alignr_epi8::<4>(a, c), _mm_alignr_epi8::<4>(b, d)] })
    }

    /// The two high words, moved down.
    #[inline(always)]
    fn high_half(self) -> Self {
        let [a, b] = self.0;
        Self(unsafe { [_mm_shuffle_epi32::<0b1110>(a), _mm_shuffle_epi32::<0b1110>(b)] })
    }

    #[inline(always)]
    fn low_words(self) -> [u32; 2] {
        let [a, b] = self.0;
        unsafe { [_mm_cvtsi128_si32(a) as u32, _mm_cvtsi128_si32(b) as u32] }
    }
}
