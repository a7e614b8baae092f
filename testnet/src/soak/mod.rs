//! `synod testnet soak`: kill -9 under load, again and again, and look for what a node forgot.
//!
//! What is done depends on who orders: [`mined`] chains settle by depth, a [`committee`] by certificates, and
//! has a primary. In both every node must come back by itself, nothing acknowledged may be denied afterwards
//! (A5, in a run without partitions), and all nodes must have the same block and state root (A12).
//!
//! Progress is kept in the network's folder after every round, so that an interrupted soak goes on.

mod committee;
mod linear;
mod mined;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use synod_node::rpc::types::BlockReference;
use synod_types::Height;

pub use self::committee::CommitteeReport;
use crate::client::Client;
use crate::error::TestnetError;
use crate::folder::{file_error, read_endpoints};
use crate::load::{Acknowledged, Load};
use crate::network::Testnet;

/// What to do.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// Kills in all; under a committee, of the primary.
    pub kills: u32,
    /// Decides who is killed when.
    pub seed: u64,
    /// Funded accounts that pay.
    pub payers: u8,
    /// Under a committee: for how long one member stands still.
    pub pause: Duration,
    /// Under a committee: for how long so many members are away that nothing can be decided.
    pub outage: Duration,
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
    /// Transfers that were settled, or under proof of work six deep, when they were looked at.
    pub acknowledged: u64,
    /// The slowest return of a killed node, in milliseconds.
    pub slowest_return_ms: u64,
    /// The highest block.
    pub height: u64,
    /// What only a committee's soak looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committee: Option<CommitteeReport>,
    /// What went wrong, one sentence each.
    pub violations: Vec<String>,
}

/// How long nodes may take to agree after a kill.
const AGREEMENT: Duration = Duration::from_secs(120);
/// So many acknowledged transfers are asked for after each round.
const LATELY: usize = 500;
const POLL: Duration = Duration::from_millis(100);

/// Runs or continues a soak on a network that is up. `progress` hears of every round.
///
/// # Errors
/// The network cannot be asked or started; violations are in the report.
pub async fn soak(
    testnet: &Testnet,
    options: &SoakOptions,
    progress: impl FnMut(&SoakReport),
) -> Result<SoakReport, TestnetError> {
    let state = testnet.root().join("soak.json");
    let mut report = resume(&state, options);
    let nodes = read_endpoints(testnet.root())?.nodes;
    let clients =
        nodes.iter().map(|node| Client::new(&node.name, &node.rpc)).collect::<Result<Vec<_>, _>>()?;
    let has_committee = clients[0].status().await?.ordering != "pow";
    let rule = if has_committee { Acknowledged::Settled } else { Acknowledged::Deep };
    let mut soak = Soak {
        testnet,
        nodes,
        load: Load::new(&clients[0], options.payers, rule).await?,
        clients,
        dice: Dice(options.seed ^ u64::from(report.kills).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        state: state.clone(),
        progress,
    };
    if has_committee {
        soak.committee(options, &mut report).await?;
    } else {
        soak.mined(options, &mut report).await?;
    }
    // A finished soak starts afresh the next time.
    let _ = std::fs::remove_file(&state);
    Ok(report)
}

/// A soak at work.
struct Soak<'a, F> {
    testnet: &'a Testnet,
    nodes: Vec<crate::folder::Endpoint>,
    clients: Vec<Client>,
    load: Load,
    dice: Dice,
    state: PathBuf,
    progress: F,
}

impl<F: FnMut(&SoakReport)> Soak<'_, F> {
    /// Notes a round's end.
    fn note(&mut self, report: &mut SoakReport) -> Result<(), TestnetError> {
        self.count(report);
        save(&self.state, report)?;
        (self.progress)(report);
        Ok(())
    }

    fn count(&self, report: &mut SoakReport) {
        report.submitted = self.load.submitted();
        report.acknowledged = self.load.acknowledged().len() as u64;
    }

    /// Waits until what waits is acknowledged, and judges once more: a soak that acknowledged nothing judged
    /// nothing.
    async fn settle(&mut self, report: &mut SoakReport) -> Result<(), TestnetError> {
        let begun = std::time::Instant::now();
        self.load.offer_again(&self.clients[0]).await;
        while self.load.waiting() > 0 && begun.elapsed() < AGREEMENT {
            self.load.observe(&self.clients[0]).await;
            tokio::time::sleep(POLL).await;
        }
        self.count(report);
        if self.load.waiting() > 0 && self.load.rule() == Acknowledged::Settled {
            let waiting = self.load.waiting();
            report.violations.push(format!("{waiting} transfers were not acknowledged within {AGREEMENT:?}"));
        }
        if report.acknowledged == 0 {
            report.violations.push(format!("no transfer was acknowledged within {AGREEMENT:?}"));
        }
        self.judge_newest(usize::MAX, report).await
    }

    /// After a round: no node denies what was acknowledged lately. All of it is asked for at the end, since asking
    /// after each round would take longer each time.
    async fn judge(&mut self, report: &mut SoakReport) -> Result<(), TestnetError> {
        self.judge_newest(LATELY, report).await
    }

    async fn judge_newest(&mut self, count: usize, report: &mut SoakReport) -> Result<(), TestnetError> {
        self.load.observe(&self.clients[0]).await;
        for client in &self.clients {
            if !self.has_what_is_acknowledged(client, report).await? {
                continue;
            }
            for id in self.load.denied(client, count).await? {
                report.violations.push(format!("{} denies {id}, which was acknowledged", client.name()));
            }
        }
        Ok(())
    }

    /// Waits until a node has the highest block in which something was acknowledged: a node to which that block is
    /// still on its way denies nothing, one that never gets it is a violation of its own.
    async fn has_what_is_acknowledged(
        &self,
        client: &Client,
        report: &mut SoakReport,
    ) -> Result<bool, TestnetError> {
        let highest = self.load.told().last().map_or(0, |&(_, height)| height);
        let begun = std::time::Instant::now();
        loop {
            let status = client.status().await?;
            let has = match self.load.rule() {
                Acknowledged::Settled => status.settled_height,
                Acknowledged::Deep => status.head.height,
            };
            if has.0 >= highest {
                return Ok(true);
            }
            if begun.elapsed() > AGREEMENT {
                let name = client.name();
                report
                    .violations
                    .push(format!("{name} is at {} {AGREEMENT:?} after {highest} was final", has.0));
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts a node that was killed or stopped, and notes how long it took.
    fn bring_back(&self, node: &str, report: &mut SoakReport) {
        let back = std::time::Instant::now();
        match self.testnet.start(node) {
            Ok(_) => report.slowest_return_ms = report.slowest_return_ms.max(milliseconds(back.elapsed())),
            Err(error) => report.violations.push(format!("{node} did not come back: {error}")),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
