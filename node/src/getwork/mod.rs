//! Work for miners that know nothing of this chain: `getwork`, as SHA-256d miners have spoken it since 2011.
//!
//! A listener of its own speaks JSON-RPC 1.0 over HTTP with basic authentication, so that an unmodified miner
//! (`minerd -a sha256d`, cpuminer-opt) mines here:
//!
//! - `getwork` without parameters gives a header that nobody else has, and its target; with one, it takes a
//!   solution and answers `true` or `false`, the reason beside it in a header of HTTP.
//! - A request on the path that the header `X-Long-Polling` names is answered when the work in hand is out of
//!   date: at once for a new tip, within seconds for new transactions.
//! - Every other method is unknown. Miners that ask for `getblocktemplate` first fall back to `getwork` then.
//!
//! From the inside out: [`layout`] is the bytes that miners expect; `units` what was handed out; `desk` turns
//! templates into work and solutions into blocks; `call` is the JSON; `credentials` who may ask; `places` and
//! [`server`] the connections. It stands on the same [`Backend`](crate::rpc::Backend) as the RPC does, and is
//! to it just another miner over `synod_template` and `synod_solve`.

mod call;
mod config;
mod credentials;
mod desk;
pub mod layout;
mod places;
pub mod server;
mod units;

pub use config::{GetworkConfig, Password};
pub use server::{GetworkError, GetworkServer};
