//! Who is connected. There are so many places; when all are taken, whoever has not shown the password gives
//! way to the next, the longest there first. So idle and hostile connections cannot keep miners out, and a
//! miner that is served goes on being served.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::rpc::rate::network;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    /// By the order in which they came.
    here: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    trusted: bool,
    leave: Arc<Notify>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Places {
    /// So many in all, and so many for one address that is not loopback.
    pub(super) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, guests: Mutex::default() })
    }

    /// A place for a connection from this address, if there is one or one can be made free.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut guests = self.guests();
        let of_one = guests.here.values().filter(|guest| guest.network == network).count();
        if of_one >= self.most_of_one && !address.is_loopback() {
            guests.send_away(|guest| guest.network == network)?;
        }
        if guests.here.len() >= self.most {
            guests.send_away(|_| true)?;
        }
        let (number, leave) = (guests.next, Arc::new(Notify::new()));
        guests.next += 1;
        guests.here.insert(number, Guest { network, trusted: false, leave: Arc::clone(&leave) });
        Some(Place { places: Arc::clone(self), number, leave })
    }

    /// How many are connected.
    pub(super) fn taken(&self) -> usize {
        self.guests().here.len()
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Sends away the first of these that has not shown the password.
    fn send_away(&mut self, among: impl Fn(&Guest) -> bool) -> Option<()> {
        let number =
            self.here.iter().find(|(_, guest)| !guest.trusted && among(guest)).map(|(number, _)| *number)?;
        let guest = self.here.remove(&number)?;
        guest.leave.notify_one();
        Some(())
    }
}

impl Place {
    /// The connection has shown the password.
    pub(super) fn trust(&self) {
        if let Some(guest) = self.places.guests().here.get_mut(&self.number) {
            guest.trusted = true;
        }
    }

    /// Whether it has.
    pub(super) fn is_trusted(&self) -> bool {
        self.places.guests().here.get(&self.number).is_some_and(|guest| guest.trusted)
    }

    /// Returns when the place is needed for somebody else.
    pub(super) async fn sent_away(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.guests().here.remove(&self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stranger(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[tokio::test]
    async fn the_first_stranger_gives_way_and_whoever_showed_the_password_stays() {
        let places = Places::new(3, 3);
        let home: IpAddr = "127.0.0.1".parse().unwrap();
        let miner = places.enter(home).unwrap();
        miner.trust();
        let (first, second) = (places.enter(home).unwrap(), places.enter(home).unwrap());
        let third = places.enter(home).unwrap();
        first.sent_away().await;
        assert_eq!(places.taken(), 3);
        assert!(miner.is_trusted() && !first.is_trusted());
        second.trust();
        third.trust();
        assert!(places.enter(home).is_none(), "three miners are served");
        drop(miner);
        assert!(places.enter(home).is_some());
        drop(first);
        assert_eq!(places.taken(), 2, "a place is given back once");
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let places = Places::new(10, 2);
        let held: Vec<Place> = (0..5).map(|_| places.enter(stranger(1)).unwrap()).collect();
        assert_eq!(places.taken(), 2);
        held[3].trust();
        held[4].trust();
        assert!(places.enter(stranger(1)).is_none());
        assert!(places.enter(stranger(2)).is_some());
    }
}
