//! Which lost blocks are known, who is asked for them, and what came: without a socket, a clock or a disk.
//!
//! The frontier is the lowest lost block whose parent nobody has told yet. Its own hash is known from a good
//! frame or from the block above it, so that a body is believed because of its hash, whoever sends it. Headers
//! above the last block before the damage are asked for as well: they tell hundreds of hashes at once, and are
//! believed only where they lead up to the frontier.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use synod_consensus::pow::header::check_work;
use synod_consensus::pow::messages::HEADERS_LIMIT;
use synod_consensus::pow::{Body, HashedHeader, Message, Target};
use synod_ledger::log::blocks::{Fetched, FetchedBlocks, Tip};
use synod_types::{BlockHash, Height};

use super::walk::{Gap, Walks};
use crate::network::{Demerit, PeerName};

/// Bodies asked for at a time, of all peers and of one.
const REQUESTS: usize = 16;
const REQUESTS_OF_ONE: usize = 4;
/// How long a peer has to answer, and how long a block that nobody has rests before all are asked again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);
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
#[derive(Debug)]
pub(super) struct Search {
    /// The easiest target that a header may have.
    limit: Target,
    wanted: BTreeMap<BlockHash, Wanted>,
    fetched: FetchedBlocks,
    fetched_bytes: usize,
    frontier: Option<Tip>,
    walks: Walks,
    /// Bodies asked of each connected peer.
    peers: BTreeMap<PeerName, usize>,
    outgoing: Vec<(PeerName, Message)>,
    blamed: Vec<(PeerName, Demerit)>,
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

impl Search {
    /// Begins below the log's last good tip.
    pub(super) fn new(tip: Option<Tip>, limit: Target, log: &impl Held) -> Self {
        let mut search = Self {
            limit,
            wanted: BTreeMap::new(),
            fetched: FetchedBlocks::new(),
            fetched_bytes: 0,
            frontier: None,
            walks: Walks::default(),
            peers: BTreeMap::new(),
            outgoing: Vec::new(),
            blamed: Vec::new(),
        };
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

    /// Who failed at what since the last call.
    pub(super) fn take_blamed(&mut self) -> Vec<(PeerName, Demerit)> {
        std::mem::take(&mut self.blamed)
    }

    /// Whether it cannot go on without somebody's help: no peer is there, or none has what is lost.
    pub(super) fn needs_help(&self) -> bool {
        self.peers.is_empty() || self.wanted.values().any(|wanted| wanted.rested.is_some())
    }

    pub(super) fn connected(&mut self, peer: PeerName, log: &impl Held, now: Instant) {
        self.forget(peer);
        self.peers.insert(peer, 0);
        self.walks.connected(peer);
        self.ask(log, now);
    }

    pub(super) fn disconnected(&mut self, peer: PeerName, log: &impl Held, now: Instant) {
        self.forget(peer);
        self.ask(log, now);
    }

    fn forget(&mut self, peer: PeerName) {
        self.peers.remove(&peer);
        self.walks.disconnected(peer);
        for wanted in self.wanted.values_mut() {
            wanted.tried.remove(&peer);
            wanted.request.take_if(|(asked, _)| *asked == peer);
        }
    }

    /// A peer's message.
    pub(super) fn message(&mut self, from: PeerName, message: Message, log: &impl Held, now: Instant) {
        let taken = match message {
            Message::Body(body) => self.body(from, &body, log),
            Message::NoBody { block_hash } => {
                self.in_vain(block_hash, from);
                Ok(())
            }
            Message::Headers { headers } => self.headers(from, &headers, log, now),
            // Nothing is served before the log is whole.
            Message::AskBody { block_hash } => {
                self.outgoing.push((from, Message::NoBody { block_hash }));
                Ok(())
            }
            Message::AskHeaders { .. } => {
                self.outgoing.push((from, Message::Headers { headers: Vec::new() }));
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(demerit) = taken {
            self.blamed.push((from, demerit));
        }
        self.ask(log, now);
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
        if let Some(peer) = self.walks.give_up_late(self.frontier, now) {
            self.blamed.push((peer, Demerit::Slow));
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

    fn body(&mut self, from: PeerName, body: &Body, log: &impl Held) -> Result<(), Demerit> {
        let hash = body.hash();
        if body.mismatch().is_some() {
            self.in_vain(hash, from);
            return Err(Demerit::Invalid);
        }
        let Some(wanted) = self.wanted.get(&hash).filter(|wanted| wanted.height == body.height()) else {
            return Ok(());
        };
        let (block, parent) = (Tip { height: wanted.height, hash }, body.header().parent());
        // Whoever was asked last owes nothing more, even if another gave it.
        let asked = self.wanted.remove(&hash).and_then(|wanted| wanted.request);
        if let Some(asked) = asked.and_then(|(peer, _)| self.peers.get_mut(&peer)) {
            *asked = asked.saturating_sub(1);
        }
        self.fetched_bytes += body.bytes().len();
        self.fetched.insert(hash, Fetched { block, parent, bytes: body.bytes().clone() });
        self.descend(log);
        Ok(())
    }

    fn headers(
        &mut self,
        from: PeerName,
        headers: &[HashedHeader],
        log: &impl Held,
        now: Instant,
    ) -> Result<(), Demerit> {
        let linked = headers.windows(2).all(|pair| pair[1].parent() == pair[0].hash());
        let worked = |header: &HashedHeader| check_work(header, self.limit).is_ok();
        if headers.len() > HEADERS_LIMIT || !linked || !headers.iter().all(worked) {
            return Err(Demerit::Invalid);
        }
        let Some(gap) = self.gap(log) else { return Ok(()) };
        let next = self.walks.headers(from, headers, gap, now)?;
        self.outgoing.extend(next.map(|question| (from, question)));
        self.descend(log);
        Ok(())
    }

    /// Goes down from the frontier as far as parents are known.
    fn descend(&mut self, log: &impl Held) {
        while let Some(frontier) = self.frontier {
            let fetched = self.fetched.get(&frontier.hash).map(|fetched| fetched.parent);
            let Some(parent) = fetched.or_else(|| self.walks.below(frontier)) else { return };
            let below =
                frontier.height.0.checked_sub(1).map(|height| Tip { height: Height(height), hash: parent });
            self.want(below.and_then(|below| log.first_lost(below)));
        }
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
            *asked = asked.saturating_sub(1);
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
            let Some((peer, asked)) = untried.min_by_key(|(_, asked)| **asked) else {
                wanted.rested = wanted.rested.or_else(|| (!self.peers.is_empty()).then_some(now));
                continue;
            };
            wanted.rested = None;
            if *asked < REQUESTS_OF_ONE {
                (wanted.request, *asked, running) = (Some((*peer, now)), *asked + 1, running + 1);
                self.outgoing.push((*peer, Message::AskBody { block_hash: *hash }));
            }
        }
        let gap = self.gap(log);
        self.outgoing.extend(self.walks.begin(gap, now));
    }

    /// What is lost below the frontier, when that is more than the frontier.
    fn gap(&self, log: &impl Held) -> Option<Gap> {
        let frontier = self.frontier?;
        let above = log.kept_below(frontier.height)?;
        (above.height.0 + 1 < frontier.height.0).then_some(Gap { above, frontier })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::driver::repair::walk::REST;
    use crate::testing::{empty_block, mined};
    use synod_types::Block;

    /// A chain of empty blocks, of which a range of heights is lost.
    struct Chain {
        blocks: Vec<Block>,
        lost: std::ops::Range<u64>,
    }

    /// Headers that were worked for, above any block.
    fn branch(mut parent: BlockHash, heights: std::ops::Range<u64>, millis: u16) -> Vec<Block> {
        let mut blocks = Vec::new();
        for height in heights {
            let mut block = empty_block(parent, height);
            block.commitment.millis = millis;
            let block = mined(block);
            parent = block.hash();
            blocks.push(block);
        }
        blocks
    }

    fn headers_of(blocks: &[Block]) -> Message {
        Message::Headers { headers: blocks.iter().map(|block| HashedHeader::new(block.header)).collect() }
    }

    fn limit() -> Target {
        Target::from_compact(0x207f_ffff).unwrap()
    }

    impl Chain {
        fn new(length: u64, lost: std::ops::Range<u64>) -> Self {
            Self { blocks: branch(BlockHash::default(), 1..length + 1, 0), lost }
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
                    let end = self.blocks.len().min(at + 1 + HEADERS_LIMIT);
                    Some(headers_of(&self.blocks[at + 1..end]))
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
        let mut search = Search::new(Some(chain.tip(60)), limit(), &chain);
        assert!(
            search.needs_help() && search.sentence().contains("none is connected"),
            "{}",
            search.sentence()
        );
        (1..=3).for_each(|number| search.connected(peer(number), &chain, begun));
        let mut asked = 0;
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
                    search.message(to, answer, &chain, begun);
                }
            }
        }
        let blamed = search.take_blamed();
        assert!(!blamed.is_empty() && blamed.iter().all(|blamed| *blamed == (peer(1), Demerit::Invalid)));
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
        let mut search = Search::new(Some(chain.tip(10)), limit(), &chain);
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
        search.message(peer(2), Message::Body(chain.body(chain.tip(5).hash).unwrap()), &chain, begun);
        assert!(search.is_complete() && search.take_blamed().is_empty());
    }

    /// The headers question to each peer among what is to be sent.
    fn header_questions(search: &mut Search) -> Vec<(PeerName, BlockHash)> {
        let sent = search.take_outgoing();
        let asked = sent.into_iter().filter_map(|(to, message)| match message {
            Message::AskHeaders { locator } => Some((to, locator[0])),
            _ => None,
        });
        asked.collect()
    }

    /// Nobody gives bodies here, so that only headers can tell what is lost.
    fn searching_headers(chain: &Chain, peers: u8) -> (Search, Instant) {
        let begun = Instant::now();
        let mut search = Search::new(Some(chain.tip(chain.blocks.len() as u64)), limit(), chain);
        (1..=peers).for_each(|number| search.connected(peer(number), chain, begun));
        assert_eq!(
            header_questions(&mut search),
            [(peer(1), chain.tip(chain.lost.start - 1).hash)],
            "one walks at a time"
        );
        (search, begun)
    }

    /// Everything between the damage and the frontier is known.
    fn knows_all(search: &Search, chain: &Chain) -> bool {
        search.wanted.len() as u64 == chain.lost.end - chain.lost.start
    }

    #[test]
    fn headers_without_work_tell_nothing_and_are_blamed() {
        let chain = Chain::new(60, 20..45);
        let (mut search, begun) = searching_headers(&chain, 1);
        let mut lazy = chain.blocks[19..30].to_vec();
        while limit().is_met_by(lazy[10].hash()) {
            lazy[10].header.nonce += 1;
        }
        search.message(peer(1), headers_of(&lazy), &chain, begun);
        assert_eq!(search.take_blamed(), [(peer(1), Demerit::Invalid)]);
        assert!(header_questions(&mut search).is_empty(), "nothing was taken that could be gone on with");
    }

    #[test]
    fn headers_that_lead_elsewhere_are_given_up_for_the_next_peer() {
        let chain = Chain::new(60, 20..45);
        let (mut search, begun) = searching_headers(&chain, 3);
        // They hang on nothing that we asked about.
        search.message(peer(1), headers_of(&branch(BlockHash::default(), 20..60, 1)), &chain, begun);
        assert_eq!(search.take_blamed(), [(peer(1), Demerit::Useless)]);
        let kept = chain.tip(19).hash;
        assert_eq!(header_questions(&mut search), [(peer(2), kept)]);
        // They hang on the right block and miss the frontier.
        search.message(peer(2), headers_of(&branch(kept, 20..60, 1)), &chain, begun);
        assert_eq!(search.take_blamed(), [(peer(2), Demerit::Useless)]);
        assert_eq!(header_questions(&mut search), [(peer(3), kept)]);
        assert!(!knows_all(&search, &chain));
        // Who speaks out of turn is not heard, and one that comes back stands behind all others.
        search.message(
            peer(1),
            chain.answer(&Message::AskHeaders { locator: vec![kept] }).unwrap(),
            &chain,
            begun,
        );
        search.disconnected(peer(1), &chain, begun);
        search.connected(peer(1), &chain, begun);
        assert!(!knows_all(&search, &chain) && header_questions(&mut search).is_empty());
        search.message(
            peer(3),
            chain.answer(&Message::AskHeaders { locator: vec![kept] }).unwrap(),
            &chain,
            begun,
        );
        assert!(knows_all(&search, &chain) && search.take_blamed().is_empty());
    }

    #[test]
    fn the_same_headers_again_and_again_are_asked_for_no_longer() {
        let chain = Chain::new(2_010, 2..2_009);
        let (mut search, begun) = searching_headers(&chain, 2);
        let full = branch(chain.tip(1).hash, 2..2_002, 1);
        search.message(peer(1), headers_of(&full), &chain, begun);
        assert_eq!(header_questions(&mut search), [(peer(1), full[1_999].hash())], "they go on");
        search.message(peer(1), headers_of(&full), &chain, begun);
        assert_eq!(search.take_blamed(), [(peer(1), Demerit::Useless)]);
        // The next one starts from what is known, not from what the liar told.
        assert_eq!(header_questions(&mut search), [(peer(2), chain.tip(1).hash)]);
        // It says nothing at all, and both are left alone for a while.
        search.tick(&chain, begun + ANSWER_TIMEOUT);
        assert_eq!(search.take_blamed(), [(peer(2), Demerit::Slow)]);
        assert!(header_questions(&mut search).is_empty());
        let rested = begun + ANSWER_TIMEOUT + REST;
        search.tick(&chain, rested - Duration::from_secs(1));
        assert_eq!(header_questions(&mut search), [(peer(1), chain.tip(1).hash)]);
        for _ in 0..2 {
            // An empty answer is none: its chain ends there.
            search.message(peer(1), Message::Headers { headers: Vec::new() }, &chain, rested);
        }
        assert_eq!(header_questions(&mut search), [(peer(2), chain.tip(1).hash)]);
        let mut question = Message::AskHeaders { locator: vec![chain.tip(1).hash] };
        while !knows_all(&search, &chain) {
            search.message(peer(2), chain.answer(&question).unwrap(), &chain, rested);
            if let [(to, hash)] = header_questions(&mut search)[..] {
                assert_eq!(to, peer(2));
                question = Message::AskHeaders { locator: vec![hash] };
            }
        }
        assert!(search.take_blamed().is_empty());
    }

    #[test]
    fn hashes_are_remembered_for_no_more_than_is_lost() {
        use crate::driver::repair::walk::LINKS;
        let mut walks = Walks::default();
        let (now, above) = (Instant::now(), Tip { height: Height(7), hash: BlockHash::default() });
        let gap =
            |lost| Gap { above, frontier: Tip { height: Height(7 + lost), hash: BlockHash::default() } };
        walks.connected(peer(1));
        assert!(walks.begin(Some(gap(LINKS + 1)), now).is_none(), "too much is lost to walk over it");
        assert!(walks.begin(Some(gap(LINKS)), now).is_some());
    }
}
