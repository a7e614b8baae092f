//! EVM-17: the machine against revm 43 on random programs: status, gas, output, logs and state are equal.
//!
//! `SYNOD_FUZZ_SECONDS` is the budget (5 by default) in seconds of this thread on a processor, where the system
//! tells them, so that a busy machine does not shorten the search; `SYNOD_FUZZ_SEED` is the first seed. A long run
//! of 60 CPU-minutes, with a line each minute, and programs a second and opcode coverage at its end:
//!
//! ```text
//! SYNOD_FUZZ_SECONDS=3600 cargo test --release -p synod-vm --test differential evm_17 -- --nocapture
//! ```
//!
//! A difference is made small and printed with its seed. Each scene also checks that money is conserved, that the diff can
//! be undone, and now and then that a watched run gives the same as an unwatched one.

#![allow(clippy::unwrap_used, clippy::print_stdout)]
// The budget is a time.
#![allow(clippy::disallowed_methods)]

mod fuzz;

use alloy_primitives::{Address, Bytes, U256};
use fuzz::scene::Scene;
use fuzz::shrink::shrink;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use synod_vm::bench::revm::{self as oracle, Ending, Outcome};
use synod_vm::tracer::{Step, Tracer};
use synod_vm::{Execution, Status, Transaction, Vm, World, opcode};

/// Counts the instructions that ran.
struct Coverage {
    counts: [u64; 256],
    /// Programs that succeeded, reverted, halted, or were refused.
    endings: [u64; 4],
    /// Why they halted.
    halts: BTreeMap<String, u64>,
}

impl Tracer for Coverage {
    const STEPS: bool = true;

    fn step(&mut self, step: &Step<'_>) {
        self.counts[step.opcode as usize] += 1;
    }
}

/// What both machines must agree on.
type Verdict = Option<(Outcome, World)>;

fn ours(vm: &mut Vm, scene: &Scene, world: &World) -> Option<Execution> {
    vm.execute(world, &scene.block(), &scene.transaction()).ok()
}

fn verdict(world: &World, execution: Option<&Execution>) -> Verdict {
    let execution = execution?;
    let ending = match execution.status {
        Status::Success => Ending::Success,
        Status::Revert => Ending::Revert,
        Status::Halt(_) => Ending::Halt,
    };
    let mut after = world.clone();
    after.apply(&execution.diff);
    let outcome = Outcome {
        ending,
        gas_used: execution.gas_used,
        output: execution.output.clone(),
        logs: execution.logs.clone(),
    };
    Some((outcome, after))
}

/// What differs between the two machines, or is wrong in itself.
fn difference(vm: &mut Vm, scene: &Scene) -> Option<String> {
    let world = scene.world();
    let execution = ours(vm, scene, &world);
    let ours = verdict(&world, execution.as_ref());
    let theirs = oracle::execute(&world, &scene.block(), &scene.transaction());
    if let (Some((ours, our_world)), Some((theirs, their_world))) = (&ours, &theirs) {
        if ours != theirs {
            return Some(format!("outcome\nours   {ours:?}\ntheirs {theirs:?}"));
        }
        if our_world.accounts != their_world.accounts {
            return Some(format!(
                "accounts\nours   {:?}\ntheirs {:?}",
                our_world.accounts, their_world.accounts
            ));
        }
        if our_world.storage != their_world.storage {
            return Some(format!(
                "storage\nours   {:?}\ntheirs {:?}",
                our_world.storage, their_world.storage
            ));
        }
    } else if ours.is_some() != theirs.is_some() {
        return Some(format!("one machine refuses\nours   {ours:?}\ntheirs {theirs:?}"));
    }
    unsound(&world, execution.as_ref()?)
}

/// What an execution says of itself and does not keep: money, and the way back.
fn unsound(world: &World, execution: &Execution) -> Option<String> {
    let mut after = world.clone();
    after.apply(&execution.diff);
    if world.total() != after.total() + execution.burnt.total() {
        return Some("money is not conserved".to_owned());
    }
    after.undo(&execution.diff);
    if after.accounts != world.accounts || after.storage != world.storage {
        return Some("the diff cannot be undone".to_owned());
    }
    None
}

/// Runs the scene again with a tracer: counts instructions, and must change nothing.
fn watched(vm: &mut Vm, scene: &Scene, coverage: &mut Coverage) {
    let world = scene.world();
    let plain = ours(vm, scene, &world);
    let watched = vm.execute_traced(&world, &scene.block(), &scene.transaction(), coverage).ok();
    assert_eq!(plain, watched, "watching changes the result");
    let ending = match plain.map(|plain| plain.status) {
        Some(Status::Success) => 0,
        Some(Status::Revert) => 1,
        Some(Status::Halt(halt)) => {
            let text = format!("{halt:?}");
            let reason = text.split('(').next().unwrap_or_default();
            *coverage.halts.entry(reason.to_owned()).or_default() += 1;
            2
        }
        None => 3,
    };
    coverage.endings[ending] += 1;
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn evm_17_random_programs_run_as_in_revm() {
    let budget = Duration::from_secs(environment("SYNOD_FUZZ_SECONDS", 5));
    let first = environment("SYNOD_FUZZ_SEED", 0);
    let mut vm = Vm::new();
    let mut coverage = Coverage { counts: [0; 256], endings: [0; 4], halts: BTreeMap::new() };
    let clock = Clock::start();
    let (mut seed, mut minutes) = (first, 0);
    let mut spent = Duration::ZERO;
    while spent < budget || seed < first + 500 {
        let scene = Scene::new(seed);
        let _telling = Telling(seed);
        if difference(&mut vm, &scene).is_some() {
            report(&mut vm, seed, scene);
        }
        if seed.is_multiple_of(16) {
            watched(&mut vm, &scene, &mut coverage);
        }
        seed += 1;
        if seed.is_multiple_of(64) {
            spent = clock.spent();
        }
        if spent.as_secs() / 60 > minutes {
            minutes = spent.as_secs() / 60;
            println!("{minutes} CPU-minutes: {} programs without a difference", seed - first);
        }
    }
    summarize(seed - first, clock.spent(), &coverage);
}

/// Tells the seed at which a machine panicked.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("at seed {}", self.0);
        }
    }
}

/// The time that this thread was on a processor; where the system does not tell it, the time on the wall.
struct Clock {
    begun: Instant,
    on_processor: Option<Duration>,
}

impl Clock {
    fn start() -> Self {
        Self { begun: Instant::now(), on_processor: Self::on_processor() }
    }

    fn spent(&self) -> Duration {
        let on_processor = self.on_processor.zip(Self::on_processor());
        on_processor.map_or_else(|| self.begun.elapsed(), |(before, now)| now - before)
    }

    /// Linux counts it in nanoseconds.
    fn on_processor() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

fn report(vm: &mut Vm, seed: u64, scene: Scene) -> ! {
    let small = shrink(scene, |scene| difference(&mut Vm::new(), scene).is_some());
    let why = difference(vm, &small).unwrap_or_else(|| "only with a used machine".to_owned());
    for (address, account) in &small.world().accounts {
        println!("{address}: {account:?} code {}", small.world().code_of(address));
    }
    panic!("seed {seed}: {why}\n{:?}", small.transaction());
}

fn summarize(programs: u64, time: Duration, coverage: &Coverage) {
    let defined = || (0..=255u8).filter(|&byte| opcode::TABLE[byte as usize].is_some());
    let missing: Vec<_> =
        defined().filter(|&byte| coverage.counts[byte as usize] == 0).map(opcode::name).collect();
    let rate = programs as f64 / time.as_secs_f64();
    println!("{programs} programs in {:.1} CPU-minutes, {rate:.0} a second", time.as_secs_f64() / 60.0);
    println!(
        "{} of {} opcodes ran, missing: {missing:?}",
        defined().count() - missing.len(),
        defined().count()
    );
    let watched: u64 = coverage.endings.iter().sum();
    let total: u64 = coverage.counts.iter().sum();
    println!("of {watched} watched: (success, revert, halt, refused) {:?}", coverage.endings);
    println!("halts: {:?}", coverage.halts);
    println!("{} instructions for each", total / watched);
    assert!(missing.len() <= 30, "the generator has lost opcodes: {missing:?}");
}

/// No creation leaves code that begins with 0xEF, and a genesis may: it halts, in both, also where a later fork
/// gives such code a meaning.
#[test]
fn evm_9_code_that_begins_with_ef_halts_in_both() {
    let scene = (0..100).map(Scene::new).find(|scene| ours(&mut Vm::new(), scene, &scene.world()).is_some());
    let scene = scene.expect("most scenes are not refused");
    let (mut world, to) = (scene.world(), Address::with_last_byte(0x99));
    for code in [&[0xef][..], &[0xef, 1, 0], &[0xef, 1, 0, 7], &[0xef, 0, 1, 2]] {
        world.insert(to, U256::ZERO, 1, Bytes::copy_from_slice(code), []);
        let calling = Transaction { to: Some(to), data: Bytes::new(), ..scene.transaction() };
        let ours = Vm::new().execute(&world, &scene.block(), &calling).ok();
        let (ours, theirs) =
            (verdict(&world, ours.as_ref()), oracle::execute(&world, &scene.block(), &calling));
        assert_eq!(ours.as_ref().map(|(outcome, _)| outcome), theirs.as_ref().map(|(outcome, _)| outcome));
        assert_eq!(ours.map(|(outcome, _)| outcome.ending), Some(Ending::Halt));
    }
}

/// The oracle can tell machines apart: it is no comparison of a thing with itself.
#[test]
fn a_wrong_machine_is_found_and_made_small() {
    let found = (0..2_000).find_map(|seed| {
        let scene = Scene::new(seed);
        let wrong = |scene: &Scene| {
            synod_types::mutant::with("evm-warm-set-not-reverted", || {
                difference(&mut Vm::new(), scene).is_some()
            })
        };
        wrong(&scene).then(|| shrink(scene, wrong))
    });
    let small = found.expect("2,000 programs find a warm set that outlives a revert");
    let pieces: usize = small.programs.iter().map(Vec::len).sum();
    assert!(pieces <= 12, "{pieces} pieces are left: {small:?}");
    assert!(small.transaction.gas_limit > 0 && small.world().total() > U256::ZERO);
}
