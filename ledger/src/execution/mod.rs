//! Execution: a total, pure function from a parent and a payload to a block.
//!
//! [`execute`] runs a proposal's transactions in order over the parent's state and says what became of each:
//! included with a receipt, or left out with a reason. [`seal()`] makes the block's head, once the state tree has told
//! the root. Nothing else flows in: no clock, no view or ballot, no order of arrival. So
//! `build(parent, payload_of(block)) == block` in every field but the three that a miner varies (bits, nonce,
//! extra nonce), and checking a block is building it again and comparing.
//!
//! **In or out.** A transaction that cannot be charged in full is left out: its holders keep it, with the
//! reason. In a block that somebody else made it makes the block invalid. One that can be charged stays in,
//! pays, and uses up its nonce, whatever else becomes of it.
//!
//! **Contracts.** A transaction that creates or calls one runs in the virtual machine ([`contract`]); all others
//! are transfers, which do not enter it.
//!
//! **Committees.** A transaction to one address changes who orders, if a quorum signed it ([`committee`]).
//!
//! **Order within a block.** The reward that matures here is credited first, then transactions run one after
//! the other, then this block's reward joins the immature ones.
//!
//! **Money** (CRY-6). What a transaction can cost at most is computed in 512 bits and compared with the
//! balance before anything is changed. After every block the books are closed: balances, immature rewards and
//! what was burnt grew together by exactly what was issued, or the process stops.

mod charge;
pub mod committee;
pub mod contract;
pub mod fees;
mod genesis;
mod rewards;
mod seal;
#[cfg(test)]
mod tests;
mod trace;

pub use charge::{INIT_CODE_LIMIT, LeftOut, intrinsic_gas};
pub use contract::{Ancestors, BLOCK_HASHES, RECEIPT_OUTPUT_LIMIT};
pub use genesis::{Beginning, genesis_block, genesis_entries};
pub use seal::{Difference, Roots, compare, receipts_root, seal};
use synod_types::committee::EpochRecord;
use synod_types::genesis::{Fees, Limits, Ordering, ProofOfWork};
use synod_types::{
    Address, B256, BlockHash, Gas, Genesis, Height, Position, Receipt, U256, UnixMillis, VerifiedTransaction,
};
use synod_vm::Vm;
pub use trace::{Traced, trace};

use crate::state::{Diff, DiffBuilder, StateRead};

/// What every block of a chain is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The chain that transactions name.
    pub chain_id: u64,
    /// The genesis hash that signatures bind.
    pub genesis: B256,
    /// From which fee periods are counted.
    pub genesis_time: UnixMillis,
    /// Who orders.
    pub ordering: Ordering,
    /// The first epoch's record; `None` under proof of work.
    pub committee: Option<EpochRecord>,
    /// How fees move.
    pub fees: Fees,
    /// What fits into a block.
    pub limits: Limits,
    /// Rewards, and when they mature.
    pub pow: ProofOfWork,
}

impl From<&Genesis> for Rules {
    fn from(genesis: &Genesis) -> Self {
        Self {
            chain_id: genesis.chain_id,
            genesis: genesis.hash(),
            genesis_time: genesis.time,
            ordering: genesis.ordering,
            committee: EpochRecord::first(genesis),
            fees: genesis.fees.clone(),
            limits: genesis.limits.clone(),
            pow: genesis.pow.clone(),
        }
    }
}

/// What execution needs to know of the block below.
#[derive(Clone, Copy)]
pub struct Parent<'a> {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// It and the blocks below it.
    pub ancestors: &'a dyn Ancestors,
}

/// A payload whose transactions' signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The block's time. Headers hold 32 bits of seconds; a later time counts as the last they can hold.
    pub time: UnixMillis,
    /// Who proposes.
    pub proposer: Address,
    /// Who gets the tips and the reward.
    pub fee_recipient: Address,
    /// In the order of execution.
    pub transactions: Vec<VerifiedTransaction>,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The block's height.
    pub height: Height,
    /// Its place in the order.
    pub position: Position,
    /// Its time.
    pub time: UnixMillis,
    /// Who proposed.
    pub proposer: Address,
    /// Who gets the tips and the reward.
    pub fee_recipient: Address,
    /// Wei burnt for each unit of gas.
    pub base_fee: u128,
    /// What is in the block, in order.
    pub included: Vec<VerifiedTransaction>,
    /// One for each included transaction.
    pub receipts: Vec<Receipt>,
    /// What is not, and why.
    pub left_out: Vec<(VerifiedTransaction, LeftOut)>,
    /// Gas used by all.
    pub gas_used: Gas,
    /// The next epoch's record, when the block ends its own.
    pub next_committee: Option<EpochRecord>,
    /// What changes.
    pub diff: Diff,
}

/// Runs a proposal over the state after `parent`. What the machine remembers from before (analysed code, spare
/// memory) makes it faster and changes nothing.
///
/// # Panics
/// When the books do not balance afterwards, which only an error in this program brings about.
pub fn execute<S: StateRead + ?Sized>(
    vm: &mut Vm,
    rules: &Rules,
    state: &S,
    parent: &Parent<'_>,
    proposal: Proposal,
) -> Outcome {
    let time = seal::clamp_time(proposal.time);
    let mut changes = DiffBuilder::new(state);
    changes.fetch(named_accounts(&proposal));
    let mut block = open_block(rules, parent, time, proposal.fee_recipient, &mut changes);
    let (height, base_fee) = (block.height(), block.base_fee());
    let (mut included, mut receipts, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for transaction in proposal.transactions {
        match block.run(vm, &transaction, &mut changes) {
            Ok(receipt) => {
                receipts.push(receipt);
                included.push(transaction);
            }
            Err(reason) => left_out.push((transaction, reason)),
        }
    }
    let gas_used = block.gas_used();
    let (position, next_committee) = block.close();
    fees::close_block(gas_used, changes.system());
    rewards::issue(rules, height, proposal.fee_recipient, &mut changes);
    let diff = changes.finish();
    check_books(&diff);
    Outcome {
        height,
        position,
        time,
        proposer: proposal.proposer,
        fee_recipient: proposal.fee_recipient,
        base_fee,
        included,
        receipts,
        left_out,
        gas_used,
        next_committee,
        diff,
    }
}

/// The accounts that a proposal names: those that it will need, as far as one can tell without running it.
fn named_accounts(proposal: &Proposal) -> Vec<Address> {
    let named = |one: &VerifiedTransaction| [Some(one.sender()), one.native().to];
    let named = proposal.transactions.iter().flat_map(named).flatten();
    named.chain([proposal.fee_recipient]).collect()
}

/// What comes before a block's transactions: the reward that matures, and the base fee.
fn open_block<'a, S: StateRead + ?Sized>(
    rules: &'a Rules,
    parent: &Parent<'a>,
    time: UnixMillis,
    fee_recipient: Address,
    changes: &mut DiffBuilder<'_, S>,
) -> charge::Room<'a> {
    let height = parent.height.next().expect("no chain is 2^64 blocks long");
    rewards::mature(rules, height, changes);
    let base_fee = fees::open_period(rules, time, changes.system());
    let record = committee::record_in_force(rules, changes.parent());
    charge::Room::new(rules, parent, record, time, base_fee, fee_recipient)
}

/// Conservation, from what was touched alone: what balances, immature rewards and burnt money grew by
/// together is what was issued.
fn check_books(diff: &Diff) {
    let add = |sum: U256, more: U256| sum.checked_add(more).expect("all money together is below 2^192");
    let (before, after) = diff.system;
    let mut left = add(add(before.immature, before.burnt), after.issued);
    let mut right = add(add(after.immature, after.burnt), before.issued);
    for change in &diff.accounts {
        left = add(left, change.before.balance);
        right = add(right, change.after.balance);
    }
    assert_eq!(left, right, "the books do not balance: money was made or lost");
}
