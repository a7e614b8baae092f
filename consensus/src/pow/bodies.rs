//! Bodies: which are fetched, from whom, how many are held, and who is answered (POW-5, POW-6).
//!
//! Only the branch of most work is fetched, in order from its fork. A body that no peer gives (a header may
//! be published without one) makes its branch unwanted for a while, so that the next heaviest gets its turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::Bytes;
use synod_types::{BlockHash, mutant};

use super::body::Body;
use super::messages::{Fault, Message};
use super::orphans::Newcomer;
use super::timers::Timer;
use super::{Cx, ProofOfWork};
use crate::effects::Effect;
use crate::protocol::Peer;
use crate::time::Time;

/// A body that nobody gave is asked for again after so many request time-outs.
const RETRY_TIMEOUTS: u64 = 5;
/// Bodies being read from the log for peers, at most.
const LOADS: usize = 64;

/// Bodies in memory, and questions about others.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    held: BTreeMap<BlockHash, Body>,
    /// In the order in which they came.
    order: VecDeque<BlockHash>,
    bytes: usize,
    requests: BTreeMap<BlockHash, Request>,
    /// Who did not give a body that is still missing; forgotten when it comes, or is given up for a while.
    tried: BTreeMap<BlockHash, BTreeSet<Peer>>,
    /// The heaviest branch's blocks whose bodies are missing, lowest first, and its tip.
    plan: Plan,
    /// Who waits for a body that is being read from the log.
    loads: BTreeMap<BlockHash, BTreeSet<Peer>>,
}

#[derive(Debug)]
struct Request {
    peer: Peer,
    deadline: Time,
}

#[derive(Debug, Default)]
struct Plan {
    tip: BlockHash,
    path: VecDeque<BlockHash>,
}

impl Bodies {
    pub(super) fn body(&self, hash: BlockHash) -> Option<&Body> {
        self.held.get(&hash)
    }

    /// Whether more is held than should be.
    pub(super) fn is_over(&self, budget: usize) -> bool {
        self.bytes > budget
    }

    /// How many bodies are asked for.
    pub(super) fn requested(&self) -> usize {
        self.requests.len()
    }

    /// The branch being fetched: its tip, and its lowest block whose body is missing.
    pub(super) fn planned(&self) -> Option<(BlockHash, BlockHash)> {
        Some((self.plan.tip, *self.plan.path.front()?))
    }

    fn insert(&mut self, body: Body) {
        let hash = body.hash();
        self.bytes += body.bytes().len();
        if self.held.insert(hash, body).is_none() {
            self.order.push_back(hash);
        }
    }

    fn remove(&mut self, hash: BlockHash) -> bool {
        let Some(body) = self.held.remove(&hash) else { return false };
        self.bytes -= body.bytes().len();
        true
    }
}

impl ProofOfWork {
    /// Takes a newcomer's body, if it has one that is right and new.
    pub(super) fn take_body(&mut self, newcomer: Newcomer, cx: &mut Cx<'_>) {
        let Some(body) = newcomer.body else { return };
        let hash = body.hash();
        let is_new = self.tree.node(hash).is_some_and(|node| !node.held && !node.logged);
        if !is_new {
            return;
        }
        if body.mismatch().is_some() && !mutant!("pow-6-mismatch-condemns") {
            if let Some(peer) = newcomer.from {
                self.accuse(peer, Fault::WrongBody, cx);
            }
            return;
        }
        self.end_request(hash);
        self.bodies.tried.remove(&hash);
        self.bodies.insert(body);
        self.tree.hold_body(hash);
        self.evict_bodies();
    }

    pub(super) fn on_body(&mut self, from: Peer, body: Body, cx: &mut Cx<'_>) {
        let hash = body.hash();
        let is_wrong = body.mismatch().is_some();
        let header = *body.header();
        if self.tree.contains(hash) {
            self.take_body(Newcomer { header, body: Some(body), from: Some(from), asked: true }, cx);
        }
        if is_wrong {
            self.ask_another(hash, from, cx);
        }
    }

    pub(super) fn on_no_body(&mut self, from: Peer, hash: BlockHash, cx: &mut Cx<'_>) {
        self.ask_another(hash, from, cx);
    }

    /// Only what is executed and durable here is served.
    pub(super) fn on_ask_body(&mut self, from: Peer, hash: BlockHash, cx: &mut Cx<'_>) {
        let is_served = match self.tree.node(hash) {
            Some(node) => node.logged,
            None => self.tree.contains(hash),
        };
        if let Some(body) = self.bodies.body(hash).filter(|_| is_served) {
            return cx.send(from, Message::Body(body.clone()));
        }
        if !is_served || (self.bodies.loads.len() >= LOADS && !self.bodies.loads.contains_key(&hash)) {
            return cx.send(from, Message::NoBody { block_hash: hash });
        }
        self.load(hash, Some(from), cx);
    }

    /// Reads a body from the log, for a peer or for ourselves.
    pub(super) fn load(&mut self, hash: BlockHash, reader: Option<Peer>, cx: &mut Cx<'_>) {
        if !self.bodies.loads.contains_key(&hash) {
            cx.effect(Effect::Load { block_hash: hash });
        }
        self.bodies.loads.entry(hash).or_default().extend(reader);
    }

    pub(super) fn on_loaded(&mut self, hash: BlockHash, bytes: Option<Bytes>, cx: &mut Cx<'_>) {
        let Some(readers) = self.bodies.loads.remove(&hash) else { return };
        let body = bytes.and_then(|bytes| Body::from_bytes(bytes).ok()).filter(|body| body.hash() == hash);
        for reader in readers {
            let answer = match &body {
                Some(body) => Message::Body(body.clone()),
                None => Message::NoBody { block_hash: hash },
            };
            cx.send(reader, answer);
        }
        match body {
            Some(body) if !self.tree.is_on_chain(hash) && self.bodies.body(hash).is_none() => {
                self.bodies.insert(body);
                self.tree.hold_body(hash);
            }
            None if !self.tree.is_on_chain(hash) => self.tree.lose_body(hash),
            _ => {}
        }
    }

    /// Keeps as many requests for the heaviest branch going as the limits allow.
    pub(super) fn request_bodies(&mut self, cx: &mut Cx<'_>) {
        let Some(rank) = self.tree.heaviest_wanted() else { return };
        if rank.0 <= self.tree.tip().work {
            return;
        }
        self.plan_branch(rank.2);
        let limits = &self.config.limits;
        let room = limits.requests.saturating_sub(self.bodies.requests.len());
        if room == 0 || self.bodies.is_over(limits.body_bytes) {
            return;
        }
        let window = limits.requests * 2;
        let missing: Vec<BlockHash> = self
            .bodies
            .plan
            .path
            .iter()
            .take(window)
            .copied()
            .filter(|hash| !self.bodies.held.contains_key(hash) && !self.bodies.requests.contains_key(hash))
            .take(room)
            .collect();
        for hash in missing {
            if !self.request(hash, cx) {
                break;
            }
        }
    }

    /// Brings the plan to the branch of `tip`: extends it, or makes it anew.
    fn plan_branch(&mut self, tip: BlockHash) {
        if self.bodies.plan.tip != tip {
            let (below, path) = self.tree.branch(tip, Some(self.bodies.plan.tip));
            if below != self.bodies.plan.tip || self.bodies.plan.path.is_empty() {
                self.bodies.plan.path = self.tree.branch(tip, None).1.into();
            } else {
                self.bodies.plan.path.extend(path);
            }
            self.bodies.plan.tip = tip;
        }
        let tree = &self.tree;
        let is_here =
            |hash: &BlockHash| tree.node(*hash).map_or(tree.contains(*hash), |node| node.held || node.logged);
        while self.bodies.plan.path.front().is_some_and(is_here) {
            self.bodies.plan.path.pop_front();
        }
    }

    /// Asks a peer that should have the body and was not tried yet; `false` when all are busy.
    fn request(&mut self, hash: BlockHash, cx: &mut Cx<'_>) -> bool {
        let Some(node) = self.tree.node(hash) else { return true };
        let tried = self.bodies.tried.get(&hash);
        let able: Vec<(&Peer, usize)> = self
            .peers
            .iter()
            .filter(|(peer, state)| {
                state.demoted_until <= cx.now()
                    && !tried.is_some_and(|tried| tried.contains(peer))
                    && (node.from == Some(**peer) || state.claim.is_some_and(|claim| claim.work >= node.work))
            })
            .map(|(peer, state)| (peer, state.requests))
            .collect();
        if able.is_empty() {
            self.give_up(hash, cx);
            return true;
        }
        let limit = self.config.limits.requests_per_peer;
        let least = able.iter().map(|(_, requests)| *requests).min().unwrap_or(0);
        if least >= limit {
            return false;
        }
        let mut free: Vec<Peer> =
            able.iter().filter(|(_, busy)| *busy == least).map(|(peer, _)| **peer).collect();
        if mutant!("gen-11-hash-order") {
            let turn = synod_types::mutant::disorder() as usize % free.len();
            free.rotate_left(turn);
        }
        let peer = *cx.random().pick(&free).expect("the least busy peers are some");
        let deadline = cx.now().plus_ms(self.config.limits.request_timeout_ms);
        self.bodies.requests.insert(hash, Request { peer, deadline });
        self.timers.set(deadline, Timer::Body(hash));
        if let Some(state) = self.peers.get_mut(&peer) {
            state.requests += 1;
        }
        cx.send(peer, Message::AskBody { block_hash: hash });
        true
    }

    fn end_request(&mut self, hash: BlockHash) -> Option<Request> {
        let request = self.bodies.requests.remove(&hash)?;
        self.timers.clear(request.deadline, Timer::Body(hash));
        if let Some(state) = self.peers.get_mut(&request.peer) {
            state.requests -= 1;
        }
        Some(request)
    }

    pub(super) fn body_timed_out(&mut self, hash: BlockHash, cx: &mut Cx<'_>) {
        let Some(peer) = self.bodies.requests.get(&hash).map(|request| request.peer) else { return };
        self.accuse(peer, Fault::TimedOut(self.config.limits.request_timeout_ms), cx);
        self.ask_another(hash, peer, cx);
    }

    /// The peer did not give the body: the next one is asked.
    fn ask_another(&mut self, hash: BlockHash, failed: Peer, cx: &mut Cx<'_>) {
        if self.bodies.requests.get(&hash).is_none_or(|request| request.peer != failed) {
            return;
        }
        self.end_request(hash);
        self.bodies.tried.entry(hash).or_default().insert(failed);
        // When everybody else is busy, the plan asks for it again in its turn.
        self.request(hash, cx);
    }

    /// A peer is gone: what it was asked for is asked of others.
    pub(super) fn requests_lost(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        let lost: Vec<BlockHash> = self
            .bodies
            .requests
            .iter()
            .filter(|(_, request)| request.peer == peer)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in lost {
            self.ask_another(hash, peer, cx);
        }
    }

    fn give_up(&mut self, hash: BlockHash, cx: &mut Cx<'_>) {
        let pause = self.config.limits.request_timeout_ms * RETRY_TIMEOUTS;
        self.bodies.tried.remove(&hash);
        self.tree.stall(hash);
        self.timers.set(cx.now().plus_ms(pause), Timer::Retry(hash));
    }

    /// Holds the budget: executed bodies go first (the log has them), then those of branches that are not
    /// being fetched.
    fn evict_bodies(&mut self) {
        let budget = self.config.limits.body_bytes;
        if !self.bodies.is_over(budget) {
            return;
        }
        // A little more than needed, so that not every further body searches again.
        let budget = budget / 8 * 7;
        let plan: BTreeSet<BlockHash> = self.tree.branch(self.bodies.plan.tip, None).1.into_iter().collect();
        for executed_only in [true, false] {
            let candidates: Vec<BlockHash> = self.bodies.order.iter().copied().collect();
            for hash in candidates {
                if !self.bodies.is_over(budget) {
                    break;
                }
                let is_logged = self.tree.node(hash).is_none_or(|node| node.logged);
                if is_logged || !(executed_only || plan.contains(&hash) || self.is_scheduled(hash)) {
                    self.bodies.remove(hash);
                    self.tree.drop_body(hash);
                }
            }
        }
        let held = &self.bodies.held;
        self.bodies.order.retain(|hash| held.contains_key(hash));
    }

    /// The block left the tree: so does what belongs to it.
    pub(super) fn forget_block(&mut self, hash: BlockHash) {
        self.end_request(hash);
        self.bodies.tried.remove(&hash);
        self.bodies.remove(hash);
        if self.bodies.plan.tip == hash || self.bodies.plan.path.contains(&hash) {
            self.bodies.plan = Plan::default();
        }
    }
}
