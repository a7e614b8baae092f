//! Which peer is which: ordering knows connections by number, the network by name.
//!
//! A peer that connects again gets a new number, so that nothing said to the old connection is taken for
//! something said to the new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_consensus::Peer;
use synod_types::Height;

use crate::network::PeerName;

/// The table; a clone is the same table.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerTable(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    numbers: BTreeMap<PeerName, Peer>,
    names: BTreeMap<Peer, PeerName>,
    heights: BTreeMap<PeerName, Height>,
    last: u64,
}

impl PeerTable {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a new connection, and returns the number of the one that it replaces, if any.
    pub(super) fn connected(&self, name: PeerName) -> (Peer, Option<Peer>) {
        let mut table = self.table();
        table.last += 1;
        let peer = Peer(table.last);
        let replaced = table.numbers.insert(name, peer);
        if let Some(old) = replaced {
            table.names.remove(&old);
        }
        table.names.insert(peer, name);
        (peer, replaced)
    }

    /// Forgets a connection, and returns the number that it had.
    pub(super) fn disconnected(&self, name: PeerName) -> Option<Peer> {
        let mut table = self.table();
        table.heights.remove(&name);
        let peer = table.numbers.remove(&name)?;
        table.names.remove(&peer);
        Some(peer)
    }

    /// The connection's number.
    pub(super) fn number(&self, name: PeerName) -> Option<Peer> {
        self.table().numbers.get(&name).copied()
    }

    /// Notes the height that a peer told of.
    pub(super) fn told_height(&self, name: PeerName, height: Height) {
        self.table().heights.insert(name, height);
    }

    /// The last height that a peer told of.
    pub(super) fn height(&self, name: PeerName) -> Option<Height> {
        self.table().heights.get(&name).copied()
    }

    /// Whose connection it is.
    pub(super) fn name(&self, peer: Peer) -> Option<PeerName> {
        self.table().names.get(&peer).copied()
    }

    /// Everybody who is connected.
    pub(super) fn names(&self) -> Vec<PeerName> {
        self.table().numbers.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_comes_back_is_another_connection() {
        let table = PeerTable::default();
        let name = PeerName::from_bytes([1; 32]);
        let (first, replaced) = table.connected(name);
        assert_eq!(replaced, None);
        let (second, replaced) = table.connected(name);
        assert_eq!(replaced, Some(first));
        assert_eq!((table.name(first), table.name(second)), (None, Some(name)));
        assert_eq!(table.disconnected(name), Some(second));
        assert_eq!((table.number(name), table.name(second)), (None, None));
    }
}
