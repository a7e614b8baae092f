//! `synod testnet soak`: kills under load, and a look at what was forgotten.

use std::fmt;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use synod_testnet::network::Testnet;
use synod_testnet::soak::{SoakOptions, SoakReport, soak};

use super::failure;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Kill nodes under load, and look for what they forgot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet soak --kills 20 --json")]
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
}

impl Soak {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("soaking");
        let begun = Instant::now();
        let options = SoakOptions { kills: self.kills, seed: self.seed, payers: self.payers };
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
        write!(formatter, "violations       {}", report.violations.len())?;
        for violation in &report.violations {
            write!(formatter, "\n  {violation}")?;
        }
        Ok(())
    }
}
