//! A part of the state: leaves with their values, or code.

use serde::{Deserialize, Serialize};
use synod_types::codec::{self, fixed};
use synod_types::{Address, Bytes};

use crate::state::{Account, Record, RecordKey, System, leaves};
use crate::trie::Leaf;
use crate::trie::spine::Side;

/// A chunk is full once it has so many bytes. (Few in tests, so that small states have many.)
pub(super) const CHUNK_BYTES: usize = if cfg!(test) { 1024 } else { 1024 * 1024 };
/// The largest chunk: the entry that fills it and what proves it come on top.
pub const CHUNK_LIMIT: usize = CHUNK_BYTES + 64 * 1024;

/// One leaf's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Item {
    /// An account.
    Account(#[serde(with = "fixed")] Address, Account),
    /// A storage slot, or an immature reward.
    Record(RecordKey, Record),
    /// The books and the fee meter.
    System(System),
}

impl Item {
    /// Its leaf; `None` for what no state holds.
    pub(super) fn leaf(&self) -> Option<Leaf> {
        match self {
            Self::Account(address, account) => leaves::account_leaf(address, account),
            Self::Record(key @ RecordKey::Reward(_), record @ Record::Reward(_)) => {
                Some(leaves::record_leaf(key, record))
            }
            Self::Record(key @ RecordKey::Slot(..), record @ Record::Slot(value)) if !value.is_zero() => {
                Some(leaves::record_leaf(key, record))
            }
            Self::Record(..) => None,
            Self::System(system) => Some(leaves::system_leaf(system)),
        }
    }
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Chunk {
    /// Leaves in the order of their keys.
    Leaves {
        /// What lies right of the last one in the tree.
        right: Vec<Side>,
        /// The leaves.
        items: Vec<Item>,
    },
    /// Code in the order of its hashes.
    Code(Vec<Bytes>),
}

impl Chunk {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        codec::decode::<Self, CHUNK_LIMIT>(bytes).ok()
    }
}
