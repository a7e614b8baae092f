//! Making and ending contracts: `CREATE`, `CREATE2`, `SELFDESTRUCT`.

use super::data::range;
use super::environment::address;
use crate::fork::FORK;
use crate::frame::{Frame, Input, Scope, Source};
use crate::gas;
use crate::halt::Halt;
use crate::tracer::{CallKind, Tracer};
use alloy_primitives::{Address, B256, U256, keccak256};

/// A creation that is paid for and waits to be carried out.
pub(crate) struct CreateRequest {
    pub(crate) kind: CallKind,
    pub(crate) address: Address,
    pub(crate) value: U256,
    /// Gas for the init code, already taken from the creator.
    pub(crate) gas: u64,
    /// The init code, in the creator's memory.
    pub(crate) init_code: Input,
}

/// What a creation gives: the creator's gas left, and the creation.
type Prepared = Result<(u64, CreateRequest), Halt>;

/// `CREATE`: (value, offset, length). The address comes from creator and nonce.
#[inline(never)]
pub(super) fn create<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 3],
) -> Prepared {
    let [value, offset, len] = operands;
    let (gas, init_code) = init_code(scope, gas, &offset, &len)?;
    let address = create_address(&frame.address, scope.journal.account(frame.account).nonce);
    Ok(forward(gas, CreateRequest { kind: CallKind::Create, address, value, gas: 0, init_code }))
}

/// `CREATE2` (EIP-1014): (value, offset, length, salt). The address comes from creator, salt and init
/// code, which is hashed at a price.
#[inline(never)]
pub(super) fn create2<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    operands: [U256; 4],
) -> Prepared {
    let [value, offset, len, salt] = operands;
    let (gas, init_code) = init_code(scope, gas, &offset, &len)?;
    let gas = gas::charge(gas, gas::per_word(init_code.len, gas::KECCAK_WORD))?;
    let hash = keccak256(scope.memory.absolute(init_code.start, init_code.len));
    let address = frame.address.create2(B256::from(salt), hash);
    Ok(forward(gas, CreateRequest { kind: CallKind::Create2, address, value, gas: 0, init_code }))
}

/// The address of a contract that `creator` makes at `nonce`: from the hash of the RLP list of both
/// (Yellow Paper, section 7).
pub fn create_address(creator: &Address, nonce: u64) -> Address {
    let bytes = nonce.to_be_bytes();
    let nonce = &bytes[nonce.leading_zeros() as usize / 8..];
    let mut list = Vec::with_capacity(31);
    list.push(0x80 + 20);
    list.extend_from_slice(creator.as_slice());
    match nonce {
        [small @ 1..=0x7f] => list.push(*small),
        _ => {
            list.push(0x80 + nonce.len() as u8);
            list.extend_from_slice(nonce);
        }
    }
    list.insert(0, 0xc0 + list.len() as u8);
    Address::from_word(keccak256(list))
}

/// Pays for the init code's memory and words, and checks its length (EIP-3860).
fn init_code<T>(
    scope: &mut Scope<'_, '_, T>,
    gas: u64,
    offset: &U256,
    len: &U256,
) -> Result<(u64, Input), Halt> {
    let (gas, offset, len) = range(scope.memory, gas, offset, len)?;
    if len > FORK.init_code_limit_bytes && !synod_types::mutant!("evm-init-code-limit-off") {
        return Err(Halt::InitCodeTooLong);
    }
    let gas = gas::charge(gas, gas::per_word(len, gas::INIT_CODE_WORD))?;
    Ok((gas, Input { source: Source::CallerMemory, start: scope.memory.base() + offset, len }))
}

/// Takes all but a 64th from the creator (EIP-150).
fn forward(gas: u64, mut request: CreateRequest) -> (u64, CreateRequest) {
    request.gas = gas::forwardable(gas);
    (gas - request.gas, request)
}

/// `SELFDESTRUCT` (EVM-10): prices a cold beneficiary and one that comes into being; the journal does
/// the rest by EIP-6780.
#[inline(never)]
pub(super) fn self_destruct<T: Tracer>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    beneficiary: &U256,
) -> Result<u64, Halt> {
    let beneficiary = address(beneficiary);
    let (to, was_cold) = scope.journal.access(&beneficiary);
    let mut gas = if was_cold { gas::charge(gas, gas::COLD_ACCOUNT_WHOLE)? } else { gas };
    let balance = scope.journal.account(frame.account).balance;
    if !balance.is_zero() && scope.journal.account(to).is_empty() {
        gas = gas::charge(gas, gas::NEW_ACCOUNT)?;
    }
    scope.tracer.self_destruct(&frame.address, &beneficiary, &balance);
    scope.journal.self_destruct(frame.account, to);
    Ok(gas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    /// Addresses that mainnet knows: the first contracts of one sender, as every client derives them.
    #[test]
    fn created_addresses_come_from_sender_and_nonce() {
        let sender = address!("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0");
        let expected = [
            address!("cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
            address!("343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
            address!("f778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
            address!("fffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
        ];
        for (nonce, address) in expected.into_iter().enumerate() {
            assert_eq!(create_address(&sender, nonce as u64), address);
        }
    }
}
