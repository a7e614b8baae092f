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
