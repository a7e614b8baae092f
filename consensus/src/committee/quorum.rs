//! Quorums: how many members must agree so that any two agreements share an honest member (PBFT-1).
//!
//! With liars q = ⌈(n+f+1)/2⌉ for f = ⌊(n−1)/3⌋: two quorums share at least f+1 members. It is 2f+1 only when
//! n = 3f+1; six members need four. Where members crash and never lie, a majority is enough.

use serde::{Deserialize, Serialize};
use synod_types::mutant;

/// A committee has at most so many members: a certificate's signers are one word of bits.
pub const MEMBERS_LIMIT: usize = 64;

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
