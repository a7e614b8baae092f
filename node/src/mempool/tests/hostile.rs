//! Hostile inputs to the pool's doors: bytes, the journal, insertions. `SYNOD_HOSTILE_INPUTS` says how many.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use synod_ledger::hostile::{Memory, alone, inputs as hostile_inputs};
use synod_types::{Address, SecretKey, Transaction, U256};

use super::fixture::{Accounts, CHAIN, GENESIS, NOW, Terms, pool, signed, signed_by, verified};
use crate::mempool::journal::PoolLog;
use crate::mempool::{AccountState, AccountView, Origin, PoolLimits};

fn inputs() -> u64 {
    hostile_inputs(2_000)
}

/// A valid transaction's bytes with a few changed, cut or appended ones, or bytes of no meaning at all.
fn mutated(sample: &[u8], random: &mut ChaCha20Rng) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    match random.next_u32() % 4 {
        0 => {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] ^= 1 << (random.next_u32() % 8);
        }
        1 => bytes.truncate(random.next_u32() as usize % bytes.len()),
        2 => {
            let at = random.next_u32() as usize % (bytes.len() - 8);
            random.fill_bytes(&mut bytes[at..at + 8]);
        }
        _ => {
            bytes = vec![0; random.next_u32() as usize % 300];
            random.fill_bytes(&mut bytes);
        }
    }
    bytes
}

#[test]
fn cry_4_hostile_bytes_never_become_a_verified_transaction() {
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let sample = signed(&Terms::default()).to_bytes();
    for _ in 0..inputs() {
        let bytes = mutated(&sample, &mut random);
        let verdict = Transaction::from_bytes(&bytes).and_then(|one| one.verify(CHAIN, GENESIS));
        assert!(verdict.is_err() || bytes == sample);
    }
}

#[test]
fn sto_9_a_hostile_journal_is_read_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.log");
    let (mut log, _) = PoolLog::open(&path, GENESIS, false).unwrap();
    for nonce in 0..3 {
        log.append(&[signed(&Terms { nonce, ..Terms::default() }).to_bytes()]).unwrap();
    }
    let sample = std::fs::read(&path).unwrap();
    let mut random = ChaCha20Rng::seed_from_u64(2);
    for _ in 0..inputs() / 4 {
        std::fs::write(&path, mutated(&sample, &mut random)).unwrap();
        if let Ok((_, recovered)) = PoolLog::open(&path, GENESIS, false) {
            assert!(recovered.transactions.len() <= 3);
        }
    }
}

/// Whatever valid signers send, the pool keeps its bounds and its indexes stay together.
#[test]
fn s_b14_hostile_signers_cannot_break_the_bounds() {
    let limits = PoolLimits { bytes: 20_000, ..PoolLimits::default() };
    let (mut pool, accounts) = (pool(limits), Accounts::rich());
    let mut random = ChaCha20Rng::seed_from_u64(3);
    for _ in 0..inputs() {
        let extreme = [0, 1, 10, 100, u128::from(u64::MAX), u128::MAX];
        let max_fee = extreme[random.next_u32() as usize % extreme.len()];
        let terms = Terms {
            sender: (random.next_u32() % 32) as u8,
            nonce: [0, 1, 2, 63, 64, u64::MAX][random.next_u32() as usize % 6],
            max_fee,
            max_tip: if random.next_u32() % 2 == 0 { max_fee } else { 0 },
            gas: [0, 21_000, 10_000_000, u64::MAX][random.next_u32() as usize % 4],
            value: random.next_u64(),
            data: random.next_u32() as usize % 2_000,
            valid_until: [None, Some(0), Some(u64::MAX)][random.next_u32() as usize % 3],
            ..Terms::default()
        };
        let id = verified(&terms).id();
        let inserted = pool.insert(verified(&terms), Origin::Network, NOW, &accounts);
        assert_eq!(inserted.is_ok(), pool.find(id).is_some());
        assert!(pool.bytes() <= limits.bytes);
        assert_eq!(pool.all().map(|one| one.bytes).sum::<usize>(), pool.bytes());
    }
    assert!(!pool.is_empty());
}

/// What a full pool costs the process: senders with one small transaction each, the dearest way to fill it.
#[test]
fn a7_a_full_pool_costs_a_few_times_its_bytes() {
    alone(module_path!(), "a7_a_full_pool_costs_a_few_times_its_bytes", || {
        let limits = PoolLimits { bytes: 2 << 20, ..PoolLimits::default() };
        let rich = AccountState { nonce: 0, balance: U256::from(u128::MAX) };
        let (mut pool, mut filled) = (pool(limits), 0_u32);
        let memory = Memory::start();
        loop {
            let mut seed = [1; 32];
            seed[..4].copy_from_slice(&filled.to_be_bytes());
            let transaction =
                signed_by(&SecretKey::from_seed(&seed), &Terms::default()).verify(CHAIN, GENESIS).unwrap();
            let size = transaction.transaction().to_bytes().len();
            if pool.bytes() + size > limits.bytes {
                break;
            }
            pool.insert(transaction, Origin::Network, NOW, &Everybody(rich)).unwrap();
            filled += 1;
        }
        let (bytes, grown) = (pool.bytes() as u64, memory.grown());
        println!("memory: {filled} senders, {bytes} bytes of transactions, the process grew by {grown}");
        assert!(grown < 8 * bytes, "{grown} bytes for {bytes} bytes of transactions");
    });
}

/// Every account there may be, all alike.
struct Everybody(AccountState);

impl AccountView for Everybody {
    fn account(&self, _: &Address) -> AccountState {
        self.0
    }
}
