//! `synod contract events`: what a contract said, and what it says from now on.
//!
//! A block that gives way to another takes its events with it. Who follows is told: an event that was shown
//! and is gone is shown once more, as removed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use alloy_json_abi::JsonAbi;
use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{LogItem, LogsFilter, LogsRequest};
use synod_types::{B256, BlockHash, Height};

use super::line::EventLine;
use super::{Found, Surroundings, Target};
use crate::client::{CallError, Settle, interrupt};
use crate::context::Context;
use crate::contract::event::selectors;
use crate::failure::{Failure, Outcome};

/// Blocks before the tip that are shown when nothing is said, and one page of the node's.
const RECENT: u64 = 1_000;
/// Between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Blocks below the tip that are looked at again, since another branch may have replaced them.
const AGAIN: u64 = 24;
/// Without a sign of the node for so many looks the command ends.
const PATIENCE: u32 = 120;

/// Show what a contract said
///
/// One line for each event, oldest first; with --json one object a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod contract events TOKEN\n  synod contract events TOKEN Transfer --from-block 10 --follow\n  synod contract events 0x5FbDB2315678afecb367f032d93F642f64180aa3 --abi out/Token.json --json"
)]
pub(crate) struct Events {
    #[command(flatten)]
    target: Target,
    /// Only these, by name or by signature
    event: Option<String>,
    /// The first block; by default the last 1,000 are shown
    #[arg(long, value_name = "HEIGHT")]
    from_block: Option<u64>,
    /// The last block
    #[arg(long, value_name = "HEIGHT", conflicts_with = "follow")]
    to_block: Option<u64>,
    /// Go on until Ctrl-C
    #[arg(long)]
    follow: bool,
}

/// An event, and where it is.
#[derive(Debug, Clone, Serialize)]
struct Line {
    height: u64,
    block_hash: String,
    transaction: String,
    index: u32,
    /// Its block gave way to another: it did not happen.
    removed: bool,
    #[serde(flatten)]
    event: EventLine,
}

/// An event's place, in the order of the chain.
type Place = (Height, u32, BlockHash);

impl Events {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let around = Surroundings::about(context, &self.target)?;
        let found = self.target.find(&around)?;
        let watch = Watch { context, around: &around, found: &found, filter: self.filter(&found)? };
        let tip = around.session.status.head.height.0;
        let from = self.from_block.unwrap_or(tip.saturating_sub(RECENT - 1));
        if let Some(to) = self.to_block.filter(|to| *to < from) {
            return Err(Failure::usage("bad_range", format!("block {to} is before block {from}")));
        }
        let mut shown = BTreeMap::new();
        watch.show(from, self.to_block, &mut shown).settle()?;
        if self.follow { watch.follow(from, shown) } else { Ok(()) }
    }

    fn filter(&self, found: &Found) -> Outcome<LogsFilter> {
        let topics: Vec<Vec<B256>> = match &self.event {
            Some(event) => vec![selectors(found.interface()?, event)?],
            None => Vec::new(),
        };
        Ok(LogsFilter { addresses: vec![found.account.address], topics })
    }
}

struct Watch<'a> {
    context: &'a Context,
    around: &'a Surroundings,
    found: &'a Found,
    filter: LogsFilter,
}

impl Watch<'_> {
    /// Shows what is new from `from` on, and what is gone. Gives the tip that was read.
    fn show(&self, from: u64, to: Option<u64>, shown: &mut BTreeMap<Place, Line>) -> Result<u64, CallError> {
        let mut request = LogsRequest {
            filter: self.filter.clone(),
            from_height: Some(Height(from)),
            // To the end of all, which the node takes for its tip.
            to_height: Some(Height(to.unwrap_or(u64::MAX))),
            ..LogsRequest::default()
        };
        let mut seen = BTreeMap::new();
        let tip = loop {
            let page = self.around.session.node.logs(&request)?;
            for item in &page.logs {
                let place = (item.height, item.index, item.block_hash);
                let line = self.line(item);
                // Lines are shown as they come: a long history needs no memory and no patience.
                if !shown.contains_key(&place) {
                    self.print(&line);
                }
                seen.insert(place, line);
            }
            match page.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break page.height.0,
            }
        };
        let gone = shown.range((Height(from), 0, BlockHash::default())..);
        for (_, line) in gone.filter(|(place, _)| !seen.contains_key(*place)) {
            self.print(&Line { removed: true, ..line.clone() });
        }
        *shown = seen;
        Ok(tip)
    }

    fn follow(&self, begin: u64, mut shown: BTreeMap<Place, Line>) -> Outcome<()> {
        interrupt::arm();
        let node = &self.around.session.node;
        let (mut tip, mut silent) = (self.around.session.status.head.height.0, 0);
        loop {
            if matches!(node.pause(LOOK_EVERY), Err(CallError::Interrupted)) {
                return Ok(());
            }
            let from = tip.saturating_sub(AGAIN).max(begin);
            shown.retain(|(height, ..), _| height.0 >= from);
            match self.show(from, None, &mut shown) {
                Ok(now) => (tip, silent) = (now, 0),
                Err(CallError::Interrupted) => return Ok(()),
                Err(error) if silent == PATIENCE => return Err(error.into()),
                Err(_) => silent += 1,
            }
        }
    }

    fn line(&self, item: &LogItem) -> Line {
        let log = &item.log;
        let own: Option<&JsonAbi> = self.found.abi.as_ref();
        let interfaces = own.into_iter().chain(self.around.book.interfaces(None));
        let directory = self.around.directory();
        Line {
            height: item.height.0,
            block_hash: item.block_hash.to_string(),
            transaction: item.transaction.to_string(),
            index: item.index,
            removed: false,
            event: EventLine::new(log.address, &log.topics, &log.data, interfaces, &directory),
        }
    }

    fn print(&self, line: &Line) {
        match self.context.output.is_json() {
            true => self.context.output.line(line),
            false => self.context.output.text(&line.to_string()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = if self.removed { "removed: " } else { "" };
        write!(formatter, "{:>8}  {removed}{}", self.height, self.event)
    }
}
