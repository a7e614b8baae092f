//! How fast the log commits here, beside what the disk itself takes for a sync.
//!
//! One function that measures and returns figures; whoever calls it prints them. It reads the clock, which is
//! why nothing else of the log is in this file.

use std::time::{Duration, Instant};

use super::blocks::{BlockLogError, Tip};
use super::{LogOptions, Salt};
use crate::disk::{Disk, DiskError, DiskFile};
use crate::log::blocks::BlockLog;
use synod_types::{B256, BlockHash, Height};

/// Nobody attacks a bench.
const SALT: Salt = Salt([0x5a; 16]);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct LogLoad {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Commits to make, one block each.
    pub commits: u32,
    /// Syncs of the raw disk to compare with.
    pub raw_syncs: u32,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogFigures {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Commits made.
    pub commits: u32,
    /// The time that all commits took, with preparing segments in between.
    pub elapsed: Duration,
    /// A commit, alone.
    pub commit: Percentiles,
    /// Opening the log again: reading and checking all of it.
    pub boot: Duration,
    /// Writing the same number of bytes into zeros that stand already, and `fdatasync`: the floor for a commit.
    pub raw_in_place: Percentiles,
    /// Appending the same number of bytes to a growing file, and `fdatasync`: what preallocation saves.
    pub raw_growing: Percentiles,
}

impl LogFigures {
    /// Commits for each second, whole.
    pub fn commits_per_second(&self) -> f64 {
        f64::from(self.commits) / self.elapsed.as_secs_f64()
    }

    /// Millions of payload bytes read and checked for each second at boot.
    pub fn boot_megabytes_per_second(&self) -> f64 {
        f64::from(self.commits) * self.block_bytes as f64 / 1e6 / self.boot.as_secs_f64()
    }

    /// Millions of payload bytes for each second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.commits_per_second() * self.block_bytes as f64 / 1e6
    }
}

/// Durations at five places of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// The middle.
    pub p50: Duration,
    /// 90 of 100 are below.
    pub p90: Duration,
    /// 95 of 100 are below.
    pub p95: Duration,
    /// 99 of 100 are below.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Measures a block log in a fresh folder of its own, and the raw disk in another one.
///
/// # Errors
/// What the log or the disk answers; [`super::LogError::Exists`] when the folder holds a log.
pub fn measure<D: Disk>(log_disk: D, raw_disk: &D, load: LogLoad) -> Result<LogFigures, BlockLogError> {
    let block = vec![0xa5; load.block_bytes];
    let (log, elapsed, commits) = measure_log(log_disk, &block, load.commits)?;
    let (disk, begun) = (log.into_disk(), Instant::now());
    drop(BlockLog::open_existing(disk, LogOptions::blocks(SALT))?);
    let boot = begun.elapsed();
    let raw_in_place = measure_raw(raw_disk, "in-place", &block, load.raw_syncs, true);
    let raw_growing = measure_raw(raw_disk, "growing", &block, load.raw_syncs, false);
    Ok(LogFigures {
        block_bytes: load.block_bytes,
        commits: load.commits,
        elapsed,
        commit: Percentiles::of(commits),
        boot,
        raw_in_place: Percentiles::of(raw_in_place.map_err(super::LogError::from)?),
        raw_growing: Percentiles::of(raw_growing.map_err(super::LogError::from)?),
    })
}

fn measure_log<D: Disk>(
    disk: D,
    block: &[u8],
    commits: u32,
) -> Result<(BlockLog<D>, Duration, Vec<Duration>), BlockLogError> {
    let mut log = BlockLog::create(disk, LogOptions::blocks(SALT))?;
    let mut parent = BlockHash(B256::ZERO);
    let mut times = Vec::with_capacity(commits as usize);
    let start = Instant::now();
    for height in 1..=u64::from(commits) {
        let hash = BlockHash(B256::left_padding_from(&height.to_be_bytes()));
        let begun = Instant::now();
        log.append(Tip { height: Height(height), hash }, parent, block)?;
        log.commit()?;
        times.push(begun.elapsed());
        parent = hash;
        // Between two commits, as a node does when it is idle: one step.
        log.prepare_ahead()?;
    }
    Ok((log, start.elapsed(), times))
}

fn measure_raw<D: Disk>(
    disk: &D,
    name: &str,
    bytes: &[u8],
    syncs: u32,
    in_place: bool,
) -> Result<Vec<Duration>, DiskError> {
    let file = disk.create(name)?;
    disk.sync_folder()?;
    let space = bytes.len().next_multiple_of(512) as u64;
    if in_place {
        let zeros = vec![0; space as usize];
        (0..u64::from(syncs)).try_for_each(|at| file.write_at(at * space, &zeros))?;
        file.sync_data()?;
    }
    (0..u64::from(syncs))
        .map(|at| {
            let begun = Instant::now();
            file.write_at(at * space, bytes)?;
            file.sync_data()?;
            Ok(begun.elapsed())
        })
        .collect()
}

impl Percentiles {
    /// Of these durations.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or_default();
        Self { p50: at(50), p90: at(90), p95: at(95), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn every_figure_is_measured() {
        let machine = SimDisk::new(0);
        let load = LogLoad { block_bytes: 1000, commits: 20, raw_syncs: 10 };
        let figures = measure(machine.folder("log"), &machine.folder("raw"), load).unwrap();
        assert!(figures.commits_per_second() > 0.0 && figures.megabytes_per_second() > 0.0);
        assert!(figures.commit.p50 <= figures.commit.p99 && figures.commit.p99 <= figures.commit.max);
        assert!(figures.boot_megabytes_per_second() > 0.0);
        assert!(figures.raw_in_place.max > Duration::ZERO && figures.raw_growing.max > Duration::ZERO);
    }

    #[test]
    fn percentiles_are_places_of_the_order() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let found = Percentiles::of(times);
        assert_eq!(
            [found.p50, found.p90, found.p99, found.max],
            [101, 181, 199, 200].map(Duration::from_millis)
        );
    }
}
