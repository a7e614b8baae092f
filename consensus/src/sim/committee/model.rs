//! The model behind [`super::application`]: eight accounts, a journal in memory, a pool by sender and nonce.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Epoch, PublicKey, UnixMillis};

use super::application::{Chain, Node, Waiting, Wanted};
use super::books::Books;
use super::ledger::{ACCOUNTS, ModelLedger, ModelValidity, TRANSFER, Transfer, payload, transfers};
use super::ordering::Ordering;
use crate::committee::{Certificate, Committee, History, MemberIndex, Payload, Validity};
use crate::journal::{Durable, Frame};
use crate::random::Random;
use crate::sim::journal::ModelJournal;
use crate::sim::ledger::Complaint;
use crate::time::Time;

/// The model's name in what is signed.
pub(super) const GENESIS: B256 = B256::repeat_byte(5);

/// The chain of a run on the model.
pub(super) struct ModelChain<P> {
    ordering: PhantomData<P>,
    books: Rc<RefCell<Books>>,
    /// Each sender's next nonce.
    nonces: [u32; ACCOUNTS],
}

/// One member's node.
#[derive(Clone)]
pub(super) struct ModelNode<R> {
    books: Rc<RefCell<Books>>,
    ledger: ModelLedger,
    journal: ModelJournal<R>,
    /// Transactions that are not in a block here, and since when.
    pool: BTreeMap<Transfer, Time>,
    /// Those that are in a proposal of its own.
    offered: BTreeSet<Transfer>,
    /// What is in each of them.
    offers: BTreeMap<B256, Vec<Transfer>>,
    complaint: Option<Complaint>,
}

impl<P: Ordering> Chain for ModelChain<P> {
    type Node = ModelNode<P::Record>;
    type Ordering = P;
    type Transaction = Transfer;
    const TRANSACTION_BYTES: usize = TRANSFER;

    fn begin(_: &[PublicKey]) -> Self {
        Self { ordering: PhantomData, books: Rc::default(), nonces: [0; ACCOUNTS] }
    }

    fn genesis(&self) -> B256 {
        GENESIS
    }

    fn validity(&self) -> Arc<dyn Validity> {
        Arc::new(ModelValidity)
    }

    fn open(&self, _: u64) -> ModelNode<P::Record> {
        ModelNode {
            books: Rc::clone(&self.books),
            ledger: ModelLedger::default(),
            journal: ModelJournal::default(),
            pool: BTreeMap::new(),
            offered: BTreeSet::new(),
            offers: BTreeMap::new(),
            complaint: None,
        }
    }

    fn wish(&mut self, _: &[&ModelNode<P::Record>], _: Time, random: &mut Random) -> Option<Transfer> {
        let from = random.below(ACCOUNTS as u64) as u8;
        let to = random.below(ACCOUNTS as u64) as u8;
        let nonce = self.nonces[usize::from(from)];
        self.nonces[usize::from(from)] += 1;
        let amount = random.between(0, 2) as u16;
        let transfer = Transfer { from, nonce, to, amount };
        self.books.borrow_mut().submit(transfer);
        Some(transfer)
    }

    fn rejoin(&mut self, member: MemberIndex, epoch: Epoch, incarnation: u32) -> Option<Transfer> {
        let change = Transfer::change(member.0, epoch.0.try_into().ok()?, incarnation.try_into().ok()?);
        self.books.borrow_mut().submit(change);
        Some(change)
    }

    fn double(known: &Payload) -> Payload {
        let transfers = transfers(known.bytes()).unwrap_or_default();
        let kept = transfers.len() / 2;
        payload(UnixMillis(known.time().0 + 1), 99, &transfers[..kept])
    }
}

impl<R> ModelNode<R> {
    /// The transactions that a block could take now: round robin over senders, each one's by nonce (PBFT-19).
    fn executable(&self) -> Vec<(Transfer, Time)> {
        let mut next = self.ledger.state().nonces;
        let mut found: Vec<(u32, Transfer, Time)> = Vec::new();
        // Ordered by sender, then nonce.
        for (transfer, since) in &self.pool {
            if transfer.is_change() {
                if transfer.nonce == self.ledger.state().epoch {
                    found.push((0, *transfer, *since));
                }
                continue;
            }
            let expected = &mut next[usize::from(transfer.from)];
            if transfer.nonce == *expected {
                *expected += 1;
                let turn = transfer.nonce - self.ledger.state().nonces[usize::from(transfer.from)];
                found.push((turn, *transfer, *since));
            }
        }
        found.sort_by_key(|(turn, transfer, _)| (*turn, transfer.from));
        found.into_iter().map(|(_, transfer, since)| (transfer, since)).collect()
    }

    /// Drops from the pool what the chain has overtaken.
    fn clean_pool(&mut self) {
        let state = self.ledger.state();
        self.pool.retain(|transfer, _| !state.is_over(transfer));
        self.offered.retain(|transfer| !state.is_over(transfer));
    }

    fn check_tip(&mut self) {
        let height = self.ledger.length();
        let Some(block) = self.ledger.block(height) else { return };
        let parent = self.ledger.block(height - 1).map(|block| block.hash).unwrap_or_default();
        if let Err(complaint) = self.books.borrow_mut().compare(parent, block, self.ledger.state()) {
            self.complaint.get_or_insert(complaint);
        }
    }
}

impl<R: Clone> Node for ModelNode<R> {
    type Transaction = Transfer;
    type Record = R;

    fn records(&self) -> Vec<R> {
        self.journal.records()
    }

    fn proof(&self) -> Durable {
        Durable::proven_by(&self.journal)
    }

    fn write(&mut self, frame: Frame<R>) {
        self.journal.write(frame);
    }

    fn sync_votes(&mut self) -> Durable {
        self.journal.sync()
    }

    fn lose_unsynced_votes(&mut self) {
        self.journal.lose_unsynced();
    }

    fn history(&self, committee: &Committee) -> History {
        self.ledger.history(committee)
    }

    fn length(&self) -> u64 {
        self.ledger.length()
    }

    fn hash_at(&self, height: u64) -> Option<BlockHash> {
        self.ledger.block(height).map(|block| block.hash)
    }

    fn epoch_end(&self, height: u64) -> Option<Vec<u32>> {
        let ends = self.ledger.block(height)?.ends?;
        Some(ends.into_iter().map(u32::from).collect())
    }

    fn append(&mut self, body: &Bytes) -> Result<BlockHash, String> {
        let hash = self.ledger.append(body);
        self.check_tip();
        // What its block left out is free again, as in the node.
        if let Ok(payload) = Payload::new(body.clone()) {
            self.abandoned(payload.digest());
        }
        Ok(hash)
    }

    fn sync_blocks(&mut self) {
        self.ledger.sync();
    }

    fn store_certificate(&mut self, certificate: Certificate) {
        self.ledger.store_certificate(certificate);
    }

    fn blocks_from(&self, height: u64) -> Vec<Bytes> {
        self.ledger.bodies_from(height)
    }

    fn install(&mut self, blocks: &[Bytes], goal: BlockHash) -> bool {
        if !blocks.iter().all(|body| body.is_empty() || transfers(body).is_some()) {
            return false;
        }
        let mut trial = self.ledger.clone();
        let last = blocks.iter().map(|body| trial.append(body)).last();
        if last != Some(goal) {
            return false;
        }
        for body in blocks {
            self.ledger.append(body);
            self.check_tip();
        }
        true
    }

    fn power_cut(&mut self, random: &mut Random) {
        self.journal.power_cut(random);
        self.ledger.power_cut(random);
        self.offered.clear();
        self.check_tip();
    }

    fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut left = self.clone();
        left.power_cut(random);
        left
    }

    fn forget_votes(&mut self) {
        self.journal = ModelJournal::default();
    }

    fn wipe(&mut self) {
        self.journal = ModelJournal::default();
        self.ledger = ModelLedger::default();
    }

    fn hear(&mut self, transfer: &Transfer, now: Time) {
        self.pool.entry(*transfer).or_insert(now);
    }

    fn is_over(&self, transfer: &Transfer) -> bool {
        self.ledger.state().is_over(transfer)
    }

    fn waiting(&mut self) -> Waiting {
        self.clean_pool();
        let waiting = self.executable();
        let oldest_since = waiting.iter().map(|(_, since)| *since).min();
        let free = waiting.iter().filter(|(transfer, _)| !self.offered.contains(transfer)).count();
        Waiting { oldest_since, bytes: (free * TRANSFER) as u64 }
    }

    fn assemble(&mut self, wanted: Wanted) -> Option<Payload> {
        let free = self.executable().into_iter().map(|(transfer, _)| transfer);
        let free = free.filter(|transfer| !self.offered.contains(transfer));
        let free = free.filter(|transfer| !wanted.censors || transfer.from != 0);
        let chosen: Vec<_> = free.take(wanted.max_transactions).collect();
        if chosen.is_empty() {
            return None;
        }
        self.offered.extend(chosen.iter().copied());
        let offer = payload(wanted.wall, wanted.salt, &chosen);
        self.offers.insert(offer.digest(), chosen);
        Some(offer)
    }

    fn abandoned(&mut self, digest: B256) {
        for transfer in self.offers.remove(&digest).unwrap_or_default() {
            self.offered.remove(&transfer);
        }
    }

    fn give_up_offers(&mut self) {
        self.offers.clear();
        self.offered.clear();
    }

    fn complaint(&mut self) -> Option<Complaint> {
        self.complaint.take()
    }

    fn happened(&mut self) -> Vec<&'static str> {
        Vec::new()
    }
}
