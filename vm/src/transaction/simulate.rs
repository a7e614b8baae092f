//! Calls that change nothing: `eth_call` and gas estimation, within a gas cap.

use super::validate::Rules;
use super::{Block, Execution, Refusal, Transaction, Vm, intrinsic_gas};
use crate::gas;
use crate::host::Host;
use crate::machine::Status;
use crate::tracer::{NoTracer, Tracer};

/// What gas estimation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Estimate {
    /// The least gas limit with which the transaction succeeds, within a 64th.
    Gas(u64),
    /// It does not succeed even with the whole cap; this is what happened then.
    Fails(Box<Execution>),
}

impl Vm {
    /// Executes a transaction as `eth_call` does: any nonce, any sender, free where its max fee is zero,
    /// with no more gas than `gas_cap`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when the sender cannot pay for what is asked, or the cap is below the intrinsic gas.
    pub fn call(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        gas_cap: u64,
    ) -> Result<Execution, Refusal> {
        self.call_traced(host, block, transaction, gas_cap, &mut NoTracer)
    }

    /// As [`Self::call`], watched by `tracer`.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub fn call_traced<T: Tracer>(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        gas_cap: u64,
        tracer: &mut T,
    ) -> Result<Execution, Refusal> {
        let gas_limit = transaction.gas_limit.min(gas_cap);
        let capped = Transaction { gas_limit, ..transaction.clone() };
        self.execute_by(Rules::Simulation, host, block, &capped, tracer)
    }

    /// Finds a gas limit with which the transaction succeeds: first the whole cap, then what that used
    /// with the 64ths and stipends that calls hold back, then by halving.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub fn estimate(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        gas_cap: u64,
    ) -> Result<Estimate, Refusal> {
        self.estimate_traced(host, block, transaction, gas_cap, &mut NoTracer)
    }

    /// As [`Self::estimate`], all attempts watched by `tracer`.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub fn estimate_traced<T: Tracer>(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        gas_cap: u64,
        tracer: &mut T,
    ) -> Result<Estimate, Refusal> {
        let mut attempt = transaction.clone();
        attempt.gas_limit = transaction.gas_limit.min(gas_cap);
        let whole = self.execute_by(Rules::Simulation, host, block, &attempt, tracer)?;
        if whole.status != Status::Success {
            return Ok(Estimate::Fails(Box::new(whole)));
        }
        let mut enough = attempt.gas_limit;
        let spent = whole.gas_used + whole.gas_refunded;
        // Below this it cannot succeed: the intrinsic gas, or what it used after refunds.
        let mut too_little = whole.gas_used.max(intrinsic_gas(transaction)).saturating_sub(1);
        let mut guess = spent.saturating_add(gas::CALL_STIPEND).saturating_mul(64) / 63;
        while too_little + 1 < enough && enough - too_little > enough / 64 {
            attempt.gas_limit = guess.clamp(too_little + 1, enough - 1);
            let run = self.execute_by(Rules::Simulation, host, block, &attempt, tracer);
            match run {
                Ok(run) if run.status == Status::Success => enough = attempt.gas_limit,
                _ => too_little = attempt.gas_limit,
            }
            guess = too_little + (enough - too_little) / 2;
        }
        Ok(Estimate::Gas(enough))
    }
}
