//! `synod bench vm`: programs of contracts on our machine, and beside revm in a build that has it.
//!
//! revm is no part of the shipped command. Built with `--features beside-revm` the same code and inputs run
//! on both in turns, in one run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_vm::bench::{Program, geometric_mean, measure, official, programs};

use super::Figures;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// How to get the comparison.
const COMPARE: &str = "cargo run --release -p synod-cli --features beside-revm -- bench vm";

/// The contract machine: loops, token transfers, a swap, official programs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod bench vm\n  synod bench vm loop --milliseconds 500")]
pub(crate) struct VmBench {
    /// A folder of programs in the form of state tests, such as ipsilon/evm-benchmarks; by default the folder
    /// evm-benchmarks of $SYNOD_VECTORS, where that is set
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Only programs whose name holds one of these
    names: Vec<String>,
    /// Milliseconds for each of nine turns
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    milliseconds: u64,
}

/// One program.
#[derive(Debug, Serialize)]
struct Line {
    program: String,
    gas: u64,
    microseconds: f64,
    million_gas_per_second: f64,
    revm_microseconds: Option<f64>,
    /// How many times as fast as revm.
    ratio: Option<f64>,
}

/// All programs.
#[derive(Debug, Serialize)]
struct Lines {
    programs: Vec<Line>,
    /// `null` in a build without revm.
    geometric_mean: Option<f64>,
}

impl VmBench {
    /// Measures.
    ///
    /// # Errors
    /// When a folder of programs does not read.
    pub(super) fn measure(self, progress: &Progress) -> Outcome<Figures> {
        let mut all = programs();
        let vectors =
            std::env::var_os("SYNOD_VECTORS").map(|folder| Path::new(&folder).join("evm-benchmarks"));
        if let Some(folder) = self.programs.or(vectors) {
            all.extend(read(&folder)?);
        }
        let wanted = |program: &Program| self.names.iter().any(|name| program.name.contains(name.as_str()));
        all.retain(|program| self.names.is_empty() || wanted(program));
        if all.is_empty() {
            return Err(Failure::usage("no_program", "no program has such a name")
                .hint("`synod bench vm` runs all, and shows their names"));
        }
        let round = Duration::from_millis(self.milliseconds);
        let mut lines = Vec::new();
        for program in &all {
            progress.say(program.name.as_str());
            lines.push(line(program, round));
        }
        let ratios: Vec<f64> = lines.iter().filter_map(|line| line.ratio).collect();
        let lines = Lines { programs: lines, geometric_mean: geometric_mean(&ratios) };
        Ok(Figures::new(&lines, lines.to_string()))
    }
}

fn line(program: &Program, round: Duration) -> Line {
    let begin = Instant::now();
    let measured = measure(program, round, &|| begin.elapsed());
    Line {
        program: program.name.clone(),
        gas: measured.gas,
        microseconds: measured.ours * 1e6,
        million_gas_per_second: measured.gas as f64 / measured.ours / 1e6,
        revm_microseconds: measured.theirs.map(|seconds| seconds * 1e6),
        ratio: measured.ratio(),
    }
}

fn read(folder: &Path) -> Outcome<Vec<Program>> {
    let failed = |error: std::io::Error| Failure::file(folder, &error);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let found = official(&stem, &text).map_err(|error| {
            Failure::failed("bad_program", format!("{}: {error}", path.display()))
                .hint("a program is a JSON file in the form of Ethereum's state tests")
        })?;
        all.extend(found);
    }
    Ok(all)
}

impl fmt::Display for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:28} {:>11} {:>12} {:>9}  beside revm", "program", "gas", "µs", "Mgas/s")?;
        for line in &self.programs {
            let (gas, time, speed) = (line.gas, line.microseconds, line.million_gas_per_second);
            let ratio = line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(formatter, "{:28} {gas:>11} {time:>12.1} {speed:>9.0}  {ratio:>11}", line.program)?;
        }
        match self.geometric_mean {
            Some(mean) => write!(formatter, "geometric mean: {mean:.2} times as fast as revm"),
            None => write!(formatter, "beside revm: {COMPARE}"),
        }
    }
}
