//! Headers from the last block before the damage up to the frontier: they tell hundreds of lost hashes at once,
//! where bodies tell one after the other. They only save time; without them a repair still ends.
//!
//! One peer walks at a time, in turn. What it gives must hold work, must go on where its last answer ended and
//! must meet the frontier at the frontier's height. Whoever does not bring the walk forward is given up for a
//! while and goes to the end of the queue, where one that leaves and comes back stands as well; what it told is
//! forgotten. So a walk is never longer than what is lost, and no peer can hold it up (P2P-9, POW-5).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use synod_consensus::pow::messages::HEADERS_LIMIT;
use synod_consensus::pow::{HashedHeader, Message};
use synod_ledger::log::blocks::Tip;
use synod_types::BlockHash;

use super::search::ANSWER_TIMEOUT;
use crate::network::{Demerit, PeerName};

/// Hashes remembered. While more is lost, blocks are asked for one after the other.
pub(super) const LINKS: u64 = 100_000;
/// How long a peer that did not bring a walk forward is asked for no headers.
pub(super) const REST: Duration = Duration::from_secs(60);

/// A run of lost blocks: from the held block before it, exclusive, to the frontier, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) above: Tip,
    pub(super) frontier: Tip,
}

/// All peers' turns, and the walk under way.
#[derive(Debug, Default)]
pub(super) struct Walks {
    turns: BTreeMap<PeerName, Turn>,
    walk: Option<Walk>,
    /// The number of the next place at the queue's end.
    next_place: u64,
}

#[derive(Debug)]
struct Turn {
    place: u64,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Walk {
    peer: PeerName,
    above: Tip,
    /// The blocks' hashes above it, in order.
    hashes: Vec<BlockHash>,
    asked: Instant,
}

impl Walks {
    pub(super) fn connected(&mut self, peer: PeerName) {
        self.turns.insert(peer, Turn { place: self.next_place, rests_until: None });
        self.next_place += 1;
    }

    pub(super) fn disconnected(&mut self, peer: PeerName) {
        self.turns.remove(&peer);
        self.walk.take_if(|walk| walk.peer == peer);
    }

    /// Begins a walk over the gap, if none is under way and somebody can go; returns the question.
    pub(super) fn begin(&mut self, gap: Option<Gap>, now: Instant) -> Option<(PeerName, Message)> {
        self.walk.take_if(|walk| gap.is_none_or(|gap| gap.above != walk.above));
        let gap = gap.filter(|gap| gap.frontier.height.0 - gap.above.height.0 <= LINKS)?;
        // Bodies brought the frontier down to where the walk is, and it is another chain's.
        if self.walk.as_ref().is_some_and(|walk| walk.reaches(gap.frontier) && !walk.leads_to(gap.frontier)) {
            self.give_up(now);
        }
        if self.walk.is_some() {
            return None;
        }
        let rested = |turn: &Turn| turn.rests_until.is_none_or(|until| until <= now);
        let (peer, _) =
            self.turns.iter().filter(|(_, turn)| rested(turn)).min_by_key(|(_, turn)| turn.place)?;
        self.walk = Some(Walk { peer: *peer, above: gap.above, hashes: Vec::new(), asked: now });
        Some((*peer, ask_above(gap.above.hash)))
    }

    /// Takes sound headers; returns the next question, or how the peer failed. What nobody asked for is not worth
    /// its memory.
    pub(super) fn headers(
        &mut self,
        from: PeerName,
        headers: &[HashedHeader],
        gap: Gap,
        now: Instant,
    ) -> Result<Option<Message>, Demerit> {
        let asked = self.walk.as_mut().filter(|walk| walk.peer == from && walk.above == gap.above);
        let Some(walk) = asked.filter(|walk| !walk.reaches(gap.frontier)) else { return Ok(None) };
        if headers.first().is_some_and(|first| first.parent() != walk.last()) {
            self.give_up(now);
            return Err(Demerit::Useless);
        }
        let missing = gap.frontier.height.0 - walk.above.height.0 - walk.hashes.len() as u64;
        let wanted = usize::try_from(missing).unwrap_or(usize::MAX);
        walk.hashes.extend(headers.iter().take(wanted).map(HashedHeader::hash));
        walk.asked = now;
        let last = walk.last();
        if headers.len() >= wanted {
            if walk.leads_to(gap.frontier) {
                return Ok(None);
            }
            self.give_up(now);
            return Err(Demerit::Useless);
        }
        if headers.len() < HEADERS_LIMIT {
            // Its chain ends here. It may grow, and it may be under repair itself: no fault.
            self.give_up(now);
            return Ok(None);
        }
        Ok(Some(ask_above(last)))
    }

    /// Gives up a peer that did not answer in time.
    pub(super) fn give_up_late(&mut self, frontier: Option<Tip>, now: Instant) -> Option<PeerName> {
        let walk = self.walk.as_ref()?;
        let done = frontier.is_some_and(|frontier| walk.reaches(frontier));
        if done || now.duration_since(walk.asked) < ANSWER_TIMEOUT {
            return None;
        }
        let peer = walk.peer;
        self.give_up(now);
        Some(peer)
    }

    /// The hash of the block below the frontier, once the walk has met it.
    pub(super) fn below(&self, frontier: Tip) -> Option<BlockHash> {
        let walk = self.walk.as_ref().filter(|walk| walk.leads_to(frontier))?;
        match walk.place_of(frontier)? {
            0 => Some(walk.above.hash),
            place => walk.hashes.get(place - 1).copied(),
        }
    }

    /// Ends the walk; its peer rests, and then waits for all others.
    fn give_up(&mut self, now: Instant) {
        if let Some(turn) = self.walk.take().and_then(|walk| self.turns.get_mut(&walk.peer)) {
            *turn = Turn { place: self.next_place, rests_until: Some(now + REST) };
            self.next_place += 1;
        }
    }
}

impl Walk {
    fn last(&self) -> BlockHash {
        self.hashes.last().copied().unwrap_or(self.above.hash)
    }

    fn place_of(&self, block: Tip) -> Option<usize> {
        usize::try_from(block.height.0.checked_sub(self.above.height.0 + 1)?).ok()
    }

    /// Whether it has come as high as this block.
    fn reaches(&self, block: Tip) -> bool {
        self.place_of(block).is_some_and(|place| place < self.hashes.len())
    }

    /// Whether it has met this block: then everything below it is believed, because hashes name parents.
    fn leads_to(&self, block: Tip) -> bool {
        self.place_of(block).and_then(|place| self.hashes.get(place)) == Some(&block.hash)
    }
}

fn ask_above(hash: BlockHash) -> Message {
    Message::AskHeaders { locator: vec![hash] }
}
