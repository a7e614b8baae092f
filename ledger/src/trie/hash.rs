//! The trie's hashes: one SHA-256 compression for each inner node and for each leaf.
//!
//! SHA-256 of `block ‖ content`, where both are 64 bytes, is two compressions and a third for the padding.
//! Here the first block is a constant that names the kind of node (and an inner node's split depth), so the
//! state after it is computed once; and all contents are 64 bytes, so no padding is needed to tell lengths
//! apart. What remains is one compression of the content under the constant's midstate. Finding two contents
//! or two kinds with equal results is finding a collision of SHA-256's compression function.

use std::sync::LazyLock;

use sha2::block_api::compress256;
use synod_types::B256;
use synod_types::hash::sha256;

const INNER_TAG: &[u8] = b"synod/trie/inner/v1";
const LEAF_TAG: &[u8] = b"synod/trie/leaf/v1";

/// SHA-256's initial state (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The state after an inner node's tag block, for each split depth.
static INNER: LazyLock<[[u32; 8]; 256]> =
    LazyLock::new(|| std::array::from_fn(|depth| midstate(INNER_TAG, depth as u8)));

/// The state after a leaf's tag block.
static LEAF: LazyLock<[u32; 8]> = LazyLock::new(|| midstate(LEAF_TAG, 0));

/// The midstates of inner nodes, fetched once for a batch.
pub(super) fn inner_midstates() -> &'static [[u32; 8]; 256] {
    &INNER
}

/// An inner node that splits at bit `depth`: binds the depth and both children, in order.
pub(super) fn inner_hash(depth: u8, left: &B256, right: &B256) -> B256 {
    compress(INNER[usize::from(depth)], &joined(left, right))
}

/// A leaf: binds the whole key and the hash of the value.
pub(super) fn leaf_hash(key: &B256, value_hash: &B256) -> B256 {
    compress(*LEAF, &joined(key, value_hash))
}

/// Two hashes as the 64 bytes of one block.
pub(super) fn joined(first: &B256, second: &B256) -> [u8; 64] {
    let mut content = [0; 64];
    content[..32].copy_from_slice(first.as_slice());
    content[32..].copy_from_slice(second.as_slice());
    content
}

/// The root of a trie without leaves.
pub fn empty_root() -> B256 {
    sha256(&[b"synod/trie/empty/v1"])
}

/// One compression of `content` under `state`.
pub(super) fn compress(mut state: [u32; 8], content: &[u8; 64]) -> B256 {
    compress256(&mut state, std::slice::from_ref(content));
    let mut digest = B256::ZERO;
    for (bytes, word) in digest.0.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn midstate(tag: &[u8], depth: u8) -> [u32; 8] {
    let mut block = [0; 64];
    block[..tag.len()].copy_from_slice(tag);
    block[63] = depth;
    let mut state = INITIAL;
    compress256(&mut state, std::slice::from_ref(&block));
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compression_is_sha_256s_own() {
        // SHA-256 of a message of 64 bytes is two compressions, the second over the padding.
        let message = [0x61; 64];
        let mut state = INITIAL;
        compress256(&mut state, std::slice::from_ref(&message));
        let mut padding = [0; 64];
        padding[0] = 0x80;
        padding[56..].copy_from_slice(&512_u64.to_be_bytes());
        assert_eq!(compress(state, &padding), sha256(&[&message]));
    }

    #[test]
    fn a_nodes_hash_binds_its_kind_its_depth_and_its_order() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let hashes = [
            inner_hash(0, &a, &b),
            inner_hash(1, &a, &b),
            inner_hash(255, &a, &b),
            inner_hash(0, &b, &a),
            leaf_hash(&a, &b),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash));
        }
    }
}
