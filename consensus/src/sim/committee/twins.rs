//! Twins (Bano and others 2020): one member of four runs twice, and every way in which two rounds can be
//! split is tried.
//!
//! Both copies follow the protocol, with one key; what they do together is equivocation, amnesia, and voting
//! twice. A case is the twin's index, the two halves of the five processes in each of two rounds, and how long
//! the first round lasts: until proposals, prepares or commits are on their way, or until views have failed.
//! After the rounds everybody hears everybody, and every rule of an ordinary run holds, progress included.

use super::application::Chain;
use super::model::ModelChain;
use super::{World, known_committee};
use crate::pbft::Pbft;
use crate::sim::report::{Options, Report, Timing};
use crate::sim::scheduler::Scheduler;

/// Members, and with the twin one process more.
const MEMBERS: usize = 4;
/// Ways to put five processes on two sides.
const SPLITS: u64 = 16;
/// How long the first round lasts, in microseconds.
const FIRST_ROUND_US: [u64; 4] = [7_000, 9_000, 12_000, 1_300_000];
/// How long the second lasts, in milliseconds.
const SECOND_ROUND_MS: u64 = 1_300;
/// The mean delay, in microseconds.
const MEAN_US: u64 = 500;

/// One case's cuts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    /// Which processes are on the one side, as bits, in each round.
    sides: [u64; 2],
    first_round_us: u64,
}

/// How many cases there are.
pub const CASES: u64 = MEMBERS as u64 * SPLITS * SPLITS * FIRST_ROUND_US.len() as u64;

/// Runs one case.
pub fn run_case(case: u64) -> Report {
    let member = (case % MEMBERS as u64) as usize;
    let rest = case / MEMBERS as u64;
    let sides = [rest % SPLITS, rest / SPLITS % SPLITS];
    let length = (rest / SPLITS / SPLITS) as usize % FIRST_ROUND_US.len();
    let script = Script { sides, first_round_us: FIRST_ROUND_US[length] };
    let options = Options {
        nodes: Some(MEMBERS),
        byzantine: Some(0),
        timing: Some(Timing::UnknownMoment),
        only: Some(Vec::new()),
        ..Options::pbft(case)
    };
    let mut world = World::<ModelChain<Pbft>>::scripted(&options, member, script);
    world.run();
    let mut report = world.report(&options);
    report.command = format!("synod sim --protocol pbft --twins --case {case}");
    report
}

impl<C: Chain> World<C> {
    fn scripted(options: &Options, member: usize, script: Script) -> Self {
        let mut world = Self::new(options);
        world.scheduler = Scheduler::default();
        world.processes.clear();
        world.script = Some(script);
        world.swarm = crate::sim::Swarm::only(&[crate::sim::Fault::Twins]);
        world.network.slow_down(MEAN_US);
        let (_, signers) = known_committee::<Pbft>(world.chain.genesis(), MEMBERS);
        world.populate(&signers, &[member]);
        for process in &mut world.processes {
            process.sync_us = 100;
        }
        world.begin_round(0);
        world
    }

    /// Cuts the network as the script says; after the last round everything is healed.
    pub(super) fn begin_round(&mut self, round: usize) {
        let Some(script) = self.script else { return };
        let now = self.scheduler.now();
        let all = self.processes.len();
        let side = script.sides.get(round).copied();
        for from in 0..all {
            for to in 0..all {
                let is_cut = side.is_some_and(|side| side >> from & 1 != side >> to & 1);
                self.network.cut(from, to, is_cut);
            }
        }
        let next = if round == 0 { now.plus_us(script.first_round_us) } else { now.plus_ms(SECOND_ROUND_MS) };
        match side {
            Some(_) => self.scheduler.schedule(next, super::Event::Round(round + 1)),
            None => self.heal(),
        }
    }
}
