//! The call family: `CALL`, `CALLCODE`, `DELEGATECALL`, `STATICCALL`.
//!
//! An instruction prices the call and describes it; the machine ([`crate::machine`]) carries it out and
//! pushes the result. Price: cold account (EIP-2929), memory for input and output, value, new account,
//! then what is forwarded: at most all but a 64th of the rest (EIP-150, EVM-2).

use super::data::range;
use super::environment::address;
use crate::frame::{Frame, Input, Scope, Source};
use crate::gas;
use crate::halt::Halt;
use crate::journal::AccountId;
use crate::tracer::CallKind;
use alloy_primitives::{Address, U256};

/// A call that is paid for and waits to be carried out.
pub(crate) struct CallRequest {
    pub(crate) kind: CallKind,
    /// Whose code runs.
    pub(crate) code_address: Address,
    pub(crate) code_account: AccountId,
    /// Whose wei move.
    pub(crate) payer: AccountId,
    /// Whose storage it works on, and who it is.
    pub(crate) account: AccountId,
    /// Whom it sees as its caller.
    pub(crate) caller: Address,
    /// The wei it sees.
    pub(crate) value: U256,
    /// Whether those wei really move.
    pub(crate) transfers: bool,
    pub(crate) is_static: bool,
    /// Gas for the callee, stipend included.
    pub(crate) gas: u64,
    pub(crate) input: Input,
    /// Where in the caller's memory the output goes: (offset, length).
    pub(crate) output: (usize, usize),
}

/// What all four have among their operands.
struct Operands<'a> {
    gas: &'a U256,
    address: Address,
    value: U256,
    /// Input offset and length, output offset and length.
    ranges: [&'a U256; 4],
}

/// What a call instruction gives: the caller's gas left, and the call.
type Prepared = Result<(u64, CallRequest), Halt>;

/// `CALL`: (gas, address, value, input offset, input length, output offset, output length).
#[inline(never)]
pub(super) fn call<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 7],
) -> Prepared {
    let operands = Operands::with_value(&operands);
    if frame.is_static && !operands.value.is_zero() {
        return Err(Halt::WriteInStaticFrame);
    }
    let (mut gas, request) = price(scope, frame, gas, &operands)?;
    if !operands.value.is_zero() && scope.journal.account(request.code_account).is_empty() {
        gas = gas::charge(gas, gas::NEW_ACCOUNT)?;
    }
    forward(gas, &operands, request)
}

/// `CALLCODE`: another's code on one's own storage, with the value sent to oneself.
#[inline(never)]
pub(super) fn callcode<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 7],
) -> Prepared {
    let operands = Operands::with_value(&operands);
    let (gas, request) = price(scope, frame, gas, &operands)?;
    let request = CallRequest { kind: CallKind::CallCode, account: frame.account, ..request };
    forward(gas, &operands, request)
}

/// `DELEGATECALL` (EIP-7): another's code in one's own place, caller and value included.
#[inline(never)]
pub(super) fn delegatecall<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 6],
) -> Prepared {
    let operands = Operands::without_value(&operands);
    let (gas, request) = price(scope, frame, gas, &operands)?;
    let request = CallRequest {
        kind: CallKind::DelegateCall,
        account: frame.account,
        caller: frame.caller,
        value: frame.value,
        transfers: false,
        is_static: frame.is_static && !synod_types::mutant!("evm-static-lost-in-delegatecall"),
        ..request
    };
    forward(gas, &operands, request)
}

/// `STATICCALL` (EIP-214): the callee and all below it may not write (EVM-7).
#[inline(never)]
pub(super) fn staticcall<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 6],
) -> Prepared {
    let operands = Operands::without_value(&operands);
    let (gas, request) = price(scope, frame, gas, &operands)?;
    let request = CallRequest { kind: CallKind::StaticCall, is_static: true, ..request };
    forward(gas, &operands, request)
}

impl<'a> Operands<'a> {
    fn with_value(operands: &'a [U256; 7]) -> Self {
        let [gas, to, value, ranges @ ..] = operands;
        Self { gas, address: address(to), value: *value, ranges: ranges.each_ref() }
    }

    fn without_value(operands: &'a [U256; 6]) -> Self {
        let [gas, to, ranges @ ..] = operands;
        Self { gas, address: address(to), value: U256::ZERO, ranges: ranges.each_ref() }
    }
}

/// Charges for memory, a cold account and value (the warm price is charged already), and describes the
/// call as a `CALL`; the other three differ in a few points. Its gas is still to come.
fn price<T>(scope: &mut Scope<'_, '_, T>, frame: &Frame, gas: u64, operands: &Operands<'_>) -> Prepared {
    let [input_offset, input_len, output_offset, output_len] = operands.ranges;
    let (gas, input_offset, input_len) = range(scope.memory, gas, input_offset, input_len)?;
    let (gas, output_offset, output_len) = range(scope.memory, gas, output_offset, output_len)?;
    let (code_account, was_cold) = scope.journal.access(&operands.address);
    let gas = if was_cold { gas::charge(gas, gas::COLD_ACCOUNT)? } else { gas };
    let gas = if operands.value.is_zero() { gas } else { gas::charge(gas, gas::CALL_VALUE)? };
    let start = scope.memory.base() + input_offset;
    let request = CallRequest {
        kind: CallKind::Call,
        code_address: operands.address,
        code_account,
        payer: frame.account,
        account: code_account,
        caller: frame.address,
        value: operands.value,
        transfers: true,
        is_static: frame.is_static,
        gas: 0,
        input: Input { source: Source::CallerMemory, start, len: input_len },
        output: (output_offset, output_len),
    };
    Ok((gas, request))
}

/// Takes the forwarded gas from the caller, and adds the stipend of a value call for free.
fn forward(gas: u64, operands: &Operands<'_>, mut request: CallRequest) -> Prepared {
    let asked = operands.gas.saturating_to::<u64>();
    let forwarded = asked.min(gas::forwardable(gas));
    let stipend = if operands.value.is_zero() { 0 } else { gas::CALL_STIPEND };
    request.gas = forwarded.saturating_add(stipend);
    Ok((gas - forwarded, request))
}
