//! How the pool's and the types' own errors are told to callers: a stable code, and what to do.

use serde_json::json;
use synod_types::transaction::TransactionError;

use super::types::{ErrorCode, Refusal};
use crate::mempool::{Rejection, verify};

impl From<&TransactionError> for Refusal {
    fn from(error: &TransactionError) -> Self {
        let refuse = |code| Self::new(code, error.to_string());
        match error {
            TransactionError::Decode(_) => refuse(ErrorCode::Malformed)
                .hint("submit the canonical bytes of a signed transaction, as synod wallet sign prints them"),
            TransactionError::WrongChain { theirs, ours } => refuse(ErrorCode::WrongChain)
                .hint("sign again for this chain")
                .details(json!({ "signed_for": theirs, "chain_id": ours })),
            TransactionError::BadSignature => refuse(ErrorCode::BadSignature)
                .hint("sign again with the sender's key for this network's genesis"),
            TransactionError::WeakKey => refuse(ErrorCode::WeakKey).hint("make a new key"),
            TransactionError::TipAboveFee { .. } => {
                refuse(ErrorCode::FeeTooLow).hint("lower the tip or raise the fee, and sign again")
            }
        }
    }
}

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        let (code, hint, details) = explain(rejection);
        Self::new(code, rejection.to_string()).hint(hint).details(details)
    }
}

impl From<verify::Busy> for Refusal {
    fn from(busy: verify::Busy) -> Self {
        Self::new(ErrorCode::Busy, busy.to_string())
            .hint("submit it again shortly: it is the same transaction")
    }
}

/// The code, what to do, and the numbers; amounts are decimal strings of wei.
fn explain(rejection: &Rejection) -> (ErrorCode, &'static str, serde_json::Value) {
    match rejection {
        Rejection::NonceTooLow { expected, .. } => (
            ErrorCode::NonceTooLow,
            "if this was sent before, look it up by its id; otherwise sign again with the next nonce",
            json!({ "expected": expected.to_string() }),
        ),
        Rejection::NonceTooHigh { expected, highest, .. } => (
            ErrorCode::NonceTooHigh,
            "send the missing transactions first, or wait until earlier ones are included",
            json!({ "expected": expected.to_string(), "highest": highest.to_string() }),
        ),
        Rejection::InsufficientFunds { cost, waiting, balance } => (
            ErrorCode::InsufficientFunds,
            "send less, lower the fee, or wait for money that is on its way",
            json!({
                "cost": cost.to_string(), "waiting": waiting.to_string(), "balance": balance.to_string(),
            }),
        ),
        Rejection::FeeTooLow { floor, .. } => {
            (ErrorCode::FeeTooLow, "raise the fee", json!({ "needed": floor.to_string() }))
        }
        Rejection::ReplacementUnderpriced { existing, fee_needed, tip_needed } => (
            ErrorCode::ReplacementUnderpriced,
            "`synod wallet bump` raises fee and tip enough; or use the next nonce",
            json!({
                "existing": existing.to_string(),
                "fee_needed": fee_needed.to_string(), "tip_needed": tip_needed.to_string(),
            }),
        ),
        Rejection::PoolFull { cheapest } => {
            (ErrorCode::PoolFull, "pay more, or try again later", json!({ "cheapest": cheapest.to_string() }))
        }
        Rejection::Expired { valid_until, next } => (
            ErrorCode::Expired,
            "sign again with a later valid_until, or without one",
            json!({ "valid_until": valid_until, "next_height": next }),
        ),
        Rejection::GasTooLow { needed, .. } => {
            (ErrorCode::GasTooLow, "raise the gas limit", json!({ "needed": needed.0.to_string() }))
        }
        Rejection::GasTooHigh { block, .. } => {
            (ErrorCode::TooLarge, "lower the gas limit", json!({ "block_gas": block.0.to_string() }))
        }
        Rejection::TooLarge { limit, .. } => {
            (ErrorCode::TooLarge, "split it into smaller transactions", json!({ "limit": limit }))
        }
    }
}
