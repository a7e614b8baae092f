//! The table of wrong lines: each is switched on, and seeds are run until one breaks a rule. A suite in which
//! a mutant survives does not test what it says it tests.
//!
//! Most die in ordinary runs. One is told by a seed that is run twice (A11), and those that no network of a
//! size that fits into a run can show die by a drill: a few lines that ask the one function.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};
use synod_types::mutant;

use super::report::{Options, Report};
use crate::pow::Work;

/// A deliberate wrong line, and how it is caught.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Its name in the code.
    pub id: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// How it is caught.
    pub caught: Caught,
}

/// How a mutant is caught.
#[derive(Debug, Clone, Copy)]
pub enum Caught {
    /// A run breaks a rule.
    Running,
    /// A seed that is run twice tells two stories (A11).
    RunTwice,
    /// A drill, a few lines that ask the one function, says that the rule does not hold.
    Drill {
        /// The rule's id.
        rule: &'static str,
        /// Where the drill stands.
        place: &'static str,
        /// Whether the rule holds.
        holds: fn() -> bool,
    },
}

pub(super) const fn running(id: &'static str, meaning: &'static str) -> Mutant {
    Mutant { id, meaning, caught: Caught::Running }
}

/// The wrong lines of proof of work and of the boundary around it.
pub const MUTANTS: &[Mutant] = &[
    running("gen-1-send-before-persist", "effects leave before the records of their step are durable"),
    running("gen-2-forget-condemned", "what is condemned is not written down"),
    running("gen-4-retry-fsync", "a replica goes on after a failed sync, and believes the next one"),
    running("gen-8-no-retransmit", "what gets lost is not asked for again"),
    Mutant {
        id: "gen-11-hash-order",
        meaning: "an unordered map decides whom to ask",
        caught: Caught::RunTwice,
    },
    running("pow-2-height", "the highest chain wins, not the heaviest"),
    Mutant {
        id: "pow-u64-work",
        meaning: "work is summed in 64 bits",
        caught: Caught::Drill {
            rule: "POW-2",
            place: "synod_consensus::sim::mutants::more_work_is_more",
            holds: more_work_is_more,
        },
    },
    running("pow-3-median-off-by-one", "a time equal to the median is accepted"),
    running("pow-3-future-is-invalid", "a block from the future is condemned for ever"),
    running("pow-4-no-clamp", "the target is not clamped to the limit"),
    running("pow-6-mismatch-condemns", "a wrong body condemns its header"),
    running("pow-8-unbounded-orphans", "orphans are kept without bound"),
    running("pow-9-rewind-too-little", "a rewind stops one block early"),
    running("pow-11-stale-template", "the miner keeps its template when the tip changes"),
    running("pow-14-silent-reversal", "settled blocks are undone without an event"),
    running("sto-1-ack-before-sync", "a block counts as executed before its sync"),
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
    /// How many seeds that took; 0 for a drill.
    pub seeds: u64,
    /// What shows its death again: a command, or the drill.
    pub shown_by: Option<String>,
}

/// Runs the seeds that `goes_on` allows, from 0 on and as `template` says, until the mutant dies.
pub fn hunt(
    prey: &Mutant,
    template: &Options,
    run: &dyn Fn(&Options) -> Report,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Fate {
    let mut fate = Fate {
        mutant: prey.id.to_owned(),
        meaning: prey.meaning.to_owned(),
        oracle: None,
        seeds: 0,
        shown_by: None,
    };
    if let Caught::Drill { rule, place, holds } = prey.caught {
        let is_caught = holds() && !mutant::with(prey.id, holds);
        fate.oracle = is_caught.then(|| rule.to_owned());
        fate.shown_by = is_caught.then(|| format!("the drill {place}"));
        return fate;
    }
    while fate.oracle.is_none() && goes_on(fate.seeds) {
        let options = Options { seed: fate.seeds, mutant: Some(prey.id.to_owned()), ..template.clone() };
        fate.seeds += 1;
        let report = mutant::with(prey.id, || run(&options));
        let is_other = || {
            matches!(prey.caught, Caught::RunTwice)
                && mutant::with(prey.id, || run(&options)).trace_hash != report.trace_hash
        };
        fate.oracle = match &report.violation {
            Some(violation) => Some(violation.oracle.clone()),
            None => is_other().then(|| "A11".to_owned()),
        };
        let twice = if matches!(prey.caught, Caught::RunTwice) { ", twice" } else { "" };
        fate.shown_by = fate.oracle.is_some().then(|| format!("{}{twice}", report.command));
    }
    fate
}

/// More work than 64 bits hold is still more.
fn more_work_is_more() -> bool {
    let much = Work(U256::from(u64::MAX));
    much.plus(Work(U256::from(1))) > much
}
