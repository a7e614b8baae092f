//! Runs seeds of a committee's simulation and prints what it found: `committee_sim FIRST END [SECONDS]`.
//! SYNOD_SIM_PROTOCOL names the ordering (pbft), SYNOD_SIM_NODES says how many members there are, SYNOD_SIM_MUTANT switches a wrong line on, SYNOD_SIM_BYZANTINE says how many members lie, and with
//! SYNOD_SIM_TRACE set one seed's readable trace is printed. The command that people use is `synod sim`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program, not the pure crate: it prints and keeps a real deadline"
)]

use std::time::{Duration, Instant};

use synod_consensus::sim::{Options, RangeReport, Subject, run, run_range};

fn main() {
    let variable = |name| std::env::var(name).ok();
    match variable("SYNOD_SIM_MUTANT") {
        Some(mutant) => synod_types::mutant::with(&mutant, || search(Some(mutant.clone()))),
        None => search(None),
    }
}

fn search(mutant: Option<String>) {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let first = arguments.next().unwrap_or(0);
    let end = arguments.next().unwrap_or(first + 100);
    let limit = Duration::from_secs(arguments.next().unwrap_or(60));
    let byzantine = std::env::var("SYNOD_SIM_BYZANTINE").ok().and_then(|text| text.parse().ok());
    let named = std::env::var("SYNOD_SIM_PROTOCOL").unwrap_or_else(|_| "pbft".to_owned());
    let subject = Subject::ALL.iter().copied().find(|subject| subject.name() == named);
    let nodes = std::env::var("SYNOD_SIM_NODES").ok().and_then(|text| text.parse().ok());
    let template =
        Options { nodes, byzantine, mutant, ..Options::of(subject.unwrap_or(Subject::Pbft), first) };
    if std::env::var_os("SYNOD_SIM_TRACE").is_some() {
        let report = run(&Options { trace: true, ..template });
        report.trace.iter().for_each(|line| println!("{line}"));
        return println!("{:?}\n{:?}", report.faults, report.violation);
    }
    let started = Instant::now();
    let mut report = RangeReport::starting_at(first);
    run_range(&mut report, &template, &run, end, 1, |_| started.elapsed() < limit);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} runs, {} events, {:.0} events/s",
        report.runs,
        report.events,
        report.events as f64 / seconds
    );
    println!("{} short runs; seen in runs: {:?}", report.short_runs, report.coverage);
    for failed in &report.violations {
        println!("{:?} {:?}\n  {}", failed.violation, failed.faults, failed.command);
    }
}
