//! The root of a tree whose leaves come one after the other, in the order of their keys.
//!
//! A walk from the root to a leaf parts the tree: what lies left of it, the leaf, and what lies right of it. Who was
//! given all leaves up to this one knows the left side of every node on the walk; the right sides' hashes, a few
//! for each leaf, are told ([`Side`]). If both together make the root, then the leaves so far are the tree's first
//! ones, all of them and no others: a node's hash binds its depth and both sides, a leaf's its whole key and value.
//! So a part of a large state is proven by itself, when it comes.

use serde::{Deserialize, Serialize};
use synod_types::B256;
use synod_types::codec::fixed;

use super::{Leaf, first_difference, hash};

/// What lies on the other side of a node on a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The bit at which the node splits.
    pub depth: u8,
    /// The hash of that side.
    #[serde(with = "fixed")]
    pub hash: B256,
}

/// The walk to the last leaf that came, with everything left of it.
#[derive(Debug, Clone, Default)]
pub struct Spine {
    /// From the root downwards: depths grow.
    left: Vec<Side>,
    last: Option<Leaf>,
}

impl Spine {
    /// Takes the next leaf; answers whether its key is above the last one's, and takes it only then.
    pub fn push(&mut self, leaf: Leaf) -> bool {
        let Some(last) = &self.last else {
            self.last = Some(leaf);
            return true;
        };
        if leaf.key <= last.key {
            return false;
        }
        let depth = first_difference(&last.key, &leaf.key);
        let mut hash = last.hash();
        while let Some(side) = self.left.pop_if(|side| side.depth > depth) {
            hash = hash::inner_hash(side.depth, &side.hash, &hash);
        }
        self.left.push(Side { depth, hash });
        self.last = Some(leaf);
        true
    }

    /// The root, if `right` is what lies right of the walk to the last leaf, from the root downwards. Whoever holds
    /// all leaves asks with nothing. `None` before the first leaf.
    pub fn root(&self, right: &[Side]) -> Option<B256> {
        let mut hash = self.last.as_ref()?.hash();
        let (mut left, mut right) = (self.left.iter().rev().peekable(), right.iter().rev().peekable());
        loop {
            let is_left_deeper = match (left.peek(), right.peek()) {
                (None, None) => return Some(hash),
                (Some(left), Some(right)) => left.depth > right.depth,
                (left, _) => left.is_some(),
            };
            if is_left_deeper {
                hash = left.next().map_or(hash, |side| hash::inner_hash(side.depth, &side.hash, &hash));
            } else {
                hash = right.next().map_or(hash, |side| hash::inner_hash(side.depth, &hash, &side.hash));
            }
        }
    }
}

/// The same walk from the other end: the leaves come from the last one downwards, and what lies right of each is
/// known once it came.
#[derive(Debug, Clone, Default)]
pub struct Backward {
    right: Vec<Side>,
    last: Option<Leaf>,
}

impl Backward {
    /// Takes the leaf below the last one that came.
    ///
    /// # Panics
    /// When its key is not below that one's.
    pub fn push(&mut self, leaf: Leaf) {
        if let Some(last) = &self.last {
            assert!(leaf.key < last.key, "leaves come in order");
            let depth = first_difference(&last.key, &leaf.key);
            let mut hash = last.hash();
            while let Some(side) = self.right.pop_if(|side| side.depth > depth) {
                hash = hash::inner_hash(side.depth, &hash, &side.hash);
            }
            self.right.push(Side { depth, hash });
        }
        self.last = Some(leaf);
    }

    /// What lies right of the walk to the leaf that came last, from the root downwards.
    pub fn right(&self) -> &[Side] {
        &self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trie::Trie;
    use synod_types::hash::sha256;

    fn leaves(count: u8) -> Vec<Leaf> {
        let leaf = |number: u8| Leaf { key: sha256(&[&[number]]), value: B256::with_last_byte(number) };
        let mut leaves: Vec<Leaf> = (0..count).map(leaf).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.key);
        leaves
    }

    /// After each leaf, with what lies right of it, the root is the whole tree's.
    #[test]
    fn every_beginning_of_the_leaves_is_proven_by_what_lies_right_of_it() {
        for count in 1..=40 {
            let leaves = leaves(count);
            let root = Trie::from_leaves(leaves.clone()).root();
            let (mut backward, mut rights) = (Backward::default(), Vec::new());
            for leaf in leaves.iter().rev() {
                backward.push(*leaf);
                rights.push(backward.right().to_vec());
            }
            rights.reverse();
            let mut spine = Spine::default();
            assert_eq!(spine.root(&[]), None);
            for (leaf, right) in leaves.iter().zip(&rights) {
                assert!(spine.push(*leaf));
                assert_eq!(spine.root(right), Some(root), "{count} leaves");
            }
            assert_eq!(spine.root(&[]), Some(root));
        }
    }

    /// A leaf that is left out, changed, repeated or added is found at the next proof.
    #[test]
    fn a_beginning_that_is_not_the_trees_is_not_proven() {
        let leaves = leaves(24);
        let root = Trie::from_leaves(leaves.clone()).root();
        let proven = |shown: &[Leaf], right: &[Side]| {
            let mut spine = Spine::default();
            shown.iter().all(|leaf| spine.push(*leaf)) && spine.root(right) == Some(root)
        };
        let mut backward = Backward::default();
        leaves[11..].iter().rev().for_each(|leaf| backward.push(*leaf));
        let right = backward.right().to_vec();
        assert!(proven(&leaves[..12], &right));
        for at in 0..12 {
            let mut shown = leaves[..12].to_vec();
            shown[at].value.0[0] ^= 1;
            assert!(!proven(&shown, &right), "changed at {at}");
            let mut shown = leaves[..12].to_vec();
            shown.remove(at);
            assert!(!proven(&shown, &right), "without {at}");
            let mut shown = leaves[..12].to_vec();
            shown.insert(at, shown[at]);
            assert!(!proven(&shown, &right), "{at} twice");
        }
        assert!(!proven(&leaves[..13], &right) && !proven(&leaves[..12], &right[1..]));
        assert!(!proven(&[], &right));
    }
}
