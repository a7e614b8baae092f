//! What waits to be ordered, what is on its way, and who is to hear that it is final; and what clients see of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloy_primitives::{B256, Bytes};
use synod_consensus::Time;
use synod_consensus::committee::{MemberIndex, Payload};
use synod_ledger::log::bench::Percentiles;
use synod_types::Height;
use tokio::sync::oneshot;

use crate::driver::clock::Clock;
use crate::driver::committee::epoch::Now;
use crate::driver::history;
use crate::driver::ordering::{Demand, DemandBoard};
use crate::network::Network;
use crate::rpc::ordered::{OrderedView, Orders};
use crate::rpc::types::{ErrorCode, Refusal};

/// Bytes of one payload.
pub(crate) const PAYLOAD_BYTES: usize = 512;
/// Bytes that may wait.
const WAITING: usize = 128 << 20;
/// So many of the newest times are kept.
const TIMES: usize = 100_000;

type Reply = oneshot::Sender<Height>;

/// The desk.
pub(super) struct Desk {
    state: Mutex<State>,
    board: DemandBoard,
    clock: Clock,
    own: Option<MemberIndex>,
}

#[derive(Default)]
struct State {
    leads: bool,
    /// Since when clients of another leader have asked here in vain: until something is decided, it waits like
    /// what would have been forwarded, and a leader that is gone is replaced.
    knocked: Option<Time>,
    waiting: VecDeque<Call>,
    waiting_bytes: usize,
    offered: BTreeMap<B256, Offer>,
    appended: BTreeMap<Height, Vec<Reply>>,
    /// Everything up to here is final.
    settled: Height,
    /// From a proposal of ours to its decision.
    decided_after: VecDeque<std::time::Duration>,
}

/// Payloads that one client handed in together.
struct Call {
    bytes: Bytes,
    since: Time,
    reply: Reply,
}

struct Offer {
    since: Instant,
    replies: Vec<Reply>,
}

impl Desk {
    /// `first` leads before anybody says so.
    pub(super) fn new(
        board: DemandBoard,
        clock: Clock,
        own: Option<MemberIndex>,
        first: Option<MemberIndex>,
    ) -> Self {
        let state = State { leads: own.is_some() && own == first, ..State::default() };
        Self { state: Mutex::new(state), board, clock, own }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ordering must know of what waits; written while the state is held, so that no older word comes last.
    fn tell(&self, state: &State) {
        let oldest_since = state.waiting.front().map(|call| call.since).or(state.knocked);
        self.board.write(Demand { oldest_since, bytes: state.waiting_bytes as u64 });
    }

    /// Tells ordering once more what waits.
    pub(super) fn tell_again(&self) {
        self.tell(&self.state());
    }

    /// Takes what a client hands in, and where it will hear that it is final.
    ///
    /// # Errors
    /// Another member leads, or too much waits.
    pub(super) fn hand_in(&self, bytes: Bytes) -> Result<oneshot::Receiver<Height>, Refusal> {
        let mut state = self.state();
        if !state.leads {
            if state.knocked.is_none() {
                state.knocked = Some(self.clock.now());
                self.tell(&state);
            }
            return Err(Refusal::new(ErrorCode::NotReady, "another member leads").hint("hand it in there"));
        }
        if state.waiting_bytes + bytes.len() > WAITING {
            return Err(
                Refusal::new(ErrorCode::Busy, "too much waits to be ordered").hint("try again shortly")
            );
        }
        let (reply, answer) = oneshot::channel();
        state.waiting_bytes += bytes.len();
        state.waiting.push_back(Call { bytes, since: self.clock.now(), reply });
        self.tell(&state);
        Ok(answer)
    }

    /// A payload of what waits: whole calls, in order.
    pub(super) fn assemble(&self, max_bytes: usize, most: usize) -> Option<Payload> {
        let room = (max_bytes.saturating_sub(8) / PAYLOAD_BYTES).min(most) * PAYLOAD_BYTES;
        let mut content = self.clock.wall().0.to_be_bytes().to_vec();
        let mut replies = Vec::new();
        let mut state = self.state();
        while let Some(call) = state.waiting.front()
            && content.len() - 8 + call.bytes.len() <= room
        {
            let Some(call) = state.waiting.pop_front() else { break };
            state.waiting_bytes -= call.bytes.len();
            content.extend_from_slice(&call.bytes);
            replies.push(call.reply);
        }
        self.tell(&state);
        if replies.is_empty() {
            return None;
        }
        drop(state);
        let payload = Payload::new(content.into()).ok()?;
        let offer = Offer { since: Instant::now(), replies };
        self.state().offered.insert(payload.digest(), offer);
        Some(payload)
    }

    /// It is decided, and on its way into the log.
    pub(super) fn decided(&self, digest: B256, height: Height) {
        let mut state = self.state();
        if state.knocked.take().is_some() {
            self.tell(&state);
        }
        let Some(offer) = state.offered.remove(&digest) else { return };
        if state.decided_after.len() == TIMES {
            state.decided_after.pop_front();
        }
        state.decided_after.push_back(offer.since.elapsed());
        if state.settled < height {
            state.appended.insert(height, offer.replies);
        } else {
            // The others were faster.
            answer(height, offer.replies);
        }
    }

    /// Everything up to here is final.
    pub(super) fn settled(&self, height: Height) {
        let mut state = self.state();
        state.settled = state.settled.max(height);
        let later = state.appended.split_off(&Height(height.0 + 1));
        let done = std::mem::replace(&mut state.appended, later);
        drop(state);
        done.into_iter().for_each(|(height, replies)| answer(height, replies));
    }

    /// It will not be decided where it was proposed: its clients hear that they are to try again.
    pub(super) fn abandoned(&self, digest: B256) {
        self.state().offered.remove(&digest);
    }

    /// A view began under this leader.
    pub(super) fn leads(&self, leader: u64) {
        let mut state = self.state();
        state.leads = self.own.is_some_and(|own| u64::from(own.0) == leader);
        state.knocked = None;
        if !state.leads {
            state.waiting.clear();
            state.waiting_bytes = 0;
        }
        self.tell(&state);
    }
}

fn answer(height: Height, replies: Vec<Reply>) {
    for reply in replies {
        // Clients that left need no answer.
        let _ = reply.send(height);
    }
}

/// What clients speak to: the desk, and what this member counts.
pub(super) struct Front {
    pub(super) desk: Arc<Desk>,
    pub(super) network: Network,
    pub(super) now: Now,
}

impl Orders for Front {
    fn payload_bytes(&self) -> usize {
        PAYLOAD_BYTES
    }

    async fn order(&self, bytes: Bytes) -> Result<Height, Refusal> {
        let answer = self.desk.hand_in(bytes)?;
        answer.await.map_err(|_| {
            Refusal::new(ErrorCode::Busy, "it was not ordered before the view changed").hint("try again")
        })
    }

    fn figures(&self) -> OrderedView {
        let state = self.desk.state();
        let times: Vec<_> = state.decided_after.iter().copied().collect();
        let (leads, height) = (state.leads, state.settled);
        drop(state);
        let others = self.now.current().members.peers().len();
        let places = Percentiles::of(times);
        let (messages, bytes) = self.network.directly_sent();
        OrderedView {
            leads,
            members: others + 1,
            height,
            decided_after_p50: places.p50.as_micros() as u64,
            decided_after_p99: places.p99.as_micros() as u64,
            messages,
            bytes,
            syncs: history::syncs(),
        }
    }
}
