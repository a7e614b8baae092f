//! `synod sim`: the deterministic simulator, one seed or many.

mod processor;
#[cfg(feature = "mutants")]
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use synod_consensus::paxos::Paxos;
use synod_consensus::pbft::Pbft;
use synod_consensus::sim::committee::{figures, twins};
use synod_consensus::sim::{self, Fault, Options, RangeReport, Report, Subject, Timing};
use synod_consensus::zab::Zab;

use self::processor::Clock;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Run whole networks in virtual time, under every fault
///
/// One seed tells one story, always the same. A range of seeds looks for a story in which a rule breaks;
/// each find comes with the command that tells it again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod sim --protocol pow --seed 7 --trace\n  synod sim --protocol pbft --nodes 4 --byzantine 1 --seed 7 --trace\n  synod sim --protocol paxos --nodes 3 --seeds 0..1000\n  synod sim --protocol zab --nodes 5 --seed 7 --trace\n  synod sim --protocol pow --seeds 0..1000000 --for 30m --jobs 2 --report report.json"
)]
pub(crate) struct Sim {
    /// Whose networks
    #[arg(long, default_value = "pow", value_parser = parse_subject)]
    protocol: Subject,
    /// One seed
    #[arg(long, conflicts_with = "seeds", required_unless_present_any = ["seeds", "mutants", "twins", "figures"])]
    seed: Option<u64>,
    /// A range of seeds: 0..1000
    #[arg(long, value_parser = parse_range)]
    seeds: Option<(u64, u64)>,
    /// Stop after this long: 90s, 30m, 2h; what the report's earlier runs took counts
    #[arg(long = "for", value_parser = parse_duration, requires = "seeds", value_name = "TIME")]
    duration: Option<Duration>,
    /// How many threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Write findings and progress there; the same file resumes the range
    #[arg(long, requires = "seeds", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Honest nodes (pow) or members (pbft, paxos, zab); drawn from the seed otherwise
    #[arg(long)]
    nodes: Option<usize>,
    /// How many members lie (pbft); drawn from the seed otherwise, and no more than the committee survives
    #[arg(long)]
    byzantine: Option<usize>,
    /// What holds for a committee's network: synchronous, asynchronous, unknown-moment, unknown-bound
    #[arg(long, value_parser = parse_timing)]
    timing: Option<Timing>,
    /// The height at which faults end and healing begins
    #[arg(long, default_value_t = 24)]
    blocks: u64,
    /// What keeps the blocks: a fast model, or the real ledger and block log of whole nodes on simulated disks
    #[arg(long, default_value = "model", value_parser = ["model", "real"])]
    ledger: String,
    /// Fault classes to leave out
    #[arg(long, value_delimiter = ',', value_parser = parse_fault)]
    without: Vec<Fault>,
    /// Exactly these fault classes
    #[arg(long, value_delimiter = ',', value_parser = parse_fault)]
    only: Option<Vec<Fault>>,
    /// Print what happens, line by line
    #[arg(long)]
    trace: bool,
    /// Look for a shorter story of a violation
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Switch a wrong line on (in a binary built with the feature `mutants`)
    #[arg(long, value_name = "ID")]
    mutant: Option<String>,
    /// Run every wrong line until it is caught, and print the table (same feature)
    #[arg(long, conflicts_with_all = ["seed", "seeds"])]
    mutants: bool,
    /// Run one of four members twice, with every split of two rounds (pbft)
    #[arg(long, conflicts_with_all = ["seed", "seeds", "mutants"])]
    twins: bool,
    /// Only this case of `--twins`
    #[arg(long, requires = "twins")]
    case: Option<u64>,
    /// Print messages and bytes for each decision against the number of members (pbft, paxos, zab)
    #[arg(long, conflicts_with_all = ["seed", "seeds", "mutants", "twins"])]
    figures: bool,
}

/// What `--report` holds: what is searched, how long that took so far, and one report for each worker.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    from: u64,
    to: u64,
    options: Options,
    elapsed_ms: u64,
    processor_ms: u64,
    workers: Vec<RangeReport>,
}

impl Sim {
    /// Runs it.
    ///
    /// # Errors
    /// Exit code 7 for a violation.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        if self.protocol.is_of_crashes() && self.byzantine.is_some_and(|liars| liars > 0) {
            let told = format!("members under {} crash and do not lie", self.protocol.name());
            return Err(Failure::usage("byzantine", told));
        }
        if self.mutants {
            return mutant_table(self.protocol, context);
        }
        if self.twins || self.figures {
            return match (self.protocol, self.twins) {
                (Subject::Pbft, true) => self.try_twins(context),
                (Subject::Pbft, false) => {
                    print_figures(context, [4, 7, 10, 16].map(|n| figures::figures::<Pbft>(n, 50)))
                }
                (Subject::Paxos, false) => {
                    print_figures(context, [3, 5, 7, 9].map(|n| figures::figures::<Paxos>(n, 50)))
                }
                (Subject::Zab, false) => {
                    print_figures(context, [3, 5, 7, 9].map(|n| figures::figures::<Zab>(n, 50)))
                }
                (Subject::Paxos | Subject::Zab, true) => Err(Failure::usage(
                    "protocol",
                    "twins lie, and these members do not: give --protocol pbft",
                )),
                (Subject::Pow, _) => Err(Failure::usage(
                    "protocol",
                    "a committee is needed: give --protocol pbft, paxos or zab",
                )),
            };
        }
        if self.mutant.is_some() && !cfg!(feature = "mutants") {
            return Err(no_mutants());
        }
        match (self.seed, self.seeds) {
            (Some(seed), _) => self.one(seed, context),
            (None, Some((from, to))) => self.many(from, to, context),
            (None, None) => Err(Failure::usage("seeds", "give --seed N or --seeds A..B")),
        }
    }

    fn options(&self, seed: u64) -> Options {
        Options {
            subject: self.protocol,
            seed,
            nodes: self.nodes,
            byzantine: self.byzantine,
            timing: self.timing,
            blocks: self.blocks,
            without: self.without.clone(),
            only: self.only.clone(),
            trace: self.trace,
            real: self.ledger == "real",
            mutant: self.mutant.clone(),
        }
    }

    fn one(&self, seed: u64, context: &Context) -> Outcome<()> {
        let options = self.options(seed);
        let mut report = with_mutant(self.mutant.as_deref(), || simulate(&options));
        if self.shrink && report.violation.is_some() {
            report = with_mutant(self.mutant.as_deref(), || sim::shrink(&report, &simulate, 200));
        }
        let violation = report.violation.clone();
        context.output.result(&One(report));
        match violation {
            Some(violation) => Err(violated(1, &violation.message)),
            None => Ok(()),
        }
    }

    fn try_twins(&self, context: &Context) -> Outcome<()> {
        let cases = self.case.map_or(0..twins::CASES, |case| case..case + 1);
        let progress = context.output.progress("splitting twins");
        let mut found = Twins { cases: 0, of: twins::CASES, events: 0, violations: Vec::new() };
        for case in cases {
            let report = with_mutant(self.mutant.as_deref(), || twins::run_case(case));
            found.cases += 1;
            found.events += report.events;
            progress.say(format!("{} of {} cases", found.cases, found.of));
            if let Some(violation) = report.violation {
                found.violations.push(format!(
                    "{}: {}\n  replay: {}",
                    violation.oracle, violation.message, report.command
                ));
            }
        }
        drop(progress);
        let violation = found.violations.first().cloned();
        let count = found.violations.len();
        context.output.result(&found);
        violation.map_or(Ok(()), |first| Err(violated(count, &first)))
    }

    fn many(&self, from: u64, to: u64, context: &Context) -> Outcome<()> {
        let mut saved = self.resume(from, to)?;
        let progress = context.output.progress("simulating");
        let before = saved.elapsed_ms;
        let begun = Instant::now();
        while saved.workers.iter().any(|report| report.next_seed < to)
            && self.duration.is_none_or(|limit| Duration::from_millis(saved.elapsed_ms) < limit)
        {
            // A second's work each, then a look at the clock, the report file and the people.
            saved.processor_ms += self.work_for(Duration::from_secs(1), &mut saved.workers, to);
            saved.elapsed_ms = before.saturating_add(begun.elapsed().as_millis() as u64);
            if let Some(path) = &self.report {
                write_report(path, &saved)?;
            }
            let runs: u64 = saved.workers.iter().map(|report| report.runs).sum();
            let found: usize = saved.workers.iter().map(|report| report.violations.len()).sum();
            progress.say(format!("{runs} runs, {found} violations"));
        }
        drop(progress);
        let mut whole = RangeReport::starting_at(from);
        let next_seed = saved.workers.iter().map(|report| report.next_seed).min().unwrap_or(from);
        for worker in saved.workers {
            whole.merge(worker);
        }
        whole.next_seed = next_seed.min(to);
        let violation = whole.violations.first().and_then(|report| report.violation.clone());
        let found = whole.violations.len();
        let processor_seconds = saved.processor_ms as f64 / 1e3;
        context.output.result(&Many {
            events_per_second_and_core: whole.events as f64 / processor_seconds.max(1e-3),
            report: whole,
            seconds: saved.elapsed_ms as f64 / 1e3,
            processor_seconds,
            jobs: self.jobs,
        });
        match violation {
            Some(violation) => Err(violated(found, &violation.message)),
            None => Ok(()),
        }
    }

    /// Lets each worker run seeds for so long; answers how many milliseconds they were on a processor.
    fn work_for(&self, slice: Duration, workers: &mut [RangeReport], to: u64) -> u64 {
        let end = Instant::now() + slice;
        let stride = workers.len() as u64;
        let template = self.options(0);
        let work = |report: &mut RangeReport| {
            let clock = Clock::start();
            with_mutant(template.mutant.as_deref(), || {
                sim::run_range(report, &template, &simulate, to, stride, |_| Instant::now() < end);
            });
            clock.spent().as_millis() as u64
        };
        thread::scope(|scope| {
            let running: Vec<_> = workers.iter_mut().map(|report| scope.spawn(|| work(report))).collect();
            running.into_iter().map(|worker| worker.join().expect("a panic in a run is a finding")).sum()
        })
    }

    fn resume(&self, from: u64, to: u64) -> Outcome<Saved> {
        let fresh = Saved {
            from,
            to,
            options: self.options(from),
            elapsed_ms: 0,
            processor_ms: 0,
            workers: (0..u64::from(self.jobs)).map(|job| RangeReport::starting_at(from + job)).collect(),
        };
        let Some(path) = self.report.as_ref().filter(|path| path.exists()) else { return Ok(fresh) };
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        let saved: Saved = serde_json::from_str(&text).map_err(|error| {
            Failure::usage("report", format!("{} is no report of this command: {error}", path.display()))
        })?;
        let is_same = saved.workers.len() == fresh.workers.len()
            && (saved.from, saved.to, &saved.options) == (from, to, &fresh.options);
        if is_same {
            return Ok(saved);
        }
        let (path, jobs) = (path.display(), saved.workers.len());
        let message = format!("{path} is of seeds {}..{} with {jobs} jobs", saved.from, saved.to);
        let message = if saved.options == fresh.options { message } else { message + " and other options" };
        Err(Failure::usage("report", message)
            .hint("give the same range, jobs and options to resume, or another file to start afresh"))
    }
}

fn print_figures(context: &Context, rows: [figures::Figures; 4]) -> Outcome<()> {
    context.output.result(&Costs { rows: rows.to_vec() });
    Ok(())
}

#[derive(Serialize)]
struct Twins {
    cases: u64,
    of: u64,
    events: u64,
    violations: Vec<String>,
}

impl fmt::Display for Twins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "cases       {} of {}: a twin, two rounds, every split", self.cases, self.of)?;
        writeln!(formatter, "events      {}", self.events)?;
        write!(formatter, "violations  {}", self.violations.len())?;
        self.violations.iter().try_for_each(|violation| write!(formatter, "\n  {violation}"))
    }
}

#[derive(Serialize)]
struct Costs {
    rows: Vec<figures::Figures>,
}

impl fmt::Display for Costs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>4} {:>7} {:>10} {:>10}  by kind", "n", "quorum", "messages", "bytes")?;
        for row in &self.rows {
            let kinds: Vec<String> = row
                .kinds
                .iter()
                .map(|(kind, (messages, bytes))| format!("{kind} {messages} ({bytes} B)"))
                .collect();
            let kinds = kinds.join(", ");
            write!(
                formatter,
                "\n{:>4} {:>7} {:>10} {:>10}  {kinds}",
                row.members, row.quorum, row.messages, row.bytes
            )?;
        }
        Ok(())
    }
}

fn write_report(path: &Path, saved: &Saved) -> Outcome<()> {
    let text = serde_json::to_string_pretty(saved).expect("reports serialize");
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| Failure::file(path, &error))
}

fn violated(count: usize, first: &str) -> Failure {
    Failure::new(Exit::Violation, "violation", format!("{count} violations; the first: {first}"))
}

/// One run, on whatever keeps its blocks.
fn simulate(options: &Options) -> Report {
    if options.real { synod_testnet::simulation::run(options) } else { sim::run(options) }
}

fn with_mutant<R>(id: Option<&str>, body: impl FnOnce() -> R) -> R {
    match id {
        Some(id) => synod_types::mutant::with(id, body),
        None => body(),
    }
}

fn no_mutants() -> Failure {
    Failure::usage("no_mutants", "this binary has no mutants in it")
        .hint("build one: cargo build --release --bin synod --features mutants")
}

#[cfg(not(feature = "mutants"))]
fn mutant_table(_: Subject, _: &Context) -> Outcome<()> {
    Err(no_mutants())
}

#[cfg(feature = "mutants")]
fn mutant_table(subject: Subject, context: &Context) -> Outcome<()> {
    table::print(subject, context)
}

#[derive(Serialize)]
#[serde(transparent)]
struct One(Report);

impl fmt::Display for One {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        for line in &report.trace {
            writeln!(formatter, "{line}")?;
        }
        let faults: Vec<&str> = report.faults.iter().map(|fault| fault.name()).collect();
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
        writeln!(
            formatter,
            "seed      {} with {} nodes, faults: {faults}",
            report.options.seed, report.nodes
        )?;
        writeln!(
            formatter,
            "ran       {} events in {} s of virtual time, {} blocks",
            report.events,
            report.virtual_ms / 1000,
            report.blocks
        )?;
        let coverage: Vec<String> =
            report.coverage.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(formatter, "happened  {}", coverage.join(", "))?;
        writeln!(formatter, "trace     {}", report.trace_hash)?;
        match &report.violation {
            None => write!(formatter, "holds     every rule"),
            Some(broken) => write!(
                formatter,
                "BROKEN    {} at {} ms: {}\nreplay    {}",
                broken.oracle, broken.at_ms, broken.message, report.command
            ),
        }
    }
}

#[derive(Serialize)]
struct Many {
    #[serde(flatten)]
    report: RangeReport,
    seconds: f64,
    processor_seconds: f64,
    events_per_second_and_core: f64,
    jobs: u16,
}

impl fmt::Display for Many {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(
            formatter,
            "runs        {} up to seed {}, {} of them short",
            report.runs, report.next_seed, report.short_runs
        )?;
        writeln!(
            formatter,
            "events      {} in all; {:.0} a second and core",
            report.events, self.events_per_second_and_core
        )?;
        writeln!(
            formatter,
            "time        {:.1} CPU-minutes in {:.1} minutes on {} threads",
            self.processor_seconds / 60.0,
            self.seconds / 60.0,
            self.jobs
        )?;
        for (name, runs) in &report.coverage {
            writeln!(formatter, "  {name:<24} in {runs} runs")?;
        }
        write!(formatter, "violations  {}", report.violations.len())?;
        if !report.violations.is_empty() {
            write!(formatter, "; --shrink in place of --trace looks for a shorter story")?;
        }
        for found in &report.violations {
            let message = found.violation.as_ref().map_or("", |violation| violation.message.as_str());
            let oracle = found.violation.as_ref().map_or("", |violation| violation.oracle.as_str());
            write!(formatter, "\n  {oracle}: {message}\n  replay: {}", found.command)?;
        }
        Ok(())
    }
}

fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "write a range of seeds: 0..1000".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range: (u64, u64) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if range.0 < range.1 { Ok(range) } else { Err("the range is empty".to_owned()) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time such as 90s, 30m or 2h".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    Subject::ALL.iter().copied().find(|subject| subject.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Subject::ALL.iter().map(|subject| subject.name()).collect();
        format!("no such protocol; there are {}", names.join(", "))
    })
}

fn parse_timing(text: &str) -> Result<Timing, String> {
    Timing::ALL.iter().copied().find(|timing| timing.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Timing::ALL.iter().map(|timing| timing.name()).collect();
        format!("no such timing; there are {}", names.join(", "))
    })
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    Fault::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        format!("no such fault; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_times_are_read() {
        assert_eq!(parse_range("0..10"), Ok((0, 10)));
        assert!(parse_range("10..0").is_err() && parse_range("10").is_err());
        assert_eq!(parse_duration("30m"), Ok(Duration::from_secs(1800)));
        assert!(parse_duration("30").is_err() && parse_duration("m").is_err());
    }
}
