//! A mined chain's soak. Each round loads the network, kills one node or all of them at a random moment, starts
//! them again, and waits until they agree six blocks below their tips.

use std::time::{Duration, Instant};

use super::{AGREEMENT, POLL, Soak, SoakOptions, SoakReport, one_block_at};
use crate::client::Client;
use crate::error::TestnetError;
use crate::load::ACKNOWLEDGED_DEPTH;

impl<F: FnMut(&SoakReport)> Soak<'_, F> {
    /// Kills and judges until all kills are done.
    pub(super) async fn mined(
        &mut self,
        options: &SoakOptions,
        report: &mut SoakReport,
    ) -> Result<(), TestnetError> {
        while report.kills < options.kills && report.violations.is_empty() {
            self.round(report).await?;
            self.note(report)?;
        }
        if report.violations.is_empty() {
            self.settle(report).await?;
        }
        Ok(())
    }

    async fn round(&mut self, report: &mut SoakReport) -> Result<(), TestnetError> {
        let all = self.dice.below(4) == 0;
        let victim = self.dice.below(self.nodes.len() as u64) as usize;
        let names = self.nodes.iter().map(|node| node.name.clone());
        let victims: Vec<String> = if all { names.collect() } else { vec![self.nodes[victim].name.clone()] };
        // The load goes to a node that may be the one that dies.
        let busy = self.clients[self.dice.below(self.clients.len() as u64) as usize].clone();
        let moment = Duration::from_millis(200 + self.dice.below(1_800));
        let begun = Instant::now();
        // Killed at a random moment, but not before something new could be forgotten.
        while begun.elapsed() < moment || !has_grown(&busy, report.height).await {
            self.load.submit(&busy).await;
            self.load.observe(&busy).await;
            if begun.elapsed() > AGREEMENT {
                report.violations.push(format!("no new block within {AGREEMENT:?} under load"));
                return Ok(());
            }
        }
        for node in &victims {
            self.testnet.stop(node, true)?;
        }
        report.kills += victims.len() as u32;
        report.kills_of_all += u32::from(all);
        for node in &victims {
            self.bring_back(node, report);
        }
        if report.violations.is_empty() {
            agree(&self.clients, report).await?;
            self.judge(report).await?;
        }
        Ok(())
    }
}

async fn has_grown(client: &Client, height: u64) -> bool {
    client.status().await.is_ok_and(|status| status.head.height.0 > height)
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
