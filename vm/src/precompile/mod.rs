//! The precompiled contracts, addresses 1 to 10 in Cancun (EVM-14).
//!
//! Each is a function of input and gas. It charges before it computes; whatever it refuses takes all the
//! gas that the call forwarded. The curves and hashes come from well-kept crates in pure Rust.

mod blake2;
mod bn254;
mod hashes;
mod modexp;
mod point_evaluation;
mod recover;

use crate::halt::Halt;
use alloy_primitives::Address;

/// A precompiled contract: (input, gas, output to fill) to the gas left. `output` comes empty.
pub type Precompile = fn(&[u8], u64, &mut Vec<u8>) -> Result<u64, Halt>;

/// Cancun's set; the one at index `i` has address `i + 1`.
pub const CANCUN: [Precompile; 10] = [
    recover::ecrecover,
    hashes::sha256,
    hashes::ripemd160,
    hashes::identity,
    modexp::modexp,
    bn254::add,
    bn254::multiply,
    bn254::pairing,
    blake2::compress,
    point_evaluation::verify,
];

/// The precompiled contract at an address.
#[inline]
pub fn at(set: &[Precompile], address: &Address) -> Option<Precompile> {
    let (zeros, last) = address.as_slice().split_at(19);
    if zeros != [0; 19] {
        return None;
    }
    set.get((last[0] as usize).checked_sub(1)?).copied()
}

/// The `N` bytes of input at `offset`, as if it went on with zeros for ever.
fn padded<const N: usize>(input: &[u8], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let rest = input.get(offset..).unwrap_or_default();
    let copied = rest.len().min(N);
    bytes[..copied].copy_from_slice(&rest[..copied]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EVM-14: ten, and their neighbours are plain accounts.
    #[test]
    fn evm_14_the_set_is_ten() {
        for n in 0..=255 {
            let found = at(&CANCUN, &Address::with_last_byte(n)).is_some();
            assert_eq!(found, (1..=10).contains(&n), "{n}");
        }
        let mut far = Address::with_last_byte(1);
        far.0[0] = 1;
        assert!(at(&CANCUN, &far).is_none());
    }
}
