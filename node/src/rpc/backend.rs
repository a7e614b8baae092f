//! What the RPC server asks of the node: the driver implements [`Backend`], tests have a small chain of
//! their own.
//!
//! There are three kinds of methods, by who runs them:
//!
//! - *instant* ones answer from memory and never wait: they run on the async executor;
//! - *reading* ones are synchronous and may touch the disk: the server runs each on a bounded pool of
//!   reader threads, so that a slow disk never stops the network;
//! - *asking* ones are async: they wait for the thread that owns the answer.
//!
//! Every answer of one call comes from one consistent view of the chain and states its height (RPC-5). Departure: there
//! is no `min_height` to ask with. A node's height falls only while a reorganisation is carried out, which subscribers
//! are told of; who reads from several nodes compares the heights that the answers state.
//! No method administrates the node (RPC-2): its file, its flags and its signals do. Nothing in a [`Refusal`] may name a path or hold a secret (RPC-6).

use std::future::Future;

use synod_types::block::HEADER_LENGTH;
use synod_types::{Address, B256, BlockHash, Height, Transaction, TransactionId};
use tokio::sync::watch;

use super::types::{
    AccountView, BlockReference, BlockView, CallRequest, CallView, CertificateView, CodeView, CommitteeView,
    Cursor, EstimateView, Event, EvidenceView, FeesView, HistoryPage, LogsFilter, LogsPage, LogsRequest,
    PeerView, PoolView, ProofView, ReadIndexView, Refusal, SolveView, StatusView, StorageView, SubmitView,
    TemplateView, TraceView, TransactionStatusView,
};

/// The ends of the chain that subscribers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tips {
    /// The tip.
    pub head: Cursor,
    /// The highest block as deep as the genesis calls settled; the genesis block while there is none.
    pub settled: Cursor,
}

/// Which end of the chain a subscriber follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// [`Tips::head`].
    Head,
    /// [`Tips::settled`].
    Settled,
}

/// What templates stand on: the tip, and what a block on it must keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateBase {
    /// The executed tip.
    pub parent: BlockHash,
    /// The height of the block to be.
    pub height: Height,
    /// Its bits.
    pub bits: u32,
    /// The lowest seconds that its header may have.
    pub earliest: u32,
}

/// A question about the way from a cursor to the present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    /// Towards which end.
    pub boundary: Boundary,
    /// From where.
    pub after: Cursor,
    /// At most so many steps.
    pub limit: usize,
    /// Whether each event carries its block's transactions.
    pub transactions: bool,
    /// Whether each event carries such events of contracts in its block; then those of blocks without any carry
    /// none.
    pub logs: Option<LogsFilter>,
}

/// The node, as the RPC server sees it.
pub trait Backend: Send + Sync + 'static {
    // Instant.

    /// The node's status.
    fn status(&self) -> StatusView;

    /// The genesis document's JSON.
    fn genesis(&self) -> serde_json::Value;

    /// What fees are now.
    fn fees(&self) -> FeesView;

    /// Connected peers.
    fn peers(&self) -> Vec<PeerView>;

    /// The ends of the chain, marked changed whenever one moves.
    fn tips(&self) -> watch::Receiver<Tips>;

    /// What templates stand on, marked changed whenever a new template would be another one: the tip moved,
    /// transactions came, or time passed. `None` before there was anything to mine on.
    fn template_base(&self) -> watch::Receiver<Option<TemplateBase>>;

    /// Who orders.
    ///
    /// # Errors
    /// `unavailable` under proof of work.
    fn validators(&self) -> Result<CommitteeView, Refusal> {
        Err(Refusal::no_committee())
    }

    // Reading: run on reader threads, may block on the disk.

    /// The certificate that vouches for a block, the newest by default: the block's own, or the lowest above it.
    ///
    /// # Errors
    /// `unavailable` under proof of work, `not_found` for a block that is not certified yet.
    fn certificate(&self, _at: Option<BlockReference>) -> Result<CertificateView, Refusal> {
        Err(Refusal::no_committee())
    }

    /// What members did wrong, as this node saw it.
    ///
    /// # Errors
    /// `unavailable` under proof of work, `internal` when the disk does not give it.
    fn evidence(&self) -> Result<Vec<EvidenceView>, Refusal> {
        Err(Refusal::no_committee())
    }

    /// The account at a block, the tip by default.
    ///
    /// # Errors
    /// `not_found` for an unknown block, `pruned` for one whose state is no longer kept.
    fn account(&self, address: Address, at: Option<BlockReference>) -> Result<AccountView, Refusal>;

    /// Where a transaction stands; one that is not known has the status `unknown`.
    ///
    /// # Errors
    /// Only when the node cannot read.
    fn transaction(&self, id: TransactionId) -> Result<TransactionStatusView, Refusal>;

    /// A block, its transactions whole when `full`.
    ///
    /// # Errors
    /// `not_found`, `pruned`.
    fn block(&self, reference: BlockReference, full: bool) -> Result<BlockView, Refusal>;

    /// Headers of the best chain from `from` upwards, at most `count`; fewer at the tip.
    ///
    /// # Errors
    /// `pruned`.
    fn headers(&self, from: Height, count: u32) -> Result<Vec<[u8; HEADER_LENGTH]>, Refusal>;

    /// A page of an account's history, newest first, at most `limit` items. `cursor` is a former page's
    /// `next_cursor`; its form is the backend's own.
    ///
    /// # Errors
    /// `malformed` for a cursor that is none.
    fn history(&self, address: Address, cursor: Option<&str>, limit: u32) -> Result<HistoryPage, Refusal>;

    /// The account at the tip, or its absence, with a proof.
    ///
    /// # Errors
    /// Only when the node cannot read.
    fn proof(&self, address: Address) -> Result<ProofView, Refusal>;

    /// What waits, of one sender or of all.
    ///
    /// # Errors
    /// Only when the node cannot read.
    fn pool(&self, sender: Option<Address>) -> Result<PoolView, Refusal>;

    /// What a call would do at a block, the tip by default.
    ///
    /// # Errors
    /// `not_found`, `pruned`; `insufficient_funds`, `fee_too_low`, `gas_too_low`, `too_large` when it cannot be
    /// tried; `limit_exceeded` when it takes too long.
    fn call(&self, call: CallRequest, at: Option<BlockReference>) -> Result<CallView, Refusal>;

    /// The gas limit that a call needs at a block, the tip by default.
    ///
    /// # Errors
    /// As [`Self::call`].
    fn estimate_gas(&self, call: CallRequest, at: Option<BlockReference>) -> Result<EstimateView, Refusal>;

    /// A transaction of a kept block, executed again and watched.
    ///
    /// # Errors
    /// `not_found`, `pruned`, `limit_exceeded`.
    fn trace(&self, id: TransactionId) -> Result<TraceView, Refusal>;

    /// A page of events.
    ///
    /// # Errors
    /// `malformed` for a cursor that is none.
    fn logs(&self, request: LogsRequest) -> Result<LogsPage, Refusal>;

    /// An account's code at a block, the tip by default.
    ///
    /// # Errors
    /// `not_found`, `pruned`.
    fn code(&self, address: Address, at: Option<BlockReference>) -> Result<CodeView, Refusal>;

    /// A storage slot at a block, the tip by default.
    ///
    /// # Errors
    /// `not_found`, `pruned`.
    fn storage(
        &self,
        address: Address,
        slot: B256,
        at: Option<BlockReference>,
    ) -> Result<StorageView, Refusal>;

    /// The steps from the query's cursor to the present end of the chain, oldest first: down to the fork,
    /// then up. Empty when the cursor is that end. [`super::changes::steps`] walks a tree of blocks for this.
    ///
    /// # Errors
    /// `cursor_too_old` for a block that is not known.
    fn changes(&self, query: ChangesQuery) -> Result<Vec<Event>, Refusal>;

    // Asking: await the thread that owns the answer.

    /// Verifies the transaction and puts it into the pool, journalled before the answer. Submitting it
    /// again gives its current status (RPC-4).
    fn submit(&self, transaction: Transaction) -> impl Future<Output = Result<SubmitView, Refusal>> + Send;

    /// From which height on a read here misses nothing that was final anywhere when this was asked.
    ///
    /// # Errors
    /// `unavailable` under proof of work, `not_ready` when no quorum of members answers, `busy`.
    fn read_index(&self) -> impl Future<Output = Result<ReadIndexView, Refusal>> + Send {
        std::future::ready(Err(Refusal::no_committee()))
    }

    /// A template that pays `reward_to`. With `wait_for_change_of` it answers when the best template is
    /// another one, at the latest after 30 seconds with the present one.
    fn template(
        &self,
        reward_to: Address,
        wait_for_change_of: Option<String>,
    ) -> impl Future<Output = Result<TemplateView, Refusal>> + Send;

    /// An outside miner's solution of a template.
    fn solve(
        &self,
        template_id: String,
        extra_nonce: u64,
        time: u32,
        nonce: u32,
    ) -> impl Future<Output = Result<SolveView, Refusal>> + Send;
}
