//! Damaged frames (S-N4): what comes over a wire may be anything, and goes through the real codec and the real
//! check all the same.
//!
//! On a link between honest nodes the damage is found when the frame is to be authenticated: whatever it reads
//! as is thrown away with the connection, and the peers connect anew. What the attacker sends is its own word
//! however odd it is, and is taken for that.

use std::rc::Rc;

use super::{Event, World};
use crate::pow::{MESSAGE_LIMIT, Message, ProofOfWork};
use crate::protocol::{Input, Peer, Protocol};
use crate::random::Random;
use crate::sim::ledger::Ledger;
use crate::time::Time;

impl<L: Ledger> World<'_, L> {
    /// Puts a message on its way: whole, or damaged.
    pub(super) fn send_off(&mut self, from: usize, to: usize, at: Time, message: Rc<Message>) {
        let (sender, receiver) = (from as u8, to as u8);
        if !self.network.garbles(&mut self.random) {
            let run = self.nodes.get(from).map_or(0, |node| node.run);
            return self.scheduler.schedule(at, Event::Deliver { from: sender, to: receiver, run, message });
        }
        let bytes = garble(message.to_bytes(), &mut self.random);
        self.count("frame damaged");
        self.scheduler.schedule(at, Event::Garbled { from: sender, to: receiver, bytes });
    }

    pub(super) fn garbled(&mut self, from: u8, to: u8, bytes: &[u8]) {
        let (sender, receiver) = (usize::from(from), usize::from(to));
        let arrived = self.network.arrive(sender, receiver);
        self.trace.event(self.scheduler.now(), 16, receiver, bytes.len() as u64);
        let is_up = self.nodes.get(receiver).is_some_and(|node| node.replica.is_some());
        if !arrived || !is_up {
            return;
        }
        let peer = Peer(from.into());
        let Ok(message) = Message::from_bytes(bytes) else {
            self.count("damaged frame refused");
            return self.reconnect(sender, receiver);
        };
        assert!(bytes.len() <= MESSAGE_LIMIT, "the codec reads no more than its limit");
        let is_attacker = sender == self.nodes.len();
        match ProofOfWork::check(&self.config, peer, message) {
            Ok(message) if is_attacker => {
                self.count("odd message of the attacker taken");
                self.feed(receiver, Input::Message { from: peer, message });
            }
            Err(fault) if is_attacker => self.accused(receiver, peer, &fault),
            Ok(_) | Err(_) => {
                self.count("damaged frame reads as a message");
                self.reconnect(sender, receiver);
            }
        }
    }

    /// The connection ends, and another begins.
    fn reconnect(&mut self, left: usize, right: usize) {
        for (node, other) in [(left, right), (right, left)] {
            if self.nodes.get(node).is_some_and(|node| node.replica.is_some()) {
                self.feed(node, Input::Disconnected(Peer(other as u64)));
                self.feed(node, Input::Connected(Peer(other as u64)));
            }
        }
    }
}

/// Flips bits, cuts short, adds bytes, lies about a length, or replaces everything.
fn garble(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let length = bytes.len() as u64;
    match random.below(5) {
        0 => (0..=random.below(8)).for_each(|_| {
            let at = random.below(length) as usize;
            bytes[at] ^= 1 << random.below(8);
        }),
        1 => bytes.truncate(random.below(length) as usize),
        2 => bytes.extend((0..=random.below(600)).map(|_| random.next_u64() as u8)),
        3 => {
            let at = random.below(length.saturating_sub(8) + 1) as usize;
            bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff);
        }
        _ => bytes = (0..random.below(600)).map(|_| random.next_u64() as u8).collect(),
    }
    bytes
}
