//! `synod chain validators`: who orders.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::CommitteeView;
use synod_types::address::format_address;

use crate::client::Settle;
use crate::context::Context;
use crate::failure::Outcome;

/// Show the committee that orders this network
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod chain validators")]
pub(crate) struct Validators {}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(CommitteeView);

impl Validators {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        context.output.result(&Shown(context.node()?.validators().settle()?));
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.0;
        write!(
            formatter,
            "epoch {}, ordered by {}: {} members, {} decide, {} may do anything at all",
            view.epoch,
            view.ordering,
            view.members.len(),
            view.quorum,
            view.faults
        )?;
        for member in &view.members {
            let height = member.height.map_or("-".to_owned(), |height| format!("block {height}"));
            let state = match (member.this_node, member.connected) {
                (true, _) => "this node",
                (false, true) => "connected",
                (false, false) => "not heard",
            };
            let address = format_address(&member.address);
            write!(formatter, "\n  {:<3} {:<10} {address}  {state:<9}  {height}", member.index, member.name)?;
        }
        Ok(())
    }
}
