//! The door for HTTP requests: everything that is checked before a request is looked into (RPC-2).
//!
//! In order: the `Host` (DNS rebinding), the `Origin` (CORS), the method, the rate, the body within its
//! size and time, the depth of its JSON. WebSocket upgrades pass the first two and the rate.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::depth::is_deeper_than;
use super::limits::RpcConfig;
use super::rate::Rates;
use super::types::{ErrorCode, Refusal};

/// What all connections share at the door.
#[derive(Debug)]
pub(super) struct Door {
    config: RpcConfig,
    pub(super) rates: Rates,
    /// Bytes of bodies being received.
    bodies: Semaphore,
    /// Refused bodies being read to their end.
    drains: Arc<Semaphore>,
}

/// What a request becomes when it passes.
pub(super) enum Passed<'a> {
    /// To the RPC, with its place among the bodies.
    Call(HttpRequest, Option<SemaphorePermit<'a>>),
    /// Answered at the door.
    Answer(HttpResponse),
}

impl Door {
    pub(super) fn new(config: RpcConfig) -> Self {
        let limits = &config.limits;
        let rates = Rates::new(limits.rate, limits.loopback_rate);
        let bodies = Semaphore::new(limits.bodies_bytes);
        let drains = Arc::new(Semaphore::new(limits.drains));
        Self { config, rates, bodies, drains }
    }

    /// Lets a request in, or answers it.
    pub(super) async fn pass<B>(&self, request: Request<B>, address: IpAddr) -> Passed<'_>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<jsonrpsee::core::BoxError> + Send,
    {
        if let Err(answer) = self.check_head(&request, address) {
            return Passed::Answer(*answer);
        }
        if is_upgrade(request.headers()) {
            return Passed::Call(request.map(HttpBody::new), None);
        }
        if request.method() != Method::POST {
            let refusal = Refusal::new(ErrorCode::Malformed, "JSON-RPC calls are POSTed");
            return Passed::Answer(answer(StatusCode::METHOD_NOT_ALLOWED, &refusal));
        }
        let (parts, mut body) = request.into_parts();
        let receiving = self.receive(&parts.headers, &mut body);
        let received = tokio::time::timeout(self.config.limits.body_timeout, receiving).await;
        match received {
            Ok(Ok((body, place))) => {
                Passed::Call(Request::from_parts(parts, HttpBody::new(Full::new(body))), Some(place))
            }
            Ok(Err(answer)) => {
                self.drain(&parts.headers, body);
                Passed::Answer(*answer)
            }
            Err(_) => {
                let refusal = Refusal::new(ErrorCode::LimitExceeded, "the request's body came too slowly");
                Passed::Answer(answer(StatusCode::REQUEST_TIMEOUT, &refusal))
            }
        }
    }

    /// Reads on, within bounds, beside the answer: a socket that is closed over unread bytes is reset, and a client
    /// that writes all before it reads would find that instead of its answer.
    fn drain<B>(&self, headers: &HeaderMap, mut body: B)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let (mut left, limit) = (self.config.limits.drain_bytes, self.config.limits.drain_timeout);
        // Who expects to be asked sends nothing before it has our answer.
        if headers.contains_key(header::EXPECT) || told_length(headers).is_some_and(|told| told > left as u64)
        {
            return;
        }
        let Ok(place) = Arc::clone(&self.drains).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let reading = async {
                while let Some(Ok(frame)) = body.frame().await {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    if left == 0 {
                        break;
                    }
                }
            };
            // Late or not: the connection ends with the body.
            let _ = tokio::time::timeout(limit, reading).await;
            drop(place);
        });
    }

    /// The headers that an allowed origin needs on its answers.
    pub(super) fn cors_headers(&self, origin: Option<HeaderValue>, response: &mut HttpResponse) {
        let Some(origin) = origin else { return };
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }

    fn check_head<B>(&self, request: &Request<B>, address: IpAddr) -> Result<(), Box<HttpResponse>> {
        let headers = request.headers();
        if !self.is_our_host(headers.get(header::HOST)) {
            let refusal =
                Refusal::new(ErrorCode::Unavailable, "this server does not go by the request's Host")
                    .hint("call it by its address or by localhost, or name the host in the configuration");
            return Err(Box::new(answer(StatusCode::FORBIDDEN, &refusal)));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            if !self.is_allowed_origin(origin) {
                let refusal =
                    Refusal::new(ErrorCode::Unavailable, "pages of this origin may not call the node")
                        .hint("name the origin in rpc.cors, or pass --rpc-cors");
                return Err(Box::new(answer(StatusCode::FORBIDDEN, &refusal)));
            }
            if request.method() == Method::OPTIONS {
                return Err(Box::new(preflight()));
            }
        }
        if !self.rates.take(address) {
            return Err(Box::new(answer(StatusCode::TOO_MANY_REQUESTS, &too_fast())));
        }
        Ok(())
    }

    /// Plain addresses cannot be rebound, so they are ours whichever they are; names must be known.
    fn is_our_host(&self, host: Option<&HeaderValue>) -> bool {
        let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let known = |ours: &String| ours.eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok()
            || self.config.hosts.iter().any(known)
    }

    fn is_allowed_origin(&self, origin: &HeaderValue) -> bool {
        self.config.cors.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }

    async fn receive<B>(
        &self,
        headers: &HeaderMap,
        body: &mut B,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Box<HttpResponse>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let limits = &self.config.limits;
        let limit = limits.body_bytes as usize;
        if told_length(headers).is_some_and(|told| told > limit as u64) {
            return Err(too_large(limit));
        }
        let mut place = self.bodies.try_acquire_many(0).map_err(|_| busy())?;
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(malformed("the request's body broke off")) };
            let Ok(data) = frame.into_data() else { continue };
            if received.len() + data.len() > limit {
                return Err(too_large(limit));
            }
            let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
            place.merge(self.bodies.try_acquire_many(more).map_err(|_| busy())?);
            received.extend_from_slice(&data);
        }
        if is_deeper_than(&received, limits.json_depth) {
            return Err(malformed("the request's JSON is nested too deeply"));
        }
        Ok((received.into(), place))
    }
}

fn told_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a caller above its rate is told.
pub(super) fn too_fast() -> Refusal {
    Refusal::new(ErrorCode::LimitExceeded, "too many requests from this address").hint("slow down")
}

pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn too_large(limit: usize) -> Box<HttpResponse> {
    let refusal =
        Refusal::new(ErrorCode::LimitExceeded, format!("a request's body is at most {limit} bytes"));
    Box::new(answer(StatusCode::PAYLOAD_TOO_LARGE, &refusal))
}

fn busy() -> Box<HttpResponse> {
    let refusal = Refusal::new(ErrorCode::Busy, "the node is receiving as many requests as it can")
        .hint("try again shortly");
    Box::new(answer(StatusCode::SERVICE_UNAVAILABLE, &refusal))
}

fn malformed(sentence: &str) -> Box<HttpResponse> {
    Box::new(answer(StatusCode::BAD_REQUEST, &Refusal::new(ErrorCode::Malformed, sentence)))
}

fn preflight() -> HttpResponse {
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// A refusal as a JSON-RPC response without an id: nothing was read that could have one.
fn answer(status: StatusCode, refusal: &Refusal) -> HttpResponse {
    let error = serde_json::json!({
        "jsonrpc": "2.0", "id": null,
        "error": { "code": refusal.code.number(), "message": refusal.message, "data": refusal.to_data() },
    });
    let mut response = Response::new(HttpBody::from(error.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The rest of a request that was not read must not be taken for another one.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Shares the door between connections.
pub(super) type SharedDoor = Arc<Door>;
