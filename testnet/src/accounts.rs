//! The accounts that every test network funds.
//!
//! Their keys are public knowledge: `dev0` to `dev9` are ed25519 keys whose seeds are hashes of their
//! number, and beside them stand the ten addresses that Hardhat and anvil fund. Only a genesis that says
//! `testnet: true` may fund them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, address};
use synod_types::SecretKey;
use synod_types::address::address_of;
use synod_types::amount::SYN;
use synod_types::hash::sha256;

/// How many `devN` accounts there are.
pub const DEV_ACCOUNTS: u8 = 10;
/// What each funded account starts with, in SYN.
pub const FUNDS_SYN: u128 = 1_000_000;

/// The addresses of Hardhat's and anvil's well-known secp256k1 keys.
pub const WELL_KNOWN: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// The key of `dev<index>`.
pub fn dev_key(index: u8) -> SecretKey {
    SecretKey::from_seed(&sha256(&[b"synod/testnet/dev/v1", &[index]]).0)
}

/// The name and address of each `devN` account.
pub fn dev_accounts() -> Vec<(String, Address)> {
    (0..DEV_ACCOUNTS).map(|index| (format!("dev{index}"), address_of(&dev_key(index).public()))).collect()
}

/// Whether everybody has the key of `address`, so that money there is anybody's outside test networks.
pub fn is_public(address: &Address) -> bool {
    WELL_KNOWN.contains(address) || dev_accounts().iter().any(|(_, dev)| dev == address)
}

/// Every funded account with its first balance, in wei.
pub fn funded() -> BTreeMap<Address, U256> {
    let funds = U256::from(FUNDS_SYN) * U256::from(SYN);
    let dev = dev_accounts().into_iter().map(|(_, address)| address);
    dev.chain(WELL_KNOWN).map(|address| (address, funds)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_accounts_are_funded_and_the_first_one_never_moves() {
        assert_eq!(funded().len(), 20);
        let (name, address) = dev_accounts().swap_remove(0);
        assert_eq!(name, "dev0");
        assert_eq!(
            synod_types::address::format_address(&address),
            "0xCae9A72D31695F0D84FD1080CfCc1E6FC71d9883"
        );
    }
}
