//! Whole runs of committees.
#![allow(clippy::unwrap_used)]

use crate::sim::{Options, RangeReport, run, run_range};

fn seeds(default: u64) -> u64 {
    std::env::var("SYNOD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a1_to_a14_hold_over_some_seeds() {
    let mut range = RangeReport::starting_at(0);
    run_range(&mut range, &Options::pbft(0), &run, seeds(30), 1, |_| true);
    let failed: Vec<String> = range
        .violations
        .iter()
        .map(|report| format!("{:?} {:?}\n  {}", report.violation, report.faults, report.command))
        .collect();
    println!(
        "{} runs, {} events, {} short; {:?}",
        range.runs, range.events, range.short_runs, range.coverage
    );
    assert!(failed.is_empty(), "{}\n{} failed", failed.join("\n"), failed.len());
}

#[test]
fn a11_a_seed_run_twice_tells_one_story() {
    for seed in 0..3 {
        let (first, second) = (run(&Options::pbft(seed)), run(&Options::pbft(seed)));
        assert_eq!(first, second);
    }
    assert_ne!(run(&Options::pbft(1)).trace_hash, run(&Options::pbft(2)).trace_hash);
}
