//! The kernel that runs everywhere, in the widest plain vectors that the machine has.
//!
//! On x86-64 that is AVX2 or else SSE2, both from the one source in [`lanes`](super::lanes). Elsewhere each
//! nonce goes through the `sha2` crate's compression, which knows those machines' own SHA instructions.

use core::ops::{ControlFlow, Range};

use super::puzzle::Puzzle;

/// Tries a range of nonces, and tells those that solve the puzzle in rising order. Returns how many were
/// tried; fewer than the range holds only after `found` broke off.
#[cfg(target_arch = "x86_64")]
pub(super) fn scan(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    if super::avx2::available() {
        super::avx2::scan(puzzle, nonces, found)
    } else {
        super::sse2::scan(puzzle, nonces, found)
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use one_by_one as scan;

/// One nonce after the other, from the midstate.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn one_by_one(
    puzzle: &Puzzle,
    nonces: Range<u64>,
    found: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> u64 {
    use super::words::INITIAL_STATE;
    use sha2::block_api::compress256;

    let mut second_chunk = [0; 64];
    second_chunk[..16].copy_from_slice(&puzzle.header(0)[64..]);
    second_chunk[16] = 0x80;
    second_chunk[62..].copy_from_slice(&640u16.to_be_bytes());
    let mut digest_chunk = [0; 64];
    digest_chunk[32] = 0x80;
    digest_chunk[62..].copy_from_slice(&256u16.to_be_bytes());

    for nonce in nonces.clone() {
        second_chunk[12..16].copy_from_slice(&(nonce as u32).to_le_bytes());
        let mut first = puzzle.midstate;
        compress256(&mut first, &[second_chunk]);
        for (bytes, word) in digest_chunk.chunks_exact_mut(4).zip(first) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        let mut second = INITIAL_STATE;
        compress256(&mut second, &[digest_chunk]);
        if second[7].swap_bytes() <= puzzle.target_top
            && puzzle.accepts(nonce as u32)
            && found(nonce as u32).is_break()
        {
            return nonce + 1 - nonces.start;
        }
    }
    nonces.end.saturating_sub(nonces.start)
}
