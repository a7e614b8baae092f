//! A committee's soak, in five parts: the primary is killed under load again and again; all members are killed
//! at once; one stands still for a while; so many are away that nothing can be decided, and come back; one loses
//! its disk, follows without a vote until the committee has taken it back, and counts from then on. Beside all of it
//! every node is read from, and no read may miss what was final ([`super::linear`]).
//!
//! The gap after the death of a primary is what a client sees: from the kill to the first certified block of a later
//! term at a node that lives, while transfers wait all the time. What the dead one had under way may still be
//! certified meanwhile, and is no end of the gap.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::linear::{Readers, judge};
use super::{AGREEMENT, Soak, SoakOptions, SoakReport, milliseconds, one_block_at};
use crate::accounts;
use crate::client::Client;
use crate::error::TestnetError;
use crate::folder::file_error;
use crate::process::{self, Signal};

/// What a committee's soak found, beside what every soak does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CommitteeReport {
    /// From each kill of a primary to the first certified block of a later term, in milliseconds.
    pub gaps_ms: Vec<u64>,
    /// From the last return after a kill of all to the next certified block, in milliseconds.
    pub after_all_ms: Option<u64>,
    /// How far behind a member was when it went on after its pause, in blocks.
    pub paused_behind: Option<u64>,
    /// From its going on until it had caught up, in milliseconds.
    pub paused_caught_up_ms: Option<u64>,
    /// From the return of those who were away to the next certified block, in milliseconds.
    pub after_outage_ms: Option<u64>,
    /// Linearizable reads that were answered and judged (A3), in this run.
    #[serde(default)]
    pub reads: u64,
    /// Whether the member without its disk followed, voted again once it was taken back, and counted.
    pub disk_regained: Option<bool>,
}

impl CommitteeReport {
    /// The gap that so many of a hundred do not exceed.
    pub fn gap_ms(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.gaps_ms.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(sorted[last * percent.min(100) / 100])
    }
}

/// A round's load before a kill.
const LEAST_LOAD: Duration = Duration::from_millis(100);
/// How often a node is asked while a gap is measured.
const GLANCE: Duration = Duration::from_millis(5);
/// How often more transfers are submitted meanwhile.
const RELOAD: Duration = Duration::from_millis(200);
/// What a member whose disk is lost has lost; its keys and its configuration are somewhere else.
const LOST: [&str; 5] = ["votes", "blocks", "certificates", "index", "follower"];

impl<F: FnMut(&SoakReport)> Soak<'_, F> {
    /// Goes through the parts that are not done.
    pub(super) async fn committee(
        &mut self,
        options: &SoakOptions,
        report: &mut SoakReport,
    ) -> Result<(), TestnetError> {
        let mut found = report.committee.take().unwrap_or_default();
        let readers = Readers::start(&self.clients, self.load.first_payer().0);
        let readers = readers.map_err(|source| file_error(self.testnet.root(), source))?;
        while report.kills < options.kills && report.violations.is_empty() {
            self.kill_primary(report, &mut found).await?;
            self.keep(report, &found)?;
        }
        if found.after_all_ms.is_none() && report.violations.is_empty() {
            self.kill_all(report, &mut found).await?;
            self.keep(report, &found)?;
        }
        if found.paused_behind.is_none() && report.violations.is_empty() {
            self.pause(options.pause, report, &mut found).await?;
            self.keep(report, &found)?;
        }
        if found.after_outage_ms.is_none() && report.violations.is_empty() {
            self.outage(options.outage, report, &mut found).await?;
            self.keep(report, &found)?;
        }
        if found.disk_regained.is_none() && report.violations.is_empty() {
            self.lose_disk(report, &mut found).await?;
            self.keep(report, &found)?;
        }
        if report.violations.is_empty() {
            self.settle(report).await?;
        }
        let reads = readers.finish();
        found.reads = reads.len() as u64;
        report.violations.extend(judge(&reads, self.load.told(), self.load.first_payer().1));
        if reads.is_empty() {
            report.violations.push("no linearizable read was answered".to_owned());
        }
        report.committee = Some(found);
        Ok(())
    }

    fn keep(&mut self, report: &mut SoakReport, found: &CommitteeReport) -> Result<(), TestnetError> {
        report.committee = Some(found.clone());
        self.note(report)
    }

    async fn kill_primary(
        &mut self,
        report: &mut SoakReport,
        found: &mut CommitteeReport,
    ) -> Result<(), TestnetError> {
        let moment = LEAST_LOAD + Duration::from_millis(self.dice.below(400));
        // The load goes to a node that may be the one that dies.
        let busy = self.dice.below(self.clients.len() as u64) as usize;
        let before = settled(&self.clients[busy]).await?;
        if !self.load_until(busy, moment, before, report).await {
            return Ok(());
        }
        let Some((term, primary)) = self.primary().await? else {
            report.violations.push("the primary is no node of this network".to_owned());
            return Ok(());
        };
        let name = self.nodes[primary].name.clone();
        let alive = (primary + 1) % self.nodes.len();
        self.load.submit(&self.clients[alive]).await;
        let killed = Instant::now();
        self.testnet.stop(&name, true)?;
        report.kills += 1;
        let before = settled(&self.clients[alive]).await?;
        let Some(gap) = self.next_block_after(Some(term), alive, before, killed, report).await? else {
            return Ok(());
        };
        found.gaps_ms.push(gap);
        self.bring_back(&name, report);
        self.agree(report).await?;
        self.judge(report).await
    }

    async fn kill_all(
        &mut self,
        report: &mut SoakReport,
        found: &mut CommitteeReport,
    ) -> Result<(), TestnetError> {
        let before = settled(&self.clients[0]).await?;
        if !self.load_until(0, LEAST_LOAD, before, report).await {
            return Ok(());
        }
        self.testnet.down(true)?;
        report.kills += self.nodes.len() as u32;
        report.kills_of_all += 1;
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        for name in &names {
            self.bring_back(name, report);
        }
        let before = settled(&self.clients[0]).await?;
        found.after_all_ms = self.next_block(0, before, Instant::now(), report).await?;
        self.agree(report).await?;
        self.judge(report).await
    }

    /// One member stands still, as a machine does that swaps or moves; the others go on.
    async fn pause(
        &mut self,
        length: Duration,
        report: &mut SoakReport,
        found: &mut CommitteeReport,
    ) -> Result<(), TestnetError> {
        let paused = self.dice.below(self.nodes.len() as u64) as usize;
        let alive = (paused + 1) % self.nodes.len();
        let before = settled(&self.clients[alive]).await?;
        let Some(pid) = process::running_pid(&self.nodes[paused]) else {
            report.violations.push(format!("{} does not run", self.nodes[paused].name));
            return Ok(());
        };
        process::signal(pid, Signal::STOP);
        let went_on = self.load_until(alive, length, before, report).await;
        let height = settled(&self.clients[alive]).await;
        // Whatever was found: a member is never left standing.
        process::signal(pid, Signal::CONT);
        if !went_on {
            return Ok(());
        }
        let height = height?;
        found.paused_behind = Some(height.saturating_sub(before));
        // It has caught up once it has what was certified meanwhile.
        report.height = report.height.max(height);
        let begun = Instant::now();
        self.agree(report).await?;
        found.paused_caught_up_ms = Some(milliseconds(begun.elapsed()));
        self.judge(report).await
    }

    /// More are away than the committee survives: nothing is decided, and nothing lost. They come back.
    async fn outage(
        &mut self,
        length: Duration,
        report: &mut SoakReport,
        found: &mut CommitteeReport,
    ) -> Result<(), TestnetError> {
        let status = self.clients[0].status().await?;
        let fact = |name: &str| status.facts.get(name).and_then(|text| text.parse::<usize>().ok());
        let (members, quorum) = (fact("members").unwrap_or(0), fact("quorum").unwrap_or(0));
        let away: Vec<String> =
            self.nodes.iter().rev().take(members + 1 - quorum).map(|node| node.name.clone()).collect();
        for name in &away {
            self.testnet.stop(name, false)?;
        }
        // What was on its way when they stopped may still come about.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stuck_at = settled(&self.clients[0]).await?;
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.load.submit(&self.clients[0]).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let now = settled(&self.clients[0]).await?;
        if now != stuck_at {
            report.violations.push(format!("{now} is certified without a quorum, and was {stuck_at} before"));
            return Ok(());
        }
        for name in &away {
            self.bring_back(name, report);
        }
        found.after_outage_ms = self.next_block(0, stuck_at, Instant::now(), report).await?;
        self.agree(report).await?;
        self.judge(report).await
    }

    /// The last member loses its disk.
    async fn lose_disk(
        &mut self,
        report: &mut SoakReport,
        found: &mut CommitteeReport,
    ) -> Result<(), TestnetError> {
        let last = self.nodes.len() - 1;
        let node = self.nodes[last].clone();
        self.testnet.stop(&node.name, true)?;
        report.kills += 1;
        for lost in LOST {
            // What was never there is gone as well.
            let _ = std::fs::remove_dir_all(node.folder.join(lost));
        }
        let _ = std::fs::remove_file(node.folder.join("pool.log"));
        self.bring_back(&node.name, report);
        self.agree(report).await?;
        if self.votes(last).await? {
            report.violations.push(format!("{} votes without its memory", node.name));
            return Ok(());
        }
        // Paid for by an account of which the load knows no nonce.
        let from = format!("dev{}", accounts::DEV_ACCOUNTS - 1);
        self.testnet.synod(&["validator", "rejoin", &node.name, "--from", &from, "--json"])?;
        let begun = Instant::now();
        while !self.votes(last).await? {
            if begun.elapsed() > AGREEMENT {
                report.violations.push(format!("{} was taken back and does not vote", node.name));
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
        // It counts: another one may be missing now.
        self.testnet.stop(&self.nodes[0].name, false)?;
        let before = settled(&self.clients[last]).await?;
        let gap = self.next_block(last, before, Instant::now(), report).await?;
        let first = self.nodes[0].name.clone();
        self.bring_back(&first, report);
        self.agree(report).await?;
        found.disk_regained = Some(gap.is_some());
        self.judge(report).await
    }

    /// Loads the network through a node for so long, and until a block above `before` is certified.
    async fn load_until(
        &mut self,
        node: usize,
        length: Duration,
        before: u64,
        report: &mut SoakReport,
    ) -> bool {
        let begun = Instant::now();
        let client = self.clients[node].clone();
        loop {
            self.load.submit(&client).await;
            self.load.observe(&client).await;
            let has_grown = settled(&client).await.is_ok_and(|height| height > before);
            if begun.elapsed() >= length && has_grown {
                return true;
            }
            if begun.elapsed() > length + AGREEMENT {
                report.violations.push(format!("no certified block within {AGREEMENT:?} under load"));
                return false;
            }
        }
    }

    /// Milliseconds since `begun` until a node shows a certified block above `before`; transfers wait meanwhile.
    async fn next_block(
        &mut self,
        node: usize,
        before: u64,
        begun: Instant,
        report: &mut SoakReport,
    ) -> Result<Option<u64>, TestnetError> {
        self.next_block_after(None, node, before, begun, report).await
    }

    /// As [`Self::next_block`]; if a `term` is given, then of a later one.
    async fn next_block_after(
        &mut self,
        term: Option<u64>,
        node: usize,
        mut before: u64,
        begun: Instant,
        report: &mut SoakReport,
    ) -> Result<Option<u64>, TestnetError> {
        let client = self.clients[node].clone();
        let mut loaded: Option<Instant> = None;
        loop {
            let status = client.status().await?;
            let now = status.settled_height.0;
            if term.is_some_and(|old| leads(&status.facts).is_none_or(|(term, _)| term <= old)) {
                before = before.max(now);
            }
            if now > before {
                report.height = report.height.max(now);
                return Ok(Some(milliseconds(begun.elapsed())));
            }
            if begun.elapsed() > AGREEMENT {
                report
                    .violations
                    .push(format!("no certified block within {AGREEMENT:?} at {}", client.name()));
                return Ok(None);
            }
            if loaded.is_none_or(|at| at.elapsed() > RELOAD) {
                // What is acknowledged makes room for what can wait.
                self.load.observe(&client).await;
                self.load.submit(&client).await;
                loaded = Some(Instant::now());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The newest term, and the node that leads it.
    async fn primary(&self) -> Result<Option<(u64, usize)>, TestnetError> {
        let mut newest = None;
        for client in &self.clients {
            newest = newest.max(leads(&client.status().await?.facts));
        }
        let Some((term, primary)) = newest else { return Ok(None) };
        let members = self.clients[0].validators().await?.members;
        let name = members.into_iter().find(|member| u64::from(member.index) == primary).map(|one| one.name);
        Ok(self.nodes.iter().position(|node| Some(&node.name) == name.as_ref()).map(|node| (term, node)))
    }

    async fn votes(&self, node: usize) -> Result<bool, TestnetError> {
        let status = self.clients[node].status().await?;
        Ok(status.facts.get("votes").is_some_and(|votes| votes == "true"))
    }

    /// Waits until all nodes have one certified block above the highest one seen so far.
    async fn agree(&mut self, report: &mut SoakReport) -> Result<(), TestnetError> {
        let begun = Instant::now();
        loop {
            let mut heights = Vec::new();
            for client in &self.clients {
                heights.push(settled(client).await?);
            }
            let lowest = heights.iter().copied().min().unwrap_or(0);
            if lowest >= report.height && one_block_at(&self.clients, lowest).await? {
                report.height = lowest;
                return Ok(());
            }
            if begun.elapsed() > AGREEMENT {
                let problem = format!("the nodes did not agree within {AGREEMENT:?}: certified {heights:?}");
                report.violations.push(problem);
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// The term (a view, a ballot's round or an epoch of Zab) in which a node is, and the member that leads it.
fn leads(facts: &BTreeMap<String, String>) -> Option<(u64, u64)> {
    // A ballot is its round and its leader.
    let number = |name: &str| facts.get(name)?.split('.').next()?.parse::<u64>().ok();
    let terms = [("view", "primary"), ("ballot", "leader"), ("zab_epoch", "leader")];
    terms.into_iter().find_map(|(term, leader)| number(term).zip(number(leader)))
}

async fn settled(client: &Client) -> Result<u64, TestnetError> {
    Ok(client.status().await?.settled_height.0)
}
