//! Views stay what they were, whatever the owner does meanwhile.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::testing::account;

fn funded(accounts: u64, balance: u64) -> State {
    let mut loading = Loading::default();
    (0..accounts).for_each(|number| loading.account(account(number), Account::funded(U256::from(balance))));
    loading.finish(System::default())
}

fn empty() -> State {
    funded(0, 0)
}

/// A diff over the state that sets random accounts and rewards to random values or removes them.
fn diff(state: &State, random: &mut ChaCha8Rng) -> Diff {
    let view = state.view();
    let mut changes = DiffBuilder::new(&view);
    for _ in 0..random.next_u64() % 12 {
        let balance = U256::from(random.next_u64() % 3);
        changes.account(&account(random.next_u64() % 25)).balance = balance;
        let reward = Reward { recipient: account(1), amount: U256::from(random.next_u64()) };
        let reward = random.next_u64().is_multiple_of(2).then_some(reward);
        changes.set_reward(Height(random.next_u64() % 9), reward);
    }
    changes.system().period_gas = random.next_u64();
    changes.finish()
}

fn check(view: &View, expected: &Entries) {
    assert_eq!(view.entries(), *expected);
    let accounts: BTreeMap<_, _> = expected.accounts.iter().cloned().collect();
    for number in 0..25 {
        let address = account(number);
        assert_eq!(view.account(&address), accounts.get(&address).cloned().unwrap_or_default());
    }
    assert_eq!(view.system(), expected.system);
}

/// Random walks of blocks applied and taken back: every view ever taken keeps saying what it said first, also
/// those of branches that were left.
#[test]
fn a14_views_never_change() {
    for seed in 0..10 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut state, mut stack, mut taken) = (empty(), Vec::new(), Vec::new());
        for _ in 0..80 {
            match stack.pop() {
                Some((diff, before)) if random.next_u64().is_multiple_of(3) => {
                    state.revert(diff);
                    assert_eq!(state.view().entries(), before, "undo leads back");
                }
                top => {
                    stack.extend(top);
                    let (before, diff) = (state.view().entries(), Arc::new(diff(&state, &mut random)));
                    state.apply(diff.clone());
                    stack.push((diff, before));
                }
            }
            taken.push((state.view(), state.view().entries()));
        }
        for (view, expected) in &taken {
            check(view, expected);
        }
    }
}

/// Readers on other threads see one block's state, never half of another's, while the owner goes on.
#[test]
fn rpc_5_readers_see_whole_blocks_while_the_owner_writes() {
    let mut state = funded(64, 1_000);
    let done = AtomicBool::new(false);
    let (send, receive) = std::sync::mpsc::sync_channel::<View>(4);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for view in receive {
                let sum: U256 = (0..64)
                    .map(|number| view.account(&account(number)).balance)
                    .fold(U256::ZERO, |a, b| a + b);
                assert_eq!(sum, U256::from(64_000));
            }
            assert!(done.load(Ordering::SeqCst));
        });
        for round in 0..2_000_u64 {
            let view = state.view();
            let mut changes = DiffBuilder::new(&view);
            changes.account(&account(round % 64)).balance -= U256::from(round % 7);
            changes.account(&account((round * 31 + 5) % 64)).balance += U256::from(round % 7);
            changes.system().period = round;
            let diff = Arc::new(changes.finish());
            state.apply(diff.clone());
            if round % 5 == 0 {
                state.revert(diff);
            }
            // When the reader is behind, this view is simply not looked at.
            let _full = send.try_send(state.view());
        }
        done.store(true, Ordering::SeqCst);
        drop(send);
    });
}

/// A view that was held for a hundred thousand blocks lets go of them without using up the stack.
#[test]
fn an_old_view_lets_go_of_a_long_journal() {
    let mut state = empty();
    let old = state.view();
    for round in 0..100_000 {
        let view = state.view();
        let mut changes = DiffBuilder::new(&view);
        changes.system().period = round;
        state.apply(Arc::new(changes.finish()));
    }
    drop(state);
    drop(old);
}

#[test]
#[should_panic(expected = "the state that it was made from")]
fn pow_9_a_diff_is_not_applied_out_of_order() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut state = empty();
    let first = Arc::new(diff(&state, &mut random));
    state.apply(first.clone());
    state.apply(first);
}
