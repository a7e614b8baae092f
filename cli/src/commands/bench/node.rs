//! `synod bench node`: a whole node on this machine, over its RPC.
//!
//! - How soon a solution is a block: from the moment at which an outside miner hands it in to the moment at which
//!   it holds the next template, so that the block is executed and synced. Both calls' ways are in it.
//! - What mining costs everybody else: calls to a node that does not mine, and to one that mines on every core.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_consensus::pow::Target;
use synod_ledger::log::bench::Percentiles;
use synod_node::config::{Config, MiningConfig, P2pConfig, RpcConfig, StorageConfig, SyncConfig, WebConfig};
use synod_node::driver::Node as RunningNode;
use synod_node::miner::{Kernel, NONCES, Puzzle, measure};
use synod_node::ports::unused;
use synod_node::rpc::types::{BlockReference, SolveOutcome, TemplateView};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{Address, B256, U256, UnixMillis};

use super::{Figures, Micros, Scratch};
use crate::client::Node;
use crate::client::http::Url;
use crate::client::locate::Located;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// Who gets the rewards.
const MINER: Address = Address::repeat_byte(9);
/// For the node to start, and for a template to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two solutions. Blocks have whole seconds, later than the median of the last eleven: with more than five
/// in a second a template has to wait for the clock.
const BETWEEN_SOLUTIONS: Duration = Duration::from_millis(250);
/// Solutions that are not timed: while a chain has fewer than eleven blocks, that median is a block of just now.
const YOUNG: u32 = 12;

/// A whole node: from a solution to a block, and its RPC while it mines
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod bench node --blocks 50 --json")]
pub(crate) struct NodeBench {
    /// Solutions to hand in, a quarter of a second apart
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    blocks: u32,
    /// Calls to the idle node, and again to the mining one
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Do not sync
    #[arg(long)]
    no_sync: bool,
}

#[derive(Serialize)]
struct NodeResult {
    blocks: u32,
    /// Microseconds from a solution to the next template.
    solution_to_block: Micros,
    calls: u32,
    mining_threads: usize,
    mined_meanwhile: u64,
    /// Microseconds of a call.
    rpc_idle: Micros,
    rpc_mining: Micros,
    synced: bool,
}

impl NodeBench {
    /// Measures.
    ///
    /// # Errors
    /// When the node does not start, or answers what it should not.
    pub(super) fn measure(self, progress: &Progress) -> Outcome<Figures> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let scratch = Scratch::new(None)?;
        let (idle, mining) = (scratch.path.join("idle"), scratch.path.join("mining"));

        progress.say("solutions become blocks");
        // About a thousand hashes for a block, and nothing that makes them harder meanwhile.
        let easy = ProofOfWork {
            half_life_seconds: 1_000_000,
            future_limit_seconds: 7_200,
            ..ProofOfWork::testnet(bits(1_000.0))
        };
        let node = Started::new(&idle, easy, 0, !self.no_sync)?;
        let solution_to_block = node.solutions(self.blocks)?;
        progress.say("calls to an idle node");
        let (rpc_idle, _) = node.calls(self.calls)?;
        node.stop();

        progress.say("calls to a node that mines");
        let rate = measure(Kernel::best(), cores, Duration::from_millis(100)).per_second();
        let node = Started::new(&mining, ProofOfWork::testnet(bits(2.0 * rate)), cores, !self.no_sync)?;
        node.until_it_mines()?;
        let (rpc_mining, mined_meanwhile) = node.calls(self.calls)?;
        node.stop();

        let result = NodeResult {
            blocks: self.blocks,
            solution_to_block,
            calls: self.calls,
            mining_threads: cores,
            mined_meanwhile,
            rpc_idle,
            rpc_mining,
            synced: !self.no_sync,
        };
        let milliseconds = |micros: u128| micros as f64 / 1_000.0;
        let of = |micros: &Micros| {
            let [p50, p99, max] = [micros.p50, micros.p99, micros.max].map(milliseconds);
            format!("p50 {p50:.2} ms, p99 {p99:.2} ms, longest {max:.2} ms")
        };
        let text = format!(
            "a solution is a block, and the next template with its miner, in {} ({} blocks, {})\n\
             a call takes {} while the node is idle\n\
             and {} while it mines on {cores} threads ({mined_meanwhile} blocks meanwhile)",
            of(&result.solution_to_block),
            self.blocks,
            if result.synced { "synced" } else { "not synced" },
            of(&result.rpc_idle),
            of(&result.rpc_mining),
        );
        Ok(Figures::new(&result, text))
    }
}

/// The target that takes so many hashes.
fn bits(hashes: f64) -> u32 {
    Target::at_least_one(U256::MAX / U256::from(hashes.max(2.0) as u64)).to_compact()
}

/// A node in this process, and a client of it.
struct Started {
    runtime: tokio::runtime::Runtime,
    stop: Box<dyn FnOnce() + Send>,
    running: tokio::task::JoinHandle<synod_node::driver::Reason>,
    client: Node,
}

impl Started {
    fn new(folder: &Path, pow: ProofOfWork, threads: usize, sync: bool) -> Outcome<Self> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed("bench", error.to_string());
        std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        let path = folder.join("genesis.json");
        std::fs::write(&path, genesis(pow).to_json()).map_err(|error| Failure::file(&path, &error))?;
        let [rpc, p2p, web] = free().map_err(|error| failed(&error))?;
        let config = Config {
            name: "bench".to_owned(),
            folder: folder.to_owned(),
            rpc: RpcConfig { listen: rpc, cors: Vec::new() },
            p2p: P2pConfig { listen: vec![p2p], peers: Vec::new() },
            web: WebConfig { listen: web },
            mining: MiningConfig { enabled: threads > 0, threads: threads.max(1), reward_to: Some(MINER) },
            getwork: Default::default(),
            sync: SyncConfig::default(),
            storage: StorageConfig { sync },
            log: Default::default(),
        };
        let runtime = tokio::runtime::Runtime::new().map_err(|error| failed(&error))?;
        let node =
            runtime.block_on(Box::pin(RunningNode::start(config, None))).map_err(|error| failed(&error))?;
        let stop = Box::new(node.stopper());
        let running = runtime.spawn(node.run());
        let url = Url::parse(&format!("http://{rpc}")).map_err(|error| failed(&error))?;
        let client = Node::new(Located { url, how_to_start: "it is the bench's own".to_owned() });
        Ok(Self { runtime, stop, running, client })
    }

    fn stop(self) {
        (self.stop)();
        // Whatever it ended with, the figures are taken.
        let _ = self.runtime.block_on(self.running);
    }

    /// Hands in so many solutions, each timed.
    fn solutions(&self, count: u32) -> Outcome<Micros> {
        let begun = Instant::now();
        let mut template = loop {
            match self.client.template(MINER, None) {
                Ok(template) => break template,
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => self.client.pause(Duration::from_millis(20))?,
            }
        };
        let mut times = Vec::new();
        for number in 0..YOUNG + count {
            let (nonce, client) = (solve(&template)?, &self.client);
            let (begun, (following, came)) = std::thread::scope(|scope| -> Outcome<_> {
                // The miner's long poll is open before it finds anything.
                let waiting = scope.spawn(|| (await_tip(client, &template), Instant::now()));
                std::thread::sleep(Duration::from_millis(2));
                let begun = Instant::now();
                let view = client.solve(&template.template_id, 0, template.min_time, nonce)?;
                if view.outcome != SolveOutcome::Accepted {
                    let reason = view.reason.unwrap_or_default();
                    return Err(Failure::failed("bench", format!("the node refuses a solution: {reason}")));
                }
                Ok((begun, waiting.join().expect("waiting does not panic")))
            })?;
            template = following?;
            if number >= YOUNG {
                times.push(came.saturating_duration_since(begun));
            }
            self.client.pause(BETWEEN_SOLUTIONS)?;
        }
        Ok(Percentiles::of(times).into())
    }

    fn until_it_mines(&self) -> Outcome<()> {
        let begun = Instant::now();
        while self.client.status()?.mining.is_none_or(|mining| mining.hash_rate == 0) {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::failed("bench", "the node does not mine".to_owned()));
            }
            self.client.pause(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Calls of three kinds in turns, each over a connection of its own as the command makes them; and the blocks
    /// that came meanwhile.
    fn calls(&self, count: u32) -> Outcome<(Micros, u64)> {
        let before = self.client.status()?.head.height.0;
        let mut times = Vec::new();
        for number in 0..count {
            let begun = Instant::now();
            match number % 3 {
                0 => self.client.status().map(|_| ())?,
                1 => self.client.account(MINER).map(|_| ())?,
                _ => self.client.block(BlockReference::Latest, false).map(|_| ())?,
            }
            times.push(begun.elapsed());
        }
        let after = self.client.status()?.head.height.0;
        Ok((Percentiles::of(times).into(), after - before))
    }
}

/// The next template on another block.
fn await_tip(client: &Node, template: &TemplateView) -> Outcome<TemplateView> {
    let mut last = template.template_id.clone();
    loop {
        let next = client.template(MINER, Some(&last))?;
        if next.parent != template.parent {
            return Ok(next);
        }
        last = next.template_id;
    }
}

/// The nonce of a template's header as it is.
fn solve(template: &TemplateView) -> Outcome<u32> {
    let strange = || Failure::failed("bench", "the template cannot be solved".to_owned());
    let mut header: [u8; 80] = template.header.as_ref().try_into().map_err(|_| strange())?;
    let (rest, _) = template.commitment.split_last_chunk::<8>().ok_or_else(strange)?;
    let commitment = synod_types::hash::sha256(&[rest, &0_u64.to_be_bytes()]);
    header[36..68].copy_from_slice(commitment.as_slice());
    let mut found = None;
    Kernel::best().scan(&Puzzle::new(&header, template.target.into()), 0..NONCES, &mut |nonce| {
        found = Some(nonce);
        ControlFlow::Break(())
    });
    found.ok_or_else(strange)
}

fn genesis(pow: ProofOfWork) -> Genesis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Genesis {
        chain_id: 1_337,
        salt: B256::repeat_byte(1),
        time: UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        ordering: Ordering::Pow,
        members: Vec::new(),
        alloc: Default::default(),
        fees: Fees::default(),
        limits: Limits::default(),
        pow,
        testnet: true,
    }
}

/// Three free ports of this machine.
fn free() -> std::io::Result<[SocketAddr; 3]> {
    Ok([unused()?, unused()?, unused()?])
}
