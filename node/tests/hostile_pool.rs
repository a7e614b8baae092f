//! Clients who mean harm (S-B14): valid signatures over everything that could hurt, into the pool, out of it into
//! blocks of the real ledger, and back out of blocks that are undone. `SYNOD_HOSTILE_INPUTS` says how many.
//!
//! No transaction is executed twice on a chain (A2), money is conserved after every block (A4, counted here from
//! the accounts), the pool keeps its bound and the process stays where it was (A7), and an honest payer's
//! transactions are included although everybody else floods (A6).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use synod_ledger::execution::{Proposal, Rules, intrinsic_gas};
use synod_ledger::hostile::{Memory, inputs, seed};
use synod_ledger::state::{StateRead, View};
use synod_ledger::testing::{account, genesis, key, signed, unsigned};
use synod_ledger::{Ledger, MemoryHistory, Options};
use synod_node::mempool::{
    AccountState, AccountView, BlockRoom, ChainRules, Changed, NewTip, Origin, Pool, PoolLimits, Tip,
};
use synod_types::amount::GWEI;
use synod_types::hostile::Mutator;
use synod_types::{
    Address, BlockHash, Bytes, Gas, Genesis, Height, TransactionId, U256, UnixMillis, VerifiedTransaction,
};

/// Inputs to one chain; then another begins, so that history does not pile up in memory.
const ROUND: u64 = 20_000;
/// Inputs between two blocks.
const BETWEEN: u64 = 200;
/// Small, so that the pool is full nearly always.
const POOL_BYTES: usize = 256 * 1024;
/// The one account that nobody else's key signs for.
const HONEST: u64 = 9;

struct Accounts(View);

impl AccountView for Accounts {
    fn account(&self, address: &Address) -> AccountState {
        let account = self.0.account(address);
        AccountState { nonce: account.nonce, balance: account.balance }
    }
}

struct Scene {
    genesis: Genesis,
    ledger: Ledger<MemoryHistory>,
    pool: Pool,
    /// From the genesis block up.
    hashes: Vec<BlockHash>,
    /// Senders, nonces and ids of what each block holds.
    included: Vec<Vec<(Address, TransactionId)>>,
    /// What was submitted before, to be submitted again.
    before: Vec<VerifiedTransaction>,
    mutator: Mutator,
    accepted: u64,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let genesis = genesis();
        let ledger =
            Ledger::open(genesis.clone(), MemoryHistory::default(), Options::new([1; 32])).unwrap().0;
        let limits = PoolLimits { bytes: POOL_BYTES, ..PoolLimits::default() };
        let rules = ChainRules::of(&genesis, intrinsic_gas);
        let tip = Tip { height: Height(0), base_fee: ledger.base_fee_at(ledger.head().time()) };
        let hashes = vec![ledger.head().hash];
        let pool = Pool::new(limits, rules, tip);
        let (included, before) = (vec![Vec::new()], Vec::new());
        Self { genesis, ledger, pool, hashes, included, before, mutator: Mutator::new(seed), accepted: 0 }
    }

    /// Somebody's next attempt. Accounts 0 to 8 have money, 10 to 15 have none.
    fn attempt(&mut self) -> VerifiedTransaction {
        if self.mutator.below(8) == 0 && !self.before.is_empty() {
            return self.mutator.pick(&self.before).clone();
        }
        let from = *self.mutator.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]);
        let rules = self.ledger.rules().clone();
        let next =
            self.pool.next_nonce(account(from)).unwrap_or(self.ledger.view().account(&account(from)).nonce);
        let to = account(self.mutator.below(16) as u64);
        let value = u128::from(self.mutator.roll() % 1_000_000);
        let mut wanted = unsigned(&rules, key(from).public(), next, to, value);
        match self.mutator.below(16) {
            0 => wanted.nonce = next.saturating_add(self.mutator.roll() % 1_000_000),
            1 => wanted.nonce = u64::MAX,
            2 => wanted.nonce = next.saturating_sub(1 + self.mutator.roll() % 3),
            3 => wanted.value = U256::MAX - U256::from(self.mutator.roll() % 2),
            4 => (wanted.max_fee, wanted.max_tip) = (u128::MAX, u128::MAX),
            5 => wanted.gas_limit = Gas(*self.mutator.pick(&[0, 20_999, u64::MAX])),
            6 => (wanted.to, wanted.value) = (Some(account(from)), U256::from(value)),
            7 => (wanted.max_fee, wanted.max_tip) = (GWEI, 0),
            8 => (wanted.max_fee, wanted.max_tip) = (0, 0),
            // The same nonce again: a little dearer, much dearer, or for another receiver.
            9 => wanted.nonce = next.saturating_sub(1),
            10 => {
                wanted.nonce = next.saturating_sub(1);
                let raised = 10 * GWEI * (2 + self.mutator.below(50) as u128);
                (wanted.max_fee, wanted.max_tip) = (raised, raised / 2);
            }
            11 => {
                let length = self.mutator.below(30_000);
                wanted.data = Bytes::from(vec![self.mutator.roll() as u8; length]);
                wanted.gas_limit = Gas(21_000 + 16 * length as u64 + 500_000);
            }
            12 => wanted.valid_until = Some(Height(self.mutator.roll() % 400)),
            13 => wanted.value = self.ledger.view().account(&account(from)).balance,
            _ => {}
        }
        signed(&rules, &key(from), wanted)
    }

    fn submit(&mut self, transaction: VerifiedTransaction) -> bool {
        let origin = if self.mutator.below(2) == 0 { Origin::Local } else { Origin::Network };
        let (id, view) = (transaction.id(), Accounts(self.ledger.view()));
        let inserted = self.pool.insert(transaction.clone(), origin, UnixMillis(0), &view);
        assert_eq!(inserted.is_ok(), self.pool.find(id).is_some(), "{inserted:?}");
        assert!(self.pool.bytes() <= POOL_BYTES);
        if self.before.len() < 512 {
            self.before.push(transaction);
        } else {
            let at = self.mutator.below(512);
            self.before[at] = transaction;
        }
        inserted.is_ok()
    }

    /// An honest payer's transfer, at a fee that a flood of cheap ones does not reach.
    fn pay_honestly(&mut self) {
        let rules: &Rules = &self.ledger.rules().clone();
        let payer = account(HONEST);
        let nonce = self.pool.next_nonce(payer).unwrap_or(self.ledger.view().account(&payer).nonce);
        let mut wanted = unsigned(rules, key(HONEST).public(), nonce, account(0), 1);
        wanted.max_fee = 1_000 * GWEI;
        wanted.max_tip = GWEI;
        assert!(self.submit(signed(rules, &key(HONEST), wanted)), "the honest payer finds a place");
    }

    /// A block of what the pool has to offer; now and then some are undone first.
    fn block(&mut self) {
        let mut reverted = Vec::new();
        if self.hashes.len() > 4 && self.mutator.below(6) == 0 {
            let kept = self.hashes.len() - 1 - self.mutator.below(3);
            let undone = self.ledger.rewind(&self.hashes[kept - 1]).unwrap();
            self.hashes.truncate(kept);
            self.included.truncate(kept);
            let rules = self.ledger.rules().clone();
            for block in undone.blocks.iter().rev() {
                for transaction in &block.transactions {
                    reverted.push(transaction.clone().verify(rules.chain_id, rules.genesis).unwrap());
                }
            }
        }
        let time = UnixMillis(self.ledger.head().time().0 + 2_000);
        let transactions = self.pool.select(BlockRoom::of(&self.genesis), self.ledger.base_fee_at(time));
        let proposal = Proposal { time, proposer: account(3), fee_recipient: account(3), transactions };
        let block = self.ledger.build(proposal, 0x207f_ffff).block;
        let executed = self.ledger.append(&block, &()).unwrap();
        let held: Vec<_> = executed.transactions.iter().map(|one| (one.sender, one.id)).collect();
        self.hashes.push(executed.hash);
        self.included.push(held.clone());
        let next = UnixMillis(time.0 + 2_000);
        let tip = Tip { height: executed.height(), base_fee: self.ledger.base_fee_at(next) };
        let view = Accounts(self.ledger.view());
        self.pool.reset(NewTip {
            tip,
            view: &view,
            changed: Changed::Unknown,
            included: &held,
            reverted,
            now: UnixMillis(0),
        });
        self.check_money(&view.0);
        assert!(self.pool.bytes() <= POOL_BYTES);
    }

    /// All money there is, counted account by account.
    fn check_money(&self, view: &View) {
        let system = view.system();
        let held = view.entries().accounts.iter().fold(U256::ZERO, |sum, (_, account)| sum + account.balance);
        let issued = self.genesis.supply() + system.issued;
        assert_eq!(held + system.immature + system.burnt, issued, "money is neither made nor lost");
    }

    fn check_chain(&self) {
        let all: Vec<TransactionId> = self.included.iter().flatten().map(|(_, id)| *id).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len(), "nothing is executed twice");
        let honest = self.included.iter().flatten().filter(|(sender, _)| *sender == account(HONEST)).count();
        assert!(honest + 8 >= self.hashes.len() / 2, "{honest} of the honest payer's were included");
    }
}

#[test]
fn s_b14_hostile_clients_break_neither_the_pool_nor_the_money() {
    let (total, memory) = (inputs(4_000), Memory::start());
    let (mut tried, mut accepted, mut blocks, mut executed) = (0, 0, 0, 0);
    while tried < total {
        let mut scene = Scene::new(seed().wrapping_mul(1_000_000).wrapping_add(tried));
        for number in 1..=ROUND.min(total - tried) {
            let attempt = scene.attempt();
            scene.accepted += u64::from(scene.submit(attempt));
            if number % BETWEEN == 0 {
                scene.pay_honestly();
                scene.block();
            }
        }
        scene.check_chain();
        tried += ROUND.min(total - tried);
        accepted += scene.accepted;
        blocks += scene.hashes.len();
        executed += scene.included.iter().map(Vec::len).sum::<usize>();
    }
    println!("{tried} submissions, {accepted} accepted, {executed} executed in {blocks} blocks");
    assert!(executed > blocks, "the chains were busy");
    memory.check("hostile submissions");
}
