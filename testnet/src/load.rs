//! A steady load of signed transfers, and the memory of what was acknowledged.
//!
//! Each funded `devN` account pays small amounts to addresses of its own, one transaction after another.
//! A transfer counts as acknowledged once a node reported it in a block at least six deep, or under a committee
//! in a certified one (A5): from then on, in a run without partitions, no node may ever deny it.

use std::collections::BTreeMap;
use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, U256};
use synod_node::rpc::types::TransactionStatus;
use synod_types::{Gas, NativeTransaction, SecretKey, Transaction, TransactionId};

use crate::accounts;
use crate::client::Client;
use crate::error::TestnetError;

/// Depth from which a transfer counts as acknowledged.
pub const ACKNOWLEDGED_DEPTH: u64 = 6;
/// When a transfer counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// [`ACKNOWLEDGED_DEPTH`] blocks deep, under proof of work.
    Deep,
    /// Certified, under a committee.
    Settled,
}

/// Transfers that one account has under way at a time.
const WINDOW: u64 = 16;
/// Wei moved by each transfer.
const VALUE: u128 = 1_000_000_000_000_000;

/// One account that pays.
#[derive(Debug)]
struct Payer {
    key: SecretKey,
    address: Address,
    /// The lowest nonce that is not known to be included.
    done: u64,
    /// Submitted and not acknowledged yet: nonce to transaction.
    waiting: BTreeMap<u64, (TransactionId, Transaction)>,
}

/// The load.
#[derive(Debug)]
pub struct Load {
    rule: Acknowledged,
    chain_id: u64,
    genesis: B256,
    payers: Vec<Payer>,
    /// Acknowledged transfers, with the height at which they were seen.
    acknowledged: BTreeMap<TransactionId, u64>,
    /// The same, in the order in which they were.
    order: Vec<TransactionId>,
    /// When the highest height rose in which one was acknowledged, and to what.
    told: Vec<(Instant, u64)>,
    /// Of the first payer: in which block the transfer of each nonce is.
    first: BTreeMap<u64, u64>,
    submitted: u64,
}

impl Load {
    /// A load from the first `payers` funded accounts, continuing where the chain stands. The last account is left
    /// to others: whoever uses a payer's next nonce keeps that payer's transfer out for good.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn new(client: &Client, payers: u8, rule: Acknowledged) -> Result<Self, TestnetError> {
        let status = client.status().await?;
        let mut list = Vec::new();
        for index in 0..payers.min(accounts::DEV_ACCOUNTS - 1) {
            let key = accounts::dev_key(index);
            let address = synod_types::address::address_of(&key.public());
            let done = client.account(&address).await?.nonce;
            list.push(Payer { key, address, done, waiting: BTreeMap::new() });
        }
        Ok(Self {
            rule,
            chain_id: status.chain_id,
            genesis: status.genesis_hash,
            payers: list,
            acknowledged: BTreeMap::new(),
            order: Vec::new(),
            told: Vec::new(),
            first: BTreeMap::new(),
            submitted: 0,
        })
    }

    /// When a transfer of this load counts as acknowledged.
    pub fn rule(&self) -> Acknowledged {
        self.rule
    }

    /// How many transfers were submitted.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// The acknowledged transfers.
    pub fn acknowledged(&self) -> &BTreeMap<TransactionId, u64> {
        &self.acknowledged
    }

    /// When it was learnt that a height is final, each higher than the one before.
    pub fn told(&self) -> &[(Instant, u64)] {
        &self.told
    }

    /// The first payer, and in which block its transfer of each nonce is.
    pub fn first_payer(&self) -> (Address, &BTreeMap<u64, u64>) {
        (self.payers[0].address, &self.first)
    }

    /// How many transfers were submitted and are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.payers.iter().map(|payer| payer.waiting.len()).sum()
    }

    /// Tops every payer up to its window through `client`. A refusal or a dead node is no error: the same
    /// bytes are submitted again on the next call, which is idempotent.
    pub async fn submit(&mut self, client: &Client) {
        let Ok(fees) = client.fees().await else { return };
        let fee = fees.next_base_fee.max(fees.base_fee).saturating_mul(4).saturating_add(fees.suggested_tip);
        for payer in &mut self.payers {
            for nonce in payer.done..payer.done.saturating_add(WINDOW) {
                let (chain_id, genesis) = (self.chain_id, self.genesis);
                let is_new = !payer.waiting.contains_key(&nonce);
                let (_, transaction) = payer.waiting.entry(nonce).or_insert_with(|| {
                    transfer(&payer.key, chain_id, genesis, nonce, fee, fees.suggested_tip)
                });
                if client.submit(transaction).await.is_ok() && is_new {
                    self.submitted += 1;
                }
            }
        }
    }

    /// Submits everything that waits once more, and nothing new: a node may have died, or lost its disk, before it
    /// passed on what it was given.
    pub async fn offer_again(&self, client: &Client) {
        for (_, transaction) in self.payers.iter().flat_map(|payer| payer.waiting.values()) {
            // What is known already is refused or taken again; either is fine.
            let _ = client.submit(transaction).await;
        }
    }

    /// Asks `client` about everything that waits, and moves what is deep enough to the acknowledged.
    pub async fn observe(&mut self, client: &Client) {
        for (index, payer) in self.payers.iter_mut().enumerate() {
            let Ok(account) = client.account(&payer.address).await else { return };
            let nonces: Vec<u64> = payer.waiting.range(..account.nonce).map(|(nonce, _)| *nonce).collect();
            for nonce in nonces {
                let (id, _) = payer.waiting[&nonce];
                let Ok(view) = client.transaction(id).await else { return };
                let deep = match self.rule {
                    Acknowledged::Deep => view.depth.is_some_and(|depth| depth >= ACKNOWLEDGED_DEPTH),
                    Acknowledged::Settled => view.settled,
                };
                if view.status == TransactionStatus::Included && deep {
                    let height = view.height.map_or(0, |height| height.0);
                    if self.acknowledged.insert(id, height).is_none() {
                        self.order.push(id);
                    }
                    if self.told.last().is_none_or(|(_, highest)| *highest < height) {
                        self.told.push((Instant::now(), height));
                    }
                    if index == 0 {
                        self.first.insert(nonce, height);
                    }
                    payer.waiting.remove(&nonce);
                    payer.done = payer.done.max(nonce + 1);
                }
            }
        }
    }

    /// Those of the newest `count` acknowledged transfers that `client` denies. What is in the blocks below those of a
    /// node that began at a snapshot it cannot know: the root of its state speaks for them.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn denied(&self, client: &Client, count: usize) -> Result<Vec<TransactionId>, TestnetError> {
        let mut denied = Vec::new();
        let base = client.status().await?.base_height.0;
        let newest = self.order.iter().rev().take(count);
        for &id in newest.filter(|id| self.acknowledged.get(id).is_none_or(|height| *height > base)) {
            if client.transaction(id).await?.status != TransactionStatus::Included {
                denied.push(id);
            }
        }
        Ok(denied)
    }
}

fn transfer(
    key: &SecretKey,
    chain_id: u64,
    genesis: B256,
    nonce: u64,
    max_fee: u128,
    max_tip: u128,
) -> (TransactionId, Transaction) {
    let digest = synod_types::hash::sha256(&[b"synod/load/v1", &key.public().0, &(nonce % 64).to_be_bytes()]);
    let native = NativeTransaction {
        chain_id,
        sender: key.public(),
        nonce,
        max_fee,
        max_tip: max_tip.min(max_fee),
        gas_limit: Gas(21_000),
        to: Some(Address::from_slice(&digest[12..])),
        value: U256::from(VALUE),
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    };
    let id = TransactionId(synod_types::hash::sha256(&[&native.signed_bytes(genesis)]));
    (id, Transaction::Native(native.sign(genesis, key)))
}
