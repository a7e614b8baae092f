//! Every state that a small committee can get into, within bounds: a stateright model of which the members are the
//! shipped machines behind the shipped replica, not a model of them.
//!
//! [`member`] gives a machine what a driver gives it, and keeps its frames and blocks; [`system`] puts members into a
//! network; [`verdict`] judges; [`explored`] is what an ordering must say of itself, and [`under_paxos`] and [`under_zab`]
//! say it of Multi-Paxos and Zab. The bounds are [`Bounds`](system::Bounds): within them everything happens in every order.
//!
//! - **Network**: whatever was said may come at any time, in any order, more than once, or never.
//! - **Time**: a clock stands still until a whole timeout passes for its member, and then everything that waits is due.
//!   All times of the configuration are 1 ms, so that the generator, which draws below 1, draws 0.
//! - **Disk**: the member that will lose power has frames and blocks on their way to the disk, for any length of time.
//!   A cut takes what is not synced, and the member starts by `recover` from the rest. What survives a cut unsynced
//!   is what was synced just before it. Which members lose power is chosen at the start, in every way.
//! - **Pool**: each member has payloads of its own, others in each life, one for each slot.
//!
//! Some is left out or taken together, so that there is an end. To leave out a message is never to deliver it: all
//! states here are states of the real committee, nothing is a false alarm, and what could be missed is this:
//!
//! - Repetitions (`Connected`): nothing gets lost here that would have to be said again.
//! - STANDING and so CHOSEN; attestations and so certificates, trimming, fetched blocks (MPX-4), the epoch's end. CHOSEN
//!   says what its sender applied: the first that is wrong is found where its sender applied it. All of these run in
//!   the simulator.
//! - HEARTBEAT, FOLLOWING, REFUSED: they raise a promise as PREPARE and ACCEPT do, or end a leadership or candidacy
//!   early. A candidate or leader that hears nothing of its end is here; so is one that hears of the next.
//! - WILLING comes with the PROBE that it answers. It promises nothing: what is missed is a readiness that was out of
//!   date when PREPARE left.
//! - Zab's votes come the moment that they are said. They promise nothing; what is missed is an election by votes that
//!   were out of date, and discovery looks at the histories again (ZAB-2). Its PING and PONG are left out as HEARTBEAT
//!   is: a leader hears its followers by their answers, and who comes late comes by its vote.
//! - Zab with a power cut has too many states for the last of them: there the wrong lines alone are hunted.
//! - A member that will not lose power is synced at once: to all others a slow disk is a slow message.
//! - A message is taken out of the network once its receiver can make nothing of it any more (`is_void`): asked of the
//!   machine as it is, and of the one that a power cut would leave.
//!
//! States are told apart by 64 bits (stateright), members by the SHA-256 of everything that makes them go on as they do.
//!
//! SYNOD_EXPLORE_TIMEOUTS, SYNOD_EXPLORE_POWER_CUTS, SYNOD_EXPLORE_SLOTS and SYNOD_EXPLORE_CANDIDATES set other bounds.
#![allow(clippy::print_stdout)]

mod explored;
mod member;
mod system;
mod under_paxos;
mod under_zab;
mod verdict;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};
use synod_consensus::paxos::Paxos;
use synod_consensus::zab::Zab;

use explored::Explored;
use system::{Bounds, System};
use verdict::{AGREEMENT, MEMORY, ONE_DECISION, PROMISES};

fn bounds(timeouts: u8, power_cuts: u8) -> Bounds {
    Bounds { members: 3, candidates: 3, slots: 1, timeouts, power_cuts }
}

/// The environment's bounds where it gives any.
fn asked_for(bounds: Bounds) -> Bounds {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    Bounds {
        candidates: asked("SYNOD_EXPLORE_CANDIDATES").unwrap_or(bounds.candidates),
        slots: asked("SYNOD_EXPLORE_SLOTS").map_or(bounds.slots, u64::from),
        timeouts: asked("SYNOD_EXPLORE_TIMEOUTS").unwrap_or(bounds.timeouts),
        power_cuts: asked("SYNOD_EXPLORE_POWER_CUTS").unwrap_or(bounds.power_cuts),
        ..bounds
    }
}

/// To the last state: no rule is broken in any, and what is to happen does in some.
fn explore<P: Explored>(bounds: Bounds)
where
    System<P>: Send + Sync,
{
    let checker = System::<P>::new(bounds, None).checker().threads(1).spawn_bfs().join();
    let (members, messages) = checker.model().parts();
    println!(
        "{}: {bounds:?}: {} states, {} of them different, depth {}; {members} of single members, {messages} messages",
        P::NAME,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
    );
    let found = checker.discoveries();
    for (name, happens) in verdict::properties::<P>(bounds) {
        let path = found.get(name).map(|path| path.clone().into_actions()).unwrap_or_default();
        let story = checker.model().story(&path);
        assert_eq!(found.contains_key(name), happens, "{name}; {} steps:\n{story}", path.len());
    }
}

/// With a wrong line: a shortest way, or one step more, to where the rule is broken.
fn hunt<P: Explored>(bounds: Bounds, mutant: &'static str, rule: &'static str)
where
    System<P>: Send + Sync,
{
    let until = HasDiscoveries::AnyOf(BTreeSet::from([rule]));
    let checker = System::<P>::new(bounds, Some(mutant)).checker().threads(1).finish_when(until);
    let checker = checker.spawn_bfs().join();
    let states = checker.unique_state_count();
    let path = checker.discovery(rule).map(|path| path.into_actions());
    let path = path.unwrap_or_else(|| panic!("{mutant} survives {states} states: {rule}"));
    let story = checker.model().story(&path);
    println!("{mutant}: after {} steps ({states} states) it is not so that {rule}:\n{story}", path.len());
}

#[test]
fn multi_paxos_decides_once_wherever_power_is_cut() {
    explore::<Paxos>(asked_for(bounds(2, 1)));
}

#[test]
fn multi_paxos_decides_once_under_three_timeouts() {
    explore::<Paxos>(bounds(3, 0));
}

/// Two members compete for two slots: of what one left behind the other fills the gap.
#[test]
fn multi_paxos_fills_gaps_in_two_slots() {
    explore::<Paxos>(Bounds { slots: 2, candidates: 2, ..bounds(2, 0) });
}

/// An exploration in which a mutant survives does not explore what it says.
#[test]
fn the_wrong_lines_of_multi_paxos_are_found() {
    for (mutant, rule, power_cuts) in [
        ("gen-1-send-before-persist", AGREEMENT, 1),
        ("mpx-1-ballot-reuse", AGREEMENT, 1),
        ("mpx-2-accept-raises-nothing", PROMISES, 0),
        ("mpx-2-forget-accepted", AGREEMENT, 1),
        ("mpx-2-forget-promised", ONE_DECISION, 1),
        ("mpx-2-vote-without-body", PROMISES, 0),
        ("mpx-7-commit-across-ballots", AGREEMENT, 0),
    ] {
        hunt::<Paxos>(bounds(2, power_cuts), mutant, rule);
    }
}

/// Order, parts of promises and gaps need a second slot.
#[test]
fn the_wrong_lines_of_two_slots_are_found() {
    for (mutant, rule) in [("mpx-3-truncated-promise", ONE_DECISION), ("mpx-8-any-order", MEMORY)] {
        hunt::<Paxos>(Bounds { slots: 2, candidates: 2, ..bounds(2, 0) }, mutant, rule);
    }
}

/// Two members compete for a third, over as many epochs as three timeouts make.
#[test]
fn zab_commits_once_under_three_timeouts() {
    explore::<Zab>(asked_for(Bounds { candidates: 2, ..bounds(3, 0) }));
}

#[test]
fn the_wrong_lines_of_zab_are_found() {
    for (mutant, rule, timeouts, power_cuts) in [
        ("zab-10-one-fewer", AGREEMENT, 3, 0),
        ("zab-3-forget-accepted", PROMISES, 1, 1),
        ("zab-10-forget-logged", PROMISES, 1, 1),
        ("zab-4646-ack-leader-before-sync", PROMISES, 1, 1),
        ("zab-3911-ack-before-sync", PROMISES, 1, 1),
    ] {
        hunt::<Zab>(Bounds { candidates: 2, ..bounds(timeouts, power_cuts) }, mutant, rule);
    }
}
