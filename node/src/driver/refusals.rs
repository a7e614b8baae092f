//! How the node's own errors become refusals of RPC: a stable code, one sentence, what to do next. None of
//! them names a path (RPC-6). The pool's and the types' errors are told by [`crate::rpc`] itself.

use std::fmt::Display;

use synod_ledger::NoState;
use synod_types::{BlockHash, Height};

use super::door::Refused;
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

/// Blocks so low are not kept here.
pub(super) fn pruned(kept: Height) -> Refusal {
    Refusal::new(ErrorCode::Pruned, format!("pruned: this node keeps blocks from height {kept} on"))
        .hint("ask a node that has the whole chain")
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
pub(super) fn submission(refused: &Refused) -> Refusal {
    match refused {
        Refused::Invalid(error) => error.into(),
        Refused::Pool { rejection, .. } => (&**rejection).into(),
        Refused::Busy(busy) => (*busy).into(),
        Refused::Stopping => {
            Refusal::new(ErrorCode::NotReady, refused.to_string()).hint("submit it to another node")
        }
    }
}
