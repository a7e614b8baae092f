//! One attacker: a peer of every node, with a share of the hash power and with knowledge of all blocks.
//!
//! It mines a branch of its own and keeps it back (selfish, private release), bends block times, publishes
//! blocks that execution refuses, bodies that are not their header's, headers without bodies; it floods
//! orphans and light headers, and claims chains that it does not have. It cannot break the hash.

use std::rc::Rc;

use alloy_primitives::{B256, U256};
use synod_types::{Block, BlockHash, Header, Height, UnixMillis};

use super::{Event, World, grind, recipient};
use crate::pow::{Body, HashedHeader, Message, Work};
use crate::protocol::Peer;
use crate::random::Random;
use crate::sim::ledger::{Ledger, Template};
use crate::sim::swarm::{Fault, Swarm};

/// Hashes in one mining event of the attacker.
const HASHES: u32 = 1;
/// Milliseconds between two floods.
const ATTACK_MS: (u64, u64) = (200, 2_000);
/// Headers in one flood.
const FLOOD: usize = 12;

/// The attacker.
pub(super) struct Attacker<L> {
    ledger: L,
    /// Hashes in a thousand seconds.
    power: u64,
    /// The branch that it shows to whoever asks.
    shown: Option<BlockHash>,
    /// Blocks kept back, lowest first.
    private: Vec<Body>,
    /// It releases them when there are so many.
    patience: u64,
    /// The block that it searches, and whether execution will accept it.
    search: Option<(Block, u32, bool)>,
}

/// Whether any fault of this run needs an attacker.
pub(super) fn is_wanted(swarm: &Swarm) -> bool {
    use Fault::{Eclipse, Flood, Garble, InvalidBlock, Liar, Selfish, Timewarp, Withhold, WrongBody};
    [Garble, Selfish, Timewarp, Flood, InvalidBlock, WrongBody, Withhold, Liar, Eclipse]
        .iter()
        .any(|fault| swarm.has(*fault))
}

impl<L: Ledger> Attacker<L> {
    /// An attacker with 10 to 45 % of all power.
    pub(super) fn new(ledger: L, random: &mut Random) -> Self {
        let percent = random.between(10, 45);
        let power = super::POWER * percent / (100 - percent);
        let patience = random.between(1, 12);
        Self { ledger, power, shown: None, private: Vec::new(), patience, search: None }
    }
}

impl<L: Ledger> World<'_, L> {
    fn attacker_peer(&self) -> usize {
        self.nodes.len()
    }

    fn tell_all(&mut self, message: Message) {
        let (from, message) = (self.attacker_peer(), Rc::new(message));
        for node in 0..self.nodes.len() {
            self.transmit(from, Peer(node as u64), &message);
        }
    }

    fn tell_one(&mut self, message: Message) {
        let node = self.random.below(self.nodes.len() as u64);
        self.transmit(self.attacker_peer(), Peer(node), &Rc::new(message));
    }

    /// A few hashes of the attacker's miner.
    pub(super) fn attacker_mines(&mut self) {
        let Some(attacker) = &self.attacker else { return };
        if !self.has_faults() {
            return;
        }
        let now = self.scheduler.now();
        let at = now.plus_us(u64::from(HASHES) * 1_000_000_000 / attacker.power);
        self.trace.event(now, 12, self.nodes.len(), 0);
        self.scheduler.schedule(at, Event::AttackerMines);
        if self.attacker.as_ref().is_some_and(|attacker| attacker.search.is_none()) {
            self.attacker_prepares();
        }
        let Some(attacker) = &mut self.attacker else { return };
        let Some((mut block, nonce, valid)) = attacker.search.take() else { return };
        match grind(&mut block, nonce, HASHES) {
            Some(body) => self.attacker_solved(body, valid),
            None => attacker.search = Some((block, nonce.wrapping_add(HASHES), valid)),
        }
        self.attacker_decides();
    }

    /// A template on the private tip, or on the public one when that is too far ahead.
    fn attacker_prepares(&mut self) {
        let public = self.public_tip();
        let Some(attacker) = &self.attacker else { return };
        let own = attacker.ledger.tip();
        let is_behind = self.facts.height(public) > self.facts.height(own) + 2
            || (attacker.private.is_empty() && self.facts.work(public) > self.facts.work(own));
        if is_behind {
            self.attacker_follows(public);
        }
        let Some(attacker) = &self.attacker else { return };
        let parent = attacker.ledger.tip();
        let (height, time) =
            (self.facts.height(parent), self.facts.get(parent).map_or(0, |fact| fact.header.time));
        let bits = self.config.rules.asert.next_target(height, time).to_compact();
        let time = self.attacker_time(parent);
        let template = Template {
            parent,
            height: Height(height + 1),
            bits,
            time,
            recipient: recipient(self.nodes.len()),
        };
        let spoils = self.swarm.has(Fault::InvalidBlock) && self.random.chance(300_000);
        let nonce = self.random.next_u64() as u32 >> 1;
        let Some(attacker) = &mut self.attacker else { return };
        let Some(mut block) = attacker.ledger.assemble(&template) else { return };
        if spoils {
            block.commitment.state_root = B256::repeat_byte(0xbd);
            block.header.commitment = block.commitment.digest();
        }
        attacker.search = Some((block, nonce, !spoils));
    }

    /// The lowest time that the rules allow, the highest, or the true one.
    fn attacker_time(&mut self, parent: BlockHash) -> UnixMillis {
        let true_ms = self.true_ms();
        let lowest = self.lowest_time(parent);
        let highest = true_ms / 1000 + u64::from(self.config.rules.future_limit_seconds);
        let seconds = match self.swarm.has(Fault::Timewarp).then(|| self.random.below(4)) {
            Some(0) => lowest,
            // At the edge of the rule: what a wrong median accepts, and a right one refuses.
            Some(1) => lowest - 1,
            Some(2) => highest,
            _ => true_ms / 1000,
        };
        UnixMillis(seconds.max(lowest - 1) * 1000)
    }

    fn lowest_time(&self, parent: BlockHash) -> u64 {
        let (mut times, mut at) = (Vec::new(), parent);
        while let Some(fact) = self.facts.get(at).filter(|_| times.len() < 11) {
            times.push(fact.header.time);
            if fact.height == 0 {
                break;
            }
            at = fact.header.parent;
        }
        times.sort_unstable();
        u64::from(times[times.len() / 2]) + 1
    }

    /// Moves the attacker's own ledger to a block that honest nodes have executed.
    fn attacker_follows(&mut self, to: BlockHash) {
        let Some(attacker) = &mut self.attacker else { return };
        attacker.private.clear();
        let common = self.facts.common(attacker.ledger.tip(), to);
        if attacker.ledger.tip() != common {
            attacker.ledger.rewind(common).expect("the attacker's ledger is below its own tip");
        }
        let (mut path, mut at) = (Vec::new(), to);
        while at != common {
            path.push(at);
            at = self.facts.parent(at);
        }
        for hash in path.into_iter().rev() {
            let body =
                self.facts.get(hash).and_then(|fact| fact.body.clone()).expect("honest blocks have bodies");
            attacker.ledger.execute(hash, body.bytes()).expect("honest nodes execute valid blocks");
        }
    }

    fn attacker_solved(&mut self, body: Body, valid: bool) {
        let is_too_old = u64::from(body.header().header().time) < self.lowest_time(body.header().parent());
        self.facts.add(&body, valid && !is_too_old);
        if !valid || is_too_old {
            return self.tell_all(Message::NewBlock(body));
        }
        let Some(attacker) = &mut self.attacker else { return };
        attacker.ledger.execute(body.hash(), body.bytes()).expect("the attacker mines on its own tip");
        attacker.private.push(body);
    }

    /// Keeps its branch back, or shows it.
    fn attacker_decides(&mut self) {
        let (public, selfish) = (self.public_tip(), self.swarm.has(Fault::Selfish));
        let Some(attacker) = &mut self.attacker else { return };
        let Some(tip) = attacker.private.last().cloned() else { return };
        let is_heavier = self.facts.work(tip.hash()) > self.facts.work(public);
        let is_caught_up = self.facts.height(public) + 1 >= self.facts.height(tip.hash());
        let is_enough = attacker.private.len() as u64 >= attacker.patience
            || (is_caught_up && attacker.private.len() > 1);
        if selfish && !(is_heavier && is_enough) {
            return;
        }
        attacker.shown = Some(tip.hash());
        attacker.patience = self.random.between(1, 12);
        if attacker.private.len() > 1 {
            self.coverage.entry("private chain released").and_modify(|count| *count += 1).or_insert(1);
        }
        attacker.private.clear();
        if self.swarm.has(Fault::Withhold) && self.random.chance(500_000) {
            self.tell_all(Message::NewHeader(*tip.header()));
        } else {
            self.tell_all(Message::NewBlock(tip));
        }
    }

    /// An honest miner found a block: a false body for its header travels at once.
    pub(super) fn attacker_sees(&mut self, body: &Body) {
        if self.attacker.is_none() || !self.swarm.has(Fault::WrongBody) || !self.random.chance(300_000) {
            return;
        }
        let Ok(mut block) = Block::from_bytes(body.bytes()) else { return };
        block.commitment.extra_nonce ^= 1;
        self.count("wrong body sent");
        self.tell_all(Message::NewBlock(Body::from_block(&block)));
    }

    /// Floods and lies, now and then.
    pub(super) fn attack(&mut self) {
        let now = self.scheduler.now();
        let wait = self.random.between(ATTACK_MS.0, ATTACK_MS.1);
        self.scheduler.schedule(now.plus_ms(wait), Event::Attack);
        self.trace.event(now, 13, self.nodes.len(), 0);
        if self.swarm.has(Fault::Flood) && self.has_faults() {
            self.flood_orphans();
            self.flood_light_headers();
        }
        if self.swarm.has(Fault::Liar) {
            let work = Work(U256::from(1) << self.random.between(20, 200));
            let block_hash = BlockHash(B256::from(U256::from(self.random.next_u64())));
            self.tell_one(Message::Tip { block_hash, height: Height(1 << 40), work });
        }
    }

    fn flood_orphans(&mut self) {
        let bits = self.config.rules.limit().to_compact();
        for _ in 0..FLOOD {
            let parent = BlockHash(B256::from(U256::from(self.random.next_u64())));
            if let Some(header) = self.cheap_header(parent, (self.true_ms() / 1000) as u32, bits) {
                self.tell_one(Message::NewHeader(header));
            }
        }
        self.count("orphan flood");
    }

    /// A branch from the genesis block with late times is easy to mine.
    fn flood_light_headers(&mut self) {
        let node = self.random.below(self.nodes.len() as u64);
        let mut parent = self.facts.genesis();
        let mut time = self.facts.get(parent).map_or(0, |fact| fact.header.time);
        for height in 0..FLOOD as u64 {
            let bits = self.config.rules.asert.next_target(height, time).to_compact();
            time = time.max((self.true_ms() / 1000) as u32) + 1;
            let Some(header) = self.cheap_header(parent, time, bits) else { return };
            parent = header.hash();
            self.transmit(self.attacker_peer(), Peer(node), &Rc::new(Message::NewHeader(header)));
        }
        self.count("light header flood");
    }

    fn cheap_header(&mut self, parent: BlockHash, time: u32, bits: u32) -> Option<HashedHeader> {
        let target = crate::pow::Target::from_compact(bits).ok()?;
        let commitment = B256::from(U256::from(self.random.next_u64()));
        (0..64)
            .map(|nonce| HashedHeader::new(Header { version: 1, parent, commitment, time, bits, nonce }))
            .find(|header| target.is_met_by(header.hash()))
    }

    /// Answers as far as that helps it: it serves the branch that it has shown.
    pub(super) fn attacker_hears(&mut self, from: u8, message: &Message) {
        let Some(shown) = self.attacker.as_ref().and_then(|attacker| attacker.shown) else { return };
        let answer = match message {
            Message::AskTip => {
                let fact = self.facts.get(shown);
                fact.and_then(|fact| fact.body.as_ref()).map(|body| Message::NewHeader(*body.header()))
            }
            Message::AskHeaders { locator } => Some(self.headers_after(locator, shown)),
            Message::AskBody { block_hash } => {
                let body = self.facts.get(*block_hash).and_then(|fact| fact.body.clone());
                let gives = !(self.swarm.has(Fault::Withhold) && self.random.chance(500_000));
                let answer = body.filter(|_| gives).map(Message::Body);
                Some(answer.unwrap_or(Message::NoBody { block_hash: *block_hash }))
            }
            _ => None,
        };
        if let Some(answer) = answer {
            self.transmit(self.attacker_peer(), Peer(from.into()), &Rc::new(answer));
        }
    }

    fn headers_after(&self, locator: &[BlockHash], tip: BlockHash) -> Message {
        let mut path = Vec::new();
        let mut at = tip;
        while at != self.facts.genesis() && !locator.contains(&at) {
            path.extend(self.facts.get(at).and_then(|fact| fact.body.as_ref()).map(|body| *body.header()));
            at = self.facts.parent(at);
        }
        path.reverse();
        path.truncate(self.config.limits.headers_per_message);
        Message::Headers { headers: path }
    }
}
