//! What may go wrong on the twin, and what a power cut leaves.

use std::collections::BTreeSet;

/// Faults to come. The default is a disk without faults.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Syncs that fail with EIO, by number from 1 since the machine was made (S-D3).
    pub failing_syncs: BTreeSet<u64>,
    /// Writes that fail with EIO after an arbitrary prefix, by number from 1.
    pub failing_writes: BTreeSet<u64>,
    /// Writes that find the disk full after an arbitrary prefix, by number from 1 (S-D4).
    pub short_writes: BTreeSet<u64>,
    /// How often a sync fails, in millionths.
    pub sync_failures_per_million: u64,
    /// How often a write fails, in millionths.
    pub write_failures_per_million: u64,
    /// Bytes that all files together may hold; growing past it finds the disk full (S-D4).
    pub capacity_bytes: Option<u64>,
    /// The power goes off after this many operations since the machine was made (S-C1, S-D1, S-D2).
    pub power_off_after: Option<u64>,
}

/// What of the unsynced writes and names a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing unsynced survives.
    LoseUnsynced,
    /// Everything written survives, synced or not.
    KeepUnsynced,
    /// Each write and name is kept, lost or torn by choice, in any order.
    Tear,
}
