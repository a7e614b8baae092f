//! The methods of the namespace `synod`: each reads its parameters, asks the backend, and writes the answer.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{RpcModule, StopHandle};
use jsonrpsee::types::{ErrorObjectOwned, Extensions, Params};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use synod_types::codec::TRANSACTION_LIMIT;
use synod_types::{Address, Height, Transaction, TransactionId};
use tokio::sync::Semaphore;

use super::arguments::Arguments;
use super::backend::Backend;
use super::calls::{Caller, no_room, to_error};
use super::committee;
use super::contracts;
use super::limits::RpcLimits;
use super::readers::Readers;
use super::subscriptions;
use super::types::{BlockReference, ErrorCode, Refusal};

/// The most headers that one call gives.
pub const HEADERS_LIMIT: u32 = 2_000;
/// The most history items that one call gives, and how many when nothing is said.
pub const HISTORY_LIMIT: u32 = 1_000;
const HISTORY_DEFAULT: u32 = 50;
/// The backend answers a long poll within 30 seconds; one that does not is given up.
const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(35);

/// What the methods work with.
#[derive(Debug)]
pub(super) struct Desk<B> {
    pub(super) backend: Arc<B>,
    pub(super) readers: Readers,
    executors: Readers,
    long_polls: Semaphore,
    stop: StopHandle,
}

type Answer<T> = Result<T, ErrorObjectOwned>;

/// All methods over one backend.
pub(super) fn register<B: Backend>(
    backend: Arc<B>,
    limits: &RpcLimits,
    stop: StopHandle,
) -> Result<RpcModule<Desk<B>>, RegisterMethodError> {
    let readers = Readers::new(limits.readers, limits.waiting_reads);
    let executors = Readers::new(limits.executors, limits.waiting_executions);
    let desk = Desk { backend, readers, executors, long_polls: Semaphore::new(limits.long_polls), stop };
    let mut module = RpcModule::new(desk);
    register_instant(&mut module)?;
    register_reading(&mut module)?;
    register_asking(&mut module)?;
    committee::register(&mut module)?;
    contracts::register(&mut module)?;
    subscriptions::register(&mut module)?;
    Ok(module)
}

fn register_instant<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_method("synod_status", |params, desk, _| {
        without_parameters(&params).map(|()| plain(&desk.backend.status()))
    })?;
    module.register_method("synod_genesis", |params, desk, _| {
        without_parameters(&params).map(|()| desk.backend.genesis())
    })?;
    module.register_method("synod_fees", |params, desk, _| {
        without_parameters(&params).map(|()| plain(&desk.backend.fees()))
    })?;
    module.register_method("synod_peers", |params, desk, _| {
        without_parameters(&params).map(|()| plain(&desk.backend.peers()))
    })?;
    Ok(())
}

fn register_reading<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_async_method("synod_account", |params, desk, extensions| async move {
        let (address, at) = account_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.account(address, at)).await
    })?;
    module.register_async_method("synod_transaction", |params, desk, extensions| async move {
        let id = transaction_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.transaction(id)).await
    })?;
    module.register_async_method("synod_block", |params, desk, extensions| async move {
        let (reference, full) = block_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.block(reference, full)).await
    })?;
    module.register_async_method("synod_headers", |params, desk, extensions| async move {
        let (from, count) = headers_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| {
            let headers = backend.headers(from, count)?;
            Ok(headers.iter().map(alloy_primitives::hex::encode_prefixed).collect::<Vec<_>>())
        })
        .await
    })?;
    module.register_async_method("synod_history", |params, desk, extensions| async move {
        let (address, cursor, limit) = history_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.history(address, cursor.as_deref(), limit)).await
    })?;
    module.register_async_method("synod_proof", |params, desk, extensions| async move {
        let address = only_address(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.proof(address)).await
    })?;
    module.register_async_method("synod_pool", |params, desk, extensions| async move {
        let sender = pool_arguments(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.pool(sender)).await
    })?;
    Ok(())
}

fn register_asking<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_async_method("synod_submit", |params, desk, _| async move {
        let transaction = submit_arguments(&params).map_err(to_error)?;
        desk.backend.submit(transaction).await.map(|view| plain(&view)).map_err(to_error)
    })?;
    module.register_async_method("synod_template", |params, desk, _| async move {
        let (reward_to, wait_for_change_of) = template_arguments(&params).map_err(to_error)?;
        let _place = desk.long_polls.try_acquire().map_err(|_| to_error(too_many_miners()))?;
        let asking = desk.backend.template(reward_to, wait_for_change_of);
        let answer = tokio::select! {
            answer = tokio::time::timeout(LONG_POLL_TIMEOUT, asking) => answer,
            () = desk.stop.clone().shutdown() => return Err(to_error(stopping())),
        };
        answer.unwrap_or_else(|_| Err(Refusal::internal())).map(|view| plain(&view)).map_err(to_error)
    })?;
    module.register_async_method("synod_solve", |params, desk, _| async move {
        let solution = solve_arguments(&params).map_err(to_error)?;
        let (template_id, extra_nonce, time, nonce) = solution;
        let solved = desk.backend.solve(template_id, extra_nonce, time, nonce).await;
        solved.map(|view| plain(&view)).map_err(to_error)
    })?;
    Ok(())
}

impl<B: Backend> Desk<B> {
    /// Executes and writes the answer on an executor's thread.
    pub(super) async fn execute<T, F>(&self, extensions: &Extensions, execute: F) -> Answer<Box<RawValue>>
    where
        T: Serialize,
        F: FnOnce(&B) -> Result<T, Refusal> + Send + 'static,
    {
        self.answer_on(&self.executors, extensions, execute).await
    }

    /// Reads and writes the answer on a reader thread.
    pub(super) async fn read<T, F>(&self, extensions: &Extensions, read: F) -> Answer<Box<RawValue>>
    where
        T: Serialize,
        F: FnOnce(&B) -> Result<T, Refusal> + Send + 'static,
    {
        self.answer_on(&self.readers, extensions, read).await
    }

    /// Whether there is room for the answer is asked again when its turn has come: many calls may have been let
    /// in while there was room for one large answer.
    async fn answer_on<T, F>(&self, pool: &Readers, extensions: &Extensions, read: F) -> Answer<Box<RawValue>>
    where
        T: Serialize,
        F: FnOnce(&B) -> Result<T, Refusal> + Send + 'static,
    {
        let backend = Arc::clone(&self.backend);
        let caller = extensions.get::<Arc<Caller>>().map(Arc::clone);
        let reading = pool.run(move || {
            if caller.is_some_and(|caller| !caller.outbox.has_room()) {
                return Err(no_room());
            }
            let view = read(&backend)?;
            Ok(to_raw_value(&view).expect("the views are plain structs with text keys"))
        });
        reading.await.map_err(to_error)
    }
}

pub(super) fn plain<T: Serialize>(view: &T) -> serde_json::Value {
    serde_json::to_value(view).expect("the views are plain structs with text keys")
}

fn too_many_miners() -> Refusal {
    Refusal::new(ErrorCode::Busy, "as many miners wait for templates as this node serves")
        .hint("ask without wait_for_change_of a little later, or another node")
}

fn stopping() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "the node is stopping").hint("ask another node, or this one later")
}

pub(super) fn without_parameters(params: &Params<'_>) -> Answer<()> {
    Arguments::of(params).and_then(Arguments::end).map_err(to_error)
}

fn account_arguments(params: &Params<'_>) -> Result<(Address, Option<BlockReference>), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let address = arguments.address("address")?;
    let at = arguments.optional("block", BLOCK)?;
    arguments.end().map(|()| (address, at))
}

pub(super) const BLOCK: &str =
    "latest, safe, settled, genesis, a height, or 0x and the 64 hex digits of a block's hash";

pub(super) fn transaction_arguments(params: &Params<'_>) -> Result<TransactionId, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let id = arguments.transaction_id()?;
    arguments.end().map(|()| id)
}

fn block_arguments(params: &Params<'_>) -> Result<(BlockReference, bool), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let reference = arguments.required("block", BLOCK)?;
    let full = arguments.optional("full", "true or false")?.unwrap_or(false);
    arguments.end().map(|()| (reference, full))
}

fn headers_arguments(params: &Params<'_>) -> Result<(Height, u32), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let from = arguments.required("from_height", "a height")?;
    let count: u64 = arguments.required("count", "a number from 1 to 2000")?;
    arguments.end()?;
    Ok((Height(from), within("count", count, HEADERS_LIMIT)?))
}

fn history_arguments(params: &Params<'_>) -> Result<(Address, Option<String>, u32), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let address = arguments.address("address")?;
    let cursor: Option<String> = arguments.optional("cursor", "a former page's next_cursor")?;
    let limit: Option<u64> = arguments.optional("limit", "a number from 1 to 1000")?;
    arguments.end()?;
    if cursor.as_ref().is_some_and(|cursor| cursor.len() > 256) {
        return Err(Refusal::new(ErrorCode::Malformed, "cursor is not one that this node gave"));
    }
    Ok((address, cursor, within("limit", limit.unwrap_or(u64::from(HISTORY_DEFAULT)), HISTORY_LIMIT)?))
}

fn within(name: &str, value: u64, most: u32) -> Result<u32, Refusal> {
    let fits = u32::try_from(value).ok().filter(|value| (1..=most).contains(value));
    fits.ok_or_else(|| {
        Refusal::new(ErrorCode::LimitExceeded, format!("{name} must be from 1 to {most}"))
            .hint("ask for the rest in further calls")
    })
}

fn only_address(params: &Params<'_>) -> Result<Address, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let address = arguments.address("address")?;
    arguments.end().map(|()| address)
}

fn pool_arguments(params: &Params<'_>) -> Result<Option<Address>, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let sender = arguments.optional_address("address")?;
    arguments.end().map(|()| sender)
}

fn submit_arguments(params: &Params<'_>) -> Result<Transaction, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let form = "a signed transaction's bytes: 0x and hex digits";
    let hex: String = arguments.required("transaction", form)?;
    arguments.end()?;
    if hex.len() > 2 * TRANSACTION_LIMIT + 2 {
        let sentence = format!("a transaction is at most {TRANSACTION_LIMIT} bytes");
        return Err(Refusal::new(ErrorCode::TooLarge, sentence));
    }
    let bytes = alloy_primitives::hex::decode(hex).map_err(|_| {
        Refusal::new(ErrorCode::Malformed, format!("the parameter transaction must be {form}"))
    })?;
    Transaction::from_bytes(&bytes).map_err(|error| Refusal::from(&error))
}

fn template_arguments(params: &Params<'_>) -> Result<(Address, Option<String>), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let reward_to = arguments.address("reward_to")?;
    let wait: Option<String> = arguments.optional("wait_for_change_of", "a template_id")?;
    arguments.end()?;
    check_template_id(wait.as_deref())?;
    Ok((reward_to, wait))
}

fn solve_arguments(params: &Params<'_>) -> Result<(String, u64, u32, u32), Refusal> {
    let mut arguments = Arguments::of(params)?;
    let template_id: String = arguments.required("template_id", "a template_id")?;
    let extra_nonce = arguments.exact_number("extra_nonce")?;
    let time = arguments.required("time", "seconds since the Unix epoch")?;
    let nonce = arguments.required("nonce", "a number below 2^32")?;
    arguments.end()?;
    check_template_id(Some(&template_id))?;
    Ok((template_id, extra_nonce, time, nonce))
}

fn check_template_id(id: Option<&str>) -> Result<(), Refusal> {
    match id {
        Some(id) if id.len() > 128 => Err(Refusal::new(ErrorCode::Malformed, "no template has such an id")),
        _ => Ok(()),
    }
}
