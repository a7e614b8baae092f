//! One process at a time chooses nonces for an account: a lock on a file for each account and network.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use synod_types::Address;
use synod_types::address::format_address;

use super::network::Network;
use crate::client::{Node, Settle};
use crate::failure::{Failure, Outcome};
use crate::home::private_folder;
use crate::output::Output;

/// Between two looks at a lock that another process holds.
const RETRY: Duration = Duration::from_millis(50);

/// The right to choose the account's next nonce, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct NonceLock(#[allow(dead_code, reason = "held, not read")] File);

/// Waits for the right to choose `address`'s next nonce on `network`.
///
/// # Errors
/// When the lock file cannot be made, and Ctrl-C.
pub(crate) fn lock(
    wallet: &Path,
    network: &Network,
    address: Address,
    node: &Node,
    output: &Output,
) -> Outcome<NonceLock> {
    let folder = wallet.join("locks");
    private_folder(&folder)?;
    let path = folder.join(format!("{}-{}", network.short(), format_address(&address)));
    let failed = |error: &std::io::Error| Failure::file(&path, error);
    let mut options = std::fs::OpenOptions::new();
    let file =
        options.create(true).truncate(false).write(true).open(&path).map_err(|error| failed(&error))?;
    let mut progress = None;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(NonceLock(file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
            Err(TryLockError::WouldBlock) => {
                progress.get_or_insert_with(|| output.progress("another synod is paying from this account"));
                node.pause(RETRY).settle()?;
            }
        }
    }
}
