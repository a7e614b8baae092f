//! Prints what the block log and the raw disk take for a commit: `cargo run --release --example log_bench -- FOLDER`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;

use synod_ledger::disk::{RealDisk, SimDisk};
use synod_ledger::log::bench::{LogFigures, LogLoad, Percentiles, measure};

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("name a fresh folder")?.into();
    for (block_bytes, commits) in
        [(200, 2000), (4_000, 2000), (64_000, 1000), (200_000, 500), (1_000_000, 200)]
    {
        let load = LogLoad { block_bytes, commits, raw_syncs: commits.min(300) };
        let log = RealDisk::open(&folder.join(format!("log-{block_bytes}")))?;
        let raw = RealDisk::open(&folder.join(format!("raw-{block_bytes}")))?;
        print("disk", &measure(log, &raw, load)?);
        let twin = SimDisk::new(0);
        print("twin", &measure(twin.folder("log"), &twin.folder("raw"), load)?);
    }
    Ok(())
}

fn print(disk: &str, figures: &LogFigures) {
    println!(
        "{disk}: {} bytes, {:.0} commits/s, {:.1} MB/s, boot {:.0} MB/s; p50/p90/p99/max in ms: commit {}, raw in place {}, raw growing {}",
        figures.block_bytes,
        figures.commits_per_second(),
        figures.megabytes_per_second(),
        figures.boot_megabytes_per_second(),
        line(&figures.commit),
        line(&figures.raw_in_place),
        line(&figures.raw_growing)
    );
}

fn line(times: &Percentiles) -> String {
    let places = [times.p50, times.p90, times.p99, times.max];
    places.map(|time| format!("{:.2}", time.as_secs_f64() * 1e3)).join("/")
}
