//! The pool: verified transactions that wait for a block.
//!
//! - Each sender has a queue by nonce, at most 64 ahead of its account (CRY-5).
//! - One transaction holds each (sender, nonce) (CRY-3); another takes its place only when it pays at least
//!   10 % more, fee and tip both.
//! - Senders stand in a line and are served round robin, each by nonce; whoever got a transaction into a
//!   block goes to the end of the line. Fees buy no turn.
//! - Fees decide who is in: when the pool is full, the cheapest last transaction of a queue leaves first,
//!   those that could not be in the next block anyway before all others.
//! - After a new tip the pool is a function of (tip, pool) (POW-10): transactions of reverted blocks return
//!   in nonce order, those that conflict with the new chain leave (POW-9).
//!
//! The structure is deterministic: no clock (the time is passed in), no thread, no I/O. Signatures are
//! checked before, in [`verify`]; local submissions are journalled beside it, in [`journal`].
//!
//! Fees compare by `max_fee`, then by `max_tip`, whatever the base fee is at the moment: an order that never
//! moves needs no rebuilding, and a transaction that pays a high base fee makes room by being included.

mod admission;
mod eviction;
mod fees;
pub mod journal;
mod limits;
mod listing;
mod offers;
mod queue;
mod rejection;
mod replaced;
mod reset;
mod select;
pub mod verify;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use synod_types::{Address, Height, TransactionId, U256, UnixMillis, VerifiedTransaction};

pub use limits::{BlockRoom, ChainRules, PoolLimits};
pub use listing::Listed;
pub use offers::Offers;
pub use rejection::Rejection;
pub use reset::{Changed, NewTip, ResetReport};
pub use verify::Verdicts;
pub use waiting::Waiting;

use eviction::Tail;
use fees::BaseFee;
use queue::{Entry, Queue};
use replaced::Replaced;

/// What the pool must know of an account at the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountState {
    /// The next nonce.
    pub nonce: u64,
    /// What it can spend, in wei.
    pub balance: U256,
}

/// The accounts at the tip.
pub trait AccountView {
    /// The account; one that does not exist has nonce and balance 0.
    fn account(&self, address: &Address) -> AccountState;
}

/// What the pool must know of the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// The base fee expected of the next block, wei for each gas.
    pub base_fee: u128,
}

/// Where a transaction came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Submitted to this node: journalled, and submitted again after a restart.
    Local,
    /// From a peer, or from a reverted block.
    Network,
}

/// What an insertion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion {
    /// It is in.
    Added {
        /// The transaction of the same sender and nonce that it pushed out.
        replaced: Option<TransactionId>,
        /// Those that left to make room.
        evicted: Vec<TransactionId>,
    },
    /// It was in before.
    Known {
        /// It came from the network before and was now submitted here: it is to be journalled.
        newly_local: bool,
    },
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    rules: ChainRules,
    /// The tip's.
    height: Height,
    base_fee: BaseFee,
    queues: BTreeMap<Address, Queue>,
    ids: BTreeMap<TransactionId, (Address, u64)>,
    /// Senders by their turn.
    line: BTreeMap<u64, Address>,
    /// The last transaction of each queue, the first to be evicted first.
    tails: BTreeSet<Tail>,
    expiries: BTreeSet<(Height, Address, u64)>,
    /// The sum of values on their way to an account; modulo 2^256, so that adding and removing commute.
    incoming: BTreeMap<Address, U256>,
    bytes: usize,
    local_bytes: usize,
    replaced: Replaced,
    /// Turns and arrivals are numbered by one counter.
    next_ticket: u64,
}

impl Pool {
    /// An empty pool on `tip`.
    pub fn new(limits: PoolLimits, rules: ChainRules, tip: Tip) -> Self {
        Self {
            limits,
            rules,
            height: tip.height,
            base_fee: BaseFee::new(tip.base_fee),
            queues: BTreeMap::new(),
            ids: BTreeMap::new(),
            line: BTreeMap::new(),
            tails: BTreeSet::new(),
            expiries: BTreeSet::new(),
            incoming: BTreeMap::new(),
            bytes: 0,
            local_bytes: 0,
            replaced: Replaced::default(),
            next_ticket: 0,
        }
    }

    /// Takes a transaction out, whatever it is waiting for.
    pub fn remove(&mut self, id: TransactionId) -> Option<VerifiedTransaction> {
        let (sender, nonce) = *self.ids.get(&id)?;
        let entry = self.take(sender, nonce)?;
        self.settle(sender);
        Some(entry.transaction)
    }

    fn ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// Puts an entry into its queue and all indexes but the tails; [`Self::settle`] must follow.
    fn put(&mut self, account: AccountState, entry: Entry) {
        let (sender, nonce) = (entry.transaction.sender(), entry.nonce());
        if !self.queues.contains_key(&sender) {
            let turn = self.ticket();
            self.line.insert(turn, sender);
            self.queues.insert(sender, Queue::new(account, turn));
        }
        self.ids.insert(entry.transaction.id(), (sender, nonce));
        if let Some(height) = entry.transaction.native().valid_until {
            self.expiries.insert((height, sender, nonce));
        }
        self.credit(&entry, U256::wrapping_add);
        self.bytes += entry.bytes;
        self.local_bytes += entry.local_bytes();
        let queue = self.queues.get_mut(&sender).expect("inserted above");
        let before = queue.entries.insert(nonce, Box::new(entry));
        debug_assert!(before.is_none(), "whoever held the nonce was taken out before");
    }

    /// Takes an entry out of its queue and all indexes but the tails; [`Self::settle`] must follow.
    fn take(&mut self, sender: Address, nonce: u64) -> Option<Entry> {
        let entry = self.queues.get_mut(&sender)?.entries.remove(&nonce)?;
        self.ids.remove(&entry.transaction.id());
        if let Some(height) = entry.transaction.native().valid_until {
            self.expiries.remove(&(height, sender, nonce));
        }
        self.credit(&entry, U256::wrapping_sub);
        self.bytes -= entry.bytes;
        self.local_bytes -= entry.local_bytes();
        Some(*entry)
    }

    fn credit(&mut self, entry: &Entry, change: fn(U256, U256) -> U256) {
        let native = entry.transaction.native();
        let Some(to) = native.to.filter(|_| !native.value.is_zero()) else { return };
        let sum = change(self.incoming.get(&to).copied().unwrap_or_default(), native.value);
        if sum.is_zero() {
            self.incoming.remove(&to);
        } else {
            self.incoming.insert(to, sum);
        }
    }

    /// Brings the queue's place among the tails up to date, and drops an empty queue.
    fn settle(&mut self, sender: Address) {
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        let tail = queue.tail(sender);
        if queue.indexed_tail != tail {
            if let Some(old) = &queue.indexed_tail {
                self.tails.remove(old);
            }
            if let Some(new) = &tail {
                self.tails.insert(new.clone());
            }
            queue.indexed_tail = tail;
        }
        if queue.entries.is_empty() {
            self.line.remove(&queue.turn);
            self.queues.remove(&sender);
        }
    }

    /// The base fee of the next block as the pool heard of it last, wei for each gas.
    pub fn base_fee(&self) -> u128 {
        self.base_fee.now()
    }

    /// So much is asked from `now` on: it falls while there are no blocks.
    pub fn ask(&mut self, base_fee: u128, now: UnixMillis) {
        self.base_fee.set(base_fee, now);
    }

    fn next_height(&self) -> Height {
        Height(self.height.0.saturating_add(1))
    }
}

/// When and from where a transaction came.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    origin: Origin,
    now: UnixMillis,
}
