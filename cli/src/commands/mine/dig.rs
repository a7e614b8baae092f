//! The work in progress: what is searched, for which node, and what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use synod_consensus::pow::Target;
use synod_node::miner::{HashRate, Job, JobId, Miner, NONCES, Report, Snapshot, Solution};
use synod_node::rpc::types::{SolveOutcome, TemplateView};
use synod_types::address::format_address;
use synod_types::block::HEADER_LENGTH;
use synod_types::hash::sha256;
use synod_types::{Address, U256};

use super::follow::Event;
use super::report::{self, Found, Going, Mined, NodeChanged, Stale};
use crate::client::{CallError, Node, interrupt, is_passing};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use crate::wallet::draft::Wei;

/// Between two looks at the hash rate.
const TICK: Duration = Duration::from_millis(500);
/// Between two lines about it for programs.
const LINES: Duration = Duration::from_secs(5);
/// Extra nonces for each template; at 2^32 hashes each no machine gets to the end.
const EXTRA_NONCES: u64 = 1 << 32;

/// The work in progress.
pub(super) struct Dig<'a> {
    context: &'a Context,
    nodes: &'a [Node],
    miner: &'a Miner,
    reward_to: Address,
    progress: Progress,
    begun: Instant,
    ticked: Snapshot,
    told: Instant,
    first_extra_nonce: u64,
    jobs: u64,
    /// What is searched, and the node that gave it.
    template: Option<(usize, Box<TemplateView>)>,
    /// Whose templates were searched last.
    node: Option<usize>,
    network_rate: Option<u64>,
    found: u64,
    stale: u64,
}

impl<'a> Dig<'a> {
    pub(super) fn new(context: &'a Context, nodes: &'a [Node], miner: &'a Miner, reward_to: Address) -> Self {
        let mut random = [0; 7];
        // Miners that share a node should not search the same headers; without randomness they might.
        let _ = getrandom::fill(&mut random);
        let first_extra_nonce = random.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        Self {
            context,
            nodes,
            miner,
            reward_to,
            progress: context.output.progress("waiting for a template"),
            begun: Instant::now(),
            ticked: miner.snapshot(),
            told: Instant::now(),
            first_extra_nonce,
            jobs: 0,
            template: None,
            node: None,
            network_rate: None,
            found: 0,
            stale: 0,
        }
    }

    /// Mines until Ctrl-C or so many blocks.
    pub(super) fn run(&mut self, events: &Receiver<Event>, blocks: Option<u64>) -> Outcome<()> {
        while blocks.is_none_or(|blocks| self.found < blocks) && !interrupt::flag().load(Ordering::Relaxed) {
            match events.recv_timeout(TICK) {
                Ok(Event::Template(node, template)) => self.search(node, template)?,
                Ok(Event::NoTemplate(node, error)) => self.lose(node, error)?,
                Ok(Event::NetworkRate(rate)) => self.network_rate = Some(rate),
                Ok(Event::Search(Report::Solved(solution))) => self.solve(&solution)?,
                Ok(Event::Search(Report::Exhausted(_))) => self.renew()?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.tick();
        }
        Ok(())
    }

    fn search(&mut self, node: usize, template: Box<TemplateView>) -> Outcome<()> {
        let searched = self.template.as_ref().map(|(_, searched)| &searched.template_id);
        if searched == Some(&template.template_id) {
            return Ok(());
        }
        self.jobs += 1;
        // A template that comes back after a solution was stale is searched where it was not yet.
        let first = self.first_extra_nonce + self.jobs * EXTRA_NONCES;
        self.miner.search(job(&template, JobId(self.jobs), first)?);
        self.template = Some((node, template));
        if self.node.replace(node) != Some(node) && self.nodes.len() > 1 {
            self.tell_node(Some(node), None);
        }
        Ok(())
    }

    /// A node gives no template. What another one gave is searched on.
    fn lose(&mut self, node: usize, error: CallError) -> Outcome<()> {
        if self.nodes.len() == 1 && is_lasting(&error) {
            return Err(error.into());
        }
        if self.template.as_ref().is_some_and(|(of, _)| *of != node) {
            return Ok(());
        }
        self.miner.clear();
        self.template = None;
        let reason = Failure::from(error).to_string();
        self.progress.say(format!("{reason}; waiting"));
        // Told once, and not at every attempt.
        if self.node.take().is_some() {
            self.tell_node(None, Some(reason));
        }
        Ok(())
    }

    fn solve(&mut self, solution: &Solution) -> Outcome<()> {
        let is_current = solution.job == JobId(self.jobs);
        let Some((node, template)) = self.template.take_if(|_| is_current) else {
            self.miss("the tip moved while it was found".to_owned());
            return Ok(());
        };
        let (extra_nonce, time, nonce) = (solution.extra_nonce, solution.time_s(), solution.nonce());
        match self.nodes[node].solve(&template.template_id, extra_nonce, time, nonce) {
            Ok(view) if view.outcome == SolveOutcome::Accepted => {
                let block_hash = view.block_hash.map(|hash| hash.to_string()).unwrap_or_default();
                self.celebrate(node, &template, block_hash);
            }
            Ok(view) if view.outcome == SolveOutcome::Wrong => {
                let reason = view.reason.unwrap_or_default();
                return Err(Failure::failed(
                    "wrong_solution",
                    format!("the node refuses a solution: {reason}"),
                ));
            }
            Ok(view) => self.miss(view.reason.unwrap_or_else(|| "another was faster".to_owned())),
            // The node is gone for a moment: a new template tells.
            Err(error @ (CallError::Silent(_) | CallError::Unreachable(_))) => {
                self.miss(Failure::from(error).to_string());
            }
            Err(CallError::Interrupted) => self.miss("interrupted".to_owned()),
            Err(CallError::Refused(refusal)) if is_passing(refusal.code) => self.miss(refusal.message),
            Err(refused) => return Err(refused.into()),
        }
        self.renew()
    }

    /// A template right now, where waiting for a change would wait for somebody else.
    fn renew(&mut self) -> Outcome<()> {
        let Some(node) = self.node else { return Ok(()) };
        match self.nodes[node].template(self.reward_to, None) {
            Ok(template) => self.search(node, Box::new(template)),
            Err(error) if self.nodes.len() == 1 && is_lasting(&error) => Err(error.into()),
            // The thread that follows templates brings the next one.
            Err(_) => Ok(()),
        }
    }

    fn celebrate(&mut self, node: usize, template: &TemplateView, block_hash: String) {
        self.found += 1;
        let found = Found {
            event: "found",
            height: template.height.0,
            block_hash,
            pays: Wei(template.pays),
            seconds: self.begun.elapsed().as_secs(),
            node: self.nodes[node].url().to_string(),
        };
        if self.context.output.is_json() {
            self.context.output.line(&found);
        } else {
            self.progress.aside(|| self.context.output.text(&found.to_string()));
        }
    }

    fn miss(&mut self, reason: String) {
        self.stale += 1;
        report::tell(self.context, Some(&self.progress), &Stale { event: "stale", reason });
    }

    fn tell_node(&self, node: Option<usize>, reason: Option<String>) {
        let node = node.map(|node| self.nodes[node].url().to_string());
        report::tell(self.context, Some(&self.progress), &NodeChanged { event: "node", node, reason });
    }

    /// Twice a second the live line, now and then a line for programs.
    fn tick(&mut self) {
        let now = self.miner.snapshot();
        if now.at.saturating_duration_since(self.ticked.at) < TICK {
            return;
        }
        let going = self.going(&now);
        self.ticked = now;
        self.progress.say(going.to_string());
        if self.context.output.is_json() && self.told.elapsed() >= LINES {
            self.told = Instant::now();
            self.context.output.line(&going);
        }
    }

    fn going(&self, now: &Snapshot) -> Going {
        let rate = now.total_since(&self.ticked).per_second() as u64;
        let expected = self.template.as_ref().and_then(|(_, template)| expected_seconds(template, rate));
        // The blocks of the last minutes know nothing of a miner that has just begun.
        let share = |network: u64| 100.0 * rate as f64 / network.max(rate).max(1) as f64;
        Going {
            event: "progress",
            hash_rate: rate,
            hash_rates: now
                .since(&self.ticked)
                .into_iter()
                .map(HashRate::per_second)
                .map(|rate| rate as u64)
                .collect(),
            accepted: self.found,
            stale: self.stale,
            expected_seconds: expected,
            network_hash_rate: self.network_rate,
            network_share: self.network_rate.map(share),
            node: self.node.map(|node| self.nodes[node].url().to_string()),
        }
    }

    /// How it went in all.
    pub(super) fn sum(&self) -> Mined {
        let (hashes, elapsed) = (self.miner.snapshot().total(), self.begun.elapsed());
        Mined {
            event: "stopped",
            blocks: self.found,
            stale: self.stale,
            hashes,
            hash_rate: (hashes as f64 / elapsed.as_secs_f64().max(0.001)) as u64,
            seconds: elapsed.as_secs(),
            reward_to: format_address(&self.reward_to),
        }
    }
}

/// Whether it is no use to ask again: the node said no, and not only for the moment.
fn is_lasting(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if !is_passing(refusal.code))
}

/// The search that a template asks for.
fn job(template: &TemplateView, id: JobId, first_extra_nonce: u64) -> Outcome<Job> {
    let strange = |problem: String| {
        Failure::failed("bad_template", format!("the node's template is strange: {problem}"))
    };
    let target = Target::from_compact(template.bits).map_err(|error| strange(error.to_string()))?;
    let header: [u8; HEADER_LENGTH] = template
        .header
        .as_ref()
        .try_into()
        .map_err(|_| strange(format!("its header has {} bytes", template.header.len())))?;
    let (rest, _extra_nonce) = template
        .commitment
        .split_last_chunk::<8>()
        .ok_or_else(|| strange("its commitment is too short".to_owned()))?;
    let rest = rest.to_vec();
    let time = u32::from_le_bytes([header[68], header[69], header[70], header[71]]);
    let header_of = move |extra_nonce: u64| {
        let mut header = header;
        header[36..68].copy_from_slice(sha256(&[&rest, &extra_nonce.to_be_bytes()]).as_slice());
        header
    };
    Ok(Job {
        id,
        template: Arc::new(header_of),
        target: target.to_number(),
        nonces: 0..NONCES,
        extra_nonces: first_extra_nonce..first_extra_nonce + EXTRA_NONCES,
        time_roll_s: template.max_time.saturating_sub(time),
        search_on: false,
    })
}

fn expected_seconds(template: &TemplateView, rate: u64) -> Option<u64> {
    let work = Target::from_compact(template.bits).ok()?.work().0;
    u64::try_from(work.checked_div(U256::from(rate))?).ok()
}
