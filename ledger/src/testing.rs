//! What the tests and the benches of this crate make their chains from.

use synod_types::amount::{GWEI, SYN};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{
    Address, B256, Block, Bytes, Gas, NativeTransaction, PublicKey, SecretKey, Transaction, U256, UnixMillis,
    VerifiedTransaction,
};

use crate::execution::{Proposal, Rules};
use crate::{BlockHistory, Ledger, MemoryHistory};

/// The secret key of a small number.
pub fn key(number: u64) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed)
}

/// The account of [`key`].
pub fn account(number: u64) -> Address {
    synod_types::address::address_of(&key(number).public())
}

/// A test network in which accounts 0 to 9 have 1,000 SYN each, and rewards mature after 5 blocks.
pub fn genesis() -> Genesis {
    let pow = ProofOfWork { settled_depth: 5, ..ProofOfWork::testnet(0x207f_ffff) };
    Genesis {
        chain_id: 7,
        salt: B256::repeat_byte(3),
        time: UnixMillis(1_700_000_000_000),
        ordering: Ordering::Pow,
        members: Vec::new(),
        alloc: (0..10).map(|number| (account(number), U256::from(1_000 * SYN))).collect(),
        fees: Fees::default(),
        limits: Limits::default(),
        pow,
        testnet: true,
    }
}

/// An unsigned transfer that pays up to 10 gwei, one of them as the tip.
pub fn unsigned(rules: &Rules, from: PublicKey, nonce: u64, to: Address, value: u128) -> NativeTransaction {
    NativeTransaction {
        chain_id: rules.chain_id,
        sender: from,
        nonce,
        max_fee: 10 * GWEI,
        max_tip: GWEI,
        gas_limit: Gas(21_000),
        to: Some(to),
        value: U256::from(value),
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    }
}

/// Signs a transaction and takes it through the door.
pub fn signed(rules: &Rules, from: &SecretKey, transaction: NativeTransaction) -> VerifiedTransaction {
    let signed = Transaction::Native(transaction.sign(rules.genesis, from));
    signed.verify(rules.chain_id, rules.genesis).expect("it was just signed")
}

/// A signed transfer of `value` wei.
pub fn transfer(
    rules: &Rules,
    from: &SecretKey,
    nonce: u64,
    to: PublicKey,
    value: u128,
) -> VerifiedTransaction {
    let to = synod_types::address::address_of(&to);
    signed(rules, from, unsigned(rules, from.public(), nonce, to, value))
}

/// Init code that deploys `code`, which is at most 65,535 bytes long.
pub fn deploying(code: &[u8]) -> Bytes {
    let [high, low] = (code.len() as u16).to_be_bytes();
    // PUSH2 length, PUSH1 12, PUSH0, CODECOPY, PUSH2 length, PUSH0, RETURN
    let init = [0x61, high, low, 0x60, 12, 0x5f, 0x39, 0x61, high, low, 0x5f, 0xf3];
    [&init[..], code].concat().into()
}

/// An unsigned transaction that runs code: it calls `to` with `data`, or creates a contract with it.
pub fn running(
    rules: &Rules,
    from: PublicKey,
    nonce: u64,
    to: Option<Address>,
    data: impl Into<Bytes>,
) -> NativeTransaction {
    let (data, gas_limit) = (data.into(), Gas(4_000_000));
    NativeTransaction { to, data, gas_limit, ..unsigned(rules, from, nonce, Address::ZERO, 0) }
}

/// Extends a chain by `count` blocks of ten payments each; `branch` makes other blocks of the same payments.
pub fn extend(chain: &mut Ledger<MemoryHistory>, count: u64, branch: u64) -> Vec<Block> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        let rules = chain.rules().clone();
        let nonce = chain.head().height().0;
        let pay = |from: u64| transfer(&rules, &key(from), nonce, key(from + nonce % 30).public(), 9);
        let proposal = Proposal {
            time: UnixMillis(chain.head().time().0 + 2_000),
            proposer: account(3),
            fee_recipient: account(20 + branch),
            transactions: (0..10).map(pay).collect(),
        };
        let block = chain.build(proposal, 0).block;
        chain.append(&block, &()).expect("a block that was just built is valid");
        blocks.push(block);
    }
    blocks
}

/// A log in memory that holds these blocks.
pub fn log_of(blocks: &[Block]) -> MemoryHistory {
    let mut log = MemoryHistory::default();
    for block in blocks {
        log.append(block).expect("a log in memory takes every block");
    }
    log
}
