//! The wrong lines of the ledger and its log that whole nodes must catch.

use synod_consensus::sim::mutants::{Caught, Mutant};

const fn running(id: &'static str, meaning: &'static str) -> Mutant {
    Mutant { id, meaning, caught: Caught::Running }
}

/// Those of them that a disk's twin can show. What sled keeps lies outside it: `sto-2-head-apart` and
/// `sto-4-branch` die in the ledger's own tests.
pub const MUTANTS: &[Mutant] = &[
    running("gen-4-continue-after-eio", "the log goes on after a failed write or sync"),
    running("pow-9-layer-order", "layers are dropped in the wrong order"),
    running("sto-1-ack-before-sync", "a frame counts as durable before its sync"),
    running("sto-1-ignore-checksum", "a frame's checksum is not looked at"),
    running("sto-1-ignore-middle", "a bad frame in the middle is taken for a torn tail"),
];
