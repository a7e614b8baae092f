//! `synod bench ordering`: opaque payloads through a committee that executes nothing.
//!
//! What is measured is the ordering as it ships: its machine, thread and journal, the direct streams, checks and
//! attestations. The payloads go to the leader over its RPC from this process, and each call is answered when its
//! payloads are final: certified where members may lie; decided, and durable at the leader, where they only crash.
//! Afterwards the members are stopped, and the logs of all are read: every payload is
//! looked for, and those that stand twice are counted.
//!
//! - [`gap`]: how long nothing is final after the leader was killed.
//! - [`all`]: every ordering under the same load, in one table. [`chart`]: the same as a picture.

mod all;
mod beside;
mod chart;
mod gap;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::{Value, json};
use synod_ledger::log::bench::Percentiles;
use synod_node::config::Config;
use synod_node::rpc::ordered::OrderedView;
use synod_types::committee::{FaultModel, Quorums, fault_model};
use synod_types::genesis::Ordering;

use super::load::connection::Connection;
use super::load::members::Members;
use super::load::network::go_on;
use super::load::step::{Cpu, own_cpu, sleep_until};
use super::{DiskSync, Figures, Micros, Scratch};
use crate::client::http::Url;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// Bytes of a payload.
const PAYLOAD: usize = 512;
/// The most connections, and the most payloads of one call: their digits fill a body (RPC-1).
const LANES: u32 = 32;
const CALL: usize = 1_000;
/// After a step's end, for what is on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opaque payloads of 512 bytes through a committee: how many are final a second, and how soon
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod bench ordering --protocol pbft\n  synod bench ordering --protocol zab --nodes 3\n  synod bench ordering --all --svg orderings.svg\n  synod bench ordering --protocol pbft --rate 60000 --in-flight 1,64 --for 60 --no-sync --json"
)]
pub(crate) struct OrderingBench {
    /// Who orders
    #[arg(long, default_value = "pbft", value_parser = committees())]
    protocol: Ordering,
    /// Every ordering of a committee, one after the other, each with the members that one fault needs: one table
    #[arg(long, conflicts_with_all = ["protocol", "nodes", "rate", "only_rates"])]
    all: bool,
    /// Also draw that table into this file
    #[arg(long, value_name = "FILE", requires = "all")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    beside: beside::Beside,
    /// Afterwards kill the leader under load, and tell how long nothing was final
    #[arg(long)]
    kill_leader: bool,
    /// How many members [default: as many as one fault needs, 4 under pbft, 3 under paxos and zab]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: Option<u8>,
    /// Payloads a second that are sent whatever the answers, a step for each number
    #[arg(long, value_delimiter = ',', default_values_t = [20_000, 60_000, 120_000], value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Vec<u32>,
    /// Payloads that wait for their answers at any time, a step for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256, 1024], value_parser = clap::value_parser!(u32).range(1..=30_000))]
    in_flight: Vec<u32>,
    /// Only the steps with a rate
    #[arg(long, conflicts_with = "in_flight")]
    only_rates: bool,
    /// Seconds that a step is measured, after a short warm-up
    #[arg(long = "for", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Never sync to disk
    #[arg(long)]
    no_sync: bool,
    /// Where the members' files go; a temporary folder otherwise
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// One of the processes that `synod bench ordering` starts
#[derive(Debug, Args)]
pub(crate) struct Member {
    /// Its node.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn committees() -> impl TypedValueParser<Value = Ordering> {
    let names = Ordering::ALL.into_iter().filter(|ordering| ordering.has_committee()).map(Ordering::name);
    PossibleValuesParser::new(names).map(|name| Ordering::from_name(&name).unwrap_or(Ordering::Pbft))
}

#[derive(Serialize)]
struct OrderingResult {
    protocol: Ordering,
    members: usize,
    payload_bytes: usize,
    synced: bool,
    seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskSync>,
    steps: Vec<StepResult>,
    /// The most that was final a second.
    best_per_second: f64,
    /// After the leader was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_killed: Option<gap::Gap>,
}

/// How a step's load comes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    /// So many a second.
    PerSecond(u32),
    /// So many without an answer at a time.
    InFlight(u32),
}

#[derive(Serialize)]
struct StepResult {
    load: Load,
    /// Final in the measured time, a second.
    committed_per_second: f64,
    /// Sent in all, warm-up included.
    sent: u64,
    /// Found in the logs of at least a quorum afterwards.
    counted: u64,
    /// Found more than once in one log.
    twice: u64,
    /// Not found.
    lost: u64,
    /// Payloads in each member's log, in the members' order.
    held: Vec<u64>,
    /// Slots that each member skipped: it fell behind, and went on after a certificate.
    skipped: Vec<u64>,
    /// Decided slots.
    slots: u64,
    /// Microseconds from the time at which each was meant to be sent to the answer that it is final.
    final_after: Micros,
    /// Microseconds from the leader's proposals to their decisions.
    decided_after_p50: u64,
    decided_after_p99: u64,
    /// What a decision costs all members together; none where nothing was decided.
    decision: Option<Decision>,
    cpu: Vec<Cpu>,
    load_cpu: f64,
}

/// What a decided slot costs, in the measured time: the sum over all members, divided by the slots.
#[derive(Serialize)]
struct Decision {
    payloads: f64,
    messages: f64,
    bytes: f64,
    syncs: f64,
}

/// What one connection did: for each call when it was answered, how many payloads it had, and their times.
#[derive(Default)]
struct Lane {
    sent: u64,
    /// Microseconds of payloads that were meant to be sent in the measured time.
    times: Vec<Duration>,
    /// Final in the measured time.
    steady: u64,
    /// When each call was answered.
    answers: Vec<Instant>,
}

/// Where a lane sends: to whoever leads.
struct Line<'a> {
    urls: &'a [Url],
    at: usize,
    connection: Connection,
    /// Whether a member may die under it.
    goes_on: bool,
}

impl Line<'_> {
    fn ask_the_next(&mut self) -> Outcome<()> {
        let mut tries = self.urls.len();
        loop {
            self.at = (self.at + 1) % self.urls.len();
            tries -= 1;
            match Connection::open(&self.urls[self.at]) {
                Err(failure) if !self.goes_on || tries == 0 => return Err(failure),
                Err(_) => {}
                Ok(connection) => {
                    self.connection = connection;
                    return Ok(());
                }
            }
        }
    }
}

/// The measured time.
#[derive(Clone, Copy)]
struct Window {
    begun: Instant,
    from: Instant,
    to: Instant,
}

impl Member {
    /// Runs it until it is asked to end.
    ///
    /// # Errors
    /// What keeps it from starting, or made it stop.
    pub(super) fn run(self) -> Outcome<()> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed("bench", error.to_string());
        let config = Config::read(&self.config).map_err(|error| failed(&error))?;
        let log = config.folder.join("logs").join("node.log");
        synod_node::run::run_opaque(config, &log).map_err(|error| failed(&error))
    }
}

impl OrderingBench {
    /// Measures.
    ///
    /// # Errors
    /// The members do not start, or answer what they should not.
    pub(super) fn measure(self, progress: &Progress) -> Outcome<Figures> {
        let scratch = Scratch::new(self.folder.clone())?;
        let disk = DiskSync::measure(&scratch)?;
        if self.all {
            return self.measure_all(&scratch, disk, progress);
        }
        let in_flight = if self.only_rates { &[][..] } else { &self.in_flight };
        let in_flight = in_flight.iter().map(|number| Load::InFlight(*number));
        let loads: Vec<Load> = in_flight.chain(self.rate.iter().map(|rate| Load::PerSecond(*rate))).collect();
        let mut result = self.measure_one(&scratch, self.protocol, &loads, progress)?;
        let lines: Vec<String> = result.steps.iter().map(StepResult::line).collect();
        let text = format!(
            "{:.0} payloads of {PAYLOAD} bytes a second final at most\n{}\n{} members under {}, {}; {disk}",
            result.best_per_second,
            lines.join("\n"),
            result.members,
            result.protocol,
            if result.synced { "synced" } else { "not synced" },
        ) + &result
            .leader_killed
            .as_ref()
            .map(|gap| format!("\n{}", gap.line()))
            .unwrap_or_default();
        result.disk = Some(disk);
        Ok(Figures::new(&result, text))
    }

    fn measure_one(
        &self,
        scratch: &Scratch,
        ordering: Ordering,
        loads: &[Load],
        progress: &Progress,
    ) -> Outcome<OrderingResult> {
        let model = fault_model(ordering).unwrap_or(FaultModel::Byzantine);
        let nodes = self.nodes.map_or_else(|| model.least_members(1), usize::from);
        let quorums =
            Quorums::new(nodes, model).map_err(|error| Failure::usage("committee", error.to_string()))?;
        let mut steps = Vec::new();
        for load in loads {
            progress.say(format!("{ordering}: {}", load.title()));
            // Each on a network of its own, so that no step's files are in another's way.
            let members = Members::start(&scratch.path, ordering, nodes, !self.no_sync)?;
            steps.push(self.step(members, *load, quorums.quorum)?);
        }
        let leader_killed = if self.kill_leader {
            progress.say(format!("{ordering}: without its leader"));
            let members = Members::start(&scratch.path, ordering, nodes, !self.no_sync)?;
            Some(gap::measure(members, quorums.quorum)?)
        } else {
            None
        };
        Ok(OrderingResult {
            leader_killed,
            protocol: ordering,
            members: nodes,
            payload_bytes: PAYLOAD,
            synced: !self.no_sync,
            seconds: self.seconds,
            disk: None,
            best_per_second: steps.iter().map(|step| step.committed_per_second).fold(0.0, f64::max),
            steps,
        })
    }

    fn step(&self, mut members: Members, load: Load, quorum: usize) -> Outcome<StepResult> {
        let steady = Duration::from_secs(u64::from(self.seconds));
        let begun = Instant::now() + Duration::from_millis(100);
        let from = begun + (steady / 4).min(Duration::from_secs(2));
        let window = Window { begun, from, to: from + steady };
        let lanes = match load {
            Load::PerSecond(_) => LANES,
            Load::InFlight(number) => number.min(LANES),
        };
        let (sent, cpu, load_cpu, views) = std::thread::scope(|scope| {
            let sending: Vec<_> = (0..lanes)
                .map(|lane| {
                    let (urls, leader) = (&members.urls, members.leader);
                    scope.spawn(move || {
                        let connection = Connection::open(&urls[leader])?;
                        let mut line = Line { urls, at: leader, connection, goes_on: false };
                        match load {
                            Load::PerSecond(rate) => by_the_clock(&mut line, lane, lanes, rate, window),
                            Load::InFlight(number) => {
                                one_after_another(&mut line, lane, lanes, number, window)
                            }
                        }
                    })
                })
                .collect();
            sleep_until(from)?;
            let before = (members.cpu(), own_cpu());
            let views_before = members.views()?;
            sleep_until(window.to)?;
            let after = (members.cpu(), own_cpu());
            let views = (views_before, members.views()?);
            let share =
                |before: Duration, after: Duration| (after - before).as_secs_f64() / steady.as_secs_f64();
            let nodes = before.0.into_iter().zip(after.0);
            let cpu = nodes
                .map(|((node, before), (_, after))| Cpu {
                    node,
                    processors: share(before, after.max(before)),
                })
                .collect::<Vec<_>>();
            let sent = sending.into_iter().map(|lane| lane.join().expect("a lane does not panic"));
            Ok::<_, Failure>((sent.collect::<Outcome<Vec<Lane>>>()?, cpu, share(before.1, after.1), views))
        })?;
        let figures: OrderedView =
            Connection::open(&members.urls[members.leader])?.call("synod_ordered", json!([]))?;
        let total: u64 = sent.iter().map(|lane| lane.sent).sum();
        members.catch_up()?;
        let found = count(members.stop()?.iter().map(|node| node.folder.clone()), &sent, quorum)?;
        let final_in_time: u64 = sent.iter().map(|lane| lane.steady).sum();
        Ok(StepResult {
            load,
            committed_per_second: final_in_time as f64 / steady.as_secs_f64(),
            sent: total,
            counted: found.counted,
            twice: found.twice,
            lost: total - found.counted,
            held: found.held,
            skipped: found.skipped,
            slots: found.slots,
            final_after: Percentiles::of(sent.into_iter().flat_map(|lane| lane.times).collect()).into(),
            decided_after_p50: figures.decided_after_p50,
            decided_after_p99: figures.decided_after_p99,
            decision: Decision::of(&views.0, &views.1, final_in_time),
            cpu,
            load_cpu,
        })
    }
}

impl Decision {
    fn of(before: &[OrderedView], after: &[OrderedView], payloads: u64) -> Option<Self> {
        let sum = |views: &[OrderedView], of: fn(&OrderedView) -> u64| views.iter().map(of).sum::<u64>();
        let height = |views: &[OrderedView]| views.iter().map(|view| view.height.0).max().unwrap_or_default();
        let slots = height(after).checked_sub(height(before)).filter(|slots| *slots > 0)? as f64;
        let each = |of| sum(after, of).saturating_sub(sum(before, of)) as f64 / slots;
        Some(Self {
            payloads: payloads as f64 / slots,
            messages: each(|view| view.messages),
            bytes: each(|view| view.bytes),
            syncs: each(|view| view.syncs),
        })
    }
}

impl Load {
    fn title(self) -> String {
        match self {
            Self::PerSecond(rate) => format!("{rate} payloads a second"),
            Self::InFlight(number) => format!("{number} payloads in flight"),
        }
    }
}

impl OrderingResult {
    /// The step with so many in flight.
    fn in_flight(&self, number: u32) -> Option<&StepResult> {
        self.steps.iter().find(|step| matches!(step.load, Load::InFlight(one) if one == number))
    }
}

impl StepResult {
    fn line(&self) -> String {
        let ms = |micros: u128| micros as f64 / 1e3;
        let nodes: f64 = self.cpu.iter().map(|one| one.processors).sum();
        let each: Vec<String> = self.cpu.iter().map(|one| format!("{:.2}", one.processors)).collect();
        format!(
            "{:>26}: {:>8.0}/s final, p50 {:.1} ms, p99 {:.1} ms; decided {:.1} ms after the proposal (p99 {:.1} ms)\n{:>28}{} of {} counted in {} slots, {} twice, {} lost; processors: members {nodes:.2} ({}), load {:.2}",
            self.load.title(),
            self.committed_per_second,
            ms(self.final_after.p50),
            ms(self.final_after.p99),
            ms(self.decided_after_p50.into()),
            ms(self.decided_after_p99.into()),
            "",
            self.counted,
            self.sent,
            self.slots,
            self.twice,
            self.lost,
            each.join(" "),
            self.load_cpu,
        ) + &self.behind()
    }

    /// Who fell behind: what was measured then was the work of the others.
    fn behind(&self) -> String {
        let skipped = self.skipped.iter().enumerate().filter(|(_, slots)| **slots > 0);
        let each: Vec<String> = skipped
            .map(|(member, slots)| format!("member {member} fell behind and skipped {slots} slots"))
            .collect();
        if each.is_empty() { String::new() } else { format!("\n{:>28}{}", "", each.join(", ")) }
    }
}

/// Sends what is due, all of it in one call, and waits for the answer: a committee that is slow makes what follows
/// late, and the lateness counts.
fn by_the_clock(line: &mut Line<'_>, lane: u32, lanes: u32, rate: u32, window: Window) -> Outcome<Lane> {
    let mut done = Lane::default();
    let due = |number: u64| {
        let place = number * u64::from(lanes) + u64::from(lane);
        window.begun + Duration::from_secs_f64(place as f64 / f64::from(rate))
    };
    let mut late = false;
    while due(done.sent) < window.to && !late {
        sleep_until(due(done.sent))?;
        let now = Instant::now();
        let waiting = (0..CALL as u64).map(|more| due(done.sent + more));
        let waiting: Vec<Instant> = waiting.take_while(|due| *due <= now && *due < window.to).collect();
        done.send(line, lane, &waiting, window)?;
        late = Instant::now() > window.to + PATIENCE;
    }
    Ok(done)
}

/// Keeps so many in flight: the next go when the last are answered.
fn one_after_another(
    line: &mut Line<'_>,
    lane: u32,
    lanes: u32,
    number: u32,
    window: Window,
) -> Outcome<Lane> {
    let mut done = Lane::default();
    let own = number / lanes + u32::from(lane < number % lanes);
    sleep_until(window.begun)?;
    while Instant::now() < window.to {
        let waiting = vec![Instant::now(); (own as usize).min(CALL)];
        done.send(line, lane, &waiting, window)?;
    }
    Ok(done)
}

impl Lane {
    /// Sends one payload for each time at which one was due, until they are final.
    fn send(&mut self, line: &mut Line<'_>, lane: u32, due: &[Instant], window: Window) -> Outcome<()> {
        let mut body = Vec::with_capacity(due.len() * PAYLOAD * 2 + 100);
        body.extend_from_slice(br#"{"jsonrpc":"2.0","id":1,"method":"synod_order","params":["0x"#);
        let numbers = (self.sent..).take(due.len());
        numbers.for_each(|number| write_payload(&mut body, lane, number));
        body.extend_from_slice(br#""]}"#);
        self.sent += due.len() as u64;
        loop {
            go_on()?;
            let answer = match line.connection.post(&body) {
                Err(_) if line.goes_on && Instant::now() < window.to + PATIENCE => {
                    line.ask_the_next()?;
                    continue;
                }
                answer => answer?,
            };
            let answer: Value = serde_json::from_slice(&answer)
                .map_err(|error| Failure::failed("bench", format!("an answer does not read: {error}")))?;
            if answer.get("result").is_some() {
                break;
            }
            let refusal = answer["error"].to_string();
            let is_elsewhere = refusal.contains("\"not_ready\"");
            if !(is_elsewhere || refusal.contains("\"busy\"")) || Instant::now() > window.to + PATIENCE {
                return Err(Failure::failed("bench", format!("a payload is refused: {refusal}")));
            }
            if is_elsewhere {
                line.ask_the_next()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let now = Instant::now();
        self.answers.push(now);
        if (window.from..window.to).contains(&now) {
            self.steady += due.len() as u64;
        }
        let measured = due.iter().filter(|due| **due >= window.from);
        self.times.extend(measured.map(|due| now - *due));
        Ok(())
    }
}

/// Writes a payload's digits: its lane, its number, and what makes it long.
fn write_payload(body: &mut Vec<u8>, lane: u32, number: u64) {
    let end = body.len() + 2 * PAYLOAD;
    body.extend_from_slice(format!("{lane:08x}{number:016x}").as_bytes());
    // Filled in one go: the load shares the processors with what it measures.
    body.resize(end, b'0');
}

/// What the members' logs hold.
struct Found {
    counted: u64,
    twice: u64,
    held: Vec<u64>,
    skipped: Vec<u64>,
    slots: u64,
}

/// A slot, as the logs have it.
#[derive(Default)]
struct Decided {
    digest: Option<B256>,
    /// How many members went on after a certificate above it.
    skipped: usize,
}

/// Reads all logs. What counts stands in the logs of a quorum, which must not contradict each other anywhere. A member
/// that skipped a slot has a quorum's word for it instead, and counts.
fn count(folders: impl Iterator<Item = PathBuf>, sent: &[Lane], quorum: usize) -> Outcome<Found> {
    // How many hold a payload, and in which slot.
    let mut holders: Vec<Vec<(usize, usize)>> =
        sent.iter().map(|lane| vec![(0, 0); lane.sent as usize]).collect();
    let (mut twice, mut held, mut skipped, mut slots) = (0, Vec::new(), Vec::new(), Vec::<Decided>::new());
    for folder in folders {
        let mut seen: Vec<Vec<bool>> = sent.iter().map(|lane| vec![false; lane.sent as usize]).collect();
        let (mut own, mut lacks, mut slot) = (0, 0, 0);
        let read = synod_node::driver::ordered_log(&folder, |content| {
            let here = slot;
            slot += 1;
            slots.resize_with(slots.len().max(slot), Decided::default);
            let Some(content) = content else {
                slots[here].skipped += 1;
                lacks += 1;
                return Ok(());
            };
            let digest = synod_types::hash::sha256(&[content]);
            if *slots[here].digest.get_or_insert(digest) != digest {
                return Err(format!("slot {slot} differs"));
            }
            for payload in content.chunks_exact(PAYLOAD) {
                let (lane, number) = numbers(payload).ok_or("a payload that nobody sent")?;
                let strange = || format!("payload {number} of lane {lane} was not sent");
                let mark = seen.get_mut(lane).and_then(|lane| lane.get_mut(number)).ok_or_else(strange)?;
                if std::mem::replace(mark, true) {
                    twice += 1;
                } else {
                    holders[lane][number] = (holders[lane][number].0 + 1, here);
                    own += 1;
                }
            }
            Ok(())
        });
        read.map_err(|error| Failure::failed("bench", format!("{}: {error}", folder.display())))?;
        held.push(own);
        skipped.push(lacks);
    }
    let is_counted =
        |(holders, slot): &&(usize, usize)| *holders > 0 && holders + slots[*slot].skipped >= quorum;
    let counted = holders.iter().flatten().filter(is_counted).count() as u64;
    Ok(Found { counted, twice, held, skipped, slots: slots.len() as u64 })
}

fn numbers(payload: &[u8]) -> Option<(usize, usize)> {
    let (lane, rest) = payload.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    Some((u32::from_be_bytes(*lane) as usize, usize::try_from(number).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_tells_who_it_is() {
        let mut digits = b"ab".to_vec();
        write_payload(&mut digits, 7, 123_456);
        let bytes = alloy_primitives::hex::decode(&digits[2..]).unwrap();
        assert_eq!((bytes.len(), numbers(&bytes)), (PAYLOAD, Some((7, 123_456))));
    }
}
