//! The runner of Ethereum's official state tests (EVM-17).
//!
//! A file holds tests, a test has cases for each fork: (name, fork, index). A case names one choice of
//! data, gas limit and value, and says what must come out. It passes when
//! 1. the Merkle Patricia root of the whole post-state is the expected one,
//! 2. the hash of the logs is the expected one,
//! 3. where an exception is expected, the transaction is refused and the state unchanged,
//! 4. where the expected accounts are listed, each is equal in balance, nonce, code and storage.
//!
//! The runner takes the text of a file, so that whoever calls it decides on files, threads and progress.

mod check;
mod fixture;
mod root;
mod summary;

pub use check::Difference;
pub use fixture::FixtureError;
pub use root::{logs_hash, state_root};
pub use summary::Summary;

use crate::fork::FORK;
use crate::transaction::{Block, Execution, Refusal, Transaction, Vm};
use crate::world::World;
use fixture::{Expected, Test};

/// One case, ready to be run: also what benches and the fuzzer start from.
#[derive(Debug, Clone)]
pub struct Case {
    /// The test's name.
    pub name: String,
    /// The place among the fork's cases.
    pub index: usize,
    /// The state before.
    pub pre: World,
    /// The block.
    pub block: Block,
    /// The transaction; `None` where it cannot even be written down, and so must be refused.
    pub transaction: Option<Transaction>,
    expected: Expected,
}

/// What became of one case.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// The test's name.
    pub name: String,
    /// The place among the fork's cases.
    pub index: usize,
    /// The first difference; `None` when the case passed.
    pub difference: Option<Difference>,
    /// Gas used; 0 for a refused transaction.
    pub gas_used: u64,
}

/// The cases of a file for the fork that the machine runs.
///
/// # Errors
///
/// A [`FixtureError`] when the text is no state test.
pub fn cases(text: &str) -> Result<Vec<Case>, FixtureError> {
    let tests = fixture::parse(text)?;
    let mut cases = Vec::new();
    for (name, test) in tests {
        add_cases(&name, &test, &mut cases)?;
    }
    Ok(cases)
}

fn add_cases(name: &str, test: &Test, cases: &mut Vec<Case>) -> Result<(), FixtureError> {
    for (index, post) in test.posts(FORK.name).iter().enumerate() {
        cases.push(Case {
            name: name.to_owned(),
            index,
            pre: test.pre()?,
            block: test.block(),
            transaction: test.transaction(post)?,
            expected: post.expected(),
        });
    }
    Ok(())
}

/// Runs every case of a file.
///
/// # Errors
///
/// As [`cases`].
pub fn run_file(vm: &mut Vm, text: &str) -> Result<Vec<CaseReport>, FixtureError> {
    Ok(cases(text)?.iter().map(|case| case.run(vm)).collect())
}

impl Case {
    /// Executes the transaction on the state before.
    ///
    /// # Errors
    ///
    /// The transaction's [`Refusal`]; `None` where it cannot be written down.
    pub fn execute(&self, vm: &mut Vm) -> Result<Execution, Option<Refusal>> {
        let transaction = self.transaction.as_ref().ok_or(None)?;
        vm.execute(&self.pre, &self.block, transaction).map_err(Some)
    }

    /// Executes and checks.
    pub fn run(&self, vm: &mut Vm) -> CaseReport {
        let execution = self.execute(vm);
        CaseReport {
            name: self.name.clone(),
            index: self.index,
            gas_used: execution.as_ref().map_or(0, |execution| execution.gas_used),
            difference: check::difference(&self.pre, &execution, &self.expected),
        }
    }
}
