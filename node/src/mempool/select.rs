//! What goes into a template: senders in line, one transaction each and round again, each by nonce.

use synod_types::{UnixMillis, VerifiedTransaction};

use super::queue::Entry;
use super::{BlockRoom, Offers, Pool};

impl Pool {
    /// Transactions for the next block at this base fee, in the order in which they are to run.
    ///
    /// A sender whose next transaction does not fit, or does not pay the base fee, is out until the next
    /// block: its later nonces cannot run before. Whoever waits longest is tried first in an empty block,
    /// so that large transactions get their turn.
    pub fn select(&self, room: BlockRoom, base_fee: u128) -> Vec<VerifiedTransaction> {
        self.select_beyond(&Offers::default(), room, base_fee)
    }

    /// The same behind `offers`, which are on their way into earlier blocks: they take no room here, and their
    /// senders' next ones follow them.
    pub fn select_beyond(
        &self,
        offers: &Offers,
        mut room: BlockRoom,
        base_fee: u128,
    ) -> Vec<VerifiedTransaction> {
        let mut selected = Vec::new();
        let queues = self.line.values().filter_map(|sender| self.queues.get(sender));
        let mut senders: Vec<_> = queues.map(|queue| queue.executable()).collect();
        while !senders.is_empty() && room.transactions > 0 {
            senders.retain_mut(|entries| match entries.find(|entry| !offers.has(entry.transaction.id())) {
                Some(entry) if entry.transaction.native().max_fee >= base_fee && room.take(entry) => {
                    selected.push(entry.transaction.clone());
                    true
                }
                _ => false,
            });
        }
        selected
    }

    /// Since when a block could take a transaction that waits: it is here, and the base fee is not above what it pays.
    pub fn oldest_executable(&self) -> Option<UnixMillis> {
        let first = self.queues.values().filter_map(|queue| queue.executable().next());
        let since = |entry: &Entry| {
            Some(self.base_fee.paid_since(entry.transaction.native().max_fee)?.max(entry.received))
        };
        first.filter_map(since).min()
    }
}

impl BlockRoom {
    /// Takes the entry's share if there is room for it.
    fn take(&mut self, entry: &Entry) -> bool {
        let gas = entry.transaction.native().gas_limit;
        let fits = self.transactions > 0 && gas <= self.gas && entry.bytes <= self.bytes;
        if fits {
            self.transactions -= 1;
            self.gas.0 -= gas.0;
            self.bytes -= entry.bytes;
        }
        fits
    }
}
