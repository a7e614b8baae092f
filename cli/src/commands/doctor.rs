//! `synod doctor`: one sentence why there is no new block, and what to do.
//!
//! The questions stand in the order in which one has to ask them: does anybody answer, is it ready, is it
//! behind, do blocks come, does anybody mine, and is the difficulty right for who mines.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{MiningView, StatusView};
use synod_types::U256;

use crate::client::Settle;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::count;

/// A chain that is this many intended gaps without a block is called stuck: with blocks at random, as
/// mining is, a gap of ten is one in 22,000.
const PATIENCE: u64 = 10;

/// Say in one sentence why there is no new block, and what to do
///
/// Exit code 0 when blocks come, 1 when they do not, 4 when no node answers.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod doctor")]
pub(crate) struct Doctor {}

/// Blocks come.
#[derive(Debug, PartialEq, Serialize)]
struct Healthy {
    healthy: bool,
    sentence: String,
    /// What may go wrong although blocks come.
    warnings: Vec<String>,
}

impl Doctor {
    /// Examines the node.
    ///
    /// # Errors
    /// The diagnosis, with the cure as its hint.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let spacing = u64::from(session.genesis()?.pow.spacing_seconds);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let status = session.node.status().settle()?;
        let warnings: Vec<String> = loneliness(&status).into_iter().chain(exposures(context)?).collect();
        let examined = match status.ordering.as_str() {
            "pow" => examine(&status, now, spacing),
            _ => examine_committee(&status),
        };
        match examined {
            Ok(healthy) => {
                context.output.result(&Healthy { warnings, ..healthy });
                Ok(())
            }
            Err(illness) => {
                warnings.iter().for_each(|warning| context.output.warning(warning));
                Err(illness)
            }
        }
    }
}

/// A node that mines and hears nobody finds blocks all the time, and may lose them all.
fn loneliness(status: &StatusView) -> Option<String> {
    let mines = status.mining.as_ref().is_some_and(|mining| mining.enabled);
    (mines && status.ready && status.peers == 0 && status.configured_peers > 0).then(|| {
        format!(
            "this node mines alone: none of the {} in p2p.peers of its node.toml is connected. Once it hears them, the \
             branch with more work stays, and the other's blocks and rewards are gone. Start them, or correct their \
             addresses; `synod chain diff NODE NODE` shows whether two nodes differ",
            count(status.configured_peers, "peer")
        )
    })
}

/// Key files of this home that other users may read.
fn exposures(context: &Context) -> Outcome<Vec<String>> {
    let keystore = context.keystore()?;
    Ok(keystore.names()?.iter().filter_map(|name| keystore.exposure(name)).collect())
}

fn behind_or_not_ready(status: &StatusView) -> Outcome<()> {
    if let Some(sync) = &status.syncing {
        let (current, target) = (sync.current_height, sync.target_height);
        return Err(ill(
            "syncing",
            format!("the node is catching up, at block {current} of {target}: {}", sync.waiting_for),
        )
        .hint("wait; `synod chain status` shows the height growing"));
    }
    if !status.ready {
        let reason = status.reason.as_deref().unwrap_or("it has just started");
        return Err(ill("not_ready", format!("the node is not ready: {reason}")).hint("its log says more"));
    }
    Ok(())
}

/// Under a committee no block is the usual state of things: blocks are made when something waits.
fn examine_committee(status: &StatusView) -> Outcome<Healthy> {
    behind_or_not_ready(status)?;
    let fact = |name: &str| status.facts.get(name).and_then(|text| text.parse::<u64>().ok());
    let (height, waiting) = (status.head.height, status.mempool.transactions);
    let (members, quorum) = (fact("members").unwrap_or_default(), fact("quorum").unwrap_or_default());
    let heard = u64::from(status.peers) + 1;
    if heard < quorum {
        let sentence = format!("{heard} of {members} members are connected here, and {quorum} decide");
        return Err(ill("no_quorum", sentence)
            .hint("start the missing nodes; `synod chain validators` shows which members are not heard"));
    }
    // Each ordering counts in its own terms what it tried in vain since it last had a leader.
    if ["failed_views", "failed_ballots", "failed_attempts"].into_iter().filter_map(fact).any(|vain| vain > 0)
    {
        let sentence = format!("the committee changes its leader: it waits for {}", status.waits_for);
        return Err(ill("view_change", sentence).hint("wait; `synod chain status` shows who leads"));
    }
    let sentence = match waiting {
        0 => {
            format!("block {height} is the tip, and nothing waits: blocks are made when a transaction comes")
        }
        _ => format!(
            "block {height} is the tip, {waiting} transactions wait: it waits for {}",
            status.waits_for
        ),
    };
    Ok(Healthy { healthy: true, sentence, warnings: Vec::new() })
}

fn examine(status: &StatusView, now: u64, spacing: u64) -> Outcome<Healthy> {
    behind_or_not_ready(status)?;
    let (height, age) = (status.head.height, now.saturating_sub(status.head.time.seconds()));
    if age <= spacing.saturating_mul(PATIENCE) {
        let sentence = match height.0 {
            0 => format!("the chain has just begun, and has no block yet; one is meant every {spacing} s"),
            _ => format!("blocks come: block {height} is {age} s old, and one is meant every {spacing} s"),
        };
        return Ok(Healthy { healthy: true, sentence, warnings: Vec::new() });
    }
    let stuck = format!("block {height} is {age} s old, where one is meant every {spacing} s");
    Err(match &status.mining {
        Some(mining) if mining.enabled => slow_miner(mining, &stuck),
        _ if status.peers == 0 => ill(
            "nobody_mines",
            format!("{stuck}: this node does not mine and has no peers"),
        )
        .hint("mine from outside with `synod mine --to NAME`, set mining.enabled in node.toml, or add peers"),
        _ => ill(
            "nobody_mines",
            format!(
                "{stuck}: this node does not mine, and none of its {} peers has found a block",
                status.peers
            ),
        )
        .hint("mine from outside with `synod mine --to NAME`, or set mining.enabled in node.toml"),
    })
}

fn slow_miner(mining: &MiningView, stuck: &str) -> Failure {
    if mining.hash_rate == 0 {
        return ill("miner_idle", format!("{stuck}: the node's miner is on but does not hash"))
            .hint("restart the node; its log says why the miner waits");
    }
    let expected = mining.difficulty / U256::from(mining.hash_rate);
    ill(
        "too_difficult",
        format!("{stuck}: at {} hashes a second the node expects a block in {expected} s", mining.hash_rate),
    )
    .hint("the difficulty falls as time passes; wait, or add hash power with `synod mine --to NAME`")
}

fn ill(code: &'static str, sentence: String) -> Failure {
    Failure::failed(code, sentence)
}

impl fmt::Display for Healthy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "✓ {}", self.sentence)?;
        self.warnings.iter().try_for_each(|warning| write!(formatter, "\n! {warning}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_node::rpc::types::{BlockSummary, MempoolSummary, SyncView};
    use synod_types::{Address, B256, BlockHash, Gas, Height, UnixMillis};

    fn status(age: u64) -> StatusView {
        let head = BlockSummary {
            hash: BlockHash::default(),
            height: Height(9),
            parent: BlockHash::default(),
            time: UnixMillis((1000 - age) * 1000),
            transactions: 0,
            gas_used: Gas(0),
            fee_recipient: Address::ZERO,
        };
        StatusView {
            version: "1".to_owned(),
            name: "n".to_owned(),
            chain_id: 1,
            genesis_hash: B256::ZERO,
            ordering: "pow".to_owned(),
            facts: Default::default(),
            waits_for: String::new(),
            testnet: true,
            peer_id: String::new(),
            head,
            safe_height: Height(3),
            settled_height: Height(0),
            base_height: Height(0),
            snapshot_height: None,
            settled_reversals: 0,
            base_fee: 1,
            work: U256::ZERO,
            peers: 0,
            configured_peers: 0,
            mempool: MempoolSummary::default(),
            mining: None,
            syncing: None,
            started_at: UnixMillis(0),
            ready: true,
            reason: None,
        }
    }

    fn mining(hash_rate: u64) -> Option<MiningView> {
        Some(MiningView {
            enabled: true,
            threads: 1,
            hash_rate,
            hash_rates: vec![hash_rate],
            difficulty: U256::from(1_000_000),
            kernel: "portable".to_owned(),
            reward_to: Address::ZERO,
            blocks_found: 0,
        })
    }

    #[test]
    fn each_illness_has_its_sentence() {
        let code =
            |status: &StatusView| examine(status, 1000, 2).map_err(|failure| failure.code().to_owned());
        assert!(code(&status(20)).unwrap().healthy);
        assert_eq!(code(&status(21)).unwrap_err(), "nobody_mines");
        assert_eq!(code(&StatusView { mining: mining(0), ..status(21) }).unwrap_err(), "miner_idle");
        assert_eq!(code(&StatusView { mining: mining(10), ..status(21) }).unwrap_err(), "too_difficult");
        assert_eq!(code(&StatusView { ready: false, ..status(1) }).unwrap_err(), "not_ready");
        let sync = SyncView {
            target_height: Height(9),
            current_height: Height(1),
            waiting_for: "headers".to_owned(),
        };
        assert_eq!(code(&StatusView { syncing: Some(sync), ..status(1) }).unwrap_err(), "syncing");
        let alone = StatusView { mining: mining(10), configured_peers: 3, ..status(1) };
        assert!(loneliness(&alone).unwrap().contains("3 peers"));
        for fine in [
            StatusView { peers: 1, ..alone.clone() },
            StatusView { configured_peers: 0, ..alone.clone() },
            StatusView { mining: None, ..alone.clone() },
        ] {
            assert_eq!(loneliness(&fine), None);
        }
        let slow = examine(&StatusView { mining: mining(10_000), ..status(60) }, 1000, 2).unwrap_err();
        assert!(slow.to_string().contains("a block in 100 s"), "{slow}");
    }
}
