//! Blocks up to a certificate, from peers; and for peers that fetch them (PBFT-15, P2P-9).
//!
//! A certificate names one block hash at one height. The headers below it are asked for from there downwards:
//! each names the one below, so that not one that is wrong can get in, whoever serves them, and the last of
//! them must stand on our own tip. Then the bodies come upwards in batches, each checked against its hash
//! before the ledger executes it. One honest peer is enough; whoever serves what does not fit is asked no more
//! in this fetch, and pays.
//!
//! A node that is far behind, or whose peers no longer have the blocks that it lacks, takes a snapshot first
//! ([`super::take`]), and starts again from it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use alloy_primitives::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde::{Deserialize, Serialize};
use synod_consensus::committee::Certificate;
use synod_ledger::disk::Disk;
use synod_ledger::snapshot::{SnapshotError, Snapshots};
use synod_types::block::HEADER_LENGTH;
use synod_types::codec::{self, BLOCK_LIMIT};
use synod_types::{Block, BlockHash, Header, Height};
use tokio::runtime::Handle;

use super::execution::Task;
use super::take::{Offer, Servers, take};
use crate::config::SyncConfig;
use crate::driver::chain::Chain;
use crate::driver::execution::Command;
use crate::driver::peers::PeerTable;
use crate::driver::stop::Stop;
use crate::network::{Demerit, Network, PeerName, Reply};

/// Headers in one answer.
const HEADERS: u32 = 20_000;
/// Blocks in one answer, where their bytes allow it.
const BLOCKS: u32 = 512;
/// Bytes of blocks in one answer; one block alone may be longer.
const BLOCKS_BYTES: usize = 4 * 1024 * 1024;
/// The largest answer.
pub(super) const ANSWER_LIMIT: usize = 8 * 1024 * 1024;
/// Before everybody is asked once more.
const PAUSE: Duration = Duration::from_millis(300);
/// Questions that may wait; how many of them are one peer's is bounded where they come in.
pub(super) const QUESTIONS: usize = 64;

/// What a node asks another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Question {
    /// Headers of the chain, the last at `end`, in order.
    Headers {
        /// The last one's height.
        end: Height,
        /// How many.
        count: u32,
    },
    /// Blocks of the chain from `first` upwards, as many as fit.
    Blocks {
        /// The first one's height.
        first: Height,
    },
    /// The newest snapshot: an `Offer`.
    Snapshot,
    /// A chunk of a snapshot.
    Chunk {
        /// Of which.
        height: Height,
        /// Its index.
        index: u32,
    },
    /// Where the node stands ([`super::reads`]).
    Stand,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// What was asked for.
    Here(Bytes),
    /// Blocks so low are not kept: only those from this height on (GEN-13).
    Pruned(Height),
    /// Not here: above the tip, no snapshot, or no longer that one.
    None,
}

impl Answer {
    fn to_bytes(&self) -> Bytes {
        codec::encode(self).into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        codec::decode::<Self, ANSWER_LIMIT>(bytes).ok()
    }
}

impl Question {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        codec::decode::<Self, 64>(bytes).ok()
    }
}

/// Answers questions.
pub(super) struct Serving<D: Disk> {
    /// What is asked, by whom, and where the answer goes.
    pub(super) questions: Receiver<(PeerName, Question, Reply)>,
    /// Where the answers are.
    pub(super) chain: Arc<Chain<D>>,
    /// What others may begin from.
    pub(super) snapshots: Arc<Snapshots<D>>,
    /// The node's end.
    pub(super) stop: Stop,
}

impl<D> Serving<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("serving".to_owned()).spawn(move || {
            loop {
                select! {
                    recv(self.questions) -> asked => match asked {
                        Ok((_, question, reply)) => reply.send(self.answer(question).to_bytes()),
                        Err(_) => return,
                    },
                    recv(self.stop.signal()) -> _ => return,
                }
            }
        })
    }

    fn answer(&self, question: Question) -> Answer {
        let kept = Height(self.chain.reader().base().0.saturating_add(1));
        let lowest = match question {
            Question::Headers { end, count } => {
                Height(end.0.saturating_sub(u64::from(count.min(HEADERS)).saturating_sub(1)))
            }
            Question::Blocks { first } => first,
            Question::Snapshot | Question::Chunk { .. } | Question::Stand => kept,
        };
        if lowest < kept && lowest > Height(0) {
            return Answer::Pruned(kept);
        }
        self.look_up(question).map_or(Answer::None, Answer::Here)
    }

    fn look_up(&self, question: Question) -> Option<Bytes> {
        let head = self.chain.reader().head().height();
        match question {
            Question::Snapshot => {
                let manifest = self.snapshots.newest()?;
                let proof = self.snapshots.proof(manifest.height()).ok()?.into();
                let offer = Offer { manifest: manifest.to_bytes().into(), proof };
                Some(codec::encode(&offer).into())
            }
            Question::Chunk { height, index } => self.snapshots.chunk(height, index).ok().map(Bytes::from),
            Question::Headers { end, count } => {
                let count = u64::from(count.min(HEADERS));
                if end > head || end.0 < count {
                    return None;
                }
                let heights = end.0 - count + 1..=end.0;
                let mut bytes = Vec::with_capacity(HEADER_LENGTH * count as usize);
                for height in heights {
                    bytes.extend(self.block(Height(height))?.header.to_bytes());
                }
                Some(bytes.into())
            }
            Question::Blocks { first } => {
                let mut blocks: Vec<Bytes> = Vec::new();
                let mut room = BLOCKS_BYTES;
                for height in (first.0..=head.0).take(BLOCKS as usize) {
                    let bytes = Bytes::from(self.block(Height(height))?.to_bytes());
                    if bytes.len() > room && !blocks.is_empty() {
                        break;
                    }
                    room = room.saturating_sub(bytes.len());
                    blocks.push(bytes);
                }
                (!blocks.is_empty()).then(|| codec::encode(&blocks).into())
            }
            // Whoever receives it answers it.
            Question::Stand => None,
        }
    }

    fn block(&self, height: Height) -> Option<Block> {
        self.chain.reader().block_at(height).ok().flatten()
    }
}

/// Fetches.
pub(super) struct Fetching<D: Disk> {
    /// Up to which certificates.
    pub(super) goals: Receiver<Certificate>,
    /// Where the chain stands.
    pub(super) chain: Arc<Chain<D>>,
    /// Whom to ask.
    pub(super) network: Network,
    /// How high peers are.
    pub(super) heights: PeerTable,
    /// The ledger's thread.
    pub(super) commands: Sender<Command<Task>>,
    /// Where a snapshot goes.
    pub(super) snapshots: Arc<Snapshots<D>>,
    /// When one is taken.
    pub(super) sync: SyncConfig,
    /// For questions.
    pub(super) runtime: Handle,
    /// The node's end.
    pub(super) stop: Stop,
}

/// Why a fetch ends before its goal.
enum Ended {
    /// Nobody gave what is missing.
    NobodyLeft,
    /// Nobody gave it, and somebody had it once.
    Pruned(Height),
    /// Our chain is not the certified one, or a certified block is refused here.
    Diverged(String),
    /// The node stops.
    Stopping,
}

/// Peers that were not found wanting in this fetch.
struct Askable {
    peers: Vec<PeerName>,
    /// The lowest height from which somebody keeps blocks who does not keep those that were asked for.
    pruned: Option<Height>,
}

impl<D> Fetching<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("fetch".to_owned()).spawn(move || {
            loop {
                select! {
                    recv(self.goals) -> goal => match goal {
                        Ok(goal) => self.pursue(&goal),
                        Err(_) => return,
                    },
                    recv(self.stop.signal()) -> _ => return,
                }
            }
        })
    }

    fn pursue(&self, goal: &Certificate) {
        let (height, from) = (goal.statement.height, self.chain.reader().head().height());
        if self.is_far_behind(from, height) && self.begins_elsewhere(from, self.sync.snapshot_beyond) {
            return;
        }
        tracing::info!(%from, to = %height, "fetching certified blocks");
        match self.fetch(goal) {
            Err(Ended::Pruned(kept)) if self.sync.full_history => tracing::error!(
                %height, %kept, "no connected peer has the whole chain, and sync.full_history asks for it: connect to one \
                 that has, or set it to false"
            ),
            Err(Ended::Pruned(kept)) => {
                tracing::warn!(%height, %kept, "no connected peer keeps the blocks that this node lacks");
                if self.begins_elsewhere(from, 1) {
                    return;
                }
            }
            Ok(()) => tracing::info!(%height, "certified blocks are here"),
            Err(Ended::NobodyLeft) => tracing::warn!(%height, "no peer gave all blocks up to a certificate"),
            Err(Ended::Diverged(reason)) => return self.stop.fail(reason),
            Err(Ended::Stopping) => return,
        }
        // The ledger's thread is gone only when the node stops.
        let _ = self.commands.send(Command::Task(Task::FetchEnded));
    }

    /// Whether the network is so far ahead that a snapshot is worth while. What peers say of their heights is their
    /// word; it only decides whether they are asked.
    fn is_far_behind(&self, from: Height, goal: Height) -> bool {
        let told = self.network.peers().into_iter().filter_map(|peer| self.heights.height(peer.name)).max();
        let ahead = told.unwrap_or(goal).max(goal).0.saturating_sub(from.0);
        !self.sync.full_history && ahead >= self.sync.snapshot_beyond
    }

    /// Takes a snapshot that spares `spared` blocks at least; then the node starts again from it.
    fn begins_elsewhere(&self, from: Height, spared: u64) -> bool {
        let lowest = Height(from.0.saturating_add(spared.max(1)));
        match take(self, &self.snapshots, self.chain.reader().genesis(), lowest) {
            Ok(Some(manifest)) => {
                tracing::info!(height = %manifest.height(), "a snapshot is here: the node starts again from it");
                self.stop.again();
                true
            }
            Ok(None) => self.stop.is_stopping(),
            Err(SnapshotError::Disk(error)) if error.is_no_space() => {
                tracing::error!(%error, "no snapshot is taken: the disk is full");
                false
            }
            Err(error) => {
                self.stop.fail(format!("snapshots/: {error}"));
                true
            }
        }
    }

    fn fetch(&self, goal: &Certificate) -> Result<(), Ended> {
        let goal = goal.statement;
        let (head, mut askable) = (self.chain.reader().head(), self.askable(goal.height));
        if goal.height <= head.height() {
            return Ok(());
        }
        let (hashes, base) = self.hashes(goal.height, goal.block_hash, head.height(), &mut askable)?;
        if base != head.hash {
            return Err(Ended::Diverged(format!(
                "height {} holds {} here, and the committee certified a chain with {base} there: this member stands \
                 still; compare the two with `synod chain diff`",
                head.height(),
                head.hash
            )));
        }
        let mut done = 0;
        while done < hashes.len() {
            let first = Height(head.height().0 + 1 + done as u64);
            let expected = &hashes[done..];
            let blocks =
                self.ask(Question::Blocks { first }, &mut askable, |answer| read_blocks(answer, expected))?;
            done += blocks.len();
            self.install(blocks)?;
        }
        Ok(())
    }

    /// The hashes of the blocks above `floor` up to `end`, in order, and the hash at `floor` itself.
    fn hashes(
        &self,
        end: Height,
        hash: BlockHash,
        floor: Height,
        askable: &mut Askable,
    ) -> Result<(Vec<BlockHash>, BlockHash), Ended> {
        let (mut descending, mut expected, mut at) = (Vec::new(), hash, end);
        while at > floor {
            let count = (at.0 - floor.0).min(u64::from(HEADERS)) as u32;
            let headers = self.ask(Question::Headers { end: at, count }, askable, |answer| {
                read_headers(answer, count, expected)
            })?;
            for header in headers {
                descending.push(expected);
                expected = header.parent;
            }
            at = Height(at.0 - u64::from(count));
        }
        descending.reverse();
        Ok((descending, expected))
    }

    fn install(&self, blocks: Vec<Block>) -> Result<(), Ended> {
        let (reply, verdict) = bounded(1);
        let task = Task::Install { blocks, reply };
        self.commands.send(Command::Task(task)).map_err(|_| Ended::Stopping)?;
        let verdict = verdict.recv().map_err(|_| Ended::Stopping)?;
        verdict.map_err(|reason| Ended::Diverged(format!("a certified block is refused here: {reason}")))
    }

    /// Asks one peer after another until one answers with what fits.
    fn ask<T>(
        &self,
        question: Question,
        askable: &mut Askable,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, Ended> {
        while let Some(peer) = askable.peers.last().copied() {
            if self.stop.is_stopping() {
                return Err(Ended::Stopping);
            }
            match Servers::ask(self, peer, question) {
                Some(Answer::Here(answer)) => match read(&answer) {
                    Some(read) => return Ok(read),
                    None => self.network.demote(peer, Demerit::Useless),
                },
                Some(Answer::Pruned(kept)) => {
                    askable.pruned = Some(askable.pruned.map_or(kept, |lowest| lowest.min(kept)));
                }
                Some(Answer::None) | None => {}
            }
            askable.peers.pop();
        }
        Err(askable.pruned.map_or(Ended::NobodyLeft, Ended::Pruned))
    }

    /// The highest last: they are asked first.
    fn askable(&self, goal: Height) -> Askable {
        let mut peers: Vec<PeerName> = self.network.peers().into_iter().map(|peer| peer.name).collect();
        peers.sort_by_key(|peer| self.heights.height(*peer).is_some_and(|height| height >= goal));
        Askable { peers, pruned: None }
    }
}

impl<D> Servers for Fetching<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    fn peers(&self) -> Vec<PeerName> {
        let mut peers: Vec<PeerName> = self.network.peers().into_iter().map(|peer| peer.name).collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(self.heights.height(*peer)));
        peers
    }

    fn ask(&self, peer: PeerName, question: Question) -> Option<Answer> {
        let bytes = Bytes::from(codec::encode(&question));
        match self.runtime.block_on(self.network.request(peer, bytes)) {
            Ok(answer) => {
                let answer = Answer::from_bytes(&answer);
                if answer.is_none() {
                    self.network.demote(peer, Demerit::Useless);
                }
                answer
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer gave no answer");
                None
            }
        }
    }

    fn blame(&self, peer: PeerName) {
        self.network.demote(peer, Demerit::Invalid);
    }

    fn pause(&self) -> bool {
        let waited = self.stop.signal().recv_timeout(PAUSE);
        !waited.is_err_and(|error| error.is_disconnected())
    }
}

/// The headers of an answer, the highest first, if they are `count` and lead down from `expected`.
fn read_headers(answer: &[u8], count: u32, expected: BlockHash) -> Option<Vec<Header>> {
    let (chunks, rest) = answer.as_chunks::<HEADER_LENGTH>();
    if !rest.is_empty() || chunks.len() != count as usize {
        return None;
    }
    let mut expected = expected;
    let mut headers = Vec::with_capacity(chunks.len());
    for chunk in chunks.iter().rev() {
        let header = Header::from_bytes(chunk);
        if header.hash() != expected {
            return None;
        }
        expected = header.parent;
        headers.push(header);
    }
    Some(headers)
}

/// The blocks of an answer, if there are any, and each is the one expected.
fn read_blocks(answer: &[u8], expected: &[BlockHash]) -> Option<Vec<Block>> {
    let encoded: Vec<Bytes> = codec::decode::<_, ANSWER_LIMIT>(answer).ok()?;
    if encoded.is_empty() {
        return None;
    }
    let mut blocks = Vec::with_capacity(encoded.len());
    for (bytes, expected) in encoded.iter().zip(expected) {
        if bytes.len() > BLOCK_LIMIT {
            return None;
        }
        let block = Block::from_bytes(bytes).ok()?;
        if block.hash() != *expected || block.check_body().is_err() {
            return None;
        }
        blocks.push(block);
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::committee::fixture;

    /// A chain of empty blocks that build on each other by their headers alone.
    fn chain(length: usize) -> Vec<Block> {
        let mut block = synod_ledger::execution::genesis_block(&fixture::genesis());
        let mut blocks = Vec::new();
        for height in 1..=length as u64 {
            block.header.parent = block.hash();
            block.commitment.height = Height(height);
            block.header.commitment = block.commitment.digest();
            blocks.push(block.clone());
        }
        blocks
    }

    fn headers_of(blocks: &[Block]) -> Vec<u8> {
        blocks.iter().flat_map(|block| block.header.to_bytes()).collect()
    }

    #[test]
    fn headers_lead_down_from_the_certified_hash_or_count_for_nothing() {
        let blocks = chain(5);
        let (top, bytes) = (blocks[4].hash(), headers_of(&blocks));
        let read = read_headers(&bytes, 5, top).expect("the chain itself");
        assert_eq!((read[0], read[4]), (blocks[4].header, blocks[0].header));
        assert_eq!(read_headers(&bytes, 4, top), None, "more than asked for");
        assert_eq!(read_headers(&bytes[1..], 5, top), None);
        assert_eq!(read_headers(&bytes, 5, blocks[3].hash()), None);
        assert_eq!(read_headers(&[], 0, top), Some(Vec::new()));
        for at in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read_headers(&changed, 5, top), None, "byte {at}");
        }
    }

    #[test]
    fn blocks_are_those_expected_whole_and_in_order() {
        let blocks = chain(4);
        let hashes: Vec<BlockHash> = blocks.iter().map(Block::hash).collect();
        let answer = |blocks: &[Block]| {
            codec::encode(&blocks.iter().map(|block| Bytes::from(block.to_bytes())).collect::<Vec<_>>())
        };
        assert_eq!(read_blocks(&answer(&blocks), &hashes), Some(blocks.clone()));
        assert_eq!(read_blocks(&answer(&blocks[..2]), &hashes), Some(blocks[..2].to_vec()));
        assert_eq!(
            read_blocks(&answer(&blocks), &hashes[..3]),
            Some(blocks[..3].to_vec()),
            "no more than expected"
        );
        assert_eq!(read_blocks(&answer(&[]), &hashes), None);
        assert_eq!(read_blocks(&answer(&blocks[1..]), &hashes), None);
        assert_eq!(read_blocks(b"nonsense", &hashes), None);
        let mut swapped = blocks.clone();
        swapped[1].commitment.gas_used = synod_types::Gas(1);
        assert_eq!(read_blocks(&answer(&swapped), &hashes), None, "the header's hash alone is not the block");
    }

    #[test]
    fn questions_are_bounded() {
        let question = Question::Headers { end: Height(7), count: 3 };
        let bytes = codec::encode(&question);
        assert_eq!(Question::from_bytes(&bytes), Some(question));
        assert_eq!(Question::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Question::from_bytes(&[0xff; 4096]), None);
    }
}
