//! The pool's door: where transactions come in, from clients and from gossip, and go out to peers.
//!
//! Each signature is checked once, here (CRY-1). What a client submits is in the pool log, synced, before
//! the client hears that it is pending; submissions that come together share a check and a sync. Then they are
//! gossiped in batches of at most 64 KiB or 5 ms (P2P-2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, select};
use synod_consensus::Time;
use synod_ledger::execution::{Rules, fees, intrinsic_gas};
use synod_ledger::state::{StateRead, View};
use synod_types::codec;
use synod_types::transaction::TransactionError;
use synod_types::{Address, B256, Genesis, Height, Transaction, TransactionId, VerifiedTransaction};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::ordering::{Demand, DemandBoard};
use super::stop::Stop;
use super::wire::TransactionDoor;
use crate::mempool::journal::PoolLog;
use crate::mempool::verify::{Busy, Verdicts, Verifier};
use crate::mempool::{
    AccountState, AccountView, BlockRoom, ChainRules, Changed, Insertion, NewTip, Offers, Origin, Pool,
    PoolLimits, Rejection, ResetReport, Tip, Waiting,
};
use crate::network::{Demerit, GossipId, Network, PeerName, Topic, Verdict};

/// A gossiped batch is sent when it has this many bytes, or when its first transaction is this old.
const BATCH_BYTES: usize = 60 * 1024;
const BATCH_AGE: Duration = Duration::from_millis(5);
/// Transactions that may wait to be gossiped; more are dropped, and their senders' nodes still hold them.
const OUTGOING: usize = 16_384;
/// The most that a peer is told of at once of what waits here, in bytes.
const WAITING_BYTES: usize = 1024 * 1024;
/// The largest gossiped batch, in bytes.
const BATCH_LIMIT: usize = 256 * 1024;
/// Submissions that may wait for the thread that takes them; more are refused as busy.
const SUBMISSIONS: usize = 8_192;
/// So many of them are taken at a time, with one sync.
const GROUP: usize = 1_024;
/// While nothing is submitted, it is looked so often whether the base fee has fallen.
const LOOK: Duration = Duration::from_millis(200);
/// Ordering hears again of what waits after so many bytes more.
const NEWS_BYTES: usize = 64 * 1024;

/// The tip's accounts, as the pool asks for them.
pub(super) struct TipAccounts<'a>(pub(super) &'a View);

impl AccountView for TipAccounts<'_> {
    fn account(&self, address: &Address) -> AccountState {
        let account = self.0.account(address);
        AccountState { nonce: account.nonce, balance: account.balance }
    }
}

/// Why a submission is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Its form or its signature.
    #[error(transparent)]
    Invalid(#[from] TransactionError),
    /// The pool's rules; the chain may have it already.
    #[error("{rejection}")]
    Pool {
        /// The transaction's id.
        id: TransactionId,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// Too many at a time.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The pool log failed, and the node is stopping.
    #[error("the node cannot keep submissions and is stopping")]
    Stopping,
}

/// What a submission became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submitted {
    /// Its id.
    pub(super) id: TransactionId,
    /// What it pushed out.
    pub(super) replaced: Option<TransactionId>,
}

/// What became of one transaction at the pool.
type Inserted = Result<(VerifiedTransaction, Insertion), Refused>;

/// What a client hands in, and where the answer goes.
struct Submission {
    transaction: Transaction,
    reply: oneshot::Sender<Result<Submitted, Refused>>,
}

/// The chain's end as the pool last heard of it.
struct Head {
    view: View,
    height: Height,
}

/// What ordering knows of what waits.
#[derive(Debug, Default)]
struct Told {
    /// It was told that something waits, and has taken nothing since.
    waits: bool,
    /// Bytes that came since it was told.
    untold: usize,
}

/// The door; shared by everybody who knows transactions.
pub(super) struct Door {
    pool: Mutex<Pool>,
    submissions: Sender<Submission>,
    head: Mutex<Head>,
    rules: Rules,
    verifier: Verifier,
    outgoing: Sender<Bytes>,
    network: Network,
    ordering: DemandBoard,
    told: Mutex<Told>,
    offers: Mutex<Offers>,
    clock: Clock,
    stop: Stop,
}

/// What the door is made of.
pub(super) struct Parts {
    /// The network's parameters.
    pub(super) genesis: Genesis,
    /// The open pool log.
    pub(super) log: PoolLog,
    /// The tip at start.
    pub(super) view: View,
    /// Its height.
    pub(super) height: Height,
    /// Where batches go.
    pub(super) network: Network,
    /// Who must hear that transactions wait.
    pub(super) ordering: DemandBoard,
    /// Time.
    pub(super) clock: Clock,
    /// The node's end.
    pub(super) stop: Stop,
    /// Threads that check signatures.
    pub(super) threads: usize,
}

impl Door {
    /// Opens the door, and starts the threads that check and gossip.
    ///
    /// # Errors
    /// The system has no thread or randomness left.
    pub(super) fn open(parts: Parts) -> std::io::Result<(Arc<Self>, [JoinHandle<()>; 2])> {
        let (outgoing, batches) = crossbeam_channel::bounded(OUTGOING);
        let (submissions, submitted) = crossbeam_channel::bounded(SUBMISSIONS);
        let genesis_hash = parts.genesis.hash();
        let rules = Rules::from(&parts.genesis);
        let tip = Tip { height: parts.height, base_fee: base_fee(&rules, &parts.view, &parts.clock) };
        let pool = Pool::new(PoolLimits::default(), ChainRules::of(&parts.genesis, intrinsic_gas), tip);
        let gossip = parts.network.clone();
        let stop = parts.stop.clone();
        let door = Arc::new(Self {
            pool: Mutex::new(pool),
            submissions,
            head: Mutex::new(Head { view: parts.view, height: parts.height }),
            rules,
            verifier: Verifier::start(parts.threads, parts.genesis.chain_id, genesis_hash)?,
            outgoing,
            network: parts.network,
            ordering: parts.ordering,
            told: Mutex::default(),
            offers: Mutex::default(),
            clock: parts.clock,
            stop: parts.stop,
        });
        let batches = std::thread::Builder::new()
            .name("batches".to_owned())
            .spawn(move || gossip_batches(&batches, &gossip, &stop))?;
        let (taking, log) = (Arc::clone(&door), parts.log);
        let submissions = std::thread::Builder::new()
            .name("submissions".to_owned())
            .spawn(move || taking.take_submissions(&submitted, log))?;
        Ok((door, [batches, submissions]))
    }

    /// The pool, for reading and selecting.
    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The threads that check signatures.
    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client's transaction: checked, in the pool, journalled. Submitting again what waits already changes
    /// nothing (RPC-4). What comes together is checked together, and shares one sync.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) async fn submit(&self, transaction: Transaction) -> Result<Submitted, Refused> {
        let (reply, answer) = oneshot::channel();
        self.submissions.try_send(Submission { transaction, reply }).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy(Busy),
            TrySendError::Disconnected(_) => Refused::Stopping,
        })?;
        answer.await.unwrap_or(Err(Refused::Stopping))
    }

    /// Takes submissions until the node stops. One thread does, from the pool to the disk: whoever submits the same
    /// meanwhile hears that it waits only when it is in the log.
    fn take_submissions(&self, submitted: &Receiver<Submission>, mut log: PoolLog) {
        loop {
            let first = select! {
                recv(submitted) -> one => one,
                recv(self.stop.signal()) -> _ => return,
                default(LOOK) => {
                    self.look_at_the_fee();
                    continue;
                }
            };
            let Ok(first) = first else { return };
            let group = std::iter::once(first).chain(submitted.try_iter().take(GROUP - 1)).collect();
            self.take_group(group, &mut log);
            self.look_at_the_fee();
        }
    }

    /// The base fee falls with time: ordering hears of what could not pay it before, though nothing comes and no block
    /// is made.
    fn look_at_the_fee(&self) {
        let mut told = self.told();
        if !told.waits && self.pool().base_fee() != self.base_fee() {
            self.tell(&mut told);
        }
    }

    fn take_group(&self, group: Vec<Submission>, log: &mut PoolLog) {
        let (transactions, replies): (Vec<_>, Vec<_>) =
            group.into_iter().map(|one| (one.transaction, one.reply)).unzip();
        let inserted = self.insert_all(self.verifier.verify(transactions), Origin::Local);
        let is_new = |insertion: &Insertion| !matches!(insertion, Insertion::Known { newly_local: false });
        let fresh = inserted.iter().flatten().filter(|(_, insertion)| is_new(insertion));
        let fresh: Vec<Bytes> = fresh.map(|(verified, _)| verified.transaction().to_bytes().into()).collect();
        let kept = if fresh.is_empty() { Ok(()) } else { self.journal(log, &fresh) };
        if kept.is_ok() {
            fresh.into_iter().for_each(|bytes| self.gossip(bytes));
        }
        for (reply, inserted) in replies.into_iter().zip(inserted) {
            let answer = inserted.and_then(|(verified, insertion)| {
                kept.as_ref().map_err(|_| Refused::Stopping)?;
                let replaced = match insertion {
                    Insertion::Added { replaced, .. } => replaced,
                    Insertion::Known { .. } => None,
                };
                Ok(Submitted { id: verified.id(), replaced })
            });
            // The one who asked may have gone.
            let _ = reply.send(answer);
        }
    }

    /// Takes back what the pool log kept over a restart; what the chain has meanwhile is refused by its nonce.
    pub(super) fn restore(&self, transactions: Vec<Transaction>) -> usize {
        let inserted = self.insert_all(self.verifier.verify(transactions), Origin::Local);
        let restored = inserted.into_iter().flatten();
        restored.map(|(verified, _)| self.gossip(verified.transaction().to_bytes().into())).count()
    }

    /// Puts what is valid into the pool, under one lock.
    fn insert_all(&self, verdicts: Verdicts, origin: Origin) -> Vec<Inserted> {
        let (now, mut pool) = (self.clock.wall(), self.pool());
        // Read under the pool's lock, so that the pool and the view are of one tip.
        let view = self.head().view.clone();
        let (before, mut is_news) = (pool.bytes(), false);
        let inserted = verdicts.into_iter().map(|verdict| {
            let verified = verdict.map_err(Refused::Invalid)?;
            let id = verified.id();
            let inserted = pool
                .insert(verified.clone(), origin, now, &TipAccounts(&view))
                .map_err(|rejection| Refused::Pool { id, rejection: Box::new(rejection) })?;
            is_news |= matches!(inserted, Insertion::Added { .. });
            Ok((verified, inserted))
        });
        let inserted = inserted.collect();
        let more = pool.bytes().saturating_sub(before);
        drop(pool);
        if is_news {
            self.tell_of(more);
        }
        inserted
    }

    fn journal(&self, log: &mut PoolLog, transactions: &[Bytes]) -> Result<(), Refused> {
        let kept = log.append(transactions);
        let live = self.pool().local_bytes();
        let kept = kept.and_then(|()| if log.is_due(live) { self.compact(log) } else { Ok(()) });
        kept.map_err(|error| {
            self.stop.fail(error.to_string());
            Refused::Stopping
        })
    }

    fn compact(&self, log: &mut PoolLog) -> Result<(), crate::mempool::journal::JournalError> {
        let live: Vec<Transaction> = self.pool().local().map(|one| one.transaction().clone()).collect();
        log.compact(&live)
    }

    /// Tells ordering what waits.
    pub(super) fn tell_ordering(&self) {
        self.tell(&mut self.told());
    }

    /// So many bytes came: ordering hears of the first at once, and of more when they are many.
    fn tell_of(&self, bytes: usize) {
        let mut told = self.told();
        told.untold = told.untold.saturating_add(bytes);
        if !told.waits || told.untold >= NEWS_BYTES {
            self.tell(&mut told);
        }
    }

    fn tell(&self, told: &mut Told) {
        let demand = self.demand();
        *told = Told { waits: demand.oldest_since.is_some(), untold: 0 };
        self.ordering.write(demand);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn demand(&self) -> Demand {
        let mut pool = self.pool();
        pool.ask(self.base_fee(), self.clock.wall());
        let bytes = pool.bytes().saturating_sub(self.offers().bytes()) as u64;
        let oldest = pool.oldest_executable();
        let age = oldest.map(|since| self.clock.wall().0.saturating_sub(since.0));
        let now = self.clock.now();
        let since = age.map(|age_ms| Time(now.0.saturating_sub(age_ms.saturating_mul(1_000))));
        Demand { oldest_since: since, bytes: if since.is_some() { bytes } else { 0 } }
    }

    fn offers(&self) -> MutexGuard<'_, Offers> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gossip(&self, bytes: Bytes) {
        if let Err(TrySendError::Full(_)) = self.outgoing.try_send(bytes) {
            tracing::debug!("a transaction is not gossiped: the queue is full");
        }
    }

    /// What goes into a block on the present tip.
    pub(super) fn select(&self, room: BlockRoom, base_fee: u128) -> Vec<VerifiedTransaction> {
        self.told().waits = false;
        self.pool().select(room, base_fee)
    }

    /// What goes into a payload behind those of ours that are on their way.
    pub(super) fn select_beyond_offers(&self, room: BlockRoom, base_fee: u128) -> Vec<VerifiedTransaction> {
        self.told().waits = false;
        let pool = self.pool();
        pool.select_beyond(&self.offers(), room, base_fee)
    }

    /// A payload of these transactions is on its way.
    pub(super) fn offered(&self, digest: B256, transactions: &[VerifiedTransaction]) {
        let pool = self.pool();
        let sized = |one: &VerifiedTransaction| Some((one.id(), pool.find(one.id())?.bytes));
        self.offers().begin(digest, transactions.iter().filter_map(sized));
    }

    /// A payload is in a block, or will be in none: what is left of it is free again.
    pub(super) fn offer_ended(&self, digest: B256) {
        self.offers().end(digest);
    }

    /// An epoch is over, and with it whatever was proposed in it: all is free again.
    pub(super) fn give_up_offers(&self) {
        *self.offers() = Offers::default();
    }

    /// Brings the pool to a new tip.
    pub(super) fn reset(
        &self,
        view: &View,
        height: Height,
        included: &[(Address, TransactionId)],
        reverted: Vec<VerifiedTransaction>,
        changed: Changed<'_>,
    ) -> ResetReport {
        let mut pool = self.pool();
        *self.head() = Head { view: view.clone(), height };
        let report = pool.reset(NewTip {
            tip: Tip { height, base_fee: self.base_fee() },
            view: &TipAccounts(view),
            changed,
            included,
            reverted,
            now: self.clock.wall(),
        });
        let mut offers = self.offers();
        included.iter().for_each(|(_, id)| offers.included(*id));
        drop(offers);
        drop(pool);
        if !report.returned.is_empty() {
            tracing::info!(transactions = report.returned.len(), "reverted transactions wait again");
            self.tell_ordering();
        }
        report
    }

    /// The base fee of a block that would come now, and the height that it stands on.
    pub(super) fn expectation(&self) -> (Height, u128) {
        let head = self.head();
        (head.height, base_fee(&self.rules, &head.view, &self.clock))
    }

    /// The base fee of a block that would come now, wei for each gas.
    pub(super) fn base_fee(&self) -> u128 {
        self.expectation().1
    }

    /// Why a transaction that was submitted is not in a block yet.
    pub(super) fn waiting(&self, id: TransactionId) -> Option<Waiting> {
        let pool = self.pool();
        pool.waiting(id, self.base_fee())
    }

    fn take_batch(self: &Arc<Self>, id: GossipId, from: PeerName, data: &[u8]) -> Result<(), Verdict> {
        let batch: Vec<Bytes> = codec::decode::<_, BATCH_LIMIT>(data).map_err(|_| Verdict::Reject)?;
        let transactions = read_batch(&batch)?;
        let door = self.clone();
        let judge = move |verdicts: Verdicts| {
            let verdict = door.take_verdicts(verdicts);
            if verdict == Verdict::Reject {
                door.network.demote(from, Demerit::Invalid);
            }
            door.network.report(id, verdict);
        };
        self.verifier.offer(transactions, judge).map_err(|Busy| Verdict::Ignore)
    }

    /// What waits at a peer waits here, too. It does not travel on: whoever holds it tells everybody that comes.
    fn take_told(self: &Arc<Self>, from: PeerName, batch: &[Bytes]) -> Result<(), Verdict> {
        let (door, transactions) = (self.clone(), read_batch(batch)?);
        let judge = move |verdicts: Verdicts| {
            if door.take_verdicts(verdicts) == Verdict::Reject {
                door.network.demote(from, Demerit::Invalid);
            }
        };
        self.verifier.offer(transactions, judge).map_err(|Busy| Verdict::Ignore)
    }

    /// A batch travels on when all its signatures hold and something in it was news.
    fn take_verdicts(&self, verdicts: Verdicts) -> Verdict {
        let invalid = verdicts.iter().any(Result::is_err);
        let inserted = self.insert_all(verdicts, Origin::Network);
        let news = inserted.iter().flatten().any(|(_, one)| matches!(one, Insertion::Added { .. }));
        match (invalid, news) {
            (true, _) => Verdict::Reject,
            (false, true) => Verdict::Accept,
            (false, false) => Verdict::Ignore,
        }
    }
}

impl TransactionDoor for Arc<Door> {
    fn gossiped(&self, id: GossipId, from: PeerName, data: Bytes) {
        if let Err(verdict) = self.take_batch(id, from, &data) {
            self.network.report(id, verdict);
        }
    }

    fn waiting(&self) -> Vec<Vec<Bytes>> {
        let (pool, mut batches, mut total) = (self.pool(), Vec::<Vec<Bytes>>::new(), 0);
        let mut room = 0;
        for transaction in pool.local() {
            let bytes = Bytes::from(transaction.transaction().to_bytes());
            total += bytes.len();
            if total > WAITING_BYTES {
                break;
            }
            match batches.last_mut().filter(|_| bytes.len() <= room) {
                Some(batch) => {
                    room -= bytes.len();
                    batch.push(bytes);
                }
                None => {
                    room = BATCH_BYTES.saturating_sub(bytes.len());
                    batches.push(vec![bytes]);
                }
            }
        }
        batches
    }

    fn told(&self, from: PeerName, batch: Vec<Bytes>) {
        if self.take_told(from, &batch) == Err(Verdict::Reject) {
            self.network.demote(from, Demerit::Invalid);
        }
    }
}

/// What a block on this state would ask now.
fn base_fee(rules: &Rules, view: &View, clock: &Clock) -> u128 {
    fees::base_fee_at(rules, clock.wall(), &view.system())
}

fn read_batch(batch: &[Bytes]) -> Result<Vec<Transaction>, Verdict> {
    let read = batch.iter().map(|bytes| Transaction::from_bytes(bytes));
    read.collect::<Result<_, _>>().map_err(|_| Verdict::Reject)
}

/// Collects outgoing transactions into batches until the node stops.
fn gossip_batches(outgoing: &Receiver<Bytes>, network: &Network, stop: &Stop) {
    let mut batch: Vec<Bytes> = Vec::new();
    let mut size = 0;
    let mut due: Option<Instant> = None;
    loop {
        let wait =
            due.map_or(Duration::from_millis(200), |due| due.saturating_duration_since(Instant::now()));
        match outgoing.recv_timeout(wait) {
            Ok(bytes) => {
                if size + bytes.len() > BATCH_BYTES {
                    send_batch(network, &mut batch);
                    (size, due) = (0, None);
                }
                size += bytes.len() + 8;
                batch.push(bytes);
                due.get_or_insert_with(|| Instant::now() + BATCH_AGE);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            send_batch(network, &mut batch);
            (size, due) = (0, None);
        }
        if stop.is_stopping() {
            return;
        }
    }
}

fn send_batch(network: &Network, batch: &mut Vec<Bytes>) {
    if batch.is_empty() {
        return;
    }
    let bytes = Bytes::from(codec::encode(&std::mem::take(batch)));
    if let Err(error) = network.gossip(Topic::Transactions, bytes) {
        tracing::debug!(%error, "a batch of transactions was not gossiped");
    }
}
