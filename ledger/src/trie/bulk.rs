//! Building a whole trie from its leaves, as at start: one pass over sorted keys, children next to their
//! parents in memory.

use synod_types::B256;

use super::{LEAF_BIT, Leaf, Link, Node, Trie, bit, first_difference, hash};

impl Trie {
    /// The trie of these leaves, in any order.
    ///
    /// # Panics
    /// When a key is named twice.
    pub fn from_leaves(mut leaves: Vec<Leaf>) -> Self {
        leaves.sort_unstable_by_key(|leaf| leaf.key);
        assert!(leaves.windows(2).all(|pair| pair[0].key != pair[1].key), "a key is named twice");
        assert!(leaves.len() < LEAF_BIT as usize, "2^31 leaves are more than memory holds");
        let mut trie = Self {
            nodes: Vec::with_capacity(leaves.len()),
            hashes: Vec::with_capacity(leaves.len()),
            ..Self::default()
        };
        if !leaves.is_empty() {
            let (root, hash) = trie.build(&leaves, 0);
            trie.root = Some(root);
            trie.root_hash = hash;
        }
        trie.leaves = leaves;
        trie
    }

    /// Builds the subtree of a range of sorted leaves, whose first has the index `first`.
    fn build(&mut self, leaves: &[Leaf], first: u32) -> (Link, B256) {
        if let [leaf] = leaves {
            return (Link::leaf(first), leaf.hash());
        }
        let depth = first_difference(&leaves[0].key, &leaves[leaves.len() - 1].key);
        let middle = leaves.partition_point(|leaf| bit(&leaf.key, depth) == 0);
        let index = self.nodes.len();
        self.nodes.push(Node { children: [Link(0); 2], depth });
        self.hashes.push([B256::ZERO; 2]);
        let (left, left_hash) = self.build(&leaves[..middle], first);
        let (right, right_hash) = self.build(&leaves[middle..], first + middle as u32);
        self.nodes[index].children = [left, right];
        self.hashes[index] = [left_hash, right_hash];
        (Link(index as u32), hash::inner_hash(depth, &left_hash, &right_hash))
    }
}
