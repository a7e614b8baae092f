//! Contracts: calls without consequences, code, storage, events, traces.
//!
//! A call that reverts or halts is an answer, with the revert data in `output` and a `reason` in words; an
//! error means that it could not be tried.

use alloy_primitives::keccak256;
use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, BlockHash, Bytes, Height, TransactionId, U256, UnixMillis};

use super::text;
use super::transaction::LogView;

/// The first parameter of `synod_call` and `synod_estimate_gas`. All members are optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallRequest {
    /// Who calls; the zero address when nothing is said.
    #[serde(with = "text::checksummed::option", skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Whom; `null` creates a contract.
    #[serde(with = "text::checksummed::option", skip_serializing_if = "Option::is_none")]
    pub to: Option<Address>,
    /// The call's input, or a creation's code.
    pub data: Bytes,
    /// How much to send along, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// The most gas that it may use; as much as the node gives when nothing is said.
    #[serde(with = "text::exact::option", skip_serializing_if = "Option::is_none")]
    pub gas_limit: Option<u64>,
    /// The most paid for a unit of gas, in wei; nothing is paid when nothing is said.
    #[serde(with = "text", skip_serializing_if = "is_zero")]
    pub max_fee: u128,
    /// The most that the fee recipient gets for a unit of gas, in wei.
    #[serde(with = "text", skip_serializing_if = "is_zero")]
    pub max_tip: u128,
}

fn is_zero(fee: &u128) -> bool {
    *fee == 0
}

/// `synod_call`: what a call would do at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// What it returned (the deployed code for a creation), or the revert data.
    pub output: Bytes,
    /// Why it failed, in words, as far as that can be told without the contract's ABI.
    pub reason: Option<String>,
    /// Gas that it would pay for.
    #[serde(with = "text::exact")]
    pub gas_used: u64,
    /// The contract that it would create.
    #[serde(with = "text::checksummed::option")]
    pub created: Option<Address>,
    /// The events that it would emit.
    pub logs: Vec<LogView>,
    /// The height at which it was tried.
    pub height: Height,
    /// The block at which it was tried.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
}

/// `synod_estimate_gas`: the gas limit that a call needs at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstimateView {
    /// A gas limit with which it succeeds, the least one within a 64th; `null` when it fails with all the gas
    /// that this node gives.
    #[serde(with = "text::exact::option")]
    pub gas: Option<u64>,
    /// The revert data when it fails.
    pub output: Bytes,
    /// Why it fails, in words.
    pub reason: Option<String>,
    /// The height at which it was tried.
    pub height: Height,
    /// The block at which it was tried.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
}

/// `synod_code`: an account's code at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeView {
    /// The account.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// Its code; empty for an account that is no contract.
    pub code: Bytes,
    /// The code's Keccak-256; `null` for an account that is no contract.
    pub code_hash: Option<B256>,
    /// The height at which this was read.
    pub height: Height,
    /// The block at which this was read.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
}

/// `synod_storage`: a storage slot at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    /// The contract.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// The slot.
    pub slot: B256,
    /// What it holds; zeros when nothing was stored.
    pub value: B256,
    /// The height at which this was read.
    pub height: Height,
    /// The block at which this was read.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsFilter {
    /// Of these contracts; of all when empty.
    #[serde(with = "text::checksummed::list")]
    pub addresses: Vec<Address>,
    /// For each topic in order the values of which it must be one; an empty list lets any topic pass.
    pub topics: Vec<Vec<B256>>,
}

/// The parameter of `synod_logs`. A page holds at most `limit` events, looks at no more than 1,000 blocks, and
/// says where the next one begins: the same question with `cursor` goes on there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsRequest {
    /// Which events.
    pub filter: LogsFilter,
    /// The first block; the tip when nothing is said.
    pub from_height: Option<Height>,
    /// The last block; the tip when nothing is said.
    pub to_height: Option<Height>,
    /// A former page's `next_cursor`, in the place of `from_height`.
    pub cursor: Option<String>,
    /// At most so many events, up to 10,000; 1,000 when nothing is said.
    pub limit: Option<u32>,
}

/// An event of a contract, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogItem {
    /// The event.
    #[serde(flatten)]
    pub log: LogView,
    /// The transaction that emitted it.
    #[serde(with = "text")]
    pub transaction: TransactionId,
    /// That transaction's place in the block, from 0.
    pub transaction_index: u32,
    /// The event's number in the block, from 0.
    pub index: u32,
    /// The block's height.
    pub height: Height,
    /// The block.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
    /// The block's time.
    pub time: UnixMillis,
}

/// `synod_logs`: a page, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsPage {
    /// The events.
    pub logs: Vec<LogItem>,
    /// Where the next page begins; `null` at the end of the range.
    pub next_cursor: Option<String>,
    /// The height at which this was read.
    pub height: Height,
}

/// One call or creation of a traced transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedCall {
    /// The index in the list of the call that made it; `null` for the transaction's own.
    pub parent: Option<u32>,
    /// 0 for the transaction's own.
    pub depth: u32,
    /// `call`, `call_code`, `delegate_call`, `static_call`, `create` or `create2`.
    pub kind: String,
    /// Whom the code saw as its caller.
    #[serde(with = "text::checksummed")]
    pub caller: Address,
    /// On whose storage the code worked; the new contract for a creation.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// Whose code ran.
    #[serde(with = "text::checksummed")]
    pub code_address: Address,
    /// How much was sent along, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// Gas that it was given.
    #[serde(with = "text::exact")]
    pub gas: u64,
    /// Gas that it used, its own calls included.
    #[serde(with = "text::exact")]
    pub gas_used: u64,
    /// Its input, or a creation's code; empty when the trace was full.
    pub input: Bytes,
    /// What it returned, or the revert data; empty when the trace was full.
    pub output: Bytes,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Why it failed, in words.
    pub reason: Option<String>,
    /// The events that it emitted itself; undone with it.
    pub logs: Vec<LogView>,
    /// Who got the contract's money when it destroyed itself.
    #[serde(with = "text::checksummed::option")]
    pub self_destructed_to: Option<Address>,
}

/// `synod_trace`: a transaction executed again on the state that it ran on, call by call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// The transaction.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// Its block's height.
    pub height: Height,
    /// Its block.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
    /// Its place in the block, from 0.
    pub index: u32,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Why it failed, in words.
    pub reason: Option<String>,
    /// Gas that it paid for, its own 21,000 and the refund included.
    #[serde(with = "text::exact")]
    pub gas_used: u64,
    /// Gas that it got back.
    #[serde(with = "text::exact")]
    pub gas_refunded: u64,
    /// Its calls in the order in which they began, each after the one that made it.
    pub calls: Vec<TracedCall>,
    /// How many calls were left out because there were too many.
    pub omitted: u32,
}

/// The most characters of a reason that a contract chose.
const REASON_LIMIT: usize = 512;

/// What revert data says in words: the text of `Error(string)`, or the meaning of `Panic(uint256)`, as Solidity
/// encodes them. Contracts choose the text: what is no letter, digit or sign becomes a space.
pub fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    let word = |index: usize| rest.get(index * 32..index * 32 + 32).map(U256::from_be_slice);
    if *selector == keccak256(b"Error(string)")[..4] {
        let length = usize::try_from(word(1)?).ok()?;
        let text = String::from_utf8_lossy(rest.get(64..)?.get(..length)?).into_owned();
        let readable = |letter: char| if letter.is_control() { ' ' } else { letter };
        return Some(text.chars().take(REASON_LIMIT).map(readable).collect());
    }
    if *selector == keccak256(b"Panic(uint256)")[..4] {
        let code = word(0)?;
        return Some(panic_meaning(u8::try_from(code).unwrap_or(0)).to_owned());
    }
    None
}

/// Solidity's panic codes.
fn panic_meaning(code: u8) -> &'static str {
    match code {
        0x01 => "an assertion failed",
        0x11 => "arithmetic overflow or underflow",
        0x12 => "division by zero",
        0x21 => "a number that is no member of its enumeration",
        0x22 => "a storage array is encoded wrongly",
        0x31 => "an empty array has no last item",
        0x32 => "an index is beyond its array",
        0x41 => "too much memory",
        0x51 => "a call of a function that was never set",
        _ => "the contract panicked",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(text: &[u8], length: u64) -> Vec<u8> {
        let words = [U256::from(32), U256::from(length)].map(|word| word.to_be_bytes::<32>());
        [&keccak256(b"Error(string)")[..4], &words[0], &words[1], text].concat()
    }

    #[test]
    fn revert_data_is_put_in_words() {
        assert_eq!(revert_reason(&error(b"too\x1b poor", 9)).unwrap(), "too  poor");
        assert_eq!(revert_reason(&error(b"cut off", 8)), None);
        assert_eq!(revert_reason(&error(b"", u64::MAX)), None);
        let panic = [&keccak256(b"Panic(uint256)")[..4], &U256::from(0x11).to_be_bytes::<32>()].concat();
        assert_eq!(revert_reason(&panic).unwrap(), "arithmetic overflow or underflow");
        assert_eq!(revert_reason(&panic[..30]), None);
        assert_eq!(revert_reason(b"\x01\x02\x03\x04"), None);
        assert_eq!(revert_reason(b""), None);
    }

    #[test]
    fn requests_may_be_empty_and_unknown_members_are_refused() {
        assert_eq!(serde_json::from_str::<CallRequest>("{}").unwrap(), CallRequest::default());
        assert_eq!(serde_json::from_str::<LogsRequest>("{}").unwrap(), LogsRequest::default());
        assert!(serde_json::from_str::<CallRequest>("{\"gas\": 1}").is_err());
        assert!(serde_json::from_str::<LogsRequest>("{\"filter\": {\"address\": []}}").is_err());
        let asked = CallRequest { gas_limit: Some(5), value: U256::from(7), ..CallRequest::default() };
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<CallRequest>(&text).unwrap(), asked);
    }
}
