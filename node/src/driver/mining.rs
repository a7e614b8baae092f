//! The node's own miner: a template becomes a search, a solution becomes a block.
//!
//! Nothing here waits. A solution found on a mining thread goes straight into ordering's queue; the miner
//! keeps searching only if that queue has no room, which would mean that the node is drowning anyway.

use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::U256;
use crossbeam_channel::Sender;
use synod_consensus::Input;
use synod_consensus::pow::{Body, Outcome, ProofOfWork, Target};
use synod_types::{Block, Header, codec, hash::sha256};

use crate::miner::{Job, JobId, Kernel, Miner, MinerError, Report, Settings, Share, Snapshot, Solution};

/// A block that waits for its nonces: an extra nonce gives its header.
#[derive(Debug)]
pub(super) struct OpenTemplate {
    block: Block,
    /// The commitment's bytes without the extra nonce, which is its last field.
    prefix: Vec<u8>,
}

impl OpenTemplate {
    /// The template of an unsolved block.
    pub(super) fn new(block: Block) -> Self {
        let mut prefix = codec::encode(&block.commitment);
        prefix.truncate(prefix.len() - 8);
        Self { block, prefix }
    }

    /// The unsolved block.
    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    /// The header with this extra nonce, and the template's time and nonce.
    pub(super) fn header(&self, extra_nonce: u64) -> Header {
        let commitment = sha256(&[&self.prefix, &extra_nonce.to_be_bytes()]);
        Header { commitment, ..self.block.header }
    }

    /// The block that a solution makes.
    pub(super) fn solved(&self, extra_nonce: u64, time: u32, nonce: u32) -> Block {
        let mut block = self.block.clone();
        block.commitment.extra_nonce = extra_nonce;
        block.header = Header { time, nonce, ..self.header(extra_nonce) };
        block
    }
}

/// The job that is searched, shared with the threads that report.
type Current = Arc<Mutex<Option<(JobId, Arc<OpenTemplate>)>>>;

/// What the miner has done, for status and metrics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MinerFigures {
    /// Hashes per second over the last few seconds, of each thread.
    pub(super) hash_rates: Vec<u64>,
    /// Blocks found since the node started.
    pub(super) found: u64,
    /// Whether a job is being searched.
    pub(super) searching: bool,
}

/// The miner and what it searches.
pub(super) struct OwnMiner {
    miner: Miner,
    current: Current,
    found: Arc<AtomicU64>,
    next_job: AtomicU64,
    /// Where this node's extra nonces begin, so that nodes with one reward address do different work.
    first_extra_nonce: u64,
    rates: Mutex<(Snapshot, Vec<u64>)>,
}

impl OwnMiner {
    /// Starts `threads` polite threads that wait for a template.
    ///
    /// # Errors
    /// [`MinerError`].
    pub(super) fn start(
        threads: usize,
        salt: u32,
        ordering: Sender<Input<ProofOfWork>>,
    ) -> Result<Self, MinerError> {
        let settings =
            Settings { kernel: Kernel::best(), threads: threads.max(1), polite: true, share: Share::FULL };
        let current: Current = Arc::default();
        let found = Arc::new(AtomicU64::new(0));
        let (reported, counted) = (current.clone(), found.clone());
        let miner = Miner::start(settings, move |report| match report {
            Report::Solved(solution) => {
                counted.fetch_add(1, Atomic::Relaxed);
                hand_in(&reported, &solution, &ordering);
            }
            Report::Exhausted(_) => {
                tracing::warn!("every nonce of a template was tried; a new template is due within seconds");
            }
        })?;
        let rates = Mutex::new((miner.snapshot(), vec![0; settings.threads]));
        let first_extra_nonce = u64::from(salt) << 32;
        Ok(Self { miner, current, found, next_job: AtomicU64::new(1), first_extra_nonce, rates })
    }

    /// Searches this template instead of whatever was searched before.
    pub(super) fn search(&self, template: Block) {
        let Ok(target) = Target::from_compact(template.header.bits) else { return };
        let id = JobId(self.next_job.fetch_add(1, Atomic::Relaxed));
        let template = Arc::new(OpenTemplate::new(template));
        let headers = template.clone();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, template));
        self.miner.search(Job {
            id,
            template: Arc::new(move |extra_nonce: u64| headers.header(extra_nonce).to_bytes()),
            target: target.to_number(),
            nonces: 0..crate::miner::NONCES,
            extra_nonces: self.first_extra_nonce..self.first_extra_nonce + (1 << 32),
            time_roll_s: 0,
            search_on: false,
        });
    }

    /// Searches nothing until the next template.
    pub(super) fn cancel(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.miner.clear();
    }

    /// What it has done. The rates are those of the time since the last call but at least a second.
    pub(super) fn figures(&self) -> MinerFigures {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.0.at.elapsed().as_millis() >= 1000 {
            let now = self.miner.snapshot();
            let each = now.since(&rates.0).into_iter().map(|rate| rate.per_second() as u64).collect();
            *rates = (now, each);
        }
        let hash_rates = rates.1.clone();
        drop(rates);
        let searching = self.current.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        MinerFigures { hash_rates, found: self.found.load(Atomic::Relaxed), searching }
    }

    /// How many threads hash, and with which kernel.
    pub(super) fn settings(&self) -> Settings {
        self.miner.settings()
    }
}

/// The hashes that a block of these bits takes on average.
pub(super) fn difficulty(bits: u32) -> U256 {
    Target::from_compact(bits).map_or(U256::ZERO, |target| target.work().0)
}

fn hand_in(current: &Current, solution: &Solution, ordering: &Sender<Input<ProofOfWork>>) {
    let template = match &*current.lock().unwrap_or_else(PoisonError::into_inner) {
        Some((id, template)) if *id == solution.job => template.clone(),
        // The tip moved while this was being found.
        _ => return,
    };
    let block = template.solved(solution.extra_nonce, solution.time_s(), solution.nonce());
    let solved = Input::Done(Outcome::Solved(Body::from_block(&block)));
    if ordering.try_send(solved).is_err() {
        tracing::warn!(block = %block.hash(), "a solved block was lost: ordering is busy or stopping");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unsolved;

    #[test]
    fn a_template_gives_the_header_that_its_block_will_have() {
        let template = OpenTemplate::new(unsolved());
        for extra_nonce in [0, 1, u64::MAX] {
            let solved = template.solved(extra_nonce, 1_700_000_001, 9);
            assert_eq!(solved.check_body(), Ok(()));
            assert_eq!(solved.header.commitment, template.header(extra_nonce).commitment);
        }
    }

    #[test]
    fn a_solution_reaches_ordering_as_a_block_that_meets_its_target() {
        let (ordering, inbox) = crossbeam_channel::bounded(4);
        let miner = OwnMiner::start(1, 5, ordering).expect("a thread");
        miner.search(unsolved());
        let Ok(Input::Done(Outcome::Solved(body))) = inbox.recv() else { panic!("a solution is due") };
        let target = Target::from_compact(0x207f_ffff).expect("the easiest target");
        assert!(target.is_met_by(body.hash()) && body.mismatch().is_none());
        assert_eq!(miner.figures().found, 1);
    }
}
