//! Taking headers in: the rules on their parent, orphans, the future, side branches (POW-3, POW-5, POW-8).

use std::collections::VecDeque;

use synod_types::mutant;

use super::header::{HeaderError, is_too_early};
use super::messages::Fault;
use super::orphans::Newcomer;
use super::timers::Timer;
use super::tree::Place;
use super::{Cx, ProofOfWork};

/// Messages overtake each other, so that an honest peer's headers may step back, but not for a large part of
/// those that it may bring: one in so many.
const STEPS_BACK: usize = 4;

/// What became of a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the tree, from now on or before.
    Known,
    /// Its parent is unknown.
    Orphan,
    /// It lies in the future, for now.
    Early,
    /// It is refused; the sender was accused if it is to blame.
    Refused,
    /// There is no room for more headers of little work from this peer. That is nobody's fault.
    NoRoom,
}

/// Whether a peer may bring one more header.
enum Room {
    Free,
    None,
    /// It has brought so many on branches that an honest node had left behind: it floods.
    Flooded,
}

impl ProofOfWork {
    /// Takes a newcomer in, and then the orphans that waited for it. The verdict is the first one's.
    pub(super) fn admit(&mut self, newcomer: Newcomer, cx: &mut Cx<'_>) -> Verdict {
        let mut queue = VecDeque::from([newcomer]);
        let mut first = None;
        while let Some(newcomer) = queue.pop_front() {
            let hash = newcomer.header.hash();
            let verdict = self.admit_one(newcomer, cx);
            first.get_or_insert(verdict);
            if verdict == Verdict::Known && self.orphans.len() > 0 {
                queue.extend(self.orphans.take_children(hash));
            }
        }
        first.expect("there was one")
    }

    fn admit_one(&mut self, newcomer: Newcomer, cx: &mut Cx<'_>) -> Verdict {
        let (hash, parent) = (newcomer.header.hash(), newcomer.header.parent());
        if self.tree.contains(hash) {
            self.take_body(newcomer, cx);
            return Verdict::Known;
        }
        if self.condemned.contains(hash) || self.condemned.contains(parent) {
            let invalid = if self.condemned.contains(hash) { hash } else { parent };
            return self.blame(&newcomer, Fault::OnInvalid(invalid), cx);
        }
        let Some(place) = self.tree.place(parent) else { return Verdict::Orphan };
        if let Err(error) = self.check_on(&newcomer, &place) {
            return self.blame(&newcomer, error.into(), cx);
        }
        let time = newcomer.header.header().time;
        if is_too_early(time, cx.wall().seconds(), self.config.rules.future_limit_seconds) {
            return self.postpone(newcomer, cx);
        }
        match self.room_for(&newcomer, &place) {
            Room::Free => {}
            Room::None => return Verdict::NoRoom,
            Room::Flooded => return self.blame(&newcomer, Fault::Flood, cx),
        }
        self.tree.insert(newcomer.header, newcomer.from);
        self.take_body(newcomer, cx);
        self.forget_light_branches();
        Verdict::Known
    }

    /// The rules that need the ancestors: bits and time. The work was checked with the message.
    fn check_on(&self, newcomer: &Newcomer, place: &Place) -> Result<(), HeaderError> {
        let header = newcomer.header.header();
        let expected = self.config.rules.asert.next_target(place.height, place.time).to_compact();
        if header.bits != expected {
            return Err(HeaderError::WrongBits { found: header.bits, expected });
        }
        let median = place.median_time();
        let lowest = if mutant!("pow-3-median-off-by-one") { median } else { median.saturating_add(1) };
        if header.time < lowest {
            return Err(HeaderError::TooOld { time: header.time, median });
        }
        Ok(())
    }

    /// A header from the future is neither taken nor refused: it comes again when its time has come.
    fn postpone(&mut self, newcomer: Newcomer, cx: &mut Cx<'_>) -> Verdict {
        if mutant!("pow-3-future-is-invalid") {
            self.condemned.insert(newcomer.header.hash());
            return Verdict::Refused;
        }
        self.orphans.insert_early(newcomer);
        self.set_early_timer(cx);
        Verdict::Early
    }

    /// Tries the newcomers whose time has come.
    pub(super) fn admit_due(&mut self, cx: &mut Cx<'_>) {
        self.early_at = None;
        let limit = u64::from(self.config.rules.future_limit_seconds);
        for newcomer in self.orphans.take_due(cx.wall().seconds() + limit) {
            self.introduce(newcomer, cx);
        }
        self.set_early_timer(cx);
    }

    fn set_early_timer(&mut self, cx: &mut Cx<'_>) {
        let Some(due) = self.orphans.next_due() else { return };
        let limit = u64::from(self.config.rules.future_limit_seconds);
        let due_ms = u64::from(due).saturating_sub(limit) * 1000;
        // The wall clock may jump before: then this fires early and sets itself again.
        let at = cx.now().plus_ms(due_ms.saturating_sub(cx.wall().0).max(1));
        if let Some(before) = self.early_at.replace(at) {
            self.timers.clear(before, Timer::Early);
        }
        self.timers.set(at, Timer::Early);
    }

    /// Whether the newcomer's peer may still bring headers that weigh no more than the tip (POW-5).
    ///
    /// How many it brought proves nothing: after a partition or a long pause an honest peer shows a long
    /// branch that is lighter than ours, and such headers are dropped without blame. But an honest node
    /// passes on only what outweighs all that it passed on before. Whoever goes back again and again, as no
    /// messages that overtook each other can explain, makes headers of little work to fill our memory.
    fn room_for(&mut self, newcomer: &Newcomer, place: &Place) -> Room {
        let limit = self.config.limits.side_headers_per_peer;
        let tip = self.tree.tip().work;
        let Some(peer) = newcomer.from.and_then(|from| self.peers.get_mut(&from)) else { return Room::Free };
        let work = place.work.plus(super::header::work_of(newcomer.header.header()));
        if newcomer.asked && work <= tip {
            let Some(session) = &mut peer.session else { return Room::None };
            let Some(left) = session.allowance.checked_sub(1) else { return Room::None };
            session.allowance = left;
            return Room::Free;
        }
        let goes_back = !newcomer.asked && work <= peer.passed_on;
        if !newcomer.asked {
            peer.passed_on = peer.passed_on.max(work);
        }
        if work > tip {
            (peer.side_headers, peer.steps_back) = (0, 0);
            return Room::Free;
        }
        peer.steps_back += usize::from(goes_back);
        if peer.steps_back > limit / STEPS_BACK {
            return Room::Flooded;
        }
        if peer.side_headers >= limit {
            return Room::None;
        }
        peer.side_headers += 1;
        Room::Free
    }

    fn blame(&mut self, newcomer: &Newcomer, fault: Fault, cx: &mut Cx<'_>) -> Verdict {
        if let Some(peer) = newcomer.from {
            self.accuse(peer, fault, cx);
        }
        Verdict::Refused
    }

    fn forget_light_branches(&mut self) {
        let bound = self.config.limits.side_headers;
        if self.tree.sizes().1 <= bound {
            return;
        }
        let protected: Vec<_> = self.peers.values().filter_map(|peer| peer.session.as_ref()?.last).collect();
        for hash in self.tree.forget_light_branches(bound, &protected) {
            self.forget_block(hash);
        }
    }
}
