//! Whole runs of committees. The searches take their size from SYNOD_SIM_SEEDS and SYNOD_SIM_STRIDE.
#![allow(clippy::unwrap_used)]

use crate::paxos::Paxos;
use crate::pbft::Pbft;
use crate::sim::committee::figures::figures;
use crate::sim::committee::twins::{CASES, run_case};
#[cfg(feature = "mutants")]
use crate::sim::mutants::{Mutant, hunt};
use crate::sim::{Fault, Options, RangeReport, Subject, run, run_range};
use crate::zab::Zab;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds(default: u64) -> u64 {
    from_environment("SYNOD_SIM_SEEDS", default)
}

fn assert_whole(range: &RangeReport) {
    let failed: Vec<String> = range
        .violations
        .iter()
        .map(|report| format!("{:?} {:?}\n  {}", report.violation, report.faults, report.command))
        .collect();
    assert!(failed.is_empty(), "{}\n{} failed", failed.join("\n"), failed.len());
}

/// Ordinary runs, and that they contain what they are meant to contain (A15).
#[test]
fn a1_to_a15_hold_over_some_seeds() {
    let mut range = RangeReport::starting_at(0);
    run_range(&mut range, &Options::pbft(0), &run, seeds(20), 1, |_| true);
    println!(
        "{} runs, {} events, {} short; {:?}",
        range.runs, range.events, range.short_runs, range.coverage
    );
    assert_whole(&range);
    assert_eq!(range.short_runs, 0, "every run decides twenty blocks and sees a view change");
    for name in [
        "view change",
        "healed",
        "crash",
        "partition",
        "null slot",
        "blocks fetched",
        "proposal abandoned",
        "liar caught",
        "liar accused",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
}

#[test]
fn a11_a_seed_run_twice_tells_one_story() {
    for seed in 0..3 {
        let (first, second) = (run(&Options::pbft(seed)), run(&Options::pbft(seed)));
        assert_eq!(first, second);
    }
    assert_ne!(run(&Options::pbft(1)).trace_hash, run(&Options::pbft(2)).trace_hash);
}

/// Two liars among four can break agreement; then evidence names both, and nobody else.
#[test]
fn a9_with_more_liars_than_it_survives_agreement_breaks_and_the_liars_are_named() {
    let mut broken = 0;
    for seed in 0..seeds(8) {
        let options = Options {
            nodes: Some(4),
            byzantine: Some(2),
            only: Some(vec![Fault::Equivocate, Fault::DoubleVote]),
            ..Options::pbft(seed)
        };
        let report = run(&options);
        let Some(violation) = &report.violation else { continue };
        assert_eq!(violation.oracle, "A1", "{violation:?}\n  {}", report.command);
        assert_eq!(
            report.coverage.get("members proven to lie"),
            Some(&2),
            "{violation:?}\n  {}",
            report.command
        );
        broken += 1;
    }
    assert!(broken > 0, "no liars ever broke anything: the search is too weak");
}

/// Two liars of four can take the others to the last view that there is. Nobody goes on from there, and no honest
/// member says two things in it.
#[test]
fn a9_in_the_last_view_nobody_contradicts_itself() {
    for seed in [100, 102, 107] {
        let report = run(&Options { nodes: Some(4), byzantine: Some(2), ..Options::pbft(seed) });
        assert_eq!(report.violation, None, "{}", report.command);
    }
}

/// Multi-Paxos: ordinary runs, and that they contain what they are meant to contain (A15).
#[test]
fn a1_to_a15_hold_under_paxos_over_some_seeds() {
    holds_where_members_crash(Subject::Paxos);
}

/// Zab: the same.
#[test]
fn a1_to_a15_hold_under_zab_over_some_seeds() {
    holds_where_members_crash(Subject::Zab);
}

fn holds_where_members_crash(subject: Subject) {
    let mut range = RangeReport::starting_at(0);
    run_range(&mut range, &Options::of(subject, 0), &run, seeds(60), 1, |_| true);
    println!(
        "{} runs, {} events, {} short; {:?}",
        range.runs, range.events, range.short_runs, range.coverage
    );
    assert_whole(&range);
    assert!(range.short_runs * 20 <= range.runs, "nearly every run sees a change of the leader");
    for name in [
        "view change",
        "healed",
        "crash",
        "partition",
        "one-way partition",
        "blocks fetched",
        "member taken back",
        "void after an epoch's end",
    ] {
        assert!(range.coverage.contains_key(name), "{name} never happened: {:?}", range.coverage);
    }
}

#[test]
fn a11_a_seed_run_twice_among_members_that_crash_tells_one_story() {
    for subject in [Subject::Paxos, Subject::Zab] {
        let options = |seed| Options::of(subject, seed);
        assert_eq!(run(&options(1)), run(&options(1)));
        assert_ne!(run(&options(1)).trace_hash, run(&options(2)).trace_hash);
    }
}

/// A leader's three messages to each member, and attestations of all to all.
#[test]
fn a_decision_under_paxos_costs_three_messages_to_each_follower_and_attestations() {
    for members in [3, 5] {
        let figures = figures::<Paxos>(members, 20);
        let n = members as u64;
        let of = |kind| figures.kinds.get(kind).map_or(0, |(messages, _)| *messages);
        // The last decision's answers and index may still be on their way, and heartbeats repeat the index.
        assert_eq!(of("accept"), n - 1, "{figures:?}");
        assert!((n - 2..n).contains(&of("accepted")), "{figures:?}");
        assert!((n - 1..=3 * n).contains(&of("commit")), "{figures:?}");
    }
}

/// Every named wrong line of Multi-Paxos is caught.
#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_paxos_die() {
    hunt_all(crate::sim::committee::paxos_mutants::MUTANTS, &Options::of(Subject::Paxos, 0), seeds(60));
}

/// As under Multi-Paxos, by other names.
#[test]
fn a_decision_under_zab_costs_three_messages_to_each_follower_and_attestations() {
    for members in [3, 5] {
        let figures = figures::<Zab>(members, 20);
        let n = members as u64;
        let of = |kind| figures.kinds.get(kind).map_or(0, |(messages, _)| *messages);
        assert_eq!(of("propose"), n - 1, "{figures:?}");
        assert!((n - 2..n).contains(&of("ack")), "{figures:?}");
        assert!((n - 2..=n).contains(&of("commit")), "{figures:?}");
    }
}

/// Every named wrong line of Zab is caught.
#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_zab_die() {
    hunt_all(crate::sim::committee::zab_mutants::MUTANTS, &Options::of(Subject::Zab, 0), seeds(120));
}

/// Every split of two rounds with one member twice; a part of them unless SYNOD_SIM_STRIDE is 1.
#[test]
fn a1_twins_break_nothing_in_two_rounds() {
    let stride = from_environment("SYNOD_SIM_STRIDE", 128);
    let mut run_cases = 0;
    for case in (0..CASES).step_by(stride as usize) {
        let report = run_case(case);
        run_cases += 1;
        assert!(report.violation.is_none(), "{:?}\n  {}", report.violation, report.command);
    }
    println!("{run_cases} of {CASES} cases");
}

/// All to all: two votes and an attestation of each member to each other, and a body to each.
#[test]
fn a_decision_costs_quadratically_many_small_messages() {
    for members in [4, 7] {
        let figures = figures::<Pbft>(members, 10);
        let n = members as u64;
        let (least, most) = (3 * n * (n - 1) - n, 5 * n * (n - 1));
        assert!((least..=most).contains(&figures.messages), "{figures:?}");
    }
}

/// Every named wrong line is caught, most of them by ordinary runs.
#[cfg(feature = "mutants")]
#[test]
fn the_mutants_of_pbft_die() {
    hunt_all(crate::sim::committee::mutants::MUTANTS, &Options::pbft(0), seeds(40));
}

#[cfg(feature = "mutants")]
fn hunt_all(mutants: &[Mutant], runs: &Options, budget: u64) {
    let mut survivors = Vec::new();
    for prey in mutants {
        let fate = hunt(prey, runs, &run, |tried| tried < budget);
        let oracle = fate.oracle.clone().unwrap_or_default();
        println!("{:<32} {:>4} seeds  {oracle:<8} {}", fate.mutant, fate.seeds, fate.meaning);
        if fate.oracle.is_none() {
            survivors.push(fate.mutant);
        }
    }
    assert!(survivors.is_empty(), "survived {budget} seeds: {survivors:?}");
}
