//! What hostile-input tests measure with, in every crate from here upwards: how many inputs, what a decoder must
//! keep, and the memory of the process under test.
//!
//! A decoder answers each input with its value written again, or refuses it. Bytes are canonical: what is
//! accepted is written back exactly (CRY-4). Texts have several spellings: what is accepted must read back from
//! its own spelling, which is then canonical. No input may panic, take long, or make the process grow.

#![allow(clippy::print_stdout, reason = "tests read the figures")]

use std::time::{Duration, Instant};

use synod_types::hostile::Mutator;

/// What hostile inputs may make a process grow by, at its highest, in bytes.
pub const GROWTH: u64 = 64 * 1024 * 1024;
/// No input of a few kilobytes takes a decoder this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many hostile inputs a test tries: `SYNOD_HOSTILE_INPUTS`, or `default`.
pub fn inputs(default: u64) -> u64 {
    std::env::var("SYNOD_HOSTILE_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The seed of a test's inputs: `SYNOD_HOSTILE_SEED`, or 1.
pub fn seed() -> u64 {
    std::env::var("SYNOD_HOSTILE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs the body of a test in a process in which nothing else runs, so that its memory is its own: the test's
/// binary, started again for this one test. `path` is `module_path!()` of the test's module.
///
/// # Panics
/// When the body does.
pub fn alone(path: &str, test: &str, body: impl FnOnce()) {
    const MARK: &str = "SYNOD_HOSTILE_ALONE";
    let within = path.split_once("::").map_or("", |(_, module)| module);
    let name = if within.is_empty() { test.to_owned() } else { format!("{within}::{test}") };
    if std::env::var(MARK).is_ok_and(|alone| alone == name) {
        return body();
    }
    let binary = std::env::current_exe().expect("a test knows its own binary");
    let output = std::process::Command::new(binary)
        .args(["--exact", &name, "--nocapture", "--include-ignored"])
        .env(MARK, &name)
        .output()
        .expect("a test can start its own binary again");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed in a process of its own: {errors}");
    assert!(said.contains("1 passed"), "no test is called {name}");
}

/// The memory of this process since a moment.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    start: u64,
}

impl Memory {
    /// From now on.
    pub fn start() -> Self {
        // Writing 5 there makes the system forget the highest mark so far; where it cannot, the mark of the
        // whole life of the process counts, which errs on the strict side.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self { start: status("VmRSS:") }
    }

    /// Bytes by which the process has grown, at its highest; 0 where the system does not tell.
    pub fn peak(&self) -> u64 {
        status("VmHWM:").saturating_sub(self.start)
    }

    /// Bytes by which the process is larger now.
    pub fn grown(&self) -> u64 {
        status("VmRSS:").saturating_sub(self.start)
    }

    /// Prints the figures and checks that the process stayed within [`GROWTH`].
    ///
    /// # Panics
    /// When it did not.
    pub fn check(&self, what: &str) {
        let (peak, grown) = (self.peak(), self.grown());
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let start = mib(self.start);
        println!("{what}: memory {start:.1} MiB at start, +{:.1} at most, +{:.1} now", mib(peak), mib(grown));
        assert!(peak <= GROWTH, "{what}: the process grew by {peak} bytes, at most {GROWTH} are allowed");
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Reads an input and writes what it read; `None` refuses it.
pub type Rewrite = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// A decoder under test.
pub struct Decoder {
    name: &'static str,
    samples: Vec<Vec<u8>>,
    is_text: bool,
    rewrite: Rewrite,
}

impl Decoder {
    /// A decoder of canonical bytes.
    pub fn bytes(
        name: &'static str,
        samples: Vec<Vec<u8>>,
        rewrite: impl Fn(&[u8]) -> Option<Vec<u8>> + 'static,
    ) -> Self {
        Self { name, samples, is_text: false, rewrite: Box::new(rewrite) }
    }

    /// A reader of texts.
    pub fn text(
        name: &'static str,
        samples: &[&str],
        rewrite: impl Fn(&str) -> Option<String> + 'static,
    ) -> Self {
        let samples = samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
        let rewrite = move |bytes: &[u8]| rewrite(std::str::from_utf8(bytes).ok()?).map(String::into_bytes);
        Self { name, samples, is_text: true, rewrite: Box::new(rewrite) }
    }

    /// What an input becomes, and how long that took: the least of three times if it was long, because a busy
    /// machine lets a process wait now and then, and not at the same input every time.
    fn timed(&self, input: &[u8]) -> (Option<Vec<u8>>, Duration) {
        let once = || {
            let begun = Instant::now();
            ((self.rewrite)(input), begun.elapsed())
        };
        let (written, taken) = once();
        if taken < PATIENCE {
            return (written, taken);
        }
        (written, taken.min(once().1).min(once().1))
    }

    /// Tries this many inputs.
    fn run(&self, seed: u64, inputs: u64) {
        for sample in &self.samples {
            let written =
                (self.rewrite)(sample).unwrap_or_else(|| panic!("{}: a sample is refused", self.name));
            assert!(self.is_text || written == *sample, "{}: a sample changes", self.name);
        }
        let mut mutator = Mutator::new(seed);
        let (memory, mut accepted, mut slowest) = (Memory::start(), 0_u64, Duration::ZERO);
        for number in 0..inputs {
            let input = match self.is_text {
                true => mutator.text(&self.samples).into_bytes(),
                false => mutator.bytes(&self.samples),
            };
            let (written, taken) = self.timed(&input);
            slowest = slowest.max(taken);
            let Some(written) = written else { continue };
            accepted += 1;
            let again = if self.is_text { (self.rewrite)(&written) } else { Some(input.clone()) };
            let name = self.name;
            assert!(
                again.as_ref() == Some(&written),
                "{name}: input {number} of seed {seed} is not kept: {input:?}"
            );
        }
        assert!(slowest < PATIENCE, "{}: an input took {slowest:?}", self.name);
        memory.check(&format!("{}: {inputs} inputs, {accepted} accepted, slowest {slowest:?}", self.name));
    }
}

/// Tries `total` inputs, shared among the decoders.
pub fn try_decoders(decoders: &[Decoder], total: u64) {
    let share = total.div_ceil(decoders.len() as u64);
    let memory = Memory::start();
    for (number, decoder) in decoders.iter().enumerate() {
        decoder.run(seed().wrapping_mul(1_000).wrapping_add(number as u64), share);
    }
    println!("{} hostile inputs to {} decoders", share * decoders.len() as u64, decoders.len());
    assert!(memory.grown() <= GROWTH);
}
