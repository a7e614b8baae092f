//! The deterministic simulator: whole networks of replicas in one thread, under every fault that we know,
//! in virtual time (`faults.md`; after TigerBeetle's VOPR and FoundationDB's simulation).
//!
//! A seed draws a subset of faults and their rates, and everything random in the run follows from it. Each
//! run has a safety phase in which anything goes, then healing, then a phase in which progress is demanded
//! (A6). The observer judges the one law at every step. Whatever breaks comes with the command that tells
//! the same story again, and can be shrunk to a shorter one.
//!
//! - [`scheduler`], [`network`], [`journal`], [`ledger`]: the kernel's twins of time, network and disk.
//! - [`swarm`]: which faults; [`trace`]: what happened, as a hash; [`report`]: what was found.
//! - [`committee`]: the world of a committee: members, liars, clients, the observer, the auditor.
//! - [`pow`]: the world of proof of work: miners, an attacker, the observer.
//! - [`range`]: many seeds; [`mod@shrink`]: a shorter scenario; `mutants`: the table of wrong lines.
//!
//! Threads and the wall clock are the caller's: a range goes on from its own report.

pub mod committee;
pub mod journal;
pub mod ledger;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod network;
pub mod pow;
pub mod range;
pub mod report;
pub mod scheduler;
pub mod shrink;
pub mod swarm;
pub mod trace;

pub use ledger::{Complaint, DiskState, Ledger, ModelLedger, SyncError, Template};
pub use range::run_range;
pub use report::{Options, RangeReport, Report, Subject, Timing, Violation};
pub use shrink::shrink;
pub use swarm::{Fault, Swarm};

use std::cell::RefCell;
use std::rc::Rc;

/// Runs one seed on the model ledger.
pub fn run(options: &Options) -> Report {
    if options.subject != Subject::Pow {
        return committee::run(options);
    }
    let archive: ledger::SharedArchive = Rc::new(RefCell::default());
    let open = |_| ModelLedger::new(pow::genesis(), Rc::clone(&archive));
    let setting = pow::Setting { parameters: pow::parameters(), genesis: pow::genesis(), open: &open };
    pow::run(options, &setting)
}
