//! How blocks, transactions and receipts are shown over RPC.

use synod_ledger::Executed;
use synod_types::{Block, Height, Receipt, Transaction, TransactionId, U256, UnixMillis};

use crate::mempool::{Listed, Origin};
use crate::rpc::types::{
    BlockSummary, BlockTransactions, BlockView, CommitmentView, HeaderView, HistoryItem, PoolEntry,
    TransactionOutcome, TransactionView,
};

/// Where a block stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// 1 for the tip, 0 off the best chain.
    pub(super) depth: u64,
    /// Whether it is settled.
    pub(super) settled: bool,
    /// Work up to it.
    pub(super) work: U256,
    /// What its fee recipient gets beside the tips.
    pub(super) reward: U256,
}

/// A block in one line.
pub(super) fn summary(block: &Block) -> BlockSummary {
    BlockSummary {
        hash: block.hash(),
        height: block.height(),
        parent: block.header.parent,
        time: block.time(),
        transactions: count(block.transactions.len()),
        gas_used: block.commitment.gas_used,
        fee_recipient: block.commitment.fee_recipient,
    }
}

/// An executed block in one line.
pub(super) fn executed_summary(block: &Executed) -> BlockSummary {
    BlockSummary {
        hash: block.hash,
        height: block.height(),
        parent: block.header.parent,
        time: block.time(),
        transactions: count(block.transactions.len()),
        gas_used: block.commitment.gas_used,
        fee_recipient: block.commitment.fee_recipient,
    }
}

/// A transaction of a block or of the pool.
pub(super) fn transaction(transaction: &Transaction, id: TransactionId) -> TransactionView {
    TransactionView::new(transaction, id, transaction.native().sender_address())
}

/// The ids of a block's transactions.
pub(super) fn ids(block: &Block, genesis: synod_types::B256) -> Vec<TransactionId> {
    let id =
        |one: &Transaction| TransactionId(synod_types::hash::sha256(&[&one.native().signed_bytes(genesis)]));
    block.transactions.iter().map(id).collect()
}

/// A whole block.
pub(super) fn block(block: &Block, full: bool, genesis: synod_types::B256, place: Place) -> BlockView {
    let ids = ids(block, genesis);
    let transactions = if full {
        let views = block.transactions.iter().zip(&ids).map(|(one, id)| transaction(one, *id));
        BlockTransactions::Full(views.collect())
    } else {
        BlockTransactions::Ids(ids)
    };
    BlockView {
        hash: block.hash(),
        height: block.height(),
        time: block.time(),
        header: HeaderView {
            version: block.header.version,
            parent: block.header.parent,
            commitment: block.header.commitment,
            time: block.header.time,
            bits: block.header.bits,
            nonce: block.header.nonce,
            raw: alloy_primitives::hex::encode_prefixed(block.header.to_bytes()),
        },
        commitment: commitment(block),
        transactions,
        size: count(block.to_bytes().len()),
        depth: place.depth,
        settled: place.settled,
        work: place.work,
        reward: place.reward,
    }
}

fn commitment(block: &Block) -> CommitmentView {
    let commitment = &block.commitment;
    CommitmentView {
        format: commitment.format,
        position: commitment.position,
        millis: commitment.millis,
        transactions_root: commitment.transactions_root,
        state_root: commitment.state_root,
        receipts_root: commitment.receipts_root,
        logs_bloom: commitment.logs_bloom,
        gas_used: commitment.gas_used,
        gas_limit: commitment.gas_limit,
        base_fee: commitment.base_fee,
        proposer: commitment.proposer,
        fee_recipient: commitment.fee_recipient,
        next_committee: commitment.next_committee,
        extra_nonce: commitment.extra_nonce,
    }
}

/// What became of each of a block's transactions; without receipts (the block left the chain) nothing did.
pub(super) fn outcomes(
    block: &Block,
    genesis: synod_types::B256,
    receipts: &[Receipt],
) -> Vec<TransactionOutcome> {
    let outcome = |(index, (one, id)): (usize, (&Transaction, TransactionId))| TransactionOutcome {
        id,
        index: count(index),
        sender: one.native().sender_address(),
        to: one.native().to,
        value: one.native().value,
        succeeded: receipts.get(index).is_some_and(|receipt| receipt.succeeded),
    };
    block.transactions.iter().zip(ids(block, genesis)).enumerate().map(outcome).collect()
}

/// One line of an account's history.
pub(super) fn history_item(block: &Block, index: u32, receipt: &Receipt, tip: Height) -> Option<HistoryItem> {
    let one = block.transactions.get(index as usize)?.native();
    Some(HistoryItem {
        id: Some(receipt.transaction),
        height: block.height(),
        block_hash: block.hash(),
        time: block.time(),
        index,
        sender: Some(one.sender_address()),
        to: one.to,
        value: one.value,
        fee: U256::from(receipt.gas_used.0).saturating_mul(U256::from(receipt.effective_fee)),
        succeeded: receipt.succeeded,
        depth: tip.0.saturating_sub(block.height().0) + 1,
    })
}

/// A waiting transaction, without the reason why it waits.
pub(super) fn pool_entry(listed: &Listed<'_>, now: UnixMillis) -> PoolEntry {
    let one = listed.transaction.native();
    PoolEntry {
        id: listed.transaction.id(),
        sender: listed.transaction.sender(),
        nonce: one.nonce,
        to: one.to,
        value: one.value,
        max_fee: one.max_fee,
        max_tip: one.max_tip,
        gas_limit: one.gas_limit.0,
        size: count(listed.bytes),
        waiting_ms: now.0.saturating_sub(listed.received.0),
        local: listed.origin == Origin::Local,
        reason: None,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
