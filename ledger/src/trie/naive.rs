//! The trie again, written from its page by recursion over a map, for tests alone: it shares no code with the
//! real one but SHA-256 itself, and hashes everything anew each time.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256, block_api::compress256};
use synod_types::B256;

/// The root of `leaves`, a map from keys to value hashes.
pub(super) fn root(leaves: &BTreeMap<B256, B256>) -> B256 {
    let all: Vec<_> = leaves.iter().map(|(key, value)| (bits(key), *key, *value)).collect();
    if all.is_empty() { digest(b"synod/trie/empty/v1") } else { subtree(&all, 0) }
}

fn subtree(leaves: &[(Vec<bool>, B256, B256)], depth: usize) -> B256 {
    if let [(_, key, value)] = leaves {
        return two_blocks(b"synod/trie/leaf/v1", 0, *key, *value);
    }
    let (right, left): (Vec<_>, Vec<_>) = leaves.iter().cloned().partition(|(bits, ..)| bits[depth]);
    if left.is_empty() || right.is_empty() {
        return subtree(leaves, depth + 1);
    }
    let tag = b"synod/trie/inner/v1";
    two_blocks(tag, depth as u8, subtree(&left, depth + 1), subtree(&right, depth + 1))
}

/// SHA-256 without its padding over a tag block and a content block.
fn two_blocks(tag: &[u8], depth: u8, left: B256, right: B256) -> B256 {
    let mut first = tag.to_vec();
    first.resize(63, 0);
    first.push(depth);
    let second = [left.0, right.0].concat();
    let blocks: [[u8; 64]; 2] = [first.try_into().unwrap(), second.try_into().unwrap()];
    let mut state: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    compress256(&mut state, &blocks);
    B256::from_slice(&state.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
}

fn bits(key: &B256) -> Vec<bool> {
    key.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

fn digest(bytes: &[u8]) -> B256 {
    B256::new(Sha256::digest(bytes).into())
}
