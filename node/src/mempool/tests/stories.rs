//! What senders see.

use synod_types::{Height, TransactionId, U256, UnixMillis, VerifiedTransaction};

use super::fixture::{Accounts, FLOOR, GENESIS, NOW, ROOM, TIP, Terms, address, pool, verified};
use crate::mempool::journal::PoolLog;
use crate::mempool::{
    BlockRoom, Changed, Insertion, NewTip, Origin, Pool, PoolLimits, Rejection, ResetReport, Tip, Waiting,
};

fn insert(pool: &mut Pool, accounts: &Accounts, terms: Terms) -> Result<Insertion, Rejection> {
    pool.insert(verified(&terms), Origin::Network, NOW, accounts)
}

fn added(pool: &mut Pool, accounts: &Accounts, terms: Terms) -> TransactionId {
    let transaction = verified(&terms);
    let id = transaction.id();
    let result = pool.insert(transaction, Origin::Network, NOW, accounts);
    assert!(matches!(result, Ok(Insertion::Added { .. })), "{result:?}");
    id
}

fn ids(transactions: &[VerifiedTransaction]) -> Vec<TransactionId> {
    transactions.iter().map(VerifiedTransaction::id).collect()
}

fn step(pool: &mut Pool, accounts: &Accounts, included: &[VerifiedTransaction]) -> ResetReport {
    let included: Vec<_> = included.iter().map(|one| (one.sender(), one.id())).collect();
    let new = NewTip {
        tip: TIP,
        view: accounts,
        changed: Changed::Unknown,
        included: &included,
        reverted: Vec::new(),
        now: NOW,
    };
    pool.reset(new)
}

#[test]
fn senders_are_served_round_robin_and_fees_buy_no_turn() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    for nonce in 0..10 {
        added(&mut pool, &accounts, Terms { sender: 1, nonce, max_fee: 1_000_000, ..Terms::default() });
    }
    added(&mut pool, &accounts, Terms { sender: 2, ..Terms::default() });
    added(&mut pool, &accounts, Terms { sender: 3, ..Terms::default() });
    let senders: Vec<_> = pool.select(ROOM, 50).iter().map(VerifiedTransaction::sender).collect();
    let (one, two, three) = (address(1), address(2), address(3));
    assert_eq!(senders[..4], [one, two, three, one]);
    assert_eq!(senders.len(), 12);
}

/// Twenty senders, five places a block: in four blocks each gets one place, whatever the others add.
#[test]
fn whoever_was_served_goes_to_the_end_of_the_line() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    for sender in 0..20 {
        for nonce in 0..if sender < 5 { 20 } else { 1 } {
            added(&mut pool, &accounts, Terms { sender, nonce, ..Terms::default() });
        }
    }
    let mut served = std::collections::BTreeMap::new();
    for _ in 0..4 {
        let block = pool.select(BlockRoom { transactions: 5, ..ROOM }, 50);
        assert_eq!(block.len(), 5);
        for transaction in &block {
            *served.entry(transaction.sender()).or_insert(0) += 1;
            let account = accounts.0.get_mut(&transaction.sender()).unwrap();
            account.nonce += 1;
        }
        let report = step(&mut pool, &accounts, &block);
        assert_eq!(report.included.len(), 5);
    }
    assert_eq!(served.len(), 20);
    assert!(served.values().all(|count| *count == 1));
}

/// A large transaction that never fits behind others is first in line in time, and an empty block has room.
#[test]
fn a_large_transaction_gets_its_turn() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    for nonce in 0..30 {
        for sender in 1..4 {
            added(&mut pool, &accounts, Terms { sender, nonce, ..Terms::default() });
        }
    }
    let large = added(&mut pool, &accounts, Terms { sender: 4, gas: 5 * 21_000, ..Terms::default() });
    let room = BlockRoom { gas: synod_types::Gas(6 * 21_000), ..ROOM };
    for block in 0.. {
        assert!(block < 3, "three senders stand before it");
        let selected = pool.select(room, 50);
        if ids(&selected).contains(&large) {
            break;
        }
        for transaction in &selected {
            accounts.0.get_mut(&transaction.sender()).unwrap().nonce += 1;
        }
        step(&mut pool, &accounts, &selected);
    }
}

#[test]
fn cry_3_a_replacement_pays_ten_percent_more_fee_and_tip() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let with = |max_fee, max_tip| Terms { max_fee, max_tip, ..Terms::default() };
    let first = added(&mut pool, &accounts, with(101, 10));
    for (fee, tip) in [(101, 10), (111, 11), (112, 10), (1_000, 10), (111, 100), (90, 9)] {
        let different = Terms { value: 6, ..with(fee, tip) };
        let refused = insert(&mut pool, &accounts, different);
        let expected = Rejection::ReplacementUnderpriced { existing: first, fee_needed: 112, tip_needed: 11 };
        assert_eq!(refused, Err(expected), "{fee} {tip}");
    }
    let result = insert(&mut pool, &accounts, with(112, 11)).unwrap();
    assert_eq!(result, Insertion::Added { replaced: Some(first), evicted: Vec::new() });
    assert_eq!(pool.len(), 1);
    assert!(pool.find(first).is_none());
}

#[test]
fn a_replacement_of_a_free_tip_must_offer_one() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    added(&mut pool, &accounts, Terms { max_fee: 100, max_tip: 0, ..Terms::default() });
    assert!(insert(&mut pool, &accounts, Terms { max_fee: 110, max_tip: 0, ..Terms::default() }).is_err());
    added(&mut pool, &accounts, Terms { max_fee: 110, max_tip: 1, ..Terms::default() });
}

#[test]
fn rpc_4_submitting_again_changes_nothing_but_may_make_it_local() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let transaction = verified(&Terms::default());
    pool.insert(transaction.clone(), Origin::Network, NOW, &accounts).unwrap();
    for (origin, newly_local) in [(Origin::Network, false), (Origin::Local, true), (Origin::Local, false)] {
        let again = pool.insert(transaction.clone(), origin, NOW, &accounts).unwrap();
        assert_eq!(again, Insertion::Known { newly_local });
    }
    assert_eq!((pool.len(), pool.local_bytes()), (1, pool.bytes()));
    assert_eq!(pool.local().count(), 1);
}

#[test]
fn cry_5_the_window_is_sixty_four_nonces() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    accounts.set(1, 7, u128::MAX);
    let at = |nonce| Terms { nonce, ..Terms::default() };
    added(&mut pool, &accounts, at(70));
    let too_high = insert(&mut pool, &accounts, at(71));
    assert_eq!(too_high, Err(Rejection::NonceTooHigh { nonce: 71, expected: 7, highest: 70 }));
    let too_low = insert(&mut pool, &accounts, at(6));
    assert_eq!(too_low, Err(Rejection::NonceTooLow { nonce: 6, expected: 7 }));
    assert!(matches!(insert(&mut pool, &accounts, at(u64::MAX)), Err(Rejection::NonceTooHigh { .. })));
}

#[test]
fn what_no_block_can_take_is_refused_at_the_door() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let mut refused = |terms| insert(&mut pool, &accounts, terms).unwrap_err();
    let low = Terms { max_fee: FLOOR - 1, max_tip: 0, ..Terms::default() };
    assert!(matches!(refused(low), Rejection::FeeTooLow { .. }));
    assert!(matches!(refused(Terms { gas: 20_999, ..Terms::default() }), Rejection::GasTooLow { .. }));
    assert!(matches!(refused(Terms { gas: 10_000_001, ..Terms::default() }), Rejection::GasTooHigh { .. }));
    assert!(matches!(refused(Terms { data: 128 * 1024, ..Terms::default() }), Rejection::TooLarge { .. }));
    let past = Terms { valid_until: Some(TIP.height.0), ..Terms::default() };
    assert!(matches!(refused(past), Rejection::Expired { next: Height(11), .. }));
    let overflowing = Terms { max_fee: u128::MAX, gas: 10_000_000, ..Terms::default() };
    assert!(matches!(refused(overflowing), Rejection::InsufficientFunds { .. }));
    added(&mut pool, &accounts, Terms { valid_until: Some(TIP.height.0 + 1), ..Terms::default() });
}

#[test]
fn an_account_cannot_promise_its_money_twice() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::default());
    let one = 100 * 21_000 + 5;
    accounts.set(1, 0, 2 * one);
    added(&mut pool, &accounts, Terms::default());
    added(&mut pool, &accounts, Terms { nonce: 1, ..Terms::default() });
    let third = insert(&mut pool, &accounts, Terms { nonce: 2, ..Terms::default() });
    let (cost, balance) = (U256::from(one), U256::from(2 * one));
    assert_eq!(third, Err(Rejection::InsufficientFunds { cost, waiting: balance, balance }));
}

#[test]
fn a_full_pool_evicts_the_cheapest_tail_and_refuses_what_is_cheaper_still() {
    let size = verified(&Terms::default()).transaction().to_bytes().len();
    let limits = PoolLimits { bytes: 4 * size, ..PoolLimits::default() };
    let (mut pool, accounts) = (pool(limits), Accounts::rich());
    let of = |sender, nonce, max_fee| Terms { sender, nonce, max_fee, ..Terms::default() };
    // Sender 1's first pays least of all, but a dearer one stands on it.
    added(&mut pool, &accounts, of(1, 0, 20));
    let dear = added(&mut pool, &accounts, of(1, 1, 500));
    let cheap = added(&mut pool, &accounts, of(2, 0, 100));
    added(&mut pool, &accounts, of(3, 0, 200));
    assert_eq!(pool.fee_to_enter(), 101);
    let refused = insert(&mut pool, &accounts, of(4, 0, 100)).unwrap_err();
    assert_eq!(refused, Rejection::PoolFull { cheapest: 100 });
    let entered = insert(&mut pool, &accounts, of(4, 0, 101)).unwrap();
    assert_eq!(entered, Insertion::Added { replaced: None, evicted: vec![cheap] });
    assert!(pool.find(dear).is_some());
}

#[test]
fn promises_that_cannot_be_called_in_leave_first() {
    let size = verified(&Terms::default()).transaction().to_bytes().len();
    let limits = PoolLimits { bytes: 3 * size, ..PoolLimits::default() };
    let (mut pool, accounts) = (pool(limits), Accounts::rich());
    let gapped = added(&mut pool, &accounts, Terms { nonce: 5, max_fee: 1 << 60, ..Terms::default() });
    added(&mut pool, &accounts, Terms { sender: 2, ..Terms::default() });
    added(&mut pool, &accounts, Terms { sender: 3, ..Terms::default() });
    let entered = insert(&mut pool, &accounts, Terms { sender: 4, max_fee: 60, ..Terms::default() }).unwrap();
    assert_eq!(entered, Insertion::Added { replaced: None, evicted: vec![gapped] });
    let late = insert(&mut pool, &accounts, Terms { nonce: 5, max_fee: 1 << 60, ..Terms::default() });
    assert!(matches!(late, Err(Rejection::PoolFull { .. })));
}

#[test]
fn each_waiting_transaction_says_why() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let turn = added(&mut pool, &accounts, Terms::default());
    let cheap = added(&mut pool, &accounts, Terms { nonce: 1, max_fee: 49, ..Terms::default() });
    let behind = added(&mut pool, &accounts, Terms { nonce: 2, ..Terms::default() });
    let gap = added(&mut pool, &accounts, Terms { sender: 2, nonce: 1, ..Terms::default() });
    let poor = added(&mut pool, &accounts, Terms { sender: 3, ..Terms::default() });
    accounts.set(3, 0, 7);
    step(&mut pool, &accounts, &[]);
    let low = Waiting::BaseFee { base_fee: 50, max_fee: 49 };
    assert_eq!(pool.waiting(turn, 50), Some(Waiting::Turn));
    assert_eq!(pool.waiting(cheap, 50), Some(low.clone()));
    assert_eq!(pool.waiting(behind, 50), Some(Waiting::Behind { nonce: 1, reason: Box::new(low) }));
    assert_eq!(pool.waiting(gap, 50), Some(Waiting::Gap { missing: 0 }));
    let (needed, balance) = (U256::from(100 * 21_000 + 5), U256::from(7));
    assert_eq!(pool.waiting(poor, 50), Some(Waiting::Funds { needed, balance }));
    assert_eq!(pool.waiting(TransactionId::default(), 50), None);
    // A lower base fee is in nobody's way, whatever the pool heard last.
    assert_eq!([turn, cheap, behind].map(|id| pool.waiting(id, 49)), [(); 3].map(|()| Some(Waiting::Turn)));
}

#[test]
fn a_transaction_waits_since_it_came_or_since_the_fee_fell_to_what_it_pays() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let later = |seconds: u64| UnixMillis(NOW.0 + 1_000 * seconds);
    let came = |pool: &mut Pool, sender, max_fee, at| {
        let one = verified(&Terms { sender, max_fee, ..Terms::default() });
        let id = one.id();
        pool.insert(one, Origin::Network, later(at), &accounts).unwrap();
        id
    };
    // It came at 1 and could not pay until 5.
    came(&mut pool, 1, 45, 1);
    assert_eq!(pool.oldest_executable(), None);
    pool.ask(46, later(4));
    assert_eq!(pool.oldest_executable(), None);
    pool.ask(45, later(5));
    assert_eq!(pool.oldest_executable(), Some(later(5)));
    // What came after that fall and pays as much does not wait longer, what could pay since it came does.
    came(&mut pool, 2, 45, 7);
    assert_eq!(pool.oldest_executable(), Some(later(5)));
    let first = came(&mut pool, 3, 100, 3);
    assert_eq!(pool.oldest_executable(), Some(later(3)));
    // The fee rises above the two, and falls below them again.
    pool.ask(60, later(8));
    pool.ask(40, later(9));
    assert_eq!(pool.oldest_executable(), Some(later(3)));
    accounts.set(3, 1, u128::MAX);
    pool.reset(NewTip {
        tip: Tip { base_fee: 40, ..TIP },
        view: &accounts,
        changed: Changed::Unknown,
        included: &[(address(3), first)],
        reverted: Vec::new(),
        now: later(10),
    });
    assert_eq!(pool.oldest_executable(), Some(later(9)));
}

#[test]
fn pow_9_a_reorg_returns_transactions_in_nonce_order_and_drops_what_conflicts() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let chain: Vec<_> = (0..5).map(|nonce| verified(&Terms { nonce, ..Terms::default() })).collect();
    let waiting = verified(&Terms { nonce: 5, ..Terms::default() });
    accounts.set(1, 5, u128::MAX);
    pool.insert(waiting.clone(), Origin::Network, NOW, &accounts).unwrap();
    // The new branch has another transaction at nonce 0 and the same one at nonce 1.
    accounts.set(1, 2, u128::MAX);
    let rival = verified(&Terms { value: 77, ..Terms::default() });
    let included = [(rival.sender(), rival.id()), (chain[1].sender(), chain[1].id())];
    let reverted =
        vec![chain[3].clone(), chain[0].clone(), chain[1].clone(), chain[4].clone(), chain[2].clone()];
    let report = pool.reset(NewTip {
        tip: TIP,
        view: &accounts,
        changed: Changed::Accounts(&[address(1)]),
        included: &included,
        reverted,
        now: NOW,
    });
    assert_eq!(report.returned, ids(&chain[2..]));
    let lost = (chain[0].id(), Rejection::NonceTooLow { nonce: 0, expected: 2 });
    assert_eq!(report.not_returned, [lost]);
    let expected = [&ids(&chain[2..])[..], &[waiting.id()]].concat();
    assert_eq!(ids(&pool.select(ROOM, 50)), expected);
}

/// The losing branch held a payment and what its receiver did with it. Both return; the second waits for
/// the first.
#[test]
fn pow_9_what_a_reverted_payment_funded_returns_and_waits_for_it() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let payment = verified(&Terms { sender: 2, to: 1, value: 1 << 40, ..Terms::default() });
    let spending = verified(&Terms { sender: 1, to: 3, ..Terms::default() });
    accounts.set(1, 0, 0);
    let report = pool.reset(NewTip {
        tip: TIP,
        view: &accounts,
        changed: Changed::Unknown,
        included: &[],
        reverted: vec![payment.clone(), spending.clone()],
        now: NOW,
    });
    assert_eq!(report.returned, [payment.id(), spending.id()]);
    assert_eq!(ids(&pool.select(ROOM, 50)), [payment.id()]);
    assert!(matches!(pool.waiting(spending.id(), TIP.base_fee), Some(Waiting::Funds { .. })));
    accounts.set(1, 0, 1 << 40);
    accounts.set(2, 1, u128::MAX);
    let report = step(&mut pool, &accounts, std::slice::from_ref(&payment));
    assert_eq!(report.included, [payment.id()]);
    assert_eq!(ids(&pool.select(ROOM, 50)), [spending.id()]);
}

#[test]
fn pow_10_transactions_leave_when_their_last_height_has_passed() {
    let (mut pool, accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let until = |sender, height| Terms { sender, valid_until: Some(height), ..Terms::default() };
    let eleven = added(&mut pool, &accounts, until(1, 11));
    let twelve = added(&mut pool, &accounts, until(2, 12));
    let mut to = |height| {
        pool.reset(NewTip {
            tip: Tip { height: Height(height), base_fee: 50 },
            view: &accounts,
            changed: Changed::Accounts(&[]),
            included: &[],
            reverted: Vec::new(),
            now: NOW,
        })
        .expired
    };
    assert_eq!(to(10), []);
    assert_eq!(to(11), [eleven]);
    assert_eq!(to(12), [twelve]);
}

/// A restart: the journal gives back what was submitted here; what was included meanwhile is refused by its
/// nonce, and the rest waits again.
#[test]
fn local_submissions_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.log");
    let mut accounts = Accounts::rich();
    let (mut log, _) = PoolLog::open(&path, GENESIS, true).unwrap();
    let mut before = pool(PoolLimits::default());
    for nonce in 0..4 {
        let transaction = verified(&Terms { nonce, ..Terms::default() });
        before.insert(transaction.clone(), Origin::Local, NOW, &accounts).unwrap();
        log.append(&[transaction.transaction().to_bytes()]).unwrap();
    }
    drop((log, before));
    accounts.set(1, 2, u128::MAX);
    let (mut log, recovered) = PoolLog::open(&path, GENESIS, true).unwrap();
    let mut after = pool(PoolLimits::default());
    let verdicts = recovered.transactions.into_iter().map(|transaction| {
        let transaction = transaction.verify(super::fixture::CHAIN, GENESIS).unwrap();
        after.insert(transaction, Origin::Local, NOW, &accounts).is_ok()
    });
    assert_eq!(verdicts.collect::<Vec<_>>(), [false, false, true, true]);
    log.compact(after.local().map(VerifiedTransaction::transaction)).unwrap();
    assert_eq!(PoolLog::open(&path, GENESIS, true).unwrap().1.transactions.len(), 2);
}

/// Who asks for a payment that another of its sender replaced hears which: whether it was outbid in the pool, or a block
/// came with one that was never seen here.
#[test]
fn cry_3_what_took_a_place_is_remembered() {
    let (mut pool, mut accounts) = (pool(PoolLimits::default()), Accounts::rich());
    let payments: Vec<_> = (0..3).map(|nonce| verified(&Terms { nonce, ..Terms::default() })).collect();
    for payment in &payments {
        pool.insert(payment.clone(), Origin::Network, NOW, &accounts).unwrap();
    }
    let Terms { max_fee, max_tip, .. } = Terms::default();
    let dearer = Terms { max_fee: 2 * max_fee, max_tip: 2 * max_tip, ..Terms::default() };
    let bumped = verified(&dearer);
    pool.insert(bumped.clone(), Origin::Network, NOW, &accounts).unwrap();
    assert_eq!(pool.replaced_by(payments[0].id()), Some(bumped.id()));
    assert_eq!(pool.replaced_by(bumped.id()), None);

    let unseen = verified(&Terms { nonce: 1, value: 77, ..Terms::default() });
    accounts.set(1, 2, u128::MAX);
    let sender = bumped.sender();
    pool.reset(NewTip {
        tip: TIP,
        view: &accounts,
        changed: Changed::Unknown,
        included: &[(sender, bumped.id()), (sender, unseen.id())],
        reverted: Vec::new(),
        now: NOW,
    });
    assert_eq!(pool.replaced_by(payments[1].id()), Some(unseen.id()));
    assert_eq!(pool.replaced_by(payments[0].id()), Some(bumped.id()), "still");
    assert_eq!((pool.replaced_by(bumped.id()), pool.replaced_by(payments[2].id())), (None, None));
}
