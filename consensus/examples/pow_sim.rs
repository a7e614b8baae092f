//! Runs seeds of the proof-of-work simulation and prints what it found: `pow_sim FIRST END [SECONDS]`.
//! With SYNOD_SIM_TRACE set, one seed's readable trace. Profiles point here; the command that people use is `synod sim`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program, not the pure crate: it prints and keeps a real deadline"
)]

use std::time::{Duration, Instant};

use synod_consensus::sim::{Options, RangeReport, run_range};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let first = arguments.next().unwrap_or(0);
    let end = arguments.next().unwrap_or(first + 100);
    let limit = Duration::from_secs(arguments.next().unwrap_or(60));
    if std::env::var_os("SYNOD_SIM_TRACE").is_some() {
        let report = synod_consensus::sim::run(&Options { trace: true, ..Options::seed(first) });
        report.trace.iter().for_each(|line| println!("{line}"));
        return println!("{:?}", report.violation);
    }
    let started = Instant::now();
    let mut report = RangeReport::starting_at(first);
    run_range(&mut report, &Options::seed(0), &synod_consensus::sim::run, end, 1, |_| {
        started.elapsed() < limit
    });
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} runs, {} events, {:.0} events/s",
        report.runs,
        report.events,
        report.events as f64 / seconds
    );
    println!("{} runs of fewer than 20 blocks; seen in runs: {:?}", report.short_runs, report.coverage);
    for failed in &report.violations {
        println!("{:?} {:?}\n  {}", failed.violation, failed.faults, failed.command);
    }
}
