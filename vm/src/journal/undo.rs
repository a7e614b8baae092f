//! Checkpoints and the undo list.

use super::{AccountId, Journal, SlotId};
use alloy_primitives::U256;

/// The inverse of one change.
#[derive(Debug)]
pub(super) enum Undo {
    Balance(AccountId, U256),
    Nonce(AccountId, u64),
    /// Code is only ever set where there was none.
    Code(AccountId),
    Warmed(AccountId),
    Touched(AccountId),
    Created(AccountId),
    Destroyed(AccountId),
    Slot(SlotId, U256),
    SlotWarmed(SlotId),
    Transient(u32, U256),
}

/// A moment to which the journal can go back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    undo: usize,
    logs: usize,
    refund: i64,
    burnt: U256,
}

impl Journal<'_> {
    /// Marks the present moment.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let tables = &self.tables;
        Checkpoint {
            undo: tables.undo.len(),
            logs: tables.logs.len(),
            refund: tables.refund,
            burnt: tables.burnt,
        }
    }

    /// Undoes everything since `checkpoint` (EVM-4).
    pub(crate) fn revert(&mut self, checkpoint: Checkpoint) {
        while self.tables.undo.len() > checkpoint.undo {
            if let Some(undo) = self.tables.undo.pop() {
                self.undo(undo);
            }
        }
        if !synod_types::mutant!("evm-logs-not-reverted") {
            self.tables.logs.truncate(checkpoint.logs);
        }
        self.tables.refund = checkpoint.refund;
        self.tables.burnt = checkpoint.burnt;
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Balance(account, before) => self.entry_mut(account).current.balance = before,
            Undo::Nonce(account, before) => self.entry_mut(account).current.nonce = before,
            Undo::Code(account) => self.remove_code(account),
            Undo::Warmed(account) => {
                if !synod_types::mutant!("evm-warm-set-not-reverted") {
                    self.entry_mut(account).warm = false;
                }
            }
            Undo::Touched(account) => self.entry_mut(account).touched = false,
            Undo::Created(account) => self.entry_mut(account).created = false,
            Undo::Destroyed(account) => self.entry_mut(account).destroyed = false,
            Undo::Slot(slot, before) => self.slot_mut(slot).current = before,
            Undo::SlotWarmed(slot) => {
                if !synod_types::mutant!("evm-warm-set-not-reverted") {
                    self.slot_mut(slot).warm = false;
                }
            }
            Undo::Transient(slot, before) => self.tables.transient[slot as usize] = before,
        }
    }
}
