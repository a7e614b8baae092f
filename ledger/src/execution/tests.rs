//! What a block does, case by case; the naive ledger in `tests/oracle` does the same for random ones.
#![allow(clippy::unwrap_used)]

use alloy_primitives::U512;
use synod_types::amount::{GWEI, SYN};
use synod_types::genesis::Fees;
use synod_types::transaction::AccessListItem;
use synod_types::{Bytes, NativeTransaction, TransactionId};

use super::fees::{base_fee_at, close_block, open_period, target_gas};
use super::*;
use crate::state::{State, System, View};
use crate::testing::{account, genesis, key, signed, unsigned};

const PARENT: Parent<'_> = Parent { hash: BlockHash(B256::ZERO), height: Height(0), ancestors: &() };
const MINER: u64 = 50;

fn setup() -> (Rules, View) {
    let genesis = genesis();
    let state = State::new(genesis_entries(&genesis));
    (Rules::from(&genesis), state.view())
}

fn proposal(rules: &Rules, transactions: Vec<VerifiedTransaction>) -> Proposal {
    let time = rules.genesis_time;
    Proposal { time, proposer: account(MINER), fee_recipient: account(MINER), transactions }
}

/// Runs one transaction of account 1, changed by `change`, as the first block.
fn one(change: impl FnOnce(&mut NativeTransaction)) -> Outcome {
    let (rules, view) = setup();
    let mut transaction = unsigned(&rules, key(1).public(), 0, account(2), SYN);
    change(&mut transaction);
    let transaction = signed(&rules, &key(1), transaction);
    execute(&mut Vm::new(), &rules, &view, &PARENT, proposal(&rules, vec![transaction]))
}

fn reason(change: impl FnOnce(&mut NativeTransaction)) -> LeftOut {
    let outcome = one(change);
    assert!(outcome.included.is_empty() && outcome.diff.accounts.is_empty());
    outcome.left_out[0].1.clone()
}

fn balance_after(outcome: &Outcome, number: u64) -> U256 {
    outcome.diff.account(&account(number)).map(|change| change.after.balance).unwrap()
}

#[test]
fn a_transfer_moves_its_value_burns_the_base_fee_and_tips() {
    let outcome = one(|_| {});
    let (burnt, tip) = (U256::from(21_000 * GWEI), U256::from(21_000 * GWEI));
    let (start, value) = (U256::from(1_000 * SYN), U256::from(SYN));
    assert_eq!(balance_after(&outcome, 1), start - value - burnt - tip);
    assert_eq!(balance_after(&outcome, 2), start + value);
    assert_eq!(balance_after(&outcome, MINER), tip);
    assert_eq!(outcome.diff.system.1.burnt, burnt);
    assert_eq!(outcome.receipts[0].effective_fee, 2 * GWEI);
    assert_eq!(outcome.gas_used, Gas(21_000));
}

#[test]
fn cry_6_self_transfers_and_zero_transfers_are_defined() {
    let outcome = one(|transaction| transaction.to = Some(account(1)));
    let fees = U256::from(2 * 21_000 * GWEI);
    assert_eq!(balance_after(&outcome, 1), U256::from(1_000 * SYN) - fees);
    let outcome = one(|transaction| (transaction.to, transaction.value) = (Some(account(99)), U256::ZERO));
    assert_eq!(outcome.included.len(), 1);
    assert_eq!(outcome.diff.account(&account(99)), None, "nothing makes no account (EIP-161)");
}

#[test]
fn the_tip_is_what_the_fee_leaves_above_the_base_fee() {
    let outcome = one(|transaction| {
        (transaction.max_fee, transaction.max_tip) = (3 * GWEI / 2, GWEI);
    });
    assert_eq!(outcome.receipts[0].effective_fee, 3 * GWEI / 2);
    assert_eq!(balance_after(&outcome, MINER), U256::from(21_000 * GWEI / 2));
}

#[test]
fn data_and_access_lists_are_paid_for() {
    let outcome = one(|transaction| {
        transaction.data = Bytes::from_static(&[0, 7, 0, 8, 9]);
        let slots = vec![B256::ZERO; 3];
        transaction.access_list = vec![AccessListItem { address: account(3), slots }];
        transaction.gas_limit = Gas(40_000);
    });
    assert_eq!(outcome.gas_used, Gas(21_000 + 2 * 4 + 3 * 16 + 2_400 + 3 * 1_900));
}

/// The length that is counted against a block's bytes is the length of the bytes.
#[test]
fn a_transactions_length_follows_from_its_layout() {
    let (rules, _) = setup();
    for case in 0..16_usize {
        let mut native = unsigned(&rules, key(1).public(), 0, account(2), SYN);
        native.to = native.to.filter(|_| case & 1 == 0);
        native.valid_until = (case & 2 == 0).then_some(Height(9));
        native.data = Bytes::from(vec![1; case * 7]);
        let item = |slots| AccessListItem { address: account(3), slots: vec![B256::ZERO; slots] };
        native.access_list = (0..case / 4).map(item).collect();
        let length = super::charge::encoded_length(&native);
        assert_eq!(length, signed(&rules, &key(1), native).transaction().to_bytes().len());
    }
}

#[test]
fn what_cannot_be_charged_is_left_out_with_its_reason() {
    assert_eq!(reason(|one| one.nonce = 1), LeftOut::NonceTooHigh { expected: 0, found: 1 });
    assert_eq!(reason(|one| one.nonce = u64::MAX), LeftOut::NonceTooHigh { expected: 0, found: u64::MAX });
    let needed = Gas(21_000 + 32_000 + 2 + 16);
    let creation = reason(|one| (one.to, one.data) = (None, Bytes::from_static(&[1])));
    assert_eq!(creation, LeftOut::GasTooLow { needed, limit: Gas(21_000) });
    let too_long = reason(|one| (one.to, one.data) = (None, vec![0; 49_153].into()));
    assert_eq!(too_long, LeftOut::InitCodeTooLong { length: 49_153, limit: 49_152 });
    let expired = LeftOut::Expired { valid_until: Height(0), height: Height(1) };
    assert_eq!(reason(|one| one.valid_until = Some(Height(0))), expired);
    let too_low = LeftOut::GasTooLow { needed: Gas(21_000), limit: Gas(20_999) };
    assert_eq!(reason(|one| one.gas_limit = Gas(20_999)), too_low);
    let fee = LeftOut::FeeTooLow { max_fee: GWEI - 1, base_fee: GWEI };
    assert_eq!(reason(|one| (one.max_fee, one.max_tip) = (GWEI - 1, 0)), fee);
    let full = LeftOut::BlockGas { wanted: Gas(u64::MAX), left: Gas(100_000_000) };
    assert_eq!(reason(|one| one.gas_limit = Gas(u64::MAX)), full);
}

/// The worst case is counted in 512 bits, so that no product or sum wraps into something affordable.
#[test]
fn cry_6_what_wraps_in_256_bits_is_unaffordable() {
    let unaffordable = reason(|one| one.value = U256::MAX);
    let needed = U512::from(U256::MAX) + U512::from(21_000 * 10 * GWEI);
    assert_eq!(unaffordable, LeftOut::Unaffordable { needed, balance: U256::from(1_000 * SYN) });
    let just_too_much = U256::from(1_000 * SYN - 21_000 * 10 * GWEI + 1);
    assert!(matches!(reason(|one| one.value = just_too_much), LeftOut::Unaffordable { .. }));
    assert_eq!(one(|one| one.value = just_too_much - U256::ONE).included.len(), 1);
    let unaffordable = reason(|one| (one.max_fee, one.max_tip) = (u128::MAX, 0));
    assert!(matches!(unaffordable, LeftOut::Unaffordable { .. }));
}

#[test]
fn valid_until_names_the_last_height() {
    assert_eq!(one(|one| one.valid_until = Some(Height(1))).included.len(), 1);
}

#[test]
fn a_blocks_sums_fit_its_limits() {
    let (mut rules, view) = setup();
    let many: Vec<_> = (0..5)
        .map(|nonce| signed(&rules, &key(1), unsigned(&rules, key(1).public(), nonce, account(2), 1)))
        .collect();
    let bytes = many[0].transaction().to_bytes().len() as u32;
    let mut run = |change: &dyn Fn(&mut Rules)| {
        let before = rules.limits.clone();
        change(&mut rules);
        let outcome = execute(&mut Vm::new(), &rules, &view, &PARENT, proposal(&rules, many.clone()));
        rules.limits = before;
        (outcome.included.len(), outcome.left_out.first().map(|one| one.1.code()))
    };
    assert_eq!(run(&|_| {}), (5, None));
    assert_eq!(run(&|rules| rules.limits.block_gas = Gas(3 * 21_000)), (3, Some("block_gas_full")));
    assert_eq!(run(&|rules| rules.limits.block_bytes = 4 * bytes), (4, Some("block_bytes_full")));
    assert_eq!(run(&|rules| rules.limits.block_transactions = 2), (2, Some("block_count_full")));
}

#[test]
fn pow_10_a_reward_matures_at_the_settled_depth() {
    let (rules, view) = setup();
    let mut state = State::new(view.entries());
    for height in 1..=6 {
        let parent = Parent { height: Height(height - 1), ..PARENT };
        let outcome = execute(&mut Vm::new(), &rules, &state.view(), &parent, proposal(&rules, Vec::new()));
        state.apply(outcome.diff.into());
        let balance = state.view().account(&account(MINER)).balance;
        assert_eq!(balance, U256::from(if height < 6 { 0 } else { 5 * SYN }), "height {height}");
    }
    let system = state.view().system();
    assert_eq!((system.issued, system.immature), (U256::from(30 * SYN), U256::from(25 * SYN)));
    assert_eq!(state.view().reward(Height(1)), None);
    assert!(state.view().reward(Height(2)).is_some());
}

#[test]
#[should_panic(expected = "books do not balance")]
fn a4_made_money_stops_the_process() {
    let mut diff = one(|_| {}).diff;
    diff.accounts[0].after.balance += U256::ONE;
    check_books(&diff);
}

#[test]
fn the_same_payload_builds_the_same_block() {
    let (first, second) = (one(|_| {}), one(|_| {}));
    assert_eq!(first, second);
    let (rules, _) = setup();
    let roots = Roots { transactions: B256::ZERO, state: B256::ZERO, receipts: B256::ZERO };
    let block = seal(&rules, PARENT.hash, &first, roots, 7);
    assert_eq!(compare((&block.0, &block.1), (&block.0, &block.1)), Ok(()));
    let mut other = block.clone();
    (other.0.bits, other.0.nonce, other.1.extra_nonce) = (8, 9, 10);
    assert_eq!(compare((&block.0, &block.1), (&other.0, &other.1)), Ok(()), "these come from outside");
    let spoilt: [fn(&mut (synod_types::Header, synod_types::Commitment)); 6] = [
        |block| block.0.time += 1,
        |block| block.1.millis += 1,
        |block| block.1.format += 1,
        |block| block.1.position.slot.0 += 1,
        |block| block.1.base_fee += 1,
        |block| block.1.state_root.0[5] ^= 1,
    ];
    for spoil in spoilt {
        let mut other = block.clone();
        spoil(&mut other);
        assert!(compare((&block.0, &block.1), (&other.0, &other.1)).is_err());
    }
}

fn metered(fees: Fees) -> (Rules, System) {
    let (mut rules, view) = setup();
    rules.fees = fees;
    (rules, view.system())
}

/// A burst of full blocks within one period moves the fee once, and by no more than an eighth; whoever waits
/// with a fee 9/8 above stays included for a whole period more.
#[test]
fn a_burst_of_blocks_moves_the_fee_by_an_eighth_a_period() {
    let (rules, mut system) = metered(Fees::default());
    let mut last = open_period(&rules, rules.genesis_time, &mut system);
    for period in 0..40 {
        for block in 0..50 {
            let time = UnixMillis(rules.genesis_time.0 + period * rules.fees.period_ms + block * 40);
            let fee = open_period(&rules, time, &mut system);
            assert!(fee <= last + last / 8 && (block == 0 || fee == last), "period {period}");
            close_block(Gas(u64::MAX / 100), &mut system);
            last = fee;
        }
    }
    assert!(last > 80 * GWEI, "under pressure it grows: {last}");
}

/// After any burst an idle chain's fee decays to the floor by the clock alone, in bounded time and bounded work.
#[test]
fn idleness_brings_the_fee_to_the_floor_without_blocks() {
    let (rules, mut system) = metered(Fees::default());
    system.base_fee = 1_000_000 * GWEI;
    system.period_gas = u64::MAX;
    let mut last = base_fee_at(&rules, UnixMillis(rules.genesis_time.0 + 2_000), &system);
    assert_eq!(last, 1_125_000 * GWEI);
    for periods in 2..300 {
        let time = UnixMillis(rules.genesis_time.0 + periods * 2_000);
        let fee = base_fee_at(&rules, time, &system);
        assert!(fee < last || fee == GWEI);
        last = fee;
    }
    assert_eq!(last, GWEI);
    assert_eq!(base_fee_at(&rules, UnixMillis(u64::MAX), &system), GWEI);
    system.base_fee = u128::MAX;
    assert_eq!(base_fee_at(&rules, UnixMillis(u64::MAX), &system), GWEI);
}

/// Many small blocks or one large one, the fee is the same: it follows time, not blocks.
#[test]
fn the_fee_does_not_depend_on_how_gas_is_cut_into_blocks() {
    let (rules, start) = metered(Fees::default());
    let after = |blocks: u64| {
        let mut system = start;
        for period in 0..10 {
            for block in 0..blocks {
                let time = UnixMillis(rules.genesis_time.0 + period * 2_000 + block);
                open_period(&rules, time, &mut system);
                close_block(Gas(180_000_000 / blocks), &mut system);
            }
        }
        base_fee_at(&rules, UnixMillis(rules.genesis_time.0 + 20_000), &system)
    };
    assert_eq!(after(1), after(100));
    assert!(after(1) > 2 * GWEI);
}

#[test]
fn a_block_whose_time_goes_back_stays_in_its_parents_period() {
    let (rules, mut system) = metered(Fees::default());
    system.period = 5;
    system.base_fee = 7 * GWEI;
    assert_eq!(base_fee_at(&rules, rules.genesis_time, &system), 7 * GWEI);
    assert_eq!(base_fee_at(&rules, UnixMillis(0), &system), 7 * GWEI);
    system.period_gas = target_gas(&rules);
    assert_eq!(base_fee_at(&rules, UnixMillis(rules.genesis_time.0 + 12_000), &system), 7 * GWEI);
}

#[test]
fn the_genesis_block_stands_for_the_genesis() {
    let genesis = genesis();
    let block = genesis_block(&genesis);
    assert_eq!(block.check_body(), Ok(()));
    assert_eq!((block.header.parent.0, block.header.bits), (genesis.hash(), genesis.pow.bits));
    assert_eq!(block.time(), genesis.time);
    let mut other = genesis;
    other.alloc.insert(account(70), U256::ONE);
    assert_ne!(genesis_block(&other).commitment.state_root, block.commitment.state_root);
    assert_ne!(TransactionId::default().0, block.hash().0);
}
