//! What members say to each other, what they keep, and what they refuse.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::Slot;
use synod_types::codec::{BLOCK_LIMIT, fixed};

use super::zxid::{Point, ZabEpoch, Zxid};
use crate::committee::{Attestation, Certificate, CertificateError, MemberIndex, Payload};

/// The largest encoding of a message: a proposal with its body.
pub const MESSAGE_LIMIT: usize = BLOCK_LIMIT + 64 * 1024;
/// The most transactions in one way to a history.
pub const ENTRIES_LIMIT: usize = 4_096;
/// No member gets that far by counting.
pub const EPOCH_LIMIT: u64 = 1 << 62;

/// A transaction of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the committee's order.
    pub slot: Slot,
    /// Its name.
    pub zxid: Zxid,
    /// Its payload.
    #[serde(with = "fixed")]
    pub digest: B256,
}

impl Entry {
    /// Where it stands.
    pub fn point(&self) -> Point {
        Point { slot: self.slot, zxid: self.zxid }
    }
}

/// How good a history is: the better one is of a later epoch, or longer in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The last epoch whose leader's history was taken over whole (`currentEpoch`).
    pub current: ZabEpoch,
    /// The last transaction of the log.
    pub last: Point,
}

impl State {
    /// What is compared.
    pub fn rank(&self) -> (ZabEpoch, Zxid) {
        (self.current, self.last.zxid)
    }
}

/// What a member that looks for a leader says to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vote {
    /// The newest epoch that it promised itself to.
    pub accepted: ZabEpoch,
    /// Its own history, if it can lead.
    pub state: Option<State>,
    /// Whom it would follow.
    pub supports: Option<MemberIndex>,
    /// How many members it hears, itself among them: who hears no quorum can lead nobody.
    pub hears: u16,
}

impl Vote {
    /// What [`Vote::hears`] says of a member that a quorum supported, and that gathers its followers.
    pub(crate) const GATHERS: u16 = u16::MAX;

    /// Whether its sender was supported by a quorum and waits for CEPOCH.
    pub(super) fn gathers(&self) -> bool {
        self.hears == Self::GATHERS
    }
}

/// What a follower's log becomes before what is proposed to it goes on (ZAB-4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Basis {
    /// DIFF: it stays.
    Diff(Point),
    /// TRUNC: it ends here; what lies above is not in the leader's.
    Trunc(Point),
    /// SNAP: blocks up to a certificate take its place.
    Snap {
        /// The last of them.
        point: Point,
        /// What proves them.
        certificate: Certificate,
    },
}

impl Basis {
    /// The point that the leader's transactions follow.
    pub fn point(&self) -> Point {
        match self {
            Self::Diff(point) | Self::Trunc(point) | Self::Snap { point, .. } => *point,
        }
    }
}

/// Where a member stands: asks for a newer certificate.
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
    /// Phase 0: the sender looks for a leader.
    Vote(Vote),
    /// Phase 1, CEPOCH: the sender would follow.
    FollowerInfo {
        /// The newest epoch that it promised itself to.
        accepted: ZabEpoch,
        /// Whether it votes; an observer does not.
        votes: bool,
    },
    /// Phase 1, NEWEPOCH.
    NewEpoch {
        /// The leader's.
        epoch: ZabEpoch,
    },
    /// Phase 1, ACK-E: no leader of an earlier epoch gets anything from the sender any more.
    AckEpoch {
        /// To which.
        epoch: ZabEpoch,
        /// Whether it counts: not from a member that gave this epoch to another, nor from an observer (ZAB-3).
        counts: bool,
        /// The sender's history.
        state: State,
    },
    /// Phase 2, NEWLEADER, with the way from the receiver's history to the leader's.
    NewLeader {
        /// The leader's.
        epoch: ZabEpoch,
        /// What becomes of the receiver's log first.
        basis: Basis,
        /// What follows.
        entries: Vec<Entry>,
    },
    /// Phase 2, ACK-LD: the sender has the leader's history, and all of it is durable.
    AckLeader {
        /// The leader's.
        epoch: ZabEpoch,
        /// The last of it.
        through: Slot,
    },
    /// Phase 2, COMMIT-LD: the leader is established, and this is committed.
    CommitLeader {
        /// The leader's.
        epoch: ZabEpoch,
        /// The last that is committed.
        through: Slot,
    },
    /// Phase 3, PROPOSE, with its body when it is fresh.
    Propose {
        /// What, in the leader's epoch.
        entry: Entry,
        /// Its body.
        body: Option<Payload>,
    },
    /// Phase 3, ACK: everything up to here is durable at the sender.
    Ack {
        /// The leader's epoch.
        epoch: ZabEpoch,
        /// The last of it.
        through: Slot,
    },
    /// Phase 3, COMMIT.
    Commit {
        /// The leader's epoch.
        epoch: ZabEpoch,
        /// Everything up to here is committed.
        through: Slot,
    },
    /// The leader is there.
    Ping {
        /// Its epoch.
        epoch: ZabEpoch,
        /// What is committed, once it is established.
        through: Option<Slot>,
    },
    /// The sender follows it.
    Pong {
        /// Its epoch.
        epoch: ZabEpoch,
    },
    /// The sender promised itself to a later epoch.
    Refused {
        /// Which it was asked for.
        epoch: ZabEpoch,
        /// The later one.
        accepted: ZabEpoch,
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

/// What the journal keeps, in the order in which it must become durable (ZAB-4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// `acceptedEpoch`, and for whom.
    Accepted {
        /// Which.
        epoch: ZabEpoch,
        /// Its leader; nobody else gets an ACK-E for it that counts.
        leader: MemberIndex,
    },
    /// A body that the log stands on.
    Body {
        /// The slot that it was proposed for.
        slot: Slot,
        /// The body.
        payload: Payload,
    },
    /// The log ends here; what lay above is gone.
    Truncated(Slot),
    /// The log begins above this: blocks up to the certificate take the place of what was before.
    Base {
        /// Where.
        point: Point,
        /// What settles it.
        certificate: Certificate,
    },
    /// Blocks are being fetched that the log does not know: what is executed is not what is logged (ZAB-8).
    Fetching,
    /// One more transaction of the log.
    Logged(Entry),
    /// `currentEpoch`: the log is its leader's history.
    Current(ZabEpoch),
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
    /// An epoch that nobody reaches by counting, or that is before all of them.
    #[error("uses epoch {0}, which no leader has")]
    BadEpoch(ZabEpoch),
    /// An attestation's signature that is not the signer's.
    #[error("sent a signature of member {0} that is wrong")]
    BadSignature(MemberIndex),
    /// A certificate that proves nothing.
    #[error("sent a certificate that proves nothing: {0}")]
    BadCertificate(#[from] CertificateError),
    /// A history out of bounds or with holes (ZAB-7).
    #[error("sent a wrong history: {0}")]
    BadHistory(&'static str),
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
