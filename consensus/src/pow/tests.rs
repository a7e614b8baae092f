//! Stories of the machine, told through its boundary: one node, hand-made peers, a ledger that says yes.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, Bytes};
use synod_types::genesis::ProofOfWork as Parameters;
use synod_types::{B256, Block, BlockHash, Height, UnixMillis};

use super::*;
use crate::effects::Effect;
use crate::journal::{Durable, FrameNumber, Journal};
use crate::replica::Replica;
use crate::sim::ledger::{Ledger, ModelLedger, SharedArchive, Template};

const START: u64 = 1_700_000_000;
const BITS: u32 = 0x207f_ffff;

/// A journal that keeps everything at once.
struct Instant(FrameNumber);

impl Journal for Instant {
    fn durable_through(&self) -> FrameNumber {
        self.0
    }
}

/// One node under test.
struct Story {
    config: Config,
    replica: Replica<ProofOfWork>,
    journal: Instant,
    records: Vec<Record>,
    now: Time,
    sent: Vec<(Peer, Message)>,
    told: Vec<Event>,
    accused: Vec<(Peer, Fault)>,
    appended: Vec<BlockHash>,
    rewound: Vec<BlockHash>,
    jobs: Vec<Job>,
    cancels: usize,
    /// What the block log keeps.
    log: BTreeMap<BlockHash, Bytes>,
    /// The block on which the ledger stands.
    log_tip: BlockHash,
    /// The ledger's answers on their way.
    inputs: VecDeque<Input<ProofOfWork>>,
    /// Blocks that the ledger refuses.
    invalid: Vec<BlockHash>,
}

fn genesis() -> Header {
    let commitment = B256::repeat_byte(1);
    Header { version: 1, parent: BlockHash::default(), commitment, time: START as u32, bits: BITS, nonce: 0 }
}

fn config(limits: Limits) -> Config {
    let parameters = Parameters { settled_depth: 5, ..Parameters::testnet(BITS) };
    Config { rules: Rules::new(&parameters, &genesis()).unwrap(), limits, mines: false }
}

impl Story {
    fn new(config: Config) -> Self {
        Self::restart(config, Vec::new(), History::default(), &[])
    }

    /// A start with what journal and block log kept; `log` are the blocks that the log can still read.
    fn restart(config: Config, records: Vec<Record>, history: History, log: &[Body]) -> Self {
        let tip = history.chain.last().map_or(genesis().hash(), Header::hash);
        let journal = Instant(FrameNumber(0));
        let proof = Durable::proven_by(&journal);
        let wall = UnixMillis(START * 1000);
        let replica = Replica::recover(config.clone(), records, history, &proof, 1, Time(0), wall);
        let mut story = Self {
            config,
            replica,
            journal,
            records: Vec::new(),
            now: Time(0),
            sent: Vec::new(),
            told: Vec::new(),
            accused: Vec::new(),
            appended: Vec::new(),
            rewound: Vec::new(),
            jobs: Vec::new(),
            cancels: 0,
            log: log.iter().map(|body| (body.hash(), body.bytes().clone())).collect(),
            log_tip: tip,
            inputs: VecDeque::new(),
            invalid: Vec::new(),
        };
        story.carry_out();
        story
    }

    fn give(&mut self, input: Input<ProofOfWork>) {
        // The wall clock of these stories is far ahead, so that no block is from the future.
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.replica.step(input, self.now, UnixMillis((START + 1_000_000) * 1000));
            self.carry_out();
        }
    }

    /// The ledger's yes or no; what does not stand on the tip followed a refused block, and is dropped.
    fn append(&mut self, position: synod_types::Position, block_hash: BlockHash, body: Bytes) {
        let parent = Body::from_bytes(body.clone()).unwrap().header().parent();
        if parent != self.log_tip {
            return;
        }
        if self.invalid.contains(&block_hash) {
            return self.inputs.push_back(Input::Refused { block_hash, reason: "spoilt".into() });
        }
        self.log_tip = block_hash;
        self.appended.push(block_hash);
        self.log.insert(block_hash, body);
        self.inputs.push_back(Input::Executed { position, block_hash });
    }

    fn hear(&mut self, from: u64, message: Message) {
        match ProofOfWork::check(&self.config, Peer(from), message) {
            Ok(message) => self.give(Input::Message { from: Peer(from), message }),
            Err(fault) => self.accused.push((Peer(from), fault)),
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(at) = self.replica.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.give(Input::Wake);
        }
        self.now = end;
    }

    fn carry_out(&mut self) {
        if let Some(frame) = self.replica.take_frame() {
            self.journal.0 = frame.number;
            self.records.extend(frame.records);
            self.replica.durable(&Durable::proven_by(&self.journal));
        }
        while let Some(effect) = self.replica.next_effect() {
            match effect {
                Effect::Send { to, message } => self.sent.push((to, message)),
                Effect::Broadcast(message) => self.sent.push((Peer(u64::MAX), message)),
                Effect::Append { position, block_hash, body, .. } => {
                    self.append(position, block_hash.unwrap(), body);
                }
                Effect::Rewind { block_hash, .. } => {
                    self.log_tip = block_hash;
                    self.rewound.push(block_hash);
                }
                Effect::Load { block_hash } => {
                    let body = self.log.get(&block_hash).cloned();
                    self.inputs.push_back(Input::Loaded { block_hash, body });
                }
                Effect::Start(job) => self.jobs.push(job),
                Effect::Cancel => self.cancels += 1,
                Effect::Accuse { peer, fault } => self.accused.push((peer, fault)),
                Effect::Tell(event) => self.told.push(event),
            }
        }
    }

    fn tip(&self) -> BlockHash {
        self.replica.protocol().tip().block_hash
    }
}

/// A branch of `length` blocks above `below` (the genesis block, or the end of another branch), each
/// `spacing` seconds after its parent; `tag` tells branches apart.
fn branch(config: &Config, below: &[Body], length: usize, spacing: u32, tag: u8) -> Vec<Body> {
    let archive = SharedArchive::default();
    let mut ledger = ModelLedger::new(genesis(), archive);
    below.iter().for_each(|body| ledger.execute(body.hash(), body.bytes()).unwrap());
    let mut time = below.last().map_or(START as u32, |body| body.header().header().time);
    let mut blocks = Vec::new();
    for height in below.len() as u64..(below.len() + length) as u64 {
        let bits = config.rules.asert.next_target(height, time).to_compact();
        time += spacing;
        let recipient = Address::repeat_byte(tag);
        let time = UnixMillis(u64::from(time) * 1000);
        let template = Template { parent: ledger.tip(), height: Height(height + 1), bits, time, recipient };
        let body = solved(ledger.assemble(&template).unwrap());
        ledger.execute(body.hash(), body.bytes()).unwrap();
        blocks.push(body);
    }
    blocks
}

fn solved(mut block: Block) -> Body {
    let target = Target::from_compact(block.header.bits).unwrap();
    block.header.nonce =
        (0..).find(|nonce| target.is_met_by(Header { nonce: *nonce, ..block.header }.hash())).unwrap();
    Body::from_block(&block)
}

fn headers(blocks: &[Body]) -> Vec<HashedHeader> {
    blocks.iter().map(|body| *body.header()).collect()
}

/// Blocks every three seconds: a little late, so that the target stays at its limit.
fn easy(config: &Config, below: &[Body], length: usize, tag: u8) -> Vec<Body> {
    branch(config, below, length, 3, tag)
}

#[test]
fn pow_9_a_reorganisation_deeper_than_the_spine_comes_out_of_the_trunk() {
    let config = config(Limits { recent_blocks: 4, ..Limits::default() });
    let (old, new) = (easy(&config, &[], 40, 1), easy(&config, &[], 41, 2));
    let mut story = Story::new(config);
    old.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    assert_eq!(story.tip(), old[39].hash());
    new.iter().for_each(|body| story.hear(2, Message::NewBlock(body.clone())));
    assert_eq!(story.tip(), new[40].hash());
    assert_eq!(story.rewound, [genesis().hash()]);
    assert!(story.told.contains(&Event::SettledReversed { depth: 40 }));
    let fork = Event::Reorganised { fork: genesis().hash(), fork_height: Height(0), depth: 40 };
    assert!(story.told.contains(&fork));
    // And back: the old branch needs two more blocks to be the heavier one again.
    easy(&story.config.clone(), &old, 2, 1)
        .into_iter()
        .for_each(|body| story.hear(1, Message::NewBlock(body)));
    assert_eq!(story.replica.protocol().tip().height, Height(42));
    assert!(story.accused.is_empty(), "{:?}", story.accused);
}

#[test]
fn pow_2_of_equal_branches_the_first_stays() {
    let config = config(Limits::default());
    let (first, second) = (easy(&config, &[], 3, 1), easy(&config, &[], 3, 2));
    let mut story = Story::new(config);
    first.iter().chain(&second).for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    assert_eq!(story.tip(), first[2].hash());
    assert!(story.rewound.is_empty());
}

#[test]
fn pow_7_a_refused_block_condemns_its_subtree_over_a_restart() {
    let config = config(Limits::default());
    let good = easy(&config, &[], 2, 1);
    let bad = easy(&config, &good[..1], 3, 2);
    let mut story = Story::new(config.clone());
    story.invalid = vec![bad[0].hash()];
    good.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    bad.iter().for_each(|body| story.hear(2, Message::NewBlock(body.clone())));
    assert_eq!(story.tip(), good[1].hash(), "back on the old branch, out of the block log");
    assert!(story.accused.contains(&(Peer(2), Fault::InvalidBlock(bad[0].hash()))));
    let history =
        History { chain: good.iter().map(|body| *body.header().header()).collect(), undone: vec![] };
    let mut again = Story::restart(config, story.records.clone(), history, &good);
    again.hear(3, Message::NewBlock(bad[0].clone()));
    again.hear(3, Message::NewBlock(bad[1].clone()));
    assert_eq!(again.tip(), good[1].hash());
    assert_eq!(again.accused[0], (Peer(3), Fault::OnInvalid(bad[0].hash())));
    assert!(again.appended.is_empty());
}

#[test]
fn pow_9_a_node_cut_off_amid_a_reorganisation_finds_the_heavier_branch_in_its_log() {
    let config = config(Limits::default());
    let (old, new) = (easy(&config, &[], 6, 1), easy(&config, &[], 7, 2));
    let chain = new[..2].iter().map(|body| *body.header().header()).collect();
    let undone = old.iter().map(|body| *body.header().header()).collect();
    let log: Vec<Body> = old.iter().chain(&new[..2]).cloned().collect();
    let mut story = Story::restart(config, Vec::new(), History { chain, undone }, &log);
    story.give(Input::Wake);
    assert_eq!((story.tip(), story.rewound.as_slice()), (old[5].hash(), [genesis().hash()].as_slice()));
}

#[test]
fn pow_6_a_wrong_body_blames_its_sender_and_the_right_one_is_taken_from_another() {
    let config = config(Limits::default());
    let blocks = easy(&config, &[], 1, 1);
    let mut block = Block::from_bytes(blocks[0].bytes()).unwrap();
    block.commitment.extra_nonce += 1;
    let mut story = Story::new(config);
    for peer in [1, 2] {
        story.give(Input::Connected(Peer(peer)));
        let work = Work(alloy_primitives::U256::from(2));
        story.hear(peer, Message::Tip { block_hash: blocks[0].hash(), height: Height(1), work });
    }
    story.hear(1, Message::NewBlock(Body::from_block(&block)));
    assert_eq!(story.accused, [(Peer(1), Fault::WrongBody)]);
    let asked: Vec<_> = story
        .sent
        .iter()
        .filter(|(_, message)| matches!(message, Message::AskBody { .. }))
        .cloned()
        .collect();
    let (asked, _) = asked[0];
    story.hear(asked.0, Message::Body(blocks[0].clone()));
    assert_eq!(story.tip(), blocks[0].hash());
}

#[test]
fn p2p_9_sync_ends_with_one_honest_peer_among_liars() {
    let config = config(Limits { headers_per_message: 16, ..Limits::default() });
    let chain = easy(&config, &[], 60, 1);
    let mut story = Story::new(config);
    let huge = Work(alloy_primitives::U256::from(1) << 100);
    for liar in 1..=6 {
        story.give(Input::Connected(Peer(liar)));
        story.hear(
            liar,
            Message::Tip {
                block_hash: BlockHash(B256::repeat_byte(liar as u8)),
                height: Height(1 << 40),
                work: huge,
            },
        );
    }
    story.give(Input::Connected(Peer(9)));
    let tip = Message::Tip {
        block_hash: chain[59].hash(),
        height: Height(60),
        work: Work(alloy_primitives::U256::from(120)),
    };
    story.hear(9, tip.clone());
    for _ in 0..400 {
        let questions = std::mem::take(&mut story.sent);
        for (to, question) in questions.into_iter().filter(|(to, _)| *to == Peer(9)) {
            match question {
                Message::AskTip => story.hear(to.0, tip.clone()),
                Message::AskHeaders { locator } => {
                    let from =
                        chain.iter().rposition(|body| locator.contains(&body.hash())).map_or(0, |at| at + 1);
                    let headers = headers(&chain[from..chain.len().min(from + 16)]);
                    story.hear(to.0, Message::Headers { headers });
                }
                Message::AskBody { block_hash } => {
                    let body = chain.iter().find(|body| body.hash() == block_hash).unwrap();
                    story.hear(to.0, Message::Body(body.clone()));
                }
                _ => {}
            }
        }
        story.pass_ms(100);
    }
    assert_eq!(story.tip(), chain[59].hash());
    assert!(story.accused.iter().all(|(peer, _)| *peer != Peer(9)), "{:?}", story.accused);
}

/// A peer that we heard of long ago, before a pause or a partition, may have come far since on a branch that
/// we left behind. It owes us no apology: not for an answer longer than its old claim, and not for the blocks
/// that it goes on passing on. What is too much is dropped.
#[test]
fn a9_pow_5_an_honest_peer_with_a_long_light_branch_is_not_accused() {
    let config = config(Limits { side_headers_per_peer: 8, ..Limits::default() });
    let (ours, theirs) = (easy(&config, &[], 20, 1), easy(&config, &[], 30, 2));
    let mut story = Story::new(config);
    for peer in [1, 2, 3] {
        story.give(Input::Connected(Peer(peer)));
    }
    ours.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    let work = Work(alloy_primitives::U256::from(60));
    story.hear(2, Message::Tip { block_hash: theirs[2].hash(), height: Height(3), work });
    assert!(matches!(story.sent.last(), Some((Peer(2), Message::AskHeaders { .. }))));
    story.hear(2, Message::Headers { headers: headers(&theirs) });
    theirs.iter().for_each(|body| story.hear(2, Message::Body(body.clone())));
    assert_eq!(story.tip(), theirs[29].hash(), "all of its headers were taken, and the branch is heavier");

    let light = easy(&story.config.clone(), &[], 25, 3);
    light.iter().for_each(|body| story.hear(3, Message::NewHeader(*body.header())));
    let [_, side, orphans, ..] = story.replica.protocol().sizes();
    assert_eq!((side, orphans), (20 + 8, 16), "the old branch, its share, and orphans up to theirs");
    assert!(story.accused.is_empty(), "{:?}", story.accused);
}

/// An attacker grinds one short branch after the other from the genesis block. An honest node never passes on
/// what weighs no more than what it passed on before, so that this is found out; and it fills no memory.
#[test]
fn s_p1_a_flood_of_light_branches_is_bounded_and_found_out() {
    let config = config(Limits { side_headers_per_peer: 8, ..Limits::default() });
    let ours = easy(&config, &[], 20, 1);
    let mut story = Story::new(config.clone());
    story.give(Input::Connected(Peer(1)));
    story.give(Input::Connected(Peer(2)));
    ours.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    for tag in 10..13 {
        let light = easy(&config, &[], 4, tag);
        light.iter().for_each(|body| story.hear(2, Message::NewHeader(*body.header())));
    }
    assert!(story.accused.contains(&(Peer(2), Fault::Flood)), "{:?}", story.accused);
    let [_, side, orphans, ..] = story.replica.protocol().sizes();
    assert!(side <= 8 && orphans <= 16, "{side} side headers, {orphans} orphans");
    assert_eq!(story.tip(), ours[19].hash());
}

/// What hangs on nothing is kept in memory alone, a few of each peer and of all, and its parent is asked of whoever
/// brought it.
#[test]
fn pow_8_orphans_are_few_and_their_parents_are_asked_of_their_sender_alone() {
    let config = config(Limits { orphans: 40, ..Limits::default() });
    let chain = easy(&config, &[], 40, 1);
    let mut story = Story::new(config);
    (1..=4).for_each(|peer| story.give(Input::Connected(Peer(peer))));
    for (peer, kept) in [(1, 16), (2, 32), (3, 40), (4, 40)] {
        story.sent.clear();
        let other = easy(&story.config.clone(), &[], 30, peer as u8 + 10);
        other.iter().skip(1).for_each(|body| story.hear(peer, Message::NewHeader(*body.header())));
        let asked: Vec<Peer> = story
            .sent
            .iter()
            .filter(|(_, message)| matches!(message, Message::AskHeaders { .. }))
            .map(|(to, _)| *to)
            .collect();
        assert!(!asked.is_empty() && asked.iter().all(|to| *to == Peer(peer)), "{peer}: {asked:?}");
        assert_eq!(story.replica.protocol().sizes()[2], kept);
    }
    assert!(story.records.is_empty(), "nothing of it is written");
    story.give(Input::Disconnected(Peer(1)));
    assert_eq!(story.replica.protocol().sizes()[2], 24, "they go with their peer");
    chain.iter().for_each(|body| story.hear(2, Message::NewBlock(body.clone())));
    assert_eq!(story.tip(), chain[39].hash());
}

#[test]
fn pow_12_a_block_is_as_deep_as_what_stands_on_it_and_has_its_work_on_top() {
    let config = config(Limits::default());
    let chain = easy(&config, &[], 10, 1);
    let mut story = Story::new(config);
    chain.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    let of = |at: usize| story.replica.protocol().confirmations(chain[at].hash()).unwrap();
    assert_eq!((of(9).depth, of(9).work_on_top), (1, Work::default()));
    let work = |body: &Body| Target::from_compact(body.header().header().bits).unwrap().work();
    let six = chain[5..].iter().fold(Work::default(), |sum, body| sum.plus(work(body)));
    assert_eq!((of(4).depth, of(4).work_on_top), (6, six));
    let elsewhere = easy(&story.config.clone(), &[], 3, 2);
    elsewhere.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    assert!(story.replica.protocol().confirmations(elsewhere[0].hash()).is_none(), "it is on another branch");
}

#[test]
fn a7_a_branch_larger_than_memory_is_executed_while_it_is_fetched() {
    let config = config(Limits { body_bytes: 4_000, requests: 4, ..Limits::default() });
    let (old, new) = (easy(&config, &[], 20, 1), easy(&config, &[], 24, 2));
    let mut story = Story::new(config);
    old.iter().for_each(|body| story.hear(1, Message::NewBlock(body.clone())));
    story.give(Input::Connected(Peer(2)));
    let work = Work(alloy_primitives::U256::from(48));
    story.hear(2, Message::Tip { block_hash: new[23].hash(), height: Height(24), work });
    for _ in 0..200 {
        for (to, question) in std::mem::take(&mut story.sent) {
            match question {
                Message::AskHeaders { .. } => story.hear(to.0, Message::Headers { headers: headers(&new) }),
                Message::AskBody { block_hash } => {
                    let body = new.iter().find(|body| body.hash() == block_hash).unwrap();
                    story.hear(to.0, Message::Body(body.clone()));
                }
                _ => {}
            }
        }
        story.pass_ms(50);
    }
    assert_eq!(story.tip(), new[23].hash());
}

#[test]
fn pow_11_a_template_dies_with_its_tip() {
    let mut config = config(Limits::default());
    config.mines = true;
    let blocks = easy(&config, &[], 1, 1);
    let mut story = Story::new(config);
    assert!(story.jobs.is_empty(), "the genesis block's second is not over");
    story.pass_ms(1_000);
    assert!(matches!(story.jobs.last(), Some(Job::Assemble { height: Height(1), .. })));
    story.hear(1, Message::NewBlock(blocks[0].clone()));
    assert!(story.cancels > 0);
    let Some(Job::Assemble { parent, height, .. }) = story.jobs.last() else { panic!("a job follows") };
    assert_eq!((*parent, *height), (blocks[0].hash(), Height(2)));
}

#[test]
fn messages_round_trip_and_hostile_lengths_are_refused() {
    let config = config(Limits::default());
    let blocks = easy(&config, &[], 2, 1);
    for message in [
        Message::AskTip,
        Message::AskHeaders { locator: vec![genesis().hash()] },
        Message::Headers { headers: headers(&blocks) },
        Message::NewBlock(blocks[0].clone()),
        Message::NewHeader(*blocks[1].header()),
        Message::NoBody { block_hash: genesis().hash() },
    ] {
        let bytes = message.to_bytes();
        assert_eq!(Message::from_bytes(&bytes), Ok(message));
        assert!(Message::from_bytes(&bytes[..bytes.len() - 1]).is_err() || bytes.len() == 4);
    }
    let mut long = Message::AskHeaders { locator: vec![] }.to_bytes();
    let end = long.len();
    long[end - 8..].fill(0xff);
    assert!(Message::from_bytes(&long).is_err());
    let many = Message::AskHeaders { locator: vec![genesis().hash(); 65] };
    assert!(matches!(
        ProofOfWork::check(&config, Peer(1), many),
        Err(Fault::TooMany { count: 65, limit: 64 })
    ));
}

#[cfg(feature = "mutants")]
#[test]
fn pow_2_the_mutant_of_64_bit_work_dies() {
    let sum = || Work(alloy_primitives::U256::from(u64::MAX)).plus(Work(alloy_primitives::U256::from(1)));
    assert_eq!(sum().0.bit_len(), 65);
    assert_ne!(synod_types::mutant::with("pow-u64-work", sum), sum());
}
