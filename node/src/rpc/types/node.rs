//! The node itself: its status, its peers, the fees it sees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, Height, U256, UnixMillis};

use super::block::BlockSummary;
use super::text;

/// `synod_status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The software's version.
    pub version: String,
    /// What the operator calls the node.
    pub name: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The network's name: the genesis hash.
    pub genesis_hash: B256,
    /// `"pow"`, `"pbft"`, `"paxos"`, `"zab"`.
    pub ordering: String,
    /// The ordering's own figures (under PBFT the view, its primary, what is certified; under Zab its epoch, zxid and phase), as texts by name.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// What the ordering waits for.
    #[serde(default)]
    pub waits_for: String,
    /// Whether the genesis says that this is a test network.
    pub testnet: bool,
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// The tip.
    pub head: BlockSummary,
    /// The height that is six deep.
    pub safe_height: Height,
    /// The height that is as deep as the genesis calls settled: a report, never a lock. Under a committee the
    /// height that is certified: final.
    pub settled_height: Height,
    /// How often settled blocks were reversed since the node started (POW-14).
    #[serde(default)]
    pub settled_reversals: u64,
    /// The height that this node's blocks begin above: 0, or that of the snapshot from which it began.
    #[serde(default)]
    pub base_height: Height,
    /// The height of the newest snapshot that it has for others.
    #[serde(default)]
    pub snapshot_height: Option<Height>,
    /// The tip's base fee, wei for each gas.
    #[serde(with = "text")]
    pub base_fee: u128,
    /// Work of the best chain, `0x` hex.
    pub work: U256,
    /// How many peers are connected.
    pub peers: u32,
    /// How many it is told to keep a connection to.
    #[serde(default)]
    pub configured_peers: u32,
    /// What waits.
    pub mempool: MempoolSummary,
    /// `null` when the node does not mine.
    pub mining: Option<MiningView>,
    /// `null` when the node is not behind.
    pub syncing: Option<SyncView>,
    /// When the node started.
    pub started_at: UnixMillis,
    /// Whether it is ready for transactions.
    pub ready: bool,
    /// Why it is not.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MempoolSummary {
    /// How many transactions wait.
    pub transactions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the node's own miner does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MiningView {
    /// Whether it searches now.
    pub enabled: bool,
    /// With how many threads.
    pub threads: u32,
    /// Hashes a second, of all threads.
    pub hash_rate: u64,
    /// The same of each thread.
    #[serde(default)]
    pub hash_rates: Vec<u64>,
    /// Expected hashes for a block at the current target, as a decimal string.
    #[serde(with = "text")]
    pub difficulty: U256,
    /// Which kernel hashes.
    pub kernel: String,
    /// Who gets the rewards.
    #[serde(with = "text::checksummed")]
    pub reward_to: Address,
    /// Blocks found since the node started.
    pub blocks_found: u64,
}

/// What the node is doing to catch up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    /// The best height that peers tell of.
    pub target_height: Height,
    /// The height reached.
    pub current_height: Height,
    /// What it waits for, one sentence.
    pub waiting_for: String,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its libp2p id.
    pub peer_id: String,
    /// Its address.
    pub address: String,
    /// Who dialled.
    pub outbound: bool,
    /// The best height that it told of.
    pub height: Option<Height>,
    /// Milliseconds since it connected.
    pub connected_ms: u64,
    /// Its software.
    pub agent: Option<String>,
}

/// `synod_fees`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeesView {
    /// The tip's base fee, wei for each gas.
    #[serde(with = "text")]
    pub base_fee: u128,
    /// The base fee of a block on the tip at this moment.
    #[serde(with = "text")]
    pub next_base_fee: u128,
    /// A tip that gets into a block soon, wei for each gas.
    #[serde(with = "text")]
    pub suggested_tip: u128,
    /// Gas for each second of chain time at which the base fee stands still.
    pub gas_target_per_second: u64,
    /// The height at which this was read.
    pub height: Height,
}
