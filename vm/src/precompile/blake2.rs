//! 9: the compression function F of BLAKE2b, with a chosen number of rounds (EIP-152, RFC 7693).

use crate::gas::charge;
use crate::halt::Halt;

/// Rounds, state (8 words), message (16 words), offset counters (2 words), final flag.
const INPUT_BYTES: usize = 4 + 64 + 128 + 16 + 1;

/// RFC 7693, section 2.6.
const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// RFC 7693, section 2.7.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// One gas for each round; input of another length or flag is refused.
pub(super) fn compress(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let input: &[u8; INPUT_BYTES] = input.try_into().map_err(|_| Halt::PrecompileFailed)?;
    let (rounds, rest) = input.split_first_chunk::<4>().expect("the length is fixed");
    let rounds = u32::from_be_bytes(*rounds);
    let left = charge(gas, u64::from(rounds))?;
    let is_final = match rest[208] {
        0 => false,
        1 => true,
        _ => return Err(Halt::PrecompileFailed),
    };
    let words: [u64; 26] = std::array::from_fn(|n| little_endian(&rest[n * 8..]));
    let mut state: [u64; 8] = std::array::from_fn(|n| words[n]);
    let message: [u64; 16] = std::array::from_fn(|n| words[8 + n]);
    f(rounds, &mut state, &message, [words[24], words[25]], is_final);
    state.iter().for_each(|word| output.extend_from_slice(&word.to_le_bytes()));
    Ok(left)
}

fn little_endian(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("the length is fixed"))
}

/// RFC 7693, section 3.2.
fn f(rounds: u32, h: &mut [u64; 8], m: &[u64; 16], t: [u64; 2], is_final: bool) {
    let mut v: [u64; 16] = std::array::from_fn(|n| if n < 8 { h[n] } else { IV[n - 8] });
    v[12] ^= t[0];
    v[13] ^= t[1];
    if is_final {
        v[14] = !v[14];
    }
    for round in 0..rounds as usize {
        let s = &SIGMA[round % 10];
        g(&mut v, [0, 4, 8, 12], m[s[0]], m[s[1]]);
        g(&mut v, [1, 5, 9, 13], m[s[2]], m[s[3]]);
        g(&mut v, [2, 6, 10, 14], m[s[4]], m[s[5]]);
        g(&mut v, [3, 7, 11, 15], m[s[6]], m[s[7]]);
        g(&mut v, [0, 5, 10, 15], m[s[8]], m[s[9]]);
        g(&mut v, [1, 6, 11, 12], m[s[10]], m[s[11]]);
        g(&mut v, [2, 7, 8, 13], m[s[12]], m[s[13]]);
        g(&mut v, [3, 4, 9, 14], m[s[14]], m[s[15]]);
    }
    for n in 0..8 {
        h[n] ^= v[n] ^ v[n + 8];
    }
}

/// RFC 7693, section 3.1.
#[inline(always)]
fn g(v: &mut [u64; 16], [a, b, c, d]: [usize; 4], x: u64, y: u64) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::hex;

    /// RFC 7693, appendix A: the hash of "abc" is one compression of 12 rounds.
    #[test]
    fn the_example_of_the_rfc() {
        let mut input = vec![0, 0, 0, 12];
        for (n, word) in IV.iter().enumerate() {
            let word = if n == 0 { word ^ 0x0101_0040 } else { *word };
            input.extend_from_slice(&word.to_le_bytes());
        }
        input.extend_from_slice(b"abc");
        input.resize(4 + 64 + 128, 0);
        input.extend_from_slice(&3u64.to_le_bytes());
        input.extend_from_slice(&0u64.to_le_bytes());
        input.push(1);
        let mut output = Vec::new();
        assert_eq!(compress(&input, 20, &mut output), Ok(8));
        let expected = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
                        7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
        assert_eq!(hex::encode(output), expected);
        for bad in [&input[1..], &[&input[..], &[0]].concat(), &[&input[..212], &[2]].concat()] {
            assert_eq!(compress(bad, 20, &mut Vec::new()), Err(Halt::PrecompileFailed));
        }
        assert_eq!(compress(&input, 11, &mut Vec::new()), Err(Halt::OutOfGas));
    }
}
