//! Driving honest nodes as the real driver does: inputs in, frames to the journal, effects out, in order.

use std::rc::Rc;

use synod_types::{BlockHash, UnixMillis, mutant};

use super::node::NodeInput;
use super::{EPOCH_MS, Event, World, grind, recipient, short};
use crate::effects::Effect;
use crate::pow::{Body, Event as Told, Fault, Job, Message, Outcome, ProofOfWork};
use crate::protocol::{Input, Peer, Protocol};
use crate::sim::ledger::{Ledger, Template};
use crate::time::Time;

/// Hashes in one mining event. With more, miners that all begin anew at a new tip would find in step, and
/// easy targets would not make blocks come faster.
const HASHES: u64 = 1;
/// Milliseconds between two calls of clients.
const CLIENT_MS: (u64, u64) = (50, 1_500);

impl<L: Ledger> World<'_, L> {
    /// Starts a node and connects it to all its peers.
    pub(super) fn start(&mut self, node: usize) {
        let (seed, now, wall) = (self.random.next_u64(), self.scheduler.now(), self.wall(node));
        let config = self.config.clone();
        self.nodes[node].start(config, seed, now, wall);
        self.check_kept(node);
        self.check_condemned(node);
        self.listen_to_ledger(node);
        self.carry_out(node);
        self.answer(node);
        for peer in self.nodes[node].peers.clone() {
            self.feed(node, Input::Connected(peer));
            let other = peer.0 as usize;
            if other < self.nodes.len() && self.nodes[other].replica.is_some() {
                self.feed(other, Input::Connected(Peer(node as u64)));
            }
        }
    }

    pub(super) fn deliver(&mut self, from: u8, to: u8, run: u32, message: &Rc<Message>) {
        let now = self.scheduler.now();
        let index = usize::from(to);
        let paused = self.nodes.get(index).map_or(Time(0), |node| node.paused_until);
        if paused > now {
            let message = Rc::clone(message);
            return self.scheduler.schedule(paused, Event::Deliver { from, to, run, message });
        }
        let arrived = self.network.arrive(from.into(), index);
        self.trace.event(now, 1, index, u64::from(from) << 8 | u64::from(arrived));
        // What a process said before it was started again went down with its connections.
        let sender = self.nodes.get(usize::from(from));
        let is_of_another_life = sender.is_some_and(|node| node.run != run && node.replica.is_some());
        if !arrived || is_of_another_life {
            return;
        }
        self.trace.line(now, || format!("{from} -> {to}: {message:?}"));
        if index >= self.nodes.len() {
            return self.attacker_hears(from, message);
        }
        if self.nodes[index].replica.is_none() {
            return;
        }
        let peer = Peer(from.into());
        match ProofOfWork::check(&self.config, peer, Message::clone(message)) {
            Ok(message) => self.feed(index, Input::Message { from: peer, message }),
            Err(fault) => self.accused(index, peer, &fault),
        }
    }

    pub(super) fn wake(&mut self, node: u8, run: u32) {
        let (now, index) = (self.scheduler.now(), usize::from(node));
        let state = &mut self.nodes[index];
        if state.run != run || state.wake != Some(now) {
            return;
        }
        if state.paused_until > now {
            state.wake = Some(state.paused_until);
            return self.scheduler.schedule(state.paused_until, Event::Wake { node, run });
        }
        state.wake = None;
        self.trace.event(now, 2, index, 0);
        self.feed(index, Input::Wake);
    }

    /// Hashes a few nonces; the next few follow when the miner's power allows.
    pub(super) fn mine(&mut self, node: u8, number: u64) {
        let (now, index) = (self.scheduler.now(), usize::from(node));
        let is_over = self.is_mining_over();
        let state = &mut self.nodes[index];
        if state.search_number != number || is_over {
            return;
        }
        self.trace.event(now, 3, index, number);
        let Some(search) = &mut state.search else { return };
        let solved = grind(&mut search.block, search.nonce, HASHES as u32);
        search.nonce = search.nonce.wrapping_add(HASHES as u32);
        if let Some(body) = solved {
            state.search = None;
            self.facts.add(&body, true);
            self.trace
                .line(now, || format!("{index} solves block {} at height {}", body.hash(), body.height()));
            self.attacker_sees(&body);
            self.block_was_found();
            return self.feed(index, Input::Done(Outcome::Solved(body)));
        }
        self.schedule_mining(node);
    }

    fn schedule_mining(&mut self, node: u8) {
        let state = &self.nodes[usize::from(node)];
        let at = self.scheduler.now().plus_us(HASHES * 1_000_000_000 / state.power.max(1));
        self.scheduler
            .schedule(at.max(state.paused_until), Event::Mine { node, search: state.search_number });
    }

    /// The block log's sync returned: what it covered is durable.
    pub(super) fn synced(&mut self, node: u8, run: u32) {
        let (now, index) = (self.scheduler.now(), usize::from(node));
        let state = &mut self.nodes[index];
        if state.run != run {
            return;
        }
        if state.paused_until > now {
            return self.scheduler.schedule(state.paused_until, Event::Synced { node, run });
        }
        self.trace.event(now, 4, index, 0);
        if !self.sync(index) {
            return;
        }
        let state = &mut self.nodes[index];
        let covered = state.syncing.take().unwrap_or(0);
        let durable: Vec<_> = state.written.drain(..covered).collect();
        self.begin_sync(index);
        for (position, block_hash) in durable {
            self.feed(index, Input::Executed { position, block_hash });
        }
    }

    pub(super) fn journal_synced(&mut self, node: u8, run: u32) {
        let index = usize::from(node);
        self.trace.event(self.scheduler.now(), 5, index, 0);
        let state = &mut self.nodes[index];
        let Some(replica) = state.replica.as_mut().filter(|_| state.run == run) else { return };
        if state.is_full {
            let later = self.scheduler.now().plus_us(state.sync_us.max(100_000));
            return self.scheduler.schedule(later, Event::JournalSynced { node, run });
        }
        replica.durable(&state.journal.sync());
        self.carry_out(index);
        self.answer(index);
    }

    /// Gives a node one input, and those that follow from it.
    pub(super) fn feed(&mut self, node: usize, input: NodeInput) {
        self.inputs.push_back(input);
        self.answer(node);
    }

    /// Gives a node the inputs that its own effects brought about.
    fn answer(&mut self, node: usize) {
        while let Some(input) = self.inputs.pop_front() {
            let (now, wall) = (self.scheduler.now(), self.wall(node));
            let Some(replica) = self.nodes[node].replica.as_mut() else { return self.inputs.clear() };
            replica.step(input, now, wall);
            self.carry_out(node);
        }
    }

    fn carry_out(&mut self, node: usize) {
        let now = self.scheduler.now();
        let state = &mut self.nodes[node];
        let Some(replica) = state.replica.as_mut() else { return };
        if let Some(frame) = replica.take_frame() {
            state.journal.write(frame);
            let (event, sync_us) = (Event::JournalSynced { node: node as u8, run: state.run }, state.sync_us);
            self.scheduler.schedule(now.plus_us(sync_us), event);
            self.crash_within(node, sync_us);
        }
        while let Some(effect) =
            self.nodes[node].replica.as_mut().and_then(crate::replica::Replica::next_effect)
        {
            self.act(node, effect);
        }
        if std::mem::take(&mut self.nodes[node].owes_event) {
            self.violate("A1", || format!("node {node} reversed settled blocks without saying so"));
        }
        self.set_wake(node);
    }

    fn set_wake(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(at) = state.replica.as_ref().and_then(crate::replica::Replica::wake_at) else { return };
        let at = at.max(self.scheduler.now());
        if state.wake.is_none_or(|wake| wake > at) {
            state.wake = Some(at);
            self.scheduler.schedule(at, Event::Wake { node: node as u8, run: state.run });
        }
    }

    fn act(&mut self, node: usize, effect: Effect<ProofOfWork>) {
        match effect {
            Effect::Send { to, message } => {
                self.note_promise(node, &message);
                self.transmit(node, to, &Rc::new(message));
            }
            Effect::Broadcast(message) => {
                self.note_promise(node, &message);
                let message = Rc::new(message);
                for at in 0..self.nodes[node].peers.len() {
                    self.transmit(node, self.nodes[node].peers[at], &message);
                }
            }
            Effect::Append { position, block_hash, body, .. } => {
                let hash = block_hash.expect("proof of work knows its blocks before execution");
                self.append(node, position, hash, &body);
            }
            Effect::Rewind { block_hash, .. } => self.rewind(node, block_hash),
            Effect::Load { block_hash } => {
                let body = self.nodes[node].ledger.load(block_hash);
                self.inputs.push_back(Input::Loaded { block_hash, body });
            }
            Effect::Start(job) => self.start_job(node, job),
            Effect::Cancel => {
                self.nodes[node].search = None;
                self.nodes[node].search_number += 1;
            }
            Effect::Accuse { peer, fault } => self.accused(node, peer, &fault),
            Effect::Tell(event) => self.told(node, &event),
        }
    }

    pub(super) fn transmit(&mut self, from: usize, to: Peer, message: &Rc<Message>) {
        let (now, to) = (self.scheduler.now(), to.0 as usize);
        for at in self.network.send(from, to, now, &mut self.random).into_iter().flatten() {
            self.send_off(from, to, at, Rc::clone(message));
        }
    }

    fn append(
        &mut self,
        node: usize,
        position: synod_types::Position,
        hash: BlockHash,
        body: &alloy_primitives::Bytes,
    ) {
        self.trace.event(self.scheduler.now(), 7, node, short(hash));
        self.trace.line(self.scheduler.now(), || format!("{node} appends {hash} at {position}"));
        let parent = self.facts.parent(hash);
        if parent != self.nodes[node].ledger.tip() {
            if self.facts.get(parent).is_none_or(|fact| fact.valid) {
                self.violate("A1", || format!("node {node} appends {hash}, whose parent is not the tip"));
            }
            return;
        }
        match self.nodes[node].ledger.execute(hash, body) {
            Ok(()) => {
                self.check_executed(node, hash);
                self.listen_to_ledger(node);
                if mutant!("sto-1-ack-before-sync") {
                    return self.inputs.push_back(Input::Executed { position, block_hash: hash });
                }
                self.nodes[node].written.push_back((position, hash));
                self.begin_sync(node);
            }
            Err(reason) => {
                self.check_refused(node, hash);
                self.inputs.push_back(Input::Refused { block_hash: hash, reason });
            }
        }
    }

    /// One sync runs at a time, and covers what was written before it began.
    fn begin_sync(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.syncing.is_none() && !state.written.is_empty() {
            state.syncing = Some(state.written.len());
            let (event, sync_us) = (Event::Synced { node: node as u8, run: state.run }, state.sync_us);
            self.scheduler.schedule(self.scheduler.now().plus_us(sync_us), event);
            self.crash_within(node, sync_us);
        }
    }

    fn rewind(&mut self, node: usize, to: BlockHash) {
        self.trace.event(self.scheduler.now(), 8, node, short(to));
        self.trace.line(self.scheduler.now(), || format!("{node} rewinds to {to}"));
        let before = self.nodes[node].ledger.tip();
        if let Err(reason) = self.nodes[node].ledger.rewind(to) {
            return self.violate("A1", || format!("node {node} cannot rewind: {reason}"));
        }
        self.check_rewound(node, before, to);
        self.listen_to_ledger(node);
    }

    /// A client talks to some node.
    pub(super) fn client(&mut self) {
        let now = self.scheduler.now();
        let node = self.random.below(self.nodes.len() as u64) as usize;
        self.trace.event(now, 17, node, 0);
        let wall = self.wall(node);
        if self.nodes[node].replica.is_some() && self.nodes[node].paused_until <= now {
            self.nodes[node].ledger.client(now, wall, &mut self.random);
            self.feed(node, Input::Demand { oldest_since: Some(now), bytes: 1 });
        }
        let wait = self.random.between(CLIENT_MS.0, CLIENT_MS.1);
        self.scheduler.schedule(now.plus_ms(wait), Event::Client);
    }

    fn start_job(&mut self, node: usize, job: Job) {
        match job {
            Job::Assemble { parent, height, bits, earliest } => {
                let time = UnixMillis(self.wall(node).0.max(u64::from(earliest) * 1000));
                let template = Template { parent, height, bits, time, recipient: recipient(node) };
                let Some(block) = self.nodes[node].ledger.assemble(&template) else { return };
                let body = Body::from_block(&block);
                self.nodes[node].template = Some(block);
                self.inputs.push_back(Input::Done(Outcome::Assembled(body)));
            }
            Job::Search { .. } => {
                let Some(block) = self.nodes[node].template.take() else { return };
                let nonce = self.random.next_u64() as u32 >> 1;
                let state = &mut self.nodes[node];
                state.search = Some(super::node::Search { block, nonce });
                state.search_number += 1;
                self.schedule_mining(node as u8);
            }
        }
    }

    fn told(&mut self, node: usize, event: &Told) {
        self.trace.line(self.scheduler.now(), || format!("{node}: {event:?}"));
        match event {
            Told::Reorganised { depth, .. } => {
                self.count("reorg");
                if *depth >= 3 {
                    self.count("deep reorg");
                }
            }
            Told::SettledReversed { .. } => {
                self.nodes[node].owes_event = false;
                self.count("settled reversed");
            }
            Told::Condemned { block_hash, .. } => {
                self.nodes[node].condemned = Some(*block_hash);
                self.count("block condemned");
            }
        }
    }

    pub(super) fn accused(&mut self, node: usize, peer: Peer, fault: &Fault) {
        self.trace.line(self.scheduler.now(), || format!("{node}: accuses {peer}: {fault}"));
        let is_soft = matches!(fault, Fault::TimedOut(_) | Fault::EmptyPromise);
        if (peer.0 as usize) < self.nodes.len() && !is_soft {
            self.violate("A9", || format!("node {node} accuses the honest node {peer}: {fault}"));
        }
        if *fault == Fault::Flood {
            self.count("flood found out");
        }
        self.count(if is_soft { "peer slow" } else { "attacker accused" });
    }

    /// The node's clock as true time has it; used where clocks are drawn.
    pub(super) fn true_ms(&self) -> u64 {
        EPOCH_MS + self.scheduler.now().0 / 1000
    }
}
