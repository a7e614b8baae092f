//! What the observer knows of every block that was ever solved in a run: it computes work, medians and
//! prefixes with its own arithmetic, and shares nothing with the machine but the header's bytes.

use std::collections::BTreeMap;

use alloy_primitives::{U256, aliases::U512};
use synod_types::{BlockHash, Header};

use crate::pow::Body;

/// One block.
pub(super) struct Fact {
    /// The header.
    pub(super) header: Header,
    /// Blocks below it.
    pub(super) height: u64,
    /// Summed work, without the genesis block.
    pub(super) work: U512,
    /// Whether execution must accept it.
    pub(super) valid: bool,
    /// The right body.
    pub(super) body: Option<Body>,
}

/// All blocks.
pub(super) struct Facts {
    blocks: BTreeMap<BlockHash, Fact>,
    genesis: BlockHash,
}

impl Facts {
    /// Knows the genesis block.
    pub(super) fn new(genesis: Header) -> Self {
        let hash = genesis.hash();
        let fact = Fact { header: genesis, height: 0, work: U512::ZERO, valid: true, body: None };
        Self { blocks: [(hash, fact)].into(), genesis: hash }
    }

    /// The genesis block.
    pub(super) fn genesis(&self) -> BlockHash {
        self.genesis
    }

    /// A block's facts.
    pub(super) fn get(&self, hash: BlockHash) -> Option<&Fact> {
        self.blocks.get(&hash)
    }

    /// A solved block; its parent must be known.
    pub(super) fn add(&mut self, body: &Body, valid: bool) {
        let header = *body.header().header();
        let Some(parent) = self.blocks.get(&header.parent) else { return };
        let fact = Fact {
            header,
            height: parent.height + 1,
            work: parent.work + work(header.bits),
            valid: valid && parent.valid,
            body: Some(body.clone()),
        };
        self.blocks.insert(body.hash(), fact);
    }

    /// Summed work up to a block; zero when it is unknown.
    pub(super) fn work(&self, hash: BlockHash) -> U512 {
        self.blocks.get(&hash).map_or(U512::ZERO, |fact| fact.work)
    }

    /// A block's height; zero when it is unknown.
    pub(super) fn height(&self, hash: BlockHash) -> u64 {
        self.blocks.get(&hash).map_or(0, |fact| fact.height)
    }

    /// Its parent; the genesis block is its own.
    pub(super) fn parent(&self, hash: BlockHash) -> BlockHash {
        let fact = self.blocks.get(&hash).filter(|fact| fact.height > 0);
        fact.map_or(self.genesis, |fact| fact.header.parent)
    }

    /// The highest block below both.
    pub(super) fn common(&self, left: BlockHash, right: BlockHash) -> BlockHash {
        let (mut left, mut right) = (left, right);
        while left != right {
            if self.height(left) >= self.height(right) {
                left = self.parent(left);
            } else {
                right = self.parent(right);
            }
        }
        left
    }

    /// The latest time that a header of this chain has.
    pub(super) fn latest_time(&self, hash: BlockHash) -> u32 {
        let (mut latest, mut at) = (0, hash);
        while let Some(fact) = self.blocks.get(&at).filter(|fact| fact.height > 0) {
            latest = latest.max(fact.header.time);
            at = fact.header.parent;
        }
        latest
    }

    /// Whether `ancestor` is `hash` or below it.
    pub(super) fn is_below(&self, ancestor: BlockHash, hash: BlockHash) -> bool {
        self.common(ancestor, hash) == ancestor
    }

    /// Why a block's header breaks a rule: its work, or the median of its ancestors' times.
    pub(super) fn header_fault(&self, hash: BlockHash) -> Option<String> {
        let fact = self.blocks.get(&hash)?;
        let number = U256::from_le_bytes(hash.0.0);
        if U512::from(number) > target(fact.header.bits) {
            return Some(format!("block {hash} has no work"));
        }
        let (mut times, mut at) = (Vec::new(), hash);
        while at != self.genesis && times.len() < 11 {
            at = self.parent(at);
            times.push(self.blocks[&at].header.time);
        }
        times.sort_unstable();
        let median = times[times.len() / 2];
        let time = fact.header.time;
        (time <= median).then(|| format!("block {hash} has time {time}, its ancestors' median is {median}"))
    }
}

/// The target of compact bits, by shifting bytes.
pub(super) fn target(bits: u32) -> U512 {
    let mantissa = U512::from(bits & 0x00ff_ffff);
    let length = (bits >> 24) as usize;
    if length >= 3 { mantissa << (8 * (length - 3)) } else { mantissa >> (8 * (3 - length)) }
}

fn work(bits: u32) -> U512 {
    (U512::from(1) << 256) / (target(bits) + U512::from(1))
}
