//! Every ordering under the same load: payloads, batches, syncs, seconds, and as many members as one fault needs.
//!
//! Each ordering is kept busy with the same numbers of payloads in flight, since a rate that one of them cannot carry
//! would measure the queue before it. Other systems may stand beside them ([`super::beside`]). Proof of work is left out, and the result says why.

use std::fmt::Write as _;

use serde::Serialize;
use synod_types::genesis::Ordering;

use super::beside::{BesideResult, ratios};
use super::{Load, OrderingBench, OrderingResult, PAYLOAD, StepResult, chart};
use crate::commands::bench::{DiskSync, Figures, Scratch};
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// What the table cannot hold.
const NO_MINING: &str = "whoever finds a block orders it: there is no leader to hand a payload to, and its pace is what the \
                         difficulty is set to";

#[derive(Serialize)]
struct AllResult {
    orderings: Vec<OrderingResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<BesideResult>,
    left_out: Vec<LeftOut>,
    disk: DiskSync,
}

#[derive(Serialize)]
struct LeftOut {
    ordering: Ordering,
    reason: &'static str,
}

impl OrderingBench {
    /// Measures every ordering, and draws the picture that was asked for.
    pub(super) fn measure_all(
        &self,
        scratch: &Scratch,
        disk: DiskSync,
        progress: &Progress,
    ) -> Outcome<Figures> {
        let loads: Vec<Load> = self.in_flight.iter().map(|number| Load::InFlight(*number)).collect();
        let (committees, others): (Vec<Ordering>, Vec<Ordering>) =
            Ordering::ALL.into_iter().partition(|ordering| ordering.has_committee());
        let orderings = committees.into_iter().map(|one| self.measure_one(scratch, one, &loads, progress));
        let orderings = orderings.collect::<Outcome<Vec<OrderingResult>>>()?;
        let beside = self.beside.measure(&self.in_flight, self.seconds, progress)?;
        if let Some(path) = &self.svg {
            let lines: Vec<chart::Series> =
                series(&orderings).into_iter().chain(beside.iter().map(BesideResult::series)).collect();
            std::fs::write(path, chart::draw(&lines)).map_err(|error| Failure::file(path, &error))?;
        }
        let left_out = others.into_iter().map(|ordering| LeftOut { ordering, reason: NO_MINING }).collect();
        let result = AllResult { orderings, beside, left_out, disk };
        Ok(Figures::new(&result, result.table()))
    }
}

/// The lines of the picture.
fn series(orderings: &[OrderingResult]) -> Vec<chart::Series> {
    let point = |step: &StepResult| {
        let Load::InFlight(in_flight) = step.load else { return None };
        let ms = |micros: u128| micros as f64 / 1e3;
        let (p50_ms, p99_ms) = (ms(step.final_after.p50), ms(step.final_after.p99));
        Some(chart::Point { in_flight, per_second: step.committed_per_second, p50_ms, p99_ms })
    };
    let line = |one: &OrderingResult| chart::Series {
        name: format!("{}, {} members", one.protocol, one.members),
        points: one.steps.iter().filter_map(point).collect(),
    };
    orderings.iter().map(line).collect()
}

impl AllResult {
    fn table(&self) -> String {
        let mut text = format!(
            "{:<9} {:>7} {:>9} {:>10} {:>8} {:>8} {:>8}   for each decision, all members together:  processors\n",
            "", "members", "in flight", "final/s", "p50 ms", "p95 ms", "p99 ms"
        );
        text += &format!("{:67} {:>8} {:>8} {:>9} {:>7}\n", "", "payloads", "messages", "KiB", "syncs");
        for one in &self.orderings {
            for step in &one.steps {
                // A String takes whatever is written.
                let _ = writeln!(text, "{:<9} {:>7} {}", one.protocol.name(), one.members, row(step));
            }
        }
        text.extend(self.beside.iter().map(BesideResult::rows));
        text += &ratios(&self.orderings, &self.beside);
        for one in &self.orderings {
            if let Some(gap) = &one.leader_killed {
                let _ = writeln!(text, "{}: {}", one.protocol, gap.line());
            }
        }
        for LeftOut { ordering, reason } in &self.left_out {
            let _ = writeln!(text, "{ordering} is not here: {reason}");
        }
        let synced = self.orderings.iter().all(|one| one.synced);
        let _ = write!(
            text,
            "payloads of {PAYLOAD} bytes, times from when each was meant to be sent to its being final, {}; {}",
            if synced { "synced" } else { "not synced" },
            self.disk
        );
        text
    }
}

fn row(step: &StepResult) -> String {
    let ms = |micros: u128| micros as f64 / 1e3;
    let Load::InFlight(number) = step.load else { return String::new() };
    let times = &step.final_after;
    let cost = step.decision.as_ref().map_or_else(
        || format!("{:>8} {:>8} {:>9} {:>7}", "-", "-", "-", "-"),
        |cost| {
            let kib = cost.bytes / 1024.0;
            format!("{:>8.1} {:>8.1} {kib:>9.1} {:>7.2}", cost.payloads, cost.messages, cost.syncs)
        },
    );
    let each: Vec<String> = step.cpu.iter().map(|one| format!("{:.2}", one.processors)).collect();
    format!(
        "{number:>9} {:>10.0} {:>8.2} {:>8.2} {:>8.2} {cost}   {}",
        step.committed_per_second,
        ms(times.p50),
        ms(times.p95),
        ms(times.p99),
        each.join(" ")
    )
}
