//! Who has money at the start: `NAME|ADDRESS=AMOUNT`, as an argument or a line of a file.

use std::collections::BTreeMap;
use std::path::Path;

use synod_types::amount::parse_amount;
use synod_types::{Address, U256};

use crate::commands::settings::recipient;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// A file with more bytes than this is no list of owners: half a million accounts fit.
const FILE_LIMIT: u64 = 32 * 1024 * 1024;

/// First balances, collected.
pub(super) struct Allocation<'a> {
    context: &'a Context,
    balances: BTreeMap<Address, U256>,
}

impl<'a> Allocation<'a> {
    /// Nobody's.
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, balances: BTreeMap::new() }
    }

    /// Adds one `NAME|ADDRESS=AMOUNT`.
    ///
    /// # Errors
    /// When it is none, or the account is funded already.
    pub(super) fn add(&mut self, text: &str) -> Outcome<()> {
        let Some((account, amount)) = text.split_once('=') else {
            return Err(Failure::usage("bad_alloc", format!("{text:?} is no allocation"))
                .hint("write NAME=AMOUNT or ADDRESS=AMOUNT, for example alice=1000000"));
        };
        let address = recipient(self.context, account.trim(), false)?;
        let amount = parse_amount(amount).map_err(|error| Failure::usage("bad_amount", error.to_string()))?;
        if self.balances.insert(address, amount).is_some() {
            return Err(Failure::usage("funded_twice", format!("{} is funded twice", account.trim())));
        }
        Ok(())
    }

    /// Adds each line of a file; empty lines and those that begin with # are left out.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is wrong: the message names it.
    pub(super) fn add_file(&mut self, path: &Path) -> Outcome<()> {
        let length = std::fs::metadata(path).map_err(|error| Failure::file(path, &error))?.len();
        if length > FILE_LIMIT {
            return Err(Failure::usage("file_too_long", format!("{}: longer than 32 MiB", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.add(line)
                .map_err(|failure| failure.at(&format!("{}, line {}", path.display(), index + 1)))?;
        }
        Ok(())
    }

    /// The balances.
    pub(super) fn finish(self) -> BTreeMap<Address, U256> {
        self.balances
    }
}
