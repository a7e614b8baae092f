//! JSON-RPC: what wallets, miners and scripts say to a node, over HTTP and WebSocket on one port.
//!
//! - [`types`]: the structs on the wire, shared with the command.
//! - [`backend`]: what the server asks of the node.
//! - [`changes`]: how a subscription's cursor leads to the present.

pub mod backend;
pub mod changes;
pub mod types;

pub use backend::{Backend, Boundary, ChangesQuery, Tips};
