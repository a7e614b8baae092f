//! The network's twin: delay, loss, duplication, late replay, reordering, cut links, clogs, full queues.

use super::swarm::{Fault, Swarm};
use crate::random::Random;
use crate::time::Time;

/// A replayed message comes at most so much later, in milliseconds.
const REPLAY_MS: u64 = 20_000;

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    mean_us: u64,
    cut: bool,
    /// A clogged link delivers nothing before; then all.
    clogged_until: Time,
    in_flight: u32,
}

/// All links, and the rates of this run.
#[derive(Debug)]
pub struct Network {
    nodes: usize,
    links: Vec<Link>,
    loss_ppm: u64,
    duplicate_ppm: u64,
    replay_ppm: u64,
    garble_ppm: u64,
    capacity: u32,
    /// The side of each node while the network is in two parts for good.
    sides: Option<Vec<bool>>,
    /// Nothing that is sent before arrives.
    silent_until: Time,
}

/// When a message arrives: not at all, once, or more often.
pub type Arrivals = [Option<Time>; 2];

impl Network {
    /// The network of a run.
    pub fn new(nodes: usize, swarm: &Swarm, random: &mut Random) -> Self {
        let slow = swarm.has(Fault::Delay);
        let links = (0..nodes * nodes)
            .map(|_| Link {
                mean_us: if slow { log_uniform(random, 1_000, 500_000) } else { random.between(500, 20_000) },
                ..Link::default()
            })
            .collect();
        let rate =
            |on: bool, random: &mut Random, high| if on { log_uniform(random, 1_000, high) } else { 0 };
        Self {
            nodes,
            links,
            loss_ppm: rate(swarm.has(Fault::Loss), random, 400_000),
            duplicate_ppm: rate(swarm.has(Fault::Duplicate), random, 500_000),
            replay_ppm: rate(swarm.has(Fault::Duplicate), random, 50_000),
            garble_ppm: rate(swarm.has(Fault::Garble), random, 50_000),
            sides: None,
            silent_until: Time(0),
            capacity: if swarm.has(Fault::Capacity) { random.between(2, 20) as u32 } else { u32::MAX },
        }
    }

    /// Everything that ails the network stops; delays become small.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            *link = Link { mean_us: link.mean_us.min(20_000), in_flight: link.in_flight, ..Link::default() };
        }
        (self.loss_ppm, self.duplicate_ppm, self.replay_ppm, self.garble_ppm) = (0, 0, 0, 0);
        self.capacity = u32::MAX;
    }

    /// Parts the network in two, whatever is cut and joined besides, or makes it whole again.
    pub fn part(&mut self, sides: Option<Vec<bool>>) {
        self.sides = sides;
    }

    /// Loses everything that is sent before `until`, and tells nobody.
    pub fn hush(&mut self, until: Time) {
        self.silent_until = until;
    }

    /// Whether a message is damaged on its way.
    pub fn garbles(&self, random: &mut Random) -> bool {
        random.chance(self.garble_ppm)
    }

    fn is_parted(&self, from: usize, to: usize) -> bool {
        self.sides.as_ref().is_some_and(|sides| sides[from] != sides[to])
    }

    /// Delays become `mean_us` on average on every link: a bound that holds, and that nobody was told.
    pub fn slow_down(&mut self, mean_us: u64) {
        for link in &mut self.links {
            link.mean_us = mean_us;
        }
    }

    /// Sends one message.
    pub fn send(&mut self, from: usize, to: usize, now: Time, random: &mut Random) -> Arrivals {
        let (loss, duplicate, replay) = (self.loss_ppm, self.duplicate_ppm, self.replay_ppm);
        let capacity = self.capacity;
        if now < self.silent_until || self.is_parted(from, to) {
            return [None, None];
        }
        let link = &mut self.links[from * self.nodes + to];
        if link.cut || link.in_flight >= capacity || random.chance(loss) {
            return [None, None];
        }
        let mut arrivals = [Some(arrival(link, now, random)), None];
        if random.chance(duplicate) {
            arrivals[1] = Some(arrival(link, now, random));
        } else if random.chance(replay) {
            arrivals[1] = Some(now.plus_ms(random.below(REPLAY_MS)));
        }
        link.in_flight += arrivals.iter().flatten().count() as u32;
        arrivals
    }

    /// A message arrived; `false` when its link is cut meanwhile, so that it is lost.
    pub fn arrive(&mut self, from: usize, to: usize) -> bool {
        let is_parted = self.is_parted(from, to);
        let link = &mut self.links[from * self.nodes + to];
        link.in_flight -= 1;
        !link.cut && !is_parted
    }

    /// Cuts or joins one direction.
    pub fn cut(&mut self, from: usize, to: usize, cut: bool) {
        self.links[from * self.nodes + to].cut = cut;
    }

    /// Stalls one direction until `until`.
    pub fn clog(&mut self, from: usize, to: usize, until: Time) {
        self.links[from * self.nodes + to].clogged_until = until;
    }
}

/// An exponential delay, in whole microseconds: sixteen times the mean at most.
fn arrival(link: &Link, now: Time, random: &mut Random) -> Time {
    // ⌊-log2 u⌋ of a uniform u is geometric; the fraction is drawn uniformly, which is close enough.
    let octaves = u64::from(random.next_u64().leading_zeros().min(15));
    let delay = link.mean_us * (octaves * 1000 + random.below(1000)) / 1443 + 1;
    now.plus_us(delay).max(link.clogged_until)
}

/// A number whose logarithm is spread evenly from `low` to `high`.
pub fn log_uniform(random: &mut Random, low: u64, high: u64) -> u64 {
    let (low_bits, high_bits) = (low.max(1).ilog2(), high.max(1).ilog2());
    let bits = random.between(u64::from(low_bits), u64::from(high_bits));
    ((1 << bits) + random.below(1 << bits)).clamp(low, high)
}
