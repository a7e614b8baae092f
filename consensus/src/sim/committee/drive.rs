//! Driving the replicas as the real driver does: inputs in, frames to the journal, effects out, in order.

use std::cell::OnceCell;
use std::rc::Rc;

use synod_types::mutant;

use super::application::{Chain, Node, Waiting, Wanted};
use super::ordering::{Lies, Ordering};
use super::{BASE_TIMEOUT_MS, Envelope, Event, FaultOf, MessageOf, Packet, World};
use crate::committee::{Event as Told, Job, MemberIndex, Outcome};
use crate::effects::Effect;
use crate::protocol::{Input, Peer, Protocol};
use crate::replica::Replica;
use crate::sim::ledger::Complaint;
use crate::sim::swarm::Fault;
use crate::time::Time;

/// Clients wait when so many of their transactions are not executed: A6 bounds how long a member takes to go on,
/// not how long a backlog takes at the small batches of a run.
const PENDING: usize = 48;

impl<C: Chain> World<C> {
    /// Starts a process and connects it.
    pub(super) fn start(&mut self, at: usize) {
        let (seed, now, wall) = (self.random.next_u64(), self.scheduler.now(), self.wall(at));
        let has_ended = self.enter(at);
        let config = self.config(at);
        self.processes[at].start(config, has_ended, seed, now, wall);
        self.check_kept(at);
        for transaction in self.submitted.keys() {
            self.processes[at].node.hear(transaction, now);
        }
        self.ask_node(at);
        self.carry_out(at);
        self.pool_changed(at);
        self.answer();
        for other in 0..self.processes.len() {
            if self.processes[other].replica.is_some() {
                self.connect(at, other);
                self.connect(other, at);
            }
        }
    }

    /// A process hears that another is there, which introduces itself by its epoch: in another it is a stranger.
    pub(super) fn connect(&mut self, at: usize, other: usize) {
        let (here, there) = (&self.processes[at], &self.processes[other]);
        if here.member != there.member && here.committee.epoch() == there.committee.epoch() {
            self.feed(at, Input::Connected(there.member.peer()));
        }
    }

    pub(super) fn restart(&mut self, at: usize) {
        self.trace.event(self.scheduler.now(), 6, at, 0);
        let is_left_broken = self.healed_at.is_some() && !self.core.contains(&at);
        if self.processes[at].replica.is_none() && (!is_left_broken || !self.processes[at].is_honest()) {
            self.start(at);
        }
    }

    pub(super) fn deliver(&mut self, from: u8, to: u8, envelope: &Rc<Envelope<C::Ordering>>) {
        let (now, at) = (self.scheduler.now(), usize::from(to));
        let paused = self.processes[at].paused_until;
        if paused > now {
            let envelope = Rc::clone(envelope);
            return self.scheduler.schedule(paused, Event::Deliver { from, to, envelope });
        }
        let arrived = self.network.arrive(from.into(), at);
        self.trace.event(now, 1, at, u64::from(from) << 8 | u64::from(arrived));
        if !arrived || self.processes[at].replica.is_none() {
            return;
        }
        self.trace.line(now, || format!("{from} -> {to}: {:?}", envelope.packet));
        match &envelope.packet {
            Packet::AskBlocks { from } => self.serve_blocks(at, envelope.from, *from),
            Packet::Blocks { from, bodies } => self.take_blocks(at, *from, bodies),
            _ if envelope.epoch != self.processes[at].committee.epoch() => {
                self.elsewhere(at, envelope.from, envelope.epoch);
            }
            Packet::Protocol(message) => self.deliver_message(at, envelope, message),
            Packet::Where => {}
        }
    }

    fn deliver_message(&mut self, at: usize, envelope: &Envelope<C::Ordering>, message: &MessageOf<C>) {
        let from = envelope.from;
        let Some(config) =
            self.processes[at].config.clone().filter(|config| C::Ordering::awaits(config, message))
        else {
            return;
        };
        let verdict = envelope.verdict.get_or_init(|| C::Ordering::check(&config, from, message.clone()));
        match verdict.clone() {
            Ok(verified) => {
                self.note_heard(at, message);
                self.feed(at, Input::Message { from, message: verified });
            }
            Err(fault) => self.accused(at, from, &fault),
        }
        if let Some(liar) = &mut self.processes[at].liar {
            let sender = self.committee.member(from).filter(|_| liar.conspires());
            for echo in liar.echo(message) {
                for member in self.committee.indexes().filter(|member| sender.is_none_or(|it| it == *member))
                {
                    self.send_as_is(at, member, &echo);
                }
            }
        }
    }

    pub(super) fn wake(&mut self, process: u8, run: u32) {
        let (now, at) = (self.scheduler.now(), usize::from(process));
        let state = &mut self.processes[at];
        if state.run != run || state.wake != Some(now) {
            return;
        }
        if state.paused_until > now {
            state.wake = Some(state.paused_until);
            return self.scheduler.schedule(state.paused_until, Event::Wake { process, run });
        }
        state.wake = None;
        self.trace.event(now, 2, at, 0);
        self.feed(at, Input::Wake);
    }

    pub(super) fn journal_synced(&mut self, process: u8, run: u32) {
        let at = usize::from(process);
        if self.processes[at].run != run {
            return;
        }
        self.trace.event(self.scheduler.now(), 5, at, 0);
        if self.sync_fails(at) {
            return;
        }
        let state = &mut self.processes[at];
        let proof = state.node.sync_votes();
        if let Some(replica) = &mut state.replica {
            replica.durable(&proof);
        }
        self.carry_out(at);
        self.answer();
    }

    /// The block log's sync returned.
    pub(super) fn blocks_synced(&mut self, process: u8, run: u32) {
        let (now, at) = (self.scheduler.now(), usize::from(process));
        let state = &mut self.processes[at];
        if state.run != run {
            return;
        }
        if state.paused_until > now {
            return self.scheduler.schedule(state.paused_until, Event::BlocksSynced { process, run });
        }
        self.trace.event(now, 4, at, 0);
        if self.sync_fails(at) {
            return;
        }
        let state = &mut self.processes[at];
        let covered = state.syncing.take().unwrap_or(0);
        state.node.sync_blocks();
        let durable: Vec<_> = state.written.drain(..covered).collect();
        self.begin_sync(at);
        for (position, block_hash) in durable {
            self.feed(at, Input::Executed { position, block_hash });
        }
    }

    /// Gives a process one input, and everybody those that follow from it.
    pub(super) fn feed(&mut self, at: usize, input: Input<C::Ordering>) {
        self.inputs.push_back((at, input));
        self.answer();
    }

    fn answer(&mut self) {
        while let Some((at, input)) = self.inputs.pop_front() {
            let (now, wall) = (self.scheduler.now(), self.wall(at));
            let Some(replica) = self.processes[at].replica.as_mut() else { continue };
            replica.step(input, now, wall);
            self.carry_out(at);
        }
    }

    fn carry_out(&mut self, at: usize) {
        let now = self.scheduler.now();
        let state = &mut self.processes[at];
        let Some(replica) = state.replica.as_mut() else { return };
        if let Some(frame) = replica.take_frame() {
            state.node.write(frame);
            let event = Event::JournalSynced { process: at as u8, run: state.run };
            self.scheduler.schedule(now.plus_us(state.sync_us), event);
        }
        while let Some(effect) = self.processes[at].replica.as_mut().and_then(Replica::next_effect) {
            self.act(at, effect);
        }
        self.set_wake(at);
        self.succeed(at);
    }

    fn set_wake(&mut self, at: usize) {
        let state = &mut self.processes[at];
        let Some(due) = state.replica.as_ref().and_then(Replica::wake_at) else { return };
        let due = due.max(self.scheduler.now());
        if state.wake.is_none_or(|wake| wake > due) {
            state.wake = Some(due);
            self.scheduler.schedule(due, Event::Wake { process: at as u8, run: state.run });
        }
    }

    fn act(&mut self, at: usize, effect: Effect<C::Ordering>) {
        match effect {
            Effect::Send { to, message } => {
                self.note_sent(at, Some(to), &message);
                self.transmit(at, to, Packet::Protocol(message));
            }
            Effect::Broadcast(message) => {
                self.note_sent(at, None, &message);
                self.broadcast(at, message);
            }
            Effect::Append { position, body, .. } => self.append(at, position, &body),
            Effect::Start(Job::Assemble { max_bytes, max_transactions }) => {
                self.assemble(at, max_bytes, max_transactions);
            }
            Effect::Start(Job::Fetch { certificate }) => self.begin_fetch(at, certificate),
            Effect::Accuse { peer, fault } => self.accused(at, peer, &fault),
            Effect::Tell(event) => self.told(at, event),
            // A committee's chain has no branches, and its bodies are not read back.
            Effect::Rewind { .. } | Effect::Load { .. } | Effect::Cancel => {}
        }
    }

    /// One envelope for all: its checks are made once. A liar says something else to each.
    fn broadcast(&mut self, at: usize, message: MessageOf<C>) {
        if self.processes[at].liar.is_some() {
            for member in self.committee.indexes() {
                self.transmit(at, member.peer(), Packet::Protocol(message.clone()));
            }
            return;
        }
        let from = self.processes[at].member;
        let envelope = self.envelope(at, Packet::Protocol(message));
        for to in 0..self.processes.len() {
            if self.processes[to].member != from {
                self.post_envelope(at, to, &envelope);
            }
        }
    }

    /// Sends to every copy of a member that hears this process.
    pub(super) fn transmit(&mut self, at: usize, to: Peer, packet: Packet<C::Ordering>) {
        let Some(member) = self.committee.member(to) else { return };
        let (Packet::Protocol(message), true) = (&packet, self.processes[at].liar.is_some()) else {
            return self.send_packet(at, member, packet);
        };
        if self.processes[at].liar.as_ref().is_some_and(|liar| liar.holds_back(message)) {
            let held = Event::Held { from: at as u8, to: member.0, message: Rc::new(message.clone()) };
            let late = BASE_TIMEOUT_MS * 7 / 10;
            return self.scheduler.schedule(self.scheduler.now().plus_ms(late), held);
        }
        let Some(liar) = &mut self.processes[at].liar else { return };
        for said in liar.alter(member, message, &mut self.random) {
            self.send_as_is(at, member, &said);
        }
    }

    pub(super) fn send_as_is(&mut self, at: usize, to: MemberIndex, message: &MessageOf<C>) {
        self.send_packet(at, to, Packet::Protocol(message.clone()));
    }

    fn send_packet(&mut self, at: usize, to: MemberIndex, packet: Packet<C::Ordering>) {
        if self.processes[at].member == to {
            return;
        }
        let envelope = self.envelope(at, packet);
        self.post_to_member(at, to, &envelope);
    }

    fn envelope(&self, at: usize, packet: Packet<C::Ordering>) -> Rc<Envelope<C::Ordering>> {
        let process = &self.processes[at];
        let (from, epoch) = (process.member.peer(), process.committee.epoch());
        Rc::new(Envelope { from, epoch, packet, verdict: OnceCell::new() })
    }

    /// To every copy of a member.
    pub(super) fn post_to_member(
        &mut self,
        at: usize,
        to: MemberIndex,
        envelope: &Rc<Envelope<C::Ordering>>,
    ) {
        for process in 0..self.processes.len() {
            if self.processes[process].member == to {
                self.post_envelope(at, process, envelope);
            }
        }
    }

    pub(super) fn post(&mut self, at: usize, to: usize, packet: Packet<C::Ordering>) {
        let envelope = self.envelope(at, packet);
        self.post_envelope(at, to, &envelope);
    }

    fn post_envelope(&mut self, at: usize, to: usize, envelope: &Rc<Envelope<C::Ordering>>) {
        if !self.is_heard(at, to) || !self.is_heard(to, at) {
            return;
        }
        let now = self.scheduler.now();
        if let Some(meter) = &mut self.meter {
            meter.sent(&envelope.packet);
        }
        for arrival in self.network.send(at, to, now, &mut self.random).into_iter().flatten() {
            let envelope = Rc::clone(envelope);
            self.scheduler.schedule(arrival, Event::Deliver { from: at as u8, to: to as u8, envelope });
        }
    }

    /// Of a twin's two copies each is linked with some processes only.
    fn is_heard(&self, at: usize, to: usize) -> bool {
        let Some((original, sides)) = self.twins else { return true };
        let copy = self.committee.len();
        match at {
            _ if at == original => sides[0] >> to & 1 == 1,
            _ if at == copy => sides[1] >> to & 1 == 1,
            _ => true,
        }
    }

    fn append(&mut self, at: usize, position: synod_types::Position, body: &alloy_primitives::Bytes) {
        let now = self.scheduler.now();
        let Some(expected) = self.next_position(at) else { return self.count("void after an epoch's end") };
        if position != expected {
            return self.violate("A1", || format!("process {at} appends {position}, expected {expected}"));
        }
        let hash = match self.processes[at].node.append(body) {
            Ok(hash) => hash,
            Err(reason) => {
                return self.violate("A2", || format!("process {at} cannot append {position}: {reason}"));
            }
        };
        self.ask_node(at);
        self.trace.event(now, 7, at, position.slot.0);
        self.trace.line(now, || format!("{at} appends {} bytes at {position}: {hash}", body.len()));
        if body.is_empty() {
            self.count("null slot");
        }
        let height = self.processes[at].node.length();
        self.check_block(at, height);
        // Before it is durable, as the driver does.
        self.tell_of_end(at, position);
        if mutant!("sto-1-ack-before-sync") {
            self.inputs.push_back((at, Input::Executed { position, block_hash: hash }));
        } else {
            self.processes[at].written.push_back((position, hash));
            self.begin_sync(at);
        }
        self.pool_changed(at);
    }

    fn begin_sync(&mut self, at: usize) {
        let state = &mut self.processes[at];
        if state.syncing.is_none() && !state.written.is_empty() {
            state.syncing = Some(state.written.len());
            let due = self.scheduler.now().plus_us(state.sync_us);
            self.scheduler.schedule(due, Event::BlocksSynced { process: at as u8, run: state.run });
        }
    }

    fn assemble(&mut self, at: usize, max_bytes: usize, max_transactions: usize) {
        let wall = self.wall(at);
        let salt = self.random.next_u64();
        let process = &mut self.processes[at];
        let is_slow = process.liar.as_ref().and_then(Lies::lie) == Some(Fault::SlowPrimary);
        let max_transactions = if is_slow { 1 } else { max_transactions };
        let wanted = Wanted { wall, salt, max_bytes, max_transactions, censors: is_slow };
        let offer = process.node.assemble(wanted);
        self.inputs.push_back((at, Input::Done(Outcome::Assembled(offer))));
    }

    /// Tells the machine what waits.
    pub(super) fn pool_changed(&mut self, at: usize) {
        let Waiting { oldest_since, bytes } = self.processes[at].node.waiting();
        self.inputs.push_back((at, Input::Demand { oldest_since, bytes }));
    }

    /// What the node itself found wrong, and what happened there.
    pub(super) fn ask_node(&mut self, at: usize) {
        for name in self.processes[at].node.happened() {
            self.count(name);
        }
        let complaint = self.processes[at].node.complaint();
        // What a liar's ledger holds is its own affair.
        if let Some(Complaint { oracle, message }) = complaint.filter(|_| self.processes[at].is_honest()) {
            self.violate(oracle, || format!("process {at}: {message}"));
        }
    }

    fn told(&mut self, at: usize, event: Told) {
        self.trace.line(self.scheduler.now(), || format!("{at}: {event:?}"));
        match event {
            Told::Certified(certificate) => {
                self.check_certificate(at, &certificate);
                self.processes[at].node.store_certificate(certificate);
            }
            Told::Abandoned { digest } => {
                self.processes[at].node.abandoned(digest);
                self.pool_changed(at);
                self.count("proposal abandoned");
            }
            Told::LeaderChanged { view, .. } if view <= C::Ordering::FIRST_VIEW => {}
            Told::LeaderChanged { .. } => self.count("view change"),
            Told::Caught(evidence) => {
                self.count("liar caught");
                let is_proof = C::Ordering::is_proof(&evidence, &self.processes[at].committee);
                if !is_proof || self.is_honest(evidence.member) {
                    self.violate("A9", || format!("process {at} has worthless evidence: {evidence:?}"));
                }
            }
            Told::Diverged { position, ours, theirs, .. } => {
                if self.processes[at].is_honest() {
                    self.violate("A1", || format!("process {at} at {position}: {ours} here, {theirs} there"));
                }
            }
        }
    }

    /// No honest member is ever accused of anything (A9).
    fn accused(&mut self, at: usize, peer: Peer, fault: &FaultOf<C>) {
        self.trace.line(self.scheduler.now(), || format!("{at}: accuses {peer}: {fault}"));
        let Some(member) = self.committee.member(peer) else { return };
        // What a machine of a liar says of others is its own affair.
        if self.processes[at].is_honest() && self.is_honest(member) {
            self.violate("A9", || format!("process {at} accuses the honest member {peer}: {fault}"));
        }
        self.count("liar accused");
    }

    /// Clients submit some transfers; each process hears of them after a while.
    pub(super) fn submit(&mut self) {
        let now = self.scheduler.now();
        self.trace.event(now, 8, 0, 0);
        if !self.is_submitting() {
            return;
        }
        let wishes = if self.pending() < PENDING { self.random.between(1, 3) } else { 0 };
        for _ in 0..wishes {
            let running = self.processes.iter().filter(|process| process.replica.is_some());
            let nodes: Vec<&C::Node> = running.map(|process| &process.node).collect();
            let Some(transaction) = self.chain.wish(&nodes, now, &mut self.random) else { continue };
            self.hand_in(&transaction);
        }
        let lull = if self.random.chance(30_000) { 1_500 } else { 0 };
        let wait = self.random.between(20, 150) + lull;
        self.scheduler.schedule(now.plus_ms(wait), Event::Submit);
    }

    /// Each process hears of it after a while.
    pub(super) fn hand_in(&mut self, transaction: &C::Transaction) {
        let now = self.scheduler.now();
        self.submitted.entry(transaction.clone()).or_insert(now);
        for process in 0..self.processes.len() {
            let late = self.random.between(1_000, 30_000);
            let arrival = Event::Arrive { process: process as u8, transaction: transaction.clone() };
            self.scheduler.schedule(now.plus_us(late), arrival);
        }
    }

    /// How many transactions the longest honest chain has not executed.
    fn pending(&self) -> usize {
        let honest = self.processes.iter().filter(|process| process.is_honest());
        let Some(longest) = honest.max_by_key(|process| process.node.length()) else { return 0 };
        self.submitted.keys().filter(|transaction| !longest.node.is_over(transaction)).count()
    }

    pub(super) fn arrive(&mut self, at: usize, transaction: &C::Transaction) {
        let now: Time = self.scheduler.now();
        if self.processes[at].replica.is_some() {
            self.processes[at].node.hear(transaction, now);
            self.pool_changed(at);
            self.answer();
        }
    }
}
