//! Which faults a seed runs with: a random subset, with random rates (the swarm; `faults.md`).

use serde::{Deserialize, Serialize};

use crate::random::Random;

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A class of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Fault {
            $($(#[$doc])* $variant,)*
        }

        impl Fault {
            /// All classes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

faults! {
    /// S-N1: long and different delays, so that messages overtake each other.
    Delay = "delay",
    /// S-N2: messages get lost.
    Loss = "loss",
    /// S-N3: messages come twice, some of them much later.
    Duplicate = "duplicate",
    /// S-N4: frames are damaged, cut short, stretched or replaced by garbage on their way.
    Garble = "garble",
    /// S-N5: the network falls into two parts.
    Partition = "partition",
    /// S-N5: one direction between two groups is cut.
    OneWay = "one-way",
    /// S-N6: a link stalls, then everything comes at once.
    Clog = "clog",
    /// S-N7: a link holds few messages and drops the newest.
    Capacity = "capacity",
    /// S-C1, S-D1, S-D2: a node loses power, and with it unsynced writes, whole or in part.
    Crash = "crash",
    /// S-C2: all nodes lose power at once.
    PowerCut = "power-cut",
    /// S-C3: a node stands still for a while.
    Pause = "pause",
    /// S-C6: a slow disk.
    SlowDisk = "slow-disk",
    /// S-D3: a sync fails; the node must stop, and starts again.
    SyncError = "sync-error",
    /// S-D4: a disk is full for a while: writes end short, and nothing becomes durable.
    DiskFull = "disk-full",
    /// S-C4: a node comes back with an empty disk, as the same peer.
    Wipe = "wipe",
    /// S-C5: a node comes back with an older state of its disk, as from a restored snapshot.
    Rollback = "rollback",
    /// S-T1: clocks are wrong, drift, jump and stand still.
    Clock = "clock",
    /// S-P1: a miner keeps a branch to itself and releases it late.
    Selfish = "selfish",
    /// S-P1: the attacker's block times are as low or as high as they can be.
    Timewarp = "timewarp",
    /// S-P1: headers of little work, and orphans, in masses.
    Flood = "flood",
    /// S-P1: blocks with valid headers that execution refuses.
    InvalidBlock = "invalid-block",
    /// S-P1, S-B1: a valid header with a body that is not its own.
    WrongBody = "wrong-body",
    /// S-B4: headers whose bodies nobody gets.
    Withhold = "withhold",
    /// S-B9: a peer that claims a great chain and shows none.
    Liar = "liar",
    /// S-P2: a victim that hears the attacker alone.
    Eclipse = "eclipse",
}

/// The faults of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm(Vec<Fault>);

impl Swarm {
    /// A subset drawn from `random`, each class in two runs of five; never those of `without`.
    pub fn draw(random: &mut Random, without: &[Fault]) -> Self {
        let drawn: Vec<Fault> = Fault::ALL.iter().copied().filter(|_| random.chance(400_000)).collect();
        Self(drawn.into_iter().filter(|fault| !without.contains(fault)).collect())
    }

    /// Exactly these.
    pub fn only(faults: &[Fault]) -> Self {
        Self(faults.to_vec())
    }

    /// Whether the class is in.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// The classes.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}
