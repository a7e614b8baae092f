//! What passes between an ordering by a committee and its driver; the same for all of them.
//!
//! A driver carries out [`Effect::Append`](crate::Effect::Append) by building the payload's block (an empty
//! body is an empty block with its parent's time), and answers
//! [`Input::Executed`](crate::Input::Executed) once the block is durable in the block log. It numbers peers by
//! member index, tells of [`Input::Connected`](crate::Input::Connected) members, and of what waits in the
//! pool by [`Input::Demand`](crate::Input::Demand): `oldest_since` is the age of the oldest transaction that a
//! block could take now and has not, `bytes` are those of them that no offer of this node holds already.

use std::fmt::Debug;

use alloy_primitives::B256;
use synod_types::{BlockHash, Height, Position, Slot};

use super::certificate::Certificate;
use super::evidence::Evidence;
use super::payload::Payload;
use crate::protocol::Protocol;

/// An ordering by a committee.
pub trait CommitteeProtocol:
    Protocol<History = History, Job = Job, Outcome = Outcome, Event = Event>
{
}

impl<P: Protocol<History = History, Job = Job, Outcome = Outcome, Event = Event>> CommitteeProtocol for P {}

/// What a payload must be before a member votes for it. The driver's side decides it, from the payload alone,
/// and equally at all members: its size and gas fit into a block, it decodes, its signatures are valid.
/// Called within [`Protocol::check`], so outside the ordering thread.
pub trait Validity: Debug + Send + Sync {
    /// Checks a payload.
    ///
    /// # Errors
    /// Why no member may vote for it.
    fn check(&self, payload: &Payload) -> Result<(), String>;
}

/// What the block log hands over at start. Positions are of the epoch that the protocol is started for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The last slot whose block is durable; 0 for the block that the epoch starts from.
    pub executed: Slot,
    /// That block.
    pub block_hash: BlockHash,
    /// The newest stored certificate of this epoch.
    pub certificate: Option<Certificate>,
    /// The blocks of the slots above that certificate, in order: they are attested again.
    pub uncertified: Vec<BlockHash>,
    /// The last executed block is the last of the epoch.
    pub has_ended: bool,
}

/// Work for the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Take a payload out of the pool, at most so large, and answer [`Outcome::Assembled`].
    Assemble {
        /// Bytes.
        max_bytes: usize,
        /// Transactions.
        max_transactions: usize,
    },
    /// This node lags behind what is certified: get the blocks up to there from peers (or a snapshot), check
    /// that they lead to the certificate, append them, and answer [`Outcome::Installed`]. It begins once the
    /// appends asked for before are carried out.
    Fetch {
        /// The goal.
        certificate: Certificate,
    },
}

/// What became of a job, and what the ledger tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The pool's payload, or `None` when nothing waits.
    Assembled(Option<Payload>),
    /// The block log stands here now, durably; below the goal when nobody gave the rest.
    Installed {
        /// The last block's place.
        position: Position,
        /// The block.
        block_hash: BlockHash,
    },
    /// The block at this place is the epoch's last. Told before its `Executed`; later appends are void.
    Ended {
        /// Its place.
        position: Position,
    },
}

/// What the driver and people hear of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A block is final.
    Certified(Certificate),
    /// A payload of ours will not be decided where it was proposed: its transactions are free again. With an epoch's
    /// end all payloads of ours are given up, without a word.
    Abandoned {
        /// The payload.
        digest: B256,
    },
    /// A view, ballot or leadership began.
    LeaderChanged {
        /// Which.
        view: u64,
        /// Under whom.
        leader: u64,
    },
    /// A member contradicted itself.
    Caught(Evidence),
    /// This member stands still: its ledger and a certificate, or two decisions, disagree. More members lie
    /// than the committee survives, or this machine computes wrongly; either way it must not go on.
    Diverged {
        /// Where.
        position: Position,
        /// What is here.
        ours: String,
        /// What the others say.
        theirs: String,
        /// The height to look at.
        height: Height,
    },
}
