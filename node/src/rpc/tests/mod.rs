//! The server's tests: each starts a real server on a port of its own and speaks to it over sockets.

#![allow(clippy::unwrap_used)]

mod abuse;
mod client;
mod following;
mod fuzz;
mod methods;
mod mock;

use std::net::SocketAddr;
use std::sync::Arc;

use super::limits::{RpcConfig, RpcLimits};
use super::server::RpcServer;
use mock::Mock;

/// A server over a mock backend.
async fn serve_with(mock: Mock, change: impl FnOnce(&mut RpcConfig)) -> (RpcServer, Arc<Mock>, SocketAddr) {
    let mut config = RpcConfig::new("127.0.0.1:0".parse().unwrap());
    change(&mut config);
    let mock = Arc::new(mock);
    let server = RpcServer::start(config, Arc::clone(&mock)).await.unwrap();
    let address = server.address();
    (server, mock, address)
}

async fn serve() -> (RpcServer, Arc<Mock>, SocketAddr) {
    serve_with(Mock::new(), |_| {}).await
}

async fn serve_limited(change: impl FnOnce(&mut RpcLimits)) -> (RpcServer, Arc<Mock>, SocketAddr) {
    serve_with(Mock::new(), |config| change(&mut config.limits)).await
}
