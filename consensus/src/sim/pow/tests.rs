//! Whole runs.
#![allow(clippy::unwrap_used)]

use crate::sim::{Options, run};

fn seeds(default: u64) -> u64 {
    std::env::var("SYNOD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a1_to_a9_hold_over_some_seeds() {
    let mut failed = Vec::new();
    for seed in 0..seeds(40) {
        let report = run(&Options::seed(seed));
        if let Some(violation) = &report.violation {
            failed.push(format!("{violation:?} {:?}\n  {}", report.faults, report.command));
        }
    }
    assert!(failed.is_empty(), "{}\n{} failed", failed.join("\n"), failed.len());
}

#[test]
fn a11_a_seed_run_twice_tells_one_story() {
    for seed in 0..5 {
        let (first, second) = (run(&Options::seed(seed)), run(&Options::seed(seed)));
        assert_eq!(first, second);
    }
    assert_ne!(run(&Options::seed(1)).trace_hash, run(&Options::seed(2)).trace_hash);
}

/// Every named wrong line is caught by some oracle within a small part of an ordinary search.
#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_proof_of_work_die() {
    let budget = seeds(40).max(400);
    let mut survivors = Vec::new();
    for prey in crate::sim::mutants::MUTANTS {
        let fate = crate::sim::mutants::hunt(prey, &Options::seed(0), &run, |seeds| seeds < budget);
        println!(
            "{:<26} {:>4} seeds  {:<4} {}",
            fate.mutant,
            fate.seeds,
            fate.oracle.clone().unwrap_or_default(),
            fate.meaning
        );
        if fate.oracle.is_none() {
            survivors.push(fate.mutant);
        }
    }
    assert!(survivors.is_empty(), "survived {budget} seeds: {survivors:?}");
}

/// A failing run is told again with fewer faults and nodes, and still breaks the same rule.
#[cfg(feature = "mutants")]
#[test]
fn a_failure_is_shrunk_to_a_shorter_story() {
    synod_types::mutant::with("pow-14-silent-reversal", || {
        let failing =
            (0..200).map(|seed| run(&Options::seed(seed))).find(|report| report.violation.is_some());
        let failing = failing.unwrap();
        let shrunk = crate::sim::shrink(&failing, &run, 60);
        assert_eq!(shrunk.violation.as_ref().unwrap().oracle, failing.violation.as_ref().unwrap().oracle);
        assert!(shrunk.faults.len() < failing.faults.len() || shrunk.nodes < failing.nodes);
        assert_eq!(run(&shrunk.options), shrunk, "the printed command tells the same story");
    });
}

/// A15: what the faults are for really happens.
#[test]
fn a15_runs_contain_what_they_are_meant_to_contain() {
    let mut range = crate::sim::RangeReport::starting_at(0);
    crate::sim::run_range(&mut range, &Options::seed(0), &run, seeds(40).max(60), 1, |_| true);
    for name in [
        "reorg",
        "deep reorg",
        "healing",
        "crash",
        "crash with unsynced blocks",
        "partition",
        "one-way partition",
        "eclipse",
        "settled reversed",
        "block condemned",
        "private chain released",
        "orphan flood",
        "flood found out",
        "wrong body sent",
        "sync error",
        "power cut",
        "frame damaged",
        "damaged frame refused",
        "damaged frame reads as a message",
        "odd message of the attacker taken",
        "disk full",
        "sync on a full disk",
        "full disk freed while blocks wait",
        "disk wiped",
        "wiped disk filled again",
        "disk rolled back",
        "clock an hour behind",
        "clock stands still",
        "parted for a reorganisation",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
    assert_eq!(range.short_runs, 0, "every run decides its blocks, and sees a reorganisation and a healing");
}
