//! The ledger under a committee: decided payloads become blocks, waiting transactions become payloads.

use alloy_primitives::Bytes;
use crossbeam_channel::Sender;
use synod_consensus::Input;
use synod_consensus::agreement::Agreement;
use synod_consensus::committee::{Outcome, Payload};
use synod_ledger::Executed;
use synod_ledger::disk::Disk;
use synod_ledger::execution::Proposal;
use synod_ledger::execution::committee::position_in;
use synod_types::committee::EpochRecord;
use synod_types::{Address, B256, Block, BlockHash, Height, Position, UnixMillis};

use super::payload::{payload_of, payload_room, proposal_of};
use crate::driver::execution::{Desk, Worker};
use crate::mempool::BlockRoom;

/// What a committee's ordering asks of the ledger.
pub(in crate::driver) enum Task {
    /// Build the payload's block (an empty body is an empty block with its parent's time) and append it;
    /// answered by `Executed`.
    Append {
        /// The block's place.
        position: Position,
        /// The payload.
        body: Bytes,
        /// Its digest, unless it is empty.
        digest: Option<B256>,
    },
    /// Make a payload of what waits; answered by `Assembled`.
    Assemble {
        /// At most so large.
        max_bytes: usize,
        /// At most so many transactions.
        max_transactions: usize,
    },
    /// Append blocks that lead to a certificate; whoever fetched them hears whether they are durable.
    Install {
        /// In order.
        blocks: Vec<Block>,
        /// Where the verdict goes.
        reply: Sender<Result<(), String>>,
    },
    /// A fetch ended; answered by `Installed`.
    FetchEnded,
}

/// The worker.
pub(in crate::driver) struct Executor {
    /// Who proposes here.
    pub(super) proposer: Address,
    /// Who gets the tips of what is proposed here.
    pub(super) fee_recipient: Address,
    /// The record of the epoch that goes on above the tip.
    pub(super) record: EpochRecord,
}

type CommitteeDesk<D> = Desk<D, Agreement>;

impl<D> Worker<D> for Executor
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    type Protocol = Agreement;
    type Task = Task;

    fn carry_out(&mut self, task: Task, desk: &mut CommitteeDesk<D>) -> Result<(), String> {
        match task {
            Task::Append { position, body, digest } => self.append(position, &body, digest, desk),
            Task::Assemble { max_bytes, max_transactions } => {
                let payload = self.assemble(max_bytes, max_transactions, desk);
                desk.answer(Input::Done(Outcome::Assembled(payload)));
                // Ordering takes off what it was given from what it heard last, which may be newer.
                desk.door.tell_ordering();
                Ok(())
            }
            Task::Install { blocks, reply } => {
                let verdict = self.install(&blocks, desk);
                desk.commit()?;
                // Whoever fetched them may have stopped.
                let _ = reply.send(verdict);
                Ok(())
            }
            Task::FetchEnded => {
                desk.commit()?;
                let head = desk.ledger.head();
                let position = head.commitment.position;
                desk.answer(Input::Done(Outcome::Installed { position, block_hash: head.hash }));
                Ok(())
            }
        }
    }
}

impl Executor {
    /// Notes that a block is on top now. An epoch's last one is told of before it is durable; what ordering
    /// appends after it is void.
    fn extended<D>(&mut self, block: &Executed, desk: &CommitteeDesk<D>)
    where
        D: Disk + Send + 'static,
        D::File: Send + Sync,
    {
        if block.commitment.next_committee == B256::ZERO {
            return;
        }
        let reader = desk.ledger.reader();
        self.record = reader.record_after(block).expect("a committee's chain has a record after each block");
        tracing::info!(epoch = %self.record.epoch, height = %block.height(), "the committee changes");
        desk.answer(Input::Done(Outcome::Ended { position: block.commitment.position }));
    }

    fn append<D>(
        &mut self,
        position: Position,
        body: &[u8],
        digest: Option<B256>,
        desk: &mut CommitteeDesk<D>,
    ) -> Result<(), String>
    where
        D: Disk + Send + 'static,
        D::File: Send + Sync,
    {
        let head = desk.ledger.head();
        let next = position_in(Some(&self.record), Height(head.height().0 + 1));
        if position.epoch < next.epoch {
            tracing::debug!(%position, "decided after its epoch's end, and void");
            return Ok(());
        }
        if position != next {
            return Err(format!("ordering appends {position}, and {next} is next: a bug of this program"));
        }
        let payload = match self.read(body, head.time(), desk) {
            Ok(payload) => payload,
            Err(reason) => {
                desk.commit()?;
                desk.answer(Input::Refused { block_hash: BlockHash::default(), reason });
                return Ok(());
            }
        };
        let extended = desk.ledger.extend(payload).map_err(|error| error.to_string())?;
        for (transaction, reason) in &extended.left_out {
            tracing::debug!(id = %transaction.id(), %reason, "left out of a block");
            if !reason.may_pass_later() {
                desk.door.pool().remove(transaction.id());
            }
        }
        self.extended(&extended.executed, desk);
        desk.appended(&extended.executed, Some(position));
        if let Some(digest) = digest {
            desk.door.offer_ended(digest);
        }
        Ok(())
    }

    fn read<D>(&self, body: &[u8], parent: UnixMillis, desk: &CommitteeDesk<D>) -> Result<Proposal, String>
    where
        D: Disk + Send + 'static,
        D::File: Send + Sync,
    {
        proposal_of(body, parent, |transactions| desk.door.verifier().verify(transactions))
    }

    fn assemble<D>(
        &self,
        max_bytes: usize,
        max_transactions: usize,
        desk: &CommitteeDesk<D>,
    ) -> Option<Payload>
    where
        D: Disk + Send + 'static,
        D::File: Send + Sync,
    {
        // The block's time is no less than its parent's. The payload says what the clock here says: were it raised
        // to a parent's that wrong clocks had put far ahead, everybody would refuse it for as long (PBFT-2).
        let time = desk.clock.wall();
        let base_fee = desk.ledger.base_fee_at(time.max(desk.ledger.head().time()));
        let whole = BlockRoom::of(desk.ledger.genesis());
        let room = payload_room(whole, max_bytes, max_transactions);
        let selected = desk.door.select_beyond_offers(room, base_fee);
        if selected.is_empty() {
            return None;
        }
        let payload = payload_of(time, self.proposer, self.fee_recipient, &selected)?;
        desk.door.offered(payload.digest(), &selected);
        Some(payload)
    }

    fn install<D>(&mut self, blocks: &[Block], desk: &mut CommitteeDesk<D>) -> Result<(), String>
    where
        D: Disk + Send + 'static,
        D::File: Send + Sync,
    {
        for block in blocks {
            let checked = desk.checked(block.transactions.clone());
            let executed = desk.ledger.append(block, &checked).map_err(|error| error.to_string())?;
            self.extended(&executed, desk);
            desk.appended(&executed, None);
        }
        Ok(())
    }
}
