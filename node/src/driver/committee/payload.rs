//! Payloads and what they mean: what a member may vote for, the proposal in a decided one, a new one of what
//! waits. The whole-node simulation runs the same code.

use synod_consensus::committee::Payload;
use synod_ledger::execution::Proposal;
use synod_types::codec::{self, BLOCK_LIMIT};
use synod_types::genesis::Limits;
use synod_types::{Address, Payload as Decoded, Transaction, UnixMillis, VerifiedTransaction};

use crate::mempool::{BlockRoom, Verdicts};

/// What a payload is beside its transactions: a time, two addresses, a count.
const FRAME: usize = 64;

/// Whether a member may vote for it: it decodes, fits into a block, and every signature holds.
///
/// # Errors
/// Why not.
pub fn check_payload(
    payload: &Payload,
    limits: &Limits,
    verify: impl FnOnce(Vec<Transaction>) -> Verdicts,
) -> Result<(), String> {
    let bytes = payload.bytes();
    if bytes.len() > limits.block_bytes as usize + 1024 {
        return Err(format!("{} bytes are more than a block has room for", bytes.len()));
    }
    let decoded: Decoded =
        codec::decode::<_, BLOCK_LIMIT>(bytes).map_err(|error| format!("it does not decode: {error}"))?;
    let count = decoded.transactions.len();
    if count > limits.block_transactions as usize {
        return Err(format!("{count} transactions are more than a block has room for"));
    }
    let verdicts = verify(decoded.transactions);
    match verdicts.into_iter().enumerate().find_map(|(index, verdict)| Some((index, verdict.err()?))) {
        Some((index, error)) => Err(format!("transaction {index}: {error}")),
        None => Ok(()),
    }
}

/// The proposal in a decided payload; an empty one is an empty block with its parent's time.
///
/// # Errors
/// Every member checked it before it voted, so that one which does not read means that more members lie than
/// the committee survives.
pub fn proposal_of(
    body: &[u8],
    parent: UnixMillis,
    verify: impl FnOnce(Vec<Transaction>) -> Verdicts,
) -> Result<Proposal, String> {
    if body.is_empty() {
        let nobody = Address::ZERO;
        let (proposer, fee_recipient) = (nobody, nobody);
        return Ok(Proposal { time: parent, proposer, fee_recipient, transactions: Vec::new() });
    }
    let payload: Decoded = codec::decode::<_, BLOCK_LIMIT>(body).map_err(|error| error.to_string())?;
    let transactions: Result<Vec<_>, _> = verify(payload.transactions).into_iter().collect();
    Ok(Proposal {
        time: payload.time.max(parent),
        proposer: payload.proposer,
        fee_recipient: payload.fee_recipient,
        transactions: transactions.map_err(|error| error.to_string())?,
    })
}

/// What a payload of at most so many bytes and transactions has room for, where a block has room for `whole`.
pub fn payload_room(whole: BlockRoom, max_bytes: usize, max_transactions: usize) -> BlockRoom {
    BlockRoom {
        bytes: whole.bytes.min(max_bytes.saturating_sub(FRAME)),
        transactions: whole.transactions.min(max_transactions),
        ..whole
    }
}

/// The payload of these transactions.
pub fn payload_of(
    time: UnixMillis,
    proposer: Address,
    fee_recipient: Address,
    selected: &[VerifiedTransaction],
) -> Option<Payload> {
    let transactions = selected.iter().map(|one| one.transaction().clone()).collect();
    let payload = Decoded { time, proposer, fee_recipient, transactions };
    Payload::new(codec::encode(&payload).into()).ok()
}
