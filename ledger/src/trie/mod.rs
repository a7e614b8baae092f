//! The state tree: a batched binary Merkle trie on SHA-256 over hashed keys, in memory.
//!
//! **Shape.** Path-compressed (crit-bit): n leaves and n − 1 inner nodes, each of which splits its keys at
//! the first bit in which they differ. The shape, and so the root, depends on the set of leaves alone, never
//! on the order of updates.
//!
//! **Hashes.** An inner node's hash is one SHA-256 compression of `left ‖ right` under a state that binds the
//! node's split depth; a leaf's binds its whole key and its value's hash (`hash.rs`). Because depths are bound,
//! a path of hashes proves presence and absence ([`proof`]).
//!
//! **Cost.** A batch hashes each node that it touches once (`batch.rs`), a large one on two threads. A node keeps the hashes of its two
//! children beside each other, so that hashing it reads one cache line and never a sibling; links lie in an
//! array of their own, so that walking down touches twelve bytes a node. A leaf costs 64 bytes, an inner node
//! 76.
//!
//! **Undo.** [`Trie::apply`] returns the batch that takes everything back: blocks are tried on the trie and
//! taken back when they only served to make a template or were found wrong.

mod batch;
mod bulk;
mod hash;
#[cfg(test)]
mod naive;
pub mod proof;
mod shape;
pub mod spine;

pub use hash::empty_root;
pub use proof::{Proof, ProofError};
use synod_types::B256;

/// What becomes of one key: the hash of its new value, or `None` to remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The hashed key.
    pub key: B256,
    /// The hash of the value.
    pub value: Option<B256>,
}

/// A key and the hash of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The hashed key.
    pub key: B256,
    /// The hash of the value.
    pub value: B256,
}

impl Leaf {
    /// The leaf's hash in the tree.
    fn hash(&self) -> B256 {
        hash::leaf_hash(&self.key, &self.value)
    }
}

/// The trie.
#[derive(Debug, Clone, Default)]
pub struct Trie {
    root: Option<Link>,
    /// The hash of what `root` links to; meaningless while it links to nothing.
    root_hash: B256,
    nodes: Vec<Node>,
    /// The hashes of each node's children.
    hashes: Vec<[B256; 2]>,
    leaves: Vec<Leaf>,
    free_nodes: Vec<u32>,
    free_leaves: Vec<u32>,
}

/// An inner node's links.
#[derive(Debug, Clone, Copy)]
struct Node {
    children: [Link; 2],
    /// The bit at which the two sides differ.
    depth: u8,
}

/// An index into `nodes`, or into `leaves` with the top bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u32);

const LEAF_BIT: u32 = 1 << 31;

impl Link {
    fn leaf(index: u32) -> Self {
        Self(index | LEAF_BIT)
    }

    fn is_leaf(self) -> bool {
        self.0 & LEAF_BIT != 0
    }

    fn index(self) -> usize {
        (self.0 & !LEAF_BIT) as usize
    }
}

/// Where a link is kept.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Root,
    Child { node: usize, side: usize },
}

impl Trie {
    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.leaves.len() - self.free_leaves.len()
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The root.
    pub fn root(&self) -> B256 {
        if self.root.is_some() { self.root_hash } else { empty_root() }
    }

    /// The hash of the value under `key`.
    pub fn value(&self, key: &B256) -> Option<B256> {
        let mut link = self.root?;
        while !link.is_leaf() {
            let node = &self.nodes[link.index()];
            link = node.children[bit(key, node.depth)];
        }
        let leaf = &self.leaves[link.index()];
        (leaf.key == *key).then_some(leaf.value)
    }

    /// Bytes that the trie occupies.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.hashes.capacity() * size_of::<[B256; 2]>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + (self.free_nodes.capacity() + self.free_leaves.capacity()) * size_of::<u32>()
    }
}

/// Bit `depth` of a key, the most significant first.
fn bit(key: &B256, depth: u8) -> usize {
    usize::from(key.0[usize::from(depth / 8)] >> (7 - depth % 8) & 1)
}

/// The first bit in which two different keys differ.
fn first_difference(a: &B256, b: &B256) -> u8 {
    let byte = a.iter().zip(b.iter()).position(|(a, b)| a != b).expect("the keys differ");
    let bits = (a.0[byte] ^ b.0[byte]).leading_zeros();
    (byte as u32 * 8 + bits) as u8
}

#[cfg(test)]
mod tests;
