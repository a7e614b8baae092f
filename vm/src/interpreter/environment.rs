//! What a contract can ask about other accounts, blocks and blobs.

use super::data;
use crate::frame::Scope;
use crate::gas;
use crate::halt::Halt;
use crate::journal::AccountId;
use crate::memory::small;
use alloy_primitives::{Address, B256, U256};

/// The account that a stack item names, warmed; adds the cold price to the warm one charged already.
fn access<T>(scope: &mut Scope<'_, '_, T>, gas: u64, item: &U256) -> Result<(u64, AccountId), Halt> {
    let (account, was_cold) = scope.journal.access(&address(item));
    let gas = if was_cold { gas::charge(gas, gas::COLD_ACCOUNT)? } else { gas };
    Ok((gas, account))
}

/// The address in the low 20 bytes of a stack item.
#[inline(always)]
pub(super) fn address(item: &U256) -> Address {
    Address::from_word(B256::from(*item))
}

/// `BALANCE`: replaces an address by its balance.
#[inline(never)]
pub(super) fn balance<T>(scope: &mut Scope<'_, '_, T>, gas: u64, item: &mut U256) -> Result<u64, Halt> {
    let (gas, account) = access(scope, gas, item)?;
    *item = scope.journal.account(account).balance;
    Ok(gas)
}

/// `EXTCODESIZE`: replaces an address by the length of its code.
#[inline(never)]
pub(super) fn extcodesize<T>(scope: &mut Scope<'_, '_, T>, gas: u64, item: &mut U256) -> Result<u64, Halt> {
    let (gas, account) = access(scope, gas, item)?;
    *item = U256::from(scope.journal.code(account).bytes().len());
    Ok(gas)
}

/// `EXTCODEHASH`: replaces an address by its code's hash, or by zero where the account is empty (EIP-1052).
#[inline(never)]
pub(super) fn extcodehash<T>(scope: &mut Scope<'_, '_, T>, gas: u64, item: &mut U256) -> Result<u64, Halt> {
    let (gas, account) = access(scope, gas, item)?;
    let account = scope.journal.account(account);
    *item = if account.is_empty() { U256::ZERO } else { account.code_hash.into() };
    Ok(gas)
}

/// `EXTCODECOPY`: copies code of another account; operands are (memory offset, code offset, length).
#[inline(never)]
pub(super) fn extcodecopy<T>(
    scope: &mut Scope<'_, '_, T>,
    gas: u64,
    item: &U256,
    operands: [&U256; 3],
) -> Result<u64, Halt> {
    let (gas, account) = access(scope, gas, item)?;
    let code = scope.journal.code(account);
    data::copy(scope.memory, gas, operands, code.bytes())
}

/// `BLOCKHASH`: of the last 256 blocks, and zero for others (EVM-15).
#[inline(never)]
pub(super) fn blockhash<T>(scope: &Scope<'_, '_, T>, number: &U256) -> U256 {
    let present = scope.environment.block.number;
    let reach = if synod_types::mutant!("evm-blockhash-257") { 257 } else { 256 };
    match small(number).map(|number| number as u64) {
        Some(number) if number < present && present - number <= reach => {
            scope.journal.block_hash(number).into()
        }
        _ => U256::ZERO,
    }
}

/// `BLOBHASH`: the versioned hash of one of the transaction's blobs, or zero (EIP-4844).
pub(super) fn blobhash<T>(scope: &Scope<'_, '_, T>, at: &U256) -> U256 {
    let hash = small(at).and_then(|at| scope.environment.blob_hashes.get(at));
    hash.map_or(U256::ZERO, |hash| (*hash).into())
}
