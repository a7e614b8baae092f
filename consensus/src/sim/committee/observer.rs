//! The observer: what each honest member owes, judged at every step.
//!
//! - A1: one block at each height at all honest members, ever; what each ordering promises of its votes
//!   ([`super::ordering::Judge`]).
//! - A2: an independent re-execution of what was submitted finds the same state; A4: no money appears or goes
//!   (each node judges these with its chain's second bookkeeping).
//! - A5: what was certified stays. A7: nothing grows beyond its bound.
//! - A6: after healing every transaction is executed by every member of the core within the bound.
//! - A10: after a power cut a member still stands for what it had said. A12, A14: equal hashes at equal heights,
//!   also after the log was replayed.

use std::collections::{BTreeMap, BTreeSet};

use synod_types::{BlockHash, Height};

use super::application::{Chain, Node};
use super::ordering::{Broken, Judge, Ordering};
use super::{AFTER_MS, AUDIT_MS, DELTA_MS, Event, MessageOf, SAFETY_MS, TIMEOUT_CAP_MS, World};
use crate::committee::{Certificate, History, MemberIndex};
use crate::protocol::Peer;
use crate::random::Random;
use crate::replica::Replica;
use crate::sim::ledger::Complaint;
use crate::sim::report::Timing;
use crate::time::Time;

/// What was seen of the chain.
#[derive(Default)]
pub(super) struct Observer {
    /// The block at each height, as the first honest member appended it.
    chain: BTreeMap<u64, BlockHash>,
    certified: BTreeMap<u64, BlockHash>,
    /// Since when everything that was submitted is executed.
    done_since: Option<Time>,
}

impl<C: Chain> World<C> {
    /// An honest member appended a block at a height.
    pub(super) fn check_block(&mut self, at: usize, height: u64) {
        if !self.processes[at].is_honest() {
            return;
        }
        let Some(hash) = self.processes[at].node.hash_at(height) else { return };
        match self.observer.chain.get(&height).copied() {
            Some(first) if first != hash => {
                return self.violate("A1", || {
                    format!("process {at} has {hash} at height {height}, another {first}")
                });
            }
            Some(_) => return,
            None => {}
        }
        self.observer.chain.insert(height, hash);
        if let Some(certified) = self.observer.certified.get(&height).copied().filter(|known| *known != hash)
        {
            self.violate("A1", || format!("height {height} holds {hash} and is certified as {certified}"));
        }
    }

    pub(super) fn check_certificate(&mut self, at: usize, certificate: &Certificate) {
        if !self.processes[at].is_honest() {
            return;
        }
        let (height, hash) = (certificate.statement.height.0, certificate.statement.block_hash);
        if let Err(error) = certificate.verify(&self.processes[at].committee) {
            return self.violate("A1", || format!("process {at} holds a certificate that is none: {error}"));
        }
        let known = self.observer.certified.insert(height, hash);
        let ours = self.observer.chain.get(&height).copied();
        if known.is_some_and(|known| known != hash) || ours.is_some_and(|ours| ours != hash) {
            self.violate("A1", || format!("height {height} is certified as {hash}, and holds another block"));
        }
    }

    /// What an honest member says is remembered, and judged.
    pub(super) fn note_sent(&mut self, at: usize, to: Option<Peer>, message: &MessageOf<C>) {
        let process = &mut self.processes[at];
        let Some(replica) = process.replica.as_ref().filter(|_| process.liar.is_none()) else { return };
        if let Some(known) = C::Ordering::attested(message) {
            process.attested.insert(known.statement.height, known.statement.block_hash);
        }
        let committee = &process.committee;
        let judge = self.judges.entry(committee.epoch()).or_default();
        let broken = judge.said(replica.protocol(), &mut process.sent, to, message, committee);
        self.accuse_of(at, broken);
    }

    /// What an honest member takes in is judged, too.
    pub(super) fn note_heard(&mut self, at: usize, message: &MessageOf<C>) {
        if self.processes[at].is_honest() {
            let committee = &self.processes[at].committee;
            let broken = self.judges.entry(committee.epoch()).or_default().heard(message, committee);
            self.accuse_of(at, broken);
        }
    }

    /// Members that are proven to have lied, in whatever epoch.
    pub(super) fn named(&self) -> BTreeSet<MemberIndex> {
        self.judges.values().flat_map(Judge::named).collect()
    }

    fn accuse_of(&mut self, at: usize, broken: Broken) {
        for (oracle, message) in broken {
            self.violate(oracle, || format!("process {at}: {message}"));
        }
    }

    /// After a start: the memory justifies everything that was said (A10), and the log holds it (A5).
    pub(super) fn check_kept(&mut self, at: usize) {
        let process = &self.processes[at];
        let Some(replica) = process.replica.as_ref().filter(|_| process.is_honest()) else { return };
        if process.signer.is_none() {
            return;
        }
        if let Some(lost) = lost_promise(replica.protocol(), &process.node, &process.sent, &process.attested)
        {
            self.violate("A10", || format!("process {at} forgot {lost}"));
        }
    }

    /// What a power cut at this moment would leave justifies everything that was said, too (A10).
    fn imagine_power_cut(&mut self, at: usize) {
        let process = &self.processes[at];
        if process.replica.is_none() || !process.is_honest() || process.signer.is_none() {
            return;
        }
        let mut random = Random::new(self.scheduler.now().0);
        let mut left = process.node.after_power_cut(&mut random);
        let complaint = left.complaint();
        let (committee, has_ended) = self.standing(&left, &process.ends);
        if committee.epoch() != process.committee.epoch() {
            return self.violate("A10", || format!("process {at} would forget its epoch in a power cut"));
        }
        let (proof, records) = (left.proof(), left.records());
        let history = History { has_ended, ..left.history(&committee) };
        let (now, wall) = (self.scheduler.now(), self.wall(at));
        let replica =
            Replica::<C::Ordering>::recover(self.config(at), records, history, &proof, 0, now, wall);
        if let Some(Complaint { oracle, message }) = complaint {
            self.violate(oracle, || format!("process {at} after a power cut: {message}"));
        }
        let process = &self.processes[at];
        if let Some(lost) = lost_promise(replica.protocol(), &left, &process.sent, &process.attested) {
            self.violate("A10", || format!("process {at} would forget {lost} in a power cut"));
        }
    }

    /// Looks at everything now and then, heals when it is time, and demands progress.
    pub(super) fn audit(&mut self) {
        let now = self.scheduler.now();
        self.trace.event(now, 9, 0, 0);
        for at in 0..self.processes.len() {
            self.check_bounds(at);
        }
        self.imagine_power_cut((now.0 / 1000 / AUDIT_MS) as usize % self.processes.len());
        if self.judges.values().any(|judge| judge.worthless() > 0) {
            self.violate("A9", || "evidence does not hold when a stranger checks it".to_owned());
        }
        if let Some(named) = self.named().into_iter().find(|member| self.is_honest(*member)) {
            self.violate("A9", || format!("the honest member {named} is named a liar"));
        }
        self.say_where_now_and_then(now);
        match self.healed_at {
            None => self.heal_if_due(now),
            Some(healed) => self.demand_progress(now, healed),
        }
        self.scheduler.schedule(now.plus_ms(AUDIT_MS), Event::Audit);
    }

    fn heal_if_due(&mut self, now: Time) {
        // Liars that are too many get more time to break something.
        let patience = if self.is_beyond_budget() { 4 } else { 1 };
        let height = self.observer.chain.len() as u64 / patience;
        let is_led_honestly = || self.leader().is_some_and(|leader| self.is_honest(leader));
        if patience > 1 && is_led_honestly() && self.random.chance(50_000) {
            self.isolate_primary();
        }
        // Where no bound ever holds a slow run goes on until it has something to say, and heals if that never comes.
        let is_slow = self.timing == Timing::Asynchronous && self.observer.chain.len() < 20;
        let is_long = now.0 / 1000 >= if is_slow { 8 * SAFETY_MS } else { SAFETY_MS };
        let has_changed = self.coverage.contains_key("view change");
        if height >= self.target_blocks && !has_changed && !is_long {
            return self.isolate_primary();
        }
        if (height >= self.target_blocks && has_changed) || is_long {
            let has_said = self.timing == Timing::Asynchronous && has_changed && !is_slow;
            if has_said || self.is_beyond_budget() {
                self.is_over = true;
                return;
            }
            self.heal();
        }
    }

    /// Whether clients still submit.
    pub(super) fn is_submitting(&self) -> bool {
        let now = self.scheduler.now();
        if self.script.is_some() {
            return self.healed_at.is_none();
        }
        let is_short = (self.observer.chain.len() as u64) < 20;
        self.healed_at.is_none_or(|healed| is_short || now < healed.plus_ms(AFTER_MS))
    }

    /// A6: (f+1)·T_cap + 8Δ. Where the bound on delays is unknown the timeout doubles until it is long
    /// enough, which takes as long as all doublings together.
    fn bound_ms(&self, healed: Time) -> u64 {
        let faults = self.committee.faults() as u64;
        match self.timing {
            // A timeout that doubled all the time is as long as all that passed.
            Timing::Asynchronous => (faults + 2) * (healed.0 / 1000).max(TIMEOUT_CAP_MS),
            Timing::UnknownBound => (faults + 2) * 64 * super::chaos::SLOW_DELTA_MS,
            _ => (faults + 1) * TIMEOUT_CAP_MS + 8 * DELTA_MS,
        }
    }

    fn demand_progress(&mut self, now: Time, healed: Time) {
        let bound = self.bound_ms(healed);
        let (mut is_done, mut late) = (true, None);
        for at in self.core.clone() {
            for (transaction, since) in &self.submitted {
                if self.processes[at].node.is_over(transaction) {
                    continue;
                }
                is_done = false;
                if now > (*since).max(healed).max(self.entered_at).plus_ms(bound) {
                    late = Some((at, transaction.clone()));
                }
            }
        }
        if let Some((at, transaction)) = late {
            let waits: Vec<String> = self
                .processes
                .iter()
                .map(|process| process.replica.as_ref().map_or("down".to_owned(), |it| it.status().waits_for))
                .collect();
            return self.violate("A6", || {
                format!(
                    "process {at} did not execute {transaction:?} within {bound} ms; waiting for: {waits:?}"
                )
            });
        }
        if is_done && !self.is_submitting() {
            self.demand_what_is_certified(now, bound);
        }
    }

    /// A5: what was certified is in every chain of the core, at the latest within the bound of A6; then the run is
    /// over.
    fn demand_what_is_certified(&mut self, now: Time, bound: u64) {
        let since = *self.observer.done_since.get_or_insert(now);
        let last = self.observer.certified.last_key_value().map_or(0, |(height, _)| *height);
        match self.core.iter().copied().find(|at| self.processes[*at].node.length() < last) {
            None => {
                self.count("healed");
                self.is_over = true;
            }
            Some(at) if now > since.plus_ms(bound) => {
                self.violate("A5", || format!("process {at} lacks height {last}, which is certified"));
            }
            Some(_) => {}
        }
    }

    fn check_bounds(&mut self, at: usize) {
        let Some(replica) = &self.processes[at].replica else { return };
        let [slots, bodies, wanted, attested] = Ordering::sizes(replica.protocol());
        let limits = &self.bounds;
        let all = (3 * limits.window + limits.retained_slots + 32) as usize;
        let bounds = [
            ("slots", slots, all),
            ("bodies", bodies, 64 + 8 * all),
            ("missing bodies", wanted, all),
            ("slots with attestations", attested, all),
        ];
        if let Some((what, count, bound)) = bounds.into_iter().find(|(_, count, bound)| count > bound) {
            self.violate("A7", || format!("process {at} keeps {count} {what}, bound {bound}"));
        }
    }
}

/// Something that was said, and that this memory and this log do not justify.
fn lost_promise<N: Node, P: Ordering>(
    machine: &P,
    node: &N,
    sent: &P::Sent,
    attested: &BTreeMap<Height, BlockHash>,
) -> Option<String> {
    let is_lost = |height: &Height, hash: &BlockHash| node.hash_at(height.0) != Some(*hash);
    machine.lost_promise(sent).or_else(|| {
        let lost = attested.iter().find(|(height, hash)| is_lost(height, hash));
        lost.map(|(height, _)| format!("the attested block at height {height}"))
    })
}
