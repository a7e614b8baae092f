//! What RPC hears from a node that repairs its block log: what it is, and that it is not ready, and why.

use std::sync::Arc;

use synod_ledger::execution::genesis_block;
use synod_types::block::HEADER_LENGTH;
use synod_types::{Address, B256, Genesis, Height, Transaction, TransactionId, U256, UnixMillis};
use tokio::sync::watch;

use crate::config::Config;
use crate::driver::clock::Clock;
use crate::driver::views;
use crate::network::Network;
use crate::rpc::backend::{Backend, ChangesQuery, TemplateBase, Tips};
use crate::rpc::types::{
    AccountView, BlockReference, BlockSummary, BlockView, CallRequest, CallView, CodeView, Cursor, ErrorCode,
    EstimateView, Event, FeesView, HistoryPage, LogsPage, LogsRequest, MempoolSummary, PeerView, PoolView,
    ProofView, Refusal, SolveView, StatusView, StorageView, SubmitView, TemplateView, TraceView,
    TransactionStatusView,
};

/// The RPC of a node under repair.
pub(super) struct RepairBackend {
    name: String,
    configured_peers: usize,
    genesis: Arc<Genesis>,
    head: BlockSummary,
    network: Network,
    said: watch::Receiver<String>,
    tips: watch::Sender<Tips>,
    base: watch::Sender<Option<TemplateBase>>,
    started_at: UnixMillis,
}

impl RepairBackend {
    pub(super) fn new(
        config: &Config,
        genesis: &Genesis,
        network: Network,
        said: watch::Receiver<String>,
    ) -> Self {
        let head = views::summary(&genesis_block(genesis));
        let start = Cursor { height: head.height, hash: head.hash };
        Self {
            name: config.name.clone(),
            configured_peers: config.p2p.peers.len(),
            genesis: Arc::new(genesis.clone()),
            head,
            network,
            said,
            tips: watch::channel(Tips { head: start, settled: start }).0,
            base: watch::channel(None).0,
            started_at: Clock::start().wall(),
        }
    }

    fn refusal(&self) -> Refusal {
        Refusal::new(ErrorCode::NotReady, format!("the node is not ready: {}", *self.said.borrow()))
            .hint("ask another node, or wait: `synod doctor` tells how far it is")
    }

    fn not_ready<T>(&self) -> Result<T, Refusal> {
        Err(self.refusal())
    }
}

impl Backend for RepairBackend {
    /// The chain is shown as its genesis block: of a damaged log nothing is served.
    fn status(&self) -> StatusView {
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            chain_id: self.genesis.chain_id,
            genesis_hash: self.genesis.hash(),
            ordering: self.genesis.ordering.name().to_owned(),
            facts: std::collections::BTreeMap::new(),
            waits_for: String::new(),
            testnet: self.genesis.testnet,
            peer_id: self.network.name().to_string(),
            head: self.head.clone(),
            safe_height: Height(0),
            settled_height: Height(0),
            base_height: Height(0),
            snapshot_height: None,
            settled_reversals: 0,
            base_fee: u128::from(self.genesis.fees.base_fee_floor),
            work: U256::ZERO,
            peers: u32::try_from(self.network.peers().len()).unwrap_or(u32::MAX),
            configured_peers: u32::try_from(self.configured_peers).unwrap_or(u32::MAX),
            mempool: MempoolSummary::default(),
            mining: None,
            syncing: None,
            started_at: self.started_at,
            ready: false,
            reason: Some(self.said.borrow().clone()),
        }
    }

    fn genesis(&self) -> serde_json::Value {
        serde_json::to_value(&*self.genesis).expect("a genesis serializes")
    }

    fn fees(&self) -> FeesView {
        let floor = u128::from(self.genesis.fees.base_fee_floor);
        FeesView {
            base_fee: floor,
            next_base_fee: floor,
            suggested_tip: 0,
            gas_target_per_second: self.genesis.fees.target_gas_per_second,
            height: Height(0),
        }
    }

    fn peers(&self) -> Vec<PeerView> {
        let view = |peer: crate::network::PeerInfo| PeerView {
            peer_id: peer.name.to_string(),
            address: peer.address.to_string(),
            outbound: peer.outbound,
            height: None,
            connected_ms: u64::try_from(peer.connected_for.as_millis()).unwrap_or(u64::MAX),
            agent: Some(peer.agent),
        };
        self.network.peers().into_iter().map(view).collect()
    }

    fn tips(&self) -> watch::Receiver<Tips> {
        self.tips.subscribe()
    }

    fn template_base(&self) -> watch::Receiver<Option<TemplateBase>> {
        self.base.subscribe()
    }

    fn account(&self, _: Address, _: Option<BlockReference>) -> Result<AccountView, Refusal> {
        self.not_ready()
    }

    fn transaction(&self, _: TransactionId) -> Result<TransactionStatusView, Refusal> {
        self.not_ready()
    }

    fn block(&self, _: BlockReference, _: bool) -> Result<BlockView, Refusal> {
        self.not_ready()
    }

    fn headers(&self, _: Height, _: u32) -> Result<Vec<[u8; HEADER_LENGTH]>, Refusal> {
        self.not_ready()
    }

    fn history(&self, _: Address, _: Option<&str>, _: u32) -> Result<HistoryPage, Refusal> {
        self.not_ready()
    }

    fn proof(&self, _: Address) -> Result<ProofView, Refusal> {
        self.not_ready()
    }

    fn pool(&self, _: Option<Address>) -> Result<PoolView, Refusal> {
        self.not_ready()
    }

    fn call(&self, _: CallRequest, _: Option<BlockReference>) -> Result<CallView, Refusal> {
        self.not_ready()
    }

    fn estimate_gas(&self, _: CallRequest, _: Option<BlockReference>) -> Result<EstimateView, Refusal> {
        self.not_ready()
    }

    fn trace(&self, _: TransactionId) -> Result<TraceView, Refusal> {
        self.not_ready()
    }

    fn logs(&self, _: LogsRequest) -> Result<LogsPage, Refusal> {
        self.not_ready()
    }

    fn code(&self, _: Address, _: Option<BlockReference>) -> Result<CodeView, Refusal> {
        self.not_ready()
    }

    fn storage(&self, _: Address, _: B256, _: Option<BlockReference>) -> Result<StorageView, Refusal> {
        self.not_ready()
    }

    fn changes(&self, _: ChangesQuery) -> Result<Vec<Event>, Refusal> {
        self.not_ready()
    }

    async fn submit(&self, _: Transaction) -> Result<SubmitView, Refusal> {
        self.not_ready()
    }

    async fn template(&self, _: Address, _: Option<String>) -> Result<TemplateView, Refusal> {
        self.not_ready()
    }

    async fn solve(&self, _: String, _: u64, _: u32, _: u32) -> Result<SolveView, Refusal> {
        self.not_ready()
    }
}
