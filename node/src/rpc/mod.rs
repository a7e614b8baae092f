//! JSON-RPC: what wallets, miners and scripts say to a node, over HTTP and WebSocket on one port.
//!
//! - [`types`]: the structs on the wire, shared with the command.
//! - [`backend`]: what the server asks of the node.
//! - [`changes`]: how a subscription's cursor leads to the present.
//! - [`limits`]: every bound, in one place.
//! - [`server`]: connections; behind it the door, the calls, the methods, the subscriptions.

mod arguments;
pub mod backend;
mod calls;
pub mod changes;
mod committee;
mod contracts;
mod depth;
mod door;
pub mod limits;
pub mod methods;
pub mod ordered;
pub(crate) mod rate;
mod readers;
mod refusals;
pub mod server;
mod stream;
mod subscriptions;
pub mod types;

#[cfg(test)]
mod tests;

pub use backend::{Backend, Boundary, ChangesQuery, TemplateBase, Tips};
pub use limits::{RpcConfig, RpcLimits};
pub use server::{RpcServer, ServerError};
