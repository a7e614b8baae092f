//! Who belongs to a committee, for one epoch, and how its members sign.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::genesis::Ordering;
use synod_types::hash::sha256;
use synod_types::{Epoch, Genesis, Height, PublicKey, SecretKey, Signature, codec, mutant};

use super::quorum::{FaultModel, QuorumError, Quorums};
use crate::protocol::Peer;

/// The domain tag of an epoch record's hash.
const RECORD_TAG: &[u8] = b"synod/epoch/v1";
/// The largest encoding of an epoch record.
pub const RECORD_LIMIT: usize = 8 * 1024;

/// A member's place in the committee's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberIndex(pub u8);

impl MemberIndex {
    /// The number by which the driver calls the member.
    pub fn peer(self) -> Peer {
        Peer(self.0.into())
    }
}

impl fmt::Display for MemberIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The key of its statements.
    pub key: PublicKey,
    /// Counts the times that it lost its memory and was taken in again (GEN-3).
    pub incarnation: u32,
}

/// What one epoch is ordered by. A block's header binds the hash of the record that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which.
    pub epoch: Epoch,
    /// The ordering's name ([`crate::Protocol::NAME`]).
    pub ordering: String,
    /// What its members are trusted not to do.
    pub model: FaultModel,
    /// The height of the block that it starts from: slot s makes the block at `base + s`.
    pub base: Height,
    /// In the order of their indexes.
    pub members: Vec<Member>,
}

/// Why a record makes no committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too few or too many members.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// Two members with one key would be one voter with two votes.
    #[error("members {first} and {second} have one key")]
    SameKey {
        /// The one.
        first: usize,
        /// The other.
        second: usize,
    },
    /// A key under which anybody's signature may verify (CRY-2).
    #[error("member {0} has a key that is not fit for signing")]
    WeakKey(usize),
}

impl EpochRecord {
    /// The first epoch's record of a network that a committee orders; `None` under proof of work.
    pub fn first(genesis: &Genesis) -> Option<Self> {
        let model = match genesis.ordering {
            Ordering::Pbft => FaultModel::Byzantine,
            _ => return None,
        };
        let member = |member: &synod_types::genesis::Member| Member { key: member.key, incarnation: 0 };
        Some(Self {
            epoch: Epoch(0),
            ordering: genesis.ordering.name().to_owned(),
            model,
            base: Height(0),
            members: genesis.members.iter().map(member).collect(),
        })
    }

    /// What a block's header binds.
    pub fn hash(&self) -> B256 {
        sha256(&[RECORD_TAG, &codec::encode(self)])
    }
}

/// The committee of one epoch of one network, ready for use; a clone shares it.
#[derive(Debug, Clone)]
pub struct Committee(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    genesis: B256,
    record: EpochRecord,
    quorums: Quorums,
}

impl Committee {
    /// The committee of a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn new(genesis: B256, record: EpochRecord) -> Result<Self, RecordError> {
        let quorums = Quorums::new(record.members.len(), record.model)?;
        for (second, member) in record.members.iter().enumerate() {
            if let Some(first) = record.members[..second].iter().position(|other| other.key == member.key) {
                return Err(RecordError::SameKey { first, second });
            }
            if !member.key.may_own_account() {
                return Err(RecordError::WeakKey(second));
            }
        }
        Ok(Self(Arc::new(Inner { genesis, record, quorums })))
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.0.record.epoch
    }

    /// The network.
    pub fn genesis(&self) -> B256 {
        self.0.genesis
    }

    /// The whole record.
    pub fn record(&self) -> &EpochRecord {
        &self.0.record
    }

    /// The sizes of its quorums.
    pub fn quorums(&self) -> Quorums {
        self.0.quorums
    }

    /// q.
    pub fn quorum(&self) -> usize {
        self.0.quorums.quorum
    }

    /// f.
    pub fn faults(&self) -> usize {
        self.0.quorums.faults
    }

    /// n.
    pub fn len(&self) -> usize {
        self.0.quorums.members
    }

    /// Never: a committee has members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is such a member.
    pub fn has(&self, member: MemberIndex) -> bool {
        usize::from(member.0) < self.len()
    }

    /// All members.
    pub fn indexes(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0..self.len() as u8).map(MemberIndex)
    }

    /// The member behind a driver's number.
    pub fn member(&self, peer: Peer) -> Option<MemberIndex> {
        u8::try_from(peer.0).ok().map(MemberIndex).filter(|member| self.has(*member))
    }

    /// The member of this key.
    pub fn find(&self, key: &PublicKey) -> Option<MemberIndex> {
        let at = self.0.record.members.iter().position(|member| member.key == *key)?;
        Some(MemberIndex(at as u8))
    }

    /// The bytes that a statement is signed over (CRY-4).
    pub fn signed_bytes(&self, tag: &'static [u8], content: &[u8]) -> Vec<u8> {
        let epoch = if mutant!("cry-4-no-epoch") { 0 } else { self.epoch().0 };
        [tag, self.0.genesis.as_slice(), &epoch.to_be_bytes(), content].concat()
    }

    /// Whether `member` signed this.
    pub fn verify(
        &self,
        member: MemberIndex,
        tag: &'static [u8],
        content: &[u8],
        signature: &Signature,
    ) -> bool {
        let Some(Member { key, .. }) = self.0.record.members.get(usize::from(member.0)) else { return false };
        synod_types::signature::verify(key, &self.signed_bytes(tag, content), signature)
    }
}

/// A member's voice: its index and its secret key.
#[derive(Debug, Clone)]
pub struct Signer {
    index: MemberIndex,
    key: SecretKey,
}

impl Signer {
    /// The voice of the member whose key this is; `None` when the committee has no such member.
    pub fn new(committee: &Committee, key: SecretKey) -> Option<Self> {
        committee.find(&key.public()).map(|index| Self { index, key })
    }

    /// Whose voice.
    pub fn index(&self) -> MemberIndex {
        self.index
    }

    /// Signs a statement.
    pub fn sign(&self, committee: &Committee, tag: &'static [u8], content: &[u8]) -> Signature {
        self.key.sign(&committee.signed_bytes(tag, content))
    }
}
