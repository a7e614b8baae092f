//! Leaving a view: VIEW-CHANGE, the join rule, and the timer of the view to come.
//!
//! - PBFT-6: from here on until the new view begins no vote is cast; decisions are still taken in.
//! - PBFT-12: f + 1 members that want a higher view include an honest one: go with them.
//! - PBFT-13: the timer of a view starts when a quorum wants it, not when this member does.

use synod_types::mutant;

use super::evidence;
use super::messages::{CarriedOver, Fault, Message, Record, View, ViewChange};
use super::{Cx, Pbft};
use crate::committee::Event;

impl Pbft {
    /// Leaves for `view`.
    pub(super) fn leave_for(&mut self, view: View, cx: &mut Cx<'_>) {
        let is_another = view > self.view;
        self.view = view;
        self.is_active = false;
        self.timers.view_left(cx.now());
        // There is no view after the last. Only more liars than a committee survives take anybody there, and then
        // it stands still: a second VIEW-CHANGE to one view would prove that this member lied.
        let Some(signer) = self.config.signer.clone().filter(|_| is_another) else { return };
        let stable = self.stable.clone();
        let low = self.certified();
        let window_end = low.0.saturating_add(self.config.window());
        let prepared = self
            .slots
            .range(low..)
            .filter(|(slot, _)| **slot > low && slot.0 <= window_end)
            .filter_map(|(_, state)| state.prepared.clone())
            .filter(|_| !mutant!("pbft-7-carry-nothing"))
            .collect();
        let content = CarriedOver { view, stable, prepared };
        let change = ViewChange::new(&self.config.committee, &signer, content);
        if !mutant!("gen-2-forget-left") {
            self.persist(Record::ViewChange(change.clone()), cx);
        }
        cx.broadcast(Message::ViewChange(change.clone()));
        self.view_changes.insert(signer.index(), change);
        self.consider_view_changes(cx);
    }

    pub(super) fn on_view_change(&mut self, change: ViewChange, cx: &mut Cx<'_>) {
        let member = change.member;
        self.look_for_forgotten(&change, cx);
        if let Some(known) = self.view_changes.get(&member) {
            // A second signature under the same words is no second statement.
            if known.view() == change.view() && known.content != change.content {
                let evidence = evidence::of_view_changes(known, &change);
                cx.tell(Event::Caught(evidence));
                return cx.accuse(member.peer(), Fault::Contradiction);
            }
            if known.view() >= change.view() {
                return;
            }
        }
        let view = change.view();
        self.view_changes.insert(member, change);
        if view <= self.view && self.is_active {
            // It is alone with its wish, or late: the proof of this view brings it back (PBFT-14).
            return self.show_view(member.peer(), cx);
        }
        self.join(cx);
        self.consider_view_changes(cx);
    }

    /// The join rule (PBFT-12).
    fn join(&mut self, cx: &mut Cx<'_>) {
        let me = self.config.me();
        let higher = self.view_changes.values().filter(|change| change.view() > self.view);
        let others = higher.filter(|change| Some(change.member) != me);
        let views: Vec<View> = others.map(ViewChange::view).collect();
        if views.len() > self.config.committee.faults() && !mutant!("pbft-12-join-off") {
            let smallest = views.into_iter().min().expect("f + 1 is at least one");
            self.leave_for(smallest, cx);
        }
    }

    /// A quorum wants the view: its timer starts, and its primary begins it.
    fn consider_view_changes(&mut self, cx: &mut Cx<'_>) {
        if self.is_active {
            return;
        }
        let view = self.view;
        let wanting = self.view_changes.values().filter(|change| change.view() >= view).count();
        if wanting >= self.config.committee.quorum() || mutant!("pbft-13-eager-timer") {
            self.timers.view_is_wanted(&self.config.limits, cx.now());
        }
        self.begin_view(cx);
    }

    /// The commit of a member, and its later view change that knows nothing of it, contradict each other.
    fn look_for_forgotten(&mut self, change: &ViewChange, cx: &mut Cx<'_>) {
        let commits = self.slots.values().filter_map(|state| state.commits.get(&change.member));
        let forgotten = commits.copied().find(|commit| evidence::is_forgotten(&change.content, commit));
        if let Some(commit) = forgotten {
            cx.tell(Event::Caught(evidence::of_forgotten(change, &commit)));
            cx.accuse(change.member.peer(), Fault::Contradiction);
        }
    }
}
