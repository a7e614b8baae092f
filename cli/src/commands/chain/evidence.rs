//! `synod chain evidence`: which members contradicted themselves, as this node saw it.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{ContradictionView, DivergenceView, EvidenceView};

use crate::client::Settle;
use crate::context::Context;
use crate::failure::Outcome;

/// Show which members contradicted themselves, as this node saw it
///
/// A member that votes twice in one place has signed both votes. The node keeps the two, and with --json gives
/// them whole: anybody who knows the committee can check them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod chain evidence\n  synod chain evidence --json | jq -r '.[].evidence'"
)]
pub(crate) struct Evidence {}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(Vec<EvidenceView>);

impl Evidence {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        context.output.result(&Shown(context.node()?.evidence().settle()?));
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("✓ this node saw no member contradict itself");
        }
        for (at, view) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str("\n")?;
            }
            match view {
                EvidenceView::Contradiction(view) => contradiction(view, formatter)?,
                EvidenceView::Divergence(view) => divergence(view, formatter)?,
            }
        }
        Ok(())
    }
}

fn contradiction(view: &ContradictionView, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ContradictionView { id, epoch, member, name, proves, height, .. } = view;
    writeln!(formatter, "✗ member {member} ({name}) of epoch {epoch} {proves}")?;
    writeln!(formatter, "  seen     at block {height}")?;
    write!(formatter, "  id       {id}")
}

fn divergence(view: &DivergenceView, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let DivergenceView { position, height, ours, theirs, .. } = view;
    writeln!(formatter, "✗ this node and the committee disagree at block {height} ({position})")?;
    writeln!(formatter, "  here     {ours}")?;
    write!(formatter, "  there    {theirs}")
}
