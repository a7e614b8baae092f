//! Drills for the table of mutants: what a run of the simulator cannot show, since its nodes keep no sled
//! and no peer repairs a log there, asked of the shipped code itself. Each answers whether the rule holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use synod_types::B256;

use crate::disk::SimDisk;
use crate::index::Index;
use crate::log::{LogKind, LogOptions, Opened, Salt, create, open};
use crate::open::Unusable;
use crate::recent::Executed;
use crate::store::memory::MemoryPages;
use crate::store::{Pages as _, SledPages, StoreError};
use crate::testing::{extend, genesis, log_of};
use crate::{IndexFound, Ledger, MemoryHistory, Options};

/// STO-2: whichever write of a checkpoint is the last before the power goes, the next start finds a whole one.
pub fn a_checkpoint_is_whole_or_not_there() -> bool {
    let blocks = executed(16);
    (0..).map_while(|writes| outlives_a_crash(&blocks, writes)).all(|is_whole| is_whole)
}

/// The power goes after so many writes: whether the state is the one that the head names. `None` when nothing
/// was left to write.
fn outlives_a_crash(blocks: &[Arc<Executed>], writes: u32) -> Option<bool> {
    let pages = MemoryPages::default();
    let open = || Index::open(pages.clone(), B256::ZERO).ok();
    pages.let_through(Some(writes));
    let died = open().is_none_or(|index| blocks.chunks(4).any(|chunk| index.write(chunk).is_err()));
    pages.let_through(None);
    let is_whole = || {
        let index = open()?;
        let Some(manifest) = index.manifest() else { return Some(true) };
        let block = blocks.iter().find(|block| block.hash == manifest.hash)?;
        Some(index.load().ok()??.view().entries() == block.view.entries())
    };
    died.then(|| catch_unwind(AssertUnwindSafe(is_whole)).ok().flatten().unwrap_or(false))
}

/// STO-4: an index of another branch than the log's is noticed, and made anew.
pub fn an_index_of_another_branch_is_noticed() -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let index = folder.path().join("index");
    let start = |log, index: Option<&Path>| {
        let options = Options {
            layers: 4,
            checkpoint_every: 3,
            index: index.map(Path::to_owned),
            ..Options::new([1; 32])
        };
        Ledger::open(genesis(), log, options)
    };
    let Ok((mut first, _)) = start(MemoryHistory::default(), Some(&index)) else { return false };
    let blocks = extend(&mut first, 12, 0);
    first.close();
    let Ok((mut other, _)) = start(log_of(&blocks[..2]), None) else { return false };
    let branch = [blocks[..2].to_vec(), extend(&mut other, 12, 1)].concat();
    let opened = catch_unwind(AssertUnwindSafe(|| start(log_of(&branch), Some(&index))));
    matches!(
        opened,
        Ok(Ok((ledger, report))) if ledger.recount_root() == ledger.head().commitment.state_root
            && matches!(report.index, IndexFound::Rebuilt { reason: Unusable::OtherBranch { .. } })
    )
}

/// STO-5: after its first failure the store answers nothing but that.
pub fn nothing_is_asked_of_a_failed_store() -> bool {
    let stays_failed = || -> Result<bool, StoreError> {
        let Ok(folder) = tempfile::tempdir() else { return Ok(false) };
        let pages = SledPages::open(&folder.path().join("index"))?;
        pages.write(vec![(b"good".to_vec(), Some(b"page".to_vec()))])?;
        let failed: Result<(), _> = pages.run(|_| Err(StoreError::Damaged("by a drill")));
        Ok(failed.is_err() && pages.page(b"good").is_err() && pages.write(Vec::new()).is_err())
    };
    stays_failed() == Ok(true)
}

/// STO-1: a damaged log takes exactly the bytes that were lost, from whomever.
pub fn a_log_takes_back_only_what_it_lost() -> bool {
    const LOST: u8 = 2;
    let disk = SimDisk::new(0);
    let options = LogOptions {
        kind: LogKind::Blocks,
        segment_bytes: 16 << 10,
        step_bytes: 4096,
        keeps: 0,
        salt: Salt([1; 16]),
    };
    let payload = |number: u8| vec![number; 100];
    let Ok(mut log) = create(disk.clone(), options, 0) else { return false };
    for number in 1..=3 {
        if log.append(&payload(number)).is_err() || log.commit().is_err() {
            return false;
        }
    }
    drop(log);
    let name = "0000000000.seg";
    let bytes = disk.bytes(name).unwrap_or_default();
    let Some(at) = bytes.windows(100).position(|window| window == payload(LOST)) else { return false };
    disk.flip(name, at as u64, 1);
    let Ok(Opened::Damaged(mut log)) = open(disk, options) else { return false };
    let Some(first) = log.damage().first().map(|damage| damage.first) else { return false };
    log.repair(first, &[&payload(LOST + 10)]).is_err() && log.repair(first, &[&payload(LOST)]).is_ok()
}

/// A chain's executed blocks, oldest first, without the genesis block.
fn executed(count: u64) -> Vec<Arc<Executed>> {
    let (mut ledger, _) = Ledger::open(genesis(), MemoryHistory::default(), Options::new([1; 32]))
        .expect("an empty ledger opens");
    extend(&mut ledger, count, 0);
    let mut blocks = ledger.reader().recent_blocks();
    blocks.pop();
    blocks.reverse();
    blocks
}

#[cfg(test)]
mod tests {
    use synod_types::mutant;

    type Drill = fn() -> bool;

    /// The table relies on it: each drill holds, and fails under its own wrong line.
    #[test]
    fn drills_hold_and_their_mutants_die() {
        let drills: [(&str, Drill); 4] = [
            ("sto-1-unchecked-repair", super::a_log_takes_back_only_what_it_lost),
            ("sto-2-head-apart", super::a_checkpoint_is_whole_or_not_there),
            ("sto-4-branch", super::an_index_of_another_branch_is_noticed),
            ("sto-5-go-on", super::nothing_is_asked_of_a_failed_store),
        ];
        for (id, holds) in drills {
            assert!(holds(), "{id}: the rule does not hold");
            assert!(!mutant::with(id, holds), "{id} lives");
        }
    }
}
