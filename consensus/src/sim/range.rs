//! Many seeds, one after the other, resumable.

use super::report::{Options, RangeReport, Report};

/// Runs, with `run`, the seeds from `report.next_seed` to below `end`, as long as `goes_on` says so after each (the
/// caller's clock), and adds what they found. Given its own report again, it goes on where it stopped.
/// Workers share a range by taking every `stride`th seed.
pub fn run_range(
    report: &mut RangeReport,
    template: &Options,
    run: &dyn Fn(&Options) -> Report,
    end: u64,
    stride: u64,
    mut goes_on: impl FnMut(&RangeReport) -> bool,
) {
    while report.next_seed < end {
        let seed = report.next_seed;
        report.add(run(&Options { seed, ..template.clone() }));
        report.next_seed = seed.saturating_add(stride.max(1));
        if !goes_on(report) {
            break;
        }
    }
}
