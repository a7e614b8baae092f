//! Comparing what came out of a case with what must, and explaining the first difference.

use super::fixture::Expected;
use super::root::{logs_hash, state_root};
use crate::machine::Status;
use crate::transaction::{Execution, Refusal};
use crate::world::World;
use alloy_primitives::{Address, B256};
use std::collections::BTreeSet;

/// The first difference of a case, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The transaction should have been refused.
    #[error("executed ({status:?}), but it must be refused with {expected}")]
    NotRefused {
        /// The exception that the case names.
        expected: String,
        /// How it ended.
        status: Status,
    },
    /// The transaction should have been executed.
    #[error("refused, but it must be executed: {}", .0.map_or("a number does not fit".to_owned(), |why| why.to_string()))]
    Refused(Option<Refusal>),
    /// An account differs from the one that the case lists.
    #[error("account {address}: {what} is {found}, expected {expected}{note}")]
    Account {
        /// Whose.
        address: Address,
        /// Which part.
        what: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
        /// How the transaction ended.
        note: String,
    },
    /// The root differs, and the case does not list its accounts.
    #[error("state root {found}, expected {expected}{note}")]
    Root {
        /// Ours.
        found: B256,
        /// The case's.
        expected: B256,
        /// How the transaction ended.
        note: String,
    },
    /// The logs differ.
    #[error("logs hash {found}, expected {expected}, with {count} logs")]
    Logs {
        /// Ours.
        found: B256,
        /// The case's.
        expected: B256,
        /// How many logs there are.
        count: usize,
    },
}

/// The first difference of a case, if any.
pub(super) fn difference(
    pre: &World,
    execution: &Result<Execution, Option<Refusal>>,
    expected: &Expected,
) -> Option<Difference> {
    let mut world = pre.clone();
    let execution = match (execution, &expected.exception) {
        (Ok(execution), Some(exception)) => {
            return Some(Difference::NotRefused { expected: exception.clone(), status: execution.status });
        }
        (Err(refusal), None) => return Some(Difference::Refused(*refusal)),
        (Err(_), Some(_)) => None,
        (Ok(execution), None) => Some(execution),
    };
    if let Some(execution) = execution {
        world.apply(&execution.diff);
    }
    let note = execution.map_or_else(
        || " (refused)".to_owned(),
        |execution| format!(" ({:?}, {} gas used)", execution.status, execution.gas_used),
    );
    if let Some(accounts) = &expected.accounts
        && let Some(difference) = account_difference(&world, accounts, &note)
    {
        return Some(difference);
    }
    let found = state_root(&world);
    if found != expected.root {
        return Some(Difference::Root { found, expected: expected.root, note });
    }
    let logs = execution.map_or(&[][..], |execution| &execution.logs);
    let found = logs_hash(logs);
    let difference = Difference::Logs { found, expected: expected.logs, count: logs.len() };
    (found != expected.logs).then_some(difference)
}

/// The first account that differs, and in what.
fn account_difference(found: &World, expected: &World, note: &str) -> Option<Difference> {
    let addresses: BTreeSet<_> = found.accounts.keys().chain(expected.accounts.keys()).collect();
    addresses.into_iter().find_map(|address| {
        let (what, found, expected) = part_difference(found, expected, address)?;
        Some(Difference::Account { address: *address, what, found, expected, note: note.to_owned() })
    })
}

/// The part of an account that differs: (what, found, expected).
fn part_difference(found: &World, expected: &World, address: &Address) -> Option<(String, String, String)> {
    let pair = |what: &str, found: String, expected: String| {
        (found != expected).then(|| (what.to_owned(), found, expected))
    };
    let (ours, theirs) = match (found.accounts.get(address), expected.accounts.get(address)) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (ours, _) => {
            let words = |there: bool| if there { "present" } else { "absent" }.to_owned();
            return pair("the account", words(ours.is_some()), words(ours.is_none()));
        }
    };
    pair("the balance", ours.balance.to_string(), theirs.balance.to_string())
        .or_else(|| pair("the nonce", ours.nonce.to_string(), theirs.nonce.to_string()))
        .or_else(|| {
            let code = |world: &World| world.code_of(address).to_string();
            pair("the code", code(found), code(expected))
        })
        .or_else(|| slot_difference(found, expected, address))
}

fn slot_difference(found: &World, expected: &World, address: &Address) -> Option<(String, String, String)> {
    let empty = Default::default();
    let ours = found.storage.get(address).unwrap_or(&empty);
    let theirs = expected.storage.get(address).unwrap_or(&empty);
    let slots: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    slots.into_iter().find_map(|slot| {
        let [ours, theirs] = [ours, theirs].map(|slots| slots.get(slot).copied().unwrap_or_default());
        (ours != theirs).then(|| (format!("slot {slot:#x}"), format!("{ours:#x}"), format!("{theirs:#x}")))
    })
}
