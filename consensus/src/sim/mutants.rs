//! The table of wrong lines: each is switched on, and seeds are run until one breaks a rule. A suite in which
//! a mutant survives does not test what it says it tests.

use serde::{Deserialize, Serialize};
use synod_types::mutant;

use super::report::Options;
use super::run;

/// The wrong lines that whole runs must catch, with what each does.
pub const SIMULATED: &[(&str, &str)] = &[
    ("pow-2-height", "the highest chain wins, not the heaviest"),
    ("pow-3-median-off-by-one", "a time equal to the median is accepted"),
    ("pow-3-future-is-invalid", "a block from the future is condemned for ever"),
    ("pow-4-no-clamp", "the target is not clamped to the limit"),
    ("pow-6-mismatch-condemns", "a wrong body condemns its header"),
    ("pow-8-unbounded-orphans", "orphans are kept without bound"),
    ("pow-9-rewind-too-little", "a rewind stops one block early"),
    ("pow-11-stale-template", "the miner keeps its template when the tip changes"),
    ("pow-14-silent-reversal", "settled blocks are undone without an event"),
    ("sto-1-ack-before-sync", "a block counts as executed before its sync"),
];

/// What became of one mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Its id.
    pub mutant: String,
    /// What it does.
    pub meaning: String,
    /// The oracle that caught it; `None` when it survived.
    pub oracle: Option<String>,
    /// How many seeds that took.
    pub seeds: u64,
    /// The command that shows its death.
    pub command: Option<String>,
}

/// Runs every mutant on the seeds below `budget` until it dies.
pub fn table(budget: u64) -> Vec<Fate> {
    SIMULATED.iter().map(|(mutant, meaning)| fate(mutant, meaning, budget)).collect()
}

fn fate(mutant: &str, meaning: &str, budget: u64) -> Fate {
    let died = (0..budget).find_map(|seed| {
        let options = Options { mutant: Some(mutant.to_owned()), ..Options::seed(seed) };
        let report = mutant::with(mutant, || run(&options));
        report.violation.map(|violation| (seed, violation.oracle, report.command))
    });
    let (mutant, meaning) = (mutant.to_owned(), meaning.to_owned());
    match died {
        Some((seed, oracle, command)) => {
            Fate { mutant, meaning, oracle: Some(oracle), seeds: seed + 1, command: Some(command) }
        }
        None => Fate { mutant, meaning, oracle: None, seeds: budget, command: None },
    }
}
