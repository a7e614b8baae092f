//! What RPC asks of the node, answered from the ledger's reader, the pool, the network and ordering's status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::U256;
use crossbeam_channel::{Sender, bounded};
use synod_consensus::pow::{Outcome, ProofOfWork};
use synod_consensus::{Input, Status};
use synod_ledger::disk::Disk;
use synod_ledger::snapshot::Snapshots;
use synod_ledger::state::StateRead;
use synod_ledger::{AccountProof, HistoryEntry};
use synod_types::block::HEADER_LENGTH;
use synod_types::{
    Address, B256, Block, BlockHash, Height, Receipt, Transaction, TransactionId, UnixMillis, codec,
};
use tokio::sync::{oneshot, watch};

use super::chain::Chain;
use super::clock::Clock;
use super::committee::CommitteeSide;
use super::door::{Door, Refused};
use super::execution::Command;
use super::execution::mining::Task;
use super::mining::{self, OwnMiner};
use super::peers::PeerTable;
use super::refusals;
use super::templates::Templates;
use super::views;
use crate::config::Config;
use crate::mempool::Listed;
use crate::network::Network;
use crate::rpc::backend::{Backend, Boundary, ChangesQuery, TemplateBase, Tips};
use crate::rpc::changes;
use crate::rpc::types::{
    AccountView, BlockReference, BlockView, CallRequest, CallView, CertificateView, CodeView, CommitteeView,
    ErrorCode, EstimateView, Event, EventKind, EvidenceView, FeesView, HistoryItem, HistoryPage, LogsPage,
    LogsRequest, MempoolSummary, MiningView, PeerView, PoolEntry, PoolView, ProofView, ReadIndexView,
    Refusal, SolveView, StatusView, StorageView, SubmitOutcome, SubmitView, SyncView, TemplateView,
    TraceView, TransactionStatus, TransactionStatusView,
};

/// How long a miner's question for a new template is held.
const LONG_POLL: Duration = Duration::from_secs(30);
/// How long a reader waits for the ledger's thread.
const PATIENCE: Duration = Duration::from_secs(5);
/// Transactions listed by one question about the pool.
const POOL_PAGE: usize = 1_000;
/// A node this many blocks behind the best header that it knows is synchronising.
const BEHIND: u64 = 6;
/// The tip that gets into the next block of a chain that is not crowded, in wei for each gas.
const SUGGESTED_TIP: u128 = 1_000_000_000;

/// Asks the ledger's thread what the tip's state says of an account; `false` when it is too busy.
pub(super) type Prove = Box<dyn Fn(Address, Sender<AccountProof>) -> bool + Send + Sync>;

/// What only a node under proof of work has.
pub(super) struct MiningSide {
    /// The way into ordering, for solutions.
    pub(super) answers: Sender<Input<ProofOfWork>>,
    /// The way to the ledger's thread.
    pub(super) commands: Sender<Command<Task>>,
    /// What outside miners were given.
    pub(super) templates: Arc<Mutex<Templates>>,
    /// The node's own miner.
    pub(super) miner: Option<Arc<OwnMiner>>,
    /// How often settled blocks were reversed.
    pub(super) reversals: Arc<std::sync::atomic::AtomicU64>,
}

/// Everything that answers.
pub(super) struct NodeBackend<D: Disk> {
    /// The configuration.
    pub(super) config: Config,
    /// The chain.
    pub(super) chain: Arc<Chain<D>>,
    /// The state for those who were not there; only under a committee.
    pub(super) snapshots: Option<Arc<Snapshots<D>>>,
    /// The pool.
    pub(super) door: Arc<Door>,
    /// Peers.
    pub(super) network: Network,
    /// Their numbers and heights.
    pub(super) peers: PeerTable,
    /// What ordering does.
    pub(super) ordering: watch::Receiver<Status>,
    /// Asks the ledger's thread for a proof; `false` when it is too busy.
    pub(super) prove: Prove,
    /// What only proof of work has.
    pub(super) mining: Option<MiningSide>,
    /// What only a committee has.
    pub(super) committee: Option<CommitteeSide<D>>,
    /// What templates stand on; nothing for ever where nobody mines.
    pub(super) base: watch::Receiver<Option<TemplateBase>>,
    /// Time.
    pub(super) clock: Clock,
    /// When the node started.
    pub(super) started_at: UnixMillis,
}

impl<D> Backend for NodeBackend<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    fn status(&self) -> StatusView {
        let head = self.chain.reader().head();
        let genesis = self.chain.reader().genesis();
        let syncing = self.syncing(head.height());
        let (facts, waits_for) = {
            let ordering = self.ordering.borrow();
            let facts = ordering.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            (facts.collect(), ordering.waits_for.clone())
        };
        let pool = self.door.pool();
        let mempool = MempoolSummary { transactions: pool.len() as u64, bytes: pool.bytes() as u64 };
        drop(pool);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.config.name.clone(),
            chain_id: genesis.chain_id,
            genesis_hash: self.chain.reader().rules().genesis,
            ordering: genesis.ordering.name().to_owned(),
            facts,
            waits_for,
            testnet: genesis.testnet,
            peer_id: self.network.name().to_string(),
            head: views::executed_summary(&head),
            safe_height: self.chain.safe_height(),
            settled_height: self.chain.settled_height(),
            settled_reversals: self
                .mining
                .as_ref()
                .map_or(0, |mining| mining.reversals.load(std::sync::atomic::Ordering::Relaxed)),
            base_height: self.chain.reader().base(),
            snapshot_height: self.snapshots.as_ref().and_then(|all| all.newest()).map(|one| one.height()),
            base_fee: head.commitment.base_fee,
            work: self.chain.work_at(head.height()).unwrap_or_default(),
            peers: u32::try_from(self.network.peers().len()).unwrap_or(u32::MAX),
            configured_peers: u32::try_from(self.config.p2p.peers.len()).unwrap_or(u32::MAX),
            mempool,
            mining: self.mining_view(),
            ready: syncing.is_none(),
            reason: syncing.as_ref().map(|sync| sync.waiting_for.clone()),
            syncing,
            started_at: self.started_at,
        }
    }

    fn genesis(&self) -> serde_json::Value {
        serde_json::to_value(&**self.chain.reader().genesis()).expect("a genesis serializes")
    }

    fn fees(&self) -> FeesView {
        let head = self.chain.reader().head();
        let (height, next_base_fee) = self.door.expectation();
        FeesView {
            base_fee: head.commitment.base_fee,
            next_base_fee,
            suggested_tip: SUGGESTED_TIP,
            gas_target_per_second: self.chain.reader().genesis().fees.target_gas_per_second,
            height,
        }
    }

    fn peers(&self) -> Vec<PeerView> {
        let view = |peer: crate::network::PeerInfo| PeerView {
            peer_id: peer.name.to_string(),
            address: peer.address.to_string(),
            outbound: peer.outbound,
            height: self.peers.height(peer.name),
            connected_ms: u64::try_from(peer.connected_for.as_millis()).unwrap_or(u64::MAX),
            agent: Some(peer.agent),
        };
        self.network.peers().into_iter().map(view).collect()
    }

    fn tips(&self) -> watch::Receiver<Tips> {
        self.chain.tips()
    }

    fn template_base(&self) -> watch::Receiver<Option<TemplateBase>> {
        self.base.clone()
    }

    fn validators(&self) -> Result<CommitteeView, Refusal> {
        let side = self.committee.as_ref().ok_or_else(Refusal::no_committee)?;
        Ok(side.view(&self.peers, &self.chain.reader().head()))
    }

    async fn read_index(&self) -> Result<ReadIndexView, Refusal> {
        let side = self.committee.as_ref().ok_or_else(Refusal::no_committee)?;
        side.reads().index().await.map(|height| ReadIndexView { height })
    }

    fn evidence(&self) -> Result<Vec<EvidenceView>, Refusal> {
        let side = self.committee.as_ref().ok_or_else(Refusal::no_committee)?;
        side.evidence().map_err(|error| {
            tracing::error!(%error, "evidence/ cannot be read");
            Refusal::new(ErrorCode::Internal, "this node's evidence cannot be read: its log says why")
        })
    }

    fn certificate(&self, at: Option<BlockReference>) -> Result<CertificateView, Refusal> {
        let side = self.committee.as_ref().ok_or_else(Refusal::no_committee)?;
        let tip = self.chain.reader().head().height();
        let height = match at {
            Some(at) => self.reference(at)?.0,
            None => self.chain.settled_height(),
        };
        side.certificate(height, tip).ok_or_else(|| {
            Refusal::new(ErrorCode::NotFound, format!("block {height} is not certified yet"))
                .hint("`synod chain status` shows what is final")
        })
    }

    fn account(&self, address: Address, at: Option<BlockReference>) -> Result<AccountView, Refusal> {
        let block = self.reference(at.unwrap_or(BlockReference::Latest))?;
        let view = self.chain.reader().view_at(block.0).map_err(refusals::no_state)?;
        if !self.chain.is_best(block.0, block.1) {
            return Err(refusals::not_on_best_chain(block.1));
        }
        let account = view.account(&address);
        let maturity = self.chain.reader().rules().pow.settled_depth;
        let oldest = block.0.0.saturating_sub(maturity);
        let immature = (oldest..=block.0.0)
            .filter_map(|height| view.reward(Height(height)))
            .filter(|reward| reward.recipient == address)
            .fold(U256::ZERO, |sum, reward| sum.saturating_add(reward.amount));
        let pool = self.door.pool();
        Ok(AccountView {
            address,
            nonce: account.nonce,
            balance: account.balance,
            immature,
            pending_nonce: pool.next_nonce(address).unwrap_or(account.nonce).max(account.nonce),
            pending_out: pool.outgoing(address),
            pending_in: pool.incoming(address),
            code_hash: account.code_hash.map(|hash| *hash),
            height: block.0,
            block_hash: block.1,
        })
    }

    fn transaction(&self, id: TransactionId) -> Result<TransactionStatusView, Refusal> {
        let tip_height = self.chain.reader().head().height();
        let mut answer = TransactionStatusView {
            id,
            status: TransactionStatus::Unknown,
            transaction: None,
            receipt: None,
            block_hash: None,
            height: None,
            index: None,
            depth: None,
            work_on_top: None,
            settled: false,
            reason: None,
            replaced_by: None,
            tip_height,
        };
        if let Some(located) = self.chain.reader().transaction(&id).map_err(refusals::internal)? {
            let block = self.chain.reader().block_at(located.height).map_err(refusals::internal)?;
            let Some(block) = block else { return Ok(answer) };
            let depth = tip_height.0.saturating_sub(located.height.0) + 1;
            answer.status = TransactionStatus::Included;
            answer.transaction =
                block.transactions.get(located.index as usize).map(|one| views::transaction(one, id));
            answer.receipt = Some((&located.receipt).into());
            answer.block_hash = Some(block.hash());
            answer.height = Some(located.height);
            answer.index = Some(located.index);
            answer.depth = Some(depth);
            let works = self.chain.work_at(tip_height).zip(self.chain.work_at(located.height));
            answer.work_on_top = works.map(|(tip, block)| tip.saturating_sub(block));
            answer.settled = located.height <= self.chain.settled_height();
            return Ok(answer);
        }
        let pool = self.door.pool();
        if let Some(listed) = pool.find(id) {
            answer.status = TransactionStatus::Pending;
            answer.transaction = Some(views::transaction(listed.transaction.transaction(), id));
            answer.reason = pool.waiting(id, self.door.base_fee()).map(|waiting| waiting.to_string());
        } else {
            answer.replaced_by = pool.replaced_by(id);
            if let Some(kept) = self.kept_from() {
                // It may be in a block that is not here.
                answer.reason = Some(refusals::pruned(kept).message);
            }
        }
        Ok(answer)
    }

    fn block(&self, reference: BlockReference, full: bool) -> Result<BlockView, Refusal> {
        let (height, hash) = self.reference(reference)?;
        let block = self.read_block(hash)?;
        let is_best = self.chain.is_best(height, hash);
        let tip = self.chain.reader().head().height();
        let depth = if is_best { tip.0.saturating_sub(height.0) + 1 } else { 0 };
        let settled = is_best && height <= self.chain.settled_height();
        let work = if is_best { self.chain.work_at(height).unwrap_or_default() } else { U256::ZERO };
        let rules = self.chain.reader().rules();
        let reward = if rules.ordering.has_committee() { U256::ZERO } else { rules.pow.reward_at(height.0) };
        Ok(views::block(&block, full, self.genesis_hash(), views::Place { depth, settled, work, reward }))
    }

    fn headers(&self, from: Height, count: u32) -> Result<Vec<[u8; HEADER_LENGTH]>, Refusal> {
        let tip = self.chain.reader().head().height();
        let end = from.0.saturating_add(u64::from(count)).min(tip.0.saturating_add(1));
        let mut headers = Vec::new();
        if let Some(kept) = self.kept_from().filter(|kept| from < *kept && end > from.0.max(1)) {
            return Err(refusals::pruned(kept));
        }
        for height in from.0..end {
            let block = self.chain.reader().block_at(Height(height)).map_err(refusals::internal)?;
            let Some(block) = block else { break };
            headers.push(block.header.to_bytes());
        }
        Ok(headers)
    }

    fn history(&self, address: Address, cursor: Option<&str>, limit: u32) -> Result<HistoryPage, Refusal> {
        let before = cursor.map(parse_history_cursor).transpose()?;
        let entries =
            self.chain.reader().history(&address, before, limit as usize).map_err(refusals::internal)?;
        let height = self.chain.reader().head().height();
        let next = entries.last().filter(|_| entries.len() == limit as usize);
        let next_cursor = next.map(|entry| format!("{}.{}", entry.height, entry.index));
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            items.extend(self.history_item(entry, height)?);
        }
        Ok(HistoryPage { items, next_cursor, height, base_height: self.chain.reader().base() })
    }

    fn proof(&self, address: Address) -> Result<ProofView, Refusal> {
        let (reply, answer) = bounded(1);
        let busy = || Refusal::new(ErrorCode::Busy, "the ledger is busy").hint("try again shortly");
        if !(self.prove)(address, reply) {
            return Err(busy());
        }
        let proof = answer.recv_timeout(PATIENCE).map_err(|_| busy())?;
        let is_absent = proof.account.is_empty();
        let certificate =
            self.committee.as_ref().and_then(|side| side.of_block(proof.commitment.height, PATIENCE));
        let epoch = certificate.as_ref().map(|certificate| certificate.statement.position.epoch);
        let epochs = epoch.and_then(|epoch| self.committee.as_ref()?.successions(epoch)).unwrap_or_default();
        Ok(ProofView {
            address,
            account: (!is_absent).then(|| codec::encode(&proof.account).into()),
            proof: proof.proof.to_bytes().into(),
            state_root: proof.commitment.state_root,
            block_hash: proof.header.hash(),
            height: proof.commitment.height,
            header: proof.header.to_bytes().into(),
            commitment: codec::encode(&proof.commitment).into(),
            certificate: certificate.map(|certificate| certificate.to_bytes().into()),
            epochs: epochs.iter().map(|end| end.to_bytes().into()).collect(),
        })
    }

    fn pool(&self, sender: Option<Address>) -> Result<PoolView, Refusal> {
        let pool = self.door.pool();
        let (now, base_fee) = (self.clock.wall(), self.door.base_fee());
        let entry = |listed: Listed<'_>| PoolEntry {
            reason: pool.waiting(listed.transaction.id(), base_fee).map(|waiting| waiting.to_string()),
            ..views::pool_entry(&listed, now)
        };
        let total = sender.map_or(pool.len(), |sender| pool.of_sender(sender).count());
        let entries: Vec<PoolEntry> = match sender {
            Some(sender) => pool.of_sender(sender).take(POOL_PAGE).map(entry).collect(),
            None => pool.all().take(POOL_PAGE).map(entry).collect(),
        };
        Ok(PoolView {
            transactions: pool.len() as u64,
            bytes: pool.bytes() as u64,
            bytes_limit: pool.limits().bytes as u64,
            senders: pool.senders() as u64,
            fee_to_enter: pool.fee_to_enter(),
            truncated: entries.len() < total,
            entries,
        })
    }

    fn call(&self, call: CallRequest, at: Option<BlockReference>) -> Result<CallView, Refusal> {
        self.try_call(&call, at)
    }

    fn estimate_gas(&self, call: CallRequest, at: Option<BlockReference>) -> Result<EstimateView, Refusal> {
        self.try_estimate(&call, at)
    }

    fn trace(&self, id: TransactionId) -> Result<TraceView, Refusal> {
        self.watch(id)
    }

    fn logs(&self, request: LogsRequest) -> Result<LogsPage, Refusal> {
        self.find_logs(&request)
    }

    fn code(&self, address: Address, at: Option<BlockReference>) -> Result<CodeView, Refusal> {
        self.read_code(address, at)
    }

    fn storage(
        &self,
        address: Address,
        slot: B256,
        at: Option<BlockReference>,
    ) -> Result<StorageView, Refusal> {
        self.read_slot(address, slot, at)
    }

    fn changes(&self, query: ChangesQuery) -> Result<Vec<Event>, Refusal> {
        let tips = *self.chain.tips().borrow();
        let end = match query.boundary {
            Boundary::Head => tips.head.height,
            Boundary::Settled => tips.settled.height,
        };
        let steps = changes::steps(&*self.chain, query.after, end, query.limit)?;
        let mut events = Vec::with_capacity(steps.len());
        for step in steps {
            let block = self.read_block(step.block)?;
            let kind = match (query.boundary, step.joins) {
                (Boundary::Head, true) => EventKind::Block,
                (Boundary::Head, false) => EventKind::Reverted,
                (Boundary::Settled, true) => EventKind::Settled,
                (Boundary::Settled, false) => EventKind::SettledReversed,
            };
            let receipts =
                if step.joins && query.transactions { self.receipts(block.height())? } else { None };
            let transactions = query.transactions.then(|| {
                views::outcomes(&block, self.genesis_hash(), receipts.as_deref().unwrap_or_default())
            });
            let logs = query.logs.as_ref().map(|filter| self.logs_of(&block, step.joins, filter));
            let (logs, truncated) =
                logs.transpose()?.flatten().map_or((None, false), |(logs, more)| (Some(logs), more));
            let (cursor, block) = (step.cursor, views::summary(&block));
            events.push(Event { kind, cursor, block, transactions, logs, truncated });
        }
        Ok(events)
    }

    async fn submit(&self, transaction: Transaction) -> Result<SubmitView, Refusal> {
        match self.door.submit(transaction).await {
            Ok(submitted) => Ok(SubmitView {
                id: submitted.id,
                outcome: SubmitOutcome::Pending,
                height: None,
                depth: None,
                replaced: submitted.replaced,
                reason: self.door.waiting(submitted.id).map(|waiting| waiting.to_string()),
            }),
            Err(refused) => self.resubmitted(refused),
        }
    }

    async fn template(
        &self,
        reward_to: Address,
        wait_for_change_of: Option<String>,
    ) -> Result<TemplateView, Refusal> {
        let mining = self.mining()?;
        if let Some(id) = wait_for_change_of {
            let mut base = self.base.clone();
            let parent = base.borrow_and_update().as_ref().map(|base| base.parent);
            // The tip may have moved since the miner got what it has: then there is nothing to wait for.
            let may_wait =
                mining.templates.lock().unwrap_or_else(PoisonError::into_inner).may_wait(&id, parent);
            if may_wait {
                // After the long poll's time the miner gets the present template, with a fresh time.
                let _ = tokio::time::timeout(LONG_POLL, base.changed()).await;
            }
        }
        let (reply, answer) = oneshot::channel();
        mining
            .commands
            .try_send(Command::Task(Task::Template { reward_to, reply }))
            .map_err(|_| Refusal::new(ErrorCode::Busy, "the ledger is busy").hint("try again shortly"))?;
        answer.await.ok().flatten().ok_or_else(|| {
            Refusal::new(ErrorCode::NotReady, "there is nothing to mine on while the node synchronises")
                .hint("watch `synod chain status` until it is in sync")
        })
    }

    async fn solve(
        &self,
        template_id: String,
        extra_nonce: u64,
        time: u32,
        nonce: u32,
    ) -> Result<SolveView, Refusal> {
        let mining = self.mining()?;
        let (tip, now) = (self.chain.reader().head().hash, self.clock.wall());
        let numbers = (extra_nonce, time, nonce);
        let mut templates = mining.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, body) = templates.solve(&template_id, numbers, tip, now);
        if let Some(body) = body
            && mining.answers.try_send(Input::Done(Outcome::Solved(body))).is_err()
        {
            templates.take_back(&template_id, numbers);
            return Err(Refusal::new(ErrorCode::Busy, "the node is too busy to take a block"));
        }
        Ok(view)
    }
}

impl<D: Disk> NodeBackend<D> {
    fn genesis_hash(&self) -> synod_types::B256 {
        self.chain.reader().rules().genesis
    }

    fn syncing(&self, height: Height) -> Option<SyncView> {
        let status = self.ordering.borrow();
        let best = status.best_height;
        (best.0 > height.0.saturating_add(BEHIND)).then(|| SyncView {
            target_height: best,
            current_height: height,
            waiting_for: status.waits_for.clone(),
        })
    }

    fn mining(&self) -> Result<&MiningSide, Refusal> {
        self.mining.as_ref().ok_or_else(|| {
            let message = "nothing is mined here: a committee orders this network";
            Refusal::new(ErrorCode::Unavailable, message).hint("`synod chain status` shows who orders")
        })
    }

    fn mining_view(&self) -> Option<MiningView> {
        let miner = self.mining.as_ref()?.miner.as_ref()?;
        let figures = miner.figures();
        let settings = miner.settings();
        let bits = self.base.borrow().as_ref().map(|base| base.bits);
        Some(MiningView {
            enabled: figures.searching,
            threads: u32::try_from(settings.threads).unwrap_or(u32::MAX),
            hash_rate: figures.hash_rates.iter().sum(),
            hash_rates: figures.hash_rates,
            difficulty: bits.map_or(U256::ZERO, mining::difficulty),
            kernel: settings.kernel.name().to_owned(),
            reward_to: self.config.mining.reward_to.unwrap_or_default(),
            blocks_found: figures.found,
        })
    }

    /// The height and hash that a reference names.
    pub(super) fn reference(&self, reference: BlockReference) -> Result<(Height, BlockHash), Refusal> {
        let height = match reference {
            BlockReference::Latest => {
                let head = self.chain.reader().head();
                return Ok((head.height(), head.hash));
            }
            BlockReference::Safe => self.chain.safe_height(),
            BlockReference::Settled => self.chain.settled_height(),
            BlockReference::Genesis => Height(0),
            BlockReference::Height(height) => height,
            BlockReference::Hash(hash) => {
                let block = self.chain.block(hash).map_err(refusals::internal)?;
                return block.map(|block| (block.height(), hash)).ok_or_else(|| self.missing(&reference));
            }
        };
        let hash = self.chain.hash_at(height).ok_or_else(|| self.missing(&BlockReference::Height(height)))?;
        Ok((height, hash))
    }

    /// The first height whose blocks are here, when they do not begin with the chain (GEN-13).
    fn kept_from(&self) -> Option<Height> {
        let base = self.chain.reader().base();
        (base > Height(0)).then(|| Height(base.0.saturating_add(1)))
    }

    /// A block that is not here: pruned, or none that this node knows.
    fn missing(&self, reference: &BlockReference) -> Refusal {
        match (self.kept_from(), reference) {
            (Some(kept), BlockReference::Height(height)) if *height < kept => refusals::pruned(kept),
            (Some(kept), BlockReference::Hash(_)) => {
                let refusal = refusals::no_block(reference);
                let message = format!("{} from height {kept} on; lower ones are pruned", refusal.message);
                Refusal { message, ..refusal }.hint("ask a node that has the whole chain")
            }
            _ => refusals::no_block(reference),
        }
    }

    pub(super) fn receipts(&self, height: Height) -> Result<Option<Vec<Receipt>>, Refusal> {
        self.chain.reader().receipts(height).map_err(refusals::internal)
    }

    fn read_block(&self, hash: BlockHash) -> Result<Block, Refusal> {
        let block = self.chain.block(hash).map_err(refusals::internal)?;
        block.ok_or_else(|| {
            // The block of the snapshot is known by its header alone.
            let height = self.chain.reader().recent_block(&hash).map(|block| block.height());
            self.missing(&height.map_or(BlockReference::Hash(hash), BlockReference::Height))
        })
    }

    fn history_item(&self, entry: HistoryEntry, tip: Height) -> Result<Option<HistoryItem>, Refusal> {
        let block = self.chain.reader().block_at(entry.height).map_err(refusals::internal)?;
        let receipts = self.receipts(entry.height)?.unwrap_or_default();
        let receipt = receipts.get(entry.index as usize);
        Ok(block
            .zip(receipt)
            .and_then(|(block, receipt)| views::history_item(&block, entry.index, receipt, tip)))
    }

    /// A transaction that the pool refuses because the chain has it is no failure: it tells where it is.
    fn resubmitted(&self, refused: Refused) -> Result<SubmitView, Refusal> {
        if let Refused::Pool { id, .. } = &refused
            && let Some(located) = self.chain.reader().transaction(id).map_err(refusals::internal)?
        {
            let tip = self.chain.reader().head().height();
            return Ok(SubmitView {
                id: *id,
                outcome: SubmitOutcome::Included,
                height: Some(located.height),
                depth: Some(tip.0.saturating_sub(located.height.0) + 1),
                replaced: None,
                reason: None,
            });
        }
        Err(refusals::submission(&refused))
    }
}

fn parse_history_cursor(text: &str) -> Result<HistoryEntry, Refusal> {
    let malformed = || Refusal::new(ErrorCode::Malformed, "the cursor is not one of synod_history");
    let (height, index) = text.split_once('.').ok_or_else(malformed)?;
    let height = height.parse().map_err(|_| malformed())?;
    let index = index.parse().map_err(|_| malformed())?;
    Ok(HistoryEntry { height: Height(height), index })
}
