//! The leader is killed under load: how long nothing is final, and whether anything that was is gone.
//!
//! Clients go to the other members until one leads and takes their payloads. What they had handed in before may be
//! decided by then, and is ordered a second time: a payload here has no identity beyond its bytes, so that this is
//! told, not prevented.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Lane, Line, Window, count, one_after_another};
use crate::commands::bench::load::connection::Connection;
use crate::commands::bench::load::members::Members;
use crate::commands::bench::load::step::sleep_until;
use crate::failure::{Failure, Outcome};

/// Connections, with one payload each in flight.
const LANES: u32 = 16;
/// Load before the leader is killed, and after.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Serialize)]
pub(super) struct Gap {
    /// The longest time without an answer, from the last one before the kill on.
    gap_ms: f64,
    sent: u64,
    /// Answered, and not in the logs of a quorum.
    lost: u64,
    /// Found twice in one log, over all logs: handed in again, since nobody knew.
    twice: u64,
}

impl Gap {
    pub(super) fn line(&self) -> String {
        let Self { gap_ms, sent, lost, twice } = self;
        format!(
            "the leader killed: nothing final for {gap_ms:.0} ms; of {sent} payloads {lost} lost, {twice} found twice (over all logs)"
        )
    }
}

/// Kills the leader of these members.
pub(super) fn measure(mut members: Members, quorum: usize) -> Outcome<Gap> {
    let begun = Instant::now() + Duration::from_millis(100);
    let window = Window { begun, from: begun, to: begun + BEFORE + AFTER };
    let (urls, leader) = (members.urls.clone(), members.leader);
    let (lanes, killed) = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..LANES)
            .map(|lane| {
                let urls = &urls;
                scope.spawn(move || {
                    let connection = Connection::open(&urls[leader])?;
                    let mut line = Line { urls, at: leader, connection, goes_on: true };
                    one_after_another(&mut line, lane, LANES, LANES, window)
                })
            })
            .collect();
        sleep_until(begun + BEFORE)?;
        let killed = members.kill_leader()?;
        let lanes = sending.into_iter().map(|lane| lane.join().expect("a lane does not panic"));
        Ok::<_, Failure>((lanes.collect::<Outcome<Vec<Lane>>>()?, killed))
    })?;
    let gap = longest(lanes.iter().flat_map(|lane| lane.answers.iter().copied()).collect(), killed)
        .ok_or_else(|| Failure::failed("bench", "nothing was final before the kill, or nothing after it"))?;
    let sent = lanes.iter().map(|lane| lane.sent).sum();
    members.catch_up()?;
    let found = count(members.stop()?.iter().map(|node| node.folder.clone()), &lanes, quorum)?;
    Ok(Gap { gap_ms: gap.as_secs_f64() * 1e3, sent, lost: sent - found.counted, twice: found.twice })
}

/// The longest time between two answers of which the later came after `killed`.
fn longest(mut answers: Vec<Instant>, killed: Instant) -> Option<Duration> {
    answers.sort_unstable();
    let gaps = answers.windows(2).filter(|pair| pair[1] > killed);
    gaps.map(|pair| pair[1] - pair[0]).max()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_the_longest_silence_that_ends_after_the_kill() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let answers = vec![at(0), at(900), at(1_300), at(1_310), at(1_000)];
        assert_eq!(longest(answers, at(1_001)), Some(Duration::from_millis(300)));
        assert_eq!(longest(vec![at(0), at(900)], at(1_000)), None);
    }
}
