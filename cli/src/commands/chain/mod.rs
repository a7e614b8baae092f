//! `synod chain`: what the node says of its chain, and what can be checked without it.

mod block;
mod certificate;
mod diff;
mod evidence;
mod proof;
mod status;
mod transaction;
mod validators;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

pub(crate) use status::{ago, hash_rate};

/// What one can ask about the chain.
#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    Status(status::Status),
    Block(block::Block),
    Tx(transaction::Tx),
    Proof(proof::Proof),
    Verify(verify::Verify),
    Certificate(certificate::Certificate),
    Validators(validators::Validators),
    Evidence(evidence::Evidence),
    Diff(diff::Diff),
}

impl Chain {
    /// Asks it.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        match self {
            Self::Status(command) => command.run(context),
            Self::Block(command) => command.run(context),
            Self::Tx(command) => command.run(context),
            Self::Proof(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Certificate(command) => command.run(context),
            Self::Validators(command) => command.run(context),
            Self::Evidence(command) => command.run(context),
            Self::Diff(command) => command.run(context),
        }
    }
}
