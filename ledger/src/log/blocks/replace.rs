//! A copy of a block log takes the damaged one's place: three names beside each other, and at every moment of it
//! one log that is all there.
//!
//! The copy is written under a name of its own, and its name is durable before anything else moves. Then the
//! damaged log steps aside and the copy takes its name. A crash before that leaves the damaged log, which is
//! repaired again; a crash between the two moves leaves a whole copy and no log, and the next start ends the
//! move. The damaged log is kept aside until the new one was opened and found to have all that it had; then it goes.

use super::BlockLogError;
use crate::disk::Folders;

/// Where the copy of a log is written. What an earlier attempt left there is removed.
///
/// # Errors
/// The disk's.
pub fn begin_copy<F: Folders>(home: &F, log: &str) -> Result<String, BlockLogError> {
    home.remove_folder(&copy_of(log))?;
    Ok(copy_of(log))
}

/// Lets the finished copy take the log's place.
///
/// # Errors
/// The disk's.
pub fn replace_by_copy<F: Folders>(home: &F, log: &str) -> Result<(), BlockLogError> {
    home.remove_folder(&aside_of(log))?;
    home.sync()?;
    home.move_folder(log, &aside_of(log))?;
    home.move_folder(&copy_of(log), log)?;
    Ok(home.sync()?)
}

/// Finishes or clears away what a crash left of a replacement: to be called before the log is opened.
///
/// # Errors
/// The disk's.
pub fn finish_replacement<F: Folders>(home: &F, log: &str) -> Result<(), BlockLogError> {
    if !home.holds(&copy_of(log))? {
        return Ok(());
    }
    if home.holds(log)? {
        // The copy may be cut short; the damaged log is all there, and is repaired again.
        return Ok(home.remove_folder(&copy_of(log))?);
    }
    home.move_folder(&copy_of(log), log)?;
    Ok(home.sync()?)
}

/// The folder in which the log that a copy took the place of stands aside, if there is one.
///
/// # Errors
/// The disk's.
pub fn replaced_log<F: Folders>(home: &F, log: &str) -> Result<Option<String>, BlockLogError> {
    Ok(home.holds(&aside_of(log))?.then(|| aside_of(log)))
}

/// Removes the log that a copy took the place of: to be called when the log was opened, is whole, and has all that
/// the other had of the chain.
///
/// # Errors
/// The disk's.
pub fn forget_replaced<F: Folders>(home: &F, log: &str) -> Result<(), BlockLogError> {
    if !home.holds(&aside_of(log))? {
        return Ok(());
    }
    home.remove_folder(&aside_of(log))?;
    Ok(home.sync()?)
}

fn copy_of(log: &str) -> String {
    format!("{log}.copy")
}

fn aside_of(log: &str) -> String {
    format!("{log}.aside")
}
