//! Clients: each asks some node for its account's nonce, signs a transfer for it, and submits it again, there or
//! elsewhere, until it is executed. Some sign two for one nonce (S-B14): at most one of them may ever count.

use std::collections::{BTreeMap, BTreeSet};

use synod_consensus::Time;
use synod_consensus::random::Random;
use synod_ledger::execution::Rules;
use synod_ledger::testing::{account, key, signed, unsigned};
use synod_types::{Address, TransactionId, VerifiedTransaction};

/// Clients with money.
const CLIENTS: u64 = 10;
/// Clients and others who are paid.
const PAYEES: u64 = 14;
/// Rival transfers for one nonce, at most.
const RIVALS: usize = 3;
/// The largest payment, in wei: a thousandth of what a client has at first.
const PAYMENT: u64 = 1_000_000_000_000_000_000;

/// What one client wants for one nonce.
#[derive(Debug)]
struct Wish {
    since: Time,
    transfers: Vec<VerifiedTransaction>,
}

/// All clients of a run.
#[derive(Debug, Default)]
pub(super) struct Clients {
    wishes: BTreeMap<(Address, u64), Wish>,
    signed: BTreeSet<TransactionId>,
}

impl Clients {
    /// Which client calls: the one that has waited longest, or any.
    pub(super) fn caller(nonce_of: impl Fn(Address) -> u64, clients: &Self, random: &mut Random) -> u64 {
        let any = random.below(CLIENTS);
        let waits = |client: u64| {
            let address = account(client);
            clients.wishes.get(&(address, nonce_of(address))).map(|wish| wish.since)
        };
        let oldest = (0..CLIENTS).filter_map(|client| Some((waits(client)?, client))).min();
        oldest.filter(|_| random.chance(500_000)).map_or(any, |(_, client)| client)
    }

    /// What a client submits when the node tells it that `nonce` is its next.
    pub(super) fn transfer(
        &mut self,
        rules: &Rules,
        client: u64,
        nonce: u64,
        now: Time,
        random: &mut Random,
    ) -> VerifiedTransaction {
        let wish = self
            .wishes
            .entry((account(client), nonce))
            .or_insert_with(|| Wish { since: now, transfers: Vec::new() });
        let another = wish.transfers.len() < RIVALS && random.chance(100_000);
        if wish.transfers.is_empty() || another {
            let (to, value) = (account(random.below(PAYEES)), u128::from(random.below(PAYMENT)));
            let key = key(client);
            let transfer = signed(rules, &key, unsigned(rules, key.public(), nonce, to, value));
            self.signed.insert(transfer.id());
            wish.transfers.push(transfer);
        }
        let last = wish.transfers.len() as u64;
        wish.transfers[random.below(last) as usize].clone()
    }

    /// What other nodes hear of: the first transfer of every wish that a node's state has not fulfilled.
    pub(super) fn gossiped(&self, nonce_of: impl Fn(Address) -> u64) -> Vec<VerifiedTransaction> {
        let first = |client| {
            let address = account(client);
            let wish = self.wishes.get(&(address, nonce_of(address)))?;
            wish.transfers.first().cloned()
        };
        (0..CLIENTS).filter_map(first).collect()
    }

    /// Whether a client signed it.
    pub(super) fn has_signed(&self, id: TransactionId) -> bool {
        self.signed.contains(&id)
    }

    /// Since when the oldest wish waits that a state with these nonces has not fulfilled.
    pub(super) fn waits_since(&self, nonce_of: impl Fn(Address) -> u64) -> Option<Time> {
        let waiting = self.wishes.iter().filter(|((address, nonce), _)| nonce_of(*address) <= *nonce);
        waiting.map(|(_, wish)| wish.since).min()
    }
}
