//! Random chains with faults, odd times and reorganisations: the ledger against the naive one (A2, A4), against
//! itself connected straight (A14), and against itself restarted (A14).
//!
//! `SYNOD_CHAINS` sets how many chains are tried (20 by default).
#![allow(clippy::unwrap_used)]

mod oracle;

use oracle::Oracle;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use synod_ledger::execution::{Proposal, Rules};
use synod_ledger::state::StateRead;
use synod_ledger::testing::{account, genesis, key, signed, unsigned};
use synod_ledger::{Ledger, MemoryHistory, Options};
use synod_types::amount::{GWEI, SYN};
use synod_types::transaction::AccessListItem;
use synod_types::{B256, Block, Bytes, Gas, Genesis, Height, U256, UnixMillis, VerifiedTransaction};

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
    genesis.fees.target_gas_per_second = 42_000;
    genesis.fees.base_fee_floor = 3;
    genesis.pow.halving_interval = 15;
    genesis
}

/// A transaction that is mostly good, and otherwise wrong in one of the ways that there are.
fn transaction(
    random: &mut ChaCha8Rng,
    rules: &Rules,
    chain: &Chain,
    nonces: &mut [u64; 12],
) -> VerifiedTransaction {
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

fn random_block(random: &mut ChaCha8Rng, chain: &mut Chain) -> Block {
    let rules = chain.rules().clone();
    let view = chain.view();
    let mut nonces = std::array::from_fn(|number| view.account(&account(number as u64)).nonce);
    let count = random.next_u64() % 12;
    let transactions = (0..count).map(|_| transaction(random, &rules, chain, &mut nonces)).collect();
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
    for (address, (nonce, balance)) in &oracle.accounts {
        let account = executed.view.account(address);
        assert_eq!((account.nonce, account.balance), (*nonce, U256::from(*balance)));
    }
    oracles.push(oracle);
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
        let block = random_block(&mut random, &mut chain);
        append(&mut chain, &mut oracles, &block, seed);
        hashes.push(block.hash());
    }
    let window = chain.reader().recent_blocks();
    for block in window {
        let oracle = &oracles[block.height().0 as usize];
        for (address, (nonce, balance)) in &oracle.accounts {
            let account = block.view.account(address);
            assert_eq!((account.nonce, account.balance), (*nonce, U256::from(*balance)));
        }
        assert_eq!(block.view.entries().accounts.len(), oracle.accounts.len());
    }
    (chain, deep_rewinds)
}

#[test]
fn a2_a4_random_chains_agree_with_the_naive_ledger() {
    let (mut included, mut deep_rewinds) = (0, 0);
    for seed in 0..chains() {
        let (chain, deep) = run(seed);
        deep_rewinds += deep;
        included +=
            chain.reader().recent_blocks().iter().map(|block| block.transactions.len()).sum::<usize>();
    }
    assert!(deep_rewinds > 0, "some rewinds went below the window");
    assert!(included > 20 * chains() as usize, "the chains were busy: {included}");
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
            assert_eq!(other.view().entries(), chain.view().entries());
            assert_eq!(other.recount_root(), chain.head().commitment.state_root);
        }
    }
}
