//! One sender's transactions, by nonce, and what the account can pay.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use synod_types::{Address, U256, UnixMillis, VerifiedTransaction};

use super::eviction::{Rank, Tail};
use super::{AccountState, Origin};

/// A waiting transaction.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) transaction: VerifiedTransaction,
    /// Of its canonical encoding.
    pub(super) bytes: usize,
    /// The most that it can take from the account: gas limit times fee, and the value.
    pub(super) cost: U256,
    pub(super) received: UnixMillis,
    /// Numbers arrivals.
    pub(super) ticket: u64,
    pub(super) origin: Origin,
}

impl Entry {
    pub(super) fn nonce(&self) -> u64 {
        self.transaction.native().nonce
    }

    pub(super) fn local_bytes(&self) -> usize {
        if self.origin == Origin::Local { self.bytes } else { 0 }
    }
}

/// The most that a transaction can take from its account; `None` beyond 2^256.
pub(super) fn cost(transaction: &VerifiedTransaction) -> Option<U256> {
    let native = transaction.native();
    let fee = U256::from(native.max_fee).checked_mul(U256::from(native.gas_limit.0))?;
    fee.checked_add(native.value)
}

/// A sender's queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// The account at the tip.
    pub(super) account: AccountState,
    /// The sender's place in the line.
    pub(super) turn: u64,
    /// Never below the account's nonce. Boxed, because a tree makes room for eleven entries where one stands, and
    /// a flood of senders with one transaction each would cost a pool many times its bytes.
    pub(super) entries: BTreeMap<u64, Box<Entry>>,
    /// What the pool's index holds for this queue.
    pub(super) indexed_tail: Option<Tail>,
}

impl Queue {
    pub(super) fn new(account: AccountState, turn: u64) -> Self {
        Self { account, turn, entries: BTreeMap::new(), indexed_tail: None }
    }

    /// The entries that a block could take now, were the base fee low enough: without a gap from the
    /// account's nonce on, as far as the balance covers the worst case of each and of all before it.
    pub(super) fn executable(&self) -> impl Iterator<Item = &Entry> {
        let mut left = self.account.balance;
        self.entries.range(self.account.nonce..).zip(self.account.nonce..).map_while(
            move |((&nonce, entry), expected)| {
                left = left.checked_sub(entry.cost)?;
                (nonce == expected).then_some(&**entry)
            },
        )
    }

    /// The first nonce that is free without a gap before it.
    pub(super) fn next_nonce(&self) -> u64 {
        let run = self.entries.keys().zip(self.account.nonce..).take_while(|(held, next)| **held == *next);
        self.account.nonce.saturating_add(run.count() as u64)
    }

    /// What the entries below `nonce` may cost together.
    pub(super) fn cost_below(&self, nonce: u64) -> U256 {
        self.entries.range(..nonce).fold(U256::ZERO, |sum, (_, entry)| sum.saturating_add(entry.cost))
    }

    /// The last entry as the eviction index knows it.
    pub(super) fn tail(&self, sender: Address) -> Option<Tail> {
        self.entries.last_key_value().map(|(&nonce, entry)| self.tail_of(sender, nonce, entry))
    }

    /// What would be the last entry when all from `nonce` on had left.
    pub(super) fn tail_below(&self, sender: Address, nonce: u64) -> Option<Tail> {
        let (&nonce, entry) = self.entries.range(..nonce).next_back()?;
        Some(self.tail_of(sender, nonce, entry))
    }

    fn tail_of(&self, sender: Address, nonce: u64, entry: &Entry) -> Tail {
        let native = entry.transaction.native();
        let rank = Rank {
            executable: self.executable().any(|one| one.nonce() == nonce),
            max_fee: native.max_fee,
            max_tip: native.max_tip,
            age: Reverse(entry.ticket),
        };
        Tail { rank, sender, nonce, bytes: entry.bytes }
    }
}
