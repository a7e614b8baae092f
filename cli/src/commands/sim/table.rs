//! The table of mutants: every wrong line, what caught it, the command that shows it, and what that cost.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use synod_consensus::sim::mutants::{Fate, MUTANTS, Mutant, hunt};
use synod_consensus::sim::{Options, Subject, committee};
use synod_testnet::simulation::mutants as whole_nodes;

use super::processor::Clock;
use super::{simulate, violated};
use crate::context::Context;
use crate::failure::Outcome;

/// A hundredth of the 30 CPU-minutes that a search is given: a mutant that lives longer has survived.
const LIMIT: Duration = Duration::from_secs(18);

/// Hunts all of a subject.
pub(super) fn print(subject: Subject, context: &Context) -> Outcome<()> {
    let progress = context.output.progress("hunting mutants");
    let mut fates = Vec::new();
    for (prey, template) in preys(subject) {
        progress.say(prey.id.to_owned());
        let clock = Clock::start();
        let fate = hunt(prey, &template, &simulate, |_| clock.spent() < LIMIT);
        fates.push(Hunted { fate, cpu_seconds: clock.spent().as_secs_f64() });
    }
    drop(progress);
    let is_alive = |hunted: &Hunted| hunted.fate.oracle.is_none() || hunted.cpu_seconds > LIMIT.as_secs_f64();
    let survivors: Vec<String> =
        fates.iter().filter(|hunted| is_alive(hunted)).map(|hunted| hunted.fate.mutant.clone()).collect();
    context.output.result(&Table { fates });
    if survivors.is_empty() {
        return Ok(());
    }
    Err(violated(survivors.len(), &format!("{} survived", survivors.join(", "))))
}

/// The wrong lines of what is simulated, each with the runs that it is hunted in.
fn preys(subject: Subject) -> Vec<(&'static Mutant, Options)> {
    match subject {
        Subject::Pow => {
            let model = MUTANTS.iter().map(|prey| (prey, Options::seed(0)));
            let real = whole_nodes::MUTANTS.iter().map(|prey| (prey, Options::real(0)));
            model.chain(real).collect()
        }
        Subject::Pbft => of(committee::mutants::MUTANTS, subject),
        Subject::Paxos => of(committee::paxos_mutants::MUTANTS, subject),
        Subject::Zab => of(committee::zab_mutants::MUTANTS, subject),
    }
}

fn of(mutants: &'static [Mutant], subject: Subject) -> Vec<(&'static Mutant, Options)> {
    mutants.iter().map(|prey| (prey, Options::of(subject, 0))).collect()
}

#[derive(Serialize)]
struct Table {
    fates: Vec<Hunted>,
}

#[derive(Serialize)]
struct Hunted {
    #[serde(flatten)]
    fate: Fate,
    cpu_seconds: f64,
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<26} {:<9} {:>5} {:>6}  {:<64} it is shown by",
            "mutant", "caught by", "seeds", "CPU s", "what is wrong"
        )?;
        for Hunted { fate, cpu_seconds } in &self.fates {
            let oracle = fate.oracle.as_deref().unwrap_or("SURVIVED");
            let shown_by = fate.shown_by.as_deref().unwrap_or("");
            let (seeds, mutant, meaning) = (fate.seeds, &fate.mutant, &fate.meaning);
            writeln!(
                formatter,
                "{mutant:<26} {oracle:<9} {seeds:>5} {cpu_seconds:>6.2}  {meaning:<64} {shown_by}"
            )?;
        }
        Ok(())
    }
}
