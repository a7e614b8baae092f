//! `synod chain certificate`: what proves that a block is final.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{BlockReference, CertificateView};
use synod_types::Height;

use super::validators::assumption;
use crate::client::Settle;
use crate::context::Context;
use crate::failure::Outcome;

/// Show what proves that a block is final, under a committee
///
/// A certificate vouches for its block and for every block below. One block may do without its own: then the
/// lowest one above it is shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod chain certificate\n  synod chain certificate 12 --json | jq -r .certificate"
)]
pub(crate) struct Certificate {
    /// The block's height [default: the newest certified one]
    height: Option<u64>,
}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    view: CertificateView,
    /// What the members are trusted not to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumes: Option<&'static str>,
    #[serde(skip)]
    asked: u64,
}

impl Certificate {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let at = self.height.map(|height| BlockReference::Height(Height(height)));
        let node = context.node()?;
        let view = node.certificate(at).settle()?;
        let assumes = assumption(&node.status().settle()?.ordering);
        let asked = self.height.unwrap_or(view.height.0);
        context.output.result(&Shown { view, assumes, asked });
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.view;
        writeln!(formatter, "✓ block {} is final", self.asked)?;
        if self.asked != view.height.0 {
            writeln!(formatter, "  by       the certificate of block {} above it", view.height)?;
        }
        writeln!(formatter, "  block    {}", view.block_hash)?;
        writeln!(formatter, "  place    {}", view.position)?;
        let signers: Vec<String> = view.signers.iter().map(ToString::to_string).collect();
        writeln!(formatter, "  signers  members {} ({} are needed)", signers.join(", "), view.quorum)?;
        if let Some(assumption) = self.assumes {
            writeln!(formatter, "  safe if  {assumption}")?;
        }
        write!(formatter, "  bytes    {}", view.certificate)
    }
}
