//! The wallet: keys under passwords, names for accounts, and payments that are never made twice by accident.
//!
//! - [`mnemonic`], [`slip10`]: secrets and their forms; the key file's is [`synod_node::keyfile`].
//! - [`keystore`], [`password`], [`labels`]: the keys of this home, and how they are opened.
//! - [`names`]: what stands where an address is asked for.
//! - [`network`]: the chain that this wallet signs for, pinned at first use.
//! - [`accounts`]: the lock that gives each account's nonces to one process at a time.
//! - [`outbox`]: every signed transaction, on disk before it leaves.
//! - [`draft`], [`fees`]: what is about to be signed.
//! - [`delivery`]: submitting and waiting, until the outcome is known or said to be unknown.

pub(crate) mod accounts;
pub(crate) mod delivery;
pub(crate) mod draft;
pub(crate) mod fees;
pub(crate) mod keystore;
pub(crate) mod labels;
pub(crate) mod mnemonic;
pub(crate) mod names;
pub(crate) mod network;
pub(crate) mod outbox;
pub(crate) mod password;
pub(crate) mod slip10;

/// The text of an official vector file, or `None`, loudly, where the vectors are not at hand.
#[cfg(test)]
pub(crate) fn vectors(file: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("SYNOD_VECTORS") else {
        eprintln!("skipped: SYNOD_VECTORS is not set, so {file} was not read");
        return None;
    };
    let path = std::path::Path::new(&folder).join("wallet").join(file);
    Some(std::fs::read_to_string(path).expect("the vectors are readable"))
}
