//! Connections and HTTP: who is let in, what is read of them, and how answers look.
//!
//! Nothing is read of a request that shows no password but its head. Wrong passwords have a rate for each
//! address: beyond it requests are refused without a look, except over connections that have shown the right
//! one. Heads, bodies and connections have time limits, bodies and heads sizes; answers are short.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use synod_types::Address;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::call::{self, Call, Fault};
use super::config::GetworkConfig;
use super::credentials::{Credentials, Denied};
use super::desk::{Desk, Verdict};
use super::places::{Place, Places};
use crate::rpc::Backend;
use crate::rpc::limits::Rate;
use crate::rpc::rate::Rates;
use crate::rpc::types::Refusal;

/// Connections in all.
const CONNECTIONS: usize = 256;
/// Connections of one address that is not loopback.
const CONNECTIONS_OF_ONE: usize = 64;
/// Bytes of a request's body; a solution has about 300.
const BODY_BYTES: usize = 16 * 1024;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a head may take, and a connection may be idle before the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a connection ends with the answer in hand; miners open another.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the answer in hand may then take: a long poll's time.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(75);
/// Wrong passwords of one address.
const WRONG_PASSWORDS: Rate = Rate { per_second: 1, burst: 20 };
/// The same of this machine, where another user's mistake should not lock the owner out for long.
const WRONG_PASSWORDS_HERE: Rate = Rate { per_second: 10, burst: 100 };
/// Requests of one address.
const REQUESTS: Rate = Rate { per_second: 200, burst: 400 };
/// The same of this machine.
const REQUESTS_HERE: Rate = Rate { per_second: 2_000, burst: 4_000 };

/// The path of long polls, which is told in every answer.
const LONG_POLL_PATH: &str = "/long-poll";
const LONG_POLL: HeaderValue = HeaderValue::from_static(LONG_POLL_PATH);

/// The endpoint cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("getwork cannot listen on {address}: {error}; choose another getwork.listen")]
pub struct GetworkError {
    /// The configured address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

/// What the endpoint has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GetworkFigures {
    /// Open connections.
    pub connections: u64,
    /// Units of work handed out.
    pub units: u64,
    /// Solutions that became blocks.
    pub accepted: u64,
    /// Solutions of an older tip.
    pub stale: u64,
    /// Solutions that came before.
    pub duplicate: u64,
    /// Solutions of work that was never handed out, or is forgotten.
    pub unknown: u64,
    /// Headers that are no solutions.
    pub wrong: u64,
}

/// Reads the figures.
pub type Figures = Arc<dyn Fn() -> GetworkFigures + Send + Sync>;

/// A running endpoint. Dropping it stops it.
pub struct GetworkServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    figures: Figures,
}

/// What all connections share.
struct House<B> {
    desk: Desk<B>,
    credentials: Credentials,
    wrong_passwords: Rates,
    requests: Rates,
}

impl GetworkServer {
    /// Starts the endpoint on the current tokio runtime. `reward_to` is who gets the rewards of the configured
    /// user; extra nonces begin at `first_extra_nonce`, which should be drawn at random.
    ///
    /// # Errors
    /// [`GetworkError`].
    pub async fn start<B: Backend>(
        config: &GetworkConfig,
        reward_to: Option<Address>,
        first_extra_nonce: u64,
        backend: Arc<B>,
    ) -> Result<Self, GetworkError> {
        let listening = TcpListener::bind(config.listen).await;
        let bound = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| GetworkError { address: config.listen, error })?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "getwork passwords travel in the clear: use a tunnel or a network of your own");
        }
        let house = Arc::new(House {
            desk: Desk::new(backend, first_extra_nonce),
            credentials: Credentials::new(config, reward_to),
            wrong_passwords: Rates::new(WRONG_PASSWORDS, WRONG_PASSWORDS_HERE),
            requests: Rates::new(REQUESTS, REQUESTS_HERE),
        });
        let places = Places::new(CONNECTIONS, CONNECTIONS_OF_ONE);
        let figures: Figures = {
            let (house, places) = (Arc::clone(&house), Arc::clone(&places));
            Arc::new(move || house.figures(&places))
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(listener, house, places, stopped));
        Ok(Self { address, stop, figures })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done, read whenever it is called.
    pub fn figures(&self) -> Figures {
        Arc::clone(&self.figures)
    }

    /// Takes no more connections, and returns when all are gone.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

async fn accept<B: Backend>(
    listener: TcpListener,
    house: Arc<House<B>>,
    places: Arc<Places>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping(&mut stopped) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let address = peer.ip().to_canonical();
                let Some(place) = places.enter(address) else { continue };
                tokio::spawn(serve(socket, address, Arc::clone(&house), place, stopped.clone()));
            }
            Err(error) => {
                // Out of file handles, most likely: some will be given back.
                tracing::warn!(%error, "getwork cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<B: Backend>(
    socket: TcpStream,
    address: IpAddr,
    house: Arc<House<B>>,
    place: Place,
    mut stopped: watch::Receiver<bool>,
) {
    // A socket that does not take the option is slower, and no worse.
    let _ = socket.set_nodelay(true);
    let service = hyper::service::service_fn(|request| {
        let (house, place) = (&house, &place);
        async move { Ok::<_, Infallible>(house.respond(request, address, place).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let last_answer = tokio::select! {
        // How a miner's connection ended matters to nobody.
        _ = &mut connection => return,
        () = place.sent_away() => return,
        () = stopping(&mut stopped) => Duration::from_secs(1),
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => LAST_ANSWER_TIMEOUT,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = tokio::time::timeout(last_answer, connection) => {}
        () = place.sent_away() => {}
        () = stopping(&mut stopped), if last_answer == LAST_ANSWER_TIMEOUT => {}
    }
}

/// Returns when the endpoint stops, or is dropped.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    // An error says that the endpoint was dropped, which stops it as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl<B: Backend> House<B> {
    async fn respond(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
        place: &Place,
    ) -> Response<Full<Bytes>> {
        let account = match self.let_in(&request, address, place) {
            Ok(account) => account,
            Err(answer) => return *answer,
        };
        if request.method() != Method::POST {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "JSON-RPC calls are POSTed\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let is_long_poll = request.uri().path().ends_with(LONG_POLL_PATH);
        let takes_codes = !request.headers().contains_key("x-mining-extensions");
        let receiving = Limited::new(request.into_body(), BODY_BYTES).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, receiving).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too long or broke off\n");
            }
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the request's body came too slowly\n"),
        };
        let (id, call) = call::read(&body);
        match call {
            Ok(Call::Work) if is_long_poll => work(&id, self.desk.better_work((address, account)).await),
            Ok(Call::Work) => work(&id, self.desk.work((address, account)).await),
            Ok(Call::Solution(Some(solved))) => verdict(&id, self.desk.submit(&solved).await),
            Ok(Call::Solution(None)) => verdict(&id, Ok(Verdict::Wrong("no header"))),
            Ok(Call::Unknown) => not_found(&id, takes_codes),
            Err(fault) => fault_answer(StatusCode::BAD_REQUEST, &id, fault),
        }
    }

    /// Who asks, if it may.
    fn let_in(
        &self,
        request: &Request<Incoming>,
        address: IpAddr,
        place: &Place,
    ) -> Result<Address, Box<Response<Full<Bytes>>>> {
        let too_fast =
            || Box::new(plain(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address\n"));
        if !self.requests.take(address) || !(place.is_trusted() || self.wrong_passwords.has(address)) {
            return Err(too_fast());
        }
        let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match self.credentials.account(authorization) {
            Ok(account) => {
                place.trust();
                Ok(account)
            }
            Err(Denied::NoReward) => Err(Box::new(plain(
                StatusCode::FORBIDDEN,
                "nobody to pay: set getwork.reward_to in node.toml, or use an address as the user name\n",
            ))),
            Err(Denied::Unknown) => {
                self.wrong_passwords.take(address);
                let mut answer = plain(StatusCode::UNAUTHORIZED, "wrong user name or password\n");
                let challenge = HeaderValue::from_static("Basic realm=\"synod getwork\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                Err(Box::new(answer))
            }
        }
    }

    fn figures(&self, places: &Places) -> GetworkFigures {
        let counts = &self.desk.counts;
        GetworkFigures {
            connections: places.taken() as u64,
            units: counts.units.load(Ordering::Relaxed),
            accepted: counts.accepted.load(Ordering::Relaxed),
            stale: counts.stale.load(Ordering::Relaxed),
            duplicate: counts.duplicate.load(Ordering::Relaxed),
            unknown: counts.unknown.load(Ordering::Relaxed),
            wrong: counts.wrong.load(Ordering::Relaxed),
        }
    }
}

fn work(id: &Value, work: Result<super::units::Unit, Refusal>) -> Response<Full<Bytes>> {
    match work {
        Ok(unit) => json_answer(StatusCode::OK, call::answer(id, &call::work(&unit))),
        Err(refusal) => refused(id, &refusal),
    }
}

fn verdict(id: &Value, verdict: Result<Verdict, Refusal>) -> Response<Full<Bytes>> {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(refusal) => return refused(id, &refusal),
    };
    let mut answer = json_answer(StatusCode::OK, call::answer(id, &json!(verdict == Verdict::Accepted)));
    if let Some(reason) = verdict.reason() {
        answer.headers_mut().insert("x-reject-reason", HeaderValue::from_static(reason));
    }
    answer
}

/// The node has no work, or no time: the miner asks again after a pause.
fn refused(id: &Value, refusal: &Refusal) -> Response<Full<Bytes>> {
    let body = call::error(id, &json!(refusal.code.number()), &refusal.message);
    json_answer(StatusCode::SERVICE_UNAVAILABLE, body)
}

/// "Method not found", from which miners conclude that they must use `getwork`.
///
/// cpuminer-opt takes an error's code, where it is an integer, for a failed connection, and asks for
/// `getblocktemplate` for ever. It does not see a code that is written with a fraction, which is the same
/// number to everybody else; miners of that family announce extensions in a header.
fn not_found(id: &Value, takes_codes: bool) -> Response<Full<Bytes>> {
    let (code, message) = call::METHOD_NOT_FOUND;
    let code = if takes_codes { json!(code) } else { json!(f64::from(code)) };
    json_answer(StatusCode::NOT_FOUND, call::error(id, &code, message))
}

fn fault_answer(status: StatusCode, id: &Value, (code, message): Fault) -> Response<Full<Bytes>> {
    json_answer(status, call::error(id, &json!(code), message))
}

fn json_answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body + "\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-long-polling", LONG_POLL);
    answer
}

/// An answer to a request that was not read: what is left of it must not be taken for another one.
fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
