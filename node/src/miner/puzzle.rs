//! A header and a target, made ready for searching: everything that does not depend on the nonce, done once.
//!
//! The header is Bitcoin's: version (0..4), parent (4..36), commitment (36..68), time (68..72), bits (72..76)
//! and nonce (76..80), all little-endian; SHA-256 reads the same bytes as big-endian words. Its first 64 bytes
//! make one chunk, whose compression is the *midstate*. The second chunk holds the last 16 bytes and padding,
//! so that only its word 3 depends on the nonce: rounds 0 to 2 are done here, round 3 but for one addition, and
//! so are the schedule's words that the nonce does not reach.
//!
//! A digest is a little-endian number of 256 bits and solves the puzzle when it is at most the target. A
//! kernel may reject on the number's top word alone, when that is *greater than the target's top word*;
//! comparing it with zero instead would miss solutions on every chain easier than Bitcoin's.

use core::ops::Range;

use sha2::{Digest, Sha256};
use synod_types::U256;

use super::words::{INITIAL_STATE, PADDING, ROUND_CONSTANTS, round, small_sigma0, small_sigma1};

/// One past the last nonce: ranges of nonces lie within `0..NONCES`.
pub const NONCES: u64 = 1 << 32;

/// The length of a header in bits, the last word of the padding after it.
const HEADER_BITS: u32 = 640;

/// A header without its nonce, and a target, prepared for the kernels.
#[derive(Clone, Debug)]
pub struct Puzzle {
    header: [u8; 80],
    target: U256,
    /// The target's most significant 32 bits.
    pub(super) target_top: u32,
    /// The state after the header's first 64 bytes.
    pub(super) midstate: [u32; 8],
    /// The second chunk's words 0 to 2.
    pub(super) tail: [u32; 3],
    /// The state after rounds 0 and 1 of the second chunk.
    pub(super) after_round_1: [u32; 8],
    /// The state after rounds 0 to 3 with a zero nonce word, which is to be added to `a` and `e`.
    pub(super) after_round_3: [u32; 8],
    /// Rounds 4 to 6: round constant, word and `h`, none of which knows the nonce.
    pub(super) rounds_4_to_6: [u32; 3],
    pub(super) schedule: Schedule,
}

/// The second chunk's schedule as far as it does not depend on the nonce.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) w16: u32,
    pub(super) w17: u32,
    /// Word 18 without σ0 of the nonce word.
    pub(super) w18_rest: u32,
    /// Word 19 without the nonce word.
    pub(super) w19_rest: u32,
    /// σ0(word 16) + word 15, a part of word 31.
    pub(super) w31_rest: u32,
    /// σ0(word 17) + word 16, a part of word 32.
    pub(super) w32_rest: u32,
}

impl Puzzle {
    /// Prepares a header, whose own nonce is not looked at.
    pub fn new(header: &[u8; 80], target: U256) -> Self {
        let words: [u32; 20] = core::array::from_fn(|i| {
            u32::from_be_bytes([header[4 * i], header[4 * i + 1], header[4 * i + 2], header[4 * i + 3]])
        });
        let mut first_chunk = [0; 64];
        first_chunk.copy_from_slice(&header[..64]);
        let mut midstate = INITIAL_STATE;
        sha2::block_api::compress256(&mut midstate, &[first_chunk]);

        let tail = [words[16], words[17], words[18]];
        let after_round_1 = (0..2).fold(midstate, |state, i| round(state, plus_constant(tail[i], i)));
        let after_round_2 = round(after_round_1, plus_constant(tail[2], 2));
        let after_round_3 = round(after_round_2, plus_constant(0, 3));
        let later = |h: usize, i: usize, word: u32| after_round_3[h].wrapping_add(plus_constant(word, i));
        Self {
            header: *header,
            target,
            target_top: target.wrapping_shr(224).to::<u32>(),
            midstate,
            tail,
            after_round_1,
            after_round_3,
            rounds_4_to_6: [later(7, 4, PADDING), later(6, 5, 0), later(5, 6, 0)],
            schedule: Schedule::new(tail),
        }
    }

    /// The header with this nonce in its last four bytes.
    pub fn header(&self, nonce: u32) -> [u8; 80] {
        let mut header = self.header;
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        header
    }

    /// The target that a digest may not exceed.
    pub fn target(&self) -> U256 {
        self.target
    }

    /// Whether this nonce solves the puzzle, by the plain double SHA-256 of the whole header.
    pub fn accepts(&self, nonce: u32) -> bool {
        digest(&self.header(nonce)) <= self.target
    }

    /// What a kernel does with the nonces that its early reject lets through: checks each in full, tells of
    /// those that solve. Breaks off when `found` says so.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(
        &self,
        candidates: Candidates,
        found: &mut dyn FnMut(u32) -> core::ops::ControlFlow<()>,
    ) -> core::ops::ControlFlow<()> {
        candidates.nonces().filter(|nonce| self.accepts(*nonce)).try_for_each(found)
    }
}

/// The digest of a header as the number that is compared with the target (POW-1).
pub fn digest(header: &[u8; 80]) -> U256 {
    U256::from_le_bytes::<32>(Sha256::digest(Sha256::digest(header)).into())
}

/// Nonces near `first` that passed an early reject: bit `i` stands for `first + i`.
#[derive(Clone, Copy)]
pub(super) struct Candidates {
    pub(super) first: u32,
    pub(super) mask: u64,
}

impl Candidates {
    /// Forgets those that lie beyond the end of a range that begins at `first`.
    pub(super) fn within(first: u64, mask: u64, range: &Range<u64>) -> Self {
        let left = range.end - first;
        let mask = if left < 64 { mask & ((1 << left) - 1) } else { mask };
        Self { first: first as u32, mask }
    }

    fn nonces(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |i| self.mask >> i & 1 == 1).map(move |i| self.first.wrapping_add(i))
    }
}

impl Schedule {
    fn new(tail: [u32; 3]) -> Self {
        // Words 4 to 15 are padding: one bit, zeros, the length.
        let w16 = tail[0].wrapping_add(small_sigma0(tail[1]));
        let w17 = tail[1].wrapping_add(small_sigma0(tail[2])).wrapping_add(small_sigma1(HEADER_BITS));
        Self {
            w16,
            w17,
            w18_rest: tail[2].wrapping_add(small_sigma1(w16)),
            w19_rest: small_sigma0(PADDING).wrapping_add(small_sigma1(w17)),
            w31_rest: HEADER_BITS.wrapping_add(small_sigma0(w16)),
            w32_rest: w16.wrapping_add(small_sigma0(w17)),
        }
    }
}

fn plus_constant(word: u32, i: usize) -> u32 {
    word.wrapping_add(ROUND_CONSTANTS[i])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use core::ops::ControlFlow;

    use super::super::kernel::Kernel;
    use super::*;

    #[test]
    fn pow_1_the_digest_is_a_little_endian_number_and_equal_to_the_target_is_enough() {
        let header = [0x5a; 80];
        let mut bytes: [u8; 32] = Sha256::digest(Sha256::digest(header)).into();
        bytes.reverse();
        let number = U256::from_be_bytes(bytes);
        assert_eq!(digest(&header), number);
        let nonce = 0x5a5a_5a5a;
        assert!(Puzzle::new(&header, number).accepts(nonce));
        assert!(!Puzzle::new(&header, number - U256::from(1)).accepts(nonce));
    }

    #[test]
    fn the_nonce_of_a_puzzle_does_not_depend_on_the_headers_own() {
        let (mut one, mut two) = ([9; 80], [9; 80]);
        one[76..].copy_from_slice(&[1, 2, 3, 4]);
        two[76..].copy_from_slice(&[5, 6, 7, 8]);
        let (one, two) = (Puzzle::new(&one, U256::MAX), Puzzle::new(&two, U256::MAX));
        assert_eq!(one.header(77), two.header(77));
        assert_eq!(one.header(0x0403_0201)[76..], [1, 2, 3, 4]);
    }

    #[test]
    fn every_kernel_finds_the_nonces_of_real_bitcoin_blocks() {
        let Ok(vectors) = std::env::var("SYNOD_VECTORS") else {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("skipped: SYNOD_VECTORS is not set");
            }
            return;
        };
        let path = std::path::Path::new(&vectors).join("bitcoin/headers_822528_826559.bin");
        let headers = std::fs::read(path).unwrap();
        let (headers, rest) = headers.as_chunks::<80>();
        assert!(headers.len() > 4000 && rest.is_empty());
        for header in headers {
            let nonce = u32::from_le_bytes([header[76], header[77], header[78], header[79]]);
            let start = u64::from(nonce).saturating_sub(17);
            let nonces = start..(start + 35).min(NONCES);
            for kernel in Kernel::available() {
                let mut found = Vec::new();
                kernel.scan(&Puzzle::new(header, U256::MAX >> 72), nonces.clone(), &mut |nonce| {
                    found.push(nonce);
                    ControlFlow::Continue(())
                });
                assert_eq!(found, [nonce], "{kernel}");
            }
        }
    }
}
