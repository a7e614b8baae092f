//! The RPC of a member that orders opaque bytes: payloads go in, and the answer comes when they are final:
//! certified under members that may lie, decided and durable here under members that only crash.

use std::sync::Arc;

use alloy_primitives::Bytes;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::RpcModule;
use jsonrpsee::types::Params;
use serde::{Deserialize, Serialize};
use synod_types::Height;

use super::arguments::Arguments;
use super::calls::to_error;
use super::methods::{plain, without_parameters};
use super::types::{ErrorCode, Refusal};

/// Whoever orders.
pub(crate) trait Orders: Send + Sync + 'static {
    /// Bytes of one payload.
    fn payload_bytes(&self) -> usize;
    /// Orders payloads; the height at which they are final.
    fn order(&self, bytes: Bytes) -> impl Future<Output = Result<Height, Refusal>> + Send;
    /// How it goes.
    fn figures(&self) -> OrderedView;
}

/// `synod_ordered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedView {
    /// Whether this member leads, and takes payloads.
    pub leads: bool,
    /// How many members are there, itself included: connected, and known by their introductions.
    pub members: usize,
    /// Everything up to here is final.
    pub height: Height,
    /// Microseconds from this member's proposals to their decisions, the middle.
    pub decided_after_p50: u64,
    /// 99 of 100 are below.
    pub decided_after_p99: u64,
    /// Messages that this member sent to others so far.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often it synced its disk so far.
    pub syncs: u64,
}

/// `synod_order`: where the payloads stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// The height at which they are final.
    pub height: Height,
}

pub(super) fn register<O: Orders>(orders: Arc<O>) -> Result<RpcModule<O>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(orders);
    module.register_async_method("synod_order", |params, orders, _| async move {
        let bytes = payloads(&params, orders.payload_bytes()).map_err(to_error)?;
        orders.order(bytes).await.map(|height| plain(&OrderView { height })).map_err(to_error)
    })?;
    module.register_method("synod_ordered", |params, orders, _| {
        without_parameters(&params).map(|()| plain(&orders.figures()))
    })?;
    Ok(module)
}

fn payloads(params: &Params<'_>, length: usize) -> Result<Bytes, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let hex: String = arguments.required("payloads", "bytes: 0x and hex digits")?;
    arguments.end()?;
    let bytes = alloy_primitives::hex::decode(hex).map_err(|_| {
        Refusal::new(ErrorCode::Malformed, "the parameter payloads must be 0x and hex digits")
    })?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(length) {
        let sentence = format!("payloads of {length} bytes are ordered, one or several");
        return Err(Refusal::new(ErrorCode::Malformed, sentence));
    }
    Ok(bytes.into())
}
