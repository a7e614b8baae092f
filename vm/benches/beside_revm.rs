//! The machine beside revm 43: the same code and inputs, in turns, in one run.
//!
//! `SYNOD_VECTORS=… cargo bench -p synod-vm` prints a line for each program, with the ratio of the times
//! (above 1: we are faster), and the geometric mean. Arguments choose programs by name. `synod bench vm` is
//! the same in the command, built with the feature `beside-revm`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
// A bench measures time.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::time::{Duration, Instant};
use synod_vm::bench::{Program, geometric_mean, measure, official, programs};

const ROUND: Duration = Duration::from_millis(60);

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut all = programs();
    match std::env::var("SYNOD_VECTORS") {
        Ok(vectors) => all.extend(read(&Path::new(&vectors).join("evm-benchmarks"))),
        Err(_) => eprintln!("skipped: SYNOD_VECTORS is not set, so only our own programs run"),
    }
    all.retain(|program| wanted.is_empty() || wanted.iter().any(|name| program.name.contains(name)));
    println!("{:28} {:>12} {:>12} {:>12} {:>8}", "program", "gas", "synod", "revm", "ratio");
    let begin = Instant::now();
    let mut ratios = Vec::new();
    for program in &all {
        let measured = measure(program, ROUND, &|| begin.elapsed());
        let speed = |seconds: f64| format!("{:.0} Mgas/s", measured.gas as f64 / seconds / 1e6);
        let (theirs, ratio) = (measured.theirs.unwrap(), measured.ratio().unwrap());
        let (gas, ours, theirs) = (measured.gas, speed(measured.ours), speed(theirs));
        println!("{:28} {gas:>12} {ours:>12} {theirs:>12} {ratio:>8.3}", program.name);
        ratios.push(ratio);
    }
    println!("{:28} {:>47.3}", "geometric mean", geometric_mean(&ratios).unwrap());
}

fn read(folder: &Path) -> Vec<Program> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let program = |path: &Path| {
        let stem = path.file_stem().unwrap().to_string_lossy();
        official(&stem, &std::fs::read_to_string(path).unwrap()).unwrap()
    };
    paths.iter().flat_map(|path| program(path)).collect()
}
