//! What waits to be sent to one peer: a first-in-first-out queue, bounded in messages and bytes, that drops
//! by class.
//!
//! When it is full, transactions make room for blocks and votes, and blocks for votes (P2P-8); among votes
//! the oldest
//! goes, because a newer vote of the same sender usually stands for it. What stays is sent in the order in
//! which it was pushed,
//! across classes: a protocol may lean on the order of one sender's messages. While the link is down only
//! votes wait
//! (a link that returns within moments then loses none); anything bulkier would be stale when the peer comes
//! back.

use super::config::KIB;
use super::kind::Class;
use alloy_primitives::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The queue. Shared by everyone who sends and by the one task that writes.
pub(super) struct Outbox {
    state: Mutex<State>,
    pushed: Notify,
    message_limit: usize,
    byte_limit: usize,
    crowd: Option<Arc<Crowd>>,
}

/// As much may wait for a stranger however crowded it is, so that those who ask and do not read keep nobody else
/// from an ordinary block.
const FLOOR: usize = 256 * KIB;

/// What waits for all strangers together, so that many who ask and do not read cannot hold a queue's worth each.
#[derive(Debug)]
pub(super) struct Crowd {
    bytes: AtomicUsize,
    limit: usize,
}

impl Crowd {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= self.limit
    }
}

/// A message's bytes among those that wait for strangers; given back when it is written or dropped.
#[derive(Debug)]
pub(super) struct Share {
    crowd: Arc<Crowd>,
    bytes: usize,
}

impl Share {
    fn of(crowd: &Arc<Crowd>, bytes: usize) -> Self {
        crowd.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { crowd: Arc::clone(crowd), bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.crowd.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A message on its way out. Whoever writes it keeps it until it is written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) data: Bytes,
    _share: Option<Share>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Class, Outgoing)>,
    bytes: usize,
    up: bool,
}

/// What a push did: whether the message waits now, and which classes were dropped for want of room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) queued: bool,
    pub(super) dropped: Vec<Class>,
}

impl Outbox {
    /// A queue within these bounds; a stranger's counts among the crowd's as well.
    pub(super) fn new(message_limit: usize, byte_limit: usize, crowd: Option<Arc<Crowd>>) -> Self {
        Self { state: Mutex::default(), pushed: Notify::new(), message_limit, byte_limit, crowd }
    }

    /// Queues a message, making room if it must.
    pub(super) fn push(&self, class: Class, message: Bytes) -> Pushed {
        let mut state = self.lock();
        let mut dropped = Vec::new();
        let is_modest = state.bytes + message.len() <= FLOOR;
        let crowded =
            !is_modest && self.crowd.as_ref().is_some_and(|crowd| !crowd.has_room_for(message.len()));
        if ((crowded || !state.up) && class != Class::Vote) || message.len() > self.byte_limit {
            return Pushed { queued: false, dropped: vec![class] };
        }
        while state.queue.len() >= self.message_limit || state.bytes + message.len() > self.byte_limit {
            let Some(victim) = state.victim(class) else {
                dropped.push(class);
                return Pushed { queued: false, dropped };
            };
            dropped.push(state.remove(victim));
        }
        state.bytes += message.len();
        let share = self.crowd.as_ref().map(|crowd| Share::of(crowd, message.len()));
        state.queue.push_back((class, Outgoing { data: message, _share: share }));
        drop(state);
        self.pushed.notify_one();
        Pushed { queued: true, dropped }
    }

    /// The next message, as soon as there is one. Only one task may wait here.
    pub(super) async fn next(&self) -> Outgoing {
        loop {
            if let Some(message) = self.try_next() {
                return message;
            }
            self.pushed.notified().await;
        }
    }

    /// The next message, if there is one now.
    pub(super) fn try_next(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        let (_, message) = state.queue.pop_front()?;
        state.bytes -= message.data.len();
        Some(message)
    }

    /// The link is there: every class is taken.
    pub(super) fn open(&self) {
        self.lock().up = true;
    }

    /// The link is gone: what is not a vote is dropped. Returns what was.
    pub(super) fn close(&self) -> Vec<Class> {
        let mut state = self.lock();
        state.up = false;
        let (votes, others) =
            std::mem::take(&mut state.queue).into_iter().partition(|(class, _)| *class == Class::Vote);
        state.queue = votes;
        state.bytes = state.queue.iter().map(|(_, message)| message.data.len()).sum();
        let others: VecDeque<(Class, Outgoing)> = others;
        others.into_iter().map(|(class, _)| class).collect()
    }

    /// Messages waiting.
    pub(super) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Nothing that holds this lock can fail half-way, so a poisoned one still guards a whole queue.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Which message makes room for one of `class`: the oldest of the lowest class below it; for a vote,
    /// failing
    /// that, the oldest vote.
    fn victim(&self, class: Class) -> Option<usize> {
        let (position, lowest) = self
            .queue
            .iter()
            .enumerate()
            .map(|(at, (class, _))| (at, *class))
            .min_by_key(|(at, class)| (*class, *at))?;
        (lowest < class || class == Class::Vote).then_some(position)
    }

    fn remove(&mut self, position: usize) -> Class {
        let (class, message) = self.queue.remove(position).expect("the victim is in the queue");
        self.bytes -= message.data.len();
        class
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Class::{Block, Transaction, Vote};

    fn message(byte: u8) -> Bytes {
        vec![byte; 10].into()
    }

    fn drain(outbox: &Outbox) -> Vec<u8> {
        std::iter::from_fn(|| outbox.try_next()).map(|message| message.data[0]).collect()
    }

    fn full_of(classes: &[Class]) -> Outbox {
        let outbox = Outbox::new(3, 30, None);
        outbox.open();
        for (number, class) in classes.iter().enumerate() {
            assert!(outbox.push(*class, message(number as u8)).queued);
        }
        outbox
    }

    #[test]
    fn order_is_kept_across_classes() {
        assert_eq!(drain(&full_of(&[Vote, Transaction, Block])), [0, 1, 2]);
    }

    #[test]
    fn p2p_8_a_full_queue_drops_transactions_then_blocks_then_the_oldest_vote() {
        let outbox = full_of(&[Block, Transaction, Vote]);
        assert_eq!(
            outbox.push(Transaction, message(7)),
            Pushed { queued: false, dropped: vec![Transaction] }
        );
        assert_eq!(outbox.push(Vote, message(8)), Pushed { queued: true, dropped: vec![Transaction] });
        assert_eq!(outbox.push(Block, message(9)), Pushed { queued: false, dropped: vec![Block] });
        assert_eq!(outbox.push(Vote, message(10)), Pushed { queued: true, dropped: vec![Block] });
        assert_eq!(outbox.push(Vote, message(11)), Pushed { queued: true, dropped: vec![Vote] });
        assert_eq!(drain(&outbox), [8, 10, 11]);
    }

    #[test]
    fn p2p_8_bytes_are_bounded_too() {
        let outbox = Outbox::new(100, 30, None);
        outbox.open();
        for number in 0..3 {
            assert!(outbox.push(Transaction, message(number)).queued);
        }
        assert_eq!(outbox.push(Block, vec![9; 25].into()).dropped, [Transaction; 3]);
        assert_eq!(outbox.push(Vote, vec![0; 31].into()), Pushed { queued: false, dropped: vec![Vote] });
    }

    #[test]
    fn p2p_8_what_waits_for_all_strangers_is_bounded_until_it_is_written() {
        const LONG: usize = 2 * FLOOR;
        let long = || Bytes::from(vec![1; LONG]);
        let crowd = Arc::new(Crowd::new(2 * LONG));
        let strangers = [0, 1].map(|_| Outbox::new(9, 9 * LONG, Some(Arc::clone(&crowd))));
        strangers.iter().for_each(Outbox::open);
        assert!(strangers[0].push(Block, long()).queued);
        assert!(strangers[1].push(Block, long()).queued);
        assert_eq!(strangers[1].push(Block, long()), Pushed { queued: false, dropped: vec![Block] });
        assert!(strangers[1].push(Vote, message(4)).queued, "votes are never held back for others");
        let being_written = strangers[1].try_next();
        assert!(!strangers[0].push(Block, long()).queued, "what is being written still waits");
        drop(being_written);
        strangers[1].close();
        drop(strangers[1].try_next());
        assert!(strangers[0].push(Block, long()).queued);
        drop(strangers);
        assert_eq!(crowd.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn p2p_8_a_crowd_that_does_not_read_keeps_no_other_stranger_from_ordinary_blocks() {
        let crowd = Arc::new(Crowd::new(FLOOR));
        let [hog, other] = [0, 1].map(|_| Outbox::new(9, 9 * FLOOR, Some(Arc::clone(&crowd))));
        hog.open();
        other.open();
        assert!(hog.push(Block, vec![0; FLOOR].into()).queued);
        assert!(!hog.push(Block, message(1)).queued);
        assert!(other.push(Block, vec![0; FLOOR - 10].into()).queued);
        assert!(other.push(Block, message(2)).queued);
        assert!(!other.push(Block, message(3)).queued);
    }

    #[test]
    fn a_broken_link_keeps_votes_alone() {
        let outbox = full_of(&[Vote, Block, Vote]);
        assert_eq!(outbox.close(), [Block]);
        assert!(!outbox.push(Block, message(5)).queued);
        assert!(outbox.push(Vote, message(6)).queued);
        assert_eq!(drain(&outbox), [0, 2, 6]);
        assert_eq!(outbox.lock().bytes, 0);
    }
}
