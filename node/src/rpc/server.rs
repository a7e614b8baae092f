//! The server: it accepts connections within its bounds and serves JSON-RPC over each, as HTTP or, after an
//! upgrade, as a WebSocket.
//!
//! jsonrpsee does the protocol. Around it stand, from the socket inwards: a cap on connections in all and of
//! one address, `stream` (nobody fills our memory by not listening), hyper with a time limit for
//! heads, `door` (hosts, origins, rates, bodies) and `calls` (each call).

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::{Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpResponse, Methods, PingConfig, RandomStringIdProvider, RpcModule, Server,
    ServerConfig, StopHandle, stop_channel,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use super::backend::Backend;
use super::calls::{CallLimits, Caller, Calls};
use super::door::{Door, Passed, SharedDoor, is_upgrade};
use super::limits::{RpcConfig, RpcLimits};
use super::ordered::Orders;
use super::rate::network;
use super::stream::{GuardedStream, Outbox};
use super::{methods, ordered};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not ours.
    #[error("the RPC cannot listen on {address}: {error}; choose another rpc.listen")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Two methods of one name: our own mistake.
    #[error("the RPC's methods collide: {0}")]
    Methods(#[from] jsonrpsee::core::RegisterMethodError),
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    stop: jsonrpsee::server::ServerHandle,
    accepting: tokio::task::JoinHandle<()>,
    connections: watch::Receiver<usize>,
}

impl RpcServer {
    /// Starts the server on the current tokio runtime.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start<B: Backend>(config: RpcConfig, backend: Arc<B>) -> Result<Self, ServerError> {
        Self::serve(config, |limits, stop| methods::register(backend, limits, stop)).await
    }

    /// The same for a member that orders opaque bytes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn start_ordering<O: Orders>(
        config: RpcConfig,
        orders: Arc<O>,
    ) -> Result<Self, ServerError> {
        Self::serve(config, |_, _| ordered::register(orders)).await
    }

    async fn serve<C>(
        config: RpcConfig,
        register: impl FnOnce(&RpcLimits, StopHandle) -> Result<RpcModule<C>, RegisterMethodError>,
    ) -> Result<Self, ServerError> {
        let listening = TcpListener::bind(config.listen).await;
        let bound = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let address = config.listen;
        let (address, listener) = bound.map_err(|error| ServerError::Listen { address, error })?;
        let (stop_handle, stop) = stop_channel();
        let module = register(&config.limits, stop_handle.clone())?;
        let (count, connections) = watch::channel(0);
        let house = House::new(config, module.into(), stop_handle.clone(), count);
        let accepting = tokio::spawn(accept(listener, Arc::new(house), stop_handle));
        Ok(Self { address, stop, accepting, connections })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open, for metrics.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Takes no more connections, lets calls that are being answered end, and returns when all connections
    /// are gone.
    pub async fn stop(mut self) {
        // An error says that it is stopped already.
        let _ = self.stop.stop();
        // The accepting task ends by the same signal; a panic in it was logged by the runtime.
        let _ = (&mut self.accepting).await;
        // The sender is gone with the last connection.
        while self.connections.changed().await.is_ok() {}
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        let _ = self.stop.stop();
    }
}

/// What all connections share.
struct House {
    limits: RpcLimits,
    door: SharedDoor,
    methods: Methods,
    http: ServerConfig,
    websocket: ServerConfig,
    http_calls: Arc<CallLimits>,
    websocket_calls: Arc<CallLimits>,
    /// Connections that became WebSockets.
    websockets: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    output: Arc<AtomicUsize>,
    stop: StopHandle,
    count: watch::Sender<usize>,
}

impl House {
    fn new(config: RpcConfig, methods: Methods, stop: StopHandle, count: watch::Sender<usize>) -> Self {
        let limits = config.limits.clone();
        let door: SharedDoor = Arc::new(Door::new(config));
        let names: Vec<&'static str> = methods.method_names().collect();
        let calls = |response_bytes: u32| {
            Arc::new(CallLimits {
                door: Arc::clone(&door),
                methods: names.clone(),
                json_depth: limits.json_depth,
                response_bytes: response_bytes as usize,
                places: Semaphore::new(limits.calls),
            })
        };
        Self {
            http: server_config(&limits).max_request_body_size(limits.body_bytes).build(),
            websocket: server_config(&limits)
                .max_request_body_size(limits.message_bytes)
                .max_response_body_size(limits.message_response_bytes)
                .build(),
            http_calls: calls(limits.response_bytes),
            websocket_calls: calls(limits.message_response_bytes),
            websockets: Arc::new(Semaphore::new(limits.websockets as usize)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            by_address: Mutex::new(HashMap::new()),
            output: Arc::new(AtomicUsize::new(0)),
            door,
            methods,
            limits,
            stop,
            count,
        }
    }

    /// A place for a connection from this address, if there is one.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let key = network(address);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(key).or_insert(0);
        if *count >= self.limits.connections_of_one && !address.is_loopback() {
            return None;
        }
        *count += 1;
        self.count.send_modify(|count| *count += 1);
        Some(Place { house: Arc::clone(self), key, _permit: permit })
    }
}

fn server_config(limits: &RpcLimits) -> jsonrpsee::server::ServerConfigBuilder {
    let ping = PingConfig::new().ping_interval(limits.ping_timeout / 2).inactive_limit(limits.ping_timeout);
    ServerConfig::builder()
        .max_response_body_size(limits.response_bytes)
        .max_connections(u32::try_from(limits.connections).unwrap_or(u32::MAX))
        .max_subscriptions_per_connection(limits.subscriptions)
        .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
        .set_message_buffer_capacity(8)
        .enable_ws_ping(ping)
        .set_id_provider(RandomStringIdProvider::new(16))
}

/// A connection's place among all; given back when the connection, upgraded or not, is gone.
struct Place {
    house: Arc<House>,
    key: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.house.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.key);
            }
        }
        self.house.count.send_modify(|count| *count -= 1);
    }
}

async fn accept(listener: TcpListener, house: Arc<House>, stop: StopHandle) {
    let stopped = stop.shutdown();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let address = peer.ip().to_canonical();
                // Beyond the caps the socket is closed at once: whoever is served goes on being served.
                let Some(place) = house.enter(address) else { continue };
                tokio::spawn(serve(socket, address, place));
            }
            Err(error) => {
                // Out of file handles, most likely: some will be given back.
                tracing::warn!(%error, "the RPC cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, address: IpAddr, place: Place) {
    let house = Arc::clone(&place.house);
    let limits = &house.limits;
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let outbox = Arc::new(Outbox::new(Arc::clone(&house.output), limits.output_of_one, limits.output_bytes));
    let stream = GuardedStream::new(socket, Arc::clone(&outbox), limits.stall_timeout);
    let place = Arc::new(place);
    let service = hyper::service::service_fn(|request| {
        let (place, outbox) = (Arc::clone(&place), Arc::clone(&outbox));
        async move { Ok::<_, Infallible>(respond(request, address, place, outbox).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = house.stop.clone().shutdown() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an RPC connection ended");
    }
}

/// Answers one request: at the door, or through jsonrpsee.
async fn respond(
    request: Request<Incoming>,
    address: IpAddr,
    place: Arc<Place>,
    outbox: Arc<Outbox>,
) -> HttpResponse {
    let house = &place.house;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let websocket = is_upgrade(request.headers());
    let (mut request, _body) = match house.door.pass(request, address).await {
        Passed::Call(request, body) => (request, body),
        Passed::Answer(mut response) => {
            if response.status().is_success() {
                house.door.cors_headers(origin, &mut response);
            }
            return response;
        }
    };
    let (config, calls) = if websocket {
        (house.websocket.clone(), Arc::clone(&house.websocket_calls))
    } else {
        (house.http.clone(), Arc::clone(&house.http_calls))
    };
    request.extensions_mut().insert(Arc::new(Caller { address, outbox, websocket }));
    let middleware = RpcServiceBuilder::new().layer_fn(move |inner| Calls::new(inner, Arc::clone(&calls)));
    let builder = Server::builder().set_config(config).set_rpc_middleware(middleware).to_service_builder();
    let mut service = builder.build(house.methods.clone(), house.stop.clone());
    if websocket {
        let Ok(permit) = Arc::clone(&house.websockets).try_acquire_owned() else {
            return jsonrpsee::server::http::response::too_many_requests();
        };
        let closed = service.on_session_closed();
        // The place and the permit are kept until the WebSocket is closed, not only until the upgrade.
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            closed.await;
            drop((permit, place));
        });
    }
    match service.call(request).await {
        Ok(mut response) => {
            house.door.cors_headers(origin, &mut response);
            response
        }
        Err(_) => jsonrpsee::server::http::response::internal_error(),
    }
}
