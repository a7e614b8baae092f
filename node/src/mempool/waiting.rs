//! Why a transaction is not in a block yet.

use synod_types::{TransactionId, U256};

use super::Pool;

/// Why a transaction waits. Each sentence is for the one who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// Nothing is in its way.
    #[error("it waits for its sender's turn in a block")]
    Turn,
    /// An earlier nonce is missing.
    #[error("nonce {missing} of the same sender is missing and must come first")]
    Gap {
        /// The first missing nonce.
        missing: u64,
    },
    /// The account cannot pay for it.
    #[error("the account has {balance} wei, and this and what comes before it may cost {needed}")]
    Funds {
        /// What it and the sender's transactions before it may cost.
        needed: U256,
        /// What the account has.
        balance: U256,
    },
    /// The base fee is above its fee.
    #[error("the base fee is {base_fee} wei for each gas, and this pays at most {max_fee}: raise it or wait")]
    BaseFee {
        /// The next block's.
        base_fee: u128,
        /// The transaction's.
        max_fee: u128,
    },
    /// An earlier transaction of the sender waits for something.
    #[error("nonce {nonce} of the same sender comes first: {reason}")]
    Behind {
        /// The first that waits.
        nonce: u64,
        /// For what.
        reason: Box<Waiting>,
    },
}

impl Pool {
    /// Why a transaction in the pool is not in a block yet, if the next one asks `base_fee`, wei for each gas.
    pub fn waiting(&self, id: TransactionId, base_fee: u128) -> Option<Waiting> {
        let (sender, wanted) = self.ids.get(&id)?;
        let queue = self.queues.get(sender)?;
        let mut needed = U256::ZERO;
        for ((&nonce, entry), expected) in queue.entries.iter().zip(queue.account.nonce..) {
            needed = needed.saturating_add(entry.cost);
            let max_fee = entry.transaction.native().max_fee;
            let balance = queue.account.balance;
            let obstacle = if nonce != expected {
                // The missing nonce is the same obstacle for all that come after it.
                return Some(Waiting::Gap { missing: expected });
            } else if needed > balance {
                Some(Waiting::Funds { needed, balance })
            } else if max_fee < base_fee {
                Some(Waiting::BaseFee { base_fee, max_fee })
            } else {
                None
            };
            match obstacle {
                Some(reason) if nonce == *wanted => return Some(reason),
                Some(reason) => return Some(Waiting::Behind { nonce, reason: Box::new(reason) }),
                None if nonce == *wanted => return Some(Waiting::Turn),
                None => {}
            }
        }
        None
    }
}
