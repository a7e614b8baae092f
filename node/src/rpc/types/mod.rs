//! What the JSON-RPC methods take and give: the structs that the server writes and the command reads.
//!
//! Amounts are decimal strings of wei, hashes `0x` hex (block hashes reversed, as Bitcoin prints them),
//! addresses carry their EIP-55 checksum, heights are numbers, times are milliseconds since the Unix epoch.
//! Readers ignore fields that they do not know, so that fields can be added.
//!
//! Every answer that depends on the chain names the height it was read at (RPC-5), and nothing is called
//! final under proof of work: there are depths, and `settled` is a report at a configured depth
//! (POW-12, POW-14). Under a committee `settled` is what is certified, and final.

mod account;
mod block;
mod committee;
mod contract;
mod event;
mod mining;
mod node;
mod pool;
mod refusal;
pub mod text;
mod transaction;

pub use account::{AccountView, HistoryItem, HistoryPage, ProofView};
pub use block::{BlockReference, BlockSummary, BlockTransactions, BlockView, CommitmentView, HeaderView};
pub use committee::{
    CertificateView, CommitteeView, ContradictionView, DivergenceView, EvidenceView, MemberView,
    ReadIndexView,
};
pub use contract::{
    CallRequest, CallView, CodeView, EstimateView, LogItem, LogsFilter, LogsPage, LogsRequest, StorageView,
    TraceView, TracedCall, revert_reason,
};
pub use event::{Cursor, Event, EventKind, SubscribeOptions, Topic, TransactionOutcome};
pub use mining::{SolveOutcome, SolveView, TemplateView};
pub use node::{FeesView, MempoolSummary, MiningView, PeerView, StatusView, SyncView};
pub use pool::{PoolEntry, PoolView, SubmitOutcome, SubmitView};
pub use refusal::{ErrorCode, Refusal};
pub use transaction::{
    AccessView, LogView, ReceiptView, TransactionStatus, TransactionStatusView, TransactionView,
};
