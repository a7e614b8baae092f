//! Epochs, as the driver begins and ends them: a member that lost its disk is taken back under its next incarnation
//! (S-C4), everybody goes on under the new committee, and whoever lags is shown the way.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use synod_types::{Epoch, Height, Position, Slot};

use super::application::{Chain, Node};
use super::ordering::{Lies, Ordering};
use super::{Envelope, Packet, World};
use crate::committee::{Certificate, Committee, EpochRecord, Outcome};
use crate::protocol::{Input, Peer};
use crate::replica::Replica;
use crate::time::Time;

/// Milliseconds between two times that one process shows another the way.
const SHOWING_MS: u64 = 100;
/// Milliseconds between two times that every process says in which epoch it is.
const SAYING_MS: u64 = 1_000;

/// Whose promises a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) incarnation: u32,
    /// Of which epoch; none before the first.
    pub(super) epoch: Option<Epoch>,
}

impl<C: Chain> World<C> {
    /// The committee of the epoch that a node is in, as its disk tells, and whether its tip is that epoch's last block.
    pub(super) fn standing(&self, node: &C::Node, ends: &BTreeMap<Epoch, Certificate>) -> (Committee, bool) {
        let mut committee = self.committee.clone();
        for end in ends.values() {
            let height = end.statement.height;
            // A certificate is written down after its block.
            let Some(incarnations) = node.epoch_end(height.0) else { break };
            committee = self.following(&committee, height, &incarnations);
        }
        let tip = node.length();
        let has_ended = tip > committee.record().base.0 && node.epoch_end(tip).is_some();
        (committee, has_ended)
    }

    fn following(&self, committee: &Committee, base: Height, incarnations: &[u32]) -> Committee {
        let mut record =
            EpochRecord { epoch: Epoch(committee.epoch().0 + 1), base, ..committee.record().clone() };
        for (member, incarnation) in record.members.iter_mut().zip(incarnations) {
            member.incarnation = *incarnation;
        }
        let mut known = self.committees.borrow_mut();
        if let Some(committee) = known.iter().find(|known| *known.record() == record) {
            return committee.clone();
        }
        let next = Committee::new(committee.genesis(), record).expect("the members stay the same");
        known.push(next.clone());
        next
    }

    /// A process finds out in which epoch it is, and opens its memory; whether that epoch has ended here.
    pub(super) fn enter(&mut self, at: usize) -> bool {
        let process = &self.processes[at];
        let (committee, has_ended) = self.standing(&process.node, &process.ends);
        let process = &mut self.processes[at];
        let epoch = committee.epoch();
        let incarnation = committee.record().members[usize::from(process.member.0)].incarnation;
        if process.committee.epoch() != epoch {
            process.sent = <C::Ordering as Ordering>::Sent::default();
            if let Some(liar) = &mut process.liar {
                liar.enter(committee.clone());
            }
        }
        process.committee = committee;
        let is_counted_on = |memory: &Memory| {
            memory.incarnation == incarnation && memory.epoch.is_none_or(|known| known <= epoch)
        };
        let Some(memory) = process.memory.as_mut().filter(|memory| is_counted_on(memory)) else {
            process.signer = None;
            return has_ended;
        };
        process.signer = Some(process.voice.clone());
        if memory.epoch != Some(epoch) {
            let is_back = memory.epoch.is_none();
            memory.epoch = Some(epoch);
            process.node.forget_votes();
            if is_back {
                self.wiped = self.wiped.filter(|wiped| *wiped != at);
                self.count("member taken back");
            }
        }
        has_ended
    }

    /// Where the next block stands; `None` once the epoch has ended here.
    pub(super) fn next_position(&self, at: usize) -> Option<Position> {
        let process = &self.processes[at];
        let (base, tip) = (process.committee.record().base.0, process.node.length());
        let has_ended = tip > base && process.node.epoch_end(tip).is_some();
        let position = Position { epoch: process.committee.epoch(), slot: Slot(tip + 1 - base) };
        (!has_ended).then_some(position)
    }

    /// The machine hears of it when the tip ends the epoch.
    pub(super) fn tell_of_end(&mut self, at: usize, position: Position) {
        let process = &self.processes[at];
        let Some(incarnations) = process.node.epoch_end(process.node.length()) else { return };
        let next = Epoch(position.epoch.0 + 1);
        if process.is_honest() && next > self.newest.0 {
            self.newest = (next, incarnations);
        }
        self.inputs.push_back((at, Input::Done(Outcome::Ended { position })));
    }

    /// The next epoch begins at a process once the block that ended this one is durable there and certified.
    pub(super) fn succeed(&mut self, at: usize) {
        let process = &mut self.processes[at];
        // What the last step said goes out first, as soon as it may.
        let replica = process.replica.as_ref().filter(|replica| replica.sealed_steps() == 0);
        let machine = replica.map(Replica::protocol);
        let Some(end) = machine.and_then(Ordering::end_certificate).cloned() else { return };
        if !process.written.is_empty() || process.fetching.is_some() {
            return self.violate("A1", || format!("process {at} ends an epoch and still writes in it"));
        }
        process.ends.insert(end.statement.position.epoch, end);
        process.shown.clear();
        process.node.give_up_offers();
        process.replica = None;
        self.entered_at = self.scheduler.now();
        self.count("epoch begun");
        self.start(at);
    }

    /// Somebody speaks in another epoch: one of the two lags.
    pub(super) fn elsewhere(&mut self, at: usize, from: Peer, epoch: Epoch) {
        let now = self.scheduler.now();
        let process = &mut self.processes[at];
        let is_soon = process.shown.get(&from).is_some_and(|at| at.plus_ms(SHOWING_MS) > now);
        let Some(member) = process.committee.member(from).filter(|_| !is_soon && process.liar.is_none())
        else {
            return;
        };
        process.shown.insert(from, now);
        let (epoch, packet) = match process.ends.get(&epoch) {
            Some(end) => (epoch, Packet::Protocol(C::Ordering::certified(end.clone()))),
            None => (process.committee.epoch(), Packet::Where),
        };
        let from = process.member.peer();
        let envelope = Rc::new(Envelope { from, epoch, packet, verdict: OnceCell::new() });
        self.post_to_member(at, member, &envelope);
    }

    /// Everybody says in which epoch it is, again and again (GEN-8), once there are two.
    pub(super) fn say_where_now_and_then(&mut self, now: Time) {
        let is_time = (now.0 / 1_000).is_multiple_of(SAYING_MS);
        if !is_time || self.processes.iter().all(|process| process.ends.is_empty()) {
            return;
        }
        for at in 0..self.processes.len() {
            if self.processes[at].replica.is_none() {
                continue;
            }
            for member in self.committee.indexes() {
                self.transmit(at, member.peer(), Packet::Where);
            }
        }
    }

    /// An operator has the committee take a member back, under its next incarnation: its memory begins anew with that,
    /// and holds nothing yet. What the committee counts on must be asked of a quorum: a member that lags would name an
    /// incarnation that has voted already, and what it promised is lost.
    pub(super) fn rejoin(&mut self, at: usize) {
        if !self.is_submitting() || self.wiped != Some(at) {
            return;
        }
        let (epoch, member) = (self.newest.0, self.processes[at].member);
        let incarnation = self.newest.1[usize::from(member.0)] + 1;
        let Some(change) = self.chain.rejoin(member, epoch, incarnation) else { return };
        self.processes[at].memory = Some(Memory { incarnation, epoch: None });
        self.count("rejoin asked for");
        self.hand_in(&change);
    }
}
