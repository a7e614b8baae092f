//! The pool and the naive model, side by side over random histories.

use proptest::prelude::*;
use synod_types::{Address, Gas, Height, TransactionId, U256, VerifiedTransaction};

use super::fixture::{Accounts, NOW, TIP, Terms, address, pool, verified};
use super::model::{Model, Outcome};
use crate::mempool::{
    AccountState, AccountView, BlockRoom, Changed, Insertion, NewTip, Origin, Pool, PoolLimits, Rejection,
    Tip,
};

const SENDERS: u8 = 4;

#[derive(Debug, Clone)]
enum Act {
    Insert(Terms),
    Remove(prop::sample::Index),
    /// Each sender's nonce moves by so much (clamped at 0) and its balance becomes so many transfers.
    Reset {
        moves: Vec<(i8, u8)>,
        height: i8,
        included: u64,
        reverted: Vec<Terms>,
        whole: bool,
    },
}

fn terms() -> impl Strategy<Value = Terms> {
    let fees = (5u128..40, 0u128..8);
    let shape = (prop_oneof![4 => Just(0usize), 1 => 1usize..700], prop::option::weighted(0.2, 8u64..16));
    (0..SENDERS, 0u64..9, fees, 0u64..1000, shape, 1u64..4).prop_map(
        |(sender, nonce, (max_fee, max_tip), value, (data, valid_until), gas)| Terms {
            sender,
            nonce,
            max_fee,
            max_tip: max_tip.min(max_fee),
            gas: gas * 21_000,
            value,
            to: (sender + 1) % SENDERS,
            data,
            valid_until,
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let moves = prop::collection::vec((-2i8..4, 0u8..40), SENDERS as usize);
    let reverted = prop::collection::vec(terms(), 0..4);
    prop_oneof![
        12 => terms().prop_map(Act::Insert),
        1 => any::<prop::sample::Index>().prop_map(Act::Remove),
        3 => (moves, -2i8..3, any::<u64>(), reverted, any::<bool>()).prop_map(
            |(moves, height, included, reverted, whole)| Act::Reset { moves, height, included, reverted, whole }
        ),
    ]
}

fn name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NonceTooLow { .. } => "nonce_too_low",
        Rejection::NonceTooHigh { .. } => "nonce_too_high",
        Rejection::InsufficientFunds { .. } => "insufficient_funds",
        Rejection::FeeTooLow { .. } => "fee_too_low",
        Rejection::ReplacementUnderpriced { .. } => "replacement_underpriced",
        Rejection::PoolFull { .. } => "pool_full",
        Rejection::Expired { .. } => "expired",
        Rejection::GasTooLow { .. } => "gas_too_low",
        Rejection::GasTooHigh { .. } => "gas_too_high",
        Rejection::TooLarge { .. } => "too_large",
    }
}

fn outcome(result: Result<Insertion, Rejection>) -> Outcome {
    match result {
        Ok(Insertion::Added { replaced, evicted }) => Outcome::Added { replaced, evicted },
        Ok(Insertion::Known { .. }) => Outcome::Known,
        Err(rejection) => Outcome::Rejected(name(&rejection)),
    }
}

struct Pair {
    pool: Pool,
    model: Model,
}

impl Pair {
    fn new(bytes: usize) -> Self {
        let limits = PoolLimits { bytes, transaction_bytes: 800, nonces_per_sender: 5 };
        let mut accounts = Accounts::default();
        for sender in 0..SENDERS {
            accounts.set(sender, 2, 20 * 21_000 * 20);
        }
        Self { pool: pool(limits), model: Model::new(limits, TIP, accounts) }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Insert(terms) => {
                let transaction = verified(&terms);
                let expected = self.model.insert(&transaction, true);
                let got = self.pool.insert(transaction, Origin::Network, NOW, &self.model.accounts);
                assert_eq!(outcome(got), expected);
            }
            Act::Remove(index) => {
                let ids = self.model.ids();
                if ids.is_empty() {
                    return;
                }
                let id = *index.get(&ids);
                self.model.held.retain(|held| held.transaction.id() != id);
                self.model.mend_line();
                assert_eq!(self.pool.remove(id).map(|one| one.id()), Some(id));
            }
            Act::Reset { moves, height, included, reverted, whole } => {
                self.reset(&moves, height, included, &reverted, whole);
            }
        }
    }

    fn reset(&mut self, moves: &[(i8, u8)], height: i8, included: u64, reverted: &[Terms], whole: bool) {
        let mut changed = Vec::new();
        for (sender, (step, transfers)) in moves.iter().enumerate() {
            let address = address(sender as u8);
            let before = self.model.accounts.account(&address);
            let nonce = before.nonce.saturating_add_signed(i64::from(*step));
            let after = AccountState { nonce, balance: U256::from(u128::from(*transfers) * 21_000 * 20) };
            self.model.accounts.0.insert(address, after);
            changed.push(address);
        }
        let height = self.model.tip.height.0.saturating_add_signed(i64::from(height));
        self.model.tip = Tip { height: Height(height), base_fee: 15 };
        let included = self.included(included);
        let reverted: Vec<VerifiedTransaction> = reverted.iter().map(verified).collect();
        let view = self.model.accounts.clone();
        let changed = if whole { Changed::Unknown } else { Changed::Accounts(&changed) };
        let before = self.model.ids();
        let (tip, now) = (self.model.tip, NOW);
        let new = NewTip { tip, view: &view, changed, included: &included, reverted: reverted.clone(), now };
        let report = self.pool.reset(new);
        self.model.reset(&included, reverted);
        let after = self.model.ids();
        let mut gone: Vec<TransactionId> = before.into_iter().filter(|id| !after.contains(id)).collect();
        let mut told = [report.included, report.conflicted, report.expired, report.dropped].concat();
        told.retain(|id| !after.contains(id) && gone.contains(id));
        told.sort();
        told.dedup();
        gone.sort();
        assert_eq!(told, gone, "whoever left is told of");
        assert!(report.returned.iter().all(|id| after.contains(id)));
    }

    /// Of the held transactions whose nonce is now used, some as if they were in the new blocks.
    fn included(&self, choice: u64) -> Vec<(Address, TransactionId)> {
        let used = self.model.held.iter().filter(|held| {
            let next = self.model.accounts.account(&held.transaction.sender()).nonce;
            held.transaction.native().nonce < next
        });
        let chosen = used.enumerate().filter(|(index, _)| choice >> (index % 64) & 1 == 1);
        chosen.map(|(_, held)| (held.transaction.sender(), held.transaction.id())).collect()
    }

    fn compare(&self) {
        let mut ids: Vec<_> = self.pool.all().map(|one| one.transaction.id()).collect();
        ids.sort();
        assert_eq!(ids, self.model.ids());
        let sizes = self.model.held.iter().map(|held| held.transaction.transaction().to_bytes().len());
        assert_eq!(self.pool.bytes(), sizes.sum::<usize>());
        assert!(self.pool.bytes() <= self.pool.limits().bytes);
        assert_eq!((self.pool.len(), self.pool.senders()), (ids.len(), self.model.line.len()));
        for (count, gas, base_fee) in [(100, 10_000_000, 0), (100, 200_000, 12), (3, 10_000_000, 20)] {
            let room = BlockRoom { gas: Gas(gas), bytes: 1 << 20, transactions: count };
            let selected: Vec<_> =
                self.pool.select(room, base_fee).iter().map(VerifiedTransaction::id).collect();
            assert_eq!(selected, self.model.select(count, gas, base_fee));
        }
        for sender in 0..SENDERS {
            self.compare_account(sender);
        }
    }

    fn compare_account(&self, sender: u8) {
        let account = address(sender);
        let held = || self.model.held.iter().map(|held| &held.transaction);
        let own: Vec<_> = held().filter(|one| one.sender() == account).map(|one| one.native()).collect();
        let cost = own.iter().map(|native| {
            native.max_fee * u128::from(native.gas_limit.0) + u128::try_from(native.value).unwrap()
        });
        assert_eq!(self.pool.outgoing(account), U256::from(cost.sum::<u128>()));
        let arriving = held().filter(|one| one.native().to == Some(account)).map(|one| one.native().value);
        assert_eq!(self.pool.incoming(account), arriving.fold(U256::ZERO, |sum, value| sum + value));
        let mut next = self.model.accounts.account(&account).nonce;
        while own.iter().any(|native| native.nonce == next) {
            next += 1;
        }
        assert_eq!(self.pool.next_nonce(account), (!own.is_empty()).then_some(next));
    }
}

/// How many histories: `SYNOD_POOL_CASES`, 96 by default.
fn cases() -> u32 {
    std::env::var("SYNOD_POOL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pow_10_the_pool_agrees_with_the_naive_model(
        bytes in prop_oneof![Just(1_200usize), Just(2_500), Just(100_000)],
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut pair = Pair::new(bytes);
        for act in acts {
            pair.act(act);
            pair.compare();
        }
    }

    /// The pool after a new tip depends on the tip and on what it held, not on how it is told of changes.
    #[test]
    fn pow_10_a_reset_twice_is_a_reset_once(acts in prop::collection::vec(act(), 1..40)) {
        let mut pair = Pair::new(2_500);
        acts.into_iter().for_each(|act| pair.act(act));
        let view = pair.model.accounts.clone();
        let ids = pair.model.ids();
        let report = pair.pool.reset(NewTip {
            tip: pair.model.tip, view: &view, changed: Changed::Unknown, included: &[], reverted: Vec::new(), now: NOW,
        });
        prop_assert_eq!(report, Default::default());
        prop_assert_eq!(pair.model.ids(), ids);
        pair.compare();
    }
}
