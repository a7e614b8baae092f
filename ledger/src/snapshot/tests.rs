//! Snapshots made, doubted, cut short, damaged, and begun from.

use std::sync::Arc;

use synod_types::{B256, Block, Bytes, Genesis, Header, Height, U256, UnixMillis, codec};

use super::chunk::{Chunk, Item};
use super::*;
use crate::disk::{Choices, Disk, DiskFile, Faults, PowerCut, SimDisk};
use crate::execution::Proposal;
use crate::history::LoggedHistory;
use crate::log::blocks::{BlockLog, OpenedBlocks, Tip};
use crate::log::{LogOptions, Salt};
use crate::logs::{LogFilter, LogPlace, LogsError};
use crate::testing::{account, deploying, genesis, key, running, signed, transfer};
use crate::{BlockHistory, IndexFound, Ledger, MemoryHistory, OpenError, Options};

/// Stores BLOCKHASH(NUMBER - calldata) under NUMBER.
const REMEMBERS: [u8; 9] = [0x5f, 0x35, 0x43, 0x03, 0x40, 0x43, 0x55, 0x00, 0x00];
const PROOF: &[u8] = b"what the ordering says";

/// A chain that deploys contracts, fills their storage, and asks for old block hashes.
pub(super) struct Story {
    chain: Ledger<MemoryHistory>,
    blocks: Vec<Block>,
    nonce: u64,
}

impl Story {
    fn new() -> Self {
        let chain = Ledger::open(genesis(), MemoryHistory::default(), Options::new([1; 32])).unwrap().0;
        Self { chain, blocks: Vec::new(), nonce: 0 }
    }

    /// Blocks up to a height.
    fn go_on(&mut self, to: u64) {
        while self.chain.head().height().0 < to {
            let height = self.chain.head().height().0 + 1;
            let rules = self.chain.rules().clone();
            let mut run = |to, data: Bytes| {
                let native = running(&rules, key(1).public(), self.nonce, to, data);
                self.nonce += 1;
                signed(&rules, &key(1), native)
            };
            // Each contract has code of its own.
            let code = |number: u64| [&REMEMBERS[..], &number.to_be_bytes()].concat();
            let mut transactions = match height % 8 {
                1 => vec![run(None, deploying(&code(height)))],
                _ => {
                    let contract = synod_vm::create_address(&account(1), 0);
                    let back = U256::from([1, 200, 256, 257][height as usize % 4]);
                    vec![run(Some(contract), back.to_be_bytes::<32>().into())]
                }
            };
            transactions.push(transfer(&rules, &key(2), height - 1, key(50 + height).public(), 7));
            let time = UnixMillis(self.chain.head().time().0 + 1_000);
            let (proposer, fee_recipient) = (account(3), account(3));
            let block = self.chain.build(Proposal { time, proposer, fee_recipient, transactions }, 0).block;
            self.chain.append(&block, &()).unwrap();
            self.blocks.push(block);
        }
    }

    fn headers_up_to(&self, height: u64) -> Vec<Header> {
        let first = height.saturating_sub(256);
        self.blocks[first as usize..height as usize].iter().map(|block| block.header).collect()
    }

    /// Makes the snapshot of a height in the window.
    pub(super) fn make(&self, disk: SimDisk, height: u64) -> Result<Manifest, MakeError> {
        let block = self.chain.reader().recent_block_at(Height(height)).unwrap();
        let (snapshots, _) = Snapshots::open(disk, &genesis())?;
        make(&snapshots, &genesis(), &block, self.headers_up_to(height), PROOF)
    }

    fn tip(&self, height: u64) -> Tip {
        Tip { height: Height(height), hash: self.blocks[height as usize - 1].hash() }
    }
}

pub(super) fn story(to: u64) -> Story {
    let mut story = Story::new();
    story.go_on(to);
    story
}

fn opened(disk: &SimDisk) -> Arc<Snapshots<SimDisk>> {
    let (snapshots, damaged) = Snapshots::open(disk.clone(), &genesis()).unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
    Arc::new(snapshots)
}

/// What a server gives: the manifest, and chunks by number.
pub(super) fn served(disk: &SimDisk, height: u64) -> (Manifest, Vec<Vec<u8>>) {
    let snapshots = opened(disk);
    let manifest = snapshots.manifest(Height(height)).unwrap();
    let chunks = 0..manifest.chunks().len() as u32;
    let chunks = chunks.map(|index| snapshots.chunk(Height(height), index).unwrap()).collect();
    (manifest, chunks)
}

/// Takes a server's chunks in until one is refused.
fn taken(manifest: &Manifest, chunks: &[Vec<u8>]) -> Result<(), (usize, ChunkError)> {
    let names = chunks.iter().map(|bytes| ChunkName::of(bytes)).collect();
    let lying = Manifest::new(&genesis(), headers(manifest), manifest.commitment().clone(), names);
    let lying = Manifest::read(&lying.to_bytes(), &genesis()).map_err(|_| (0, ChunkError::Impossible))?;
    let mut intake = Intake::new(lying);
    for (index, chunk) in chunks.iter().enumerate() {
        intake.take(chunk).map_err(|error| (index, error))?;
    }
    intake.finish().map(drop).map_err(|error| (chunks.len(), error))
}

fn headers(manifest: &Manifest) -> Vec<Header> {
    let lowest = manifest.height().0.saturating_sub(255).max(1);
    (lowest..=manifest.height().0).map(|height| *manifest.header_at(Height(height)).unwrap()).collect()
}

/// A14: a snapshot and the blocks above it give what all blocks give, to the last byte, old block hashes included.
#[test]
fn a14_a_snapshot_and_its_tail_are_the_whole_chain() {
    let mut story = story(300);
    let disk = SimDisk::new(0);
    // Made of a view that the chain has left behind, with code that came later.
    let made = story.make(disk.clone(), 280).unwrap();
    story.go_on(340);
    let snapshots = opened(&disk);
    assert_eq!(
        (snapshots.newest(), snapshots.proof(Height(280)).unwrap()),
        (Some(made.clone()), PROOF.to_vec())
    );
    assert!(made.chunks().len() > 20 && made.bytes() > 20_000);
    let base = Base::at(&snapshots, story.tip(280)).unwrap();
    let options = || Options { base: Some(base.clone()), ..Options::new([2; 32]) };
    let mut log = MemoryHistory::above(story.tip(280));
    let (mut young, report) = Ledger::open(genesis(), log.clone(), options()).unwrap();
    assert_eq!((report.height, report.replayed_from), (Height(280), Height(280)));
    for block in &story.blocks[280..] {
        young.append(block, &()).unwrap();
        log.append(block).unwrap();
    }
    let (replayed, _) = Ledger::open(genesis(), log, options()).unwrap();
    for other in [&young, &replayed] {
        assert_eq!(other.head().hash, story.chain.head().hash);
        assert_eq!(other.recount_root(), story.chain.recount_root());
        assert_eq!(other.view().entries(), story.chain.view().entries());
    }
    assert_eq!(young.reader().base(), Height(280));
    let reader = young.reader();
    assert_eq!(reader.receipts(Height(200)).unwrap(), None, "not an empty list");
    let logs = |from| {
        let from = LogPlace { height: Height(from), index: 0 };
        reader.logs(&LogFilter::default(), from, Height(340), 10)
    };
    assert!(matches!(logs(280), Err(LogsError::Pruned(Height(281)))));
    assert_eq!(logs(281).unwrap().logs, []);
}

/// STO-4: the index of a chain that begins at a snapshot is used, and when it is lost the state comes from there.
#[test]
fn sto_4_an_index_above_a_snapshot_is_used_and_rebuilt_from_there() {
    let mut story = story(300);
    let (disk, folder) = (SimDisk::new(0), tempfile::tempdir().unwrap());
    story.make(disk.clone(), 280).unwrap();
    story.go_on(340);
    let (snapshots, index) = (opened(&disk), folder.path().join("index"));
    let options = || Options {
        layers: 4,
        checkpoint_every: 2,
        index: Some(index.clone()),
        base: Base::at(&snapshots, story.tip(280)),
        ..Options::new([2; 32])
    };
    let mut log = MemoryHistory::above(story.tip(280));
    let (mut chain, report) = Ledger::open(genesis(), log.clone(), options()).unwrap();
    assert_eq!(report.index, IndexFound::Empty);
    for block in &story.blocks[280..320] {
        chain.append(block, &()).unwrap();
        log.append(block).unwrap();
    }
    chain.close();
    let (mut chain, report) = Ledger::open(genesis(), log.clone(), options()).unwrap();
    assert!(matches!(report.index, IndexFound::Used { height } if height > Height(280)), "{report:?}");
    assert!(report.replayed_from > Height(280));
    // Contracts still ask for hashes from before the snapshot.
    for block in &story.blocks[320..] {
        chain.append(block, &()).unwrap();
        log.append(block).unwrap();
    }
    assert_eq!(chain.view().entries(), story.chain.view().entries());
    let reader = chain.reader();
    assert_eq!(reader.receipts(Height(290)).unwrap().map(|receipts| receipts.len()), Some(2));
    assert_eq!(reader.receipts(Height(280)).unwrap(), None);
    drop(reader);
    chain.close();
    std::fs::write(index.join("db"), b"nonsense").unwrap();
    let (chain, report) = Ledger::open(genesis(), log, options()).unwrap();
    assert!(matches!(report.index, IndexFound::Rebuilt { .. }), "{report:?}");
    assert_eq!((report.replayed_from, report.height), (Height(280), Height(340)));
    assert_eq!(chain.view().entries(), story.chain.view().entries());
}

/// Members that make the snapshot of one block make the same, wherever they stand by then.
#[test]
fn whoever_makes_it_makes_the_same() {
    let mut story = story(40);
    let (early, late) = (SimDisk::new(0), SimDisk::new(1));
    story.make(early.clone(), 40).unwrap();
    story.go_on(90);
    story.make(late.clone(), 40).unwrap();
    assert_eq!(served(&early, 40), served(&late, 40));
}

#[test]
fn a_snapshot_that_is_not_its_blocks_is_not_made() {
    let story = story(12);
    let block = story.chain.reader().recent_block_at(Height(12)).unwrap();
    let snapshots = opened(&SimDisk::new(0));
    let made = make(&snapshots, &genesis(), &block, story.headers_up_to(11), PROOF);
    assert!(matches!(made, Err(MakeError::Headers)));
    let later = story.chain.reader().recent_block_at(Height(11)).unwrap();
    let wrong = crate::Executed {
        hash: block.hash,
        header: block.header,
        commitment: block.commitment.clone(),
        transactions: Vec::new(),
        receipts: Vec::new(),
        diff: None,
        view: later.view.clone(),
    };
    let made = make(&snapshots, &genesis(), &wrong, story.headers_up_to(12), PROOF);
    assert!(matches!(made, Err(MakeError::Root(Height(12)))));
    assert_eq!(snapshots.newest(), None);
}

/// S-B9: each lie is found at the chunk that tells it, though the manifest names that very chunk.
#[test]
fn a_chunk_that_is_not_the_states_own_is_refused_when_it_comes() {
    let story = story(40);
    let disk = SimDisk::new(0);
    story.make(disk.clone(), 40).unwrap();
    let (manifest, chunks) = served(&disk, 40);
    assert_eq!(taken(&manifest, &chunks), Ok(()));
    let changed = |at: usize, change: &dyn Fn(&mut Chunk)| {
        let mut lying = chunks.clone();
        let mut chunk = Chunk::from_bytes(&lying[at]).unwrap();
        change(&mut chunk);
        lying[at] = chunk.to_bytes();
        taken(&manifest, &lying)
    };
    let leaves = |change: fn(&mut Vec<Item>)| {
        move |chunk: &mut Chunk| match chunk {
            Chunk::Leaves { items, .. } => change(items),
            Chunk::Code(_) => panic!("leaves come first"),
        }
    };
    let richer = leaves(|items| {
        let account = items.iter_mut().find_map(|item| match item {
            Item::Account(_, account) => Some(account),
            _ => None,
        });
        account.unwrap().balance += U256::from(1);
    });
    let shorter = leaves(|items| drop(items.pop()));
    let empty = leaves(Vec::clear);
    let twice = leaves(|items| items.push(items[0].clone()));
    for at in [0, 2] {
        assert_eq!(changed(at, &richer), Err((at, ChunkError::Root)));
        assert_eq!(changed(at, &shorter), Err((at, ChunkError::Root)));
        assert_eq!(changed(at, &twice), Err((at, ChunkError::Root)));
        assert_eq!(changed(at, &empty), Err((at, ChunkError::Impossible)));
    }
    let code = chunks.len() - 1;
    let codes = |change: fn(&mut Vec<Bytes>)| {
        move |chunk: &mut Chunk| match chunk {
            Chunk::Code(codes) => change(codes),
            Chunk::Leaves { .. } => panic!("code comes last"),
        }
    };
    assert_eq!(
        changed(code, &codes(|codes| codes[0] = Bytes::from_static(&[0]))),
        Err((code, ChunkError::Code))
    );
    assert_eq!(changed(code, &codes(|codes| codes.swap(0, 1))), Err((code, ChunkError::Code)));
    assert_eq!(changed(code, &codes(|codes| codes.push(Bytes::new()))), Err((code, ChunkError::Code)));
    assert_eq!(changed(code, &codes(|codes| drop(codes.pop()))), Err((code + 1, ChunkError::Incomplete)));

    let mut swapped = chunks.clone();
    swapped.swap(0, 1);
    assert_eq!(taken(&manifest, &swapped), Err((0, ChunkError::Root)));
    let without = [&chunks[..1], &chunks[2..]].concat();
    assert_eq!(taken(&manifest, &without), Err((1, ChunkError::Root)));
    assert_eq!(taken(&manifest, &chunks[..2]), Err((2, ChunkError::Incomplete)));
    assert_eq!(
        taken(&manifest, &[&chunks[..], &chunks[..1]].concat()),
        Err((chunks.len(), ChunkError::Root))
    );
    assert_eq!(taken(&manifest, &[&chunks[..], &chunks[code..]].concat()), Err((code + 1, ChunkError::Code)));
    assert_eq!(
        taken(&manifest, &[&chunks[..1], &[b"nonsense".to_vec()]].concat()),
        Err((1, ChunkError::Malformed))
    );
    // What the manifest does not name is not even decoded.
    let mut intake = Intake::new(manifest);
    assert_eq!(intake.take(&chunks[1]), Err(ChunkError::Hash));
    assert_eq!(intake.take(&chunks[0]), Ok(()));
}

#[test]
fn a_manifest_is_of_this_network_and_of_one_block() {
    let story = story(300);
    let disk = SimDisk::new(0);
    let manifest = story.make(disk, 290).unwrap();
    let of = |headers: Vec<Header>, chunks: Vec<ChunkName>| {
        let manifest = Manifest::new(&genesis(), headers, manifest.commitment().clone(), chunks);
        Manifest::read(&manifest.to_bytes(), &genesis()).map(drop)
    };
    let (headers, chunks) = (headers(&manifest), manifest.chunks().to_vec());
    assert_eq!(headers.len(), 256);
    assert_eq!(of(headers.clone(), chunks.clone()), Ok(()));
    assert_eq!(of(headers[1..].to_vec(), chunks.clone()), Err(Untrue::Headers));
    assert_eq!(of(Vec::new(), chunks.clone()), Err(Untrue::Headers));
    let mut broken = headers.clone();
    broken[100].time += 1;
    assert_eq!(of(broken, chunks.clone()), Err(Untrue::Headers));
    assert_eq!(of(headers[..255].to_vec(), chunks.clone()), Err(Untrue::Headers));
    assert_eq!(of(headers.clone(), Vec::new()), Err(Untrue::Chunks));
    let impossible = ChunkName { length: u32::MAX, ..chunks[0] };
    assert_eq!(of(headers.clone(), vec![impossible]), Err(Untrue::Chunks));
    assert_eq!(of(headers, vec![ChunkName { length: 0, ..chunks[0] }]), Err(Untrue::Chunks));
    let other = Genesis { salt: B256::ZERO, ..genesis() };
    assert_eq!(Manifest::read(&manifest.to_bytes(), &other), Err(Untrue::OtherNetwork));
    let mut newer = manifest.to_bytes();
    newer[3] = 9;
    assert_eq!(Manifest::read(&newer, &genesis()), Err(Untrue::Format { found: 9 }));
    let mut longer = manifest.to_bytes();
    longer.push(0);
    assert_eq!(Manifest::read(&longer, &genesis()), Err(Untrue::Malformed));
    // A count that promises more than there is allocates nothing in proportion.
    let mut endless = codec::encode(&(1_u32, 7_u64, [0_u8; 32]));
    endless.extend_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(Manifest::read(&endless, &genesis()), Err(Untrue::Malformed));
}

/// GEN-12: wherever the power fails, the snapshot is whole or was never there.
#[test]
fn a_crash_anywhere_while_it_is_made_leaves_a_whole_one_or_nothing() {
    let story = story(12);
    let mut finished = false;
    for (crash, cut) in (1..).flat_map(|crash| CUTS.map(|cut| (crash, cut))) {
        let disk = SimDisk::new(crash);
        let before = story.make(disk.clone(), 8).unwrap();
        let start = disk.operations();
        disk.set_faults(Faults { power_off_after: Some(start + crash), ..Faults::default() });
        finished = story.make(disk.clone(), 12).is_ok();
        disk.set_faults(Faults::default());
        disk.power_cut(cut, &mut Choices::new(crash));
        let snapshots = opened(&disk);
        assert_eq!(snapshots.manifest(Height(8)), Some(before));
        match snapshots.manifest(Height(12)) {
            Some(_) => {
                assert_eq!(
                    snapshots.load(Height(12)).unwrap().view().entries(),
                    story.chain.view().entries()
                );
            }
            None => {
                assert!(disk.list().unwrap().iter().all(|name| name.starts_with("8.")), "leftovers are gone");
            }
        }
        if finished {
            break;
        }
    }
    assert!(finished);
}

const CUTS: [PowerCut; 3] = [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear];

/// A node's folders.
#[derive(Clone)]
struct Node(SimDisk);

impl Node {
    fn snapshots(&self) -> SimDisk {
        self.0.folder("snapshots")
    }

    fn log_options() -> LogOptions {
        LogOptions { segment_bytes: 8 << 10, step_bytes: 4 << 10, ..LogOptions::blocks(Salt([1; 16])) }
    }

    fn log(&self) -> BlockLog<SimDisk> {
        match BlockLog::open(self.0.folder("blocks"), Self::log_options()).unwrap() {
            OpenedBlocks::Whole(log, _) => log,
            OpenedBlocks::Damaged(_) => panic!("nothing was damaged"),
        }
    }

    /// The chain's first blocks, as of a member that went away.
    fn with_blocks(self, blocks: &[Block]) -> Self {
        let mut log = self.log();
        for block in blocks {
            let tip = Tip { height: block.height(), hash: block.hash() };
            log.append(tip, block.header.parent, &block.to_bytes()).unwrap();
            log.commit().unwrap();
        }
        self
    }

    /// What a fetch does when all chunks are here and good.
    fn fetched(&self, manifest: &Manifest, chunks: &[Vec<u8>]) -> Result<(), SnapshotError> {
        let (snapshots, _) = Snapshots::open(self.snapshots(), &genesis())?;
        let mut draft = snapshots.begin(manifest.height())?;
        chunks.iter().try_for_each(|chunk| draft.add(chunk))?;
        draft.finish(manifest, PROOF)
    }

    /// A start, up to the open ledger.
    fn start(&self) -> Result<Ledger<LoggedHistory<SimDisk>>, String> {
        let (snapshots, _) =
            Snapshots::open(self.snapshots(), &genesis()).map_err(|error| error.to_string())?;
        let snapshots = Arc::new(snapshots);
        let opened = BlockLog::open(self.0.folder("blocks"), Self::log_options());
        let OpenedBlocks::Whole(mut log, _) = opened.map_err(|error| error.to_string())? else {
            return Err("damaged".to_owned());
        };
        begin_above(&snapshots, &mut log).map_err(|error| error.to_string())?;
        let base = log.base().map_err(|error| error.to_string())?;
        let base = base.and_then(|base| Base::at(&snapshots, base));
        let history = LoggedHistory::new(log, &genesis());
        let options = Options { base, ..Options::new([3; 32]) };
        Ledger::open(genesis(), history, options).map(|(ledger, _)| ledger).map_err(|error| error.to_string())
    }
}

/// GEN-12: a crash anywhere between the first chunk's writing and the open ledger leaves a node that stands where
/// it stood, or at the snapshot, and whose next start completes it.
#[test]
fn a_crash_anywhere_while_it_is_installed_leaves_the_old_chain_or_the_new_one() {
    let story = story(30);
    let source = SimDisk::new(0);
    story.make(source.clone(), 24).unwrap();
    let (manifest, chunks) = served(&source, 24);
    let mut finished = false;
    for (crash, cut) in (1..).flat_map(|crash| CUTS.map(|cut| (crash, cut))) {
        let node = Node(SimDisk::new(crash)).with_blocks(&story.blocks[..9]);
        let start = node.0.operations();
        node.0.set_faults(Faults { power_off_after: Some(start + crash), ..Faults::default() });
        let fetched = node.fetched(&manifest, &chunks);
        let begun = fetched.is_ok().then(|| node.start().map(|ledger| ledger.head().height()));
        finished = begun == Some(Ok(Height(24)));
        node.0.set_faults(Faults::default());
        let mut choices = Choices::new(crash);
        node.0.power_cut(cut, &mut choices);
        let height = node.start().unwrap().head().height();
        let is_whole = fetched.is_ok() && height == Height(24);
        assert!(is_whole || (fetched.is_err() && [9, 24].contains(&height.0)), "crash {crash}: {height}");
        // Once it began there it does so again, and goes on.
        node.0.power_cut(cut, &mut choices);
        let mut again = node.start().unwrap();
        assert_eq!(again.head().height(), height);
        for block in &story.blocks[height.0 as usize..] {
            again.append(block, &()).unwrap();
        }
        again.commit().unwrap();
        drop(again);
        node.0.power_cut(cut, &mut choices);
        let last = node.start().unwrap();
        assert_eq!(last.view().entries(), story.chain.view().entries());
        if height == Height(24) {
            assert_eq!(last.reader().base(), Height(24));
            assert!(last.reader().block_at(Height(9)).is_err(), "pruned, and said so (GEN-13)");
            assert!(last.reader().block_at(Height(25)).unwrap().is_some());
        }
        if finished {
            break;
        }
    }
    assert!(finished);
}

/// The log of a member that was away keeps nothing from before the snapshot that fills a segment.
#[test]
fn what_stood_before_the_snapshot_is_trimmed() {
    let story = story(60);
    let source = SimDisk::new(0);
    story.make(source.clone(), 56).unwrap();
    let (manifest, chunks) = served(&source, 56);
    let node = Node(SimDisk::new(0)).with_blocks(&story.blocks[..40]);
    let before = node.0.folder("blocks").list().unwrap().len();
    node.fetched(&manifest, &chunks).unwrap();
    assert_eq!(node.start().unwrap().head().height(), Height(56));
    assert!(node.0.folder("blocks").list().unwrap().len() < before);
    assert_eq!(node.log().block_with(story.blocks[0].hash()).unwrap(), None);
    // A log that is lost begins at the snapshot again.
    for name in node.0.folder("blocks").list().unwrap() {
        node.0.folder("blocks").remove(&name).unwrap();
    }
    assert_eq!(node.start().unwrap().head().height(), Height(56));
}

fn damage(disk: &SimDisk, name: &str) {
    let file = Disk::open(disk, name).unwrap();
    let mut byte = [0];
    file.read_at(file.length().unwrap() / 2, &mut byte).unwrap();
    file.write_at(file.length().unwrap() / 2, &[byte[0] ^ 1]).unwrap();
    file.sync_data().unwrap();
}

/// What is not whole any more is not begun from; and once blocks stand on it, the start says what to do.
#[test]
fn damage_is_found_at_the_start() {
    let story = story(30);
    let source = SimDisk::new(0);
    story.make(source.clone(), 24).unwrap();
    let (manifest, chunks) = served(&source, 24);
    let away = || {
        let node = Node(SimDisk::new(0)).with_blocks(&story.blocks[..9]);
        node.fetched(&manifest, &chunks).unwrap();
        node
    };
    type Harm = (&'static str, fn(&SimDisk));
    let harms: [Harm; 4] = [
        ("a damaged chunk", |disk| damage(disk, "24.00001")),
        ("a missing chunk", |disk| disk.remove("24.00002").unwrap()),
        ("a damaged manifest", |disk| damage(disk, "24.manifest")),
        ("a missing manifest", |disk| disk.remove("24.manifest").unwrap()),
    ];
    for (what, harm) in harms {
        let node = away();
        harm(&node.snapshots());
        assert_eq!(node.start().unwrap().head().height(), Height(9), "{what} before the log began there");
        let node = away();
        assert_eq!(node.start().unwrap().head().height(), Height(24));
        harm(&node.snapshots());
        let refused = node.start().map(|ledger| ledger.head().height()).unwrap_err();
        assert!(refused.contains("remove blocks/, index/ and snapshots/"), "{what}: {refused}");
    }
    // A snapshot that proves another root than its header's was never whole.
    let node = Node(SimDisk::new(0)).with_blocks(&story.blocks[..9]);
    let names = chunks[..2].iter().map(|bytes| ChunkName::of(bytes)).collect();
    let short = Manifest::new(&genesis(), headers(&manifest), manifest.commitment().clone(), names);
    node.fetched(&short, &chunks[..2]).unwrap();
    assert_eq!(node.start().unwrap().head().height(), Height(9));
    assert_eq!(opened(&node.snapshots()).newest(), None);
    let lost = Options { base: None, ..Options::new([3; 32]) };
    let begun = Ledger::open(genesis(), MemoryHistory::above(story.tip(24)), lost);
    assert!(matches!(begun.map(drop), Err(OpenError::NoBase(Height(24)))));
}

#[test]
fn the_two_newest_stay_and_the_one_that_the_log_begins_at() {
    let mut story = story(4);
    let disk = SimDisk::new(0);
    for height in [4, 8, 12, 16] {
        story.go_on(height);
        story.make(disk.clone(), height).unwrap();
    }
    let heights = |snapshots: &Snapshots<SimDisk>| -> Vec<u64> {
        snapshots.manifests().iter().map(|manifest| manifest.height().0).collect()
    };
    let snapshots = opened(&disk);
    snapshots.keep_newest(Some(Height(4))).unwrap();
    assert_eq!(heights(&snapshots), [4, 12, 16]);
    snapshots.keep_newest(None).unwrap();
    assert_eq!((heights(&snapshots), heights(&opened(&disk))), (vec![12, 16], vec![12, 16]));
    assert!(disk.list().unwrap().iter().all(|name| name.starts_with("12.") || name.starts_with("16.")));
    let gone = snapshots.chunk(Height(4), 0);
    assert!(matches!(gone, Err(SnapshotError::None(Height(4)))), "no longer that one");
    assert!(matches!(snapshots.chunk(Height(16), 9_999), Err(SnapshotError::Chunk { .. })));
}
