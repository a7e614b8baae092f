//! Who orders a chain: committees by epoch, their quorums, and how one committee follows another.
//!
//! An epoch's [`EpochRecord`] fixes its ordering, its members and their incarnations. A quorum of the members
//! ends it by signing a [`CommitteeChange`]; the block that executes the change is the epoch's last, and its
//! header binds the hash of the next record. So whoever knows the genesis can follow the committees from
//! block to block.
//!
//! **Quorums** are so large that any two agreements share an honest member (PBFT-1). With liars
//! q = ⌈(n+f+1)/2⌉ for f = ⌊(n−1)/3⌋: two quorums share at least f+1 members. It is 2f+1 only when n = 3f+1;
//! six members need four. Where members crash and never lie, a majority is enough.
//!
//! A change travels as the data of an ordinary native transaction to [`COMMITTEE_ADDRESS`]: anybody with an
//! account carries it in and pays for it; what counts are the members' signatures inside.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, address};
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::genesis::{Genesis, Ordering};
use crate::hash::sha256;
use crate::keys::{PublicKey, SecretKey};
use crate::mutant;
use crate::number::{Epoch, Height};
use crate::signature::{self, Signature};

/// Where changes of the committee are sent. Nobody has its key: it stands for the ledger itself.
pub const COMMITTEE_ADDRESS: Address = address!("0000000000000000000000000053796e6f640001");
/// A committee has at most so many members: a certificate's signers are one word of bits.
pub const MEMBERS_LIMIT: usize = 64;
/// The largest encoding of an epoch record.
pub const RECORD_LIMIT: usize = 8 * 1024;
/// The largest encoding of a signed change.
pub const CHANGE_LIMIT: usize = 16 * 1024;
/// The most bytes of a member's name.
pub const NAME_LIMIT: usize = 32;
/// The domain tag of an epoch record's hash.
const RECORD_TAG: &[u8] = b"synod/epoch/v1";
/// The domain tag of an approval.
const CHANGE_TAG: &[u8] = b"synod/committee-change/v1";

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// The key of its statements.
    pub key: PublicKey,
    /// Counts the times that it lost its memory and was taken in again (GEN-3).
    pub incarnation: u32,
}

impl Member {
    /// A member that never lost anything.
    pub fn new(name: impl Into<String>, key: PublicKey) -> Self {
        Self { name: name.into(), key, incarnation: 0 }
    }
}

/// What one epoch is ordered by. The header of the block before it binds the hash of its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which.
    pub epoch: Epoch,
    /// The ordering's name.
    pub ordering: String,
    /// What its members are trusted not to do.
    pub model: FaultModel,
    /// The height of the block that it starts from: slot s makes the block at `base + s`.
    pub base: Height,
    /// In the order of their indexes.
    pub members: Vec<Member>,
}

/// What faulty members can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultModel {
    /// Anything at all.
    Byzantine,
    /// Stop, and come back with what they had written.
    Crash,
}

/// The sizes that follow from the number of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// n: the members.
    pub members: usize,
    /// f: how many of them may be faulty.
    pub faults: usize,
    /// q: how many make a quorum.
    pub quorum: usize,
}

/// Why a number of members makes no committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Not even one liar would be survived.
    #[error(
        "{members} members survive f = ⌊({members} − 1) / 3⌋ = 0 liars: add {} more, since one liar needs 3·1 + 1 = 4 members",
        4 - members
    )]
    TooFewForLiars {
        /// How many there are.
        members: usize,
    },
    /// Nobody.
    #[error("a committee needs a member")]
    Empty,
    /// More than a certificate can name.
    #[error("{members} members are more than the {MEMBERS_LIMIT} that a certificate can name")]
    TooMany {
        /// How many there are.
        members: usize,
    },
}

impl FaultModel {
    /// What is assumed of the members beyond the count of faults; `None` where they may do anything.
    pub fn assumption(self) -> Option<&'static str> {
        match self {
            Self::Byzantine => None,
            Self::Crash => Some("members crash but do not lie"),
        }
    }

    /// How many members the smallest committee has that survives `faults` of them.
    pub fn least_members(self, faults: usize) -> usize {
        match self {
            Self::Byzantine => 3 * faults + 1,
            Self::Crash => 2 * faults + 1,
        }
    }
}

impl Quorums {
    /// The quorums of `members` members under `model`.
    ///
    /// # Errors
    /// [`QuorumError`], with the arithmetic.
    pub fn new(members: usize, model: FaultModel) -> Result<Self, QuorumError> {
        if members > MEMBERS_LIMIT {
            return Err(QuorumError::TooMany { members });
        }
        match model {
            FaultModel::Byzantine if members < 4 => Err(QuorumError::TooFewForLiars { members }),
            FaultModel::Byzantine => {
                let faults = (members - 1) / 3;
                let quorum = if mutant!("pbft-1-quorum-2f+1") {
                    2 * faults + 1
                } else {
                    (members + faults + 1).div_ceil(2)
                };
                Ok(Self { members, faults, quorum })
            }
            FaultModel::Crash if members == 0 => Err(QuorumError::Empty),
            FaultModel::Crash => Ok(Self { members, faults: (members - 1) / 2, quorum: members / 2 + 1 }),
        }
    }
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
    /// People could not tell two members apart, or read one's name.
    #[error("member {0} has another member's name, or one that is empty or longer than {NAME_LIMIT} bytes")]
    Name(usize),
}

impl EpochRecord {
    /// The first epoch's record of a network that a committee orders; `None` under proof of work.
    pub fn first(genesis: &Genesis) -> Option<Self> {
        Some(Self {
            epoch: Epoch(0),
            ordering: genesis.ordering.name().to_owned(),
            model: fault_model(genesis.ordering)?,
            base: Height(0),
            members: genesis.members.iter().map(|member| Member::new(&member.name, member.key)).collect(),
        })
    }

    /// What a block's header binds.
    pub fn hash(&self) -> B256 {
        sha256(&[RECORD_TAG, &self.to_bytes()])
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`RECORD_LIMIT`] of them.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode::<Self, RECORD_LIMIT>(bytes)
    }

    /// Whether its members make a committee, and how large its quorums are.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn check(&self) -> Result<Quorums, RecordError> {
        let quorums = Quorums::new(self.members.len(), self.model)?;
        let mut names = BTreeSet::new();
        for (second, member) in self.members.iter().enumerate() {
            if let Some(first) = self.members[..second].iter().position(|other| other.key == member.key) {
                return Err(RecordError::SameKey { first, second });
            }
            if !member.key.may_own_account() {
                return Err(RecordError::WeakKey(second));
            }
            if !(1..=NAME_LIMIT).contains(&member.name.len()) || !names.insert(&member.name) {
                return Err(RecordError::Name(second));
            }
        }
        Ok(quorums)
    }

    /// The index of the member with this key.
    pub fn find(&self, key: &PublicKey) -> Option<usize> {
        self.members.iter().position(|member| member.key == *key)
    }
}

/// What an ordering's members are trusted not to do; `None` where no committee orders.
pub fn fault_model(ordering: Ordering) -> Option<FaultModel> {
    match ordering {
        Ordering::Pow => None,
        Ordering::Pbft => Some(FaultModel::Byzantine),
        Ordering::Paxos | Ordering::Zab => Some(FaultModel::Crash),
    }
}

/// The bytes that a member's statement is signed over: `tag ‖ genesis ‖ epoch ‖ content` (CRY-4).
pub fn statement_bytes(tag: &[u8], genesis: B256, epoch: Epoch, content: &[u8]) -> Vec<u8> {
    [tag, genesis.as_slice(), &epoch.0.to_be_bytes(), content].concat()
}

/// "Let this epoch end, and these members order the next."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteeChange {
    /// The epoch that it ends.
    pub epoch: Epoch,
    /// The next epoch's ordering.
    pub ordering: String,
    /// The next epoch's members.
    pub members: Vec<Member>,
}

/// One member's signature under a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its index in the committee that the change ends.
    pub member: u8,
    /// Over the tag, the genesis, the epoch and the change's canonical bytes.
    pub signature: Signature,
}

/// A change and who approves it, in the order of the members' indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedChange {
    /// What is to change.
    pub change: CommitteeChange,
    /// Who approves.
    pub approvals: Vec<Approval>,
}

/// Why a change has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The bytes are no change.
    #[error("it is no change of the committee: {0}")]
    Decode(#[from] DecodeError),
    /// It was signed for another epoch, or another change of this epoch came first.
    #[error("it ends epoch {theirs}, and this is epoch {ours}: sign it anew")]
    OtherEpoch {
        /// The change's.
        theirs: Epoch,
        /// The chain's.
        ours: Epoch,
    },
    /// Nothing orders by this name.
    #[error("no committee orders by {0:?}")]
    Ordering(String),
    /// The next members make no committee.
    #[error("the next committee: {0}")]
    Record(#[from] RecordError),
    /// A member would become one that it has been already, whose memory is gone.
    #[error("member {0} would go back to an older incarnation")]
    OlderIncarnation(usize),
    /// Approvals out of order, twice, or of nobody.
    #[error("approval {0} is out of order, or of nobody in the committee")]
    Approval(usize),
    /// No quorum.
    #[error("{approvals} members approve it, where {needed} are needed")]
    TooFew {
        /// How many approve.
        approvals: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A signature that its member never made.
    #[error("the signature of member {0} is wrong")]
    BadSignature(u8),
}

impl CommitteeChange {
    /// What an approval signs.
    fn signed_bytes(&self, genesis: B256) -> Vec<u8> {
        statement_bytes(CHANGE_TAG, genesis, self.epoch, &codec::encode(self))
    }

    /// The record that it asks for, when the block at `base` executes it. Nothing says that it may.
    ///
    /// # Errors
    /// [`ChangeError::Ordering`].
    pub fn record(&self, base: Height) -> Result<EpochRecord, ChangeError> {
        let ordering = Ordering::from_name(&self.ordering).and_then(fault_model);
        Ok(EpochRecord {
            epoch: Epoch(self.epoch.0.saturating_add(1)),
            ordering: self.ordering.clone(),
            model: ordering.ok_or_else(|| ChangeError::Ordering(self.ordering.clone()))?,
            base,
            members: self.members.clone(),
        })
    }

    /// The record of the epoch that it begins, after the block at `base`, if it may follow `current`.
    /// Approvals are not looked at.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn follow(&self, current: &EpochRecord, base: Height) -> Result<EpochRecord, ChangeError> {
        if self.epoch != current.epoch {
            return Err(ChangeError::OtherEpoch { theirs: self.epoch, ours: current.epoch });
        }
        let next = self.record(base)?;
        next.check()?;
        for (index, member) in next.members.iter().enumerate() {
            let before = current.find(&member.key).map_or(0, |at| current.members[at].incarnation);
            if member.incarnation < before {
                return Err(ChangeError::OlderIncarnation(index));
            }
        }
        Ok(next)
    }
}

impl SignedChange {
    /// A change that nobody approves yet.
    pub fn new(change: CommitteeChange) -> Self {
        Self { change, approvals: Vec::new() }
    }

    /// Adds the approval of the member of `current` whose key this is; false when it is nobody's.
    pub fn approve(&mut self, current: &EpochRecord, genesis: B256, key: &SecretKey) -> bool {
        let index = current.find(&key.public()).and_then(|index| u8::try_from(index).ok());
        let Some(member) = index else { return false };
        if let Err(place) = self.approvals.binary_search_by_key(&member, |approval| approval.member) {
            let signature = key.sign(&self.change.signed_bytes(genesis));
            self.approvals.insert(place, Approval { member, signature });
        }
        true
    }

    /// Whether each approval is one, by a member of `current`; a quorum is not asked for.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn check_approvals(&self, current: &EpochRecord, genesis: B256) -> Result<(), ChangeError> {
        let signed = self.change.signed_bytes(genesis);
        let mut least = 0;
        for (index, approval) in self.approvals.iter().enumerate() {
            let place = usize::from(approval.member);
            let member = current.members.get(place).filter(|_| place >= least);
            let member = member.ok_or(ChangeError::Approval(index))?;
            if !signature::verify(&member.key, &signed, &approval.signature) {
                return Err(ChangeError::BadSignature(approval.member));
            }
            least = place + 1;
        }
        Ok(())
    }

    /// The record of the epoch that it begins after the block at `base`: it may follow `current`, and a quorum
    /// of `current` approves it. Counts are looked at before any signature.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn apply(
        &self,
        current: &EpochRecord,
        genesis: B256,
        base: Height,
    ) -> Result<EpochRecord, ChangeError> {
        let next = self.change.follow(current, base)?;
        let needed = current.check()?.quorum;
        let approvals = self.approvals.len();
        if approvals < needed {
            return Err(ChangeError::TooFew { approvals, needed });
        }
        self.check_approvals(current, genesis)?;
        Ok(next)
    }

    /// The canonical bytes: a transaction's data.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`CHANGE_LIMIT`] of them.
    ///
    /// # Errors
    /// [`ChangeError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChangeError> {
        Ok(codec::decode::<Self, CHANGE_LIMIT>(bytes)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GENESIS: B256 = B256::repeat_byte(3);

    fn key(index: u8) -> SecretKey {
        SecretKey::from_seed(&[index + 1; 32])
    }

    fn members(range: std::ops::Range<u8>) -> Vec<Member> {
        range.map(|index| Member::new(format!("m{index}"), key(index).public())).collect()
    }

    fn record() -> EpochRecord {
        EpochRecord {
            epoch: Epoch(2),
            ordering: "pbft".to_owned(),
            model: FaultModel::Byzantine,
            base: Height(10),
            members: members(0..4),
        }
    }

    fn change() -> CommitteeChange {
        CommitteeChange { epoch: Epoch(2), ordering: "pbft".to_owned(), members: members(0..5) }
    }

    fn signed(change: CommitteeChange, by: &[u8]) -> SignedChange {
        let mut signed = SignedChange::new(change);
        for index in by {
            assert!(signed.approve(&record(), GENESIS, &key(*index)));
        }
        signed
    }

    fn verdict(signed: &SignedChange) -> Result<EpochRecord, ChangeError> {
        signed.apply(&record(), GENESIS, Height(17))
    }

    #[test]
    fn a_quorum_changes_its_committee() {
        let signed = signed(change(), &[3, 0, 1, 0]);
        let next = verdict(&signed).unwrap();
        assert_eq!((next.epoch, next.base, next.members.len()), (Epoch(3), Height(17), 5));
        assert_eq!(SignedChange::from_bytes(&signed.to_bytes()).unwrap(), signed);
        assert_eq!(EpochRecord::from_bytes(&next.to_bytes()).unwrap(), next);
        assert!(!SignedChange::new(change()).approve(&record(), GENESIS, &key(4)), "no member yet");
    }

    #[test]
    fn what_is_not_a_quorums_will_changes_nothing() {
        let good = signed(change(), &[0, 1, 2]);
        let few = signed(change(), &[0, 2]);
        assert_eq!(verdict(&few), Err(ChangeError::TooFew { approvals: 2, needed: 3 }));
        assert_eq!(good.apply(&record(), B256::ZERO, Height(1)), Err(ChangeError::BadSignature(0)));
        let mut twice = good.clone();
        twice.approvals[1] = twice.approvals[0];
        assert_eq!(verdict(&twice), Err(ChangeError::Approval(1)));
        let mut nobody = good.clone();
        nobody.approvals[2].member = 4;
        assert_eq!(verdict(&nobody), Err(ChangeError::Approval(2)));
        let mut other = good.clone();
        other.change.members[4].name = "x".to_owned();
        assert_eq!(verdict(&other), Err(ChangeError::BadSignature(0)));
        let mut later = record();
        later.epoch = Epoch(3);
        assert_eq!(
            good.apply(&later, GENESIS, Height(1)),
            Err(ChangeError::OtherEpoch { theirs: Epoch(2), ours: Epoch(3) })
        );
    }

    #[test]
    fn what_would_be_no_committee_does_not_follow() {
        let following = |spoil: &dyn Fn(&mut CommitteeChange)| {
            let mut change = change();
            spoil(&mut change);
            change.follow(&record(), Height(1))
        };
        assert!(following(&|_| {}).is_ok());
        assert!(matches!(
            following(&|change| change.members.truncate(3)),
            Err(ChangeError::Record(RecordError::Quorum(_)))
        ));
        assert!(matches!(
            following(&|change| change.members[4].key = key(0).public()),
            Err(ChangeError::Record(RecordError::SameKey { first: 0, second: 4 }))
        ));
        assert!(matches!(
            following(&|change| change.members[4].name = "m1".to_owned()),
            Err(ChangeError::Record(RecordError::Name(4)))
        ));
        for ordering in ["pow", "", "raft"] {
            let refused = following(&|change| change.ordering = ordering.to_owned());
            assert_eq!(refused, Err(ChangeError::Ordering(ordering.to_owned())));
        }
        let mut reborn = record();
        reborn.members[1].incarnation = 2;
        assert_eq!(change().follow(&reborn, Height(1)), Err(ChangeError::OlderIncarnation(1)));
    }

    #[test]
    fn golden_bytes_of_a_change() {
        let bytes = signed(change(), &[0, 1, 2]).to_bytes();
        assert_eq!(
            (bytes.len(), sha256(&[&bytes]).to_string().as_str()),
            (461, "0xd80d699620711773609e6fad34e0e85ff6f87f8a455dcf8571a76644fd68cb34")
        );
    }
}
