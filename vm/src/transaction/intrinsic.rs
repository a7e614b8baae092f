//! The gas that a transaction costs before it runs (EVM-16).

use super::Transaction;
use crate::gas;

/// The intrinsic gas: the transaction itself, its data (EIP-2028), a creation and its init code
/// (EIP-3860), its access list (EIP-2930). Saturates, which no gas limit can pay.
pub fn intrinsic_gas(transaction: &Transaction) -> u64 {
    let data = &transaction.data;
    let zeros = data.iter().filter(|&&byte| byte == 0).count() as u64;
    let others = data.len() as u64 - zeros;
    let mut sum = gas::TRANSACTION
        .saturating_add(zeros.saturating_mul(gas::DATA_ZERO_BYTE))
        .saturating_add(others.saturating_mul(gas::DATA_BYTE));
    if transaction.to.is_none() {
        let words = gas::per_word(data.len(), gas::INIT_CODE_WORD);
        sum = sum.saturating_add(gas::TRANSACTION_CREATE).saturating_add(words);
    }
    for (_, slots) in &transaction.access_list {
        let slots = (slots.len() as u64).saturating_mul(gas::ACCESS_LIST_SLOT);
        sum = sum.saturating_add(gas::ACCESS_LIST_ADDRESS).saturating_add(slots);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};

    /// EVM-16: each part on its own, in numbers taken from the EIPs.
    #[test]
    fn evm_16_intrinsic_gas_adds_up() {
        let call = Transaction { to: Some(Address::ZERO), ..Default::default() };
        assert_eq!(intrinsic_gas(&call), 21_000);
        let data = Transaction { data: vec![0, 0, 1].into(), ..call.clone() };
        assert_eq!(intrinsic_gas(&data), 21_000 + 4 + 4 + 16);
        let create = Transaction { to: None, data: vec![0; 33].into(), ..call.clone() };
        assert_eq!(intrinsic_gas(&create), 53_000 + 33 * 4 + 2 * 2);
        let list = vec![(Address::ZERO, vec![U256::ZERO, U256::ZERO]), (Address::ZERO, vec![])];
        let listed = Transaction { access_list: list, ..call };
        assert_eq!(intrinsic_gas(&listed), 21_000 + 2 * 2_400 + 2 * 1_900);
    }
}
