//! How a method says no: a JSON-RPC error whose `data` is `{code, hint, details}`.
//!
//! `code` is stable and for programs, `message` is one sentence for people, `hint` says what to do next.
//! None of them ever holds a path, a key or a password (RPC-6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $number:literal;)*) => {
        /// Why a request is refused. The snake_case names are a promise to programs: they are added to,
        /// never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All codes, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in `data.code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The JSON-RPC error number that goes with it.
            pub const fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }
        }
    };
}

codes! {
    /// The account has used this nonce.
    NonceTooLow = "nonce_too_low", -32000;
    /// Further ahead of the account than the pool holds.
    NonceTooHigh = "nonce_too_high", -32000;
    /// The account cannot pay the value and the fee.
    InsufficientFunds = "insufficient_funds", -32000;
    /// The fee is below what the pool or the network takes.
    FeeTooLow = "fee_too_low", -32000;
    /// A transaction with this nonce waits, and this one does not pay 10 % more.
    ReplacementUnderpriced = "replacement_underpriced", -32000;
    /// The pool is full of transactions that pay more.
    PoolFull = "pool_full", -32000;
    /// The signature is not the sender's.
    BadSignature = "bad_signature", -32000;
    /// The key may not own an account.
    WeakKey = "weak_key", -32000;
    /// Signed for another chain.
    WrongChain = "wrong_chain", -32000;
    /// Not a transaction, not an address, not JSON of the right shape.
    Malformed = "malformed", -32602;
    /// `valid_until` has passed.
    Expired = "expired", -32000;
    /// The gas limit is below what the transaction costs at least.
    GasTooLow = "gas_too_low", -32000;
    /// More gas or bytes than any block has room for.
    TooLarge = "too_large", -32000;
    /// No such block, transaction or account.
    NotFound = "not_found", -32001;
    /// It existed; this node no longer keeps it.
    Pruned = "pruned", -32001;
    /// The subscription's cursor names a block that this node does not know or no longer keeps.
    CursorTooOld = "cursor_too_old", -32001;
    /// The node is starting or synchronising and cannot answer this yet.
    NotReady = "not_ready", -32002;
    /// The node does not offer this (mining is off, another ordering).
    Unavailable = "unavailable", -32002;
    /// Too many requests of this kind at once.
    Busy = "busy", -32005;
    /// A bound on sizes, counts or rates was passed.
    LimitExceeded = "limit_exceeded", -32005;
    /// No such method.
    MethodNotFound = "method_not_found", -32601;
    /// A fault of this node; its log says more.
    Internal = "internal", -32603;
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A refusal: one sentence for people, one code for programs, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Numbers that a program may want, an object.
    pub details: Option<Value>,
}

/// The `data` member of a JSON-RPC error.
#[derive(Serialize, Deserialize)]
struct Data {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl Refusal {
    /// Nothing is certified, and nobody is a member.
    pub fn no_committee() -> Self {
        Self::new(ErrorCode::Unavailable, "proof of work orders this network: it has no committee")
            .hint("blocks have a depth: `synod chain block HEIGHT`")
    }

    /// A refusal without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, details: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with an object of details.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// A fault of this node. What happened belongs in the log, never in the answer.
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "the node failed to answer").hint("see the node's log")
    }

    /// The `data` member of the JSON-RPC error.
    pub fn to_data(&self) -> Value {
        let data = Data {
            code: self.code.as_str().to_owned(),
            hint: self.hint.clone(),
            details: self.details.clone(),
        };
        serde_json::to_value(data).expect("strings and JSON values always serialize")
    }

    /// The refusal that a JSON-RPC error of any server carries: ours when `data` is of our form, otherwise
    /// by the error's number.
    pub fn from_error(number: i32, message: &str, data: Option<&Value>) -> Self {
        let ours = data.and_then(|data| Data::deserialize(data).ok());
        let code = ours.as_ref().and_then(|data| code_named(&data.code)).unwrap_or(match number {
            -32700 | -32602 | -32600 => ErrorCode::Malformed,
            -32601 => ErrorCode::MethodNotFound,
            -32011..=-32005 => ErrorCode::LimitExceeded,
            _ => ErrorCode::Internal,
        });
        let (hint, details) = ours.map_or((None, None), |data| (data.hint, data.details));
        Self { code, message: message.to_owned(), hint, details }
    }
}

fn code_named(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.as_str() == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rpc_6_names_are_stable_and_match_their_json() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(code_named(code.as_str()), Some(*code));
        }
        assert_eq!(code_named("nonce_too_low"), Some(ErrorCode::NonceTooLow));
    }

    #[test]
    fn a_refusal_survives_the_wire() {
        let refusal = Refusal::new(ErrorCode::FeeTooLow, "the fee is too low")
            .hint("raise it")
            .details(serde_json::json!({"needed": "7"}));
        let data = refusal.to_data();
        assert_eq!(Refusal::from_error(-32000, "the fee is too low", Some(&data)), refusal);
        assert_eq!(Refusal::from_error(-32601, "?", None).code, ErrorCode::MethodNotFound);
    }
}
