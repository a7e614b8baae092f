//! Message delays from a proposal to its decision, against theory: each message takes one, disks and ledgers none.
//!
//! | | leader | others | certificate |
//! |---|---|---|---|
//! | PBFT | 3: PRE-PREPARE, PREPARE, COMMIT | 3 | 4: all attest |
//! | Multi-Paxos | 2: ACCEPT, ACCEPTED | 3: COMMIT | 4; of three 3, where the leader and one more are a quorum |
//! | Zab | 2: PROPOSE, ACK | 3: COMMIT | as Multi-Paxos |

use synod_types::Slot;

use super::stage::{Delays, delays};
use crate::zab::messages::{Basis, Message};
use crate::zab::{Point, ZabEpoch};
use crate::{paxos, pbft, zab};

/// The leader's, the others', and the others' to the certificate; all of these are equal.
fn table_line(name: &str, leader: usize, found: &Delays) -> [u64; 3] {
    let others = |of: &[Option<u64>]| {
        let mut of: Vec<u64> =
            (0..of.len()).filter(|at| *at != leader).map(|at| of[at].expect("it gets there")).collect();
        of.dedup();
        assert_eq!(of.len(), 1, "{name}: the others differ: {found:?}");
        of[0]
    };
    let line = [found.decided[leader].expect("decided"), others(&found.decided), others(&found.certified)];
    println!(
        "{name:<14} n = {}: leader {}, others {}, certificate {}",
        found.decided.len(),
        line[0],
        line[1],
        line[2]
    );
    line
}

#[test]
fn decisions_take_as_many_message_delays_as_theory_says() {
    let mut stages: Vec<_> = (0..4).map(pbft::stage::Stage::new).collect();
    assert_eq!(table_line("PBFT", 0, &delays(&mut stages, 0)), [3, 3, 4]);
    for members in [3u8, 5, 7] {
        let certificate = if members == 3 { 3 } else { 4 };
        let mut stages: Vec<_> = (0..members)
            .map(|me| paxos::stage::Stage::with(members, me.into(), paxos::Limits::default()))
            .collect();
        let others: Vec<_> = (1..members).map(|member| (member, Vec::new())).collect();
        stages[0].lead(&others);
        assert_eq!(table_line("Multi-Paxos", 0, &delays(&mut stages, 0)), [2, 3, certificate]);

        let mut stages: Vec<_> = (0..members)
            .map(|me| zab::stage::Stage::of(members, me.into(), zab::Limits::default()))
            .collect();
        let leader = members - 1;
        let others: Vec<u8> = (0..leader).collect();
        let epoch = stages[usize::from(leader)].lead(&others);
        for other in others {
            let stage = &mut stages[usize::from(other)];
            stage.take(leader, epoch.0, Basis::Diff(Point::default()), Vec::new());
            stage.hear(leader, Message::CommitLeader { epoch: ZabEpoch(epoch.0), through: Slot(0) });
        }
        let leader = usize::from(leader);
        assert_eq!(table_line("Zab", leader, &delays(&mut stages, leader)), [2, 3, certificate]);
    }
}
