//! How fast a program runs, here and in revm, in turns.

use super::Program;
use crate::transaction::Vm;
use std::time::Duration;

/// Turns of each machine; the median of them counts.
const ROUNDS: usize = 9;

/// What a program came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The gas of one run.
    pub gas: u64,
    /// Seconds for one run here.
    pub ours: f64,
    /// Seconds for one run in revm, where it is compiled in.
    pub theirs: Option<f64>,
}

impl Measured {
    /// How many times as fast as revm we are: above 1, faster.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.theirs? / self.ours)
    }
}

/// Runs a program again and again for about `round` a turn. `clock` tells the time since any fixed moment.
///
/// # Panics
/// When the program is refused, or revm uses another amount of gas: then there is nothing to compare.
pub fn measure(program: &Program, round: Duration, clock: &dyn Fn() -> Duration) -> Measured {
    let Program { name, world, block, transaction } = program;
    let mut vm = Vm::new();
    let gas = vm.execute(world, block, transaction).unwrap_or_else(|why| panic!("{name}: {why}")).gas_used;
    #[cfg(feature = "beside-revm")]
    let (mut revm, envelope) = {
        use ::revm::ExecuteEvm;
        let mut revm = super::revm::evm(world, block);
        let envelope = super::revm::transaction(transaction, block.chain_id);
        let theirs = revm.transact(envelope.clone()).unwrap().result.tx_gas_used();
        assert_eq!(gas, theirs, "{name}: the two disagree");
        (revm, envelope)
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(round, clock, || drop(std::hint::black_box(vm.execute(world, block, transaction)))));
        #[cfg(feature = "beside-revm")]
        theirs.push(time(round, clock, || {
            use ::revm::ExecuteEvm;
            drop(std::hint::black_box(revm.transact(envelope.clone())));
        }));
    }
    Measured { gas, ours: median(&mut ours).unwrap_or(f64::NAN), theirs: median(&mut theirs) }
}

/// The mean by which ratios are summed up: twice as fast and half as fast are even.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

/// Seconds for one run, averaged over a round.
fn time(round: Duration, clock: &dyn Fn() -> Duration, mut run: impl FnMut()) -> f64 {
    let (begin, mut count) = (clock(), 0u32);
    loop {
        run();
        count += 1;
        let spent = clock().saturating_sub(begin);
        if spent >= round {
            return spent.as_secs_f64() / f64::from(count);
        }
    }
}

fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// With a clock that goes on by a millisecond at each look, a round of 10 ms takes ten runs of 1 ms.
    #[test]
    fn time_is_an_input() {
        let ticks = Cell::new(0);
        let clock = || {
            ticks.set(ticks.get() + 1);
            Duration::from_millis(ticks.get())
        };
        let runs = Cell::new(0);
        let seconds = time(Duration::from_millis(10), &clock, || runs.set(runs.get() + 1));
        assert_eq!(runs.get(), 10);
        assert!((seconds - 0.001).abs() < 1e-9);
    }

    #[test]
    fn twice_and_half_as_fast_are_even() {
        let mean = geometric_mean(&[2.0, 0.5, 1.0]).unwrap();
        assert!((mean - 1.0).abs() < 1e-9);
        assert_eq!(geometric_mean(&[]), None);
    }

    /// Every program runs to its end, and the measured one is a success: a revert would measure little.
    #[test]
    fn our_programs_succeed() {
        for program in super::super::programs() {
            let execution = Vm::new().execute(&program.world, &program.block, &program.transaction).unwrap();
            assert_eq!(execution.status, crate::Status::Success, "{}", program.name);
        }
    }
}
