//! `synod testnet soak`: kills under load, and a look at what was forgotten.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_testnet::network::Testnet;
use synod_testnet::soak::{CommitteeReport, SoakOptions, SoakReport, soak};

use super::failure;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Kill nodes under load, and look for what they forgot
///
/// On a mined network one node or all of them are killed. Under a committee it is the primary, or the leader; then
/// all are killed at once, one stands still, so many are away that nothing is decided, and one loses its disk and
/// rejoins.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod testnet soak --kills 20 --json\n  synod testnet soak --kills 100 --pause 60 --outage 600"
)]
pub(crate) struct Soak {
    /// How many kills in all; an interrupted soak goes on where it was
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Decides who is killed when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Funded accounts that pay
    #[arg(long, default_value_t = 4)]
    payers: u8,
    /// Under a committee: for how many seconds one member stands still
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pause: u64,
    /// Under a committee: for how many seconds too many members are away
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    outage: u64,
}

impl Soak {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("soaking");
        let begun = Instant::now();
        let options = SoakOptions {
            kills: self.kills,
            seed: self.seed,
            payers: self.payers,
            pause: Duration::from_secs(self.pause),
            outage: Duration::from_secs(self.outage),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Failure::failed("system", error.to_string()))?;
        let soaked = runtime.block_on(soak(testnet, &options, |report| {
            progress.say(format!(
                "{} of {} kills, {} transfers acknowledged, height {}",
                report.kills, options.kills, report.acknowledged, report.height
            ));
        }));
        drop(progress);
        let report = soaked.map_err(failure)?;
        let violated = !report.violations.is_empty();
        context.output.result(&Soaked { report, seconds: begun.elapsed().as_secs() });
        if violated {
            return Err(Failure::new(Exit::Verification, "soak", "the soak found violations"));
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Soaked {
    #[serde(flatten)]
    report: SoakReport,
    seconds: u64,
}

impl fmt::Display for Soaked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(
            formatter,
            "kills            {} ({} of them with all others)",
            report.kills, report.kills_of_all
        )?;
        writeln!(
            formatter,
            "transfers        {} submitted, {} acknowledged",
            report.submitted, report.acknowledged
        )?;
        writeln!(formatter, "height           {}", report.height)?;
        writeln!(formatter, "slowest return   {} ms", report.slowest_return_ms)?;
        if let Some(found) = &report.committee {
            write_committee(found, formatter)?;
        }
        write!(formatter, "violations       {}", report.violations.len())?;
        for violation in &report.violations {
            write!(formatter, "\n  {violation}")?;
        }
        Ok(())
    }
}

fn write_committee(found: &CommitteeReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ms = |value: Option<u64>| value.map_or("-".to_owned(), |value| format!("{value} ms"));
    writeln!(
        formatter,
        "gap              median {}, 90 of 100 {}, longest {} after {} deaths of a leader",
        ms(found.gap_ms(50)),
        ms(found.gap_ms(90)),
        ms(found.gap_ms(100)),
        found.gaps_ms.len()
    )?;
    writeln!(formatter, "reads            {} linearizable ones answered and judged", found.reads)?;
    writeln!(formatter, "all killed       next block after {}", ms(found.after_all_ms))?;
    if let Some(behind) = found.paused_behind {
        let caught_up = ms(found.paused_caught_up_ms);
        writeln!(formatter, "one paused       {behind} blocks behind, caught up after {caught_up}")?;
    }
    writeln!(formatter, "no quorum        next block after {}", ms(found.after_outage_ms))?;
    let regained = match found.disk_regained {
        Some(true) => "no vote without its memory, taken back, and counts",
        Some(false) => "did not count afterwards",
        None => "-",
    };
    writeln!(formatter, "disk lost        {regained}")
}
