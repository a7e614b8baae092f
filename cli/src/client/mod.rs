//! A node, as the command sees it: JSON-RPC calls with the structs that the node's server writes.
//!
//! - [`http`]: one request on a socket.
//! - [`locate`]: which node is asked.
//! - [`interrupt`]: Ctrl-C, seen in the middle of a call.
//!
//! A call fails in one of three ways, and the difference matters when money is involved: the node said no
//! ([`CallError::Refused`]); nothing was sent ([`CallError::Unreachable`]); or nobody knows
//! ([`CallError::Silent`]).

pub(crate) mod http;
pub(crate) mod interrupt;
pub(crate) mod locate;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use synod_node::rpc::types::{
    AccountView, BlockReference, BlockView, CallRequest, CallView, CertificateView, CodeView, CommitteeView,
    ErrorCode, EstimateView, EvidenceView, FeesView, HistoryPage, LogsPage, LogsRequest, PoolView, ProofView,
    ReadIndexView, Refusal, SolveView, StatusView, SubmitView, TemplateView, TraceView,
    TransactionStatusView,
};
use synod_types::address::format_address;
use synod_types::{Address, Bytes, TransactionId};

use self::http::{HttpError, Url};
use self::locate::Located;
use crate::failure::{Exit, Failure, Outcome};

/// How long an ordinary call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a long poll may take: the server holds it for 30 s.
const POLL_TIMEOUT: Duration = Duration::from_secs(40);
/// Between looks at the clock and at Ctrl-C while pausing.
const PAUSE_SLICE: Duration = Duration::from_millis(50);

/// A node that answers.
#[derive(Debug)]
pub(crate) struct Node {
    url: Url,
    how_to_start: String,
    interrupted: &'static AtomicBool,
    next_request: AtomicU64,
}

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The node said no.
    Refused(Refusal),
    /// Nobody listens there: nothing was sent.
    Unreachable(Failure),
    /// Something was sent, and no answer came back.
    Silent(Failure),
    /// Ctrl-C.
    Interrupted,
}

impl Node {
    /// The node that was found.
    pub(crate) fn new(located: Located) -> Self {
        Self {
            url: located.url,
            how_to_start: located.how_to_start,
            interrupted: interrupt::flag(),
            next_request: AtomicU64::new(1),
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// `synod_status`.
    ///
    /// # Errors
    /// [`CallError`], as every call below.
    pub(crate) fn status(&self) -> Result<StatusView, CallError> {
        self.call("synod_status", json!([]))
    }

    /// `synod_genesis`.
    pub(crate) fn genesis(&self) -> Result<Value, CallError> {
        self.call("synod_genesis", json!([]))
    }

    /// `synod_submit`.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<SubmitView, CallError> {
        self.call("synod_submit", json!([Bytes::copy_from_slice(raw)]))
    }

    /// `synod_account` at the tip.
    pub(crate) fn account(&self, address: Address) -> Result<AccountView, CallError> {
        self.call("synod_account", json!([format_address(&address)]))
    }

    /// `synod_account` at a block.
    pub(crate) fn account_at(
        &self,
        address: Address,
        block: BlockReference,
    ) -> Result<AccountView, CallError> {
        self.call("synod_account", json!([format_address(&address), block]))
    }

    /// `synod_transaction`.
    pub(crate) fn transaction(&self, id: TransactionId) -> Result<TransactionStatusView, CallError> {
        self.call("synod_transaction", json!([id.to_string()]))
    }

    /// `synod_block`.
    pub(crate) fn block(&self, reference: BlockReference, full: bool) -> Result<BlockView, CallError> {
        self.call("synod_block", json!([reference, full]))
    }

    /// `synod_fees`.
    pub(crate) fn fees(&self) -> Result<FeesView, CallError> {
        self.call("synod_fees", json!([]))
    }

    /// `synod_history`.
    pub(crate) fn history(
        &self,
        address: Address,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<HistoryPage, CallError> {
        self.call("synod_history", json!([format_address(&address), cursor, limit]))
    }

    /// `synod_proof`.
    pub(crate) fn proof(&self, address: Address) -> Result<ProofView, CallError> {
        self.call("synod_proof", json!([format_address(&address)]))
    }

    /// `synod_certificate`, the newest or the one that vouches for a block.
    pub(crate) fn certificate(&self, at: Option<BlockReference>) -> Result<CertificateView, CallError> {
        self.call("synod_certificate", json!([at]))
    }

    /// `synod_validators`.
    pub(crate) fn validators(&self) -> Result<CommitteeView, CallError> {
        self.call("synod_validators", json!([]))
    }

    /// `synod_readIndex`.
    pub(crate) fn read_index(&self) -> Result<ReadIndexView, CallError> {
        self.call("synod_readIndex", json!([]))
    }

    /// `synod_evidence`.
    pub(crate) fn evidence(&self) -> Result<Vec<EvidenceView>, CallError> {
        self.call("synod_evidence", json!([]))
    }

    /// `synod_pool`, of one account or of all.
    pub(crate) fn pool(&self, address: Option<Address>) -> Result<PoolView, CallError> {
        self.call("synod_pool", json!([address.map(|address| format_address(&address))]))
    }

    /// `synod_call` at the tip: what a call would do.
    pub(crate) fn call_contract(&self, request: &CallRequest) -> Result<CallView, CallError> {
        self.call("synod_call", json!([request]))
    }

    /// `synod_estimate_gas` at the tip.
    pub(crate) fn estimate_gas(&self, request: &CallRequest) -> Result<EstimateView, CallError> {
        self.call("synod_estimate_gas", json!([request]))
    }

    /// `synod_code` at the tip.
    pub(crate) fn code(&self, address: Address) -> Result<CodeView, CallError> {
        self.call("synod_code", json!([format_address(&address)]))
    }

    /// `synod_logs`.
    pub(crate) fn logs(&self, request: &LogsRequest) -> Result<LogsPage, CallError> {
        self.call("synod_logs", json!([request]))
    }

    /// `synod_trace`.
    pub(crate) fn trace(&self, id: TransactionId) -> Result<TraceView, CallError> {
        self.call("synod_trace", json!([id.to_string()]))
    }

    /// `synod_template`. With `wait_for_change_of` the node answers when that template is out of date.
    pub(crate) fn template(
        &self,
        reward_to: Address,
        wait_for_change_of: Option<&str>,
    ) -> Result<TemplateView, CallError> {
        let params = json!([format_address(&reward_to), wait_for_change_of]);
        self.call_within("synod_template", params, POLL_TIMEOUT)
    }

    /// `synod_solve`.
    pub(crate) fn solve(
        &self,
        template_id: &str,
        extra_nonce: u64,
        time: u32,
        nonce: u32,
    ) -> Result<SolveView, CallError> {
        self.call("synod_solve", json!([template_id, extra_nonce.to_string(), time, nonce]))
    }

    /// Waits, unless Ctrl-C is pressed.
    ///
    /// # Errors
    /// [`CallError::Interrupted`].
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), CallError> {
        let end = Instant::now() + duration;
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(CallError::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(PAUSE_SLICE));
        }
    }

    fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, CallError> {
        self.call_within(method, params, CALL_TIMEOUT)
    }

    fn call_within<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let answer = http::post(&self.url, request.as_bytes(), timeout, self.interrupted)
            .map_err(|error| self.no_answer(error))?;
        self.read(method, &answer)
    }

    fn read<T: DeserializeOwned>(&self, method: &str, answer: &[u8]) -> Result<T, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            result: Option<Value>,
            error: Option<ErrorObject>,
        }
        #[derive(Deserialize)]
        struct ErrorObject {
            code: i32,
            message: String,
            data: Option<Value>,
        }
        let answer: Answer = serde_json::from_slice(answer).map_err(|error| self.garbled(method, &error))?;
        if let Some(error) = answer.error {
            return Err(CallError::Refused(Refusal::from_error(
                error.code,
                &error.message,
                error.data.as_ref(),
            )));
        }
        serde_json::from_value(answer.result.unwrap_or(Value::Null))
            .map_err(|error| self.garbled(method, &error))
    }

    fn no_answer(&self, error: HttpError) -> CallError {
        let message = format!("the node at {} does not answer: {error}", self.url);
        let failure = Failure::new(Exit::Unreachable, "node_unreachable", message).hint(&self.how_to_start);
        match error {
            HttpError::Interrupted => CallError::Interrupted,
            HttpError::Connect(_) => CallError::Unreachable(failure),
            HttpError::Answer(_) => CallError::Silent(self.stranger(&error.to_string())),
            HttpError::Broken(_) | HttpError::Timeout(_) => CallError::Silent(failure),
        }
    }

    fn garbled(&self, method: &str, error: &serde_json::Error) -> CallError {
        CallError::Silent(self.stranger(&format!("its answer to {method} does not read: {error}")))
    }

    fn stranger(&self, problem: &str) -> Failure {
        let message = format!("{} is no synod node of this version: {problem}", self.url);
        Failure::new(Exit::Unreachable, "not_a_node", message)
            .hint("give the address of a node's RPC with --rpc http://HOST:PORT")
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => refused(&refusal),
            CallError::Unreachable(failure) | CallError::Silent(failure) => failure,
            CallError::Interrupted => Self::new(Exit::Interrupted, "interrupted", "interrupted"),
        }
    }
}

/// A node's refusal as a command's failure, with the node's code, sentence and hint.
pub(crate) fn refused(refusal: &Refusal) -> Failure {
    let exit = if is_ledgers(refusal.code) { Exit::Refused } else { Exit::Failed };
    let mut failure = Failure::new(exit, refusal.code.as_str(), &refusal.message);
    if let Some(hint) = &refusal.hint {
        failure = failure.hint(hint);
    }
    match &refusal.details {
        Some(details) => failure.details(details.clone()),
        None => failure,
    }
}

/// Whether a refusal is about the transaction, not about the node or the question.
pub(crate) fn is_ledgers(code: ErrorCode) -> bool {
    use ErrorCode::{
        BadSignature, Expired, FeeTooLow, GasTooLow, InsufficientFunds, NonceTooHigh, NonceTooLow, PoolFull,
        ReplacementUnderpriced, TooLarge, WeakKey, WrongChain,
    };
    matches!(
        code,
        NonceTooLow
            | NonceTooHigh
            | InsufficientFunds
            | FeeTooLow
            | ReplacementUnderpriced
            | PoolFull
            | BadSignature
            | WeakKey
            | WrongChain
            | Expired
            | GasTooLow
            | TooLarge
    )
}

/// Whether a refusal is about the node's moment, not about the transaction.
pub(crate) fn is_passing(code: ErrorCode) -> bool {
    use ErrorCode::{Busy, Internal, LimitExceeded, NotReady};
    matches!(code, Busy | Internal | LimitExceeded | NotReady)
}

/// Turns any call's result into a command's.
pub(crate) trait Settle<T> {
    /// The value, or the failure that ends the command.
    ///
    /// # Errors
    /// As the call's.
    fn settle(self) -> Outcome<T>;
}

impl<T> Settle<T> for Result<T, CallError> {
    fn settle(self) -> Outcome<T> {
        self.map_err(Failure::from)
    }
}
