//! What members say to each other, what they keep, and what they accuse each other of.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::codec::{self, BLOCK_LIMIT, fixed};
use synod_types::hash::sha256;
use synod_types::{Signature, Slot};

use crate::committee::{
    Attestation, Certificate, CertificateError, Committee, MemberIndex, Payload, Signatures, Signer,
};

/// The largest encoding of a message: a proposal with its body, or a new view.
pub const MESSAGE_LIMIT: usize = BLOCK_LIMIT + 64 * 1024;

/// A view: who is primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct View(pub u64);

impl View {
    /// The member that leads this view.
    pub fn primary(self, committee: &Committee) -> MemberIndex {
        MemberIndex((self.0 % committee.len() as u64) as u8)
    }

    /// The view after it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The three phases of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The primary's proposal.
    PrePrepare,
    /// A backup accepted it, body and all.
    Prepare,
    /// The member knows that nothing else can be prepared in this view.
    Commit,
}

impl Phase {
    /// The domain tag of this phase's votes (CRY-4).
    pub fn tag(self) -> &'static [u8] {
        match self {
            Self::PrePrepare => b"synod/pbft/pre-prepare/v1",
            Self::Prepare => b"synod/pbft/prepare/v1",
            Self::Commit => b"synod/pbft/commit/v1",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PrePrepare => "PRE-PREPARE",
            Self::Prepare => "PREPARE",
            Self::Commit => "COMMIT",
        })
    }
}

/// What a vote is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    /// In which view.
    pub view: View,
    /// For which place.
    pub slot: Slot,
    /// The payload's digest; `None` is the null request (PBFT-9).
    #[serde(with = "fixed::option")]
    pub digest: Option<B256>,
}

/// A signed vote of any phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Which phase.
    pub phase: Phase,
    /// For what.
    pub choice: Choice,
    /// Whose.
    pub member: MemberIndex,
    /// Over the phase's tag and the choice.
    pub signature: Signature,
}

impl Vote {
    /// Signs a vote.
    pub fn new(committee: &Committee, signer: &Signer, phase: Phase, choice: Choice) -> Self {
        let signature = signer.sign(committee, phase.tag(), &codec::encode(&choice));
        Self { phase, choice, member: signer.index(), signature }
    }

    /// Whether its member signed it.
    pub fn is_signed(&self, committee: &Committee) -> bool {
        committee.verify(self.member, self.phase.tag(), &codec::encode(&self.choice), &self.signature)
    }
}

/// Proof that no other choice can be prepared in its view: the primary's pre-prepare without its body, and
/// q − 1 prepares of backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The primary's.
    pub pre_prepare: Vote,
    /// The backups'.
    pub prepares: Signatures,
}

impl Prepared {
    /// What is prepared.
    pub fn choice(&self) -> Choice {
        self.pre_prepare.choice
    }
}

/// Proof of a decision: q commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is decided.
    pub choice: Choice,
    /// By whom.
    pub commits: Signatures,
}

/// VIEW-CHANGE: what its member carries over into a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// What is signed.
    pub content: CarriedOver,
    /// Whose.
    pub member: MemberIndex,
    /// Over [`VIEW_CHANGE_TAG`] and the content.
    pub signature: Signature,
}

/// The content of a VIEW-CHANGE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedOver {
    /// The view that it moves to.
    pub view: View,
    /// The highest stable checkpoint that it knows; `None` for the epoch's start.
    pub stable: Option<Certificate>,
    /// For each slot above that the certificate of the highest view, in the order of slots.
    pub prepared: Vec<Prepared>,
}

/// The domain tag of a VIEW-CHANGE.
pub const VIEW_CHANGE_TAG: &[u8] = b"synod/pbft/view-change/v1";
/// The domain tag of a NEW-VIEW.
pub const NEW_VIEW_TAG: &[u8] = b"synod/pbft/new-view/v1";

impl ViewChange {
    /// Signs what is carried over.
    pub fn new(committee: &Committee, signer: &Signer, content: CarriedOver) -> Self {
        let signature = signer.sign(committee, VIEW_CHANGE_TAG, &codec::encode(&content));
        Self { content, member: signer.index(), signature }
    }

    /// The view that it moves to.
    pub fn view(&self) -> View {
        self.content.view
    }
}

impl CarriedOver {
    /// n₀: the slot of the stable checkpoint.
    pub fn stable_slot(&self) -> Slot {
        self.stable.as_ref().map_or(Slot(0), Certificate::slot)
    }
}

/// NEW-VIEW: q VIEW-CHANGEs, and the proposals that follow from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// Which view begins.
    pub view: View,
    /// V, in the order of members.
    pub view_changes: Vec<ViewChange>,
    /// O, in the order of slots.
    pub pre_prepares: Vec<Vote>,
    /// The primary's, over [`NEW_VIEW_TAG`] and [`NewView::content`].
    pub signature: Signature,
}

impl NewView {
    /// What the primary signed.
    pub fn signed_content(&self) -> Vec<u8> {
        Self::content(self.view, &self.view_changes, &self.pre_prepares)
    }

    /// What a primary signs: the view and the hashes of V and O.
    pub fn content(view: View, view_changes: &[ViewChange], pre_prepares: &[Vote]) -> Vec<u8> {
        let changes = sha256(&[&codec::encode(view_changes)]);
        let proposals = sha256(&[&codec::encode(pre_prepares)]);
        [&view.0.to_be_bytes(), changes.as_slice(), proposals.as_slice()].concat()
    }
}

/// Where a member stands: asks for what others have beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its view.
    pub view: View,
    /// Whether the view has begun there.
    pub is_active: bool,
    /// The last block that is durable there.
    pub executed: Slot,
    /// The highest certificate that it knows.
    pub certified: Slot,
}

/// What members say to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// PRE-PREPARE, with its body when it is fresh.
    PrePrepare {
        /// The proposal.
        vote: Vote,
        /// Its body.
        body: Option<Payload>,
    },
    /// PREPARE.
    Prepare(Vote),
    /// COMMIT.
    Commit(Vote),
    /// CHECKPOINT: a block is durable at the sender.
    Attestation(Attestation),
    /// VIEW-CHANGE.
    ViewChange(ViewChange),
    /// NEW-VIEW; anybody may pass it on.
    NewView(NewView),
    /// Asks for a body.
    AskBody {
        /// Its digest.
        #[serde(with = "fixed")]
        digest: B256,
    },
    /// A body.
    Body(Payload),
    /// A decision of any view, for whoever missed it (PBFT-14).
    Decided(Decision),
    /// A stable checkpoint, for whoever lags behind it.
    Certified(Certificate),
    /// Where the sender stands.
    Standing(Standing),
}

/// What the journal keeps. Each record is written before what it allows is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A body that a vote of this member stands on.
    Body {
        /// The slot that it was proposed for.
        slot: Slot,
        /// The body.
        payload: Payload,
    },
    /// The proposal that this member accepted (and, unless it is the primary, prepared).
    Accepted(Vote),
    /// A prepared certificate; the commit was sent.
    Prepared(Prepared),
    /// The member left for a view.
    ViewChange(ViewChange),
    /// A view began.
    NewView(NewView),
    /// The stable checkpoint at which the journal began anew.
    Stable(Certificate),
}

/// What a member did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a member of the committee.
    #[error("is no member of this epoch's committee")]
    NotAMember,
    /// A statement of somebody else in its own name (S-B13).
    #[error("speaks for member {0}")]
    Impersonation(MemberIndex),
    /// A signature that is not the signer's.
    #[error("sent a signature of member {0} that is wrong")]
    BadSignature(MemberIndex),
    /// A certificate that proves nothing.
    #[error("sent a certificate that proves nothing: {0}")]
    BadCertificate(#[from] CertificateError),
    /// A vote of the wrong phase, or of the wrong member for its phase.
    #[error("sent a vote that is not its to cast")]
    WrongRole,
    /// A body that is not the one proposed.
    #[error("sent a body that is not the proposed one")]
    WrongBody,
    /// A payload that no member may vote for.
    #[error("proposed an invalid payload: {0}")]
    InvalidPayload(String),
    /// A VIEW-CHANGE that does not follow the rules.
    #[error("sent a wrong view change: {0}")]
    BadViewChange(&'static str),
    /// A NEW-VIEW that does not follow from its view changes.
    #[error("sent a wrong new view: {0}")]
    BadNewView(&'static str),
    /// Two statements that no honest member makes both.
    #[error("contradicted itself")]
    Contradiction,
}
