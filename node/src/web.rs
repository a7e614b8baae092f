//! The web port: what monitors ask of a node.
//!
//! - `/metrics`: the registry in OpenMetrics text, which Prometheus reads.
//! - `/health`: 200 while the process lives and answers.
//! - `/ready`: 200 when the node takes transactions; until then 503, and one sentence why.
//!
//! It serves text to few: connections are capped, heads are timed, bodies are not read.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and a connection may be idle before the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may live: a scraper opens another one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Says why the node is not ready; `None` when it is.
pub type Readiness = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The web server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("the web server cannot listen on {address}: {error}; choose another web.listen")]
pub struct WebError {
    /// The configured address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

/// A running web server. Dropping it stops it.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

#[derive(Clone)]
struct Page {
    registry: Arc<Registry>,
    readiness: Readiness,
}

impl WebServer {
    /// Starts the server on the current tokio runtime.
    ///
    /// # Errors
    /// [`WebError`].
    pub async fn start(
        listen: SocketAddr,
        registry: Arc<Registry>,
        readiness: Readiness,
    ) -> Result<Self, WebError> {
        let listening = TcpListener::bind(listen).await;
        let bound = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| WebError { address: listen, error })?;
        let (stop, stopped) = watch::channel(false);
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/ready", get(ready))
            .with_state(Page { registry, readiness });
        tokio::spawn(accept(listener, router, stopped));
        Ok(Self { address, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and returns when all are gone.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

async fn metrics(State(page): State<Page>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &page.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n").into_response()
        }
    }
}

async fn health() -> &'static str {
    "alive\n"
}

async fn ready(State(page): State<Page>) -> (StatusCode, String) {
    match (page.readiness)() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping(&mut stopped) => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                tokio::spawn(serve(socket, router.clone(), stopped.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "the web server cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(axum::body::Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        // How a monitor's connection ended matters to nobody.
        _ = &mut connection => {}
        () = stopping(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            // Answers here take no time; a monitor that does not read its answer is left.
            let _ = tokio::time::timeout(Duration::from_secs(1), connection).await;
        }
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
    }
}

/// Returns when the server stops, or is dropped.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    // An error says that the server was dropped, which stops it as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    async fn start(readiness: Readiness) -> WebServer {
        let mut registry = Registry::default();
        let blocks = Counter::<u64>::default();
        registry.register("blocks", "Blocks executed", blocks.clone());
        blocks.inc_by(7);
        WebServer::start("127.0.0.1:0".parse().unwrap(), Arc::new(registry), readiness).await.unwrap()
    }

    #[tokio::test]
    async fn monitors_read_metrics_health_and_readiness() {
        let synced = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&synced);
        let readiness: Readiness = Arc::new(move || {
            (!asked.load(Ordering::Relaxed)).then(|| "synchronising: 3 of 9 blocks".to_owned())
        });
        let server = start(readiness).await;
        let address = server.address();
        let metrics = fetch(address, "/metrics").await;
        assert!(metrics.contains("blocks_total 7") && metrics.contains("# EOF"), "{metrics}");
        assert!(metrics.contains(OPEN_METRICS));
        assert!(fetch(address, "/health").await.starts_with("HTTP/1.1 200"));
        let not_yet = fetch(address, "/ready").await;
        assert!(not_yet.starts_with("HTTP/1.1 503") && not_yet.contains("3 of 9"), "{not_yet}");
        synced.store(true, Ordering::Relaxed);
        assert!(fetch(address, "/ready").await.starts_with("HTTP/1.1 200"));
        assert!(fetch(address, "/secret").await.starts_with("HTTP/1.1 404"));
        server.stop().await;
    }

    #[tokio::test]
    async fn connections_are_capped_and_an_idle_one_does_not_hold_a_stop_up() {
        let server = start(Arc::new(|| None)).await;
        let address = server.address();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        let mut beyond = TcpStream::connect(address).await.unwrap();
        assert!(matches!(beyond.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        server.stop().await;
        assert!(matches!(held[0].read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn a_taken_address_is_told_with_what_to_do() {
        let server = start(Arc::new(|| None)).await;
        let error = WebServer::start(server.address(), Arc::default(), Arc::new(|| None)).await.unwrap_err();
        assert!(error.to_string().contains("choose another web.listen"));
    }
}
