//! Making the block out of what execution did, and comparing it with one that somebody else made.

use synod_types::block::{FORMAT_VERSION, HEADER_VERSION};
use synod_types::committee::EpochRecord;
use synod_types::hash::{list_leaf, root_of_leaves};
use synod_types::receipt::logs_bloom;
use synod_types::{B256, BlockHash, Commitment, Header, Receipt, UnixMillis, codec};

use super::{Outcome, Rules};

/// The roots that a commitment binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    /// Of the block's transactions.
    pub transactions: B256,
    /// Of the state after it.
    pub state: B256,
    /// Of its receipts.
    pub receipts: B256,
}

/// The root over the receipts' canonical bytes.
pub fn receipts_root(receipts: &[Receipt]) -> B256 {
    let mut bytes = Vec::new();
    let leaf = |receipt: &Receipt| {
        bytes.clear();
        codec::encode_into(&mut bytes, receipt);
        list_leaf(&bytes)
    };
    root_of_leaves(receipts.iter().map(leaf).collect())
}

/// The header and commitment of an outcome on `parent`. `bits` is the miner's target; the nonces are zero.
pub fn seal(
    rules: &Rules,
    parent: BlockHash,
    outcome: &Outcome,
    roots: Roots,
    bits: u32,
) -> (Header, Commitment) {
    let commitment = Commitment {
        format: FORMAT_VERSION,
        position: outcome.position,
        height: outcome.height,
        millis: (outcome.time.0 % 1000) as u16,
        transactions_root: roots.transactions,
        state_root: roots.state,
        receipts_root: roots.receipts,
        logs_bloom: logs_bloom(&outcome.receipts),
        gas_used: outcome.gas_used,
        gas_limit: rules.limits.block_gas,
        base_fee: outcome.base_fee,
        proposer: outcome.proposer,
        fee_recipient: outcome.fee_recipient,
        next_committee: outcome.next_committee.as_ref().map_or(B256::ZERO, EpochRecord::hash),
        extra_nonce: 0,
    };
    let header = Header {
        version: HEADER_VERSION,
        parent,
        commitment: commitment.digest(),
        time: outcome.time.seconds() as u32,
        bits,
        nonce: 0,
    };
    (header, commitment)
}

/// The first field in which a block differs from the one that its payload builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its {0} is not what its payload builds")]
pub struct Difference(pub &'static str);

/// Compares everything but bits, nonce and extra nonce, which come from outside. `theirs` is of a block that
/// passed [`synod_types::Block::check_body`], so that its header binds its commitment and its transactions.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(built: (&Header, &Commitment), theirs: (&Header, &Commitment)) -> Result<(), Difference> {
    let ((our_header, ours), (their_header, other)) = (built, theirs);
    let fields = [
        ("header version", our_header.version == their_header.version),
        ("parent", our_header.parent == their_header.parent),
        ("time", our_header.time == their_header.time && ours.millis == other.millis),
        ("format version", ours.format == other.format),
        ("position", ours.position == other.position),
        ("height", ours.height == other.height),
        ("base fee", ours.base_fee == other.base_fee),
        ("gas limit", ours.gas_limit == other.gas_limit),
        ("gas used", ours.gas_used == other.gas_used),
        ("transactions root", ours.transactions_root == other.transactions_root),
        ("receipts root", ours.receipts_root == other.receipts_root),
        ("logs bloom", ours.logs_bloom == other.logs_bloom),
        ("proposer", ours.proposer == other.proposer),
        ("fee recipient", ours.fee_recipient == other.fee_recipient),
        ("next committee", ours.next_committee == other.next_committee),
        ("state root", ours.state_root == other.state_root),
    ];
    match fields.into_iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(Difference(name)),
        None => Ok(()),
    }
}

/// The latest time that a header can hold, for times past it.
pub(super) fn clamp_time(time: UnixMillis) -> UnixMillis {
    UnixMillis(time.0.min(u64::from(u32::MAX) * 1000 + 999))
}
