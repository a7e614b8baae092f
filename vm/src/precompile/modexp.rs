//! 5: modular exponentiation of big numbers (EIP-198), at EIP-2565's price.

use super::padded;
use crate::gas::charge;
use crate::halt::Halt;
use alloy_primitives::U256;

const HEADER_BYTES: usize = 96;
const LEAST_GAS: u64 = 200;

/// Input: the lengths of base, exponent and modulus as words, then the three. The result has the
/// modulus's length; modulo zero it is zero.
pub(super) fn modexp(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let lengths = [0, 32, 64].map(|at| U256::from_be_bytes(padded::<32>(input, at)));
    let [base_len, exponent_len, modulus_len] = lengths.map(|length| length.saturating_to::<usize>());
    let rest = input.get(HEADER_BYTES..).unwrap_or_default();
    let left = charge(gas, price(rest, base_len, exponent_len, modulus_len))?;
    // Of no base and no modulus the price does not depend on the exponent, so it must not be looked at.
    if modulus_len == 0 {
        return Ok(left);
    }
    let base = part(rest, 0, base_len);
    let exponent = part(rest, base_len, exponent_len);
    let modulus = part(rest, base_len.saturating_add(exponent_len), modulus_len);
    let result = aurora_engine_modexp::modexp(&base, &exponent, &modulus);
    output.resize(modulus_len, 0);
    let start = modulus_len.saturating_sub(result.len());
    output[start..].copy_from_slice(&result[result.len() - (modulus_len - start)..]);
    Ok(left)
}

/// `len` bytes of the input, with zeros past its end. The price bounds `len`.
fn part(input: &[u8], start: usize, len: usize) -> Vec<u8> {
    let mut bytes = input.get(start..).unwrap_or_default().to_vec();
    bytes.resize(len, 0);
    bytes
}

/// EIP-2565: words² × iterations / 3, and at least 200.
fn price(rest: &[u8], base_len: usize, exponent_len: usize, modulus_len: usize) -> u64 {
    let words = U256::from(base_len.max(modulus_len).div_ceil(8));
    let iterations = U256::from(iterations(rest, base_len, exponent_len));
    let gas = words * words * iterations / U256::from(3);
    gas.saturating_to::<u64>().max(LEAST_GAS)
}

/// How long the exponent is, in bits below its highest: exactly for its first 32 bytes, by length for others.
fn iterations(rest: &[u8], base_len: usize, exponent_len: usize) -> u128 {
    let head_len = exponent_len.min(32);
    let mut head = padded::<32>(rest, base_len);
    head[head_len..].fill(0);
    let head = U256::from_be_bytes(head) >> (8 * (32 - head_len));
    let tail_bits = 8 * (exponent_len - head_len) as u128;
    (tail_bits + (head.bit_len() as u128).saturating_sub(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(lengths: [u64; 3], rest: &[u8], gas: u64) -> (Result<u64, Halt>, Vec<u8>) {
        let mut input = Vec::new();
        lengths.iter().for_each(|len| input.extend_from_slice(&U256::from(*len).to_be_bytes::<32>()));
        input.extend_from_slice(rest);
        let mut output = Vec::new();
        (modexp(&input, gas, &mut output), output)
    }

    /// EIP-198 and EIP-2565 by hand: 3^5 mod 100 = 43, for the least price.
    #[test]
    fn small_numbers() {
        assert_eq!(call([1, 1, 1], &[3, 5, 100], 1_000), (Ok(800), vec![43]));
        assert_eq!(call([1, 1, 2], &[3, 5, 0, 100], 1_000), (Ok(800), vec![0, 43]));
        assert_eq!(call([1, 1, 1], &[3, 5, 0], 1_000), (Ok(800), vec![0]));
        assert_eq!(call([1, 1, 1], &[3, 5], 1_000), (Ok(800), vec![0]));
        assert_eq!(call([0, 0, 1], &[7], 1_000), (Ok(800), vec![1]));
        assert_eq!(call([0, 0, 0], &[], 1_000), (Ok(800), vec![]));
    }

    /// EVM-14: lengths that nobody can pay for cost all gas, and no memory.
    #[test]
    fn absurd_lengths_are_out_of_gas() {
        for lengths in [[u64::MAX, 1, 1], [1, u64::MAX, 1], [1, 1, u64::MAX], [u64::MAX; 3]] {
            assert_eq!(call(lengths, &[], 100_000_000).0, Err(Halt::OutOfGas));
        }
        assert_eq!(call([0, u64::MAX, 0], &[], 1_000), (Ok(800), vec![]));
    }
}
