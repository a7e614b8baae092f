//! Questions about contracts, answered from the ledger's reader.

use std::time::{Duration, Instant};

use synod_ledger::call::{Bounds, CallError};
use synod_ledger::disk::Disk;
use synod_ledger::logs::{FoundLog, LogFilter, LogPlace, LogsError, PAGE_LOGS, matching};
use synod_types::{Address, B256, Block, Height, Log, TransactionId};
use synod_vm::tracer::{CallKind, CallRecord, CallTracer};
use synod_vm::{Estimate, Execution, Refusal as Refused, Status, Transaction};

use super::backend::NodeBackend;
use super::refusals;
use crate::rpc::types::{
    BlockReference, CallRequest, CallView, CodeView, ErrorCode, EstimateView, LogItem, LogView, LogsFilter,
    LogsPage, LogsRequest, Refusal, StorageView, TraceView, TracedCall, revert_reason,
};

/// The most gas that one question may use (RPC-3).
const GAS: u64 = 50_000_000;
/// The most bytes of memory of all its frames.
const MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// The longest that it may take.
const TIME: Duration = Duration::from_secs(5);
/// Calls and bytes of their data in one trace.
const TRACE_CALLS: usize = 10_000;
const TRACE_BYTES: usize = 4 * 1024 * 1024;
/// Events in a page when nothing is said.
const LOGS: u32 = 1_000;
/// Events, and bytes of their data, that a subscriber hears of one block.
const EVENT_LOGS: usize = 1_000;
const EVENT_BYTES: usize = 512 * 1024;

impl<D: Disk> NodeBackend<D> {
    /// Tries a call.
    pub(super) fn try_call(
        &self,
        call: &CallRequest,
        at: Option<BlockReference>,
    ) -> Result<CallView, Refusal> {
        let (height, hash) = self.reference(at.unwrap_or(BlockReference::Latest))?;
        let tried = bounded(|bounds| self.chain.reader().call(height, &transaction(call), bounds))?;
        if tried.block_hash != hash {
            return Err(refusals::not_on_best_chain(hash));
        }
        let execution = tried.answer;
        Ok(CallView {
            succeeded: execution.status == Status::Success,
            reason: reason(execution.status, &execution.output),
            gas_used: execution.gas_used,
            created: execution.created,
            logs: execution.logs.iter().map(log).collect(),
            output: execution.output,
            height: tried.height,
            block_hash: tried.block_hash,
        })
    }

    /// Finds the gas that a call needs.
    pub(super) fn try_estimate(
        &self,
        call: &CallRequest,
        at: Option<BlockReference>,
    ) -> Result<EstimateView, Refusal> {
        let (height, hash) = self.reference(at.unwrap_or(BlockReference::Latest))?;
        let tried = bounded(|bounds| self.chain.reader().estimate(height, &transaction(call), bounds))?;
        if tried.block_hash != hash {
            return Err(refusals::not_on_best_chain(hash));
        }
        let (gas, failed) = match tried.answer {
            Estimate::Gas(gas) => (Some(gas), None),
            Estimate::Fails(execution) => (None, Some(execution)),
        };
        let reason = failed.as_ref().and_then(|failed| reason(failed.status, &failed.output));
        let output = failed.map(|failed| failed.output).unwrap_or_default();
        Ok(EstimateView { gas, output, reason, height: tried.height, block_hash: tried.block_hash })
    }

    /// Executes a transaction again.
    pub(super) fn watch(&self, id: TransactionId) -> Result<TraceView, Refusal> {
        let calls = CallTracer::new(TRACE_CALLS, TRACE_BYTES);
        let watched = bounded(|bounds| self.chain.reader().trace(&id, calls, bounds))?;
        let watched = watched.ok_or_else(|| {
            Refusal::new(ErrorCode::NotFound, "this transaction is in no block that this node knows")
                .hint("wait until it is included")
        })?;
        let Execution { status, gas_used, gas_refunded, output, .. } = &watched.execution;
        Ok(TraceView {
            id,
            height: watched.height,
            block_hash: watched.block_hash,
            index: watched.index,
            succeeded: *status == Status::Success,
            reason: reason(*status, output),
            gas_used: *gas_used,
            gas_refunded: *gas_refunded,
            calls: watched.calls.records().iter().map(traced).collect(),
            omitted: count(watched.calls.omitted()),
        })
    }

    /// A page of events.
    pub(super) fn find_logs(&self, request: &LogsRequest) -> Result<LogsPage, Refusal> {
        let head = self.chain.reader().head().height();
        let to = request.to_height.unwrap_or(head).min(head);
        let from = match &request.cursor {
            Some(cursor) => parse_cursor(cursor)?,
            None => LogPlace { height: request.from_height.unwrap_or(head), index: 0 },
        };
        let limit = request.limit.unwrap_or(LOGS) as usize;
        if limit == 0 || limit > PAGE_LOGS {
            return Err(Refusal::new(
                ErrorCode::LimitExceeded,
                format!("limit must be from 1 to {PAGE_LOGS}"),
            )
            .hint("ask for the rest in further calls"));
        }
        let page = self.chain.reader().logs(&filter(&request.filter), from, to, limit);
        let page = page.map_err(unread)?;
        let next_cursor = page.next.map(|place| format!("{}.{}", place.height, place.index));
        Ok(LogsPage { logs: page.logs.into_iter().map(item).collect(), next_cursor, height: head })
    }

    /// What a subscriber hears of a block's events, and whether there are more; `None` when it has none of those
    /// asked for.
    pub(super) fn logs_of(
        &self,
        block: &Block,
        joins: bool,
        asked: &LogsFilter,
    ) -> Result<Option<(Vec<LogItem>, bool)>, Refusal> {
        let (asked, bound) = (filter(asked), &block.commitment);
        if !asked.may_match(&bound.logs_bloom) {
            return Ok(None);
        }
        if !joins {
            return Ok(Some((Vec::new(), false)));
        }
        let (hash, height) = (block.hash(), block.height());
        let kept = self.chain.reader().recent_block(&hash).filter(|kept| kept.has_receipts());
        let receipts = match kept {
            Some(kept) => kept.receipts.clone(),
            None => self.receipts(height)?.unwrap_or_default(),
        };
        let found = matching(&asked, height, (hash, block.time()), &receipts);
        if found.is_empty() {
            return Ok(None);
        }
        let mut bytes = 0_usize;
        let told = found.iter().take(EVENT_LOGS).take_while(|one| {
            let fits = bytes <= EVENT_BYTES;
            bytes += one.log.data.len();
            fits
        });
        let told: Vec<LogItem> = told.cloned().map(item).collect();
        let more = told.len() < found.len();
        Ok(Some((told, more)))
    }

    /// An account's code.
    pub(super) fn read_code(
        &self,
        address: Address,
        at: Option<BlockReference>,
    ) -> Result<CodeView, Refusal> {
        let (height, hash) = self.reference(at.unwrap_or(BlockReference::Latest))?;
        let read = self.chain.reader().code(height, &address).map_err(refusals::no_state)?;
        if read.block_hash != hash {
            return Err(refusals::not_on_best_chain(hash));
        }
        let (code_hash, code) =
            read.answer.map_or((None, Default::default()), |(hash, code)| (Some(hash), code));
        Ok(CodeView { address, code, code_hash, height: read.height, block_hash: read.block_hash })
    }

    /// A storage slot.
    pub(super) fn read_slot(
        &self,
        address: Address,
        slot: B256,
        at: Option<BlockReference>,
    ) -> Result<StorageView, Refusal> {
        let (height, hash) = self.reference(at.unwrap_or(BlockReference::Latest))?;
        let read = self.chain.reader().slot(height, &address, &slot).map_err(refusals::no_state)?;
        if read.block_hash != hash {
            return Err(refusals::not_on_best_chain(hash));
        }
        let value = B256::from(read.answer);
        Ok(StorageView { address, slot, value, height: read.height, block_hash: read.block_hash })
    }
}

/// Runs a question within this node's bounds.
fn bounded<T>(ask: impl FnOnce(&Bounds<'_>) -> Result<T, CallError>) -> Result<T, Refusal> {
    within(TIME, ask)
}

fn within<T>(time: Duration, ask: impl FnOnce(&Bounds<'_>) -> Result<T, CallError>) -> Result<T, Refusal> {
    let begun = Instant::now();
    let is_time_up = || begun.elapsed() > time;
    ask(&Bounds { gas: GAS, memory_bytes: MEMORY_BYTES, is_time_up: &is_time_up }).map_err(untried)
}

fn transaction(call: &CallRequest) -> Transaction {
    Transaction {
        sender: call.from.unwrap_or_default(),
        to: call.to,
        value: call.value,
        data: call.data.clone(),
        gas_limit: call.gas_limit.unwrap_or(GAS),
        max_fee_per_gas: alloy_primitives::U256::from(call.max_fee),
        max_tip_per_gas: alloy_primitives::U256::from(call.max_tip),
        ..Transaction::default()
    }
}

/// Why a run failed, in words.
fn reason(status: Status, output: &[u8]) -> Option<String> {
    match status {
        Status::Success => None,
        Status::Revert => revert_reason(output),
        Status::Halt(halt) => Some(halt.to_string()),
    }
}

fn log(log: &alloy_primitives::Log) -> LogView {
    LogView { address: log.address, topics: log.data.topics().to_vec(), data: log.data.data.clone() }
}

fn traced(call: &CallRecord) -> TracedCall {
    let status = call.status.unwrap_or(Status::Success);
    TracedCall {
        parent: call.parent.map(count),
        depth: count(call.depth),
        kind: kind(call.kind).to_owned(),
        caller: call.caller,
        address: call.address,
        code_address: call.code_address,
        value: call.value,
        gas: call.gas,
        gas_used: call.gas_used,
        input: call.input.clone(),
        output: call.output.clone(),
        succeeded: status == Status::Success,
        reason: reason(status, &call.output),
        logs: call.logs.iter().map(log).collect(),
        self_destructed_to: call.self_destruct.map(|(beneficiary, _)| beneficiary),
    }
}

fn kind(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Call => "call",
        CallKind::CallCode => "call_code",
        CallKind::DelegateCall => "delegate_call",
        CallKind::StaticCall => "static_call",
        CallKind::Create => "create",
        CallKind::Create2 => "create2",
    }
}

/// The filter as the ledger takes it.
pub(super) fn filter(filter: &LogsFilter) -> LogFilter {
    LogFilter { addresses: filter.addresses.clone(), topics: filter.topics.clone() }
}

/// An event as RPC tells it.
pub(super) fn item(found: FoundLog) -> LogItem {
    let Log { address, topics, data } = found.log;
    LogItem {
        log: LogView { address, topics, data },
        transaction: found.transaction,
        transaction_index: found.transaction_index,
        index: found.place.index,
        height: found.place.height,
        block_hash: found.block_hash,
        time: found.time,
    }
}

fn parse_cursor(text: &str) -> Result<LogPlace, Refusal> {
    let place = text.split_once('.').and_then(|(height, index)| {
        Some(LogPlace { height: Height(height.parse().ok()?), index: index.parse().ok()? })
    });
    place.ok_or_else(|| Refusal::new(ErrorCode::Malformed, "the cursor is not one of synod_logs"))
}

fn unread(error: LogsError) -> Refusal {
    match error {
        LogsError::NotIndexed(_) => Refusal::new(ErrorCode::NotReady, error.to_string())
            .hint("ask for recent blocks, or again shortly"),
        LogsError::Pruned(kept) => refusals::pruned(kept),
        LogsError::Store(_) | LogsError::History(_) => refusals::internal(error),
    }
}

/// Why a question could not be tried.
fn untried(error: CallError) -> Refusal {
    match error {
        CallError::NoState(error) => refusals::no_state(error),
        CallError::Refused(refused) => {
            let (code, hint) = cannot_begin(&refused);
            Refusal::new(code, refused.to_string()).hint(hint)
        }
        CallError::Stopped => Refusal::new(ErrorCode::LimitExceeded, error.to_string())
            .hint("make the call smaller, or ask a node of your own that gives more"),
        CallError::Moved => Refusal::new(ErrorCode::Busy, error.to_string()).hint("ask again"),
        CallError::Store(_) | CallError::History(_) => refusals::internal(error),
    }
}

fn cannot_begin(refused: &Refused) -> (ErrorCode, &'static str) {
    match refused {
        Refused::InsufficientFunds { .. } => {
            (ErrorCode::InsufficientFunds, "lower the value, or call from an account that has it")
        }
        Refused::IntrinsicGasTooLow { .. } => (ErrorCode::GasTooLow, "raise the gas limit"),
        Refused::FeeBelowBaseFee { .. } => (ErrorCode::FeeTooLow, "raise the fee, or leave it out"),
        Refused::InitCodeTooLong { .. } => (ErrorCode::TooLarge, "split the contract"),
        _ => (ErrorCode::Malformed, "see synod_call's parameters"),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What asks for more has a smaller bound; a wish for time is not even heard.
    #[test]
    fn rpc_3_a_question_ends_by_gas_memory_and_time() {
        let endless = |bounds: &Bounds<'_>| -> Result<(), CallError> {
            assert_eq!((bounds.gas, bounds.memory_bytes), (50_000_000, 64 << 20));
            assert!(!(bounds.is_time_up)(), "there is some time");
            while !(bounds.is_time_up)() {
                std::thread::yield_now();
            }
            Err(CallError::Stopped)
        };
        assert!(TIME <= Duration::from_secs(5));
        let refused = within(Duration::from_millis(200), endless).expect_err("it has no end of its own");
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
    }

    #[test]
    fn rpc_3_cursors_are_ours_or_malformed() {
        let place = LogPlace { height: Height(7), index: 3 };
        assert_eq!(parse_cursor("7.3").ok(), Some(place));
        for other in
            ["", "7", "7.", ".3", "7.3.1", "-1.0", "7.4294967296", "18446744073709551616.0", "7,3", " 7.3"]
        {
            assert_eq!(parse_cursor(other).map_err(|error| error.code), Err(ErrorCode::Malformed), "{other}");
        }
    }
}
