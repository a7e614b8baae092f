//! The log: transactions without holes, above a base that is settled.

use std::collections::BTreeMap;

use synod_types::{Slot, mutant};

use super::messages::Entry;
use super::zxid::{Point, Zxid};

/// A member's log, as its journal keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Log {
    base: Point,
    entries: BTreeMap<Slot, Entry>,
}

impl Log {
    /// What lies up to here is settled and kept as blocks alone.
    pub(super) fn base(&self) -> Point {
        self.base
    }

    /// The last transaction.
    pub(super) fn last(&self) -> Point {
        self.entries.last_key_value().map_or(self.base, |(_, entry)| entry.point())
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Entry> {
        self.entries.get(&slot).copied()
    }

    /// The point at a slot that the log still knows.
    pub(super) fn point(&self, slot: Slot) -> Option<Point> {
        if slot == self.base.slot { Some(self.base) } else { self.get(slot).map(|entry| entry.point()) }
    }

    /// Whether the point is one of this log's.
    pub(super) fn has(&self, point: Point) -> bool {
        self.point(point.slot) == Some(point)
    }

    /// The last point that is not above a zxid; `None` when all that is known is above.
    pub(super) fn last_up_to(&self, zxid: Zxid) -> Option<Point> {
        let entries = self.entries.values().rev().map(Entry::point);
        entries.chain([self.base]).find(|point| point.zxid <= zxid)
    }

    /// All above a slot, in order.
    pub(super) fn above(&self, slot: Slot) -> impl Iterator<Item = Entry> {
        self.entries.range(Slot(slot.0.saturating_add(1))..).map(|(_, entry)| *entry)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Entry> {
        self.entries.values().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the transaction is the very next one (ZAB-7).
    pub(super) fn is_next(&self, entry: &Entry) -> bool {
        let last = self.last();
        entry.slot.0 == last.slot.0 + 1 && last.zxid.is_followed_by(entry.zxid)
    }

    /// One more. Its caller looked whether it is the next.
    pub(super) fn push(&mut self, entry: Entry) {
        assert!(self.is_next(&entry) || mutant!("zab-7-gap-accepted"), "{entry:?} leaves a hole in the log");
        self.entries.insert(entry.slot, entry);
    }

    /// Drops what lies above a slot.
    pub(super) fn truncate(&mut self, to: Slot) {
        self.entries.split_off(&Slot(to.0.saturating_add(1)));
    }

    /// Begins anew above a point.
    pub(super) fn reset(&mut self, base: Point) {
        *self = Self { base, entries: BTreeMap::new() };
    }

    /// What lies up to a slot is settled.
    pub(super) fn trim(&mut self, to: Slot) {
        if let Some(base) = self.point(to).filter(|point| point.slot > self.base.slot) {
            self.entries = self.entries.split_off(&Slot(to.0 + 1));
            self.base = base;
        }
    }
}
