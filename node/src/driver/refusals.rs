//! How the node's own errors become refusals of RPC: a stable code, one sentence, what to do next. None of
//! them names a path (RPC-6).

use std::fmt::Display;

use synod_ledger::NoState;
use synod_types::BlockHash;
use synod_types::transaction::TransactionError;

use super::door::Refused;
use crate::mempool::Rejection;
use crate::rpc::types::{BlockReference, ErrorCode, Refusal};

/// A fault of this node; the log says more than the client hears.
pub(super) fn internal(error: impl Display) -> Refusal {
    tracing::error!(%error, "an RPC request failed");
    Refusal::new(ErrorCode::Internal, "the node cannot read what this asks for").hint("see the node's log")
}

/// No such block.
pub(super) fn no_block(reference: &BlockReference) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no block {reference}"))
        .hint("`synod chain status` shows the height of the tip")
}

/// The state at a block that left the chain is not kept.
pub(super) fn not_on_best_chain(hash: BlockHash) -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        format!("block {hash} is not on the best chain, so its state is not kept"),
    )
    .hint("ask at a height, or at latest")
}

/// The state at a height is not kept.
pub(super) fn no_state(error: NoState) -> Refusal {
    let code = match error {
        NoState::Pruned { .. } => ErrorCode::Pruned,
        NoState::Future { .. } => ErrorCode::NotFound,
    };
    Refusal::new(code, error.to_string()).hint("ask at latest, or at a height that is kept")
}

/// A submission was refused.
pub(super) fn submission(refused: Refused) -> Refusal {
    let message = refused.to_string();
    let (code, hint) = match refused {
        Refused::Invalid(error) => invalid(&error),
        Refused::Pool { rejection, .. } => rejected(&rejection),
        Refused::Busy(_) => (ErrorCode::Busy, "try again shortly"),
        Refused::Stopping => (ErrorCode::NotReady, "submit it to another node"),
    };
    Refusal::new(code, message).hint(hint)
}

fn invalid(error: &TransactionError) -> (ErrorCode, &'static str) {
    match error {
        TransactionError::Decode(_) => {
            (ErrorCode::Malformed, "send the canonical bytes that the wallet wrote")
        }
        TransactionError::WrongChain { .. } => (ErrorCode::WrongChain, "sign it for this chain"),
        TransactionError::BadSignature => {
            (ErrorCode::BadSignature, "sign it with the sender's key for this genesis")
        }
        TransactionError::WeakKey => (ErrorCode::WeakKey, "use a key that `synod wallet new` makes"),
        TransactionError::TipAboveFee { .. } => (ErrorCode::FeeTooLow, "raise the fee or lower the tip"),
    }
}

fn rejected(rejection: &Rejection) -> (ErrorCode, &'static str) {
    match rejection {
        Rejection::NonceTooLow { .. } => {
            (ErrorCode::NonceTooLow, "sign it again with the account's next nonce")
        }
        Rejection::NonceTooHigh { .. } => (ErrorCode::NonceTooHigh, "send the missing nonces first"),
        Rejection::InsufficientFunds { .. } => {
            (ErrorCode::InsufficientFunds, "send less, or wait for what is on its way to the account")
        }
        Rejection::FeeTooLow { .. } => (ErrorCode::FeeTooLow, "raise the fee"),
        Rejection::ReplacementUnderpriced { .. } => {
            (ErrorCode::ReplacementUnderpriced, "`synod wallet bump` raises both fee and tip enough")
        }
        Rejection::PoolFull { .. } => (ErrorCode::PoolFull, "raise the fee, or wait"),
        Rejection::Expired { .. } => (ErrorCode::Expired, "sign it again with a later height"),
        Rejection::GasTooLow { .. } => (ErrorCode::GasTooLow, "raise the gas limit"),
        Rejection::GasTooHigh { .. } | Rejection::TooLarge { .. } => (ErrorCode::TooLarge, "make it smaller"),
    }
}
