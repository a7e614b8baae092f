//! The bytes of `getwork`: a header as miners expect it, and back.
//!
//! `data` is the header and its SHA-256 padding, 128 bytes. SHA-256 reads big-endian words, the first miners
//! ran on little-endian machines, and so every word of four bytes stands in reverse. `target` is a plain
//! little-endian number, as a digest is. `midstate`, the state after the first 64 bytes, and `hash1`, the
//! padding of the second hash, are what miners of that time could not compute by themselves; today's do not
//! look at them.

use sha2::block_api::compress256;
use synod_types::U256;
use synod_types::block::HEADER_LENGTH;

/// Bytes of `data`: two chunks of SHA-256.
pub const DATA_LENGTH: usize = 128;

/// The second hash's chunk without the first hash in it: 32 bytes of nothing, and the padding.
pub const HASH1: &str = "0000000000000000000000000000000000000000000000000000000000000000\
                         0000008000000000000000000000000000000000000000000000000000010000";

/// The state that every SHA-256 starts from (FIPS 180-4, section 5.3.3).
const INITIAL_STATE: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// `data` in hex: the padded header, each word reversed.
pub fn data(header: &[u8; HEADER_LENGTH]) -> String {
    let mut bytes = padded(header);
    reverse_words(&mut bytes);
    alloy_primitives::hex::encode(bytes)
}

/// The header in a miner's `data`, or `None` for what is no such thing.
///
/// Most miners send back all 128 bytes, some only the header's 80. The padding is not looked at: it says
/// nothing, and miners have been seen to fill it with zeros.
pub fn header(data: &str) -> Option<[u8; HEADER_LENGTH]> {
    if data.len() != 2 * DATA_LENGTH && data.len() != 2 * HEADER_LENGTH {
        return None;
    }
    // The decoder passes over a prefix `0x`, which no miner writes.
    let mut bytes = alloy_primitives::hex::decode(data).ok().filter(|bytes| 2 * bytes.len() == data.len())?;
    reverse_words(&mut bytes);
    bytes.first_chunk().copied()
}

/// `target` in hex.
pub fn target(target: U256) -> String {
    alloy_primitives::hex::encode(target.to_le_bytes::<32>())
}

/// `midstate` in hex: the words of the state, little-endian.
pub fn midstate(header: &[u8; HEADER_LENGTH]) -> String {
    let mut chunk = [0; 64];
    chunk.copy_from_slice(&header[..64]);
    let mut state = INITIAL_STATE;
    compress256(&mut state, &[chunk]);
    let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_le_bytes()).collect();
    alloy_primitives::hex::encode(bytes)
}

fn padded(header: &[u8; HEADER_LENGTH]) -> [u8; DATA_LENGTH] {
    let mut bytes = [0; DATA_LENGTH];
    bytes[..HEADER_LENGTH].copy_from_slice(header);
    bytes[HEADER_LENGTH] = 0x80;
    let bits = (HEADER_LENGTH * 8) as u64;
    bytes[DATA_LENGTH - 8..].copy_from_slice(&bits.to_be_bytes());
    bytes
}

fn reverse_words(bytes: &mut [u8]) {
    for word in bytes.chunks_exact_mut(4) {
        word.reverse();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Bitcoin's first block, as its own client would have handed it out.
    const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";

    fn genesis() -> [u8; HEADER_LENGTH] {
        alloy_primitives::hex::decode(GENESIS).unwrap().try_into().unwrap()
    }

    #[test]
    fn words_are_reversed_and_padded_as_the_first_client_did() {
        let data = data(&genesis());
        assert_eq!(data.len(), 256);
        assert!(data.starts_with("000000010000000000000000"), "the version's word is reversed");
        assert!(data[72..].starts_with("fdeda33bb2127b7a3e2cc77a618f7667c31bc87f32518a88aab89f3a4a5e1e4b"));
        assert_eq!(&data[136..160], "495fab291d00ffff7c2bac1d", "time, bits and nonce");
        let padding = format!("00000080{}80020000", "0".repeat(80));
        assert_eq!(&data[160..], padding);
    }

    #[test]
    fn a_header_comes_back_with_or_without_its_padding() {
        let whole = data(&genesis());
        assert_eq!(header(&whole), Some(genesis()));
        assert_eq!(header(&whole[..160]), Some(genesis()));
        assert_eq!(header(&whole.to_uppercase()), Some(genesis()));
        for wrong in ["", "00", &whole[..158], &whole[..254], &format!("{whole}00"), &whole.replace('f', "g")]
        {
            assert_eq!(header(wrong), None, "{wrong}");
        }
        assert_eq!(header(&format!("0x{}", &whole[2..])), None, "no prefix fits into this form");
        assert_eq!(header(&"é".repeat(128)), None, "256 bytes that are no hex");
    }

    #[test]
    fn a_miner_that_hashes_the_words_finds_the_digest() {
        // As a miner does: words from the hex as little-endian numbers, hashed as SHA-256's words.
        let bytes = alloy_primitives::hex::decode(data(&genesis())).unwrap();
        let mut state = INITIAL_STATE;
        for chunk in bytes.chunks_exact(64) {
            let mut words = [0; 64];
            for (word, reversed) in words.chunks_exact_mut(4).zip(chunk.chunks_exact(4)) {
                let number = u32::from_le_bytes(reversed.try_into().unwrap());
                word.copy_from_slice(&number.to_be_bytes());
            }
            compress256(&mut state, &[words]);
        }
        let once: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(once, Sha256::digest(genesis()).to_vec());
    }

    #[test]
    fn a_target_is_little_endian_and_a_midstate_little_endian_words() {
        assert_eq!(target(U256::from(0x1234)), format!("3412{}", "0".repeat(60)));
        let mut state = INITIAL_STATE;
        compress256(&mut state, &[genesis()[..64].try_into().unwrap()]);
        assert_eq!(midstate(&genesis())[..8], alloy_primitives::hex::encode(state[0].to_le_bytes()));
        assert_eq!((midstate(&genesis()).len(), HASH1.len()), (64, 128));
    }
}
