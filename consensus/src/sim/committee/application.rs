//! What a committee's simulation runs on: a chain that its members share the rules of, and each one's node
//! below the ordering: block log, journal of votes, ledger and pool, with the power that can be cut.
//!
//! The model ([`super::model`]) is enough to judge the ordering. The crate `testnet` puts the real ledger and
//! the real logs over a disk's twin behind the same traits.

use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Epoch, PublicKey, UnixMillis};

use super::ordering::Ordering;
use crate::committee::{Certificate, Committee, History, MemberIndex, Payload, Validity};
use crate::journal::{Durable, Frame};
use crate::protocol::Protocol;
use crate::random::Random;
use crate::sim::ledger::Complaint;
use crate::time::Time;

/// The chain of one run, and what is common to all nodes: its rules, its clients, its second bookkeeping.
pub trait Chain: Sized {
    /// One member's node.
    type Node: Node<Transaction = Self::Transaction, Record = <Self::Ordering as Protocol>::Record>;
    /// What orders it.
    type Ordering: Ordering;
    /// What clients sign.
    type Transaction: Clone + Ord + Debug;
    /// About how long a transaction is: the bounds on bytes follow from it, so that runs reach them.
    const TRANSACTION_BYTES: usize;

    /// A new chain of these members.
    fn begin(members: &[PublicKey]) -> Self;
    /// Its name in everything that is signed.
    fn genesis(&self) -> B256;
    /// What members check of a payload before they vote for it.
    fn validity(&self) -> Arc<dyn Validity>;
    /// A node with an empty disk; what is random in it follows from the number.
    fn open(&self, seed: u64) -> Self::Node;
    /// What a client wants next. It may ask one of the nodes that run where its account stands.
    fn wish(&mut self, running: &[&Self::Node], now: Time, random: &mut Random) -> Option<Self::Transaction>;
    /// What takes a member back that lost its disk: the epoch ends with it, and in the next the member counts under
    /// this incarnation. `None` where the chain's committee does not change.
    fn rejoin(
        &mut self,
        _member: MemberIndex,
        _epoch: Epoch,
        _incarnation: u32,
    ) -> Option<Self::Transaction> {
        None
    }
    /// Another valid payload: what a primary tells others that got not this one.
    fn double(payload: &Payload) -> Payload;
}

/// What a primary puts into a payload.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The node's wall clock.
    pub wall: UnixMillis,
    /// Tells two payloads of one time apart, where nothing else does.
    pub salt: u64,
    /// At most so many bytes.
    pub max_bytes: usize,
    /// At most so many transactions.
    pub max_transactions: usize,
    /// One client is left out (S-B10).
    pub censors: bool,
}

/// What waits in a node's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Since when the oldest transaction waits that a block could take now.
    pub oldest_since: Option<Time>,
    /// How many bytes wait that no payload of this node holds.
    pub bytes: u64,
}

/// One member's node below its ordering.
pub trait Node: Sized {
    /// What clients sign.
    type Transaction;
    /// What the journal keeps.
    type Record;

    /// The records that the journal kept.
    fn records(&self) -> Vec<Self::Record>;
    /// The journal's proof of its last durable frame.
    fn proof(&self) -> Durable;
    /// Writes a frame; it is durable only after [`Node::sync_votes`].
    fn write(&mut self, frame: Frame<Self::Record>);
    /// Makes the frame durable.
    fn sync_votes(&mut self) -> Durable;
    /// A sync failed, and the system forgot what it should have written. The process ends with that, unless a
    /// wrong line lets it go on.
    fn lose_unsynced_votes(&mut self);

    /// What a start in this committee's epoch finds in the block log.
    fn history(&self, committee: &Committee) -> History;
    /// The tip's height.
    fn length(&self) -> u64;
    /// The block at a height.
    fn hash_at(&self, height: u64) -> Option<BlockHash>;
    /// Where the block at this height ends its epoch: the members' incarnations in the next one.
    fn epoch_end(&self, _height: u64) -> Option<Vec<u32>> {
        None
    }
    /// Builds the payload's block and writes it; it is durable only after [`Node::sync_blocks`].
    ///
    /// # Errors
    /// Why there is no block of it.
    fn append(&mut self, body: &Bytes) -> Result<BlockHash, String>;
    /// Makes all blocks durable.
    fn sync_blocks(&mut self);
    /// Keeps a certificate, unless a newer one is known. It need not survive a power cut.
    fn store_certificate(&mut self, certificate: Certificate);
    /// The durable blocks from this height on, for others.
    fn blocks_from(&self, height: u64) -> Vec<Bytes>;
    /// Writes another's blocks if they lead from the tip to this hash; answers whether they do.
    fn install(&mut self, blocks: &[Bytes], goal: BlockHash) -> bool;

    /// The power fails, and comes back: what was not synced is lost, in whole or in part.
    fn power_cut(&mut self, random: &mut Random);
    /// What a power cut at this moment would leave.
    fn after_power_cut(&self, random: &mut Random) -> Self;
    /// The journal of votes is gone (S-B11), or begins anew with an epoch, durably. Nothing of it is under way.
    fn forget_votes(&mut self);
    /// The disk is gone (S-C4). Follows a power cut.
    fn wipe(&mut self);

    /// A transaction arrives.
    fn hear(&mut self, transaction: &Self::Transaction, now: Time);
    /// Whether the chain is beyond this transaction: it was executed, or never can be.
    fn is_over(&self, transaction: &Self::Transaction) -> bool;
    /// What waits.
    fn waiting(&mut self) -> Waiting;
    /// Takes a payload out of the pool.
    fn assemble(&mut self, wanted: Wanted) -> Option<Payload>;
    /// A payload of ours was given up: its transactions are free again.
    fn abandoned(&mut self, digest: B256);

    /// The epoch is over, and with it whatever was proposed in it: all is free again.
    fn give_up_offers(&mut self);

    /// What its own oracles found since they were asked last (A2, A4, A5, A12, A14).
    fn complaint(&mut self) -> Option<Complaint>;
    /// Named events that happened since this was asked last (A15).
    fn happened(&mut self) -> Vec<&'static str>;
}
