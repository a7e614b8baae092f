//! `synod testnet soak`: kill -9 under load, again and again, and look for what a node forgot.
//!
//! Each round loads the network, kills one node or all of them at a random moment, starts them again, and
//! waits until they agree. Judged: every node comes back by itself; no transfer that was six deep is
//! denied afterwards by any node (A5, in a run without partitions); all nodes have the same block and state
//! root at a common height below their tips (A12).
//!
//! Progress is kept in the network's folder after every round, so that an interrupted soak goes on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use synod_node::rpc::types::BlockReference;
use synod_types::Height;

use crate::client::Client;
use crate::error::TestnetError;
use crate::folder::{Endpoint, file_error, read_endpoints};
use crate::load::{ACKNOWLEDGED_DEPTH, Load};
use crate::network::Testnet;

/// What to do.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// Kills in all.
    pub kills: u32,
    /// Decides who is killed when.
    pub seed: u64,
    /// Funded accounts that pay.
    pub payers: u8,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SoakReport {
    /// The seed.
    pub seed: u64,
    /// Kills so far.
    pub kills: u32,
    /// Of these, kills of all nodes at once.
    pub kills_of_all: u32,
    /// Transfers submitted.
    pub submitted: u64,
    /// Transfers that were six deep when they were looked at.
    pub acknowledged: u64,
    /// The slowest return of a killed node, in milliseconds.
    pub slowest_return_ms: u64,
    /// The highest block.
    pub height: u64,
    /// What went wrong, one sentence each.
    pub violations: Vec<String>,
}

/// How long nodes may take to agree after a kill.
const AGREEMENT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// Runs or continues a soak on a network that is up. `progress` hears of every round.
///
/// # Errors
/// The network cannot be asked or started; violations are in the report.
pub async fn soak(
    testnet: &Testnet,
    options: &SoakOptions,
    mut progress: impl FnMut(&SoakReport),
) -> Result<SoakReport, TestnetError> {
    let state = testnet.root().join("soak.json");
    let mut report = resume(&state, options);
    let nodes = read_endpoints(testnet.root())?.nodes;
    let clients =
        nodes.iter().map(|node| Client::new(&node.name, &node.rpc)).collect::<Result<Vec<_>, _>>()?;
    let mut load = Load::new(&clients[0], options.payers).await?;
    let mut dice = Dice(options.seed ^ u64::from(report.kills).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    while report.kills < options.kills && report.violations.is_empty() {
        round(testnet, &nodes, &clients, &mut load, &mut dice, &mut report).await?;
        report.submitted = load.submitted();
        report.acknowledged = load.acknowledged().len() as u64;
        save(&state, &report)?;
        progress(&report);
    }
    if report.violations.is_empty() {
        settle(&clients, &mut load, &mut report).await?;
    }
    // A finished soak starts afresh the next time.
    let _ = std::fs::remove_file(&state);
    Ok(report)
}

async fn round(
    testnet: &Testnet,
    nodes: &[Endpoint],
    clients: &[Client],
    load: &mut Load,
    dice: &mut Dice,
    report: &mut SoakReport,
) -> Result<(), TestnetError> {
    let all = dice.below(4) == 0;
    let victim = dice.below(nodes.len() as u64) as usize;
    let victims: Vec<&Endpoint> = if all { nodes.iter().collect() } else { vec![&nodes[victim]] };
    // The load goes to a node that may be the one that dies.
    let busy = &clients[dice.below(clients.len() as u64) as usize];
    let moment = Duration::from_millis(200 + dice.below(1_800));
    let begun = Instant::now();
    // Killed at a random moment, but not before something new could be forgotten.
    while begun.elapsed() < moment || !has_grown(busy, report.height).await {
        load.submit(busy).await;
        load.observe(busy).await;
        if begun.elapsed() > AGREEMENT {
            report.violations.push(format!("no new block within {AGREEMENT:?} under load"));
            return Ok(());
        }
    }
    for node in &victims {
        testnet.stop(&node.name, true)?;
    }
    report.kills += victims.len() as u32;
    report.kills_of_all += u32::from(all);
    for node in &victims {
        let back = Instant::now();
        match testnet.start(&node.name) {
            Ok(_) => {
                let took = u64::try_from(back.elapsed().as_millis()).unwrap_or(u64::MAX);
                report.slowest_return_ms = report.slowest_return_ms.max(took);
            }
            Err(error) => report.violations.push(format!("{} did not come back: {error}", node.name)),
        }
    }
    if report.violations.is_empty() {
        agree(clients, report).await?;
        judge(clients, load, report).await?;
    }
    Ok(())
}

async fn has_grown(client: &Client, height: u64) -> bool {
    client.status().await.is_ok_and(|status| status.head.height.0 > height)
}

/// Waits until what waits is six deep, and judges once more: a soak that acknowledged nothing judged nothing.
async fn settle(clients: &[Client], load: &mut Load, report: &mut SoakReport) -> Result<(), TestnetError> {
    let begun = Instant::now();
    while load.waiting() > 0 && begun.elapsed() < AGREEMENT {
        load.observe(&clients[0]).await;
        tokio::time::sleep(POLL).await;
    }
    report.acknowledged = load.acknowledged().len() as u64;
    if report.acknowledged == 0 {
        report.violations.push(format!("no transfer was six deep within {AGREEMENT:?}"));
    }
    judge(clients, load, report).await
}

/// Waits until all nodes have one block six below the lowest tip, and the chain has grown past the kill.
async fn agree(clients: &[Client], report: &mut SoakReport) -> Result<(), TestnetError> {
    let begun = Instant::now();
    let wanted = report.height + 1;
    loop {
        let mut heights = Vec::new();
        for client in clients {
            heights.push(client.status().await?.head.height.0);
        }
        let lowest = heights.iter().copied().min().unwrap_or(0);
        let highest = heights.iter().copied().max().unwrap_or(0);
        if lowest >= wanted && highest - lowest <= ACKNOWLEDGED_DEPTH {
            let common = lowest.saturating_sub(ACKNOWLEDGED_DEPTH);
            if one_block_at(clients, common).await? {
                report.height = highest;
                return Ok(());
            }
        }
        if begun.elapsed() > AGREEMENT {
            report
                .violations
                .push(format!("the nodes did not agree within {AGREEMENT:?}: heights {heights:?}"));
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether all nodes have the same block, and so the same state root, at `height`.
async fn one_block_at(clients: &[Client], height: u64) -> Result<bool, TestnetError> {
    let mut seen = Vec::new();
    for client in clients {
        let block = client.block(BlockReference::Height(Height(height))).await?;
        seen.push((block.hash, block.commitment.state_root));
    }
    Ok(seen.windows(2).all(|pair| pair[0] == pair[1]))
}

async fn judge(clients: &[Client], load: &mut Load, report: &mut SoakReport) -> Result<(), TestnetError> {
    load.observe(&clients[0]).await;
    for client in clients {
        for id in load.denied(client).await? {
            report.violations.push(format!("{} denies {id}, which was six deep", client.name()));
        }
    }
    Ok(())
}

fn resume(state: &Path, options: &SoakOptions) -> SoakReport {
    let fresh = SoakReport { seed: options.seed, ..SoakReport::default() };
    let Ok(text) = std::fs::read_to_string(state) else { return fresh };
    serde_json::from_str(&text)
        .ok()
        .filter(|report: &SoakReport| report.seed == options.seed)
        .unwrap_or(fresh)
}

fn save(state: &PathBuf, report: &SoakReport) -> Result<(), TestnetError> {
    let text = serde_json::to_string_pretty(report).expect("reports serialize");
    std::fs::write(state, text).map_err(|source| file_error(state, source))
}

/// A small generator (splitmix64): the soak's choices repeat with its seed, though not its timing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}
