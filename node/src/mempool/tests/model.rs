//! A naive pool: one list, and every rule computed anew from it. It shares only the vocabulary with the
//! pool, and its own arithmetic is on `u128`.

use synod_types::{Address, TransactionId, VerifiedTransaction};

use super::fixture::{Accounts, FLOOR};
use crate::mempool::{AccountView, PoolLimits, Tip};

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) transaction: VerifiedTransaction,
    arrival: u64,
}

/// What an insertion came to, with the names of rejections only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Added { replaced: Option<TransactionId>, evicted: Vec<TransactionId> },
    Known,
    Rejected(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) limits: PoolLimits,
    pub(super) tip: Tip,
    pub(super) accounts: Accounts,
    pub(super) held: Vec<Held>,
    /// Senders, the first in line first.
    pub(super) line: Vec<Address>,
    arrivals: u64,
}

fn worst_cost(transaction: &VerifiedTransaction) -> u128 {
    let native = transaction.native();
    let value: u128 = native.value.try_into().unwrap();
    native.max_fee * u128::from(native.gas_limit.0) + value
}

fn bytes(transaction: &VerifiedTransaction) -> usize {
    transaction.transaction().to_bytes().len()
}

impl Model {
    pub(super) fn new(limits: PoolLimits, tip: Tip, accounts: Accounts) -> Self {
        Self { limits, tip, accounts, held: Vec::new(), line: Vec::new(), arrivals: 0 }
    }

    pub(super) fn ids(&self) -> Vec<TransactionId> {
        let mut ids: Vec<_> = self.held.iter().map(|held| held.transaction.id()).collect();
        ids.sort();
        ids
    }

    fn of(&self, sender: Address) -> Vec<&Held> {
        let mut own: Vec<_> = self.held.iter().filter(|held| held.transaction.sender() == sender).collect();
        own.sort_by_key(|held| held.transaction.native().nonce);
        own
    }

    /// Whether all nonces from the account's to this one are held and paid for.
    fn executable(&self, sender: Address, nonce: u64) -> bool {
        let account = self.accounts.account(&sender);
        let own: Vec<_> =
            self.of(sender).into_iter().filter(|held| held.transaction.native().nonce <= nonce).collect();
        let total: u128 = own.iter().map(|held| worst_cost(&held.transaction)).sum();
        let complete = (account.nonce..=nonce)
            .all(|wanted| own.iter().any(|held| held.transaction.native().nonce == wanted));
        complete && total <= u128::try_from(account.balance).unwrap()
    }

    fn first_reason(&self, transaction: &VerifiedTransaction, funded: bool) -> Option<&'static str> {
        let native = transaction.native();
        let account = self.accounts.account(&transaction.sender());
        let lower: u128 = self
            .of(transaction.sender())
            .iter()
            .filter(|held| held.transaction.native().nonce < native.nonce)
            .map(|held| worst_cost(&held.transaction))
            .sum();
        let too_poor = worst_cost(transaction) + lower > u128::try_from(account.balance).unwrap();
        let rival = self
            .of(transaction.sender())
            .into_iter()
            .find(|held| held.transaction.native().nonce == native.nonce)
            .map(|held| held.transaction.native().clone());
        let underpriced = rival.is_some_and(|rival| {
            let enough = |new: u128, old: u128| new * 100 >= old * 110 && new > old;
            !enough(native.max_fee, rival.max_fee) || !enough(native.max_tip, rival.max_tip)
        });
        let reasons = [
            (bytes(transaction) > self.limits.transaction_bytes, "too_large"),
            (native.max_fee < FLOOR, "fee_too_low"),
            (native.valid_until.is_some_and(|until| until.0 <= self.tip.height.0), "expired"),
            (native.nonce < account.nonce, "nonce_too_low"),
            (native.nonce >= account.nonce + self.limits.nonces_per_sender, "nonce_too_high"),
            (funded && too_poor, "insufficient_funds"),
            (underpriced, "replacement_underpriced"),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, name)| name)
    }

    pub(super) fn insert(&mut self, transaction: &VerifiedTransaction, funded: bool) -> Outcome {
        if self.ids().contains(&transaction.id()) {
            return Outcome::Known;
        }
        if let Some(reason) = self.first_reason(transaction, funded) {
            return Outcome::Rejected(reason);
        }
        let before = self.clone();
        let (sender, nonce) = (transaction.sender(), transaction.native().nonce);
        let same =
            |held: &Held| held.transaction.sender() == sender && held.transaction.native().nonce == nonce;
        let replaced = self.held.iter().find(|held| same(held)).map(|held| held.transaction.id());
        self.held.retain(|held| !same(held));
        self.arrivals += 1;
        self.held.push(Held { transaction: transaction.clone(), arrival: self.arrivals });
        let mut evicted = Vec::new();
        while self.held.iter().map(|held| bytes(&held.transaction)).sum::<usize>() > self.limits.bytes {
            let victim = self.cheapest_tail();
            if victim == transaction.id() {
                *self = before;
                return Outcome::Rejected("pool_full");
            }
            self.held.retain(|held| held.transaction.id() != victim);
            evicted.push(victim);
        }
        self.mend_line();
        Outcome::Added { replaced, evicted }
    }

    fn cheapest_tail(&self) -> TransactionId {
        let tails = self.held.iter().filter(|held| {
            let own = self.of(held.transaction.sender());
            own.last().unwrap().transaction.id() == held.transaction.id()
        });
        let rank = |held: &&Held| {
            let native = held.transaction.native();
            let executable = self.executable(held.transaction.sender(), native.nonce);
            (executable, native.max_fee, native.max_tip, u64::MAX - held.arrival)
        };
        tails.min_by_key(rank).unwrap().transaction.id()
    }

    pub(super) fn mend_line(&mut self) {
        let waiting: Vec<Address> = self.held.iter().map(|held| held.transaction.sender()).collect();
        self.line.retain(|sender| waiting.contains(sender));
        for sender in waiting {
            if !self.line.contains(&sender) {
                self.line.push(sender);
            }
        }
    }

    /// The tip and the accounts are already the new ones.
    pub(super) fn reset(
        &mut self,
        included: &[(Address, TransactionId)],
        mut reverted: Vec<VerifiedTransaction>,
    ) {
        let (tip, accounts, window) = (self.tip, self.accounts.clone(), self.limits.nonces_per_sender);
        self.held.retain(|held| {
            let native = held.transaction.native();
            let next = accounts.account(&held.transaction.sender()).nonce;
            let alive = native.valid_until.is_none_or(|until| until.0 > tip.height.0);
            alive && native.nonce >= next && native.nonce < next + window
        });
        self.mend_line();
        for (sender, _) in included {
            if let Some(at) = self.line.iter().position(|one| one == sender) {
                let sender = self.line.remove(at);
                self.line.push(sender);
            }
        }
        reverted.sort_by_key(|transaction| transaction.native().nonce);
        for transaction in reverted {
            if !included.iter().any(|(_, id)| *id == transaction.id()) {
                self.insert(&transaction, false);
            }
        }
    }

    /// Senders in line, one each and round again, until nobody adds one.
    pub(super) fn select(&self, count: usize, gas: u64, base_fee: u128) -> Vec<TransactionId> {
        let mut chosen = Vec::new();
        let mut gas = gas;
        let mut out: Vec<Address> = Vec::new();
        for round in 0.. {
            let mut served = false;
            for sender in &self.line {
                if out.contains(sender) {
                    continue;
                }
                let nonce = self.accounts.account(sender).nonce + round;
                let own = self.of(*sender);
                let next = own.iter().find(|held| held.transaction.native().nonce == nonce);
                let fitting = next.filter(|held| {
                    let native = held.transaction.native();
                    let fits = chosen.len() < count && native.gas_limit.0 <= gas;
                    self.executable(*sender, nonce) && native.max_fee >= base_fee && fits
                });
                match fitting {
                    Some(held) => {
                        gas -= held.transaction.native().gas_limit.0;
                        chosen.push(held.transaction.id());
                        served = true;
                    }
                    None => out.push(*sender),
                }
            }
            if !served {
                break;
            }
        }
        chosen
    }
}
