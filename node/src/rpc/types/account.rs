//! Accounts, their history, and proofs about them.

use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, BlockHash, Bytes, Height, TransactionId, U256, UnixMillis};

use super::text;

/// `synod_account`: an account at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// The next nonce by the chain alone.
    #[serde(with = "text::exact")]
    pub nonce: u64,
    /// What it can spend, in wei.
    #[serde(with = "text")]
    pub balance: U256,
    /// Mining rewards that are not mature yet, in wei.
    #[serde(with = "text")]
    pub immature: U256,
    /// The next nonce after what waits in this node's pool without a gap.
    #[serde(with = "text::exact")]
    pub pending_nonce: u64,
    /// What waiting transactions of the account may cost at most, in wei.
    #[serde(with = "text")]
    pub pending_out: U256,
    /// What waiting transactions of others bring, in wei.
    #[serde(with = "text")]
    pub pending_in: U256,
    /// The Keccak-256 of its code, when it is a contract.
    #[serde(default)]
    pub code_hash: Option<B256>,
    /// The height at which this was read.
    pub height: Height,
    /// The block at which this was read.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
}

/// One transaction that touched an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// The transaction; `null` is for what none brought. Mining rewards are told by the balance, not listed.
    #[serde(with = "text::option")]
    pub id: Option<TransactionId>,
    /// Where it was included.
    pub height: Height,
    /// In which block.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
    /// When.
    pub time: UnixMillis,
    /// Its place in the block, from 0.
    pub index: u32,
    /// Who paid; `null` where no transaction did.
    #[serde(with = "text::checksummed::option")]
    pub sender: Option<Address>,
    /// Who received; `null` when a contract was created.
    #[serde(with = "text::checksummed::option")]
    pub to: Option<Address>,
    /// How much, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// The fee that the sender paid, in wei.
    #[serde(with = "text")]
    pub fee: U256,
    /// Whether it did what it was to do.
    pub succeeded: bool,
    /// 1 in the tip.
    pub depth: u64,
}

/// `synod_history`: a page, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// The items.
    pub items: Vec<HistoryItem>,
    /// Where the next page begins; `null` at the end.
    pub next_cursor: Option<String>,
    /// The height at which this was read.
    pub height: Height,
    /// What this account did in blocks up to this height is not here: they are pruned. 0 when nothing is.
    #[serde(default)]
    pub base_height: Height,
}

/// `synod_proof`: what an account holds, with a proof that needs no trust in this node.
///
/// `synod chain verify` checks it offline: the header's work, the commitment under the header, the state
/// root in the commitment, and the account under the state root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// Whose account.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// The account's canonical bytes, or `null` when the proof shows that there is none.
    pub account: Option<Bytes>,
    /// The proof's canonical bytes.
    pub proof: Bytes,
    /// The root that the proof leads to.
    pub state_root: B256,
    /// The block whose state this is.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// Its 80-byte header.
    pub header: Bytes,
    /// Its commitment's canonical bytes, whose SHA-256 stands in the header.
    pub commitment: Bytes,
    /// Under a committee, the certificate of the block: its canonical bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Bytes>,
    /// Under a committee that is not the first, how it came to be: each earlier epoch's end, oldest first, in
    /// canonical bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<Bytes>,
}
