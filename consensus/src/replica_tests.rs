//! The boundary's rules, shown with a protocol of three lines: it journals a number and votes for it.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::journal::Journal;
use crate::protocol::{Peer, Verified};
use synod_types::{BlockHash, Position};

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
enum Word {
    Vote(u64),
    Hint(u64),
}

#[derive(Debug)]
struct Voter {
    voted: Vec<u64>,
}

impl Protocol for Voter {
    const NAME: &'static str = "voter";
    type Config = ();
    type Message = Word;
    type Record = u64;
    type History = ();
    type Job = ();
    type Outcome = u64;
    type Event = ();
    type Fault = String;

    fn check(_: &(), _: Peer, message: Word) -> Result<Verified<Word>, String> {
        Ok(Verified::new(message))
    }

    fn is_promise_free(message: &Word) -> bool {
        matches!(message, Word::Hint(_))
    }

    fn recover((): (), voted: Vec<u64>, (): (), _: &mut Context<'_, Self>) -> Self {
        Self { voted }
    }

    /// Even numbers are journalled and voted for; odd ones are only voted for (no record).
    fn step(&mut self, input: Input<Self>, context: &mut Context<'_, Self>) {
        let Input::Done(number) = input else { return };
        if number.is_multiple_of(2) {
            context.persist(number);
            self.voted.push(number);
        }
        context.broadcast(Word::Hint(number));
        context.broadcast(Word::Vote(number));
    }

    fn wake_at(&self) -> Option<Time> {
        Some(Time(5))
    }

    fn status(&self) -> Status {
        Status {
            protocol: Self::NAME,
            position: Position::default(),
            block_hash: BlockHash::default(),
            settled: Position::default(),
            best_height: Default::default(),
            waits_for: String::new(),
            facts: Vec::new(),
        }
    }
}

/// A journal in memory whose sync is called by hand.
#[derive(Default)]
struct Paper {
    written: Vec<Frame<u64>>,
    synced: usize,
}

impl Journal for Paper {
    fn durable_through(&self) -> FrameNumber {
        self.written[..self.synced].last().map_or(FrameNumber(0), |frame| frame.number)
    }
}

fn start(paper: &Paper) -> Replica<Voter> {
    let records = paper.written[..paper.synced].iter().flat_map(|frame| frame.records.clone()).collect();
    Replica::recover((), records, (), &Durable::proven_by(paper), 1, Time(0), UnixMillis(0))
}

fn step(replica: &mut Replica<Voter>, number: u64) {
    replica.step(Input::Done(number), Time(0), UnixMillis(0));
}

fn sent(replica: &mut Replica<Voter>) -> Vec<Word> {
    std::iter::from_fn(|| replica.next_effect())
        .map(|effect| match effect {
            Effect::Broadcast(word) => word,
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

/// The whole story of one vote: it leaves with its frame, and hints do not wait.
fn a_vote_waits_for_its_frame() {
    let mut paper = Paper::default();
    let mut replica = start(&paper);
    step(&mut replica, 2);
    assert_eq!(sent(&mut replica), [Word::Hint(2)], "only what promises nothing leaves at once");
    paper.written.push(replica.take_frame().unwrap());
    replica.durable(&Durable::proven_by(&paper));
    assert_eq!(sent(&mut replica), [], "written is not durable");
    paper.synced = 1;
    replica.durable(&Durable::proven_by(&paper));
    assert_eq!(sent(&mut replica), [Word::Vote(2)]);
}

#[test]
fn gen_1_a_vote_leaves_only_when_its_frame_is_durable() {
    a_vote_waits_for_its_frame();
}

#[test]
fn gen_1_steps_keep_their_order_and_share_the_next_frame() {
    let mut paper = Paper::default();
    let mut replica = start(&paper);
    step(&mut replica, 2);
    paper.written.push(replica.take_frame().unwrap());
    step(&mut replica, 4);
    step(&mut replica, 5);
    step(&mut replica, 6);
    assert_eq!(replica.take_frame(), None, "one unsynced frame at a time");
    sent(&mut replica);
    paper.synced = 1;
    replica.durable(&Durable::proven_by(&paper));
    assert_eq!(sent(&mut replica), [Word::Vote(2)]);
    let group = replica.take_frame().unwrap();
    assert_eq!((group.number, group.records.as_slice()), (FrameNumber(2), [4, 6].as_slice()));
    paper.written.push(group);
    paper.synced = 2;
    replica.durable(&Durable::proven_by(&paper));
    assert_eq!(sent(&mut replica), [Word::Vote(4), Word::Vote(5), Word::Vote(6)]);
}

#[test]
fn gen_1_a_step_without_records_waits_only_for_its_predecessors() {
    let paper = Paper::default();
    let mut replica = start(&paper);
    step(&mut replica, 3);
    assert_eq!(sent(&mut replica), [Word::Hint(3), Word::Vote(3)]);
    step(&mut replica, 2);
    step(&mut replica, 5);
    assert_eq!(sent(&mut replica), [Word::Hint(2), Word::Hint(5)]);
    assert_eq!(replica.sealed_steps(), 2);
}

/// After a failed write nothing leaves any more and nothing is taken in.
fn a_failed_write_is_the_end() {
    let mut paper = Paper::default();
    let mut replica = start(&paper);
    step(&mut replica, 2);
    paper.written.push(replica.take_frame().unwrap());
    replica.stop("journal: sync failed: EIO".into());
    step(&mut replica, 4);
    paper.synced = 1;
    replica.durable(&Durable::proven_by(&paper));
    assert_eq!(sent(&mut replica), []);
    assert_eq!((replica.wake_at(), replica.take_frame()), (None, None));
    assert!(replica.status().waits_for.contains("EIO"));
}

#[test]
fn gen_4_a_failed_write_stops_the_replica() {
    a_failed_write_is_the_end();
}

#[test]
fn gen_1_a_restart_goes_on_after_the_last_durable_frame() {
    let mut paper = Paper::default();
    let mut replica = start(&paper);
    step(&mut replica, 2);
    paper.written.push(replica.take_frame().unwrap());
    paper.synced = 1;
    let mut replica = start(&paper);
    assert_eq!(replica.protocol().voted, [2]);
    step(&mut replica, 4);
    assert_eq!(replica.take_frame().unwrap().number, FrameNumber(2));
}

#[test]
#[should_panic(expected = "never got")]
fn a_foreign_journal_is_refused() {
    let foreign = Paper {
        written: vec![Frame { number: FrameNumber(9), records: vec![], restates: false }],
        synced: 1,
    };
    start(&Paper::default()).durable(&Durable::proven_by(&foreign));
}

#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_the_boundary_die() {
    type Story = fn();
    let table: [(&str, Story); 2] = [
        ("gen-1-send-before-persist", a_vote_waits_for_its_frame),
        ("gen-4-retry-fsync", a_failed_write_is_the_end),
    ];
    for (mutant, story) in table {
        let survived = std::panic::catch_unwind(|| synod_types::mutant::with(mutant, story)).is_ok();
        assert!(!survived, "{mutant} survived");
    }
}
