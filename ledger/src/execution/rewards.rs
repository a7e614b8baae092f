//! Rewards under proof of work: issued with the block, spendable only when the block is settled.
//!
//! The reward of the block at height h waits in the state under h, and is credited at the start of the block
//! at height h + `settled_depth` (POW-10). The schedule is [`synod_types::genesis::ProofOfWork::reward_at`].

use synod_types::genesis::Ordering;
use synod_types::{Address, Height};

use super::Rules;
use crate::state::{DiffBuilder, Reward, StateRead};

/// Credits the reward that matures in the block at `height`.
pub(super) fn mature<S: StateRead + ?Sized>(rules: &Rules, height: Height, changes: &mut DiffBuilder<'_, S>) {
    let Some(issued_at) = height.0.checked_sub(rules.pow.settled_depth).map(Height) else {
        return;
    };
    let Some(reward) = changes.reward(issued_at) else {
        return;
    };
    changes.set_reward(issued_at, None);
    changes.system().immature -= reward.amount;
    let account = changes.account(&reward.recipient);
    account.balance = account.balance.checked_add(reward.amount).expect("all money together is below 2^192");
}

/// Adds the reward of the block at `height` to the immature ones.
pub(super) fn issue<S: StateRead + ?Sized>(
    rules: &Rules,
    height: Height,
    recipient: Address,
    changes: &mut DiffBuilder<'_, S>,
) {
    if rules.ordering != Ordering::Pow {
        return;
    }
    let amount = rules.pow.reward_at(height.0);
    if amount.is_zero() {
        return;
    }
    changes.set_reward(height, Some(Reward { recipient, amount }));
    let system = changes.system();
    system.immature += amount;
    system.issued += amount;
}
