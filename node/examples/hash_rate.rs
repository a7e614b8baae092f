//! How fast this machine mines, and how soon a miner stops: one JSON object on a line for each figure.
//!
//! `cargo run --release -p synod-node --example hash_rate [RUNS] [MILLISECONDS]`
//!
//! Each kernel runs on one thread and on every core; then a miner searches a job as it does in a node. Of
//! several short runs the fastest counts, because on a shared machine the others show who else was there.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use synod_node::miner::{Job, JobId, Kernel, Miner, NONCES, Settings, Share, measure};
use synod_types::U256;

fn main() {
    let mut arguments = std::env::args().skip(1).map_while(|text| text.parse::<u64>().ok());
    let runs = arguments.next().unwrap_or(5).max(1);
    let duration = Duration::from_millis(arguments.next().unwrap_or(500));
    let cores = thread::available_parallelism().map_or(1, usize::from);

    for kernel in Kernel::available() {
        let one = fastest(kernel, 1, runs, duration);
        let all = fastest(kernel, cores, runs, duration);
        println!(
            r#"{{"kernel": "{kernel}", "one_thread_mhs": {one:.2}, "threads": {cores}, "all_threads_mhs": {all:.2}, "scaling": {:.2}}}"#,
            all / one
        );
    }
    let settings = Settings { kernel: Kernel::best(), threads: cores, polite: true, share: Share::FULL };
    let miner = Miner::start(settings, |_| ()).expect("threads to mine with");
    let mining = (0..runs).map(|id| searching(&miner, id, duration)).fold(0.0, f64::max);
    println!(r#"{{"search_mhs": {mining:.2}, "threads": {cores}}}"#);
    let mut micros: Vec<u128> = (0..200).map(|id| stop_us(&miner, id)).collect();
    micros.sort_unstable();
    println!(
        r#"{{"stop_us": {{"median": {}, "p99": {}, "max": {}}}, "threads": {cores}}}"#,
        micros[100], micros[198], micros[199]
    );
}

/// Millions of hashes per second in the best of several runs.
fn fastest(kernel: Kernel, threads: usize, runs: u64, duration: Duration) -> f64 {
    (0..runs).map(|_| measure(kernel, threads, duration).per_second() / 1e6).fold(0.0, f64::max)
}

/// Millions of hashes per second of a job that nobody solves.
fn searching(miner: &Miner, id: u64, duration: Duration) -> f64 {
    miner.search(endless(id));
    let before = miner.snapshot();
    thread::sleep(duration);
    miner.snapshot().total_since(&before).per_second() / 1e6
}

/// How long after a command the last thread has stopped.
fn stop_us(miner: &Miner, id: u64) -> u128 {
    miner.search(endless(id));
    thread::sleep(Duration::from_millis(7));
    let told = Instant::now();
    miner.clear();
    miner.wait_until_idle();
    told.elapsed().as_micros()
}

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
