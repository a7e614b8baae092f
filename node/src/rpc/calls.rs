//! What every call passes, over HTTP, in a batch, or over a WebSocket: the rate of its address, room for the
//! answer, the depth of its parameters, and a place among the calls being answered.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification};
use jsonrpsee::server::middleware::rpc::RpcServiceT;
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse};
use jsonrpsee::types::{ErrorObjectOwned, Request};
use tokio::sync::Semaphore;

use super::depth::is_deeper_than;
use super::door::{SharedDoor, too_fast};
use super::stream::Outbox;
use super::types::{ErrorCode, Refusal};

/// Who calls; every request carries it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) address: IpAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) websocket: bool,
}

/// The checks around the methods.
#[derive(Debug, Clone)]
pub(super) struct Calls<S> {
    inner: S,
    shared: Arc<CallLimits>,
}

/// What the checks need, shared by all connections.
#[derive(Debug)]
pub(super) struct CallLimits {
    pub(super) door: SharedDoor,
    pub(super) methods: Vec<&'static str>,
    pub(super) json_depth: usize,
    pub(super) response_bytes: usize,
    /// Places for calls over WebSocket, whose messages arrive whether or not there is room. Over HTTP a
    /// connection has one call at a time.
    pub(super) places: Semaphore,
}

impl<S> Calls<S> {
    pub(super) fn new(inner: S, shared: Arc<CallLimits>) -> Self {
        Self { inner, shared }
    }
}

impl CallLimits {
    fn check(&self, request: &Request<'_>, caller: &Caller) -> Result<(), Refusal> {
        if !self.door.rates.take(caller.address) {
            return Err(too_fast());
        }
        if !caller.outbox.has_room() {
            return Err(no_room());
        }
        if !self.methods.contains(&request.method_name()) {
            return Err(Refusal::new(ErrorCode::MethodNotFound, "there is no such method"));
        }
        let parameters = request.params.as_ref().map_or("", |parameters| parameters.get());
        if is_deeper_than(parameters.as_bytes(), self.json_depth) {
            return Err(Refusal::new(ErrorCode::Malformed, "the parameters are nested too deeply"));
        }
        Ok(())
    }
}

impl<S> RpcServiceT for Calls<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        async move {
            let Some(caller) = request.extensions.get::<Arc<Caller>>().cloned() else {
                return MethodResponse::error(request.id, to_error(Refusal::internal()));
            };
            if let Err(refusal) = shared.check(&request, &caller) {
                return MethodResponse::error(request.id, to_error(refusal));
            }
            let place = if caller.websocket { shared.places.try_acquire().map(Some) } else { Ok(None) };
            let Ok(_place) = place else {
                let refusal = Refusal::new(ErrorCode::Busy, "the node is answering as many calls as it can");
                return MethodResponse::error(request.id, to_error(refusal.hint("try again shortly")));
            };
            let response = inner.call(request).await;
            caller.outbox.queued(response.as_json().get().len());
            response
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let mut answers = BatchResponseBuilder::new_with_limit(service.shared.response_bytes);
            let mut notified = false;
            let mut entries = batch.into_iter().peekable();
            while let Some(entry) = entries.next() {
                let answer = match entry {
                    Ok(BatchEntry::Call(request)) if is_submission(&request) => {
                        // Submissions in a row go together: the pool checks them in one batch, with one sync.
                        let mut calls = vec![Started::new(service.call(request))];
                        while let Some(Ok(BatchEntry::Call(request))) = entries.next_if(
                            |entry| matches!(entry, Ok(BatchEntry::Call(request)) if is_submission(request)),
                        ) {
                            calls.push(Started::new(service.call(request)));
                        }
                        start(&mut calls).await;
                        for call in calls {
                            if let Err(too_large) = answers.append(call.answer().await) {
                                return too_large;
                            }
                        }
                        continue;
                    }
                    Ok(BatchEntry::Call(request)) => service.call(request).await,
                    Ok(BatchEntry::Notification(_)) => {
                        notified = true;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
            if answers.is_empty() && notified {
                return MethodResponse::notification();
            }
            MethodResponse::from_batch(answers.finish())
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

fn is_submission(request: &Request<'_>) -> bool {
    request.method_name() == "synod_submit"
}

/// A call among several that are begun before the first is waited for.
enum Started<'a> {
    Waiting(Pin<Box<dyn Future<Output = MethodResponse> + Send + 'a>>),
    Answered(MethodResponse),
}

impl<'a> Started<'a> {
    fn new(call: impl Future<Output = MethodResponse> + Send + 'a) -> Self {
        Self::Waiting(Box::pin(call))
    }

    async fn answer(self) -> MethodResponse {
        match self {
            Self::Waiting(call) => call.await,
            Self::Answered(answer) => answer,
        }
    }
}

/// Begins all calls.
async fn start(calls: &mut [Started<'_>]) {
    poll_fn(|context| {
        for started in calls.iter_mut() {
            if let Started::Waiting(call) = started
                && let Poll::Ready(answer) = call.as_mut().poll(context)
            {
                *started = Started::Answered(answer);
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// Too much was answered and not taken yet.
pub(super) fn no_room() -> Refusal {
    Refusal::new(ErrorCode::Busy, "earlier answers were not taken yet").hint("read them, then call again")
}

/// A refusal as a JSON-RPC error.
pub(super) fn to_error(refusal: Refusal) -> ErrorObjectOwned {
    let data = refusal.to_data();
    ErrorObjectOwned::owned(refusal.code.number(), refusal.message, Some(data))
}
