//! Following templates: a long poll with the node of choice, the next node when it fails, and back again when a
//! preferred one answers.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use synod_node::miner::Report;
use synod_node::rpc::types::{BlockReference, BlockView, TemplateView};
use synod_types::{Address, B256, Height, U256};

use crate::client::{CallError, Node};
use crate::failure::{Exit, Failure};

/// Between two rounds through nodes of which none gives a template.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks whether a preferred node is back.
const LOOK_BACK: Duration = Duration::from_secs(5);
/// Between two estimates of the network's hash rate.
const ESTIMATE: Duration = Duration::from_secs(10);
/// Over how many blocks it is estimated.
const ESTIMATED_BLOCKS: u64 = 30;

/// What reaches the main loop.
pub(super) enum Event {
    /// Something better to search, from the node of this number.
    Template(usize, Box<TemplateView>),
    /// The node of this number gives no template.
    NoTemplate(usize, CallError),
    /// How many hashes a second the network does, as its last blocks tell.
    NetworkRate(u64),
    /// The miner found something, or searched everything.
    Search(Report),
}

/// The thread that follows templates.
pub(super) struct Follower<'a> {
    /// In the order of preference; at least one.
    pub(super) nodes: &'a [Node],
    /// The network that is mined on.
    pub(super) genesis_hash: B256,
    /// Who gets the rewards.
    pub(super) reward_to: Address,
    /// To the main loop.
    pub(super) events: SyncSender<Event>,
}

impl Follower<'_> {
    /// Asks for a template, and then for the next as soon as that one is out of date, until Ctrl-C or until
    /// nobody listens.
    pub(super) fn run(&self) {
        let (mut at, mut failures) = (0, 0);
        let mut current: Option<String> = None;
        let (mut looked_back, mut estimated) = (Instant::now(), None);
        loop {
            if at > 0 && looked_back.elapsed() >= LOOK_BACK {
                looked_back = Instant::now();
                if let Some(better) = (0..at).find(|index| self.check(*index).is_ok()) {
                    (at, current) = (better, None);
                }
            }
            let sent = match self.template(at, current.as_deref()) {
                Ok(template) if current.as_ref() == Some(&template.template_id) => continue,
                Ok(template) => {
                    failures = 0;
                    current = Some(template.template_id.clone());
                    self.events.send(Event::Template(at, Box::new(template)))
                }
                Err(CallError::Interrupted) => return,
                Err(error) => {
                    (current, failures) = (None, failures + 1);
                    let failed = at;
                    at = (at + 1) % self.nodes.len();
                    self.events.send(Event::NoTemplate(failed, error))
                }
            };
            let is_round = failures > 0 && failures % self.nodes.len() == 0;
            if sent.is_err() || (is_round && self.nodes[at].pause(RETRY).is_err()) {
                return;
            }
            if failures == 0 && estimated.is_none_or(|at: Instant| at.elapsed() >= ESTIMATE) {
                estimated = Some(Instant::now());
                let rate =
                    self.network_rate(at).map_or(Ok(()), |rate| self.events.send(Event::NetworkRate(rate)));
                if rate.is_err() {
                    return;
                }
            }
        }
    }

    fn template(&self, index: usize, current: Option<&str>) -> Result<TemplateView, CallError> {
        if current.is_none() {
            self.check(index)?;
        }
        self.nodes[index].template(self.reward_to, current)
    }

    /// Whether the node answers and is of the network.
    fn check(&self, index: usize) -> Result<(), CallError> {
        let node = &self.nodes[index];
        let status = node.status()?;
        if status.genesis_hash == self.genesis_hash {
            return Ok(());
        }
        let message = format!("the node at {} is of another network", node.url());
        let failure = Failure::new(Exit::Failed, "wrong_network", message);
        Err(CallError::Silent(failure.hint("name nodes of one network with --rpc")))
    }

    /// Hashes a second that the last blocks took.
    fn network_rate(&self, index: usize) -> Option<u64> {
        let node = &self.nodes[index];
        let last = node.block(BlockReference::Latest, false).ok()?;
        let from = last.height.0.checked_sub(1)?.saturating_sub(ESTIMATED_BLOCKS - 1);
        let first = node.block(BlockReference::Height(Height(from)), false).ok()?;
        rate_between(&first, &last)
    }
}

fn rate_between(first: &BlockView, last: &BlockView) -> Option<u64> {
    let milliseconds = last.time.0.checked_sub(first.time.0).filter(|milliseconds| *milliseconds > 0)?;
    let hashes = last.work.checked_sub(first.work)?;
    let rate = hashes.checked_mul(U256::from(1_000))? / U256::from(milliseconds);
    u64::try_from(rate).ok()
}
