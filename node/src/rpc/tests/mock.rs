//! A backend with a small chain of its own: a tree of empty blocks, the real pool, a miner that always wins.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use synod_types::block::HEADER_LENGTH;
use synod_types::{
    Address, B256, BlockHash, Bloom, Gas, Height, Position, Transaction, TransactionId, U256, UnixMillis,
};
use tokio::sync::watch;

use crate::mempool::tests::fixture::{Accounts, CHAIN, GENESIS, NOW, pool};
use crate::mempool::{Insertion, Origin, Pool, PoolLimits};
use crate::rpc::changes::{BlockTree, steps};
use crate::rpc::types::*;
use crate::rpc::{Backend, Boundary, ChangesQuery, TemplateBase, Tips};

/// How deep a block of the mock is when it is settled.
pub(super) const SETTLED_DEPTH: u64 = 3;

pub(super) struct Mock {
    chain: Mutex<Chain>,
    pool: Mutex<Pool>,
    tips: watch::Sender<Tips>,
    base: watch::Sender<Option<TemplateBase>>,
    /// Bytes of padding in each block's answer, to make answers large.
    padding: usize,
    /// Calls of contracts and estimates wait until the other end is dropped.
    hold: Option<Mutex<Receiver<()>>>,
}

#[derive(Default)]
struct Chain {
    blocks: BTreeMap<BlockHash, (BlockSummary, Vec<TransactionOutcome>)>,
    /// Hashes by height.
    best: Vec<BlockHash>,
}

impl BlockTree for Chain {
    fn parent(&self, hash: BlockHash) -> Option<(Height, BlockHash)> {
        self.blocks.get(&hash).map(|(block, _)| (block.height, block.parent))
    }

    fn best_at(&self, height: Height) -> Option<BlockHash> {
        self.best.get(usize::try_from(height.0).ok()?).copied()
    }
}

impl Chain {
    fn tips(&self) -> Tips {
        let at = |height: usize| Cursor { height: Height(height as u64), hash: self.best[height] };
        let head = self.best.len() - 1;
        Tips { head: at(head), settled: at(head.saturating_sub(SETTLED_DEPTH as usize - 1)) }
    }
}

pub(super) fn outcome(sender: u8, to: u8) -> TransactionOutcome {
    TransactionOutcome {
        id: TransactionId(B256::repeat_byte(sender)),
        index: 0,
        sender: Address::repeat_byte(sender),
        to: Some(Address::repeat_byte(to)),
        value: U256::from(7),
        succeeded: true,
    }
}

impl Mock {
    pub(super) fn new() -> Self {
        let mut chain = Chain::default();
        let genesis = summary(Height(0), BlockHash::default(), 0);
        chain.best.push(genesis.hash);
        chain.blocks.insert(genesis.hash, (genesis, Vec::new()));
        let (tips, _) = watch::channel(chain.tips());
        let pool = Mutex::new(pool(PoolLimits::default()));
        Self { chain: Mutex::new(chain), pool, tips, base: watch::Sender::new(None), padding: 0, hold: None }
    }

    /// One whose calls and estimates take until the sender is dropped.
    pub(super) fn holding(hold: Receiver<()>) -> Self {
        Self { hold: Some(Mutex::new(hold)), ..Self::new() }
    }

    fn wait(&self) {
        if let Some(hold) = &self.hold {
            let _ = hold.lock().unwrap().recv();
        }
    }

    /// One whose blocks' answers are this many bytes longer.
    pub(super) fn padded(padding: usize) -> Self {
        Self { padding, ..Self::new() }
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `count` blocks on the best chain's block at `fork`, the new best chain. `salt` tells branches
    /// apart.
    pub(super) fn extend(&self, fork: u64, count: u64, salt: u8, transactions: &[TransactionOutcome]) {
        let tips = {
            let mut chain = self.chain();
            chain.best.truncate(fork as usize + 1);
            for _ in 0..count {
                let parent = *chain.best.last().unwrap();
                let block = summary(Height(chain.best.len() as u64), parent, salt);
                chain.best.push(block.hash);
                chain.blocks.insert(block.hash, (block, transactions.to_vec()));
            }
            chain.tips()
        };
        self.tips.send_replace(tips);
    }

    pub(super) fn best(&self) -> Vec<BlockHash> {
        self.chain().best.clone()
    }
}

fn summary(height: Height, parent: BlockHash, salt: u8) -> BlockSummary {
    let parts = [parent.0.as_slice(), &[salt]];
    BlockSummary {
        hash: BlockHash(synod_types::hash::sha256(&parts)),
        height,
        parent,
        time: UnixMillis(1_700_000_000_000 + height.0),
        transactions: 0,
        gas_used: Gas(0),
        fee_recipient: Address::ZERO,
    }
}

fn not_found(what: &str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("no such {what}"))
}

impl Backend for Mock {
    fn status(&self) -> StatusView {
        let tips = *self.tips.borrow();
        let pool = self.pool.lock().unwrap();
        StatusView {
            version: "0".to_owned(),
            name: "mock".to_owned(),
            chain_id: CHAIN,
            genesis_hash: GENESIS,
            ordering: "pow".to_owned(),
            facts: Default::default(),
            waits_for: String::new(),
            testnet: true,
            peer_id: "nobody".to_owned(),
            head: self.chain().blocks[&tips.head.hash].0.clone(),
            safe_height: Height(0),
            settled_height: tips.settled.height,
            base_height: Height(0),
            snapshot_height: None,
            settled_reversals: 0,
            base_fee: 1,
            work: U256::from(1),
            peers: 0,
            configured_peers: 0,
            mempool: MempoolSummary { transactions: pool.len() as u64, bytes: pool.bytes() as u64 },
            mining: None,
            syncing: None,
            started_at: NOW,
            ready: true,
            reason: None,
        }
    }

    fn genesis(&self) -> serde_json::Value {
        json!({ "chain_id": CHAIN })
    }

    fn fees(&self) -> FeesView {
        FeesView {
            base_fee: 1,
            next_base_fee: 2,
            suggested_tip: 3,
            gas_target_per_second: 4,
            height: Height(0),
        }
    }

    fn peers(&self) -> Vec<PeerView> {
        Vec::new()
    }

    fn tips(&self) -> watch::Receiver<Tips> {
        self.tips.subscribe()
    }

    fn template_base(&self) -> watch::Receiver<Option<TemplateBase>> {
        self.base.subscribe()
    }

    fn account(&self, address: Address, at: Option<BlockReference>) -> Result<AccountView, Refusal> {
        if at.is_some_and(|at| at != BlockReference::Latest) {
            return Err(Refusal::new(ErrorCode::Pruned, "pruned"));
        }
        let head = self.tips.borrow().head;
        Ok(AccountView {
            address,
            nonce: 0,
            balance: U256::MAX,
            immature: U256::ZERO,
            pending_nonce: self.pool.lock().unwrap().next_nonce(address).unwrap_or(0),
            pending_out: U256::ZERO,
            pending_in: U256::ZERO,
            code_hash: None,
            height: head.height,
            block_hash: head.hash,
        })
    }

    fn transaction(&self, id: TransactionId) -> Result<TransactionStatusView, Refusal> {
        let pool = self.pool.lock().unwrap();
        let found = pool.find(id).map(|one| one.transaction.clone());
        let status = if found.is_some() { TransactionStatus::Pending } else { TransactionStatus::Unknown };
        Ok(TransactionStatusView {
            id,
            status,
            transaction: found.map(|one| TransactionView::new(one.transaction(), one.id(), one.sender())),
            receipt: None,
            block_hash: None,
            height: None,
            index: None,
            depth: None,
            work_on_top: None,
            settled: false,
            reason: pool.waiting(id, pool.base_fee()).map(|waiting| waiting.to_string()),
            replaced_by: pool.replaced_by(id),
            tip_height: self.tips.borrow().head.height,
        })
    }

    fn block(&self, reference: BlockReference, full: bool) -> Result<BlockView, Refusal> {
        let hash = match reference {
            BlockReference::Latest => self.tips.borrow().head.hash,
            BlockReference::Height(height) => {
                self.chain().best_at(height).ok_or_else(|| not_found("block"))?
            }
            BlockReference::Hash(hash) => hash,
            _ => self.chain().best[0],
        };
        let block = self.chain().blocks.get(&hash).map(|(block, _)| block.clone());
        let block = block.ok_or_else(|| not_found("block"))?;
        let transactions =
            if full { BlockTransactions::Full(Vec::new()) } else { BlockTransactions::Ids(Vec::new()) };
        Ok(view(block, transactions, self.padding))
    }

    fn headers(&self, from: Height, count: u32) -> Result<Vec<[u8; HEADER_LENGTH]>, Refusal> {
        let length = self.chain().best.len() as u64;
        Ok((from.0..length).take(count as usize).map(|height| [height as u8; HEADER_LENGTH]).collect())
    }

    fn history(&self, _: Address, cursor: Option<&str>, _: u32) -> Result<HistoryPage, Refusal> {
        let next_cursor = cursor.is_none().then(|| "next".to_owned());
        Ok(HistoryPage { items: Vec::new(), next_cursor, height: Height(0), base_height: Height(0) })
    }

    fn proof(&self, _: Address) -> Result<ProofView, Refusal> {
        panic!("a fault of the backend, at /secret/path");
    }

    fn pool(&self, sender: Option<Address>) -> Result<PoolView, Refusal> {
        let pool = self.pool.lock().unwrap();
        let listed = |one: crate::mempool::Listed<'_>| PoolEntry {
            id: one.transaction.id(),
            sender: one.transaction.sender(),
            nonce: one.transaction.native().nonce,
            to: one.transaction.native().to,
            value: one.transaction.native().value,
            max_fee: one.transaction.native().max_fee,
            max_tip: one.transaction.native().max_tip,
            gas_limit: one.transaction.native().gas_limit.0,
            size: one.bytes as u32,
            waiting_ms: 0,
            local: one.origin == Origin::Local,
            reason: None,
        };
        let wanted = |entry: &PoolEntry| sender.is_none_or(|sender| entry.sender == sender);
        Ok(PoolView {
            transactions: pool.len() as u64,
            bytes: pool.bytes() as u64,
            bytes_limit: pool.limits().bytes as u64,
            senders: pool.senders() as u64,
            fee_to_enter: pool.fee_to_enter(),
            entries: pool.all().map(listed).filter(wanted).collect(),
            truncated: false,
        })
    }

    fn call(&self, call: CallRequest, _: Option<BlockReference>) -> Result<CallView, Refusal> {
        self.wait();
        let head = self.tips.borrow().head;
        Ok(CallView {
            succeeded: true,
            output: call.data,
            reason: None,
            gas_used: 21_000,
            created: None,
            logs: Vec::new(),
            height: head.height,
            block_hash: head.hash,
        })
    }

    fn estimate_gas(&self, _: CallRequest, _: Option<BlockReference>) -> Result<EstimateView, Refusal> {
        self.wait();
        let head = self.tips.borrow().head;
        let (gas, output, reason) = (Some(21_000), Default::default(), None);
        Ok(EstimateView { gas, output, reason, height: head.height, block_hash: head.hash })
    }

    fn trace(&self, _: TransactionId) -> Result<TraceView, Refusal> {
        Err(not_found("transaction"))
    }

    fn logs(&self, _: LogsRequest) -> Result<LogsPage, Refusal> {
        Ok(LogsPage { logs: Vec::new(), next_cursor: None, height: self.tips.borrow().head.height })
    }

    fn code(&self, address: Address, _: Option<BlockReference>) -> Result<CodeView, Refusal> {
        let head = self.tips.borrow().head;
        let (code, code_hash) = (Default::default(), None);
        Ok(CodeView { address, code, code_hash, height: head.height, block_hash: head.hash })
    }

    fn storage(
        &self,
        address: Address,
        slot: B256,
        _: Option<BlockReference>,
    ) -> Result<StorageView, Refusal> {
        let head = self.tips.borrow().head;
        Ok(StorageView { address, slot, value: B256::ZERO, height: head.height, block_hash: head.hash })
    }

    fn changes(&self, query: ChangesQuery) -> Result<Vec<Event>, Refusal> {
        let chain = self.chain();
        let tips = chain.tips();
        let end = if query.boundary == Boundary::Settled { tips.settled } else { tips.head };
        let steps = steps(&*chain, query.after, end.height, query.limit)?;
        let event = |step: crate::rpc::changes::Step| {
            let (block, transactions) = chain.blocks[&step.block].clone();
            Event {
                kind: if step.joins { EventKind::Block } else { EventKind::Reverted },
                cursor: step.cursor,
                block,
                transactions: query.transactions.then_some(transactions),
                logs: query.logs.is_some().then(Vec::new),
                truncated: false,
            }
        };
        Ok(steps.into_iter().map(event).collect())
    }

    async fn submit(&self, transaction: Transaction) -> Result<SubmitView, Refusal> {
        let verified = transaction.verify(CHAIN, GENESIS).map_err(|error| Refusal::from(&error))?;
        let id = verified.id();
        let mut pool = self.pool.lock().unwrap();
        let inserted = pool.insert(verified, Origin::Local, NOW, &Accounts::rich());
        let replaced = match inserted.map_err(|rejection| Refusal::from(&rejection))? {
            Insertion::Added { replaced, .. } => replaced,
            Insertion::Known { .. } => None,
        };
        let reason = pool.waiting(id, pool.base_fee()).map(|waiting| waiting.to_string());
        Ok(SubmitView { id, outcome: SubmitOutcome::Pending, height: None, depth: None, replaced, reason })
    }

    async fn template(&self, reward_to: Address, wait: Option<String>) -> Result<TemplateView, Refusal> {
        let mut tips = self.tips.subscribe();
        while wait.as_deref() == Some(tips.borrow().head.hash.to_string().as_str()) {
            tips.changed().await.map_err(|_| Refusal::internal())?;
        }
        let head = tips.borrow().head;
        Ok(TemplateView {
            template_id: head.hash.to_string(),
            height: head.height,
            parent: head.hash,
            bits: 0,
            target: B256::ZERO,
            commitment: vec![0; 8].into(),
            header: vec![0; 80].into(),
            min_time: 0,
            max_time: 1,
            expires_at: 0,
            transactions: 0,
            pays: U256::ZERO,
            reward_to,
        })
    }

    async fn solve(&self, template_id: String, _: u64, _: u32, _: u32) -> Result<SolveView, Refusal> {
        let head = self.tips.borrow().head;
        let stale = template_id != head.hash.to_string();
        let outcome = if stale { SolveOutcome::Stale } else { SolveOutcome::Accepted };
        Ok(SolveView { outcome, block_hash: Some(head.hash), height: Some(head.height), reason: None })
    }
}

fn view(block: BlockSummary, transactions: BlockTransactions, padding: usize) -> BlockView {
    let header = HeaderView {
        version: 1,
        parent: block.parent,
        commitment: B256::ZERO,
        time: 0,
        bits: 0,
        nonce: 0,
        raw: "0".repeat(padding),
    };
    let commitment = CommitmentView {
        format: 1,
        position: Position::default(),
        millis: 0,
        transactions_root: B256::ZERO,
        state_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        gas_used: Gas(0),
        gas_limit: Gas(0),
        base_fee: u128::MAX,
        proposer: Address::ZERO,
        fee_recipient: Address::ZERO,
        next_committee: B256::ZERO,
        extra_nonce: u64::MAX,
    };
    BlockView {
        hash: block.hash,
        height: block.height,
        time: block.time,
        header,
        commitment,
        transactions,
        size: 0,
        depth: 1,
        settled: false,
        work: U256::MAX,
        reward: U256::MAX,
    }
}
