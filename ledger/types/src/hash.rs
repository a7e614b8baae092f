//! SHA-256, domain tags, and the Merkle root of a list.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// SHA-256 of the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> B256 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    B256::new(hasher.finalize().into())
}

/// SHA-256 of SHA-256, as Bitcoin hashes its headers.
pub fn sha256d(bytes: &[u8]) -> B256 {
    sha256(&[sha256(&[bytes]).as_slice()])
}

/// The Merkle root of a list of byte strings (transactions, receipts).
///
/// Leaves, inner nodes and the list itself have tags of their own, and the root binds the length, so that
/// no inner node can pass for a leaf and no list for another (CVE-2012-2459; POW-6). An odd last node
/// moves up unpaired.
pub fn list_root<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> B256 {
    root_of_leaves(items.into_iter().map(|item| list_leaf(item.as_ref())).collect())
}

/// The leaf of one item of a list.
pub fn list_leaf(item: &[u8]) -> B256 {
    sha256(&[b"synod/list/leaf/v1", item])
}

/// [`list_root`] of items whose [`list_leaf`]s are known.
pub fn root_of_leaves(mut level: Vec<B256>) -> B256 {
    let length = level.len() as u64;
    while level.len() > 1 {
        level = level.chunks(2).map(list_node).collect();
    }
    let top = level.first().copied().unwrap_or(B256::ZERO);
    sha256(&[b"synod/list/root/v1", &length.to_be_bytes(), top.as_slice()])
}

fn list_node(pair: &[B256]) -> B256 {
    match pair {
        [left, right] => sha256(&[b"synod/list/node/v1", left.as_slice(), right.as_slice()]),
        single => single[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pow_6_a_list_and_its_doubled_tail_have_different_roots() {
        let three = list_root([b"a", b"b", b"c"]);
        let four = list_root([b"a", b"b", b"c", b"c"]);
        assert_ne!(three, four);
    }

    #[test]
    fn pow_6_an_inner_node_is_no_leaf() {
        let a = sha256(&[b"synod/list/leaf/v1", b"a"]);
        let b = sha256(&[b"synod/list/leaf/v1", b"b"]);
        let forged = [a.as_slice(), b.as_slice()].concat();
        assert_ne!(list_root([forged.as_slice()]), list_root([b"a", b"b"]));
    }

    #[test]
    fn sha256d_hashes_the_first_bitcoin_header() {
        let header = alloy_primitives::hex!(
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e
             67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
        );
        let mut hash = sha256d(&header);
        hash.0.reverse();
        assert_eq!(
            hash,
            B256::new(alloy_primitives::hex!(
                "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
            ))
        );
    }
}
