//! The wrong lines of the ledger, its log and its index, and how each is caught.

use synod_consensus::sim::mutants::{Caught, Mutant};
use synod_ledger::drills;

const fn running(id: &'static str, meaning: &'static str) -> Mutant {
    Mutant { id, meaning, caught: Caught::Running }
}

const fn drill(
    id: &'static str,
    meaning: &'static str,
    rule: &'static str,
    place: &'static str,
    holds: fn() -> bool,
) -> Mutant {
    Mutant { id, meaning, caught: Caught::Drill { rule, place, holds } }
}

/// Most die in runs of whole nodes. What sled keeps, and what peers bring back into a damaged log, lies outside
/// these: there the ledger's own drills, on a real sled and on the disk's twin, are run in their place.
pub const MUTANTS: &[Mutant] = &[
    running("gen-4-continue-after-eio", "the log goes on after a failed write or sync"),
    running("pow-9-layer-order", "layers are dropped in the wrong order"),
    running("sto-1-ack-before-sync", "a frame counts as durable before its sync"),
    running("sto-1-ignore-checksum", "a frame's checksum is not looked at"),
    running("sto-1-ignore-middle", "a bad frame in the middle is taken for a torn tail"),
    drill(
        "sto-1-unchecked-repair",
        "a damaged log takes back whatever it is offered",
        "STO-1",
        "synod_ledger::drills::a_log_takes_back_only_what_it_lost",
        drills::a_log_takes_back_only_what_it_lost,
    ),
    drill(
        "sto-2-head-apart",
        "a checkpoint's head is written apart from it",
        "STO-2",
        "synod_ledger::drills::a_checkpoint_is_whole_or_not_there",
        drills::a_checkpoint_is_whole_or_not_there,
    ),
    drill(
        "sto-4-branch",
        "a checkpoint is not compared with the log's branch",
        "STO-4",
        "synod_ledger::drills::an_index_of_another_branch_is_noticed",
        drills::an_index_of_another_branch_is_noticed,
    ),
    drill(
        "sto-5-go-on",
        "the index is asked again after it failed",
        "STO-5",
        "synod_ledger::drills::nothing_is_asked_of_a_failed_store",
        drills::nothing_is_asked_of_a_failed_store,
    ),
];
