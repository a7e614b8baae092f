//! `synod mine`: a miner outside any node, over RPC.
//!
//! One thread keeps a long poll for templates open, the miner's threads search, and this one carries
//! solutions to the node and tells people how it goes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_consensus::pow::Target;
use synod_node::miner::{Job, JobId, Kernel, Miner, NONCES, Report, Settings, Share, Snapshot, Solution};
use synod_node::rpc::types::{SolveOutcome, TemplateView};
use synod_types::address::format_address;
use synod_types::block::HEADER_LENGTH;
use synod_types::hash::sha256;
use synod_types::{Address, U256};

use super::chain::hash_rate;
use crate::client::{CallError, Node, interrupt, is_passing};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use crate::wallet::draft::Wei;

/// Between two looks at the hash rate.
const TICK: Duration = Duration::from_millis(500);
/// Between two attempts to get a template from a node that does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Extra nonces for each template; at 2^32 hashes each no machine gets to the end.
const EXTRA_NONCES: u64 = 1 << 32;

/// Mine from outside a node, over its RPC
///
/// Shows the hash rate, the blocks found and the expected time to the next. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod mine --threads 2 --to alice")]
pub(crate) struct Mine {
    /// Who gets the rewards: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    to: String,
    /// How many threads hash
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// End after so many blocks
    #[arg(long, value_name = "COUNT")]
    blocks: Option<u64>,
}

/// A block was found: one line of the stream.
#[derive(Debug, Serialize)]
struct Found {
    event: &'static str,
    height: u64,
    block_hash: String,
    pays: Wei,
    seconds: u64,
}

/// How it went in all.
#[derive(Debug, Serialize)]
struct Mined {
    event: &'static str,
    blocks: u64,
    stale: u64,
    hashes: u64,
    hash_rate: u64,
    seconds: u64,
    reward_to: String,
}

/// What reaches the loop.
enum Event {
    Template(Box<TemplateView>),
    NoTemplate(CallError),
    Search(Report),
}

impl Mine {
    /// Mines until Ctrl-C or the last block asked for.
    ///
    /// # Errors
    /// When the node gives no templates, or the machine no threads.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let reward_to = session.names.account(&self.to)?.address;
        interrupt::arm();
        let (events, received) = sync_channel(64);
        let kernel = Kernel::best();
        let settings =
            Settings { kernel, threads: usize::from(self.threads), polite: true, share: Share::FULL };
        let reports = events.clone();
        // The loop below never waits for the miner, so a full channel means that nobody listens any more.
        let miner = Miner::start(settings, move |report| drop(reports.try_send(Event::Search(report))))
            .map_err(|error| Failure::failed("miner", error.to_string()))?;
        context.output.note(format_args!(
            "mining to {} with {} threads ({}) on {}",
            format_address(&reward_to),
            self.threads,
            kernel.name(),
            session.node.url()
        ));
        let mined = std::thread::scope(|scope| {
            let node = &session.node;
            scope.spawn(move || follow_templates(node, reward_to, &events));
            let mut dig = Dig::new(context, node, &miner, reward_to);
            let outcome = dig.run(&received, self.blocks);
            // Ends the thread that follows templates, whose long poll watches this flag.
            interrupt::flag().store(true, Ordering::Relaxed);
            drop(received);
            outcome.map(|()| dig.sum())
        })?;
        context.output.result(&mined);
        Ok(())
    }
}

/// Asks for a template, and then for the next as soon as that one is out of date.
fn follow_templates(node: &Node, reward_to: Address, events: &SyncSender<Event>) {
    let mut current: Option<String> = None;
    loop {
        let (event, retry) = match node.template(reward_to, current.as_deref()) {
            Ok(template) if current.as_ref() == Some(&template.template_id) => continue,
            Ok(template) => {
                current = Some(template.template_id.clone());
                (Event::Template(Box::new(template)), false)
            }
            Err(CallError::Interrupted) => return,
            Err(error) => {
                current = None;
                (Event::NoTemplate(error), true)
            }
        };
        if events.send(event).is_err() || (retry && node.pause(RETRY).is_err()) {
            return;
        }
    }
}

/// The work in progress.
struct Dig<'a> {
    context: &'a Context,
    node: &'a Node,
    miner: &'a Miner,
    reward_to: Address,
    progress: Progress,
    begun: Instant,
    earlier: Snapshot,
    first_extra_nonce: u64,
    jobs: u64,
    template: Option<Box<TemplateView>>,
    found: u64,
    stale: u64,
}

impl<'a> Dig<'a> {
    fn new(context: &'a Context, node: &'a Node, miner: &'a Miner, reward_to: Address) -> Self {
        let mut random = [0; 7];
        // Miners that share a node should not search the same headers; without randomness they might.
        let _ = getrandom::fill(&mut random);
        let first_extra_nonce = random.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        Self {
            context,
            node,
            miner,
            reward_to,
            progress: context.output.progress("waiting for a template"),
            begun: Instant::now(),
            earlier: miner.snapshot(),
            first_extra_nonce,
            jobs: 0,
            template: None,
            found: 0,
            stale: 0,
        }
    }

    fn run(&mut self, events: &Receiver<Event>, blocks: Option<u64>) -> Outcome<()> {
        while blocks.is_none_or(|blocks| self.found < blocks) && !interrupt::flag().load(Ordering::Relaxed) {
            match events.recv_timeout(TICK) {
                Ok(Event::Template(template)) => self.search(template)?,
                Ok(Event::NoTemplate(error)) if is_lasting(&error) => return Err(error.into()),
                Ok(Event::NoTemplate(error)) => {
                    self.miner.clear();
                    self.template = None;
                    self.progress.say(format!("{}; waiting", Failure::from(error)));
                }
                Ok(Event::Search(Report::Solved(solution))) => self.solve(&solution)?,
                Ok(Event::Search(Report::Exhausted(_))) => self.renew()?,
                Err(RecvTimeoutError::Timeout) => self.tell(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn search(&mut self, template: Box<TemplateView>) -> Outcome<()> {
        let searched = self.template.as_ref().map(|searched| &searched.template_id);
        if searched == Some(&template.template_id) {
            return Ok(());
        }
        self.jobs += 1;
        // A template that comes back after a solution was stale is searched where it was not yet.
        let first = self.first_extra_nonce + self.jobs * EXTRA_NONCES;
        self.miner.search(job(&template, JobId(self.jobs), first)?);
        self.template = Some(template);
        Ok(())
    }

    fn solve(&mut self, solution: &Solution) -> Outcome<()> {
        let current = self.template.as_ref().filter(|_| solution.job == JobId(self.jobs));
        let Some(template) = current else {
            self.stale += 1;
            return Ok(());
        };
        let answer =
            self.node.solve(&template.template_id, solution.extra_nonce, solution.time_s(), solution.nonce());
        match answer {
            Ok(view) if view.outcome == SolveOutcome::Accepted => {
                self.celebrate(view.block_hash.map(|hash| hash.to_string()));
            }
            Ok(view) if view.outcome == SolveOutcome::Wrong => {
                let reason = view.reason.unwrap_or_default();
                return Err(Failure::failed(
                    "wrong_solution",
                    format!("the node refuses a solution: {reason}"),
                ));
            }
            // Another miner was faster, or the node is gone for a moment: a new template tells.
            Ok(_) | Err(CallError::Silent(_) | CallError::Unreachable(_) | CallError::Interrupted) => {
                self.stale += 1;
            }
            Err(refused) => return Err(refused.into()),
        }
        self.template = None;
        self.renew()
    }

    /// A template right now, where waiting for a change would wait for somebody else.
    fn renew(&mut self) -> Outcome<()> {
        match self.node.template(self.reward_to, None) {
            Ok(template) => self.search(Box::new(template)),
            Err(error) if is_lasting(&error) => Err(error.into()),
            // The thread that follows templates brings the next one.
            Err(_) => Ok(()),
        }
    }

    fn celebrate(&mut self, block_hash: Option<String>) {
        self.found += 1;
        let Some(template) = &self.template else { return };
        let found = Found {
            event: "found",
            height: template.height.0,
            block_hash: block_hash.unwrap_or_default(),
            pays: Wei(template.pays),
            seconds: self.begun.elapsed().as_secs(),
        };
        if self.context.output.is_json() {
            self.context.output.line(&found);
        } else {
            self.progress.aside(|| self.context.output.text(&found.to_string()));
        }
    }

    fn tell(&mut self) {
        let now = self.miner.snapshot();
        let rate = now.total_since(&self.earlier).per_second() as u64;
        self.earlier = now;
        let expected = self.template.as_ref().and_then(|template| expected_seconds(template, rate));
        let next = expected.map_or_else(String::new, |seconds| format!(", next expected in {seconds} s"));
        self.progress.say(format!("{}, {} blocks found{next}", hash_rate(rate), self.found));
    }

    fn sum(&self) -> Mined {
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

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "✓ block {}, {} to come  {}", self.height, self.pays, self.block_hash)
    }
}

impl fmt::Display for Mined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, blocks) = (hash_rate(self.hash_rate), self.blocks);
        write!(
            formatter,
            "{blocks} blocks in {} s at {rate}; rewards mature when their blocks settle",
            self.seconds
        )
    }
}
