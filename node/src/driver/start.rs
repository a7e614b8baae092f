//! Bringing a node up, in the order in which its parts need each other, and taking it down in reverse.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use prometheus_client::registry::Registry;
use synod_consensus::Status;
use synod_consensus::agreement::{Agreement, UnknownOrdering};
use synod_consensus::committee::RecordError;
use synod_consensus::pow::{self, ProofOfWork, Rules};
use synod_ledger::disk::RealFolders;
use synod_ledger::history::{HistoryError, LoggedHistory};
use synod_ledger::log::blocks::{BlockLog, BlockLogError, OpenedBlocks, finish_replacement, forget_replaced};
use synod_ledger::log::{LogOptions, Salt};
use synod_ledger::snapshot::{Base, BeginError, Snapshots, begin_above};
use synod_ledger::{Alarm, IndexFound, Ledger, OpenError, Options};
use synod_types::genesis::Ordering;
use synod_types::{Genesis, Header, Height, SecretKey};
use tokio::sync::watch;

use super::backend::{MiningSide, NodeBackend, Prove};
use super::chain::Chain;
use super::clock::Clock;
use super::committee::{self, CommitteeSide};
use super::door::{self, Door};
use super::execution::Command;
use super::history::{HeaderChain, NodeDisk, SharedBlocks};
use super::metrics::{MinersFigures, NodeFigures};
use super::mined;
use super::ordering::{self, DemandBoard, Inbox, Inputs};
use super::peers::PeerTable;
use super::records::RecordsError;
use super::repair::{Repair, cut};
use super::stop::{Reason, Stop};
use crate::config::{Config, ConfigError};
use crate::getwork::{GetworkError, GetworkServer};
use crate::home::{Home, HomeError};
use crate::identity::{self, IdentityError, Password};
use crate::mempool::journal::{JournalError, PoolLog};
use crate::miner::MinerError;
use crate::network::{self, AddressError, NetworkConfig, NetworkError, NetworkKey, NetworkLimits};
use crate::rpc::{Backend, RpcConfig, RpcServer, ServerError, TemplateBase};
use crate::web::{Readiness, WebError, WebServer};

/// Why a node does not start. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// node.toml.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node's folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The node's key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The genesis makes no rules.
    #[error(transparent)]
    Rules(#[from] pow::RulesError),
    /// The genesis names no committee.
    #[error("genesis.json: members: {0}")]
    Committee(#[from] RecordError),
    /// The committee's record names an ordering of another build.
    #[error(transparent)]
    UnknownOrdering(#[from] UnknownOrdering),
    /// This program does not know the ordering.
    #[error("genesis.json: ordering: this program does not run {0}")]
    Ordering(Ordering),
    /// The certificates' log.
    #[error("certificates/: {0}")]
    Certificates(synod_ledger::log::LogError),
    /// A folder cannot be made or locked.
    #[error("{path}: {problem}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The block log.
    #[error("blocks/: {0}")]
    BlockLog(#[from] BlockLogError),
    /// The block log is damaged in its middle, and the repair from peers cannot go on.
    #[error("blocks/: damaged in its middle, and not repaired: {0}")]
    Damaged(String),
    /// The ledger does not start from its log.
    #[error("blocks/: {0}")]
    Ledger(#[from] OpenError<HistoryError>),
    /// The snapshots, or the block log that begins at one.
    #[error(transparent)]
    Snapshots(#[from] BeginError),
    /// A stored block cannot be read.
    #[error("blocks/: {0}")]
    History(#[from] HistoryError),
    /// Ordering's journal.
    #[error("votes/: {0}")]
    Records(#[from] RecordsError),
    /// A member's memory cannot be begun.
    #[error("votes/: {0}")]
    Memory(String),
    /// The pool log.
    #[error(transparent)]
    Pool(#[from] JournalError),
    /// A configured peer.
    #[error("node.toml: p2p.peers: {0}")]
    Peer(#[from] AddressError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The miner.
    #[error(transparent)]
    Miner(#[from] MinerError),
    /// The RPC server.
    #[error(transparent)]
    Rpc(#[from] ServerError),
    /// The endpoint for miners.
    #[error(transparent)]
    Getwork(#[from] GetworkError),
    /// The web server.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The system.
    #[error("the system has no thread or no randomness left: {0}")]
    System(std::io::Error),
}

/// A running node.
pub struct Node {
    stop: Stop,
    home: Home,
    network: network::Network,
    rpc: RpcServer,
    getwork: Option<GetworkServer>,
    web: WebServer,
    threads: Vec<JoinHandle<()>>,
}

/// The disks, opened.
pub(super) struct Stores {
    /// The ledger.
    pub(super) ledger: Ledger<SharedBlocks<NodeDisk>>,
    /// Every block that the log holds.
    pub(super) blocks: SharedBlocks<NodeDisk>,
    /// The state for those who were not there; only under a committee, where a height is final.
    pub(super) snapshots: Option<Arc<Snapshots<NodeDisk>>>,
}

/// What an ordering is started with.
pub(super) struct Parts<'a> {
    /// `node.toml`.
    pub(super) config: &'a Config,
    /// The network.
    pub(super) genesis: &'a Genesis,
    /// The disks.
    pub(super) stores: Stores,
    /// The chain's headers, from height 1.
    pub(super) headers: Vec<Header>,
    /// What readers see.
    pub(super) chain: &'a Arc<Chain<NodeDisk>>,
    /// The pool.
    pub(super) door: &'a Arc<Door>,
    /// Peers.
    pub(super) network: &'a network::Network,
    /// What they say.
    pub(super) events: network::NetworkEvents,
    /// Their numbers and heights.
    pub(super) peers: &'a PeerTable,
    /// Time.
    pub(super) clock: Clock,
    /// The node's end.
    pub(super) stop: &'a Stop,
}

/// An ordering that runs.
pub(super) struct Running {
    /// What it does.
    pub(super) status: watch::Receiver<Status>,
    /// The way to the ledger's thread, for proofs.
    pub(super) prove: Prove,
    /// What only proof of work has.
    pub(super) mining: Option<MiningSide>,
    /// What only a committee has.
    pub(super) committee: Option<CommitteeSide<NodeDisk>>,
    /// What templates stand on.
    pub(super) base: watch::Receiver<Option<TemplateBase>>,
    /// Its threads.
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// The way into ordering, which the pool needs before there is one.
enum Lane {
    Pow(Inputs<ProofOfWork>, Inbox<ProofOfWork>),
    Committee(Inputs<Agreement>, Inbox<Agreement>),
}

impl Lane {
    fn new(ordering: Ordering) -> Result<Self, NodeError> {
        match ordering {
            Ordering::Pow => {
                let (inputs, inbox) = ordering::queues();
                Ok(Self::Pow(inputs, inbox))
            }
            Ordering::Pbft | Ordering::Paxos | Ordering::Zab => {
                let (inputs, inbox) = ordering::queues();
                Ok(Self::Committee(inputs, inbox))
            }
            unknown => Err(NodeError::Ordering(unknown)),
        }
    }

    fn demand(&self) -> DemandBoard {
        match self {
            Self::Pow(inputs, _) => inputs.demand.clone(),
            Self::Committee(inputs, _) => inputs.demand.clone(),
        }
    }
}

/// The way to prove, through the ledger's thread.
pub(super) fn prove_through<T: Send + 'static>(commands: crossbeam_channel::Sender<Command<T>>) -> Prove {
    Box::new(move |address, reply| commands.try_send(Command::Prove { address, reply }).is_ok())
}

impl Node {
    /// Checks a configuration against its folder without starting anything: `synod node --check`.
    ///
    /// # Errors
    /// The first thing that would keep the node from starting.
    pub fn check(config: &Config) -> Result<(), NodeError> {
        let genesis = crate::home::read_genesis(&config.folder)?;
        config.check_with(&genesis)?;
        match genesis.ordering {
            Ordering::Pow => {
                let block = synod_ledger::execution::genesis_block(&genesis);
                Rules::new(&genesis.pow, &block.header)?;
            }
            _ => {
                committee::of(&genesis)?;
            }
        }
        peer_addresses(config)?;
        identity::check(&config.folder, genesis.testnet)?;
        Ok(())
    }

    /// Starts a node in the current tokio runtime. The password opens its key, where that is under one.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: Config, password: Option<Password>) -> Result<Self, NodeError> {
        Self::check(&config)?;
        let home = Home::open(&config.folder)?;
        let genesis = home.genesis().clone();
        let clock = Clock::start();
        let stop = Stop::new();
        let mut registry = Registry::default();
        let key = identity::open(&config.folder, genesis.testnet, &random()?, password.as_ref())?;
        for warning in config.warnings(&genesis) {
            tracing::warn!("{warning}");
        }

        let (log, mut headers) = open_block_log(&config, &home, &genesis, &key).await?;
        let stores = open_stores(&config, &genesis, log, &mut headers, &stop)?;
        let snapshots = stores.snapshots.clone();
        let chain = Arc::new(Chain::new(stores.ledger.reader(), stores.blocks.clone(), &headers));
        let (network, events) =
            network::start(network_config(&config, &genesis, &key)?, &mut registry).await?;
        let lane = Lane::new(genesis.ordering)?;
        let (log, recovered) =
            PoolLog::open(&config.folder.join("pool.log"), genesis.hash(), config.storage.sync)?;
        let head = stores.ledger.head();
        let (door, door_threads) = Door::open(door::Parts {
            genesis: genesis.clone(),
            log,
            view: head.view.clone(),
            height: head.height(),
            network: network.clone(),
            ordering: lane.demand(),
            clock,
            stop: stop.clone(),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
        .map_err(NodeError::System)?;
        let restored = door.restore(recovered.transactions);
        tracing::info!(height = %head.height(), block = %head.hash, restored, "the ledger is open");

        let peers = PeerTable::default();
        let parts = Parts {
            config: &config,
            genesis: &genesis,
            stores,
            headers,
            chain: &chain,
            door: &door,
            network: &network,
            events,
            peers: &peers,
            clock,
            stop: &stop,
        };
        let running = match lane {
            Lane::Pow(inputs, inbox) => mined::start(parts, inputs, inbox)?,
            Lane::Committee(inputs, inbox) => {
                let validator = identity::open_validator(&config.folder, genesis.testnet, password.as_ref())?;
                committee::start(parts, validator, inputs, inbox)?
            }
        };
        let backend = Arc::new(NodeBackend {
            config: config.clone(),
            chain,
            snapshots,
            door,
            network: network.clone(),
            peers,
            ordering: running.status,
            prove: running.prove,
            mining: running.mining,
            committee: running.committee,
            base: running.base,
            clock,
            started_at: clock.wall(),
        });

        let rpc_config = RpcConfig { cors: config.rpc.cors.clone(), ..RpcConfig::new(config.rpc.listen) };
        let rpc = RpcServer::start(rpc_config, Arc::clone(&backend)).await?;
        let getwork = serve_getwork(&config, &backend).await?;
        let readiness: Readiness = {
            let backend = Arc::clone(&backend);
            Arc::new(move || backend.status().reason)
        };
        registry.register_collector(Box::new(NodeFigures(Arc::clone(&backend))));
        if let Some(getwork) = &getwork {
            registry.register_collector(Box::new(MinersFigures(getwork.figures())));
        }
        let web = WebServer::start(config.web.listen, Arc::new(registry), readiness).await?;
        let threads = running.threads.into_iter().chain(door_threads).collect();
        home.write_pid()?;
        tracing::info!(name = %config.name, rpc = %rpc.address(), peer = %network.name(), "the node is up");
        Ok(Self { stop, home, network, rpc, getwork, web, threads })
    }

    /// Asks the node to end.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let stop = self.stop.clone();
        move || stop.ask()
    }

    /// Runs until the node is asked to end or must, and takes it down.
    pub async fn run(self) -> Reason {
        let reason = self.stop.stopped().await;
        tracing::info!(?reason, "stopping");
        self.rpc.stop().await;
        if let Some(getwork) = self.getwork {
            getwork.stop().await;
        }
        self.web.stop().await;
        self.network.shutdown().await;
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if joined.await.unwrap_or(1) > 0 {
            tracing::error!("a thread of the node panicked");
        }
        if reason != Reason::Again {
            self.home.remove_pid();
        }
        tracing::info!("stopped");
        reason
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| NodeError::System(std::io::Error::other(error)))?;
    Ok(bytes)
}

/// The block log's folder in the home.
pub(super) const BLOCKS: &str = "blocks";

/// Opens the block log, with the headers of its chain. One that is damaged in its middle is repaired from peers
/// first, or, under a committee, cut before its damage.
async fn open_block_log(
    config: &Config,
    home: &Home,
    genesis: &Genesis,
    key: &SecretKey,
) -> Result<(BlockLog<NodeDisk>, Vec<Header>), NodeError> {
    let (folders, folder) = (RealFolders(config.folder.clone()), config.folder.join(BLOCKS));
    finish_replacement(&folders, BLOCKS)?;
    loop {
        let options = LogOptions::blocks(Salt(random()?));
        let (disk, mut headers) = (open_disk(&folder, config.storage.sync)?, HeaderChain::default());
        match BlockLog::open_and_show(disk, options, &mut |record| headers.follow(record))? {
            OpenedBlocks::Whole(log, report) => {
                tracing::info!(?report, "the block log is whole");
                match genesis.ordering.has_committee() {
                    true => cut::forget_when_as_high(config, &log, options)?,
                    false => forget_replaced(&folders, BLOCKS)?,
                }
                return Ok((log, headers.finish()?));
            }
            OpenedBlocks::Damaged(damaged) if genesis.ordering.has_committee() => {
                cut::cut_before_damage(config, damaged, options)?;
            }
            OpenedBlocks::Damaged(damaged) => {
                Box::pin(Repair { config, home, genesis, key, options }.run(damaged)).await?;
            }
        }
    }
}

fn open_stores(
    config: &Config,
    genesis: &Genesis,
    mut log: BlockLog<NodeDisk>,
    headers: &mut Vec<Header>,
    stop: &Stop,
) -> Result<Stores, NodeError> {
    let snapshots = match genesis.ordering.has_committee() {
        true => Some(Arc::new(open_snapshots(config, genesis, &mut log, headers)?)),
        false => None,
    };
    let base = log.base()?.zip(snapshots.as_ref()).and_then(|(base, snapshots)| Base::at(snapshots, base));
    let blocks = SharedBlocks::new(LoggedHistory::new(log, genesis));
    let stop = stop.clone();
    let options = Options {
        index: Some(config.folder.join("index")),
        base,
        // sled's memory may be half changed after an error: only a restart, which rebuilds it, is safe (STO-5).
        on_index_failure: Alarm::new(move |error| stop.fail(format!("index/: {error}"))),
        ..Options::new(random()?)
    };
    let (ledger, report) = Ledger::open(genesis.clone(), blocks.clone(), options)?;
    if let IndexFound::Rebuilt { reason } = &report.index {
        tracing::warn!(%reason, "the index is not usable: it is set aside as index.aside, and rebuilt");
    }
    tracing::info!(?report, "the state is rebuilt");
    Ok(Stores { ledger, blocks, snapshots })
}

/// Opens the snapshots, and lets the block log begin at one that is above its tip.
fn open_snapshots(
    config: &Config,
    genesis: &Genesis,
    log: &mut BlockLog<NodeDisk>,
    headers: &mut Vec<Header>,
) -> Result<Snapshots<NodeDisk>, NodeError> {
    let disk = open_disk(&config.folder.join("snapshots"), config.storage.sync)?;
    let (snapshots, damaged) = Snapshots::open(disk, genesis).map_err(BeginError::from)?;
    for error in damaged {
        tracing::warn!(%error, "a snapshot is not usable");
    }
    if config.sync.full_history {
        if let Some(base) = log.base()?.filter(|base| base.height > Height(0)) {
            tracing::warn!(
                base = %base.height,
                "sync.full_history asks for the whole chain, and this node began at a snapshot: remove blocks/, index/ \
                 and snapshots/, and it fetches all of it"
            );
        }
        return Ok(snapshots);
    }
    if let Some(begun) = begin_above(&snapshots, log)? {
        headers.clear();
        tracing::info!(height = %begun.height(), block = %begun.hash(), "the chain begins at a snapshot here");
    }
    Ok(snapshots)
}

pub(super) fn open_disk(path: &Path, sync: bool) -> Result<NodeDisk, NodeError> {
    let fail = |problem: String| NodeError::Folder { path: path.to_owned(), problem };
    std::fs::create_dir_all(path).map_err(|error| fail(error.to_string()))?;
    NodeDisk::open(path, sync).map_err(|error| fail(error.to_string()))
}

fn peer_addresses(config: &Config) -> Result<Vec<network::PeerAddress>, NodeError> {
    config.p2p.peers.iter().map(|text| text.parse().map_err(NodeError::Peer)).collect()
}

pub(super) fn network_config(
    config: &Config,
    genesis: &Genesis,
    key: &SecretKey,
) -> Result<NetworkConfig, NodeError> {
    Ok(NetworkConfig {
        genesis: genesis.hash(),
        key: NetworkKey::from_bytes(*key.seed()),
        listen: config.p2p.listen.clone(),
        peers: peer_addresses(config)?,
        reserved: Vec::new(),
        limits: NetworkLimits::default(),
        testnet: genesis.testnet,
    })
}

async fn serve_getwork<B: Backend>(
    config: &Config,
    backend: &Arc<B>,
) -> Result<Option<GetworkServer>, NodeError> {
    if !config.getwork.enabled {
        return Ok(None);
    }
    let reward_to = config.getwork.reward_to.or(config.mining.reward_to);
    let first_extra_nonce = u64::from_be_bytes(random::<8>()?);
    let server =
        GetworkServer::start(&config.getwork, reward_to, first_extra_nonce, Arc::clone(backend)).await?;
    tracing::info!(address = %server.address(), user = %config.getwork.user, "getwork: miners are served");
    Ok(Some(server))
}
