//! `synod bench mine`: each kernel, the search as a node runs it, and how soon it stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_ledger::log::bench::Percentiles;
use synod_node::miner::{Job, JobId, Kernel, Miner, NONCES, Settings, Share, measure};
use synod_types::U256;

use super::{Figures, Micros};
use crate::failure::{Failure, Outcome};

/// How long the search runs before it is stopped again.
const BETWEEN_STOPS: Duration = Duration::from_millis(5);

/// The mining kernels, and how soon a search stops
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod bench mine --json")]
pub(crate) struct MineBench {
    /// Milliseconds for each figure
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    milliseconds: u64,
    /// How often a search is stopped
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    stops: u32,
}

#[derive(Serialize)]
struct MineResult {
    kernels: Vec<KernelRate>,
    search: Search,
}

#[derive(Serialize)]
struct KernelRate {
    kernel: &'static str,
    threads: usize,
    hashes_per_second: u64,
}

/// Polite threads on every core with the best kernel, as a node mines.
#[derive(Serialize)]
struct Search {
    threads: usize,
    hashes_per_second: u64,
    stops: u32,
    /// Microseconds from a new tip to the last thread's last hash of the old one.
    stop: Micros,
}

impl MineBench {
    /// Measures.
    ///
    /// # Errors
    /// When the machine has no threads left.
    pub(super) fn measure(self) -> Outcome<Figures> {
        let duration = Duration::from_millis(self.milliseconds.max(50));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut kernels = Vec::new();
        for kernel in Kernel::available() {
            for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
                let hashes_per_second = measure(kernel, threads, duration).per_second() as u64;
                kernels.push(KernelRate { kernel: kernel.name(), threads, hashes_per_second });
            }
        }
        let result = MineResult { kernels, search: search(cores, duration, self.stops)? };
        let megahashes = |rate: u64| rate as f64 / 1e6;
        let mut lines: Vec<String> = result
            .kernels
            .iter()
            .map(|KernelRate { kernel, threads, hashes_per_second }| {
                format!("{kernel:<9} {threads:>2} threads {:>8.1} MH/s", megahashes(*hashes_per_second))
            })
            .collect();
        let Search { threads, hashes_per_second, stop, .. } = &result.search;
        lines.push(format!(
            "as a node {threads:>2} threads {:>8.1} MH/s; stopped after p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            megahashes(*hashes_per_second),
            stop.p50 as f64 / 1e3,
            stop.p99 as f64 / 1e3,
            stop.max as f64 / 1e3
        ));
        Ok(Figures::new(&result, lines.join("\n")))
    }
}

fn search(threads: usize, duration: Duration, stops: u32) -> Outcome<Search> {
    let settings = Settings { kernel: Kernel::best(), threads, polite: true, share: Share::FULL };
    let miner =
        Miner::start(settings, |_| ()).map_err(|error| Failure::failed("miner", error.to_string()))?;
    miner.search(endless(0));
    let before = miner.snapshot();
    std::thread::sleep(duration);
    let hashes_per_second = miner.snapshot().total_since(&before).per_second() as u64;
    let times = (1..=u64::from(stops)).map(|id| {
        miner.search(endless(id));
        std::thread::sleep(BETWEEN_STOPS);
        let told = Instant::now();
        miner.clear();
        miner.wait_until_idle();
        told.elapsed()
    });
    let stop = Percentiles::of(times.collect()).into();
    Ok(Search { threads, hashes_per_second, stops, stop })
}

/// A job that nobody solves.
fn endless(id: u64) -> Job {
    Job {
        id: JobId(id),
        template: Arc::new(|extra_nonce: u64| [extra_nonce as u8; 80]),
        target: U256::ZERO,
        nonces: 0..NONCES,
        extra_nonces: 0..u64::MAX,
        time_roll_s: 0,
        search_on: false,
    }
}
