//! `synod chain`: what the node says of its chain.

mod status;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// What one can ask about the chain.
#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    Status(status::Status),
}

impl Chain {
    /// Asks it.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        match self {
            Self::Status(command) => command.run(context),
        }
    }
}
