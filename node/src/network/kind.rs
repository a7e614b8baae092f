//! The kinds of traffic: what is gossiped, what goes directly, what a verdict says, what a peer can do wrong.

use super::config::{KIB, MIB};
use super::name::PeerName;
use alloy_primitives::B256;
use libp2p::gossipsub::{IdentTopic, TopicHash};

/// What travels by gossip.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Batches of transactions: at most 64 KiB normally, a larger transaction alone.
    Transactions,
    /// Mined blocks.
    Blocks,
}

impl Topic {
    /// All topics: those that a peer may subscribe to.
    pub const ALL: [Self; 2] = [Self::Transactions, Self::Blocks];

    /// The longest message, in bytes.
    pub const fn limit(self) -> usize {
        match self {
            Self::Transactions => 256 * KIB,
            Self::Blocks => 4 * MIB + 64 * KIB,
        }
    }

    /// Its name on the wire.
    pub(super) fn topic(self, genesis: &B256) -> IdentTopic {
        let word = match self {
            Self::Transactions => "batch",
            Self::Blocks => "block",
        };
        IdentTopic::new(wire_name(genesis, word))
    }

    pub(super) fn of(hash: &TopicHash, genesis: &B256) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.topic(genesis).hash() == *hash)
    }
}

/// What kind of direct message, in the order in which a full queue drops: transactions first, votes last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Transactions passed on.
    Transaction,
    /// Blocks, bodies and their parts.
    Block,
    /// What ordering lives on: votes, headers, locators.
    Vote,
}

/// What the node found out about a gossiped message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Good: it travels on.
    Accept,
    /// Provably bad: it stops here, and the peer that brought it pays.
    Reject,
    /// Neither: it stops here, nobody pays.
    Ignore,
}

/// A gossiped message that waits for its verdict: its topic, its content's hash, and the peer that brought it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GossipId {
    pub(super) topic: Topic,
    pub(super) content: [u8; 32],
    pub(super) from: PeerName,
}

/// What a peer did wrong, as the node sees it (P2P-9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Demerit {
    /// It asked or gossiped more than its share: patience with eagerness, none with floods.
    Eager,
    /// It did not answer in time, or said less than it had announced.
    Slow,
    /// It served something with a gap, stale or useless.
    Useless,
    /// It served something provably wrong. Two of these and it is out for a while.
    Invalid,
}

impl Demerit {
    /// What it costs. A peer starts at 0, earns back one point a second, and is dropped at [`OUT`].
    pub(super) const fn points(self) -> f64 {
        match self {
            Self::Eager => 0.25,
            Self::Slow => 5.0,
            Self::Useless => 20.0,
            Self::Invalid => 50.0,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Slow => "slow",
            Self::Useless => "useless",
            Self::Invalid => "invalid",
        }
    }
}

/// The standing at which a peer is dropped and kept out for a while. Gossip ignores it from the same point on.
pub(super) const OUT: f64 = -80.0;

/// `/synod/<first 8 hex digits of the genesis hash>/<word>/1`.
pub(super) fn wire_name(genesis: &B256, word: &str) -> String {
    format!("/synod/{}/{word}/1", alloy_primitives::hex::encode(&genesis[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_are_as_agreed() {
        let genesis = B256::repeat_byte(0xab);
        assert_eq!(wire_name(&genesis, "vote"), "/synod/abababab/vote/1");
        assert_eq!(Topic::Transactions.topic(&genesis).hash().as_str(), "/synod/abababab/batch/1");
        assert_eq!(Topic::of(&Topic::Blocks.topic(&genesis).hash(), &genesis), Some(Topic::Blocks));
        assert_eq!(Topic::of(&Topic::Blocks.topic(&genesis).hash(), &B256::ZERO), None);
    }

    #[test]
    fn p2p_8_transactions_are_dropped_first_and_votes_last() {
        assert!(Class::Transaction < Class::Block && Class::Block < Class::Vote);
    }
}
