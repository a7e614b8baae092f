//! How a run ends: the faults stop, and then the network owes progress (A6).
//!
//! 1. The faults end when the chain is long enough, or after a while. If no branch was ever left by then, the
//!    network is parted once more until both parts have mined, so that every run contains a reorganisation.
//! 2. Healing. Clocks that were wrong leave difficulties that need a while to find back; A6 counts from there.
//! 3. Within ten block intervals all tips share all but six blocks, and they go on. The run has to decide its
//!    blocks and to see a reorganisation.
//! 4. The last words: one more block is found, its announcement is lost for everybody, and nobody mines any
//!    more. What gets lost must be asked for again (GEN-8), or the others never hear of it.

use synod_types::BlockHash;

use super::facts::target;
use super::{GENESIS_BITS, World};
use crate::sim::ledger::Ledger;
use crate::time::Time;

/// How deep tips may differ after healing.
const PREFIX: u64 = 6;
/// A run decides so many blocks, unless it was asked for fewer.
const DECIDED: u64 = 20;
/// The faults end at the latest then, in milliseconds.
const SAFETY_MS: u64 = 240_000;
/// Both parts of a network find a block in this time.
const PARTED_MS: u64 = 300_000;
/// How often a network is parted at most.
const PARTINGS: u64 = 5;
/// After healing, the difficulty has so long to find back to its ordinary pace. Clocks that were a minute
/// ahead leave a chain whose times must first come true, and a halted network one that catches up with its
/// schedule in blocks of two hashes each; that a block takes longer than its way is what A6 presupposes.
const CALM_MS: u64 = 180_000;
/// Ten block intervals to converge, and five more to stay so.
const CONVERGE_MS: u64 = 10 * super::SPACING * 1000;
const STAY_MS: u64 = 5 * super::SPACING * 1000;
/// At an ordinary pace the blocks that are still missing come in this time by far.
const DECIDE_MS: u64 = 300_000;
/// Nothing that is sent in this time after the last block arrives.
const HUSH_MS: u64 = 2_000;
/// A lost announcement is made up for in this time.
const LAST_WORDS_MS: u64 = 60_000;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Anything goes.
    Faults,
    /// The network is in two parts until both have mined.
    Parted { since: Time },
    /// The faults are over.
    Healed { since: Time },
    /// The difficulty is ordinary again; the heaviest tip had this height then.
    Calm { since: Time, height: u64, converged: bool, apart: Option<Time> },
    /// The next block will be the last.
    LastBlock,
    /// It was found.
    LastWords { since: Time },
    /// The run is over.
    Over,
}

impl<L: Ledger> World<'_, L> {
    /// Goes on to the next stage if it is time.
    pub(super) fn go_on(&mut self) {
        let now = self.scheduler.now();
        match self.stage {
            Stage::Faults if self.is_enough() => self.end_faults(),
            Stage::Parted { since } if self.both_parts_mined() || now > since.plus_ms(PARTED_MS) => {
                self.network.part(None);
                self.heal();
                self.stage = Stage::Healed { since: now };
            }
            Stage::Healed { since } => self.look_for_calm(since),
            Stage::Calm { since, height, converged, apart } => {
                self.look_for_progress(since, height, converged, apart);
            }
            Stage::LastWords { since } => self.look_for_last_words(since),
            Stage::Faults | Stage::Parted { .. } | Stage::LastBlock | Stage::Over => {}
        }
    }

    fn is_enough(&self) -> bool {
        let is_long = self.scheduler.now().0 / 1000 >= SAFETY_MS;
        is_long || self.facts.height(self.public_tip()) >= self.target_blocks
    }

    fn end_faults(&mut self) {
        let since = self.scheduler.now();
        self.heal();
        if self.nodes.len() < 2 || self.coverage.contains_key("reorg") {
            self.stage = Stage::Healed { since };
            return;
        }
        self.part_for_a_reorganisation();
    }

    fn part_for_a_reorganisation(&mut self) {
        let since = self.scheduler.now();
        self.count("parted for a reorganisation");
        let mut sides: Vec<bool> = (0..=self.nodes.len()).map(|_| self.random.chance(500_000)).collect();
        (sides[0], sides[1]) = (true, false);
        self.trace.line(since, || format!("parted: {sides:?}"));
        self.network.part(Some(sides.clone()));
        self.sides = sides;
        self.stage = Stage::Parted { since };
    }

    fn may_part_again(&self) -> bool {
        self.coverage.get("parted for a reorganisation").is_some_and(|count| *count < PARTINGS)
    }

    /// Whether the best tips of both parts are on different branches.
    fn both_parts_mined(&self) -> bool {
        let best = |side: bool| {
            let tips = self.nodes.iter().zip(&self.sides).filter(|(_, at)| **at == side);
            tips.map(|(node, _)| node.ledger.tip()).max_by_key(|tip| self.facts.work(*tip))
        };
        let (Some(left), Some(right)) = (best(true), best(false)) else { return false };
        !self.facts.is_below(left, right) && !self.facts.is_below(right, left)
    }

    fn look_for_calm(&mut self, healed: Time) {
        let now = self.scheduler.now();
        if self.is_calm() {
            let height = self.facts.height(self.public_tip());
            self.stage = Stage::Calm { since: now, height, converged: false, apart: None };
        } else if now >= healed.plus_ms(CALM_MS) {
            self.violate("A6", || "the difficulty did not find back to its ordinary pace".to_owned());
        }
    }

    /// No block of any chain is from the future, and a block takes a quarter to twice its ordinary work.
    fn is_calm(&self) -> bool {
        let ordinary = target(GENESIS_BITS);
        let has_ordinary_pace = |tip: BlockHash| {
            let bits = self.facts.get(tip).map_or(0, |fact| fact.header.bits);
            (ordinary >> 1..=ordinary << 2).contains(&target(bits))
        };
        self.times_have_come() && self.nodes.iter().all(|node| has_ordinary_pace(node.ledger.tip()))
    }

    fn times_have_come(&self) -> bool {
        let now = self.true_ms() / 1000;
        let latest = |tip: BlockHash| u64::from(self.facts.latest_time(tip));
        self.nodes.iter().all(|node| latest(node.ledger.tip()) <= now + 1)
    }

    fn look_for_progress(&mut self, since: Time, height: u64, converged: bool, apart: Option<Time>) {
        let now = self.scheduler.now();
        if !converged && self.spread() <= PREFIX {
            self.count("healing");
            self.count_wiped();
            self.stage = Stage::Calm { since, height, converged: true, apart };
        } else if !converged && !self.times_have_come() {
            // A node may keep a branch that it took while its clock was ahead, and go over to it only now: the others
            // may not, before its times have come.
            self.stage = Stage::Healed { since: now };
            return;
        } else if !converged && now > since.plus_ms(CONVERGE_MS) {
            return self.violate_divergence("within ten block intervals after healing");
        }
        if now < since.plus_ms(CONVERGE_MS + STAY_MS) {
            return;
        }
        let is_higher = self.facts.height(self.public_tip()) > height;
        let decided = self.lowest();
        let has_reorg = self.nodes.len() < 2 || self.coverage.contains_key("reorg");
        if is_higher && decided >= DECIDED.min(self.target_blocks) && has_reorg {
            // Still together, if blocks still take their time. A branch that was kept back and outweighs theirs may
            // come at this very moment: then they have to find together again as after healing.
            if self.spread() > PREFIX && self.is_calm() {
                let apart = apart.unwrap_or(now);
                self.stage = Stage::Calm { since, height, converged, apart: Some(apart) };
                if now > apart.plus_ms(CONVERGE_MS) {
                    self.violate_divergence("at the end");
                }
                return;
            }
            self.check_waiting(since);
            self.stage = Stage::LastBlock;
        } else if is_higher && decided >= DECIDED.min(self.target_blocks) && self.may_part_again() {
            // One part may have found nothing in its time, or both the same.
            self.part_for_a_reorganisation();
        } else if now >= since.plus_ms(DECIDE_MS) {
            self.violate("A6", || {
                format!(
                    "{decided} blocks decided long after healing, at height {height} then; reorganised: {has_reorg}"
                )
            });
        }
    }

    /// What clients had submitted before the network was calm is executed.
    fn check_waiting(&mut self, calm: Time) {
        let tip = self.public_tip();
        let Some(node) = self.nodes.iter().position(|node| node.ledger.tip() == tip) else { return };
        if self.nodes[node].ledger.waits_since().is_some_and(|since| since < calm) {
            self.violate("A6", || {
                format!("a transaction that waits since before {calm} is not executed at {tip}")
            });
        }
    }

    /// Somebody found a block.
    pub(super) fn block_was_found(&mut self) {
        if self.stage == Stage::LastBlock {
            let now = self.scheduler.now();
            self.network.hush(now.plus_ms(HUSH_MS));
            self.stage = Stage::LastWords { since: now };
        }
    }

    /// Whether miners are at rest.
    pub(super) fn is_mining_over(&self) -> bool {
        matches!(self.stage, Stage::LastWords { .. } | Stage::Over)
    }

    fn look_for_last_words(&mut self, since: Time) {
        let works: Vec<_> = self.nodes.iter().map(|node| self.facts.work(node.ledger.tip())).collect();
        let now = self.scheduler.now();
        if now > since.plus_ms(HUSH_MS) && works.windows(2).all(|pair| pair[0] == pair[1]) {
            self.stage = Stage::Over;
        } else if now > since.plus_ms(LAST_WORDS_MS) {
            self.violate_divergence("though nothing was lost but the last block's announcement");
        }
    }

    fn violate_divergence(&mut self, when: &str) {
        let tips: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let (tip, replica) = (node.ledger.tip(), node.replica.as_ref());
                let waits_for =
                    replica.map_or_else(|| "power".to_owned(), |replica| replica.status().waits_for);
                format!("{tip} at {} (waits for {waits_for})", self.facts.height(tip))
            })
            .collect();
        let spread = self.spread();
        self.violate("A6", || format!("the tips differ by {spread} blocks {when}: {}", tips.join(", ")));
    }

    /// How many blocks some tip has above the block that all tips share.
    fn spread(&self) -> u64 {
        let tips: Vec<BlockHash> = self.nodes.iter().map(|node| node.ledger.tip()).collect();
        let common = tips.iter().fold(tips[0], |common, tip| self.facts.common(common, *tip));
        let highest = tips.iter().map(|tip| self.facts.height(*tip)).max().unwrap_or(0);
        highest - self.facts.height(common)
    }

    /// The lowest tip's height.
    pub(super) fn lowest(&self) -> u64 {
        self.nodes.iter().map(|node| self.facts.height(node.ledger.tip())).min().unwrap_or(0)
    }
}
