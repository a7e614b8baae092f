//! `synod chain status`: the node at a glance.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::StatusView;
use synod_types::amount::format_gwei;
use synod_types::{U256, UnixMillis};

use crate::client::Settle;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::count;
use crate::wallet::network::Network;

/// Show the node's chain, peers, pool and miner
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod chain status --json | jq .head.height")]
pub(crate) struct Status {}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(StatusView);

impl Status {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let status = context.node()?.status().settle()?;
        context.output.result(&Shown(status));
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.0;
        let head = &status.head;
        let ready = match (&status.syncing, status.ready) {
            (Some(sync), _) => format!(
                "catching up: {} of {}, {}",
                sync.current_height, sync.target_height, sync.waiting_for
            ),
            (None, true) => "ready".to_owned(),
            (None, false) => status.reason.clone().unwrap_or_else(|| "starting".to_owned()),
        };
        writeln!(formatter, "{} on {}, {}", status.name, Network::from(status).title(), ready)?;
        writeln!(formatter, "  head     block {}, {}", head.height, ago(head.time))?;
        writeln!(formatter, "           {}", head.hash)?;
        if status.ordering == "pow" {
            let (safe, settled) = (status.safe_height, status.settled_height);
            writeln!(formatter, "  depth    safe at {safe}, settled at {settled}")?;
        } else {
            committee(formatter, status)?;
        }
        if status.base_height.0 > 0 {
            let first = status.base_height.0.saturating_add(1);
            writeln!(formatter, "  blocks   from {first} on; those below are pruned here")?;
        }
        if let Some(height) = status.snapshot_height {
            writeln!(formatter, "  snapshot of block {height}, for those who join")?;
        }
        writeln!(formatter, "  fees     base fee {} gwei", format_gwei(U256::from(status.base_fee)))?;
        writeln!(formatter, "  peers    {}", status.peers)?;
        let pool = &status.mempool;
        let transactions = count(pool.transactions, "transaction");
        writeln!(formatter, "  pool     {transactions}, {} bytes", pool.bytes)?;
        match &status.mining {
            Some(mining) if mining.enabled => {
                let (rate, found) = (hash_rate(mining.hash_rate), mining.blocks_found);
                writeln!(
                    formatter,
                    "  mining   {rate} on {} ({}), {} found",
                    count(mining.threads as u64, "thread"),
                    mining.kernel,
                    count(found, "block")
                )?;
                if mining.hash_rates.len() > 1 {
                    let each: Vec<String> = mining.hash_rates.iter().copied().map(hash_rate).collect();
                    writeln!(formatter, "           {}", each.join(", "))?;
                }
            }
            _ if status.ordering == "pow" => writeln!(formatter, "  mining   off")?,
            _ => {}
        }
        if status.settled_reversals > 0 {
            writeln!(
                formatter,
                "  WARNING  settled blocks were reversed {} times since the node started",
                status.settled_reversals
            )?;
        }
        write!(formatter, "  version  {}", status.version)
    }
}

/// What is final, who leads, and what it waits for.
fn committee(formatter: &mut fmt::Formatter<'_>, status: &StatusView) -> fmt::Result {
    let fact = |name: &str| status.facts.get(name).map_or("?", String::as_str);
    let behind = status.head.height.0.saturating_sub(status.settled_height.0);
    match behind {
        0 => writeln!(formatter, "  final    all of it")?,
        _ => writeln!(formatter, "  final    up to block {}", status.settled_height)?,
    }
    let own = |is: &str| if fact(is) == "true" { ", which is this node" } else { "" };
    let order = match status.ordering.as_str() {
        ordering @ ("paxos" | "zab") => {
            let place = match ordering {
                "paxos" => format!("ballot {}", fact("ballot")),
                _ => format!("epoch {}, zxid {}", fact("current_epoch"), fact("zxid")),
            };
            let leader = match fact("leader") {
                "none" => "no leader yet".to_owned(),
                leader => format!("leader member {leader}{}", own("is_leader")),
            };
            format!("{place}, {leader}; {}", fact("phase"))
        }
        _ => {
            let began = if fact("view_active") == "true" { "" } else { " (not begun yet)" };
            format!("view {}{began}, primary member {}{}", fact("view"), fact("primary"), own("is_primary"))
        }
    };
    writeln!(formatter, "  order    {}: {order}", status.ordering)?;
    let votes = if fact("votes") == "true" { "" } else { "; this node follows and does not vote" };
    writeln!(formatter, "           {} members, {} decide{votes}", fact("members"), fact("quorum"))?;
    writeln!(formatter, "  waits    for {}", status.waits_for)
}

/// How long ago a block's time is, in words.
pub(crate) fn ago(time: UnixMillis) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match now.checked_sub(time.seconds()) {
        None => format!("{} s in the future", time.seconds() - now),
        Some(seconds @ 0..120) => format!("{seconds} s ago"),
        Some(seconds @ 120..7200) => format!("{} min ago", seconds / 60),
        Some(seconds @ 7200..172_800) => format!("{} h ago", seconds / 3600),
        Some(seconds) => format!("{} days ago", seconds / 86_400),
    }
}

/// Hashes a second with a prefix: `33.2 MH/s`.
pub(crate) fn hash_rate(rate: u64) -> String {
    let scaled = |unit: u64, name: &str| format!("{}.{} {name}/s", rate / unit, rate % unit * 10 / unit);
    match rate {
        0..1_000 => format!("{rate} H/s"),
        1_000..1_000_000 => scaled(1_000, "kH"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "MH"),
        _ => scaled(1_000_000_000, "GH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_one_decimal() {
        assert_eq!(hash_rate(999), "999 H/s");
        assert_eq!(hash_rate(33_290_000), "33.2 MH/s");
        assert_eq!(hash_rate(1_000), "1.0 kH/s");
    }
}
