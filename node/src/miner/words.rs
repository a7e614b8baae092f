//! SHA-256's constants, and the few of its functions that work on one word.
//!
//! FIPS 180-4, sections 4.1.2, 4.2.2 and 5.3.3. Whole digests come from the `sha2` crate; the kernels need
//! the constants apart from it, because they cut the rounds up and compute parts of them once for each header.

/// The 64 round constants (section 4.2.2).
pub(super) const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The state that every SHA-256 starts from (section 5.3.3).
pub(super) const INITIAL_STATE: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The first padding word: the one bit after the message.
pub(super) const PADDING: u32 = 0x8000_0000;

/// σ0 of the message schedule (equation 4.6).
pub(super) const fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

/// σ1 of the message schedule (equation 4.7).
pub(super) const fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// One round (section 6.2.2, step 3) over the state a..h, with the round constant already added to the word.
pub(super) const fn round(state: [u32; 8], word_plus_constant: u32) -> [u32; 8] {
    let [a, b, c, d, e, f, g, h] = state;
    let choose = (e & f) ^ (!e & g);
    let majority = (a & b) ^ (a & c) ^ (b & c);
    let big_sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let big_sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let t1 = h.wrapping_add(big_sigma1).wrapping_add(choose).wrapping_add(word_plus_constant);
    let t2 = big_sigma0.wrapping_add(majority);
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_compression_from_these_parts_is_sha2s() {
        let block: [u8; 64] = core::array::from_fn(|i| (i * 37 + 11) as u8);
        let mut words = [0u32; 64];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..64 {
            words[i] = small_sigma1(words[i - 2])
                .wrapping_add(words[i - 7])
                .wrapping_add(small_sigma0(words[i - 15]))
                .wrapping_add(words[i - 16]);
        }
        let mut state = INITIAL_STATE;
        for (word, constant) in words.iter().zip(ROUND_CONSTANTS) {
            state = round(state, word.wrapping_add(constant));
        }
        let mine: [u32; 8] = core::array::from_fn(|i| state[i].wrapping_add(INITIAL_STATE[i]));

        let mut theirs = INITIAL_STATE;
        sha2::block_api::compress256(&mut theirs, &[block]);
        assert_eq!(mine, theirs);
    }
}
