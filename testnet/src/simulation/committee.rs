//! A committee's member with its whole node: the real ledger, block log and pool, and the journal of votes beside
//! them on the same disk, which one power cut hits all. Payloads are made, checked and read by the node's own code.
//!
//! Its certificates alone are kept by a model, which forgets those that came after the last sync of blocks.

use std::cmp;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, Bytes};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::Time;
use synod_consensus::committee::{Certificate, Committee, History, Payload, Validity};
use synod_consensus::journal::{Durable, Frame};
use synod_consensus::random::Random;
use synod_consensus::sim::Complaint;
use synod_consensus::sim::committee::application::{Chain, Node, Waiting, Wanted};
use synod_consensus::sim::committee::ordering::Ordering;
use synod_consensus::sim::pow::EPOCH_MS;
use synod_ledger::BlockHistory as _;
use synod_ledger::execution::Rules;
use synod_ledger::state::StateRead as _;
use synod_ledger::testing::account;
use synod_ledger::verify::verify;
use synod_node::driver::{RecordJournal as _, check_payload, payload_of, payload_room, proposal_of};
use synod_node::mempool::{BlockRoom, Offers, Origin};
use synod_types::genesis::{Limits, Member, Ordering as Ordered};
use synod_types::{
    Address, Block, BlockHash, Genesis, Height, Payload as Decoded, PublicKey, Slot, Transaction, UnixMillis,
    VerifiedTransaction, codec,
};

use super::books::wrong;
use super::clients::Clients;
use super::disk::{Storage, Votes};
use super::ledger::NodeLedger;
use super::{Common, genesis};

/// A client's transfer; equal when its id is.
#[derive(Clone)]
pub(super) struct Transfer(VerifiedTransaction);

impl PartialEq for Transfer {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for Transfer {}

impl PartialOrd for Transfer {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Transfer {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.0.id().cmp(&other.0.id())
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "transfer {} of {}, nonce {}", self.0.id(), self.0.sender(), self.0.native().nonce)
    }
}

/// The chain that real members make.
pub(super) struct RealChain<P>(Rc<Common>, PhantomData<P>);

/// What a member checks before it votes, as the node does.
#[derive(Debug)]
struct Checks {
    limits: Limits,
    rules: Rules,
    /// Batches of signatures are checked with it; what it yields decides no verdict.
    randomness: Mutex<ChaCha20Rng>,
}

impl Validity for Checks {
    fn check(&self, payload: &Payload) -> Result<(), String> {
        let mut randomness = self.randomness.lock().unwrap_or_else(PoisonError::into_inner);
        check_payload(payload, &self.limits, |transactions: Vec<Transaction>| {
            verify(&transactions, &self.rules, &(), &mut *randomness)
        })
    }
}

impl<P: Ordering> Chain for RealChain<P>
where
    P::Record: Kept,
{
    type Node = MemberNode<P::Record>;
    type Ordering = P;
    type Transaction = Transfer;
    const TRANSACTION_BYTES: usize = 230;

    fn begin(members: &[PublicKey]) -> Self {
        let member = |(index, key): (usize, &PublicKey)| Member { name: format!("m{index}"), key: *key };
        let members = members.iter().enumerate().map(member).collect();
        // Any committee's: the ledger below asks for no more.
        Self(Common::new(Genesis { ordering: Ordered::Pbft, members, ..genesis() }), PhantomData)
    }

    fn genesis(&self) -> B256 {
        self.0.genesis.hash()
    }

    fn validity(&self) -> Arc<dyn Validity> {
        let (limits, rules) = (self.0.genesis.limits.clone(), self.0.rules.clone());
        Arc::new(Checks { limits, rules, randomness: Mutex::new(ChaCha20Rng::from_seed([7; 32])) })
    }

    fn open(&self, seed: u64) -> Self::Node {
        MemberNode::on(Storage::new(seed), Rc::clone(&self.0), seed)
    }

    fn wish(&mut self, running: &[&Self::Node], now: Time, random: &mut Random) -> Option<Transfer> {
        let view = random.pick(running)?.below.view();
        let nonce_of = |address: Address| view.account(&address).nonce;
        let mut clients = self.0.clients.borrow_mut();
        let client = Clients::caller(nonce_of, &clients, random);
        let nonce = nonce_of(account(client));
        Some(Transfer(clients.transfer(&self.0.rules, client, nonce, now, random)))
    }

    fn double(payload: &Payload) -> Payload {
        let known: Decoded =
            codec::decode::<_, { codec::BLOCK_LIMIT }>(payload.bytes()).expect("a payload of our own making");
        let (time, kept) = (UnixMillis(known.time.0 + 1), known.transactions.len() / 2);
        let transactions = known.transactions[..kept].to_vec();
        let other = Decoded { time, transactions, ..known };
        Payload::new(codec::encode(&other).into()).expect("shorter than the first")
    }
}

/// What a journal of votes keeps.
pub(super) trait Kept:
    Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static
{
}

impl<R: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static> Kept for R {}

/// A member's node below its ordering.
pub(super) struct MemberNode<R> {
    below: NodeLedger,
    seed: u64,
    /// Which journal of votes it is; another after one was lost.
    journal: u32,
    votes: Option<Votes<R>>,
    records: Vec<R>,
    /// The frame whose write has begun.
    pending: Option<Frame<R>>,
    offers: Offers,
    /// The blocks from height 1 on.
    hashes: Vec<BlockHash>,
    /// How many of them are durable.
    synced: usize,
    certificate: Option<Certificate>,
    synced_certificate: Option<Certificate>,
}

impl<R: Kept> MemberNode<R> {
    fn on(storage: Storage, common: Rc<Common>, seed: u64) -> Self {
        Self::boot(storage, common, seed, 0, None)
    }

    /// A member that boots from its disk, and what was durable beside it.
    fn boot(
        storage: Storage,
        common: Rc<Common>,
        seed: u64,
        journal: u32,
        synced_certificate: Option<Certificate>,
    ) -> Self {
        let mut node = Self {
            below: NodeLedger::on(storage, common, seed),
            seed,
            journal,
            votes: None,
            records: Vec::new(),
            pending: None,
            offers: Offers::default(),
            hashes: Vec::new(),
            synced: 0,
            certificate: None,
            synced_certificate,
        };
        node.read_disk();
        node
    }

    /// What the process finds at its start, beside the ledger.
    fn read_disk(&mut self) {
        let name = format!("votes-{}", self.journal);
        match self.below.storage.open_votes(&name) {
            Ok((votes, records)) => (self.votes, self.records) = (Some(votes), records),
            Err(refused) => {
                self.below.complain(wrong("A5", format!("the votes are not read again: {}", refused.0)));
                self.forget_votes();
            }
        }
        let blocks = &self.below.running().blocks;
        let hash = |height| {
            let block = blocks.block_at(Height(height)).expect("the log was read at the start");
            block.expect("it is not above the tip").hash()
        };
        self.hashes = (1..=blocks.height().0).map(hash).collect();
        self.synced = self.hashes.len();
        self.certificate.clone_from(&self.synced_certificate);
        self.offers = Offers::default();
        self.pending = None;
    }

    fn votes(&self) -> &Votes<R> {
        self.votes.as_ref().expect("a process that restarts is asked for nothing")
    }
}

impl<R: Kept> Node for MemberNode<R> {
    type Transaction = Transfer;
    type Record = R;

    fn records(&self) -> Vec<R> {
        self.records.clone()
    }

    fn proof(&self) -> Durable {
        Durable::proven_by(self.votes())
    }

    fn write(&mut self, frame: Frame<R>) {
        self.pending = Some(frame);
    }

    fn sync_votes(&mut self) -> Durable {
        let votes = self.votes.as_mut().expect("a process that restarts is asked for nothing");
        if let Some(frame) = self.pending.take()
            && let Err(reason) = votes.write(&frame)
        {
            self.below.complain(wrong("A8", format!("a sound disk refuses votes: {reason}")));
        }
        self.proof()
    }

    fn lose_unsynced_votes(&mut self) {
        self.pending = None;
    }

    fn history(&self, committee: &Committee) -> History {
        let head = self.below.running().ledger.head();
        let base = committee.record().base;
        let is_of = |known: &&Certificate| known.statement.position.epoch == committee.epoch();
        let certificate = self.certificate.as_ref().filter(is_of).cloned();
        let certified = certificate.as_ref().map_or(base, |certificate| certificate.statement.height);
        History {
            executed: Slot(head.height().0 - base.0),
            block_hash: head.hash,
            certificate,
            uncertified: self.hashes[(certified.0 as usize).min(self.hashes.len())..].to_vec(),
            has_ended: false,
        }
    }

    fn length(&self) -> u64 {
        self.hashes.len() as u64
    }

    fn hash_at(&self, height: u64) -> Option<BlockHash> {
        self.hashes.get(usize::try_from(height.checked_sub(1)?).ok()?).copied()
    }

    fn append(&mut self, body: &Bytes) -> Result<BlockHash, String> {
        let parent = self.below.running().ledger.head().time();
        let known = std::mem::replace(&mut self.below.known, synod_ledger::VerifiedCache::new(0));
        let proposal = proposal_of(body, parent, |transactions: Vec<Transaction>| {
            self.below.ledger().verify(&transactions, &known)
        });
        self.below.known = known;
        let extended = self.below.ledger().extend(proposal?).map_err(|error| error.to_string())?;
        for (transaction, reason) in &extended.left_out {
            if !reason.may_pass_later() {
                self.below.pool.remove(transaction.id());
            }
        }
        if !extended.left_out.is_empty() {
            self.below.happened.push("transfer left out of a block");
        }
        let executed = extended.executed;
        let written = self.below.running().blocks.block_at(executed.height());
        let block = written.map_err(|error| error.to_string())?.ok_or("the block is not in its log")?;
        self.below.took(&block, &executed);
        executed.transactions.iter().for_each(|one| self.offers.included(one.id));
        if let Ok(payload) = Payload::new(body.clone()) {
            self.offers.end(payload.digest());
        }
        self.hashes.push(executed.hash);
        Ok(executed.hash)
    }

    fn sync_blocks(&mut self) {
        if let Err(error) = self.below.commit() {
            self.below.complain(wrong("A8", format!("a sound disk refuses blocks: {error:?}")));
        }
        self.synced = self.hashes.len();
        self.synced_certificate.clone_from(&self.certificate);
    }

    fn store_certificate(&mut self, certificate: Certificate) {
        let height = |known: &Certificate| known.statement.height;
        if self.certificate.as_ref().is_none_or(|known| height(known) < height(&certificate)) {
            self.certificate = Some(certificate);
        }
    }

    fn blocks_from(&self, first: u64) -> Vec<Bytes> {
        let blocks = &self.below.running().blocks;
        let block = |height| blocks.block_at(Height(height)).ok().flatten();
        (first.max(1)..=self.synced as u64).map_while(block).map(|block| block.to_bytes().into()).collect()
    }

    fn install(&mut self, blocks: &[Bytes], goal: BlockHash) -> bool {
        let decoded: Result<Vec<Block>, _> = blocks.iter().map(|bytes| Block::from_bytes(bytes)).collect();
        let Ok(decoded) = decoded else { return false };
        let mut above = self.below.running().ledger.head().hash;
        for block in &decoded {
            if block.header.parent != above || block.check_body().is_err() {
                return false;
            }
            above = block.hash();
        }
        if above != goal {
            return false;
        }
        for block in &decoded {
            match self.below.append_block(block) {
                Ok(included) => included.into_iter().for_each(|id| self.offers.included(id)),
                Err(reason) => {
                    self.below.complain(wrong("A2", format!("a certified block is refused: {reason}")));
                    return true;
                }
            }
            self.hashes.push(block.hash());
        }
        true
    }

    fn power_cut(&mut self, random: &mut Random) {
        if let (Some(frame), Some(votes)) = (self.pending.take(), self.votes.as_mut())
            && random.chance(400_000)
        {
            self.below.happened.push("power lost within a write of votes");
            self.below.storage.fails_soon(random);
            // Whatever it answers, nobody hears it any more.
            let _ = votes.write(&frame);
            self.below.stop();
        } else {
            self.below.lose_power(random);
        }
        self.votes = None;
        self.below.storage.power_cut(random);
        self.below.come_back();
        self.read_disk();
    }

    fn after_power_cut(&self, random: &mut Random) -> Self {
        let storage = self.below.storage.durable_copy(random.next_u64());
        let certificate = self.synced_certificate.clone();
        Self::boot(storage, Rc::clone(&self.below.common), self.seed, self.journal, certificate)
    }

    fn forget_votes(&mut self) {
        self.votes = None;
        self.journal += 1;
        self.read_disk();
    }

    fn wipe(&mut self) {
        self.votes = None;
        self.synced_certificate = None;
        self.below.lose_disk();
        self.read_disk();
    }

    fn hear(&mut self, transfer: &Transfer, now: Time) {
        self.below.submit(transfer.0.clone(), Origin::Network, since_epoch(now));
    }

    fn is_over(&self, transfer: &Transfer) -> bool {
        self.below.view().account(&transfer.0.sender()).nonce > transfer.0.native().nonce
    }

    fn waiting(&mut self) -> Waiting {
        let ledger = &self.below.running().ledger;
        let time = ledger.head().time();
        let base_fee = ledger.base_fee_at(time);
        self.below.pool.ask(base_fee, time);
        let Some(since) = self.below.pool.oldest_executable() else {
            return Waiting { oldest_since: None, bytes: 0 };
        };
        let free = self.below.pool.bytes().saturating_sub(self.offers.bytes());
        let oldest_since = Some(Time(since.0.saturating_sub(EPOCH_MS) * 1_000));
        Waiting { oldest_since, bytes: free as u64 }
    }

    fn assemble(&mut self, wanted: Wanted) -> Option<Payload> {
        let ledger = &self.below.running().ledger;
        let whole = BlockRoom::of(&self.below.common.genesis);
        let room = payload_room(whole, wanted.max_bytes, wanted.max_transactions);
        let base_fee = ledger.base_fee_at(wanted.wall.max(ledger.head().time()));
        let mut selected = self.below.pool.select_beyond(&self.offers, room, base_fee);
        if wanted.censors {
            selected.retain(|one| one.sender() != account(0));
        }
        if selected.is_empty() {
            return None;
        }
        let recipient = Address::repeat_byte(self.seed as u8 + 1);
        let payload = payload_of(wanted.wall, recipient, recipient, &selected)?;
        let sized = |id| Some((id, self.below.pool.find(id)?.bytes));
        self.offers.begin(payload.digest(), selected.iter().filter_map(|one| sized(one.id())));
        Some(payload)
    }

    fn abandoned(&mut self, digest: B256) {
        self.offers.end(digest);
    }

    fn give_up_offers(&mut self) {
        self.offers = Offers::default();
    }

    fn complaint(&mut self) -> Option<Complaint> {
        self.below.take_complaint()
    }

    fn happened(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.below.happened)
    }
}

fn since_epoch(now: Time) -> UnixMillis {
    UnixMillis(EPOCH_MS + now.0 / 1_000)
}
