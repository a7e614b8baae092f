//! NEW-VIEW: what a new primary proposes again, as a pure function of q VIEW-CHANGEs (PBFT-8).
//!
//! min-s is the highest stable checkpoint in all of V, max-s the highest slot that somebody prepared. Between
//! them each slot gets the digest whose certificate has the highest view, or the null request where there is
//! none (PBFT-9, PBFT-22). Everybody computes the same, so a primary cannot choose.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use super::evidence;
use super::messages::{Choice, Fault, Message, NEW_VIEW_TAG, NewView, Phase, Record, View, ViewChange, Vote};
use super::{Cx, Pbft};
use crate::committee::{Certificate, Event};

/// What follows from the view changes.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The certificate of min-s.
    pub(super) stable: Option<Certificate>,
    /// For each slot above it up to max-s.
    pub(super) digests: Vec<(Slot, Option<B256>)>,
}

impl Plan {
    /// The proposals in `view`.
    pub(super) fn choices(&self, view: View) -> impl Iterator<Item = Choice> {
        self.digests.iter().map(move |(slot, digest)| Choice { view, slot: *slot, digest: *digest })
    }

    /// The last slot that it speaks of.
    pub(super) fn last(&self) -> Slot {
        let stable = self.stable.as_ref().map_or(Slot(0), Certificate::slot);
        self.digests.last().map_or(stable, |(slot, _)| *slot)
    }
}

/// The plan of V.
pub(super) fn plan(changes: &[ViewChange]) -> Plan {
    let stable = if mutant!("pbft-8-min-s-own") {
        changes.first().and_then(|change| change.content.stable.clone())
    } else {
        let certificates = changes.iter().filter_map(|change| change.content.stable.as_ref());
        certificates.max_by_key(|certificate| certificate.slot()).cloned()
    };
    let min = stable.as_ref().map_or(Slot(0), Certificate::slot);
    let mut best: BTreeMap<Slot, Choice> = BTreeMap::new();
    for prepared in changes.iter().flat_map(|change| &change.content.prepared) {
        let choice = prepared.choice();
        let is_better = best.get(&choice.slot).is_none_or(|known| {
            if mutant!("pbft-8-lower-view") { choice.view < known.view } else { choice.view > known.view }
        });
        if choice.slot > min && is_better {
            best.insert(choice.slot, choice);
        }
    }
    let max = best.last_key_value().map_or(min, |(slot, _)| *slot);
    let slots = (min.0 + 1..=max.0).map(Slot);
    let digests = slots
        .filter(|slot| !mutant!("pbft-9-no-null") || best.contains_key(slot))
        .map(|slot| (slot, best.get(&slot).and_then(|choice| choice.digest)))
        .collect();
    Plan { stable, digests }
}

impl Pbft {
    /// The primary of a view that a quorum wants begins it.
    pub(super) fn begin_view(&mut self, cx: &mut Cx<'_>) {
        let committee = self.config.committee.clone();
        let view = self.view;
        let Some(signer) = self.config.signer.clone() else { return };
        if self.is_active || self.has_begun(view) || view.primary(&committee) != signer.index() {
            return;
        }
        let wanting = self.view_changes.values().filter(|change| change.view() == view);
        let changes: Vec<ViewChange> = wanting.cloned().collect();
        if changes.len() < committee.quorum() {
            return;
        }
        let sign = |choice| Vote::new(&committee, &signer, Phase::PrePrepare, choice);
        let pre_prepares: Vec<Vote> = plan(&changes).choices(view).map(sign).collect();
        let content = NewView::content(view, &changes, &pre_prepares);
        let signature = signer.sign(&committee, NEW_VIEW_TAG, &content);
        let new_view = NewView { view, view_changes: changes, pre_prepares, signature };
        cx.broadcast(Message::NewView(new_view.clone()));
        self.enter_view(new_view, cx);
    }

    /// A view begins once: whoever left the last one that there is does not come back to it.
    fn has_begun(&self, view: View) -> bool {
        self.new_view.as_ref().is_some_and(|known| known.view == view)
    }

    pub(super) fn on_new_view(&mut self, new_view: NewView, cx: &mut Cx<'_>) {
        let is_awaited = new_view.view == self.view && !self.is_active && !self.has_begun(new_view.view);
        let is_news = new_view.view > self.view || is_awaited;
        let lacks_body = |vote: &Vote| !self.has_body(vote.choice);
        if mutant!("pbft-10-bodies-first") && new_view.pre_prepares.iter().any(lacks_body) {
            return;
        }
        if is_news {
            return self.enter_view(new_view, cx);
        }
        let begun = self.new_view.as_ref().filter(|known| known.view == new_view.view);
        if let Some(known) = begun.filter(|known| known.signed_content() != new_view.signed_content()) {
            let primary = new_view.view.primary(&self.config.committee).peer();
            cx.tell(Event::Caught(evidence::of_new_views(known, &new_view, &self.config.committee)));
            cx.accuse(primary, Fault::Contradiction);
        }
    }

    /// The view begins here: its proposals replace whatever was proposed above the stable checkpoint.
    fn enter_view(&mut self, new_view: NewView, cx: &mut Cx<'_>) {
        if !mutant!("gen-2-forget-begun") {
            self.persist(Record::NewView(new_view.clone()), cx);
        }
        let primary = new_view.view.primary(&self.config.committee);
        cx.tell(Event::LeaderChanged { view: new_view.view.0, leader: primary.0.into() });
        let plan = plan(&new_view.view_changes);
        self.adopt_view(new_view, &plan);
        self.timers.view_entered(cx.now());
        if let Some(certificate) = plan.stable {
            self.adopt_certificate(certificate, cx);
        }
        self.abandon_proposals(cx);
        self.accept_all(cx);
    }

    /// What a begun view changes in memory; also after a start, from the record.
    pub(super) fn adopt_view(&mut self, new_view: NewView, plan: &Plan) {
        self.view = new_view.view;
        self.is_active = true;
        self.replanned = plan.last();
        self.proposing.next = Slot(plan.last().0 + 1);
        for vote in &new_view.pre_prepares {
            if vote.choice.slot > self.floor() {
                self.slots.entry(vote.choice.slot).or_default().pre_prepare = Some(*vote);
            }
        }
        self.new_view = Some(new_view);
        let view = self.view;
        for slot in self.slots.values_mut() {
            slot.promote_early(view);
        }
    }
}
