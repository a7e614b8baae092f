//! Every bound of the server, in one place (RPC-1, RPC-2).

use std::net::SocketAddr;
use std::time::Duration;

use synod_types::codec::TRANSACTION_LIMIT;

const MIB: u32 = 1024 * 1024;

/// Where the server listens and whom it trusts.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// The address, loopback by default.
    pub listen: SocketAddr,
    /// Origins whose pages may call, `*` for all; none by default.
    pub cors: Vec<String>,
    /// Names beside `localhost` and plain addresses under which the server may be called. A browser that
    /// was led here by a name that resolves to this machine (DNS rebinding) is refused.
    pub hosts: Vec<String>,
    /// The bounds.
    pub limits: RpcLimits,
}

impl RpcConfig {
    /// The defaults on `listen`.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, cors: Vec::new(), hosts: Vec::new(), limits: RpcLimits::default() }
    }
}

/// How many requests an address may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: u32,
    /// At once after a pause.
    pub burst: u32,
}

/// The bounds of the server.
#[derive(Debug, Clone)]
pub struct RpcLimits {
    /// Bytes of an HTTP request's body.
    pub body_bytes: u32,
    /// Bytes of a WebSocket message; the longest transaction in hex fits.
    pub message_bytes: u32,
    /// Bytes of an HTTP response's body.
    pub response_bytes: u32,
    /// Bytes of a response over WebSocket.
    pub message_response_bytes: u32,
    /// Calls in a batch.
    pub batch: u32,
    /// Subscriptions of a connection.
    pub subscriptions: u32,
    /// How deep JSON may be nested.
    pub json_depth: usize,
    /// Connections of all kinds.
    pub connections: usize,
    /// Connections of one address that is not loopback.
    pub connections_of_one: usize,
    /// Connections that became WebSockets.
    pub websockets: u32,
    /// Bytes of bodies being received, of all connections together.
    pub bodies_bytes: usize,
    /// Bytes of a refused body that are read on and thrown away, so that its client comes to reading why.
    pub drain_bytes: usize,
    /// How long that may take.
    pub drain_timeout: Duration,
    /// Connections on which that is done at a time; beyond them a connection just ends.
    pub drains: usize,
    /// Bytes of answers that clients have not taken yet, of all connections together.
    pub output_bytes: usize,
    /// The same of one connection.
    pub output_of_one: usize,
    /// Calls over WebSocket being answered, of all connections together.
    pub calls: usize,
    /// Templates being waited for, of all connections together.
    pub long_polls: usize,
    /// Threads that read for the RPC.
    pub readers: usize,
    /// Reads that wait for one of them.
    pub waiting_reads: usize,
    /// Threads that execute calls of contracts for the RPC.
    pub executors: usize,
    /// Calls of contracts that wait for one of them.
    pub waiting_executions: usize,
    /// Calls from addresses that are not loopback.
    pub rate: Rate,
    /// Calls from loopback addresses.
    pub loopback_rate: Rate,
    /// How long a request's head may take, and a connection may be idle before the next.
    pub head_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub stall_timeout: Duration,
    /// How long a WebSocket client may leave a ping unanswered.
    pub ping_timeout: Duration,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            body_bytes: MIB,
            message_bytes: 2 * TRANSACTION_LIMIT as u32 + MIB / 8,
            response_bytes: 16 * MIB,
            message_response_bytes: 4 * MIB,
            batch: 100,
            subscriptions: 16,
            json_depth: 64,
            connections: 256,
            connections_of_one: 32,
            websockets: 64,
            bodies_bytes: 16 * MIB as usize,
            drain_bytes: 32 * MIB as usize,
            drain_timeout: Duration::from_secs(5),
            drains: 8,
            output_bytes: 64 * MIB as usize,
            output_of_one: 4 * MIB as usize,
            calls: 64,
            long_polls: 32,
            readers: 4,
            waiting_reads: 256,
            executors: 2,
            waiting_executions: 64,
            rate: Rate { per_second: 100, burst: 200 },
            loopback_rate: Rate { per_second: 20_000, burst: 40_000 },
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(40),
        }
    }
}
