//! Whole nodes, few seeds: `SYNOD_SIM_REAL_SEEDS` sets how many.
#![allow(clippy::unwrap_used)]

use synod_consensus::sim::{Options, RangeReport, Subject, run_range};

use super::run;

fn seeds(default: u64) -> u64 {
    std::env::var("SYNOD_SIM_REAL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Real transfers on the real ledger over the real log, under every fault; and what the faults are for happens.
#[test]
fn a1_to_a15_whole_nodes_keep_every_rule_over_some_seeds() {
    let mut range = RangeReport::starting_at(0);
    run_range(&mut range, &Options::real(0), &run, seeds(40), 1, |_| true);
    let broken: Vec<_> = range.violations.iter().map(|report| (&report.violation, &report.command)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(range.short_runs, 0);
    for name in [
        "reorg",
        "healing",
        "block with transfers",
        "transfers reverted",
        "rewind below the layers",
        "power lost within a commit",
        "sync error",
        "sync on a full disk",
        "disk wiped",
        "disk rolled back",
        "damage refused",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
}

/// The same under PBFT: lying members, and each honest one's votes beside its blocks on one disk.
#[test]
fn a1_to_a15_whole_members_keep_every_rule_over_some_seeds() {
    // Twelve seeds in which everything below happens.
    let first = 36;
    let mut range = RangeReport::starting_at(first);
    let template = Options { real: true, ..Options::pbft(first) };
    run_range(&mut range, &template, &run, first + seeds(12), 1, |_| true);
    println!("{} events, {:?}", range.events, range.coverage);
    let broken: Vec<_> = range.violations.iter().map(|report| (&report.violation, &report.command)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(range.short_runs, 0);
    for name in [
        "view change",
        "block with transfers",
        "transfer left out of a block",
        "blocks fetched",
        "healed",
        "power lost within a commit",
        "power lost within a write of votes",
        "liar caught",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
}

/// And where members crash and do not lie.
#[test]
fn a1_to_a15_whole_members_under_paxos_keep_every_rule_over_some_seeds() {
    whole_members_keep_every_rule(Subject::Paxos);
}

#[test]
fn a1_to_a15_whole_members_under_zab_keep_every_rule_over_some_seeds() {
    whole_members_keep_every_rule(Subject::Zab);
}

fn whole_members_keep_every_rule(subject: Subject) {
    let mut range = RangeReport::starting_at(0);
    let template = Options { real: true, ..Options::of(subject, 0) };
    run_range(&mut range, &template, &run, seeds(12), 1, |_| true);
    println!("{} events, {:?}", range.events, range.coverage);
    let broken: Vec<_> = range.violations.iter().map(|report| (&report.violation, &report.command)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    for name in [
        "view change",
        "block with transfers",
        "blocks fetched",
        "healed",
        "power lost within a write of votes",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
}

#[test]
fn a11_a_seed_of_whole_nodes_run_twice_tells_one_story() {
    for seed in 0..2 {
        assert_eq!(run(&Options::real(seed)), run(&Options::real(seed)));
        let member = Options { real: true, ..Options::pbft(seed) };
        assert_eq!(run(&member), run(&member));
    }
}

/// Every wrong line of the ledger's log is caught by some oracle.
#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_the_block_log_die() {
    use synod_consensus::sim::mutants::hunt;

    let mut survivors = Vec::new();
    for prey in super::mutants::MUTANTS {
        let fate = hunt(prey, &Options::real(0), &run, |tried| tried < 200);
        println!("{:<26} {:>4} seeds  {:?}", fate.mutant, fate.seeds, fate.oracle);
        if fate.oracle.is_none() {
            survivors.push(fate.mutant);
        }
    }
    assert!(survivors.is_empty(), "survived: {survivors:?}");
}
