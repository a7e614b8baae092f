//! Who belongs to a committee, for one epoch, and how its members sign.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::committee::{EpochRecord, Quorums, RecordError, statement_bytes};
use synod_types::signature::ReadyKey;
use synod_types::{Epoch, PublicKey, SecretKey, Signature, mutant};

use crate::protocol::Peer;

/// A member's place in the committee's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
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

/// The committee of one epoch of one network, ready for use; a clone shares it.
#[derive(Clone)]
pub struct Committee(Arc<Inner>);

struct Inner {
    genesis: B256,
    record: EpochRecord,
    quorums: Quorums,
    /// The members' keys, in their order, ready for the many signatures of an epoch.
    keys: Vec<ReadyKey>,
}

/// The keys are left out: a machine that is shown holds its committee twice, and its epoch says which it is.
impl fmt::Debug for Committee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "committee of {} in epoch {}", self.len(), self.epoch())
    }
}

impl Committee {
    /// The committee of a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn new(genesis: B256, record: EpochRecord) -> Result<Self, RecordError> {
        let quorums = record.check()?;
        let keys = record.members.iter().map(|member| ReadyKey::new(&member.key)).collect();
        Ok(Self(Arc::new(Inner { genesis, record, quorums, keys })))
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
        let at = self.0.record.find(key)?;
        Some(MemberIndex(at as u8))
    }

    /// The bytes that a statement is signed over (CRY-4).
    pub fn signed_bytes(&self, tag: &'static [u8], content: &[u8]) -> Vec<u8> {
        let epoch = if mutant!("cry-4-no-epoch") { Epoch(0) } else { self.epoch() };
        statement_bytes(tag, self.0.genesis, epoch, content)
    }

    /// Whether `member` signed this.
    pub fn verify(
        &self,
        member: MemberIndex,
        tag: &'static [u8],
        content: &[u8],
        signature: &Signature,
    ) -> bool {
        let Some(key) = self.0.keys.get(usize::from(member.0)) else { return false };
        key.verify(&self.signed_bytes(tag, content), signature)
    }
}

/// A member's voice: its index and its secret key.
#[derive(Clone)]
pub struct Signer {
    index: MemberIndex,
    key: SecretKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "voice of member {}", self.index)
    }
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
