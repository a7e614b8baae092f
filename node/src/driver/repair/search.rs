//! Which lost blocks are known, who is asked for them, and what came: without a socket, a clock or a disk.
//!
//! The frontier is the lowest lost block whose parent nobody has told yet. Its own hash is known from a good
//! frame or from the block above it, so that a body is believed because of its hash, whoever sends it. Headers
//! above the last block before the damage are asked for as well: they tell hundreds of hashes at once, and are
//! believed only where they lead up to the frontier.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use synod_consensus::pow::messages::HEADERS_LIMIT;
use synod_consensus::pow::{Body, HashedHeader, Message};
use synod_ledger::log::blocks::{Fetched, FetchedBlocks, Tip};
use synod_types::{BlockHash, Height};

use crate::network::PeerName;

/// Bodies asked for at a time, of all peers and of one.
const REQUESTS: usize = 16;
const REQUESTS_OF_ONE: usize = 4;
/// How long a peer has to answer, and how long a block that nobody has rests before all are asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);
/// Parents remembered from headers.
const LINKS: usize = 100_000;
/// Bytes of fetched blocks: beyond this much, syncing the chain anew costs less than repairing it.
pub(super) const FETCH_LIMIT: usize = 512 << 20;

/// What the damaged log knows.
pub(super) trait Held {
    /// The first block from `from` downwards that no good frame holds; `None` when all are held.
    fn first_lost(&self, from: Tip) -> Option<Tip>;
    /// The highest block before a damaged run that is below this height.
    fn kept_below(&self, height: Height) -> Option<Tip>;
}

/// The search for lost blocks.
#[derive(Debug, Default)]
pub(super) struct Search {
    wanted: BTreeMap<BlockHash, Wanted>,
    fetched: FetchedBlocks,
    fetched_bytes: usize,
    frontier: Option<Tip>,
    /// Parents by hash, from headers.
    links: BTreeMap<BlockHash, BlockHash>,
    peers: BTreeMap<PeerName, Asked>,
    outgoing: Vec<(PeerName, Message)>,
}

/// A lost block that did not come yet.
#[derive(Debug)]
struct Wanted {
    height: Height,
    request: Option<(PeerName, Instant)>,
    tried: BTreeSet<PeerName>,
    /// When everybody was asked in vain.
    rested: Option<Instant>,
}

#[derive(Debug, Default)]
struct Asked {
    bodies: usize,
    /// The block before the damage whose headers above it was asked for.
    headers_above: Option<BlockHash>,
}

impl Search {
    /// Begins below the log's last good tip.
    pub(super) fn new(tip: Option<Tip>, log: &impl Held) -> Self {
        let mut search = Self::default();
        search.want(tip.and_then(|tip| log.first_lost(tip)));
        search
    }

    /// Whether nothing is wanted any more.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted.is_empty() && self.frontier.is_none()
    }

    /// What came.
    pub(super) fn fetched(&self) -> &FetchedBlocks {
        &self.fetched
    }

    /// Whether more was lost than memory should hold.
    pub(super) fn is_too_much(&self) -> bool {
        self.fetched_bytes > FETCH_LIMIT
    }

    /// The messages that are to be sent now.
    pub(super) fn take_outgoing(&mut self) -> Vec<(PeerName, Message)> {
        std::mem::take(&mut self.outgoing)
    }

    pub(super) fn connected(&mut self, peer: PeerName, log: &impl Held, now: Instant) {
        self.forget(peer);
        self.peers.insert(peer, Asked::default());
        self.ask(log, now);
    }

    pub(super) fn disconnected(&mut self, peer: PeerName, log: &impl Held, now: Instant) {
        self.forget(peer);
        self.ask(log, now);
    }

    fn forget(&mut self, peer: PeerName) {
        self.peers.remove(&peer);
        for wanted in self.wanted.values_mut() {
            wanted.tried.remove(&peer);
            wanted.request.take_if(|(asked, _)| *asked == peer);
        }
    }

    /// A peer's message; false when it is a lie.
    pub(super) fn message(
        &mut self,
        from: PeerName,
        message: Message,
        log: &impl Held,
        now: Instant,
    ) -> bool {
        let honest = match message {
            Message::Body(body) => self.body(from, &body, log),
            Message::NoBody { block_hash } => {
                self.in_vain(block_hash, from);
                true
            }
            Message::Headers { headers } => self.headers(from, &headers, log),
            // Nothing is served before the log is whole.
            Message::AskBody { block_hash } => {
                self.outgoing.push((from, Message::NoBody { block_hash }));
                true
            }
            Message::AskHeaders { .. } => {
                self.outgoing.push((from, Message::Headers { headers: Vec::new() }));
                true
            }
            _ => true,
        };
        self.ask(log, now);
        honest
    }

    /// Time passed.
    pub(super) fn tick(&mut self, log: &impl Held, now: Instant) {
        let late = |wanted: &Wanted| {
            wanted.request.filter(|(_, since)| now.duration_since(*since) >= ANSWER_TIMEOUT)
        };
        let late: Vec<_> =
            self.wanted.iter().filter_map(|(hash, wanted)| Some((*hash, late(wanted)?.0))).collect();
        for (hash, peer) in late {
            self.in_vain(hash, peer);
        }
        for wanted in self.wanted.values_mut() {
            if wanted.rested.is_some_and(|since| now.duration_since(since) >= RETRY) {
                (wanted.rested, wanted.tried) = (None, BTreeSet::new());
            }
        }
        self.ask(log, now);
    }

    /// One sentence: how far it is, and what it waits for.
    pub(super) fn sentence(&self) -> String {
        let (got, lost) = (self.fetched.len(), self.fetched.len() + self.wanted.len());
        let waits = match self.wanted.iter().find(|(_, wanted)| wanted.rested.is_some()) {
            _ if self.peers.is_empty() => "it waits for a peer; none is connected".to_owned(),
            Some((hash, wanted)) => format!(
                "it waits for block {} ({hash}), which none of its {} peers has; they are asked again and again",
                wanted.height,
                self.peers.len()
            ),
            None => format!("it asks {} peers", self.peers.len()),
        };
        format!(
            "the block log is damaged and being repaired from peers: {got} of {lost} known lost blocks came, and {waits}"
        )
    }

    fn body(&mut self, from: PeerName, body: &Body, log: &impl Held) -> bool {
        let hash = body.hash();
        if body.mismatch().is_some() {
            self.in_vain(hash, from);
            return false;
        }
        let Some(wanted) = self.wanted.get(&hash).filter(|wanted| wanted.height == body.height()) else {
            return true;
        };
        let (block, parent) = (Tip { height: wanted.height, hash }, body.header().parent());
        // Whoever was asked last owes nothing more, even if another gave it.
        let asked = self.wanted.remove(&hash).and_then(|wanted| wanted.request);
        if let Some(asked) = asked.and_then(|(peer, _)| self.peers.get_mut(&peer)) {
            asked.bodies = asked.bodies.saturating_sub(1);
        }
        self.fetched_bytes += body.bytes().len();
        self.fetched.insert(hash, Fetched { block, parent, bytes: body.bytes().clone() });
        self.descend(log);
        true
    }

    fn headers(&mut self, from: PeerName, headers: &[HashedHeader], log: &impl Held) -> bool {
        if headers.len() > HEADERS_LIMIT || headers.windows(2).any(|pair| pair[1].parent() != pair[0].hash())
        {
            return false;
        }
        // An answer that nobody asked for is not worth its memory.
        let Some(kept) = self.peers.get(&from).and_then(|peer| peer.headers_above) else { return true };
        let room = LINKS.saturating_sub(self.links.len());
        self.links.extend(headers.iter().take(room).map(|header| (header.hash(), header.parent())));
        self.descend(log);
        let still_there = self.gap(log).is_some_and(|gap| gap.hash == kept);
        if let Some(last) = headers.last()
            && still_there
            && headers.len() == HEADERS_LIMIT
            && room > headers.len()
        {
            self.outgoing.push((from, Message::AskHeaders { locator: vec![last.hash()] }));
        }
        true
    }

    /// Goes down from the frontier as far as parents are known.
    fn descend(&mut self, log: &impl Held) {
        while let Some(frontier) = self.frontier {
            let fetched = self.fetched.get(&frontier.hash).map(|fetched| fetched.parent);
            let Some(parent) = fetched.or_else(|| self.links.get(&frontier.hash).copied()) else { return };
            let below =
                frontier.height.0.checked_sub(1).map(|height| Tip { height: Height(height), hash: parent });
            self.want(below.and_then(|below| log.first_lost(below)));
        }
        self.links.clear();
    }

    fn want(&mut self, lost: Option<Tip>) {
        self.frontier = lost;
        if let Some(lost) = lost {
            let wanted = Wanted { height: lost.height, request: None, tried: BTreeSet::new(), rested: None };
            self.wanted.insert(lost.hash, wanted);
        }
    }

    /// Notes that a peer that was asked for a block did not give it.
    fn in_vain(&mut self, hash: BlockHash, peer: PeerName) {
        let Some(wanted) = self.wanted.get_mut(&hash) else { return };
        if wanted.request.take_if(|(asked, _)| *asked == peer).is_none() {
            return;
        }
        wanted.tried.insert(peer);
        if let Some(asked) = self.peers.get_mut(&peer) {
            asked.bodies = asked.bodies.saturating_sub(1);
        }
    }

    /// Keeps as many questions going as there may be.
    fn ask(&mut self, log: &impl Held, now: Instant) {
        let mut running = self.wanted.values().filter(|wanted| wanted.request.is_some()).count();
        for (hash, wanted) in self.wanted.iter_mut().filter(|(_, wanted)| wanted.request.is_none()) {
            if running >= REQUESTS {
                break;
            }
            let untried = self.peers.iter_mut().filter(|(peer, _)| !wanted.tried.contains(*peer));
            let Some((peer, asked)) = untried.min_by_key(|(_, asked)| asked.bodies) else {
                wanted.rested = wanted.rested.or_else(|| (!self.peers.is_empty()).then_some(now));
                continue;
            };
            wanted.rested = None;
            if asked.bodies < REQUESTS_OF_ONE {
                (wanted.request, asked.bodies, running) = (Some((*peer, now)), asked.bodies + 1, running + 1);
                self.outgoing.push((*peer, Message::AskBody { block_hash: *hash }));
            }
        }
        self.ask_headers(log);
    }

    /// The block before the damage, when more than the frontier is lost above it.
    fn gap(&self, log: &impl Held) -> Option<Tip> {
        let frontier = self.frontier?;
        log.kept_below(frontier.height).filter(|kept| kept.height.0 + 1 < frontier.height.0)
    }

    /// Asks each peer once for the headers between the damage and the frontier.
    fn ask_headers(&mut self, log: &impl Held) {
        let Some(kept) = self.gap(log) else { return };
        for (peer, asked) in &mut self.peers {
            if asked.headers_above != Some(kept.hash) {
                asked.headers_above = Some(kept.hash);
                self.outgoing.push((*peer, Message::AskHeaders { locator: vec![kept.hash] }));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256, Bloom};
    use synod_types::block::{Commitment, transactions_root};
    use synod_types::{Block, Gas, Header, Position};

    /// A chain of empty blocks, of which a range of heights is lost.
    struct Chain {
        blocks: Vec<Block>,
        lost: std::ops::Range<u64>,
    }

    impl Chain {
        fn new(length: u64, lost: std::ops::Range<u64>) -> Self {
            let (mut blocks, mut parent) = (Vec::<Block>::new(), BlockHash::default());
            for height in 1..=length {
                let commitment = Commitment {
                    format: 1,
                    position: Position::default(),
                    height: Height(height),
                    millis: 0,
                    transactions_root: transactions_root(&[]),
                    state_root: B256::ZERO,
                    receipts_root: B256::ZERO,
                    logs_bloom: Bloom::ZERO,
                    gas_used: Gas(0),
                    gas_limit: Gas(1),
                    base_fee: 1,
                    proposer: Address::ZERO,
                    fee_recipient: Address::ZERO,
                    next_committee: B256::ZERO,
                    extra_nonce: 0,
                };
                let header = Header {
                    version: 1,
                    parent,
                    commitment: commitment.digest(),
                    time: height as u32,
                    bits: 0x207f_ffff,
                    nonce: 0,
                };
                parent = header.hash();
                blocks.push(Block { header, commitment, transactions: Vec::new() });
            }
            Self { blocks, lost }
        }

        fn tip(&self, height: u64) -> Tip {
            Tip { height: Height(height), hash: self.blocks[height as usize - 1].hash() }
        }

        fn body(&self, hash: BlockHash) -> Option<Body> {
            self.blocks.iter().find(|block| block.hash() == hash).map(Body::from_block)
        }

        /// What an honest peer that has the whole chain answers.
        fn answer(&self, message: &Message) -> Option<Message> {
            match message {
                Message::AskBody { block_hash } => self.body(*block_hash).map(Message::Body),
                Message::AskHeaders { locator } => {
                    let at = self.blocks.iter().position(|block| block.hash() == locator[0])?;
                    let headers = self.blocks[at + 1..].iter().take(HEADERS_LIMIT);
                    Some(Message::Headers {
                        headers: headers.map(|block| HashedHeader::new(block.header)).collect(),
                    })
                }
                _ => None,
            }
        }
    }

    impl Held for Chain {
        fn first_lost(&self, from: Tip) -> Option<Tip> {
            let from = from.height.0;
            let lost = if self.lost.contains(&from) { from } else { self.lost.end - 1 };
            (from >= self.lost.start).then(|| self.tip(lost))
        }

        fn kept_below(&self, height: Height) -> Option<Tip> {
            (height.0 >= self.lost.start && self.lost.start > 1).then(|| self.tip(self.lost.start - 1))
        }
    }

    fn peer(number: u8) -> PeerName {
        PeerName::from_bytes([number; 32])
    }

    #[test]
    fn lost_blocks_come_from_one_honest_peer_among_a_liar_and_one_that_has_nothing() {
        let chain = Chain::new(60, 20..45);
        let begun = Instant::now();
        let mut search = Search::new(Some(chain.tip(60)), &chain);
        assert!(search.sentence().contains("none is connected"), "{}", search.sentence());
        (1..=3).for_each(|number| search.connected(peer(number), &chain, begun));
        let (mut lies, mut asked) = (0, 0);
        while !search.is_complete() {
            let messages = search.take_outgoing();
            assert!(!messages.is_empty(), "{}", search.sentence());
            for (to, message) in messages {
                asked += 1;
                let answer = match (&message, to) {
                    (_, to) if to == peer(3) => chain.answer(&message),
                    (Message::AskBody { block_hash }, to) if to == peer(2) => {
                        Some(Message::NoBody { block_hash: *block_hash })
                    }
                    (Message::AskBody { block_hash }, _) => {
                        // The right header over another body.
                        let mut lie =
                            chain.blocks.iter().find(|block| block.hash() == *block_hash).unwrap().clone();
                        lie.commitment.base_fee += 1;
                        Some(Message::Body(Body::from_block(&lie)))
                    }
                    _ => Some(Message::Headers { headers: Vec::new() }),
                };
                if let Some(answer) = answer {
                    lies += u32::from(!search.message(to, answer, &chain, begun));
                }
            }
        }
        assert!(lies > 0, "the liar was asked and found out");
        assert!(asked < 200, "{asked} questions");
        assert_eq!(search.fetched().len(), 25);
        for height in 20..45 {
            let tip = chain.tip(height);
            assert_eq!(search.fetched()[&tip.hash].block, tip);
            assert_eq!(search.fetched()[&tip.hash].bytes, *chain.body(tip.hash).unwrap().bytes());
        }
    }

    #[test]
    fn a_block_that_nobody_has_is_named_and_asked_for_again() {
        let chain = Chain::new(10, 5..6);
        let begun = Instant::now();
        let mut search = Search::new(Some(chain.tip(10)), &chain);
        search.connected(peer(1), &chain, begun);
        let ask = Message::AskBody { block_hash: chain.tip(5).hash };
        assert_eq!(search.take_outgoing(), [(peer(1), ask.clone())]);
        search.message(peer(1), Message::NoBody { block_hash: chain.tip(5).hash }, &chain, begun);
        assert!(search.sentence().contains("waits for block 5"), "{}", search.sentence());
        search.tick(&chain, begun + RETRY / 2);
        assert!(search.take_outgoing().is_empty());
        search.tick(&chain, begun + RETRY);
        assert_eq!(search.take_outgoing(), [(peer(1), ask.clone())]);
        // No answer at all counts like a refusal.
        search.tick(&chain, begun + RETRY + ANSWER_TIMEOUT);
        assert!(search.sentence().contains("waits for block 5"), "{}", search.sentence());
        search.connected(peer(2), &chain, begun + RETRY + ANSWER_TIMEOUT);
        assert_eq!(search.take_outgoing(), [(peer(2), ask)]);
        assert!(search.message(
            peer(2),
            Message::Body(chain.body(chain.tip(5).hash).unwrap()),
            &chain,
            begun
        ));
        assert!(search.is_complete());
    }
}
