//! Who orders: the record of the epoch in force, and its change by a quorum of its members.
//!
//! The first epoch's record follows from the genesis. A later one is in the state: its bytes stand where code
//! stands, under their hash, and that hash is the one storage slot of
//! [`COMMITTEE_ADDRESS`](synod_types::committee::COMMITTEE_ADDRESS); so the state root binds it, checkpoints
//! hold it, and a rewind takes it back, without a format of its own.
//!
//! A transaction to that address carries a [`SignedChange`]. The block that executes a good one is the last of
//! its epoch, and at most one is good in a block: it ends the epoch that the others name. A bad one pays, and
//! its receipt says why.

use synod_types::committee::{COMMITTEE_ADDRESS, ChangeError, EpochRecord, SignedChange};
use synod_types::{B256, Bytes, Epoch, Height, NativeTransaction, Position, Slot, U256};

use super::Rules;
use crate::state::{DiffBuilder, StateRead};

/// Gas of a change beyond its transaction's: 64 signatures, and the record.
pub const CHANGE_GAS: u64 = 500_000;
/// The slot that names the record.
const RECORD_SLOT: B256 = B256::ZERO;

/// Whether the transaction is a change of the committee, on a chain that has one.
pub(super) fn is_change(rules: &Rules, native: &NativeTransaction) -> bool {
    rules.committee.is_some() && native.to == Some(COMMITTEE_ADDRESS)
}

/// The record of the epoch to which the next block over `state` belongs; `None` under proof of work.
///
/// # Panics
/// When the state names a record that it does not hold, which only an error in this program brings about.
pub fn record_in_force<S: StateRead + ?Sized>(rules: &Rules, state: &S) -> Option<EpochRecord> {
    let first = rules.committee.as_ref()?;
    let named = state.slot(&COMMITTEE_ADDRESS, &RECORD_SLOT);
    if named.is_zero() {
        return Some(first.clone());
    }
    let bytes = state.code(&B256::from(named)).expect("the state holds the record that it names");
    Some(EpochRecord::from_bytes(&bytes).expect("a record was written by `write`"))
}

/// The place of the block at `height`, when `record` is in force. Under proof of work the slot is the height,
/// in one epoch.
pub fn position_in(record: Option<&EpochRecord>, height: Height) -> Position {
    match record {
        None => Position { epoch: Epoch(0), slot: Slot(height.0) },
        Some(record) => Position { epoch: record.epoch, slot: Slot(height.0.saturating_sub(record.base.0)) },
    }
}

/// What a change makes of `current`, in the block at `height`.
pub(super) fn judge(
    rules: &Rules,
    current: &EpochRecord,
    native: &NativeTransaction,
    height: Height,
) -> Result<EpochRecord, String> {
    if !native.value.is_zero() {
        return Err("a change of the committee takes no money".to_owned());
    }
    let judged = SignedChange::from_bytes(&native.data);
    judged
        .and_then(|signed| signed.apply(current, rules.genesis, height))
        .map_err(|error: ChangeError| error.to_string())
}

/// Makes `record` the one in force.
pub(super) fn write<S: StateRead + ?Sized>(record: &EpochRecord, changes: &mut DiffBuilder<'_, S>) {
    let hash = record.hash();
    changes.add_code(hash, Bytes::from(record.to_bytes()));
    changes.set_slot(&COMMITTEE_ADDRESS, RECORD_SLOT, U256::from_be_bytes(hash.0));
}

/// A reason as contracts give theirs: `Error(string)`.
pub(super) fn reason_bytes(reason: &str) -> Bytes {
    const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    let word = |number: usize| B256::left_padding_from(&number.to_be_bytes()).0;
    let padding = vec![0; reason.len().next_multiple_of(32) - reason.len()];
    [&ERROR[..], &word(32), &word(reason.len()), reason.as_bytes(), &padding].concat().into()
}

/// The record that the block at `height` binds by its hash `next`, out of the change in its body.
pub fn record_in_body<'a>(
    transactions: impl IntoIterator<Item = &'a NativeTransaction>,
    next: B256,
    height: Height,
) -> Option<EpochRecord> {
    let to = |native: &&NativeTransaction| native.to == Some(COMMITTEE_ADDRESS);
    transactions.into_iter().filter(to).find_map(|native| {
        let signed = SignedChange::from_bytes(&native.data).ok()?;
        signed.change.record(height).ok().filter(|record| record.hash() == next)
    })
}
