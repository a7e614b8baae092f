//! `synod_subscribe`: events over WebSocket, each with the cursor from which another connection, or another
//! node, can go on.
//!
//! A subscription remembers one thing: the block up to which its subscriber has seen the chain. When an end
//! of the chain moves, or the subscriber has taken what was sent, it asks the backend for the way from there
//! to the present. So a slow subscriber loses nothing, nothing is queued for it, and a reorg is told as what
//! it is: blocks that leave, then blocks that join.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use jsonrpsee::types::Params;
use serde_json::value::to_raw_value;
use synod_types::Address;

use super::arguments::Arguments;
use super::backend::{Backend, Boundary, ChangesQuery};
use super::calls::{Caller, to_error};
use super::contracts::check_filter;
use super::methods::Desk;
use super::types::{Cursor, ErrorCode, Event, EventKind, LogsFilter, Refusal, SubscribeOptions, Topic};

/// How many steps are asked of the backend at a time.
const STEPS: usize = 64;
/// The same when each carries its transactions, of which a block has up to 10,000, or its logs.
const STEPS_WITH_TRANSACTIONS: usize = 1;
/// How many accounts a subscription may name.
const ACCOUNTS: usize = 64;
/// How long a subscription waits before it asks a busy node again, or looks again whether there is room.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn register<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "synod_subscribe",
        "synod_subscription",
        "synod_unsubscribe",
        |params, pending, desk, extensions| async move {
            let caller = extensions.get::<Arc<Caller>>().cloned();
            serve(&params, pending, desk, caller).await;
        },
    )?;
    Ok(())
}

async fn serve<B: Backend>(
    params: &Params<'_>,
    pending: PendingSubscriptionSink,
    desk: Arc<Desk<B>>,
    caller: Option<Arc<Caller>>,
) {
    let Some(caller) = caller else {
        return pending.reject(to_error(Refusal::internal())).await;
    };
    let mut subscription = match Subscription::open(params, Arc::clone(&desk)).await {
        Ok(subscription) => subscription,
        Err(refusal) => return pending.reject(to_error(refusal)).await,
    };
    // A connection that is gone needs no answer.
    let Ok(sink) = pending.accept().await else { return };
    if let Err(refusal) = subscription.run(&sink, &caller).await {
        let end = serde_json::json!({ "kind": "ended", "code": refusal.code, "message": refusal.message });
        if let Ok(message) = to_raw_value(&end) {
            // The subscriber may be gone; then there is nobody to tell.
            let _ = sink.send(message).await;
        }
    }
}

struct Subscription<B> {
    desk: Arc<Desk<B>>,
    topic: Topic,
    accounts: Vec<Address>,
    /// Of the topic `logs`.
    filter: Option<LogsFilter>,
    cursor: Cursor,
}

impl<B: Backend> Subscription<B> {
    /// Reads the parameters and checks that the cursor can be followed.
    async fn open(params: &Params<'_>, desk: Arc<Desk<B>>) -> Result<Self, Refusal> {
        let mut arguments = Arguments::of(params)?;
        let topic = arguments.required("topic", "blocks, transactions, logs or settled")?;
        let form =
            "an object with a cursor of an event, for transactions a list of accounts, for logs a filter";
        let options: SubscribeOptions = arguments.optional("options", form)?.unwrap_or_default();
        arguments.end()?;
        if options.accounts.len() > ACCOUNTS {
            let sentence = format!("a subscription names at most {ACCOUNTS} accounts");
            return Err(Refusal::new(ErrorCode::LimitExceeded, sentence).hint("subscribe once more"));
        }
        let filter = (topic == Topic::Logs).then(|| options.filter.unwrap_or_default());
        filter.as_ref().map_or(Ok(()), check_filter)?;
        let tips = *desk.backend.tips().borrow();
        let end = if topic == Topic::Settled { tips.settled } else { tips.head };
        let cursor = options.cursor.unwrap_or(end);
        let subscription = Self { desk, topic, accounts: options.accounts, filter, cursor };
        subscription.changes(1).await?;
        Ok(subscription)
    }

    /// Sends until the subscriber leaves; an error ends the subscription.
    async fn run(&mut self, sink: &SubscriptionSink, caller: &Caller) -> Result<(), Refusal> {
        let mut tips = self.desk.backend.tips();
        let steps = match self.topic {
            Topic::Transactions | Topic::Logs => STEPS_WITH_TRANSACTIONS,
            Topic::Blocks | Topic::Settled => STEPS,
        };
        loop {
            // Marked as seen before asking, so that a change in between is not slept through.
            tips.mark_unchanged();
            let events = match self.changes(steps).await {
                Err(refusal) if refusal.code == ErrorCode::Busy => {
                    if pause(sink).await {
                        continue;
                    } else {
                        return Ok(());
                    }
                }
                other => other?,
            };
            if events.is_empty() {
                tokio::select! {
                    () = sink.closed() => return Ok(()),
                    changed = tips.changed() => if changed.is_err() { return Ok(()) },
                }
            }
            for event in events {
                self.cursor = event.cursor;
                let Some(event) = self.shape(event) else { continue };
                if !send(&event, sink, caller).await {
                    return Ok(());
                }
            }
        }
    }

    async fn changes(&self, limit: usize) -> Result<Vec<Event>, Refusal> {
        let boundary = if self.topic == Topic::Settled { Boundary::Settled } else { Boundary::Head };
        let transactions = self.topic == Topic::Transactions;
        let query =
            ChangesQuery { boundary, after: self.cursor, limit, transactions, logs: self.filter.clone() };
        let backend = Arc::clone(&self.desk.backend);
        self.desk.readers.run(move || backend.changes(query)).await
    }

    /// The event as this topic tells it; nothing when it holds nothing that was asked for.
    fn shape(&self, mut event: Event) -> Option<Event> {
        match self.topic {
            Topic::Blocks => event.transactions = None,
            Topic::Settled => {
                event.transactions = None;
                event.kind = match event.kind {
                    EventKind::Block | EventKind::Settled => EventKind::Settled,
                    EventKind::Reverted | EventKind::SettledReversed => EventKind::SettledReversed,
                };
            }
            Topic::Logs => {
                event.logs.as_ref()?;
            }
            Topic::Transactions if self.accounts.is_empty() => {}
            Topic::Transactions => {
                let asked = |address: &Address| self.accounts.contains(address);
                let transactions = event.transactions.as_mut()?;
                transactions.retain(|one| asked(&one.sender) || one.to.as_ref().is_some_and(asked));
                if transactions.is_empty() {
                    return None;
                }
            }
        }
        Some(event)
    }
}

/// Sends when the connection has room; false when the subscriber has left.
async fn send(event: &Event, sink: &SubscriptionSink, caller: &Caller) -> bool {
    while !caller.outbox.has_room() {
        if !pause(sink).await {
            return false;
        }
    }
    let Ok(message) = to_raw_value(event) else { return false };
    caller.outbox.queued(message.get().len());
    sink.send(message).await.is_ok()
}

/// Waits a little; false when the subscriber has left.
async fn pause(sink: &SubscriptionSink) -> bool {
    tokio::select! {
        () = sink.closed() => false,
        () = tokio::time::sleep(PAUSE) => true,
    }
}
