//! What a member remembers of its promises, by epoch and incarnation.
//!
//! `votes/` is one journal. It says first whose memory it is: an incarnation, and the epoch that the promises
//! after it belong to. A new epoch begins with a frame that makes all before it superfluous, since no promise
//! outlives its epoch. A memory of another incarnation than the record's, or of an epoch that the block log has
//! not come to, is none: then the node follows and does not vote (GEN-3).

use std::path::Path;

use serde::{Deserialize, Serialize};
use synod_consensus::agreement::Record;
use synod_consensus::committee::{Committee, Signer};
use synod_consensus::{Frame, FrameNumber, Journal};
use synod_ledger::disk::DiskError;
use synod_ledger::log::{LogOptions, Salt};
use synod_types::{Epoch, SecretKey};

use crate::driver::history::NodeDisk;
use crate::driver::ordering::RecordJournal;
use crate::driver::records::DiskRecords;
use crate::driver::start::{NodeError, open_disk, random};

/// A member's journal in its folder.
const VOTES: &str = "votes";
/// The journal of a node without a vote; nobody waits for what it holds.
const FOLLOWER: &str = "follower";

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    incarnation: u32,
    /// The epoch of the promises that follow; none before the first.
    epoch: Option<Epoch>,
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kept {
    Owner(Owner),
    Said(Record),
}

/// The open journal of one epoch.
#[derive(Debug)]
pub(super) struct Memory {
    journal: DiskRecords<NodeDisk, Kept>,
    owner: Owner,
}

/// What [`Memory::open`] found.
pub(super) struct Opened {
    /// The journal.
    pub(super) memory: Memory,
    /// What was promised in this epoch.
    pub(super) records: Vec<Record>,
    /// This node's voice, if it may vote.
    pub(super) signer: Option<Signer>,
}

fn open(folder: &Path, sync: bool) -> Result<(DiskRecords<NodeDisk, Kept>, Vec<Kept>), NodeError> {
    let disk = open_disk(folder, sync)?;
    Ok(DiskRecords::open(disk, LogOptions::votes(Salt(random()?)), newest)?)
}

/// The records from the last owner on.
fn newest(mut records: Vec<Kept>) -> Vec<Kept> {
    let last = records.iter().rposition(|kept| matches!(kept, Kept::Owner(_)));
    records.split_off(last.unwrap_or(0))
}

fn owner(records: &[Kept]) -> Option<Owner> {
    match records.first() {
        Some(Kept::Owner(owner)) => Some(*owner),
        _ => None,
    }
}

/// Begins the memory of a member's folder: what it has promised as this incarnation is nothing. Whoever makes a
/// network or a member does this once; a node never does it by itself: where the memory is gone, nobody knows
/// what the member promised, and it must not vote (GEN-3). A member that was there before comes back with the
/// next incarnation.
///
/// # Errors
/// [`NodeError`].
pub fn begin_member(folder: &Path, incarnation: u32) -> Result<(), NodeError> {
    let (journal, _) = open(&folder.join(VOTES), true)?;
    let mut memory = Memory { journal, owner: Owner { incarnation, epoch: None } };
    memory.begin().map_err(NodeError::Memory)
}

/// What memory a member's folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberMemory {
    /// None, or one that does not say whose it is.
    Missing,
    /// That of this incarnation.
    Of(u32),
    /// A running node votes with it.
    InUse,
}

/// Looks for the memory in a member's folder.
///
/// # Errors
/// [`NodeError`].
pub fn member_memory(folder: &Path) -> Result<MemberMemory, NodeError> {
    let votes = folder.join(VOTES);
    if !votes.is_dir() {
        return Ok(MemberMemory::Missing);
    }
    if matches!(NodeDisk::open(&votes, true), Err(DiskError::Locked { .. })) {
        return Ok(MemberMemory::InUse);
    }
    let (_, records) = open(&votes, true)?;
    Ok(owner(&newest(records)).map_or(MemberMemory::Missing, |owner| MemberMemory::Of(owner.incarnation)))
}

impl Memory {
    /// Opens what this node remembers of its promises in the committee's epoch. A node that is no member, or
    /// whose memory is not that of the member's incarnation, gets a follower's.
    ///
    /// # Errors
    /// [`NodeError`].
    pub(super) fn open(
        folder: &Path,
        sync: bool,
        committee: &Committee,
        key: Option<&SecretKey>,
    ) -> Result<Opened, NodeError> {
        if let Some(signer) = key.and_then(|key| Signer::new(committee, key.clone())) {
            let incarnation = committee.record().members[usize::from(signer.index().0)].incarnation;
            match Self::open_votes(folder, sync, committee.epoch(), incarnation)? {
                Ok((memory, records)) => return Ok(Opened { memory, records, signer: Some(signer) }),
                Err(reason) => tracing::error!("{reason}: this node follows the committee and does not vote"),
            }
        } else {
            tracing::warn!(
                "validator.key is no member's key: this node follows the committee and does not vote"
            );
        }
        let (journal, _) = open(&folder.join(FOLLOWER), sync)?;
        let mut memory = Self { journal, owner: Owner { incarnation: 0, epoch: Some(committee.epoch()) } };
        memory.begin().map_err(NodeError::Memory)?;
        Ok(Opened { memory, records: Vec::new(), signer: None })
    }

    /// The member's own memory, or why there is none.
    fn open_votes(
        folder: &Path,
        sync: bool,
        epoch: Epoch,
        incarnation: u32,
    ) -> Result<Result<(Self, Vec<Record>), String>, NodeError> {
        let path = folder.join(VOTES);
        if !path.is_dir() {
            return Ok(Err("votes/ is missing: what this member promised is not known".to_owned()));
        }
        let (journal, records) = open(&path, sync)?;
        let mut records = newest(records);
        let Some(found) = owner(&records) else {
            return Ok(Err("votes/ does not say whose memory it is".to_owned()));
        };
        if found.incarnation != incarnation {
            return Ok(Err(format!(
                "votes/ is the memory of incarnation {}, and the committee counts on incarnation {incarnation}",
                found.incarnation
            )));
        }
        if found.epoch.is_some_and(|known| known > epoch) {
            return Ok(Err(format!(
                "votes/ holds promises of epoch {}, and the block log has only come to epoch {epoch}",
                found.epoch.unwrap_or_default()
            )));
        }
        let mut memory = Self { journal, owner: Owner { incarnation, epoch: Some(epoch) } };
        if found.epoch != Some(epoch) {
            memory.begin().map_err(NodeError::Memory)?;
            records.clear();
        }
        let said = |kept| match kept {
            Kept::Said(record) => Some(record),
            Kept::Owner(_) => None,
        };
        Ok(Ok((memory, records.into_iter().filter_map(said).collect())))
    }

    /// Writes whose memory follows; everything before it goes.
    fn begin(&mut self) -> Result<(), String> {
        let number = self.journal.durable_through().next();
        self.journal.write(&Frame { number, records: vec![Kept::Owner(self.owner)], restates: true })
    }
}

impl Journal for Memory {
    fn durable_through(&self) -> FrameNumber {
        self.journal.durable_through()
    }
}

impl RecordJournal<Record> for Memory {
    fn write(&mut self, frame: &Frame<Record>) -> Result<(), String> {
        let owner = frame.restates.then_some(Kept::Owner(self.owner));
        let said = frame.records.iter().cloned().map(Kept::Said);
        let records = owner.into_iter().chain(said).collect();
        self.journal.write(&Frame { number: frame.number, records, restates: frame.restates })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::driver::committee::fixture::Four;
    use synod_consensus::committee::Certificate;
    use synod_consensus::pbft;
    use synod_types::{B256, BlockHash};

    fn key() -> SecretKey {
        SecretKey::from_seed(&[2; 32])
    }

    fn at(epoch: u64, incarnation: u32) -> Committee {
        let mut record = Four::new(1).committee.record().clone();
        record.epoch = Epoch(epoch);
        record.members[1].incarnation = incarnation;
        Committee::new(B256::repeat_byte(1), record).unwrap()
    }

    fn remembered(folder: &Path, epoch: u64, incarnation: u32) -> Option<usize> {
        let opened = Memory::open(folder, false, &at(epoch, incarnation), Some(&key())).unwrap();
        opened.signer.map(|_| opened.records.len())
    }

    fn promise(folder: &Path, epoch: u64, incarnation: u32, restates: bool) {
        let mut memory = Memory::open(folder, false, &at(epoch, incarnation), Some(&key())).unwrap().memory;
        let certificate: Certificate = Four::new(1).certificate(1, BlockHash(B256::ZERO));
        let number = memory.durable_through().next();
        memory
            .write(&Frame {
                number,
                records: vec![Record::Pbft(pbft::Record::Stable(certificate))],
                restates,
            })
            .unwrap();
    }

    #[test]
    fn gen_3_a_member_votes_only_with_the_memory_of_its_incarnation() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(remembered(folder, 0, 0), None, "there never was one");
        assert_eq!(member_memory(folder).unwrap(), MemberMemory::Missing);
        begin_member(folder, 0).unwrap();
        assert_eq!(remembered(folder, 0, 0), Some(0));
        promise(folder, 0, 0, false);
        assert_eq!(remembered(folder, 0, 0), Some(1));
        promise(folder, 0, 0, true);
        assert_eq!(remembered(folder, 0, 0), Some(1), "what was restated is there once, with its owner");
        assert_eq!(
            remembered(folder, 3, 1),
            None,
            "taken in again, the old memory is not what is counted on"
        );
        begin_member(folder, 1).unwrap();
        assert_eq!(member_memory(folder).unwrap(), MemberMemory::Of(1));
        assert_eq!(remembered(folder, 2, 0), None, "not before the committee knows");
        assert_eq!(remembered(folder, 3, 1), Some(0));
    }

    #[test]
    fn promises_end_with_their_epoch_and_never_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin_member(folder, 0).unwrap();
        promise(folder, 0, 0, false);
        assert_eq!(remembered(folder, 1, 0), Some(0));
        promise(folder, 1, 0, false);
        assert_eq!(remembered(folder, 1, 0), Some(1));
        assert_eq!(remembered(folder, 0, 0), None, "the block log is behind what was promised");
        assert_eq!(remembered(folder, 1, 0), Some(1), "and catches up");
    }
}
