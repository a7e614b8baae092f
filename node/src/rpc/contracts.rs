//! The methods about contracts. Those that run code have threads of their own, so that however long calls take,
//! the other reads go on.

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::RpcModule;
use jsonrpsee::types::Params;
use synod_types::{Address, B256, TransactionId};

use super::arguments::Arguments;
use super::backend::Backend;
use super::calls::to_error;
use super::methods::{BLOCK, Desk, transaction_arguments};
use super::types::{BlockReference, CallRequest, ErrorCode, LogsFilter, LogsRequest, Refusal};

/// How many contracts, and how many values of one topic, a question about events may name.
pub(super) const FILTER_LIMIT: usize = 64;
/// An event has no more topics.
const TOPICS: usize = 4;

pub(super) fn register<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_async_method("synod_call", |params, desk, extensions| async move {
        let (call, at) = call_arguments(&params).map_err(to_error)?;
        desk.execute(&extensions, move |backend| backend.call(call, at)).await
    })?;
    module.register_async_method("synod_estimate_gas", |params, desk, extensions| async move {
        let (call, at) = call_arguments(&params).map_err(to_error)?;
        desk.execute(&extensions, move |backend| backend.estimate_gas(call, at)).await
    })?;
    module.register_async_method("synod_trace", |params, desk, extensions| async move {
        let id: TransactionId = transaction_arguments(&params).map_err(to_error)?;
        desk.execute(&extensions, move |backend| backend.trace(id)).await
    })?;
    module.register_async_method("synod_logs", |params, desk, extensions| async move {
        let request = logs_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.logs(request)).await
    })?;
    module.register_async_method("synod_code", |params, desk, extensions| async move {
        let (address, at) = code_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.code(address, at)).await
    })?;
    module.register_async_method("synod_storage", |params, desk, extensions| async move {
        let (address, slot, at) = storage_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.storage(address, slot, at)).await
    })?;
    Ok(())
}

fn call_arguments(params: &Params<'_>) -> Result<(CallRequest, Option<BlockReference>), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let form = "an object of from, to, data, value, gas_limit, max_fee and max_tip, all of them optional";
    let call = arguments.required("call", form)?;
    let at = arguments.optional("block", BLOCK)?;
    arguments.end().map(|()| (call, at))
}

fn code_arguments(params: &Params<'_>) -> Result<(Address, Option<BlockReference>), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let address = arguments.address("address")?;
    let at = arguments.optional("block", BLOCK)?;
    arguments.end().map(|()| (address, at))
}

fn storage_arguments(params: &Params<'_>) -> Result<(Address, B256, Option<BlockReference>), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let address = arguments.address("address")?;
    let slot = arguments.required("slot", "0x and 64 hex digits")?;
    let at = arguments.optional("block", BLOCK)?;
    arguments.end().map(|()| (address, slot, at))
}

fn logs_arguments(params: &Params<'_>) -> Result<LogsRequest, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let form = "an object of filter (addresses, topics), from_height, to_height, cursor and limit";
    let request: LogsRequest = arguments.required("logs", form)?;
    arguments.end()?;
    check_filter(&request.filter)?;
    if request.cursor.as_ref().is_some_and(|cursor| cursor.len() > 64) {
        return Err(Refusal::new(ErrorCode::Malformed, "cursor is not one that this node gave"));
    }
    Ok(request)
}

/// Whether a filter is within its bounds.
pub(super) fn check_filter(filter: &LogsFilter) -> Result<(), Refusal> {
    if filter.topics.len() > TOPICS {
        return Err(Refusal::new(ErrorCode::Malformed, "an event has at most 4 topics"));
    }
    let longest = filter.topics.iter().map(Vec::len).chain([filter.addresses.len()]).max().unwrap_or(0);
    if longest > FILTER_LIMIT {
        let sentence =
            format!("a filter names at most {FILTER_LIMIT} contracts, and as many values of a topic");
        return Err(Refusal::new(ErrorCode::LimitExceeded, sentence).hint("ask in several questions"));
    }
    Ok(())
}
