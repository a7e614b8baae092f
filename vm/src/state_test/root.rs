//! The two hashes that a state test names: Ethereum's state root, and the hash of the logs.

use crate::world::World;
use alloy_primitives::{B256, Log, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use std::collections::BTreeMap;

/// The root of the Merkle Patricia trie over a whole state.
pub fn state_root(world: &World) -> B256 {
    let none = BTreeMap::new();
    state_root_unhashed(world.accounts.iter().map(|(address, account)| {
        let storage = world.storage.get(address).unwrap_or(&none);
        let storage_root = storage_root_unhashed(storage.iter().map(|(&slot, &value)| (slot.into(), value)));
        let (nonce, balance, code_hash) = (account.nonce, account.balance, account.code_hash);
        (*address, TrieAccount { nonce, balance, storage_root, code_hash })
    }))
}

/// Keccak-256 of the RLP list of logs, each a list of address, topics and data.
pub fn logs_hash(logs: &[Log]) -> B256 {
    let mut list = Vec::new();
    for log in logs {
        let mut body = Vec::new();
        log.address.encode(&mut body);
        log.topics().to_vec().encode(&mut body);
        log.data.data.encode(&mut body);
        alloy_rlp::Header { list: true, payload_length: body.len() }.encode(&mut list);
        list.extend_from_slice(&body);
    }
    let mut all = Vec::new();
    alloy_rlp::Header { list: true, payload_length: list.len() }.encode(&mut all);
    all.extend_from_slice(&list);
    keccak256(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    /// The hashes that every suite shows for nothing at all.
    #[test]
    fn the_empty_hashes() {
        let no_logs = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
        assert_eq!(logs_hash(&[]), no_logs);
        let no_state = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
        assert_eq!(state_root(&World::default()), no_state);
    }
}
