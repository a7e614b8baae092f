//! A second, naive ledger (oracle A2): maps, 128-bit money, everything hashed anew for each block. It shares
//! the vocabulary of `synod-types` with the real one and nothing else; its rules are written from the pages of
//! `execution`, `execution::contract`, `execution::fees`, `execution::rewards` and `trie`. Whatever runs code
//! runs in revm ([`contracts`]).
#![allow(dead_code, reason = "each test uses a part of it")]

mod contracts;

use std::collections::BTreeMap;

use alloy_primitives::keccak256;
use sha2::{Digest, Sha256, block_api::compress256};
use synod_types::address::address_of;
use synod_types::{Address, B256, Block, Genesis, NativeTransaction, Transaction, U256};

/// The naive state after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Oracle {
    genesis: Genesis,
    pub(crate) height: u64,
    pub(crate) accounts: BTreeMap<Address, Entry>,
    /// The hashes of all blocks so far.
    hashes: BTreeMap<u64, B256>,
    immature: BTreeMap<u64, (Address, u128)>,
    period: u64,
    period_gas: u64,
    base_fee: u128,
    burnt: u128,
    issued: u128,
}

/// An account with everything that is its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) nonce: u64,
    pub(crate) balance: u128,
    pub(crate) code: Vec<u8>,
    pub(crate) storage: BTreeMap<U256, U256>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) succeeded: bool,
    pub(crate) gas: u64,
    pub(crate) output: Vec<u8>,
    /// Contract, topics, data.
    pub(crate) logs: Vec<(Address, Vec<B256>, Vec<u8>)>,
}

/// What a block must commit to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) base_fee: u128,
    pub(crate) gas_used: u64,
    pub(crate) state_root: B256,
    pub(crate) done: Vec<Done>,
}

impl Oracle {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let funded = |balance: &U256| Entry { balance: balance.to(), ..Entry::default() };
        let accounts = genesis.alloc.iter().map(|(address, balance)| (*address, funded(balance))).collect();
        Self {
            genesis: genesis.clone(),
            height: 0,
            accounts,
            hashes: BTreeMap::new(),
            immature: BTreeMap::new(),
            period: 0,
            period_gas: 0,
            base_fee: u128::from(genesis.fees.initial_base_fee),
            burnt: 0,
            issued: 0,
        }
    }

    /// Executes a block's transactions; `None` when one of them cannot be charged.
    pub(crate) fn execute(&mut self, block: &Block) -> Option<Verdict> {
        self.hashes.insert(self.height, block.header.parent.0);
        self.height += 1;
        let born = self.height.checked_sub(self.genesis.pow.settled_depth);
        if let Some((recipient, amount)) = born.and_then(|born| self.immature.remove(&born)) {
            self.accounts.entry(recipient).or_default().balance += amount;
        }
        self.move_fee(block.time().0);
        let tips_to = block.commitment.fee_recipient;
        let mut done = Vec::new();
        for transaction in &block.transactions {
            let Transaction::Native(signed) = transaction else { return None };
            done.push(self.charge(&signed.transaction, block)?);
        }
        let gas_used = done.iter().map(|one| one.gas).sum();
        self.period_gas += gas_used;
        let reward =
            self.genesis.pow.reward >> ((self.height - 1) / self.genesis.pow.halving_interval).min(127);
        if reward > 0 {
            self.immature.insert(self.height, (tips_to, reward));
            self.issued += reward;
        }
        self.accounts.retain(|_, account| (account.nonce, account.balance, account.code.len()) != (0, 0, 0));
        self.balance_the_books();
        Some(Verdict { base_fee: self.base_fee, gas_used, state_root: self.root(), done })
    }

    fn charge(&mut self, transaction: &NativeTransaction, block: &Block) -> Option<Done> {
        let sender = address_of(&transaction.sender);
        let tips_to = block.commitment.fee_recipient;
        let Entry { nonce, balance, .. } = self.accounts.get(&sender).cloned().unwrap_or_default();
        let value = u128::try_from(transaction.value).ok()?;
        let data: u64 = transaction.data.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
        let words = transaction.data.len().div_ceil(32) as u64;
        let creation = if transaction.to.is_none() { 32_000 + 2 * words } else { 0 };
        let gas = 21_000
            + creation
            + data
            + transaction.access_list.iter().map(|item| 2_400 + 1_900 * item.slots.len() as u64).sum::<u64>();
        let worst =
            u128::from(transaction.gas_limit.0).checked_mul(transaction.max_fee)?.checked_add(value)?;
        let good = nonce == transaction.nonce
            && transaction.max_fee >= self.base_fee
            && transaction.gas_limit.0 >= gas
            && transaction.valid_until.is_none_or(|last| last.0 >= self.height)
            && balance >= worst;
        if !good {
            return None;
        }
        let precompiled = |to: &Address| to[..19] == [0; 19] && (1..=10).contains(&to[19]);
        let has_code = |to: &Address| self.accounts.get(to).is_some_and(|entry| !entry.code.is_empty());
        let to = match transaction.to {
            Some(to) if !precompiled(&to) && !has_code(&to) => to,
            _ => return Some(self.run_code(transaction, block)),
        };
        let tip = std::cmp::min(transaction.max_tip, transaction.max_fee - self.base_fee);
        let paid = u128::from(gas) * (self.base_fee + tip);
        let payer = self.accounts.entry(sender).or_default();
        (payer.nonce, payer.balance) = (nonce + 1, balance - paid - value);
        self.accounts.entry(to).or_default().balance += value;
        self.accounts.entry(tips_to).or_default().balance += u128::from(gas) * tip;
        self.burnt += u128::from(gas) * self.base_fee;
        Some(Done { succeeded: true, gas, output: Vec::new(), logs: Vec::new() })
    }

    fn move_fee(&mut self, time: u64) {
        let fees = &self.genesis.fees;
        let period = time.saturating_sub(self.genesis.time.0) / fees.period_ms;
        let target = u128::from(fees.target_gas_per_second) * u128::from(fees.period_ms) / 1000;
        while self.period < period {
            let gas = u128::from(self.period_gas);
            let fee = self.base_fee;
            if gas > target {
                self.base_fee += std::cmp::max(1, fee * (gas - target).min(target) / target / 8);
            } else if gas < target {
                let less = fee - std::cmp::max(1, fee * (target - gas) / target / 8);
                self.base_fee = less.max(u128::from(fees.base_fee_floor));
            }
            self.period += 1;
            self.period_gas = 0;
        }
    }

    /// Conservation (A4), recounted in full.
    fn balance_the_books(&self) {
        let balances: u128 = self.accounts.values().map(|account| account.balance).sum();
        let immature: u128 = self.immature.values().map(|reward| reward.1).sum();
        assert_eq!(balances + immature + self.burnt, self.genesis.supply().to::<u128>() + self.issued);
    }

    fn root(&self) -> B256 {
        let mut leaves: BTreeMap<B256, B256> = BTreeMap::new();
        for (address, entry) in &self.accounts {
            let code = if entry.code.is_empty() { B256::ZERO } else { keccak256(&entry.code) };
            let (nonce, balance) = (entry.nonce.to_be_bytes(), entry.balance.to_be_bytes());
            let value = [&nonce[..], &[0; 16], &balance, code.as_slice()].concat();
            leaves.insert(hash(&[b"synod/state/account/v1", address.as_slice()]), hash(&[&value]));
            for (slot, value) in &entry.storage {
                let key = [&b"synod/state/slot/v1"[..], address.as_slice(), &slot.to_be_bytes::<32>()];
                // A record's encoding again: its variant, here the second, and its value.
                let value = [&[0, 0, 0, 1][..], &value.to_be_bytes::<32>()].concat();
                leaves.insert(hash(&key), hash(&[&value]));
            }
        }
        let mut immature = 0;
        for (height, (recipient, amount)) in &self.immature {
            // A record's encoding: its variant, here the first, and its fields.
            let value = [&[0; 4][..], recipient.as_slice(), &[0; 16], &amount.to_be_bytes()].concat();
            leaves.insert(hash(&[b"synod/state/reward/v1", &height.to_be_bytes()]), hash(&[&value]));
            immature += amount;
        }
        let mut system = Vec::new();
        system.extend(self.period.to_be_bytes());
        system.extend(self.period_gas.to_be_bytes());
        system.extend(self.base_fee.to_be_bytes());
        for sum in [immature, self.burnt, self.issued] {
            system.extend([0; 16]);
            system.extend(sum.to_be_bytes());
        }
        leaves.insert(hash(&[b"synod/state/system/v1"]), hash(&[&system]));
        subtree(&leaves.into_iter().collect::<Vec<_>>(), 0)
    }
}

fn subtree(leaves: &[(B256, B256)], depth: usize) -> B256 {
    if let [(key, value)] = leaves {
        return node(b"synod/trie/leaf/v1", 0, *key, *value);
    }
    let middle = leaves.iter().take_while(|(key, _)| key[depth / 8] >> (7 - depth % 8) & 1 == 0).count();
    if middle == 0 || middle == leaves.len() {
        return subtree(leaves, depth + 1);
    }
    let (left, right) = leaves.split_at(middle);
    node(b"synod/trie/inner/v1", depth as u8, subtree(left, depth + 1), subtree(right, depth + 1))
}

fn node(tag: &[u8], depth: u8, left: B256, right: B256) -> B256 {
    let mut blocks = [[0; 64]; 2];
    blocks[0][..tag.len()].copy_from_slice(tag);
    blocks[0][63] = depth;
    blocks[1][..32].copy_from_slice(left.as_slice());
    blocks[1][32..].copy_from_slice(right.as_slice());
    let mut state =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    compress256(&mut state, &blocks);
    B256::from_slice(&state.iter().flat_map(|word: &u32| word.to_be_bytes()).collect::<Vec<_>>())
}

fn hash(parts: &[&[u8]]) -> B256 {
    B256::new(Sha256::digest(parts.concat()).into())
}
