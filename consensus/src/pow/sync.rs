//! Peers and headers-first sync (POW-5, P2P-9).
//!
//! A peer tells its tip when it is asked, and by passing blocks on. Whoever claims more work than we know is
//! asked for the headers that prove it, in a *session*: one question after the other until its tip is known.
//! Sessions run beside each other, a new one at most every tip interval while others run, so that one honest
//! peer among liars gets its turn whatever the liars send. A session that ends without its promise demotes
//! the peer for a while that doubles; what such a peer advertises is not believed meanwhile.

use synod_types::{BlockHash, Height, mutant};

use super::compact::Work;
use super::header::HashedHeader;
use super::headers::Verdict;
use super::messages::{Fault, HEADERS_LIMIT, Message};
use super::orphans::Newcomer;
use super::timers::Timer;
use super::{Cx, ProofOfWork};
use crate::protocol::Peer;
use crate::time::Time;

/// Hashes at a locator's dense end.
const LOCATOR_DENSE: u64 = 10;
/// Sessions that start without a pause between them.
const SESSIONS_AT_ONCE: usize = 2;
/// A demotion doubles this often at most.
const DEMOTION_DOUBLINGS: u32 = 3;
/// Peers asked for their tips at a time.
const TIPS_ASKED: usize = 8;

/// What a connected peer is and owes.
#[derive(Debug, Default)]
pub(super) struct PeerState {
    /// The heaviest tip that it claimed.
    pub(super) claim: Option<Claim>,
    pub(super) session: Option<Session>,
    /// Headers no heavier than the tip that it passed on since it last brought a heavier one.
    pub(super) side_headers: usize,
    /// How many of them were no heavier than what it had passed on before.
    pub(super) steps_back: usize,
    /// The most work of a header that it passed on.
    pub(super) passed_on: Work,
    /// Bodies asked of it and not answered.
    pub(super) requests: usize,
    /// Until then it is asked for nothing.
    pub(super) demoted_until: Time,
    failures: u32,
}

/// A tip that a peer says it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) hash: BlockHash,
    pub(super) height: u64,
    pub(super) work: Work,
}

/// A running conversation about headers.
#[derive(Debug)]
pub(super) struct Session {
    deadline: Time,
    /// The last header that it brought.
    pub(super) last: Option<BlockHash>,
    /// Headers that it may still bring without bringing more work than the tip's.
    pub(super) allowance: usize,
}

impl ProofOfWork {
    pub(super) fn connected(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        if self.peers.len() >= self.config.limits.peers {
            return;
        }
        self.disconnected(peer, cx);
        self.peers.insert(peer, PeerState::default());
        cx.send(peer, Message::AskTip);
        cx.send(peer, self.own_tip());
    }

    pub(super) fn disconnected(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        self.end_session(peer);
        self.orphans.forget(peer);
        self.peers.remove(&peer);
        self.requests_lost(peer, cx);
    }

    /// The heaviest tip that was executed and durable here. While a reorganisation is on its way the tip is
    /// lower for a moment; what is advertised never falls.
    pub(super) fn own_tip(&self) -> Message {
        let Claim { hash, height, work } = self.advertised;
        Message::Tip { block_hash: hash, height: Height(height), work }
    }

    pub(super) fn on_tip(&mut self, from: Peer, claim: Claim, cx: &mut Cx<'_>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        // What a peer advertises only rises (P2P-9); a message that was overtaken changes nothing (GEN-7).
        if peer.claim.is_some_and(|before| before.work > claim.work) {
            return;
        }
        peer.claim = Some(claim);
        if self.is_worth_asking(from, cx.now()) && self.sessions_running() < SESSIONS_AT_ONCE {
            self.begin_session(from, cx);
        }
    }

    /// A peer passed a block on: it has it, and all below it.
    fn claims_at_least(&mut self, from: Peer, header: &HashedHeader) {
        let Some(rank) = self.tree.rank_of(header.hash()) else { return };
        let height = self.tree.node(header.hash()).map_or(0, |node| node.height);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.claim.is_none_or(|before| before.work < rank.0) {
            peer.claim = Some(Claim { hash: header.hash(), height, work: rank.0 });
        }
    }

    /// A new block by gossip, whole or as a header.
    pub(super) fn introduce(&mut self, newcomer: Newcomer, cx: &mut Cx<'_>) {
        let (header, from) = (newcomer.header, newcomer.from);
        let orphan = newcomer.clone();
        match self.admit(newcomer, cx) {
            Verdict::Orphan => {
                // What a peer brings is forgotten with it; of one that is gone already it would stay.
                let Some(from) = from.filter(|from| self.peers.contains_key(from)) else { return };
                self.orphans.insert(orphan);
                self.begin_session(from, cx);
            }
            Verdict::Known => {
                if let Some(from) = from {
                    self.claims_at_least(from, &header);
                }
            }
            Verdict::Early | Verdict::Refused | Verdict::NoRoom => {}
        }
    }

    pub(super) fn on_ask_headers(&mut self, from: Peer, locator: &[BlockHash], cx: &mut Cx<'_>) {
        let fork = locator.iter().find_map(|hash| self.tree.chain_height(*hash)).unwrap_or(0);
        let limit = self.config.limits.headers_per_message.min(HEADERS_LIMIT) as u64;
        let headers =
            (fork + 1..=fork.saturating_add(limit)).map_while(|height| self.tree.chain_header(height));
        let headers = headers.collect();
        cx.send(from, Message::Headers { headers });
    }

    pub(super) fn on_headers(&mut self, from: Peer, headers: &[HashedHeader], cx: &mut Cx<'_>) {
        // An answer to an earlier question, perhaps of another life: the deadline of this one stands (GEN-7).
        if headers.first().is_some_and(|first| !self.tree.contains(first.parent())) {
            return;
        }
        // An answer that came too late counts for nothing: the peer is asked again when it claims more work.
        let Some(session) = self.end_session(from) else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.session = Some(session);
        for header in headers {
            let newcomer = Newcomer { header: *header, body: None, from: Some(from), asked: true };
            match self.admit(newcomer, cx) {
                Verdict::Known => {}
                // Nobody's fault: the rest is asked for once its time has come.
                Verdict::Early => {
                    self.end_session(from);
                    return;
                }
                Verdict::Orphan | Verdict::Refused => return self.fail_session(from, cx),
                // It may have been asked for the wrong reasons; others get their turn first.
                Verdict::NoRoom => {
                    self.end_session(from);
                    return self.demote(from, cx.now());
                }
            }
        }
        self.go_on_after(from, headers, cx);
    }

    /// Asks on while answers are full; an answer that is not full is the peer's last word.
    fn go_on_after(&mut self, from: Peer, headers: &[HashedHeader], cx: &mut Cx<'_>) {
        let last = headers.last().map(|header| header.hash());
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let (claim, session) = (peer.claim, peer.session.take());
        if let (Some(last), Some(session)) = (last, session)
            && headers.len() >= self.config.limits.headers_per_message.min(HEADERS_LIMIT)
        {
            return self.ask_headers(from, Some(last), session.allowance, cx);
        }
        let is_kept = claim.is_none_or(|claim| self.tree.contains(claim.hash) || !self.is_news(&claim));
        if is_kept {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.failures = 0;
            }
            return;
        }
        if last.is_some_and(|last| self.tree.rank_of(last).is_some_and(|rank| rank.0 >= self.tree.tip().work))
        {
            // Its chain moved on while it answered; its next word counts.
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.claim = None;
            }
            return;
        }
        self.fail_session(from, cx);
    }

    /// Asks `peer` for the headers above ours, unless it is being asked.
    pub(super) fn begin_session(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        let Some(state) = self.peers.get(&peer) else { return };
        if state.session.is_some() || state.demoted_until > cx.now() {
            return;
        }
        // The claimed height bounds nothing: the peer's chain grows while the claim ages.
        let allowance = match &state.claim {
            Some(claim) if self.is_news(claim) => self.headers_by_schedule(cx),
            _ => self.config.limits.side_headers_per_peer,
        };
        self.ask_headers(peer, None, allowance, cx);
    }

    fn ask_headers(&mut self, to: Peer, after: Option<BlockHash>, allowance: usize, cx: &mut Cx<'_>) {
        let deadline = cx.now().plus_ms(self.config.limits.request_timeout_ms);
        let locator = self.locator(after);
        let Some(peer) = self.peers.get_mut(&to) else { return };
        peer.session = Some(Session { deadline, last: after, allowance });
        self.timers.set(deadline, Timer::Headers(to));
        cx.send(to, Message::AskHeaders { locator });
    }

    /// Takes the session, if there is one; its deadline no longer counts.
    fn end_session(&mut self, peer: Peer) -> Option<Session> {
        let session = self.peers.get_mut(&peer)?.session.take()?;
        self.timers.clear(session.deadline, Timer::Headers(peer));
        Some(session)
    }

    pub(super) fn headers_timed_out(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        if self.end_session(peer).is_some() {
            self.accuse(peer, Fault::TimedOut(self.config.limits.request_timeout_ms), cx);
            self.demote(peer, cx.now());
        }
    }

    fn fail_session(&mut self, peer: Peer, cx: &mut Cx<'_>) {
        self.end_session(peer);
        self.accuse(peer, Fault::EmptyPromise, cx);
        self.demote(peer, cx.now());
    }

    /// Asks nothing of the peer for a while, and believes none of its claims.
    pub(super) fn demote(&mut self, peer: Peer, now: Time) {
        let pause = self.config.limits.request_timeout_ms;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.failures += 1;
            state.demoted_until = now.plus_ms(pause << state.failures.min(DEMOTION_DOUBLINGS));
            state.claim = None;
        }
    }

    /// Now and then: ask some peers for their tips, and begin one more session (GEN-8: what announces a
    /// block may get lost).
    pub(super) fn ask_tips(&mut self, cx: &mut Cx<'_>) {
        let pause = self.config.limits.tip_interval_ms;
        let jitter = cx.random().below(pause / 4 + 1);
        self.timers.set(cx.now().plus_ms(pause + jitter), Timer::Tips);
        if mutant!("gen-8-no-retransmit") {
            return;
        }
        let mut peers: Vec<Peer> = self.peers.keys().copied().collect();
        for _ in 0..TIPS_ASKED.min(peers.len()) {
            let chosen = cx.random().below(peers.len() as u64) as usize;
            cx.send(peers.swap_remove(chosen), Message::AskTip);
        }
        let worthy: Vec<Peer> =
            self.peers.keys().copied().filter(|peer| self.is_worth_asking(*peer, cx.now())).collect();
        if let Some(peer) = cx.random().pick(&worthy) {
            self.begin_session(*peer, cx);
        }
    }

    fn is_worth_asking(&self, peer: Peer, now: Time) -> bool {
        let Some(state) = self.peers.get(&peer) else { return false };
        state.session.is_none()
            && state.demoted_until <= now
            && state.claim.is_some_and(|claim| self.is_news(&claim))
    }

    /// Whether the claim is of more work than we know of.
    fn is_news(&self, claim: &Claim) -> bool {
        let known = self.tree.heaviest_wanted().map_or(Work::default(), |rank| rank.0);
        claim.work > known.max(self.tree.heaviest_ready().0) && !self.tree.contains(claim.hash)
    }

    fn sessions_running(&self) -> usize {
        self.peers.values().filter(|peer| peer.session.is_some()).count()
    }

    /// Whether a peer is showing us a chain that is well ahead, or its bodies are on their way.
    pub(super) fn is_syncing(&self) -> bool {
        let tip = self.tree.tip().height;
        let is_ahead = |height: u64| height > tip + 2;
        let wanted = self.tree.heaviest_wanted().filter(|rank| rank.0 > self.tree.tip().work);
        let wanted = wanted.and_then(|rank| self.tree.node(rank.2)).is_some_and(|node| is_ahead(node.height));
        wanted
            || self
                .peers
                .values()
                .any(|peer| peer.session.is_some() && peer.claim.is_some_and(|claim| is_ahead(claim.height)))
    }

    /// How many headers one branch can have at this time: the difficulty rule lets no branch run ahead of
    /// its schedule but by work, of which half the range of 256 bits is beyond anyone.
    fn headers_by_schedule(&self, cx: &Cx<'_>) -> usize {
        let rule = &self.config.rules.asert;
        let age = cx.wall().seconds().saturating_sub(u64::from(self.config.rules.genesis.header().time));
        let ahead = 128 * u64::from(rule.half_life).div_ceil(u64::from(rule.spacing));
        usize::try_from(age / u64::from(rule.spacing) + ahead).unwrap_or(usize::MAX)
    }

    /// Blocks of our chain from `after` (else the heaviest header that we know) down, ever sparser.
    fn locator(&self, after: Option<BlockHash>) -> Vec<BlockHash> {
        let heaviest = self.tree.heaviest_wanted().into_iter().chain([self.tree.heaviest_ready()]).max();
        let mut at = after.or(heaviest.map(|rank| rank.2)).unwrap_or(self.config.rules.genesis.hash());
        let mut locator = Vec::new();
        while (locator.len() as u64) < LOCATOR_DENSE && !self.tree.is_on_chain(at) {
            locator.push(at);
            let Some(node) = self.tree.node(at) else { break };
            at = node.header.parent();
        }
        let mut height = self.tree.chain_height(at).unwrap_or(self.tree.tip().height);
        let mut step = 1;
        while height > 0 {
            locator.extend(self.tree.chain_hash(height));
            if locator.len() as u64 >= LOCATOR_DENSE {
                step *= 2;
            }
            height = height.saturating_sub(step);
        }
        locator.push(self.config.rules.genesis.hash());
        locator
    }
}
