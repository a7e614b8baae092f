//! Moving bytes: push data, call data, code, returned data, memory copies, hashing and logs.
//!
//! Copies from call data and code fill with zeros past the end; a copy from returned data past its end
//! halts the frame (EVM-8).

use crate::frame::{Frame, Scope, Source};
use crate::gas;
use crate::halt::Halt;
use crate::memory::{Memory, saturated, small};
use crate::tracer::Tracer;
use alloy_primitives::{Log, LogData, U256, keccak256 as keccak};

/// The `LENGTH` bytes of push data at `pc`, as a word. The code's padding makes every read whole.
#[inline(always)]
pub(super) fn push_data<const LENGTH: usize>(code: &[u8], pc: usize) -> U256 {
    let Some(window) = code.get(pc..).and_then(|rest| rest.first_chunk::<32>()) else { return U256::ZERO };
    let mut limbs = [0u64; 4];
    let mut index = 0;
    while index * 8 < LENGTH {
        let missing = (index + 1) * 8;
        limbs[index] = match LENGTH.checked_sub(missing) {
            Some(start) => limb(window, start),
            // The highest limb is a partial one, and stands at the window's beginning.
            None => limb(window, 0) >> (8 * (missing - LENGTH)),
        };
        index += 1;
    }
    U256::from_limbs(limbs)
}

#[inline(always)]
fn limb(window: &[u8; 32], start: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&window[start..start + 8]);
    u64::from_be_bytes(bytes)
}

/// Pays for a range of memory named by two stack items: (gas left, offset, length). A range of no bytes
/// is free wherever it stands (EVM-1).
#[inline(always)]
pub(super) fn range(
    memory: &mut Memory,
    gas: u64,
    offset: &U256,
    len: &U256,
) -> Result<(u64, usize, usize), Halt> {
    let len = small(len).ok_or(Halt::OutOfGas)?;
    if len == 0 {
        return Ok((gas, 0, 0));
    }
    let offset = saturated(offset);
    Ok((memory.expand(gas, offset, len)?, offset, len))
}

/// Pays for copying into memory: (gas left, offset, length).
#[inline(always)]
fn copy_target(
    memory: &mut Memory,
    gas: u64,
    offset: &U256,
    len: &U256,
) -> Result<(u64, usize, usize), Halt> {
    let (gas, offset, len) = range(memory, gas, offset, len)?;
    Ok((gas::charge(gas, gas::per_word(len, gas::COPY_WORD))?, offset, len))
}

/// `CODECOPY` and the like: operands are (memory offset, source offset, length).
#[inline(never)]
pub(super) fn copy(memory: &mut Memory, gas: u64, operands: [&U256; 3], source: &[u8]) -> Result<u64, Halt> {
    let [offset, from, len] = operands;
    let (gas, offset, len) = copy_target(memory, gas, offset, len)?;
    memory.copy_padded(offset, len, source, saturated(from));
    Ok(gas)
}

/// `KECCAK256`: (gas left, hash).
#[inline(never)]
pub(super) fn keccak256(
    memory: &mut Memory,
    gas: u64,
    offset: &U256,
    len: &U256,
) -> Result<(u64, U256), Halt> {
    let (gas, offset, len) = range(memory, gas, offset, len)?;
    let gas = gas::charge(gas, gas::per_word(len, gas::KECCAK_WORD))?;
    Ok((gas, keccak(memory.slice(offset, len)).into()))
}

/// `CALLDATALOAD`: the word at an offset, zero-filled past the end.
#[inline(always)]
pub(super) fn call_data_word<T>(scope: &Scope<'_, '_, T>, frame: &Frame, at: &U256) -> U256 {
    let Some(rest) = small(at).and_then(|at| scope.input(frame).get(at..)) else { return U256::ZERO };
    match rest.first_chunk::<32>() {
        Some(whole) => U256::from_be_bytes(*whole),
        None => {
            let mut word = [0; 32];
            word[..rest.len()].copy_from_slice(rest);
            U256::from_be_bytes(word)
        }
    }
}

/// `CALLDATACOPY`: operands are (memory offset, data offset, length).
#[inline(never)]
pub(super) fn call_data_copy<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [&U256; 3],
) -> Result<u64, Halt> {
    let input = frame.input;
    if input.source == Source::Transaction {
        let data = &scope.environment.data[input.start..input.start + input.len];
        return copy(scope.memory, gas, operands, data);
    }
    let [offset, from, len] = operands;
    let (gas, offset, len) = copy_target(scope.memory, gas, offset, len)?;
    scope.memory.copy_from_callers(offset, len, (input.start, input.len), saturated(from));
    Ok(gas)
}

/// `RETURNDATACOPY`: reading past the end halts the frame (EIP-211, EVM-8).
#[inline(never)]
pub(super) fn return_data_copy<T>(
    scope: &mut Scope<'_, '_, T>,
    gas: u64,
    operands: [&U256; 3],
) -> Result<u64, Halt> {
    let [offset, from, len] = operands;
    let end = small(from).zip(small(len)).and_then(|(from, len)| from.checked_add(len));
    if end.is_none_or(|end| end > scope.return_data.len()) {
        return Err(Halt::ReturnDataOutOfBounds);
    }
    copy(scope.memory, gas, [offset, from, len], scope.return_data)
}

/// `MCOPY` (EIP-5656): operands are (to, from, length); memory grows for the farther end (EVM-11).
#[inline(never)]
pub(super) fn mcopy(memory: &mut Memory, gas: u64, operands: [&U256; 3]) -> Result<u64, Halt> {
    let [to, from, len] = operands;
    let (gas, _, _) = range(memory, gas, to.max(from), len)?;
    let len = small(len).ok_or(Halt::OutOfGas)?;
    let gas = gas::charge(gas, gas::per_word(len, gas::COPY_WORD))?;
    memory.copy_within(saturated(to), saturated(from), len);
    Ok(gas)
}

/// `LOG0` to `LOG4`.
#[inline(never)]
pub(super) fn log<T: Tracer>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    offset: &U256,
    len: &U256,
    topics: &[U256],
) -> Result<u64, Halt> {
    let (gas, offset, len) = range(scope.memory, gas, offset, len)?;
    let gas = gas::charge(gas, (len as u64).saturating_mul(gas::LOG_BYTE))?;
    let topics = topics.iter().map(|topic| (*topic).into()).collect();
    let data = scope.memory.slice(offset, len).to_vec().into();
    let log = Log { address: frame.address, data: LogData::new_unchecked(topics, data) };
    scope.tracer.log(&log);
    scope.journal.log(log);
    Ok(gas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    /// EVM-12: push data is the big-endian bytes after the opcode, and zeros past the end of the code.
    #[test]
    fn evm_12_push_data_of_every_length() {
        let bytes: Vec<u8> = (1..=40).collect();
        let code = Code::new(&bytes);
        fn expected(bytes: &[u8], at: usize, len: usize) -> U256 {
            let read = (at..at + len).map(|i| bytes.get(i).copied().unwrap_or(0)).collect::<Vec<_>>();
            U256::from_be_slice(&read)
        }
        macro_rules! check {
            ($($len:literal)*) => {$(
                for at in 0..=bytes.len() {
                    assert_eq!(push_data::<$len>(code.padded(), at), expected(&bytes, at, $len), "{at}");
                }
            )*};
        }
        check!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    }
}
