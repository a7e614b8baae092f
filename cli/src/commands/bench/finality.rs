//! `synod bench finality`: one transfer at a time, from a client's submission to the certificate of its block, on real
//! processes; with syncs, without them, and beside the disk's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use synod_ledger::log::bench::Percentiles;
use synod_node::rpc::types::StatusView;
use synod_testnet::accounts::dev_key;
use synod_types::U256;
use synod_types::address::address_of;
use synod_types::genesis::Ordering;

use super::load::connection::Connection;
use super::load::follower::Follower;
use super::load::network::{Network, go_on};
use super::ordering::committees;
use super::transfers::Terms;
use super::{DiskSync, Figures, Micros, Scratch};
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it is final; when it was told is noted at once.
const PAUSE: Duration = Duration::from_micros(200);

/// A lone transfer: how soon it is final, from submission over RPC to certificate
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod bench finality\n  synod bench finality --protocol paxos --transfers 1000 --json"
)]
pub(crate) struct Finality {
    /// Which ordering
    #[arg(long, default_value = "pbft", value_parser = committees())]
    protocol: Ordering,
    /// How many members [default: as many as one fault needs, 4 under pbft, 3 under paxos and zab]
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=16))]
    nodes: Option<u8>,
    /// How many transfers, one after the other, each through the next node
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    transfers: u32,
    /// Where the network's files go; a temporary folder otherwise
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct FinalityResult {
    ordering: &'static str,
    nodes: usize,
    transfers: u32,
    disk: DiskSync,
    synced: Measured,
    unsynced: Measured,
}

/// One network, with syncs or without.
#[derive(Serialize)]
struct Measured {
    /// From the start of the processes until all nodes were ready, milliseconds.
    ready_ms: u128,
    /// The first transfer, which finds nothing warm, microseconds.
    first_us: u128,
    /// Those after it, microseconds.
    final_us: Micros,
}

impl Measured {
    fn line(&self, name: &str) -> String {
        let ms = |us: u128| format!("{}.{:02}", us / 1000, us % 1000 / 10);
        format!(
            "{name:<11} p50 {} ms, p95 {} ms, p99 {} ms, longest {} ms; ready after {} ms, the first {} ms later",
            ms(self.final_us.p50),
            ms(self.final_us.p95),
            ms(self.final_us.p99),
            ms(self.final_us.max),
            self.ready_ms,
            ms(self.first_us),
        )
    }
}

impl Finality {
    /// Measures.
    ///
    /// # Errors
    /// The network does not start, or a node answers what it should not.
    pub(super) fn measure(self, progress: &Progress) -> Outcome<Figures> {
        let scratch = Scratch::new(self.folder.clone())?;
        let disk = DiskSync::measure(&scratch)?;
        let (nodes, synced) = self.measure_one(&scratch, true, progress)?;
        let (_, unsynced) = self.measure_one(&scratch, false, progress)?;
        let (ordering, transfers) = (self.protocol.name(), self.transfers);
        let result = FinalityResult { ordering, nodes, transfers, disk, synced, unsynced };
        let text = format!(
            "a lone transfer is final under {ordering}, {nodes} nodes, {transfers} one after the other:\n{}\n{}\n{}",
            result.synced.line("synced"),
            result.unsynced.line("not synced"),
            result.disk,
        );
        Ok(Figures::new(&result, text))
    }

    fn measure_one(&self, scratch: &Scratch, sync: bool, progress: &Progress) -> Outcome<(usize, Measured)> {
        let name = if sync { "synced" } else { "unsynced" };
        progress.say(format!("the members start, {name}"));
        let folder = scratch.path.join(name);
        let begun = Instant::now();
        let network = Network::start(&folder, self.protocol, self.nodes.map(usize::from), sync)?;
        let ready_ms = begun.elapsed().as_millis();
        let mut members = network.nodes.iter().map(Member::new).collect::<Outcome<Vec<_>>>()?;
        let status: StatusView = members[0].connection.call("synod_status", json!([]))?;
        let terms = Terms::of(&status, &mut members[0].connection)?;
        let (from, to) = (dev_key(0), address_of(&dev_key(1).public()));
        let mut times = Vec::with_capacity(self.transfers as usize);
        for number in 0..=self.transfers {
            go_on()?;
            progress.say(format!("{name}: transfer {number} of {}", self.transfers));
            let (_, transfer) = terms.transfer(&from, u64::from(number), to, U256::from(1));
            let member = number as usize % network.nodes.len();
            let time = members[member].finality_of(&transfer.to_bytes())?;
            times.push(time);
            for other in &members {
                // What the last one still does elsewhere is not the next one's.
                other.wait_above(u64::from(number))?;
            }
        }
        let first_us = times.remove(0).as_micros();
        Ok((network.nodes.len(), Measured { ready_ms, first_us, final_us: Percentiles::of(times).into() }))
    }
}

/// A node, and what it tells.
struct Member {
    connection: Connection,
    follower: Follower,
}

impl Member {
    fn new(url: &crate::client::http::Url) -> Outcome<Self> {
        Ok(Self { connection: Connection::open(url)?, follower: Follower::start(url)? })
    }

    /// From submission to when the node tells that the block is certified. Nothing else is under way.
    fn finality_of(&mut self, transfer: &[u8]) -> Outcome<Duration> {
        let before = self.height();
        let hex = alloy_primitives::hex::encode_prefixed(transfer);
        let begun = Instant::now();
        let _: Value = self.connection.call("synod_submit", json!([hex]))?;
        let at = self.wait_above(before)?;
        Ok(at.saturating_duration_since(begun))
    }

    fn height(&self) -> u64 {
        self.follower.newest().map_or(0, |settled| settled.height)
    }

    /// When it told of a certified block above this height.
    fn wait_above(&self, height: u64) -> Outcome<Instant> {
        let begun = Instant::now();
        loop {
            let settled = self.follower.newest().filter(|settled| settled.height > height);
            if let Some(settled) = settled {
                return Ok(settled.at);
            }
            if begun.elapsed() > PATIENCE {
                let message = format!("a transfer is not final after {PATIENCE:?}");
                return Err(Failure::failed("bench", message));
            }
            std::thread::sleep(PAUSE);
        }
    }
}
