//! `synod bench`: how fast the parts are on this machine.
//!
//! Every figure comes from the shipped code. What depends on the disk prints the disk's own sync time beside it.

mod finality;
mod load;
mod mine;
mod node;
mod ordering;
mod transfers;
mod vm;

use std::fmt::{self, Display};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use synod_ledger::bench::{self, ApplyLoad};
use synod_ledger::disk::RealDisk;
use synod_ledger::log::bench::{LogLoad, Percentiles};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Measure the parts on this machine
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod bench mine\n  synod bench apply --accounts 100000 --json\n  synod bench transfers --rate 10000 --for 60"
)]
pub(crate) enum Bench {
    /// Signatures in batches
    #[command(after_help = "Example:\n  synod bench verify --batch 4096")]
    Verify {
        /// Transactions in a batch
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        batch: u32,
        /// Different senders
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        senders: u32,
        /// How many batches
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batches: u32,
    },
    /// The state tree's root
    #[command(after_help = "Example:\n  synod bench root --keys 100000")]
    Root {
        /// Keys in the tree
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        keys: u64,
        /// Updates in a batch
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        updates: u64,
        /// How many batches
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rounds: u32,
    },
    /// Whole blocks: executed, rooted, committed
    #[command(after_help = "Example:\n  synod bench apply --accounts 100000 --json")]
    Apply(Apply),
    /// The block log
    #[command(after_help = "Example:\n  synod bench log --folder /mnt/disk")]
    Log {
        /// Bytes of a block
        #[arg(long, default_value_t = 200_000)]
        bytes: usize,
        /// How many commits
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        commits: u32,
        /// Where to write; a temporary folder otherwise
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    Vm(vm::VmBench),
    /// A token's transfers through the ledger, and where the time goes
    #[command(after_help = "Example:\n  synod bench contracts --holders 10000")]
    Contracts(ContractBench),
    Mine(mine::MineBench),
    Node(node::NodeBench),
    Finality(finality::Finality),
    Transfers(transfers::Transfers),
    Ordering(ordering::OrderingBench),
    #[command(hide = true)]
    Member(ordering::Member),
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Accounts before the measured blocks
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    accounts: u64,
    /// Blocks to measure
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    blocks: u32,
    /// Transfers in a block
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    transfers: u32,
    /// Do not sync
    #[arg(long)]
    no_sync: bool,
    /// Do not write checkpoints behind
    #[arg(long)]
    no_index: bool,
    /// Where to write; a temporary folder otherwise
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ContractBench {
    /// Accounts that hold the token
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    holders: u64,
    /// Blocks to measure
    #[arg(long, default_value_t = 50)]
    blocks: u32,
    /// Transfers in a block
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    transfers: u32,
    /// Do not sync
    #[arg(long)]
    no_sync: bool,
    /// Where to write; a temporary folder otherwise
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Bench {
    /// Runs it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("measuring");
        let result = match self {
            Self::Vm(bench) => bench.measure(&progress)?,
            Self::Contracts(bench) => bench.measure()?,
            Self::Verify { batch, senders, batches } => {
                let figures = bench::verify(batch.max(1), batches.max(1), senders);
                let text = format!(
                    "{:.0} transactions a second on one thread, in batches of {} from {} senders",
                    figures.per_second, figures.batch, figures.senders
                );
                Figures::new(&figures, text)
            }
            Self::Root { keys, updates, rounds } => {
                let figures = bench::root(keys, updates, rounds.max(1));
                let text = format!(
                    "{:.2} ms for {} updates over {} keys (fastest {:.2} ms); built in {:.0} ms, {} MB",
                    figures.median_ms,
                    figures.updates,
                    figures.keys,
                    figures.fastest_ms,
                    figures.build_ms,
                    figures.memory_bytes / 1_000_000
                );
                Figures::new(&figures, text)
            }
            Self::Apply(apply) => apply.measure()?,
            Self::Log { bytes, commits, folder } => log(bytes, commits, folder)?,
            Self::Mine(bench) => bench.measure()?,
            Self::Node(bench) => bench.measure(&progress)?,
            Self::Finality(bench) => bench.measure(&progress)?,
            Self::Transfers(bench) => bench.measure(context, &progress)?,
            Self::Ordering(bench) => bench.measure(&progress)?,
            Self::Member(member) => return member.run(),
        };
        drop(progress);
        context.output.result(&result);
        Ok(())
    }
}

/// Figures for programs, and what they say to people.
#[derive(Serialize)]
#[serde(transparent)]
struct Figures {
    figures: serde_json::Value,
    #[serde(skip)]
    text: String,
}

impl Figures {
    fn new(figures: &impl Serialize, text: String) -> Self {
        Self { figures: serde_json::to_value(figures).expect("figures serialize"), text }
    }
}

impl Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A folder that is removed afterwards unless the user named it.
struct Scratch {
    path: PathBuf,
    ours: bool,
}

impl Scratch {
    fn new(named: Option<PathBuf>) -> Outcome<Self> {
        let ours = named.is_none();
        let path =
            named.unwrap_or_else(|| std::env::temp_dir().join(format!("synod-bench-{}", std::process::id())));
        std::fs::create_dir_all(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Self { path, ours })
    }

    /// A disk in a folder of its own.
    fn disk(&self, name: &str) -> Outcome<RealDisk> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(|error| Failure::file(&path, &error))?;
        RealDisk::open(&path).map_err(|error| Failure::failed("bench", error.to_string()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.ours {
            // What cannot be removed lies in the system's folder for temporary things.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What the disk itself takes for a sync, in the folder of a bench.
#[derive(Serialize)]
struct DiskSync {
    bytes: usize,
    in_place: Micros,
    growing: Micros,
}

impl DiskSync {
    fn measure(scratch: &Scratch) -> Outcome<Self> {
        let raw = scratch.disk("disk-alone")?;
        let load = LogLoad { block_bytes: 16_384, commits: 1, raw_syncs: 100 };
        let measured = synod_ledger::log::bench::measure(scratch.disk("disk-log")?, &raw, load)
            .map_err(|error| Failure::failed("bench", error.to_string()))?;
        for name in ["disk-alone", "disk-log"] {
            // What stays lies beside the network's files, and does no harm there.
            let _ = std::fs::remove_dir_all(scratch.path.join(name));
        }
        Ok(Self {
            bytes: load.block_bytes,
            in_place: measured.raw_in_place.into(),
            growing: measured.raw_growing.into(),
        })
    }
}

impl Display for DiskSync {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the disk's own sync of {} bytes in place p50 {} µs, p99 {} µs; of a growing file p50 {} µs",
            self.bytes, self.in_place.p50, self.in_place.p99, self.growing.p50
        )
    }
}

impl ContractBench {
    fn measure(self) -> Outcome<Figures> {
        let scratch = Scratch::new(self.folder)?;
        let token = bench::Token {
            creation: synod_vm::bench::token_data(1_000_000_000),
            transfer: synod_vm::bench::transfer_data,
        };
        let load = bench::ContractLoad {
            token,
            holders: self.holders,
            blocks: self.blocks.max(1),
            transfers: self.transfers,
            sync: !self.no_sync,
        };
        let figures = bench::contracts(&scratch.path, &load)
            .map_err(|error| Failure::failed("bench", error.to_string()))?;
        let part = |milliseconds: f64| {
            format!("{milliseconds:.2} ms ({:.0} %)", 100.0 * milliseconds / figures.block_ms)
        };
        let text = format!(
            "{:.0} token transfers a second: {:.2} ms for a block of {} over {} holders, {} gas, {}\n  machine {}, state and books {}, root {}, commit {} (medians)",
            figures.transfers_per_second,
            figures.block_ms,
            figures.transfers,
            figures.holders,
            figures.gas,
            if figures.synced { "synced" } else { "not synced" },
            part(figures.vm_ms),
            part(figures.state_ms),
            part(figures.root_ms),
            part(figures.commit_ms)
        );
        Ok(Figures::new(&figures, text))
    }
}

impl Apply {
    fn measure(self) -> Outcome<Figures> {
        let scratch = Scratch::new(self.folder)?;
        let load = ApplyLoad {
            accounts: self.accounts,
            blocks: self.blocks.max(1),
            transfers: self.transfers,
            sync: !self.no_sync,
            index: !self.no_index,
        };
        let figures =
            bench::apply(&scratch.path, load).map_err(|error| Failure::failed("bench", error.to_string()))?;
        let text = format!(
            "{:.1} blocks a second of {} transfers over {} accounts, {}\n  append {:.2} ms, commit {:.2} ms (medians), slowest block {:.1} ms\n  restart {:.0} ms from height {}, peak memory {} MB",
            figures.blocks_per_second,
            figures.transfers,
            figures.accounts,
            if figures.synced { "synced" } else { "not synced" },
            figures.append_ms,
            figures.commit_ms,
            figures.slowest_ms,
            figures.restart_ms,
            figures.restart_from,
            figures.peak_memory_bytes / 1_000_000
        );
        Ok(Figures::new(&figures, text))
    }
}

#[derive(Serialize)]
struct LogResult {
    block_bytes: usize,
    commits: u32,
    commits_per_second: f64,
    megabytes_per_second: f64,
    commit: Micros,
    raw_sync_in_place: Micros,
    raw_sync_growing: Micros,
    boot_ms: f64,
}

#[derive(Debug, Serialize)]
struct Micros {
    p50: u128,
    p90: u128,
    p95: u128,
    p99: u128,
    max: u128,
}

impl From<Percentiles> for Micros {
    fn from(from: Percentiles) -> Self {
        Self {
            p50: from.p50.as_micros(),
            p90: from.p90.as_micros(),
            p95: from.p95.as_micros(),
            p99: from.p99.as_micros(),
            max: from.max.as_micros(),
        }
    }
}

fn log(bytes: usize, commits: u32, folder: Option<PathBuf>) -> Outcome<Figures> {
    let scratch = Scratch::new(folder)?;
    let (log, raw) = (scratch.disk("log")?, scratch.disk("raw")?);
    let load = LogLoad {
        block_bytes: bytes.clamp(1, 4 << 20),
        commits: commits.max(1),
        raw_syncs: commits.clamp(20, 500),
    };
    let measured = synod_ledger::log::bench::measure(log, &raw, load)
        .map_err(|error| Failure::failed("bench", error.to_string()))?;
    let result = LogResult {
        block_bytes: measured.block_bytes,
        commits: measured.commits,
        commits_per_second: measured.commits_per_second(),
        megabytes_per_second: measured.megabytes_per_second(),
        commit: measured.commit.into(),
        raw_sync_in_place: measured.raw_in_place.into(),
        raw_sync_growing: measured.raw_growing.into(),
        boot_ms: measured.boot.as_secs_f64() * 1000.0,
    };
    let text = format!(
        "{:.0} commits a second of {} bytes, {:.1} MB/s\n  commit p50 {} µs, p99 {} µs\n  the disk's own sync in place p50 {} µs, p99 {} µs; of a growing file p50 {} µs",
        result.commits_per_second,
        result.block_bytes,
        result.megabytes_per_second,
        result.commit.p50,
        result.commit.p99,
        result.raw_sync_in_place.p50,
        result.raw_sync_in_place.p99,
        result.raw_sync_growing.p50
    );
    Ok(Figures::new(&result, text))
}
