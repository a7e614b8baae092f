//! From a run that broke a rule to a shorter one that breaks the same: fewer fault classes, fewer nodes,
//! fewer blocks, one change at a time as long as the violation stays.

use super::report::{Options, Report};

/// Shrinks a failing run of `run`; at most `budget` further runs are made. The result breaks the same oracle.
pub fn shrink(failing: &Report, run: &dyn Fn(&Options) -> Report, budget: usize) -> Report {
    let mut best = failing.clone();
    let mut left = budget;
    loop {
        let smaller = candidates(&best).into_iter().find_map(|options| {
            left = left.checked_sub(1)?;
            let report = run(&options);
            let is_same = oracle(&report).is_some() && oracle(&report) == oracle(failing);
            is_same.then_some(report)
        });
        match smaller {
            Some(report) => best = report,
            None => return best,
        }
    }
}

fn oracle(report: &Report) -> Option<&str> {
    report.violation.as_ref().map(|violation| violation.oracle.as_str())
}

/// Each one step smaller than the run, the largest steps first.
fn candidates(report: &Report) -> Vec<Options> {
    let now = Options { only: Some(report.faults.clone()), without: Vec::new(), ..report.options.clone() };
    let mut smaller = Vec::new();
    for blocks in [now.blocks / 2, now.blocks - now.blocks / 4] {
        if blocks >= 1 && blocks < now.blocks {
            smaller.push(Options { blocks, ..now.clone() });
        }
    }
    for fault in &report.faults {
        let kept = report.faults.iter().copied().filter(|kept| kept != fault).collect();
        smaller.push(Options { only: Some(kept), ..now.clone() });
    }
    if report.nodes > 2 {
        smaller.push(Options { nodes: Some(report.nodes - 1), ..now });
    }
    smaller
}
