//! Random chains with faults, contracts, odd times and reorganisations: the ledger against the naive one (A2,
//! A4), against itself connected straight (A14), and against itself restarted (A14).
//!
//! `SYNOD_CHAINS` sets how many chains are tried (20 by default).
#![allow(clippy::unwrap_used)]

mod oracle;
mod programs;

use std::collections::BTreeSet;

use oracle::{Done, Oracle};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use synod_ledger::execution::{Proposal, Rules};
use synod_ledger::state::{Entries, Record, RecordKey, StateRead, View};
use synod_ledger::testing::{account, deploying, genesis, key, running, signed, unsigned};
use synod_ledger::{Executed, Ledger, MemoryHistory, Options};
use synod_types::amount::{GWEI, SYN};
use synod_types::transaction::AccessListItem;
use synod_types::{
    Address, B256, Block, Bytes, Gas, Genesis, Height, Log, NativeTransaction, Receipt, U256, UnixMillis,
    VerifiedTransaction,
};

type Chain = Ledger<MemoryHistory>;

fn chains() -> u64 {
    std::env::var("SYNOD_CHAINS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Small windows make deep rewinds common; a small target makes the base fee move.
fn open(genesis: &Genesis, history: MemoryHistory, layers: usize) -> Chain {
    let options = Options { layers, ..Options::new([1; 32]) };
    Ledger::open(genesis.clone(), history, options).unwrap().0
}

fn busy_genesis() -> Genesis {
    let mut genesis = genesis();
    genesis.fees.target_gas_per_second = 150_000;
    genesis.fees.base_fee_floor = 3;
    genesis.pow.halving_interval = 15;
    genesis
}

/// A transaction that is mostly good, and otherwise wrong in one of the ways that there are.
fn transaction(
    random: &mut ChaCha8Rng,
    rules: &Rules,
    chain: &Chain,
    contracts: &[Address],
    nonces: &mut [u64; 12],
) -> VerifiedTransaction {
    if random.next_u64().is_multiple_of(3) {
        return contract_transaction(random, rules, contracts, nonces);
    }
    let from = (random.next_u64() % 12) as usize;
    let to = account(random.next_u64() % 14);
    let nonce = nonces[from];
    let mut wanted = unsigned(rules, key(from as u64).public(), nonce, to, random.next_u64().into());
    let mut usable = true;
    match random.next_u64() % 16 {
        0 => (wanted.nonce, usable) = (nonce + 1 + random.next_u64() % 3, false),
        1 if nonce > 0 => (wanted.nonce, usable) = (nonce - 1, false),
        2 => (wanted.max_fee, wanted.max_tip, usable) = (1, 1, false),
        3 => (wanted.gas_limit, usable) = (Gas(20_999), false),
        4 => (wanted.value, usable) = (U256::MAX - U256::from(random.next_u64() % 3), false),
        5 => (wanted.value, usable) = (U256::from(2_000 * SYN), false),
        6 => wanted.valid_until = Some(Height(chain.head().height().0 + random.next_u64() % 2)),
        7 => (wanted.to, usable) = (None, false),
        8 => wanted.to = Some(account(from as u64)),
        9 => wanted.value = U256::ZERO,
        10 => (wanted.data, wanted.gas_limit) = (Bytes::from(vec![0, 1, 2, 0]), Gas(30_000)),
        11 => {
            let item = AccessListItem { address: to, slots: vec![B256::ZERO; 2] };
            (wanted.access_list, wanted.gas_limit) = (vec![item], Gas(30_000));
        }
        12 => wanted.max_tip = wanted.max_fee,
        13 => (wanted.max_fee, wanted.max_tip) = (2 * GWEI, 0),
        _ => {}
    }
    if usable && from < 10 && wanted.valid_until.is_none_or(|last| last > chain.head().height()) {
        nonces[from] += 1;
    }
    signed(rules, &key(from as u64), wanted)
}

/// Makes a contract of one of the programs, or calls one with words that may mean something to it: small
/// numbers, and contracts to call.
fn contract_transaction(
    random: &mut ChaCha8Rng,
    rules: &Rules,
    contracts: &[Address],
    nonces: &mut [u64; 12],
) -> VerifiedTransaction {
    let from = random.next_u64() % 10;
    let pick = |random: &mut ChaCha8Rng| {
        let known = contracts.len() as u64;
        (known > 0).then(|| contracts[(random.next_u64() % known) as usize])
    };
    let called = pick(random).filter(|_| !random.next_u64().is_multiple_of(3));
    let data: Bytes = match called {
        None if random.next_u64().is_multiple_of(8) => Bytes::from_static(&[0x5b, 0xfe, 0x00]),
        None => deploying(&programs::ALL[random.next_u64() as usize % programs::ALL.len()].code()),
        Some(_) => {
            let mut word = || match (pick(random), random.next_u64() % 3) {
                (Some(contract), 0 | 1) => contract.into_word(),
                _ => B256::from(U256::from(random.next_u64() % 3)),
            };
            [word(), word()].concat().into()
        }
    };
    let nonce = nonces[from as usize];
    nonces[from as usize] += 1;
    let mut wanted = running(rules, key(from).public(), nonce, called, data);
    wanted.value = U256::from(random.next_u64() % 3);
    if random.next_u64().is_multiple_of(5) {
        wanted.gas_limit = Gas(60_000 + random.next_u64() % 60_000);
    }
    if random.next_u64().is_multiple_of(4) {
        let slots = vec![B256::ZERO, B256::with_last_byte(1)];
        wanted.access_list = called.map(|address| AccessListItem { address, slots }).into_iter().collect();
    }
    signed(rules, &key(from), wanted)
}

fn random_block(random: &mut ChaCha8Rng, chain: &mut Chain, contracts: &[Address]) -> Block {
    let rules = chain.rules().clone();
    let view = chain.view();
    let mut nonces = std::array::from_fn(|number| view.account(&account(number as u64)).nonce);
    let count = random.next_u64() % 12;
    let transactions =
        (0..count).map(|_| transaction(random, &rules, chain, contracts, &mut nonces)).collect();
    let ahead = match random.next_u64() % 6 {
        0 => 60_000,
        1 => 4_500,
        _ => random.next_u64() % 3_000,
    };
    let behind = if random.next_u64().is_multiple_of(8) { 3_000 } else { 0 };
    let time = UnixMillis(chain.head().time().0 + ahead - behind.min(ahead));
    let recipient = account(random.next_u64() % 20);
    let proposal = Proposal { time, proposer: recipient, fee_recipient: recipient, transactions };
    chain.build(proposal, 0x207f_ffff).block
}

/// Appends to the ledger and to the oracle's history, and compares.
fn append(chain: &mut Chain, oracles: &mut Vec<Oracle>, block: &Block, seed: u64) {
    let executed = chain.append(block, &()).unwrap();
    let mut oracle = oracles.last().unwrap().clone();
    let verdict = oracle.execute(block).unwrap_or_else(|| panic!("seed {seed}: the oracle refuses"));
    assert_eq!(executed.commitment.base_fee, verdict.base_fee, "seed {seed}");
    assert_eq!(executed.commitment.gas_used.0, verdict.gas_used, "seed {seed}");
    assert_eq!(executed.commitment.state_root, verdict.state_root, "seed {seed}");
    check_accounts(&oracle, &executed.view);
    let done: Vec<Done> = executed.receipts.iter().map(told).collect();
    assert_eq!(done, verdict.done, "seed {seed}");
    oracles.push(oracle);
}

/// What a receipt says, as the oracle says it.
fn told(receipt: &Receipt) -> Done {
    let log = |log: &Log| (log.address, log.topics.clone(), log.data.to_vec());
    Done {
        succeeded: receipt.succeeded,
        gas: receipt.gas_used.0,
        output: receipt.output.to_vec(),
        logs: receipt.logs.iter().map(log).collect(),
    }
}

/// Every account, its code and its storage are what the oracle has, and there is nothing more.
fn check_accounts(oracle: &Oracle, view: &View) {
    let (mut code, mut slots) = (0, 0);
    for (address, entry) in &oracle.accounts {
        let account = view.account(address);
        assert_eq!((account.nonce, account.balance), (entry.nonce, U256::from(entry.balance)));
        let found = account.code_hash.map(|hash| view.code(&hash).unwrap().to_vec());
        assert_eq!(found.unwrap_or_default(), entry.code);
        code += usize::from(!entry.code.is_empty());
        slots += entry.storage.len();
        for (slot, value) in &entry.storage {
            assert_eq!(view.slot(address, &B256::from(*slot)), *value);
        }
    }
    let entries = view.entries();
    assert_eq!(entries.accounts.len(), oracle.accounts.len());
    assert_eq!(entries.accounts.iter().filter(|(_, account)| account.has_code()).count(), code);
    let is_slot = |(key, _): &&(RecordKey, Record)| matches!(key, RecordKey::Slot(..));
    assert_eq!(entries.records.iter().filter(is_slot).count(), slots);
}

/// Runs one chain; returns it and how many rewinds went below its window.
fn run(seed: u64) -> (Chain, u32) {
    let mut deep_rewinds = 0;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let genesis = busy_genesis();
    let mut chain = open(&genesis, MemoryHistory::default(), 8);
    let mut oracles = vec![Oracle::new(&genesis)];
    let mut hashes = vec![chain.head().hash];
    for _ in 0..40 {
        if random.next_u64().is_multiple_of(6) {
            let depth = random.next_u64() as usize % if random.next_u64().is_multiple_of(4) { 20 } else { 6 };
            let kept = oracles.len().saturating_sub(depth).max(1);
            let floor = chain.reader().recent_blocks().last().unwrap().height();
            let rewound = chain.rewind(&hashes[kept - 1]).unwrap();
            assert_eq!(rewound.replayed, (kept as u64 - 1) < floor.0);
            assert_eq!(rewound.blocks.len(), oracles.len() - kept);
            deep_rewinds += u32::from(rewound.replayed);
            oracles.truncate(kept);
            hashes.truncate(kept);
            assert_eq!(chain.recount_root(), chain.head().commitment.state_root, "seed {seed}");
        }
        let contracts = &oracles[oracles.len() - 1].accounts;
        let contracts: Vec<_> = contracts
            .iter()
            .filter(|(_, entry)| !entry.code.is_empty())
            .map(|(address, _)| *address)
            .collect();
        let block = random_block(&mut random, &mut chain, &contracts);
        append(&mut chain, &mut oracles, &block, seed);
        hashes.push(block.hash());
    }
    let window = chain.reader().recent_blocks();
    for block in window {
        check_accounts(&oracles[block.height().0 as usize], &block.view);
    }
    (chain, deep_rewinds)
}

#[test]
fn a2_a4_random_chains_agree_with_the_naive_ledger() {
    let (mut included, mut deep_rewinds) = (0, 0);
    let (mut failed, mut logs, mut burnt_by_contracts) = (0, 0, 0);
    for seed in 0..chains() {
        let (chain, deep) = run(seed);
        deep_rewinds += deep;
        let blocks = chain.reader().recent_blocks();
        included += blocks.iter().map(|block| block.transactions.len()).sum::<usize>();
        let receipts: Vec<_> = blocks.iter().flat_map(|block| &block.receipts).collect();
        failed += receipts.iter().filter(|receipt| !receipt.succeeded).count();
        logs += receipts.iter().map(|receipt| receipt.logs.len()).sum::<usize>();
        burnt_by_contracts += blocks.iter().filter(|block| burns(block)).count();
    }
    assert!(failed > 0 && logs > 0 && burnt_by_contracts > 0, "{failed} {logs} {burnt_by_contracts}");
    assert!(deep_rewinds > 0, "some rewinds went below the window");
    assert!(included > 20 * chains() as usize, "the chains were busy: {included}");
}

/// Whether a block burnt more than the base fee of its gas: money went down with a contract.
fn burns(block: &Executed) -> bool {
    let Some(diff) = &block.diff else { return false };
    let base_fees = U256::from(block.commitment.base_fee) * U256::from(block.commitment.gas_used.0);
    diff.system.1.burnt - diff.system.0.burnt > base_fees
}

/// EVM-1 to EVM-17 through the ledger: each program called twice in one block, in a chain of its own, as revm
/// runs it; and each wrong line of the machine is found so.
fn every_program_runs_as_in_revm() {
    let genesis = busy_genesis();
    let mut chain = open(&genesis, MemoryHistory::default(), 8);
    let mut oracles = vec![Oracle::new(&genesis)];
    let rules = chain.rules().clone();
    let deploy = |(nonce, program): (u64, &programs::Program)| {
        running(&rules, key(1).public(), nonce, None, deploying(&program.code()))
    };
    let deployed: Vec<_> = (0..).zip(&programs::ALL).map(deploy).collect();
    block_of(&mut chain, &mut oracles, deployed);
    let created: Vec<Address> =
        chain.head().receipts.iter().map(|receipt| receipt.created.unwrap()).collect();
    let named = |name: &str| created[programs::ALL.iter().position(|one| one.name == name).unwrap()];
    for words in [7_u64, 0] {
        let (mut calls, first) = (Vec::new(), chain.view().account(&account(1)).nonce);
        for (program, contract) in programs::ALL.iter().zip(&created) {
            let words = match program.arguments {
                [] => [B256::from(U256::from(words)); 2],
                [one] => [named(one).into_word(); 2],
                [first, second, ..] => [named(first).into_word(), named(second).into_word()],
            };
            for _ in 0..2 {
                let nonce = first + calls.len() as u64;
                let call = running(&rules, key(1).public(), nonce, Some(*contract), words.concat());
                calls.push(NativeTransaction { value: U256::from(3), ..call });
            }
        }
        // Gas limits fill a block: these take two.
        let second = calls.split_off(calls.len() / 2);
        block_of(&mut chain, &mut oracles, calls);
        block_of(&mut chain, &mut oracles, second);
    }
}

fn block_of(chain: &mut Chain, oracles: &mut Vec<Oracle>, wanted: Vec<NativeTransaction>) {
    let rules = chain.rules().clone();
    let count = wanted.len();
    let transactions = wanted.into_iter().map(|one| signed(&rules, &key(1), one)).collect();
    let time = UnixMillis(chain.head().time().0 + 60_000);
    let recipient = account(15);
    let proposal = Proposal { time, proposer: recipient, fee_recipient: recipient, transactions };
    let built = chain.build(proposal, 0x207f_ffff);
    assert_eq!(built.block.transactions.len(), count, "{:?}", built.left_out.first());
    append(chain, oracles, &built.block, 0);
}

#[test]
fn a2_every_program_runs_as_in_revm() {
    every_program_runs_as_in_revm();
}

#[test]
fn the_machines_mutants_die_in_the_ledger_too() {
    let mutants = [
        "evm-64th-kept-off",
        "evm-warm-set-not-reverted",
        "evm-transient-not-wiped",
        "evm-static-lost-in-delegatecall",
        "evm-refund-half",
        "evm-init-code-limit-off",
        "evm-return-data-not-cleared",
        "evm-selfdestruct-always-deletes",
    ];
    for mutant in mutants {
        let died = std::panic::catch_unwind(|| {
            synod_types::mutant::with(mutant, every_program_runs_as_in_revm);
        });
        assert!(died.is_err(), "{mutant} survives");
    }
}

/// Everything in a state. Code outlives the branch that created it, so only code of this state's accounts counts.
fn living(chain: &Chain) -> Entries {
    let mut entries = chain.view().entries();
    let of_accounts: BTreeSet<B256> =
        entries.accounts.iter().filter_map(|(_, account)| account.code_hash.as_deref().copied()).collect();
    entries.code.retain(|(hash, _)| of_accounts.contains(hash));
    assert_eq!(entries.code.len(), of_accounts.len(), "each account's code is there");
    entries
}

#[test]
fn a14_reorganised_straight_and_restarted_chains_are_equal() {
    for seed in 100..100 + chains() {
        let (chain, _) = run(seed);
        let genesis = busy_genesis();
        let mut straight = open(&genesis, MemoryHistory::default(), 300);
        let mut log = MemoryHistory::default();
        for height in 1..=chain.head().height().0 {
            let block = chain.reader().block_at(Height(height)).unwrap().unwrap();
            straight.append(&block, &()).unwrap();
            synod_ledger::BlockHistory::append(&mut log, &block).unwrap();
        }
        let restarted = open(&genesis, log, 8);
        for other in [&straight, &restarted] {
            assert_eq!(other.head().hash, chain.head().hash);
            assert_eq!(living(other), living(&chain));
            assert_eq!(other.recount_root(), chain.head().commitment.state_root);
        }
    }
}
