//! Who comes in: checks in a fixed order (who, cheap bounds, nonce, funds, replacement, room).

use synod_ledger::execution::INIT_CODE_LIMIT;
use synod_types::{TransactionId, U256, UnixMillis, VerifiedTransaction};

use super::queue::{Entry, cost};
use super::{AccountState, AccountView, Arrival, Insertion, Origin, Pool, Rejection};

impl Pool {
    /// Takes a transaction in, or says why not. Taking in the same one again changes nothing (RPC-4).
    ///
    /// # Errors
    /// [`Rejection`]; the pool is then as it was.
    pub fn insert(
        &mut self,
        transaction: VerifiedTransaction,
        origin: Origin,
        now: UnixMillis,
        view: &impl AccountView,
    ) -> Result<Insertion, Rejection> {
        if let Some(known) = self.recognise(transaction.id(), origin) {
            return Ok(known);
        }
        let account = view.account(&transaction.sender());
        self.admit(transaction, Arrival { origin, now }, account, true)
    }

    fn recognise(&mut self, id: TransactionId, origin: Origin) -> Option<Insertion> {
        let (sender, nonce) = self.ids.get(&id)?;
        let entry = self.queues.get_mut(sender)?.entries.get_mut(nonce)?;
        let newly_local = origin == Origin::Local && entry.origin == Origin::Network;
        if newly_local {
            entry.origin = Origin::Local;
            self.local_bytes += entry.bytes;
        }
        Some(Insertion::Known { newly_local })
    }

    /// [`Self::insert`] of an unknown transaction. `funded` demands that the account can pay for it now;
    /// what returns from a reverted block may wait for the payment that funded it to be included again.
    pub(super) fn admit(
        &mut self,
        transaction: VerifiedTransaction,
        arrival: Arrival,
        account: AccountState,
        funded: bool,
    ) -> Result<Insertion, Rejection> {
        let (sender, id) = (transaction.sender(), transaction.id());
        let bytes = self.check_bounds(&transaction)?;
        self.check_nonce(transaction.native().nonce, account)?;
        let cost = self.check_funds(&transaction, account, funded)?;
        let existing = self.check_replacement(&transaction)?;

        self.refresh(sender, account);
        let nonce = transaction.native().nonce;
        let replaced = existing.and_then(|_| self.take(sender, nonce));
        let ticket = self.ticket();
        let (received, origin) = (arrival.now, arrival.origin);
        self.put(account, Entry { transaction, bytes, cost, received, ticket, origin });
        self.settle(sender);
        match self.plan_eviction((sender, nonce)) {
            Ok(victims) => {
                let evicted = victims.iter().filter_map(|tail| self.take(tail.sender, tail.nonce));
                let evicted = evicted.map(|entry| entry.transaction.id()).collect();
                for tail in &victims {
                    self.settle(tail.sender);
                }
                if let Some(existing) = existing {
                    self.replaced.note(existing, id);
                }
                Ok(Insertion::Added { replaced: existing, evicted })
            }
            Err(rank) => {
                self.take(sender, nonce);
                if let Some(before) = replaced {
                    self.put(account, before);
                }
                self.settle(sender);
                let cheapest = self.tails.first().map_or(rank.max_fee, |tail| tail.rank.max_fee);
                Err(Rejection::PoolFull { cheapest })
            }
        }
    }

    /// Everything that needs no account. Gives the bytes of the canonical encoding.
    fn check_bounds(&self, transaction: &VerifiedTransaction) -> Result<usize, Rejection> {
        let native = transaction.native();
        let bytes = transaction.transaction().to_bytes().len();
        let limit = self.limits.transaction_bytes.min(self.rules.block_bytes);
        if bytes > limit {
            return Err(Rejection::TooLarge { bytes, limit });
        }
        if native.gas_limit > self.rules.block_gas {
            return Err(Rejection::GasTooHigh { limit: native.gas_limit, block: self.rules.block_gas });
        }
        if native.to.is_none() && native.data.len() > INIT_CODE_LIMIT {
            return Err(Rejection::TooLarge { bytes: native.data.len(), limit: INIT_CODE_LIMIT });
        }
        let needed = (self.rules.intrinsic_gas)(native);
        if native.gas_limit < needed {
            return Err(Rejection::GasTooLow { limit: native.gas_limit, needed });
        }
        if native.max_fee < self.rules.fee_floor {
            return Err(Rejection::FeeTooLow { max_fee: native.max_fee, floor: self.rules.fee_floor });
        }
        match native.valid_until {
            Some(valid_until) if valid_until < self.next_height() => {
                Err(Rejection::Expired { valid_until, next: self.next_height() })
            }
            _ => Ok(bytes),
        }
    }

    fn check_nonce(&self, nonce: u64, account: AccountState) -> Result<(), Rejection> {
        let expected = account.nonce;
        if nonce < expected {
            return Err(Rejection::NonceTooLow { nonce, expected });
        }
        if nonce - expected >= self.limits.nonces_per_sender {
            let highest = expected.saturating_add(self.limits.nonces_per_sender - 1);
            return Err(Rejection::NonceTooHigh { nonce, expected, highest });
        }
        Ok(())
    }

    fn check_funds(
        &self,
        transaction: &VerifiedTransaction,
        account: AccountState,
        funded: bool,
    ) -> Result<U256, Rejection> {
        let queue = self.queues.get(&transaction.sender());
        let waiting = queue.map_or(U256::ZERO, |queue| queue.cost_below(transaction.native().nonce));
        let balance = account.balance;
        let refuse = |cost| Rejection::InsufficientFunds { cost, waiting, balance };
        let cost = cost(transaction).ok_or(refuse(U256::MAX))?;
        if funded && cost.checked_add(waiting).is_none_or(|sum| sum > balance) {
            return Err(refuse(cost));
        }
        Ok(cost)
    }

    /// Whoever holds the nonce, when the transaction pays enough to take its place.
    fn check_replacement(
        &self,
        transaction: &VerifiedTransaction,
    ) -> Result<Option<TransactionId>, Rejection> {
        let native = transaction.native();
        let queue = self.queues.get(&transaction.sender());
        let Some(entry) = queue.and_then(|queue| queue.entries.get(&native.nonce)) else { return Ok(None) };
        let (existing, held) = (entry.transaction.id(), entry.transaction.native());
        let (fee_needed, tip_needed) = (raised(held.max_fee), raised(held.max_tip));
        if native.max_fee < fee_needed || native.max_tip < tip_needed || held.max_fee == u128::MAX {
            return Err(Rejection::ReplacementUnderpriced { existing, fee_needed, tip_needed });
        }
        Ok(Some(existing))
    }

    /// Takes over the account's state at the tip, dropping what can no longer be in a block because of it.
    /// Gives what was dropped; [`Self::settle`] is done.
    pub(super) fn refresh(&mut self, sender: synod_types::Address, account: AccountState) -> Vec<Entry> {
        let Some(queue) = self.queues.get_mut(&sender) else { return Vec::new() };
        if queue.account == account {
            return Vec::new();
        }
        queue.account = account;
        let window = self.limits.nonces_per_sender;
        let outside = |nonce: &&u64| **nonce < account.nonce || **nonce - account.nonce >= window;
        let dropped: Vec<u64> = queue.entries.keys().filter(outside).copied().collect();
        let dropped = dropped.into_iter().filter_map(|nonce| self.take(sender, nonce)).collect();
        self.settle(sender);
        dropped
    }
}

/// At least 10 % more, and more at all.
fn raised(held: u128) -> u128 {
    held.saturating_add(held.div_ceil(10).max(1))
}
