//! One rate for a while: what was offered, what the chain has of it, and how long it took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use synod_ledger::log::bench::Percentiles;
use synod_types::TransactionId;

use super::super::Micros;
use super::connection::Connection;
use super::follower::Follower;
use super::lane::{self, Item, Sent};
use super::network::{Network, go_on};
use crate::failure::{Failure, Outcome};

/// After the last thing is sent, and after the last block that brought something, so long is waited for the rest.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two calls that only look how long calls take.
const BETWEEN_PROBES: Duration = Duration::from_millis(20);

/// What to do.
pub(crate) struct Step<'a> {
    /// Where.
    pub(crate) network: &'a Network,
    /// The method that takes a thing.
    pub(crate) method: &'static str,
    /// Things a second.
    pub(crate) rate: u32,
    /// Sent, and not counted.
    pub(crate) warm_up: Duration,
    /// The time that is measured.
    pub(crate) steady: Duration,
    /// What each connection submits; the connections of node i are those whose number divided by the number of nodes
    /// leaves i.
    pub(crate) lanes: Vec<Vec<Item>>,
    /// The ids, by number.
    pub(crate) ids: Vec<TransactionId>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct StepResult {
    /// Meant to be sent, a second.
    pub(crate) offered_per_second: u32,
    /// Final in the measured time, a second.
    pub(crate) committed_per_second: f64,
    /// Meant to be sent in all, warm-up included.
    pub(crate) sent: u32,
    /// Found in the chain's blocks afterwards.
    pub(crate) counted: u32,
    /// Of these, found more than once.
    pub(crate) twice: u32,
    /// Taken by a node and not found.
    pub(crate) lost: u32,
    /// Taken by no node before the bench gave up: the network was too slow for what was offered.
    pub(crate) untaken: u32,
    /// Submissions that a node put off, each made again.
    pub(crate) put_off: u32,
    /// Blocks that hold them.
    pub(crate) blocks: u64,
    /// Microseconds from the time at which each was meant to be sent to its block's being final where it was sent.
    pub(crate) final_after: Micros,
    /// Microseconds of a submission's call, up to 100 in one.
    pub(crate) submit_call: Micros,
    /// Microseconds of other calls meanwhile: an account's state.
    pub(crate) rpc: Micros,
    /// Processors that each node kept busy in the measured time.
    pub(crate) cpu: Vec<Cpu>,
    /// Processors that this program kept busy.
    pub(crate) load_cpu: f64,
}

/// A node's share.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    /// Which.
    pub(crate) node: String,
    /// Processors.
    pub(crate) processors: f64,
}

impl StepResult {
    /// Whether the network kept up with what was offered.
    pub(crate) fn kept_up(&self) -> bool {
        self.committed_per_second >= 0.97 * f64::from(self.offered_per_second)
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let ms = |micros: u128| micros as f64 / 1e3;
        let nodes: f64 = self.cpu.iter().map(|one| one.processors).sum();
        let each: Vec<String> = self.cpu.iter().map(|one| format!("{:.2}", one.processors)).collect();
        let cpu = if each.is_empty() {
            format!("load {:.2}", self.load_cpu)
        } else {
            format!("nodes {nodes:.2} ({}), load {:.2}", each.join(" "), self.load_cpu)
        };
        let untaken = match self.untaken {
            0 => String::new(),
            untaken => format!(", {untaken} taken by no node in time"),
        };
        format!(
            "{:>7}/s offered: {:>8.0}/s final, p50 {:.1} ms, p99 {:.1} ms; {} of {} counted in {} blocks, {} twice, {} lost{untaken}\n                   submit p99 {:.1} ms, other calls p50 {:.2} ms, p99 {:.1} ms; processors: {cpu}",
            self.offered_per_second,
            self.committed_per_second,
            ms(self.final_after.p50),
            ms(self.final_after.p99),
            self.counted,
            self.sent,
            self.blocks,
            self.twice,
            self.lost,
            ms(self.submit_call.p99),
            ms(self.rpc.p50),
            ms(self.rpc.p99),
        )
    }
}

/// Which block holds each thing.
struct Counted {
    /// Heights by number; 0 for what was not found.
    heights: Vec<u64>,
    twice: u32,
    blocks: u64,
}

impl Step<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// A node does not answer, or refuses something for good.
    pub(crate) fn run(self) -> Outcome<StepResult> {
        let nodes = &self.network.nodes;
        let followers = nodes.iter().map(Follower::start).collect::<Outcome<Vec<_>>>()?;
        let mut reader = Connection::open(&nodes[0])?;
        let first = tip(&mut reader)? + 1;
        let begun = Instant::now() + Duration::from_millis(50);
        let (from, to) = (begun + self.warm_up, begun + self.warm_up + self.steady);
        let give_up = to + PATIENCE;

        let (sent, probes, cpu, load_cpu) = std::thread::scope(|scope| {
            let sending: Vec<_> = self
                .lanes
                .iter()
                .enumerate()
                .map(|(number, items)| {
                    let (url, method) = (&nodes[number % nodes.len()], self.method);
                    scope.spawn(move || -> Outcome<Sent> {
                        lane::submit(&mut Connection::open(url)?, method, items, begun, give_up)
                    })
                })
                .collect();
            let probing = scope.spawn(|| probe(&mut Connection::open(&nodes[0])?, from, to));
            sleep_until(from)?;
            let (nodes_before, load_before) = (self.network.cpu(), own_cpu());
            sleep_until(to)?;
            let (nodes_after, load_after) = (self.network.cpu(), own_cpu());
            let share = |before: Duration, after: Duration| {
                after.saturating_sub(before).as_secs_f64() / self.steady.as_secs_f64()
            };
            let cpu: Vec<Cpu> = nodes_before
                .into_iter()
                .zip(nodes_after)
                .map(|((node, before), (_, after))| Cpu { node, processors: share(before, after) })
                .collect();
            let load_cpu = share(load_before, load_after);
            let sent = sending.into_iter().map(|lane| lane.join().expect("a lane does not panic"));
            let sent = sent.collect::<Outcome<Vec<_>>>()?;
            let probes = probing.join().expect("a probe does not panic")?;
            Ok::<_, Failure>((sent, probes, cpu, load_cpu))
        })?;

        let taken: u32 = sent.iter().map(|lane| lane.taken).sum();
        let counted = self.count(&mut reader, &followers[0], first, taken)?;
        self.agree(&counted)?;
        let told: Vec<HashMap<u64, Instant>> = followers
            .iter()
            .map(|follower| follower.settled().into_iter().map(|one| (one.height, one.at)).collect())
            .collect();
        let (mut times, mut steady) = (Vec::with_capacity(self.ids.len()), 0_u32);
        for (number, lane) in self.lanes.iter().enumerate() {
            let told = &told[number % nodes.len()];
            for item in lane {
                let Some(at) = told.get(&counted.heights[item.number as usize]) else { continue };
                steady += u32::from((from..to).contains(at));
                if begun + item.due >= from {
                    times.push(at.saturating_duration_since(begun + item.due));
                }
            }
        }
        let found = counted.heights.iter().filter(|height| **height > 0).count() as u32;
        let calls = sent.iter().flat_map(|lane| lane.calls.iter().copied()).collect();
        Ok(StepResult {
            offered_per_second: self.rate,
            committed_per_second: f64::from(steady) / self.steady.as_secs_f64(),
            sent: self.ids.len() as u32,
            counted: found,
            twice: counted.twice,
            lost: taken.saturating_sub(found),
            untaken: self.ids.len() as u32 - taken.max(found),
            put_off: sent.iter().map(|lane| lane.put_off).sum(),
            blocks: counted.blocks,
            final_after: Percentiles::of(times).into(),
            submit_call: Percentiles::of(calls).into(),
            rpc: Percentiles::of(probes).into(),
            cpu,
            load_cpu,
        })
    }

    /// Reads the chain's final blocks from `first` on, until all that was taken is found or nothing more comes.
    fn count(
        &self,
        reader: &mut Connection,
        follower: &Follower,
        first: u64,
        taken: u32,
    ) -> Outcome<Counted> {
        #[derive(serde::Deserialize)]
        struct Block {
            transactions: Vec<TransactionId>,
        }
        let numbers: HashMap<&TransactionId, usize> =
            self.ids.iter().enumerate().map(|(number, id)| (id, number)).collect();
        let mut counted = Counted { heights: vec![0; self.ids.len()], twice: 0, blocks: 0 };
        let (mut next, mut missing, mut news) = (first, taken, Instant::now());
        while missing > 0 && news.elapsed() < PATIENCE {
            go_on()?;
            if follower.newest().is_none_or(|newest| newest.height < next) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let block: Block = reader.call("synod_block", json!([next, false]))?;
            let before = missing;
            for id in &block.transactions {
                let Some(number) = numbers.get(id) else { continue };
                if counted.heights[*number] == 0 {
                    counted.heights[*number] = next;
                    missing = missing.saturating_sub(1);
                } else {
                    counted.twice += 1;
                }
            }
            if missing < before {
                counted.blocks += 1;
                news = Instant::now();
            }
            next += 1;
        }
        Ok(counted)
    }

    /// All nodes must come to hold the last counted block.
    fn agree(&self, counted: &Counted) -> Outcome<()> {
        let last = counted.heights.iter().max().copied().unwrap_or_default();
        let mut hashes = Vec::new();
        for url in &self.network.nodes {
            let (mut connection, begun) = (Connection::open(url)?, Instant::now());
            while tip(&mut connection)? < last {
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::failed("bench", format!("{url} does not come to height {last}")));
                }
                go_on()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            let block: serde_json::Value = connection.call("synod_block", json!([last, false]))?;
            hashes.push(block["hash"].clone());
        }
        if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Failure::failed(
                "bench",
                format!("the nodes hold different blocks at height {last}"),
            ));
        }
        Ok(())
    }
}

fn tip(connection: &mut Connection) -> Outcome<u64> {
    let status: serde_json::Value = connection.call("synod_status", json!([]))?;
    Ok(status["head"]["height"].as_u64().unwrap_or_default())
}

/// How long a small question takes while the load runs.
fn probe(connection: &mut Connection, from: Instant, to: Instant) -> Outcome<Vec<Duration>> {
    sleep_until(from)?;
    let mut times = Vec::new();
    let mut due = from;
    while due < to {
        sleep_until(due)?;
        // From when it was meant, as everything here.
        connection.call::<serde_json::Value>("synod_account", json!([synod_types::Address::ZERO]))?;
        times.push(due.elapsed());
        due += BETWEEN_PROBES;
    }
    Ok(times)
}

pub(crate) fn own_cpu() -> Duration {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    synod_testnet::process::cpu_time(pid).unwrap_or_default()
}

pub(crate) fn sleep_until(at: Instant) -> Outcome<()> {
    loop {
        go_on()?;
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
