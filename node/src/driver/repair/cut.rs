//! A damaged block log under a committee: it is cut before its damage, and grows again by certificate.
//!
//! A committee's chain never goes back, and every block of it is vouched for by a certificate. A node whose log
//! ends early is therefore nothing special: it lags, and fetches what is missing as any node does that was away.
//! So the good beginning is copied into a new folder, which takes the log's place in one step, and the node starts
//! with it at once. What it promised stands in `votes/`, which is not touched: it votes on nothing at or below the
//! newest certificate that it knew, and on nothing above it otherwise than it did before (GEN-3).
//!
//! If a snapshot of its own stands above what is left, the log begins there instead, and what is below is pruned here
//! (unless `sync.full_history` says otherwise).
//!
//! The damaged log stands aside as `blocks.aside` until a start finds the new one as high as the old was: until
//! then it may hold blocks that nobody else has.

use synod_ledger::disk::RealFolders;
use synod_ledger::log::LogOptions;
use synod_ledger::log::blocks::{
    BlockLog, DamagedBlockLog, OpenedBlocks, Tip, begin_copy, forget_replaced, replace_by_copy, replaced_log,
};

use crate::config::Config;
use crate::driver::history::NodeDisk;
use crate::driver::start::{BLOCKS, NodeError, open_disk};

/// Lets the chain below the damage take the log's place.
///
/// # Errors
/// The disk's; the damaged log is still all there, in its place or aside.
pub(in crate::driver) fn cut_before_damage(
    config: &Config,
    log: DamagedBlockLog<NodeDisk>,
    options: LogOptions,
) -> Result<(), NodeError> {
    let home = RealFolders(config.folder.clone());
    let copy = config.folder.join(begin_copy(&home, BLOCKS)?);
    let end = log.copy_before_damage(open_disk(&copy, config.storage.sync)?, options)?;
    let (kept, had) = (height(end), height(log.tip()));
    let at = log.lost().first().map(|lost| lost.at);
    drop(log);
    replace_by_copy(&home, BLOCKS)?;
    tracing::error!(
        ?at,
        kept,
        had,
        "the block log was damaged in its middle: the blocks before the damage are kept, the others are fetched from \
         peers by certificate; the damaged log stands aside as blocks.aside until they are here"
    );
    Ok(())
}

/// Removes the log that stands aside, if this one is as high as that was.
///
/// # Errors
/// The disk's.
pub(in crate::driver) fn forget_when_as_high(
    config: &Config,
    log: &BlockLog<NodeDisk>,
    options: LogOptions,
) -> Result<(), NodeError> {
    let home = RealFolders(config.folder.clone());
    let Some(aside) = replaced_log(&home, BLOCKS)? else { return Ok(()) };
    let opened = BlockLog::open(open_disk(&config.folder.join(aside), config.storage.sync)?, options);
    let had = match opened {
        Ok(OpenedBlocks::Damaged(damaged)) => height(damaged.tip()),
        Ok(OpenedBlocks::Whole(whole, _)) => height(whole.tip()),
        Err(error) => {
            tracing::warn!(%error, "blocks.aside cannot be read: it stays; remove it by hand once this node is up to date");
            return Ok(());
        }
    };
    if height(log.tip()) < had {
        tracing::info!(had, "blocks.aside stays until the chain is as high again");
        return Ok(());
    }
    Ok(forget_replaced(&home, BLOCKS)?)
}

fn height(tip: Option<Tip>) -> u64 {
    tip.map_or(0, |tip| tip.height.0)
}
