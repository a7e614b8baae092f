//! What members say to each other, what they keep, and what they refuse.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::Slot;
use synod_types::codec::{BLOCK_LIMIT, fixed};

use crate::committee::{Attestation, Certificate, CertificateError, MemberIndex, Payload};

/// The largest encoding of a message: a proposal with its body.
pub const MESSAGE_LIMIT: usize = BLOCK_LIMIT + 64 * 1024;
/// The most accepted values in one part of a promise.
pub const PART_LIMIT: usize = 512;
/// The most parts of a promise.
pub const PARTS_LIMIT: u32 = 512;
/// How far above its beginning a promise may speak of slots.
pub const SPAN: u64 = 65_536;
/// No member gets that far by counting.
pub const ROUND_LIMIT: u64 = 1 << 62;

/// A ballot: who leads, in the total order of (round, member). Round 0 is before all ballots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts up.
    pub round: u64,
    /// Whose ballot it is; nobody else ever uses it.
    pub member: MemberIndex,
}

impl fmt::Display for Ballot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.round, self.member)
    }
}

/// A value for a slot in a ballot: proposed, accepted, or reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vote {
    /// In which ballot.
    pub ballot: Ballot,
    /// For which place.
    pub slot: Slot,
    /// The payload's digest; `None` is the no-op.
    #[serde(with = "fixed::option")]
    pub digest: Option<B256>,
}

/// A part of a promise (MPX-3): it counts once all parts are here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// To whom: no lower ballot gets anything from its sender any more.
    pub ballot: Ballot,
    /// It speaks of all slots from here on.
    pub from: Slot,
    /// Which part, from 0.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// Slots up to this certificate are settled and no longer reported (MPX-4).
    pub trimmed: Option<Certificate>,
    /// What its sender accepted, in the order of slots.
    pub accepted: Vec<Vote>,
}

/// Where a member stands: asks for what others have beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The last block that is durable there.
    pub executed: Slot,
    /// The highest certificate that it knows.
    pub certified: Slot,
}

/// What members say to each other. Nothing but attestations is signed: links are authenticated, and members do
/// not lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Would a quorum answer, and has it lost its leader, too (MPX-12)? Promises nothing.
    Probe {
        /// The ballot that would come.
        ballot: Ballot,
    },
    /// It would.
    Willing {
        /// The ballot asked about.
        ballot: Ballot,
    },
    /// Phase 1a, for all slots from one on.
    Prepare {
        /// The ballot.
        ballot: Ballot,
        /// The first slot.
        from: Slot,
    },
    /// Phase 1b.
    Promise(Promise),
    /// A lower ballot than the one promised gets nothing.
    Refused {
        /// Which.
        ballot: Ballot,
        /// What is promised.
        promised: Ballot,
    },
    /// Phase 2a, with its body when it is fresh.
    Accept {
        /// The proposal.
        vote: Vote,
        /// Its body.
        body: Option<Payload>,
    },
    /// Phase 2b, to the ballot's owner.
    Accepted(Vote),
    /// The leader is there.
    Heartbeat {
        /// Its ballot.
        ballot: Ballot,
    },
    /// The sender follows it.
    Following {
        /// The ballot.
        ballot: Ballot,
    },
    /// All slots up to one are chosen.
    Commit {
        /// The leader's ballot: the index counts where the receiver knows that ballot's proposal (MPX-7).
        ballot: Ballot,
        /// The last of them.
        through: Slot,
    },
    /// A chosen value, for whoever missed it.
    Chosen {
        /// Its place.
        slot: Slot,
        /// The payload's digest.
        #[serde(with = "fixed::option")]
        digest: Option<B256>,
    },
    /// Asks for a body.
    AskBody {
        /// Its digest.
        #[serde(with = "fixed")]
        digest: B256,
    },
    /// A body.
    Body(Payload),
    /// A block is durable at the sender.
    Attestation(Attestation),
    /// A certificate, for whoever lags behind it.
    Certified(Certificate),
    /// Where the sender stands.
    Standing(Standing),
}

/// What the journal keeps. Each record is written before what it allows is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The highest ballot promised. The member's own are promised before they are used, so this is the highest
    /// round used, too (MPX-1).
    Promised(Ballot),
    /// A body that an acceptance stands on.
    Body {
        /// The slot that it was proposed for.
        slot: Slot,
        /// The body.
        payload: Payload,
    },
    /// An accepted value; its ballot is promised by it.
    Accepted(Vote),
    /// The certificate at which the journal began anew: what is accepted up to there is trimmed.
    Stable(Certificate),
}

/// What a member did wrong. Members do not lie, so this is a defect, or a stranger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a member of the committee.
    #[error("is no member of this epoch's committee")]
    NotAMember,
    /// A statement of somebody else in its own name.
    #[error("speaks for member {0}")]
    Impersonation(MemberIndex),
    /// A ballot that nobody reaches by counting, or that is before all ballots.
    #[error("uses ballot {0}, which is none")]
    BadBallot(Ballot),
    /// An attestation's signature that is not the signer's.
    #[error("sent a signature of member {0} that is wrong")]
    BadSignature(MemberIndex),
    /// A certificate that proves nothing.
    #[error("sent a certificate that proves nothing: {0}")]
    BadCertificate(#[from] CertificateError),
    /// A promise out of bounds or out of order.
    #[error("sent a wrong promise: {0}")]
    BadPromise(&'static str),
    /// A body that is not the one proposed.
    #[error("sent a body that is not the proposed one")]
    WrongBody,
    /// A payload that no member may vote for.
    #[error("proposed an invalid payload: {0}")]
    InvalidPayload(String),
    /// Two attestations of one place.
    #[error("contradicted itself")]
    Contradiction,
}
