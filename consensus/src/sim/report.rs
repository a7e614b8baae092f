//! What a run is asked for, and what it found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::swarm::Fault;

/// Whose networks are simulated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Proof of work.
    #[default]
    Pow,
    /// A committee under PBFT.
    Pbft,
    /// A committee under Multi-Paxos.
    Paxos,
    /// A committee under Zab.
    Zab,
}

impl Subject {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Pow, Self::Pbft, Self::Paxos, Self::Zab];

    /// Whether its members crash and do not lie.
    pub fn is_of_crashes(self) -> bool {
        matches!(self, Self::Paxos | Self::Zab)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pow => "pow",
            Self::Pbft => "pbft",
            Self::Paxos => "paxos",
            Self::Zab => "zab",
        }
    }
}

/// What is known of the network's delays (S-N8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// Every message arrives within a bound that the members know.
    Synchronous,
    /// No bound, ever: safety alone is demanded.
    Asynchronous,
    /// Anything goes until a moment that nobody knows; then the bound holds.
    UnknownMoment,
    /// A bound holds after a while, and nobody knows which.
    UnknownBound,
}

impl Timing {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Synchronous, Self::Asynchronous, Self::UnknownMoment, Self::UnknownBound];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::UnknownMoment => "unknown-moment",
            Self::UnknownBound => "unknown-bound",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Whose networks.
    #[serde(default)]
    pub subject: Subject,
    /// Everything random follows from it.
    pub seed: u64,
    /// Honest nodes under proof of work, members of a committee; drawn from the seed when absent.
    pub nodes: Option<usize>,
    /// How many members of a committee lie; drawn from the seed, and no more than it survives, when absent.
    #[serde(default)]
    pub byzantine: Option<usize>,
    /// What is known of a committee's network; drawn from the seed when absent.
    #[serde(default)]
    pub timing: Option<Timing>,
    /// The heaviest chain's height at which faults end and healing begins.
    pub blocks: u64,
    /// Fault classes that are left out.
    pub without: Vec<Fault>,
    /// Exactly these fault classes instead of a random subset.
    pub only: Option<Vec<Fault>>,
    /// Keep a readable trace.
    pub trace: bool,
    /// Whole nodes instead of the model ledger.
    #[serde(default)]
    pub real: bool,
    /// The wrong line that is switched on, in a binary built with the feature `mutants`.
    pub mutant: Option<String>,
}

impl Options {
    /// An ordinary run of a seed under proof of work.
    pub fn seed(seed: u64) -> Self {
        Self {
            subject: Subject::Pow,
            seed,
            nodes: None,
            byzantine: None,
            timing: None,
            blocks: 24,
            without: Vec::new(),
            only: None,
            trace: false,
            real: false,
            mutant: None,
        }
    }

    /// An ordinary run of a seed.
    pub fn of(subject: Subject, seed: u64) -> Self {
        Self { subject, ..Self::seed(seed) }
    }

    /// An ordinary run of a committee under PBFT.
    pub fn pbft(seed: u64) -> Self {
        Self { subject: Subject::Pbft, ..Self::seed(seed) }
    }

    /// The run of a seed with whole nodes, for those who can run it.
    pub fn real(seed: u64) -> Self {
        Self { real: true, ..Self::seed(seed) }
    }

    /// The one command that tells this run's story again.
    pub fn command(&self) -> String {
        let subject = self.subject.name();
        let mut command =
            format!("synod sim --protocol {subject} --seed {} --blocks {}", self.seed, self.blocks);
        let names = |faults: &[Fault]| faults.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(",");
        if let Some(nodes) = self.nodes {
            command += &format!(" --nodes {nodes}");
        }
        if let Some(byzantine) = self.byzantine {
            command += &format!(" --byzantine {byzantine}");
        }
        if let Some(timing) = self.timing {
            command += &format!(" --timing {}", timing.name());
        }
        if !self.without.is_empty() {
            command += &format!(" --without {}", names(&self.without));
        }
        if let Some(only) = &self.only {
            command += &format!(" --only {}", names(only));
        }
        if self.real {
            command += " --ledger real";
        }
        if let Some(mutant) = &self.mutant {
            command += &format!(" --mutant {mutant}");
        }
        command + " --trace"
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The oracle's id: A1, A5, …
    pub oracle: String,
    /// What was seen.
    pub message: String,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
}

/// What one run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub options: Options,
    /// How many honest nodes there were.
    pub nodes: usize,
    /// The fault classes that the seed drew.
    pub faults: Vec<Fault>,
    /// SHA-256 over all events.
    pub trace_hash: String,
    /// How many events.
    pub events: u64,
    /// Virtual time that passed, in milliseconds.
    pub virtual_ms: u64,
    /// The lowest height at the end.
    pub blocks: u64,
    /// How often which named event happened (A15).
    pub coverage: BTreeMap<String, u64>,
    /// The broken rule, if any.
    pub violation: Option<Violation>,
    /// The command that replays it.
    pub command: String,
    /// The readable trace, if it was asked for.
    pub trace: Vec<String>,
}

impl Report {
    /// Whether the run is too short to say much.
    pub fn is_short(&self) -> bool {
        let saw = |name| self.coverage.contains_key(name);
        let is_without_story = match self.options.subject {
            Subject::Pow => !saw("reorg") || !saw("healing"),
            Subject::Pbft | Subject::Paxos | Subject::Zab => !saw("view change"),
        };
        self.blocks < 20 || is_without_story
    }
}

/// What many runs found; a range goes on where it stopped when it is given its own report again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeReport {
    /// The next seed.
    pub next_seed: u64,
    /// Runs so far.
    pub runs: u64,
    /// Events so far.
    pub events: u64,
    /// Runs that ended well and yet decided fewer than twenty blocks, or saw no reorganisation, healing or
    /// view change.
    pub short_runs: u64,
    /// Runs in which each named event happened (A15).
    pub coverage: BTreeMap<String, u64>,
    /// The runs that broke a rule, at most [`RangeReport::VIOLATIONS`].
    pub violations: Vec<Report>,
}

impl RangeReport {
    /// How many violations are kept.
    pub const VIOLATIONS: usize = 16;

    /// A range that begins at `seed`.
    pub fn starting_at(seed: u64) -> Self {
        Self { next_seed: seed, ..Self::default() }
    }

    /// Counts a run in.
    pub fn add(&mut self, report: Report) {
        self.next_seed = self.next_seed.max(report.options.seed.saturating_add(1));
        self.runs += 1;
        self.events += report.events;
        self.short_runs += u64::from(report.violation.is_none() && report.is_short());
        for name in report.coverage.keys() {
            *self.coverage.entry(name.clone()).or_default() += 1;
        }
        if report.violation.is_some() && self.violations.len() < Self::VIOLATIONS {
            self.violations.push(report);
        }
    }

    /// Joins the findings of another worker on other seeds.
    pub fn merge(&mut self, other: Self) {
        self.next_seed = self.next_seed.max(other.next_seed);
        self.runs += other.runs;
        self.events += other.events;
        self.short_runs += other.short_runs;
        for (name, count) in other.coverage {
            *self.coverage.entry(name).or_default() += count;
        }
        let room = Self::VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.into_iter().take(room));
    }
}
