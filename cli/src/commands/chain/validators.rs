//! `synod chain validators`: who orders.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::CommitteeView;
use synod_types::address::format_address;
use synod_types::committee::fault_model;
use synod_types::genesis::Ordering;

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

/// What the members of such a committee are trusted not to do.
pub(super) fn assumption(ordering: &str) -> Option<&'static str> {
    Ordering::from_name(ordering).and_then(fault_model)?.assumption()
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.0;
        write!(
            formatter,
            "epoch {}, ordered by {}: {} members, {} decide, {} may {}",
            view.epoch,
            view.ordering,
            view.members.len(),
            view.quorum,
            view.faults,
            match assumption(&view.ordering) {
                None => "do anything at all".to_owned(),
                Some(assumption) => format!("stop; safe if {assumption}"),
            }
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
