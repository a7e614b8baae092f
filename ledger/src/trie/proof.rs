//! Proofs that a key has a value, or is absent, checked offline against a root.
//!
//! A proof is the walk towards the key: for each inner node on the way its split depth and the hash of the
//! side not taken, and the leaf where the walk ends. The checker hashes its way up from that leaf; it takes
//! the sides from the *asked* key's bits. When the leaf's key is the asked one the value is proven. When it is
//! another, the asked key is proven absent, because every walk towards it ends at this leaf: in a trie of this
//! shape a key that were present would be the one leaf that its walk ends at. Depths are bound into the
//! hashes, so that a prover cannot show a walk at other bits.

use serde::{Deserialize, Serialize};
use synod_types::B256;
use synod_types::codec::{self, DecodeError, fixed};

use super::{Trie, bit, empty_root, hash};

/// The most bytes of an encoded proof: 256 steps, a leaf, and counts.
pub const PROOF_LIMIT: usize = 256 * 33 + 128;

/// The walk towards a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// From the root downwards.
    pub steps: Vec<Step>,
    /// Where the walk ends; `None` in an empty trie.
    pub end: Option<End>,
}

/// One inner node on the walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The bit at which the node splits.
    pub depth: u8,
    /// The hash of the side that the walk does not take.
    #[serde(with = "fixed")]
    pub sibling: B256,
}

/// The leaf at which a walk ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its key.
    #[serde(with = "fixed")]
    pub key: B256,
    /// The hash of its value.
    #[serde(with = "fixed")]
    pub value_hash: B256,
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to this root: it belongs to another block, or it was changed")]
    WrongRoot,
    /// The steps are not a walk: depths must grow.
    #[error("the proof's depths do not grow downwards: no tree has this shape")]
    Depths,
    /// The walk would not end at the leaf that the proof shows.
    #[error("the proof's last leaf does not lie on the key's walk")]
    Astray,
    /// An empty tree has no steps.
    #[error("the proof has steps but no leaf")]
    NoLeaf,
}

impl Proof {
    /// What `root` says about `key`: the hash of its value, or `None` when it is absent.
    ///
    /// # Errors
    /// [`ProofError`] when the proof shows neither.
    pub fn verify(&self, root: &B256, key: &B256) -> Result<Option<B256>, ProofError> {
        let Some(end) = &self.end else {
            return self.verify_empty(root);
        };
        if !self.steps.windows(2).all(|pair| pair[0].depth < pair[1].depth) {
            return Err(ProofError::Depths);
        }
        if self.steps.iter().any(|step| bit(&end.key, step.depth) != bit(key, step.depth)) {
            return Err(ProofError::Astray);
        }
        let mut hash = hash::leaf_hash(&end.key, &end.value_hash);
        for step in self.steps.iter().rev() {
            hash = match bit(key, step.depth) {
                0 => hash::inner_hash(step.depth, &hash, &step.sibling),
                _ => hash::inner_hash(step.depth, &step.sibling, &hash),
            };
        }
        if hash != *root {
            return Err(ProofError::WrongRoot);
        }
        Ok((end.key == *key).then_some(end.value_hash))
    }

    fn verify_empty(&self, root: &B256) -> Result<Option<B256>, ProofError> {
        if !self.steps.is_empty() {
            return Err(ProofError::NoLeaf);
        }
        if *root == empty_root() { Ok(None) } else { Err(ProofError::WrongRoot) }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`PROOF_LIMIT`] of them.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode::<Self, PROOF_LIMIT>(bytes)
    }
}

impl Trie {
    /// The walk towards `key`, which proves what [`Trie::root`] says about it.
    pub fn prove(&self, key: &B256) -> Proof {
        let mut steps = Vec::new();
        let Some(mut link) = self.root else {
            return Proof { steps, end: None };
        };
        while !link.is_leaf() {
            let (node, hashes) = (&self.nodes[link.index()], &self.hashes[link.index()]);
            let side = bit(key, node.depth);
            steps.push(Step { depth: node.depth, sibling: hashes[1 - side] });
            link = node.children[side];
        }
        let leaf = self.leaves[link.index()];
        Proof { steps, end: Some(End { key: leaf.key, value_hash: leaf.value }) }
    }
}
