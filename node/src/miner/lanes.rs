//! Double SHA-256 of many nonces side by side, one in each lane of a vector; the widths plug in as [`Lanes`].
//!
//! Only the digest's last word is computed, because it decides nearly every nonce: it is `e` after round 60
//! of the second hash, so rounds 61 to 63 are not done at all, and rounds 57 to 60 do not compute their `a`,
//! which would only reach `e` four rounds later. The schedule's words leave out what padding makes zero and
//! take from the [`Puzzle`] what padding and the header make constant.

use core::ops::{ControlFlow, Range};

use super::puzzle::{Candidates, Puzzle};
use super::words::{INITIAL_STATE, PADDING, ROUND_CONSTANTS, round, small_sigma0, small_sigma1};

/// A vector of 32-bit words, at most 64 of them. All arithmetic wraps.
pub(super) trait Lanes: Copy {
    /// How many words.
    const COUNT: u32;
    /// The same word everywhere.
    fn splat(word: u32) -> Self;
    /// `first`, `first + 1` and so on.
    fn count_from(first: u32) -> Self;
    fn add(self, other: Self) -> Self;
    /// Addition of something that is known late: the sum may not be regrouped, so that what is known early is
    /// added while `late` is still being computed. (LLVM would move the round constants to the end of a sum,
    /// where they lengthen the one chain that a round consists of; AVX-512 lost a sixth of its speed to that.)
    #[inline(always)]
    fn add_late(self, late: Self) -> Self {
        self.add(late)
    }
    fn xor3(self, b: Self, c: Self) -> Self;
    /// Where a bit is set that of `b`, elsewhere that of `c`: Ch.
    fn choose(self, b: Self, c: Self) -> Self;
    /// Maj.
    fn majority(self, b: Self, c: Self) -> Self;
    fn rotate_right<const BITS: i32>(self) -> Self;
    fn shift_right<const BITS: u32>(self) -> Self;
    fn swap_bytes(self) -> Self;
    /// A mask of the lanes that are at most `limit`, lane 0 in bit 0.
    fn at_most(self, limit: u32) -> u64;
}

/// Tries the nonces of a range, and tells those that solve the puzzle in rising order. Returns how many were
/// tried; fewer than the range holds only after `found` broke off.
#[inline(always)]
pub(super) fn scan<L: Lanes>(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    let mut first = nonces.start;
    while first < nonces.end {
        let top = last_word(puzzle, L::count_from(first as u32)).swap_bytes();
        let mask = top.at_most(puzzle.target_top);
        let next = first + u64::from(L::COUNT);
        if mask != 0 && puzzle.settle(Candidates::within(first, mask, &nonces), found).is_break() {
            return next.min(nonces.end) - nonces.start;
        }
        first = next;
    }
    nonces.end.saturating_sub(nonces.start)
}

/// Repeats a block with `$i` constant, so that arrays indexed by it stay in registers.
macro_rules! unrolled {
    ($i:ident in [$($value:literal)*] $body:block) => { $({ const $i: usize = $value; $body })* };
}

/// The last word of the double hash, for these nonces.
#[inline(always)]
fn last_word<L: Lanes>(puzzle: &Puzzle, nonces: L) -> L {
    let first = first_hash(puzzle, nonces.swap_bytes());
    last_word_of_second_hash(first)
}

/// The digest of the header whose nonce word is given: rounds 4 to 63 of its second chunk.
#[inline(always)]
fn first_hash<L: Lanes>(puzzle: &Puzzle, w3: L) -> [L; 8] {
    let mut s: [L; 8] = splat_all(puzzle.after_round_3);
    s[0] = s[0].add(w3);
    s[4] = s[4].add(w3);
    unrolled!(I in [0 1 2] { s = round_without_h(s, L::splat(puzzle.rounds_4_to_6[I])) });
    unrolled!(I in [7 8 9 10 11 12 13 14] { s = full_round(s, L::splat(ROUND_CONSTANTS[I])) });
    s = full_round(s, L::splat(ROUND_CONSTANTS[15].wrapping_add(640)));

    let known = &puzzle.schedule;
    s = full_round(s, L::splat(known.w16.wrapping_add(ROUND_CONSTANTS[16])));
    s = full_round(s, L::splat(known.w17.wrapping_add(ROUND_CONSTANTS[17])));
    let mut w = second_chunk_words(puzzle, w3);
    unrolled!(I in [18 19 20 21 22 23 24 25 26 27 28 29 30 31] { s = scheduled_round::<L, I>(s, &w) });
    // w[0] and w[1], words 16 and 17, are constants that words 31 and 32 have taken in already.
    w[0] = small_sigma1_of(w[14]).add(w[9]).add(L::splat(known.w32_rest));
    w[1] = small_sigma1_of(w[15]).add(w[10]).add(small_sigma0_of(w[2])).add(L::splat(known.w17));
    s = scheduled_round::<L, 32>(s, &w);
    s = scheduled_round::<L, 33>(s, &w);
    unrolled!(I in [34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63] {
        extend::<L, I>(&mut w);
        s = scheduled_round::<L, I>(s, &w);
    });
    unrolled!(I in [0 1 2 3 4 5 6 7] { s[I] = s[I].add(L::splat(puzzle.midstate[I])) });
    s
}

/// Words 18 to 31 of the header's second chunk, each at its index less 16; words 16 and 17 are not needed.
#[inline(always)]
fn second_chunk_words<L: Lanes>(puzzle: &Puzzle, w3: L) -> [L; 16] {
    let known = &puzzle.schedule;
    let mut w = [w3; 16];
    w[2] = small_sigma0_of(w3).add(L::splat(known.w18_rest));
    w[3] = w3.add(L::splat(known.w19_rest));
    w[4] = small_sigma1_of(w[2]).add(L::splat(PADDING));
    w[5] = small_sigma1_of(w[3]);
    w[6] = small_sigma1_of(w[4]).add(L::splat(640));
    w[7] = small_sigma1_of(w[5]).add(L::splat(known.w16));
    w[8] = small_sigma1_of(w[6]).add(L::splat(known.w17));
    unrolled!(I in [9 10 11 12 13] { w[I] = small_sigma1_of(w[I - 2]).add(w[I - 7]) });
    w[14] = small_sigma1_of(w[12]).add(w[7]).add(L::splat(const { small_sigma0(640) }));
    w[15] = small_sigma1_of(w[13]).add(w[8]).add(L::splat(known.w31_rest));
    w
}

/// `e` after round 60 of the hash of a 32-byte digest, plus the initial state's last word.
#[inline(always)]
fn last_word_of_second_hash<L: Lanes>(digest: [L; 8]) -> L {
    // Round 0 starts from constants, and its word enters by addition only.
    const ROUND_0: [u32; 8] = round(INITIAL_STATE, ROUND_CONSTANTS[0]);
    let mut s: [L; 8] = splat_all(ROUND_0);
    s[0] = s[0].add(digest[0]);
    s[4] = s[4].add(digest[0]);
    unrolled!(I in [1 2 3] {
        s = round_without_h(s, digest[I].add(L::splat(ROUND_CONSTANTS[I].wrapping_add(ROUND_0[8 - I]))));
    });
    unrolled!(I in [4 5 6 7] { s = full_round(s, digest[I].add(L::splat(ROUND_CONSTANTS[I]))) });
    s = full_round(s, L::splat(ROUND_CONSTANTS[8].wrapping_add(PADDING)));
    unrolled!(I in [9 10 11 12 13 14] { s = full_round(s, L::splat(ROUND_CONSTANTS[I])) });
    s = full_round(s, L::splat(ROUND_CONSTANTS[15].wrapping_add(256)));

    let mut w = third_chunk_words(digest);
    unrolled!(I in [16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31] { s = scheduled_round::<L, I>(s, &w) });
    unrolled!(I in [32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56] {
        extend::<L, I>(&mut w);
        s = scheduled_round::<L, I>(s, &w);
    });
    unrolled!(I in [57 58 59 60] {
        extend::<L, I>(&mut w);
        s = round_without_a(s, w[I % 16].add(L::splat(ROUND_CONSTANTS[I])));
    });
    s[4].add(L::splat(INITIAL_STATE[7]))
}

/// Words 16 to 31 of the chunk that holds a digest and its padding.
#[inline(always)]
fn third_chunk_words<L: Lanes>(digest: [L; 8]) -> [L; 16] {
    const LENGTH: u32 = 256;
    let mut w = [digest[0]; 16];
    w[0] = digest[0].add(small_sigma0_of(digest[1]));
    w[1] = digest[1].add(small_sigma0_of(digest[2])).add(L::splat(const { small_sigma1(LENGTH) }));
    unrolled!(I in [2 3 4 5] {
        w[I] = small_sigma1_of(w[I - 2]).add(small_sigma0_of(digest[I + 1])).add(digest[I]);
    });
    w[6] = small_sigma1_of(w[4]).add(L::splat(LENGTH)).add(small_sigma0_of(digest[7])).add(digest[6]);
    w[7] = small_sigma1_of(w[5]).add(w[0]).add(digest[7]).add(L::splat(const { small_sigma0(PADDING) }));
    w[8] = small_sigma1_of(w[6]).add(w[1]).add(L::splat(PADDING));
    unrolled!(I in [9 10 11 12 13] { w[I] = small_sigma1_of(w[I - 2]).add(w[I - 7]) });
    w[14] = small_sigma1_of(w[12]).add(w[7]).add(L::splat(const { small_sigma0(LENGTH) }));
    w[15] = small_sigma1_of(w[13]).add(w[8]).add(small_sigma0_of(w[0])).add(L::splat(LENGTH));
    w
}

/// Word `I` of a schedule kept in a ring of 16.
#[inline(always)]
fn extend<L: Lanes, const I: usize>(w: &mut [L; 16]) {
    w[I % 16] = small_sigma1_of(w[(I + 14) % 16])
        .add(w[(I + 9) % 16])
        .add(small_sigma0_of(w[(I + 1) % 16]))
        .add(w[I % 16]);
}

/// Round `I` with its word from the ring.
#[inline(always)]
fn scheduled_round<L: Lanes, const I: usize>(s: [L; 8], w: &[L; 16]) -> [L; 8] {
    full_round(s, w[I % 16].add(L::splat(ROUND_CONSTANTS[I])))
}

/// Spelt out, because a closure handed to `map` would not be compiled for the kernel's instructions.
#[inline(always)]
fn splat_all<L: Lanes>(words: [u32; 8]) -> [L; 8] {
    let [a, b, c, d, e, f, g, h] = words;
    let s = L::splat;
    [s(a), s(b), s(c), s(d), s(e), s(f), s(g), s(h)]
}

#[inline(always)]
fn full_round<L: Lanes>(s: [L; 8], word_plus_constant: L) -> [L; 8] {
    round_without_h(s, s[7].add(word_plus_constant))
}

/// A round whose `h` is in the third summand already.
#[inline(always)]
fn round_without_h<L: Lanes>(s: [L; 8], word_constant_h: L) -> [L; 8] {
    let [a, b, c, d, e, f, g, _] = s;
    let t1 = word_constant_h.add_late(e.choose(f, g)).add_late(big_sigma1_of(e));
    let t2 = a.majority(b, c).add(big_sigma0_of(a));
    [t1.add(t2), a, b, c, d.add(t1), e, f, g]
}

/// One of the last four rounds, whose `a` nobody will read.
#[inline(always)]
fn round_without_a<L: Lanes>(s: [L; 8], word_plus_constant: L) -> [L; 8] {
    let [a, b, c, d, e, f, g, h] = s;
    let t1 = h.add(word_plus_constant).add(e.choose(f, g)).add(big_sigma1_of(e));
    [a, a, b, c, d.add(t1), e, f, g]
}

#[inline(always)]
fn big_sigma0_of<L: Lanes>(x: L) -> L {
    x.rotate_right::<2>().xor3(x.rotate_right::<13>(), x.rotate_right::<22>())
}

#[inline(always)]
fn big_sigma1_of<L: Lanes>(x: L) -> L {
    x.rotate_right::<6>().xor3(x.rotate_right::<11>(), x.rotate_right::<25>())
}

#[inline(always)]
fn small_sigma0_of<L: Lanes>(x: L) -> L {
    x.rotate_right::<7>().xor3(x.rotate_right::<18>(), x.shift_right::<3>())
}

#[inline(always)]
fn small_sigma1_of<L: Lanes>(x: L) -> L {
    x.rotate_right::<17>().xor3(x.rotate_right::<19>(), x.shift_right::<10>())
}
