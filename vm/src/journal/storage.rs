//! Storage and transient storage in the journal.

use super::undo::Undo;
use super::{AccountId, Journal, Slot, SlotId};
use alloy_primitives::U256;

/// What `SSTORE` must know of a slot to price a write.
pub(crate) struct SlotView {
    /// The value when the transaction began.
    pub(crate) original: U256,
    /// The value now.
    pub(crate) current: U256,
    /// Whether this is the first access in the transaction; it no longer is.
    pub(crate) was_cold: bool,
}

impl Journal<'_> {
    /// Reads and warms a slot (EIP-2929).
    pub(crate) fn slot(&mut self, account: AccountId, key: U256) -> SlotView {
        let (id, was_cold) = self.access_slot(account, key);
        let slot = self.slot_mut(id);
        SlotView { original: slot.original, current: slot.current, was_cold }
    }

    /// Reads and warms a slot: (value, was cold).
    pub(crate) fn read_slot(&mut self, account: AccountId, key: U256) -> (U256, bool) {
        let (id, was_cold) = self.access_slot(account, key);
        (self.slot_mut(id).current, was_cold)
    }

    /// Writes a slot.
    pub(crate) fn write_slot(&mut self, account: AccountId, key: U256, value: U256) {
        let id = self.load_slot(account, key);
        let before = std::mem::replace(&mut self.slot_mut(id).current, value);
        self.tables.undo.push(Undo::Slot(id, before));
    }

    /// Warms a slot; tells whether it was cold.
    pub(crate) fn warm_slot(&mut self, account: AccountId, key: U256) -> bool {
        self.access_slot(account, key).1
    }

    fn access_slot(&mut self, account: AccountId, key: U256) -> (SlotId, bool) {
        let id = self.load_slot(account, key);
        let was_cold = !std::mem::replace(&mut self.slot_mut(id).warm, true);
        if was_cold {
            self.tables.undo.push(Undo::SlotWarmed(id));
        }
        (id, was_cold)
    }

    fn load_slot(&mut self, account: AccountId, key: U256) -> SlotId {
        if let Some(&id) = self.tables.slot_index.get(&(account, key)) {
            return id;
        }
        let value = self.stored(account, &key);
        let id = SlotId(self.tables.slots.len() as u32);
        self.tables.slots.push(Slot { original: value, current: value, warm: false });
        self.tables.slot_index.insert((account, key), id);
        id
    }

    /// The slot in the host. A contract of this transaction began with none.
    fn stored(&self, account: AccountId, key: &U256) -> U256 {
        let entry = self.entry(account);
        if entry.created || entry.original.is_none() {
            return U256::ZERO;
        }
        self.host.storage(&entry.address, key)
    }

    pub(super) fn slot_mut(&mut self, id: SlotId) -> &mut Slot {
        &mut self.tables.slots[id.0 as usize]
    }

    /// `TLOAD` (EIP-1153).
    pub(crate) fn transient(&self, account: AccountId, key: U256) -> U256 {
        let slot = self.tables.transient_index.get(&(account, key));
        slot.map_or(U256::ZERO, |&slot| self.tables.transient[slot as usize])
    }

    /// `TSTORE` (EIP-1153).
    pub(crate) fn set_transient(&mut self, account: AccountId, key: U256, value: U256) {
        let next = self.tables.transient.len() as u32;
        let slot = *self.tables.transient_index.entry((account, key)).or_insert(next);
        if slot == next {
            self.tables.transient.push(U256::ZERO);
        }
        let before = std::mem::replace(&mut self.tables.transient[slot as usize], value);
        self.tables.undo.push(Undo::Transient(slot, before));
    }
}
