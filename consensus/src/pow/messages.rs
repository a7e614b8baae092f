//! What proof-of-work nodes say to each other, what they keep, and what they ask of their driver.

use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};
use synod_types::codec::{self, BLOCK_LIMIT, DecodeError};
use synod_types::{BlockHash, Height};

use super::body::Body;
use super::compact::Work;
use super::config::Rules;
use super::header::{HashedHeader, HeaderError, check_work};

/// The largest encoding of a message: a block and its frame.
pub const MESSAGE_LIMIT: usize = BLOCK_LIMIT + 64;
/// Headers in one answer, at most.
pub const HEADERS_LIMIT: usize = 2_000;
/// Hashes in a locator, at most: one for each doubling of the distance, and ten.
pub const LOCATOR_LIMIT: usize = 64;

/// What nodes say to each other. None of it is a vote: a message is true when its work is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Asks for the receiver's tip.
    AskTip,
    /// The sender's tip: the last block that is executed and durable there.
    Tip {
        /// Its hash.
        block_hash: BlockHash,
        /// Its height.
        height: Height,
        /// The work of the chain up to it.
        work: Work,
    },
    /// Asks for the headers that follow the first of these blocks that the receiver has on its chain.
    AskHeaders {
        /// Blocks of the sender's chain from its tip down, ever sparser, at last the genesis block.
        locator: Vec<BlockHash>,
    },
    /// Headers in order, each the parent of the next.
    Headers {
        /// At most [`HEADERS_LIMIT`].
        headers: Vec<HashedHeader>,
    },
    /// Asks for a block's body.
    AskBody {
        /// Which.
        block_hash: BlockHash,
    },
    /// A body that was asked for.
    Body(Body),
    /// The sender does not have the body that was asked for.
    NoBody {
        /// Which.
        block_hash: BlockHash,
    },
    /// Gossip: a new block, whole. It is executed and durable at whoever passes it on.
    NewBlock(Body),
    /// Gossip: a new block, too large to travel whole; its body is at whoever passes this on.
    NewHeader(HashedHeader),
}

impl Message {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a message, at most [`MESSAGE_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: the sender does not speak this protocol, or lies about lengths.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode::<Self, MESSAGE_LIMIT>(bytes)
    }
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The block is invalid though its header is not, and so is all that stands on it (POW-7). Each costs
    /// whoever made it a block's work, so that records cannot be forced upon a node for free.
    Condemned {
        /// Which.
        block_hash: BlockHash,
    },
}

/// Work for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Let the ledger build a block on `parent`, the executed tip, of `bits`, with a zero nonce; its time
    /// is the wall clock's, but not below `earliest`. The outcome is [`Outcome::Assembled`]. A job for
    /// another parent, or a newer one for the same, replaces it.
    Assemble {
        /// The tip.
        parent: BlockHash,
        /// The new block's height.
        height: Height,
        /// The header's bits.
        bits: u32,
        /// The lowest seconds that the header may have (one above the median time past).
        earliest: u32,
    },
    /// Look for a nonce and an extra nonce; the outcome is [`Outcome::Solved`]. Outside miners are handed
    /// the same template. A newer template replaces it.
    Search {
        /// The block's canonical bytes, unsolved.
        template: Bytes,
    },
}

/// What jobs return.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The template for a parent.
    Assembled(Body),
    /// A solved block, by our miner or an outside one.
    Solved(Body),
}

/// What people and subscribers should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The chain up to the tip changed branches.
    Reorganised {
        /// The last block common to both branches.
        fork: BlockHash,
        /// Its height.
        fork_height: Height,
        /// How many blocks were undone.
        depth: u64,
    },
    /// Blocks that were reported as settled were undone (POW-14).
    SettledReversed {
        /// How many blocks were undone.
        depth: u64,
    },
    /// A block with a valid header was refused.
    Condemned {
        /// Which.
        block_hash: BlockHash,
        /// Its height.
        height: Height,
        /// Why.
        reason: String,
    },
}

/// Misbehaviour of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A header breaks a rule.
    #[error("sent an invalid header: {0}")]
    Header(#[from] HeaderError),
    /// Headers of one message are not a chain.
    #[error("sent headers that do not follow each other")]
    BrokenHeaders,
    /// More elements than a message may have.
    #[error("sent {count} elements where {limit} are allowed")]
    TooMany {
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A body is not the one that its header binds (POW-6).
    #[error("sent a body that is not the one its header binds")]
    WrongBody,
    /// A valid header's block turned out invalid; an honest node passes on only what it has executed.
    #[error("passed on block {0}, which is invalid")]
    InvalidBlock(BlockHash),
    /// Built on a block that is known to be invalid.
    #[error("builds on the invalid block {0}")]
    OnInvalid(BlockHash),
    /// It goes back to branches of little work again and again, which an honest node never passes on.
    #[error("floods headers of little work")]
    Flood,
    /// No answer in time.
    #[error("did not answer within {0} ms")]
    TimedOut(u64),
    /// The tip that it advertises never came.
    #[error("advertises work that it does not show")]
    EmptyPromise,
}

/// Checks what a message shows without any state: counts, and the work of every header in it.
///
/// # Errors
/// The sender's fault.
pub(super) fn check(rules: &Rules, message: &Message) -> Result<(), Fault> {
    match message {
        Message::AskHeaders { locator } => within(locator.len(), LOCATOR_LIMIT),
        Message::Headers { headers } => check_headers(rules, headers),
        Message::NewBlock(body) => check_work(body.header(), rules.limit()).map(drop).map_err(Fault::from),
        Message::NewHeader(header) => check_work(header, rules.limit()).map(drop).map_err(Fault::from),
        Message::AskTip
        | Message::Tip { .. }
        | Message::AskBody { .. }
        | Message::Body(_)
        | Message::NoBody { .. } => Ok(()),
    }
}

fn check_headers(rules: &Rules, headers: &[HashedHeader]) -> Result<(), Fault> {
    within(headers.len(), HEADERS_LIMIT)?;
    if headers.windows(2).any(|pair| pair[1].parent() != pair[0].hash()) {
        return Err(Fault::BrokenHeaders);
    }
    for header in headers {
        check_work(header, rules.limit())?;
    }
    Ok(())
}

fn within(count: usize, limit: usize) -> Result<(), Fault> {
    if count > limit { Err(Fault::TooMany { count, limit }) } else { Ok(()) }
}
