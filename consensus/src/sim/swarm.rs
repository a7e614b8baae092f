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
    /// S-D5: a bit of a disk flips while its node is off (on real ledgers).
    Rot = "rot",
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
    /// S-B1: a member tells two stories.
    Equivocate = "equivocate",
    /// S-B2: a member runs twice, each copy seen by others.
    Twins = "twins",
    /// S-B3: a member says nothing to some.
    Silence = "silence",
    /// S-B4: proposals without their bodies.
    WithholdBody = "withhold-body",
    /// S-B5: certificates with too little in them, new views that do not follow.
    BadCertificate = "bad-certificate",
    /// S-B6: a member votes for whatever it hears of, in every view.
    DoubleVote = "double-vote",
    /// S-B7: view changes in masses, to views far away.
    ViewSpam = "view-spam",
    /// S-B8: old messages again.
    StaleReplay = "stale-replay",
    /// S-B9: wrong blocks for whoever catches up.
    LyingSync = "lying-sync",
    /// S-B10: a primary just inside the timeout, with small batches, that leaves a client out.
    SlowPrimary = "slow-primary",
    /// S-B11: a member that forgets its votes when it restarts.
    Amnesia = "amnesia",
    /// S-B12: a field of a message a little off, signed again.
    Mutation = "mutation",
    /// S-B13: statements in another's name.
    Impersonation = "impersonation",
}

impl Fault {
    /// Whether it can happen to a network under proof of work.
    pub fn is_of_miners(self) -> bool {
        self <= Self::Eclipse
    }

    /// Whether it can happen to a committee.
    pub fn is_of_committees(self) -> bool {
        let is_for_miners_alone = matches!(self, Self::Garble | Self::DiskFull | Self::Rollback | Self::Rot);
        !is_for_miners_alone && (self <= Self::Clock || self >= Self::Equivocate)
    }

    /// Whether it can happen to a committee whose members crash and do not lie.
    pub fn is_of_crashes(self) -> bool {
        self.is_of_committees() && self <= Self::Clock
    }
}

/// The faults of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm(Vec<Fault>);

impl Swarm {
    /// A subset of the classes that can happen, drawn from `random`, each class in two runs of five; never those of `without`.
    pub fn draw(random: &mut Random, without: &[Fault], can_happen: fn(Fault) -> bool) -> Self {
        let classes = Fault::ALL.iter().copied().filter(|fault| can_happen(*fault));
        let drawn: Vec<Fault> = classes.filter(|_| random.chance(400_000)).collect();
        Self(drawn.into_iter().filter(|fault| !without.contains(fault)).collect())
    }

    /// Exactly these.
    pub fn only(faults: &[Fault]) -> Self {
        Self(faults.to_vec())
    }

    /// The same faults but for these.
    pub fn without(self, classes: &[Fault]) -> Self {
        Self(self.0.into_iter().filter(|fault| !classes.contains(fault)).collect())
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
