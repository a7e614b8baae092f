//! etcd and ZooKeeper under the same numbers in flight, in the same run: payloads of the same length, written to
//! whoever is named first, each acknowledged when a majority has it on disk.
//!
//! Each payload is a request of its own there, many on their way on each connection, as their own clients send them;
//! Synod takes the payloads of one connection in one call. What they decide, they also apply to a map in memory;
//! Synod's opaque members append to a log. Neither difference is taken out of the figures.

mod etcd;
mod zookeeper;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_ledger::log::bench::Percentiles;

use super::{LANES, OrderingResult, PAYLOAD, Window, chart};
use crate::commands::bench::Micros;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// No answer takes longer, or the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who stands beside Synod's orderings.
#[derive(Debug, Args)]
pub(super) struct Beside {
    /// Also put the same load on this etcd cluster: its members' client addresses, the leader's first
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', requires = "all")]
    etcd: Vec<SocketAddr>,
    /// Also put the same load on this ZooKeeper ensemble: its servers' client addresses, the leader's first
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', requires = "all")]
    zookeeper: Vec<SocketAddr>,
}

/// What one of them did.
#[derive(Serialize)]
pub(super) struct BesideResult {
    name: &'static str,
    members: usize,
    steps: Vec<BesideStep>,
}

#[derive(Serialize)]
struct BesideStep {
    in_flight: u32,
    committed_per_second: f64,
    /// Microseconds from the sending to the acknowledgement.
    final_after: Micros,
}

/// What one connection did.
#[derive(Default)]
struct Written {
    times: Vec<Duration>,
    /// Acknowledged in the measured time.
    steady: u64,
}

impl Written {
    fn answered(&mut self, sent: Instant, window: Window) {
        let now = Instant::now();
        self.steady += u64::from((window.from..window.to).contains(&now));
        if sent >= window.from {
            self.times.push(now - sent);
        }
    }
}

/// Keeps so many in flight over these connections, one for each number, until the window is over.
type Drive = fn(SocketAddr, &[u32], Window) -> Outcome<Vec<Written>>;

impl Beside {
    /// Measures those that were named.
    pub(super) fn measure(
        &self,
        in_flight: &[u32],
        seconds: u32,
        progress: &Progress,
    ) -> Outcome<Vec<BesideResult>> {
        let all: [(_, &[SocketAddr], Drive); 2] = [
            ("etcd", &self.etcd, etcd::drive as Drive),
            ("zookeeper", &self.zookeeper, zookeeper::drive as Drive),
        ];
        let mut results = Vec::new();
        for (name, addresses, drive) in all {
            let Some(first) = addresses.first() else { continue };
            let mut steps = Vec::new();
            for number in in_flight {
                progress.say(format!("{name}: {number} payloads in flight"));
                steps.push(step(*first, *number, seconds, drive)?);
            }
            results.push(BesideResult { name, members: addresses.len(), steps });
        }
        Ok(results)
    }
}

fn step(address: SocketAddr, in_flight: u32, seconds: u32, drive: Drive) -> Outcome<BesideStep> {
    let steady = Duration::from_secs(u64::from(seconds));
    let begun = Instant::now() + Duration::from_millis(100);
    let from = begun + (steady / 4).min(Duration::from_secs(2));
    let window = Window { begun, from, to: from + steady };
    let lanes = in_flight.min(LANES);
    let shares: Vec<u32> =
        (0..lanes).map(|lane| in_flight / lanes + u32::from(lane < in_flight % lanes)).collect();
    let written = drive(address, &shares, window)?;
    let acknowledged: u64 = written.iter().map(|one| one.steady).sum();
    Ok(BesideStep {
        in_flight,
        committed_per_second: acknowledged as f64 / steady.as_secs_f64(),
        final_after: Percentiles::of(written.into_iter().flat_map(|one| one.times).collect()).into(),
    })
}

fn failed(name: &str, address: SocketAddr, problem: impl std::fmt::Display) -> Failure {
    Failure::failed("bench", format!("{name} at {address}: {problem}"))
}

impl BesideResult {
    /// Its rows of the table.
    pub(super) fn rows(&self) -> String {
        let (mut text, ms) = (String::new(), |micros: u128| micros as f64 / 1e3);
        for BesideStep { in_flight, committed_per_second, final_after } in &self.steps {
            // A String takes whatever is written.
            let _ = writeln!(
                text,
                "{:<9} {:>7} {in_flight:>9} {committed_per_second:>10.0} {:>8.2} {:>8.2} {:>8.2}",
                self.name,
                self.members,
                ms(final_after.p50),
                ms(final_after.p95),
                ms(final_after.p99)
            );
        }
        text
    }

    /// Its line of the picture.
    pub(super) fn series(&self) -> chart::Series {
        let ms = |micros: u128| micros as f64 / 1e3;
        let point = |step: &BesideStep| chart::Point {
            in_flight: step.in_flight,
            per_second: step.committed_per_second,
            p50_ms: ms(step.final_after.p50),
            p99_ms: ms(step.final_after.p99),
        };
        let name = format!("{}, {} members", self.name, self.members);
        chart::Series { name, points: self.steps.iter().map(point).collect() }
    }
}

/// How each ordering compares with the better of those beside it, at the fewest and the most in flight.
pub(super) fn ratios(orderings: &[OrderingResult], beside: &[BesideResult]) -> String {
    let mut text = String::new();
    let steps = || beside.iter().flat_map(|one| one.steps.iter().map(move |step| (one.name, step)));
    let by_rate = |at: u32| {
        let there = steps().filter(|(_, step)| step.in_flight == at);
        there.max_by(|one, other| one.1.committed_per_second.total_cmp(&other.1.committed_per_second))
    };
    let by_time = |at: u32| {
        steps().filter(|(_, step)| step.in_flight == at).min_by_key(|(_, step)| step.final_after.p50)
    };
    let numbers: Vec<u32> = steps().map(|(_, step)| step.in_flight).collect();
    if let Some((name, best)) = numbers.iter().max().and_then(|most| by_rate(*most)) {
        let _ = write!(
            text,
            "at {} in flight, times the {:.0}/s of {name}:",
            best.in_flight, best.committed_per_second
        );
        for one in orderings {
            if let Some(step) = one.in_flight(best.in_flight) {
                let ratio = step.committed_per_second / best.committed_per_second.max(f64::MIN_POSITIVE);
                let _ = write!(text, " {} {ratio:.2}", one.protocol);
            }
        }
        text.push('\n');
    }
    if let Some((name, best)) = numbers.iter().min().and_then(|least| by_time(*least)) {
        let p50 = best.final_after.p50.max(1) as f64;
        let _ =
            write!(text, "at {} in flight, times the p50 of {name} ({:.2} ms):", best.in_flight, p50 / 1e3);
        for one in orderings {
            if let Some(step) = one.in_flight(best.in_flight) {
                let _ = write!(text, " {} {:.2}", one.protocol, step.final_after.p50 as f64 / p50);
            }
        }
        text.push('\n');
    }
    text
}

/// What is written.
fn value() -> [u8; PAYLOAD] {
    [b'0'; PAYLOAD]
}
