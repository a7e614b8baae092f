//! The lying adapter: an ordinary replica whose messages are changed on their way out, for each receiver
//! anew, and signed again with the member's own key (S-B1 to S-B13).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes};
use synod_types::Slot;

use crate::committee::{Attestation, Certificate, Committee, MemberIndex, Payload, Signatures, Signer};
use crate::pbft::messages::{
    CarriedOver, Choice, Message, NEW_VIEW_TAG, NewView, Phase, View, ViewChange, Vote,
};
use crate::random::Random;
use crate::sim::swarm::{Fault, Swarm};

/// Messages that it keeps for later.
const STALE: usize = 200;

/// One lying member.
pub struct Liar {
    signer: Signer,
    committee: Committee,
    /// The lies that the seed allows.
    lies: Vec<Fault>,
    /// The lie of the moment; none now and then.
    now: Option<Fault>,
    /// Another valid payload than this one.
    another: fn(&Payload) -> Payload,
    /// Members on the one side of whatever it does.
    side: u64,
    /// The other body that it proposed beside its own.
    doubles: BTreeMap<B256, B256>,
    stale: Vec<Message>,
    /// What it voted for unasked since it last changed its mind: two such liars would answer each other for ever.
    echoed: BTreeSet<(Option<MemberIndex>, Choice)>,
    /// It tells two stories together with other liars.
    conspires: bool,
}

/// All classes of lies.
pub(super) const LIES: &[Fault] = &[
    Fault::Equivocate,
    Fault::Silence,
    Fault::WithholdBody,
    Fault::BadCertificate,
    Fault::DoubleVote,
    Fault::ViewSpam,
    Fault::StaleReplay,
    Fault::LyingSync,
    Fault::SlowPrimary,
    Fault::Amnesia,
    Fault::Mutation,
    Fault::Impersonation,
];

impl Liar {
    pub(super) fn new(
        signer: Signer,
        committee: Committee,
        swarm: &Swarm,
        another: fn(&Payload) -> Payload,
    ) -> Self {
        let lies = LIES.iter().copied().filter(|lie| swarm.has(*lie)).collect();
        Self {
            signer,
            committee,
            lies,
            now: None,
            another,
            side: 0,
            doubles: BTreeMap::new(),
            stale: Vec::new(),
            echoed: BTreeSet::new(),
            conspires: false,
        }
    }

    /// Lies to the committee of another epoch from now on. What it kept for later is of the one before, and comes then.
    pub(super) fn enter(&mut self, committee: Committee) {
        self.committee = committee;
        self.doubles.clear();
        self.echoed.clear();
    }

    /// Draws another lie, and other victims.
    pub(super) fn change_mind(&mut self, random: &mut Random) {
        self.now = if random.chance(150_000) { None } else { random.pick(&self.lies).copied() };
        self.side = random.next_u64();
        self.echoed.clear();
        self.conspires = false;
        if self.side & ((1 << self.committee.len()) - 1) == 0 {
            self.side = 1;
        }
    }

    /// Thinks as another liar does: together they are more than a committee survives, and tell each honest
    /// member only what agrees with what it says itself. One of them hears the other story.
    pub(super) fn conspire(&mut self, now: Option<Fault>, victim: Option<MemberIndex>) {
        self.now = now;
        self.side = victim.map_or(1, |member| 1 << member.0);
        self.conspires = now == Some(Fault::Equivocate);
    }

    /// Whether it answers votes to their sender alone.
    pub(super) fn conspires(&self) -> bool {
        self.conspires
    }

    /// What it does at the moment.
    pub(super) fn lie(&self) -> Option<Fault> {
        self.now
    }

    fn is_on_side(&self, to: MemberIndex) -> bool {
        self.side >> to.0 & 1 == 1
    }

    fn vote(&self, phase: Phase, choice: Choice) -> Vote {
        Vote::new(&self.committee, &self.signer, phase, choice)
    }

    /// What `to` gets instead of `message`.
    pub(super) fn alter(&mut self, to: MemberIndex, message: &Message, random: &mut Random) -> Vec<Message> {
        if self.stale.len() < STALE {
            self.stale.push(message.clone());
        }
        let mut message = message.clone();
        match self.now {
            // Its votes are the answers to what it hears.
            _ if self.conspires && matches!(message, Message::Prepare(_) | Message::Commit(_)) => {
                return Vec::new();
            }
            Some(Fault::Silence) if self.is_on_side(to) => return Vec::new(),
            Some(Fault::Equivocate) if self.is_on_side(to) => message = self.double(message),
            Some(Fault::WithholdBody) => match &mut message {
                Message::PrePrepare { body, .. } => *body = None,
                Message::Body(_) => return Vec::new(),
                _ => {}
            },
            Some(Fault::BadCertificate) => message = self.spoil_certificate(message, random),
            Some(Fault::Mutation) if random.chance(300_000) => message = self.mutate(message, random),
            Some(Fault::Impersonation) => message = impersonate(message, to),
            Some(Fault::StaleReplay) if random.chance(200_000) => {
                let old = random.pick(&self.stale).cloned();
                return [Some(message), old].into_iter().flatten().collect();
            }
            _ => {}
        }
        vec![message]
    }

    /// The other story, told to one side: another body under the same header, and votes for it.
    fn double(&mut self, message: Message) -> Message {
        match message {
            Message::PrePrepare { vote, body: Some(body) } => {
                let other = (self.another)(&body);
                self.doubles.insert(body.digest(), other.digest());
                let choice = Choice { digest: Some(other.digest()), ..vote.choice };
                Message::PrePrepare { vote: self.vote(Phase::PrePrepare, choice), body: Some(other) }
            }
            Message::Prepare(vote) => Message::Prepare(self.double_vote(vote)),
            Message::Commit(vote) => Message::Commit(self.double_vote(vote)),
            Message::Attestation(known) => {
                let mut statement = known.statement;
                statement.block_hash.0.0[0] ^= 1;
                Message::Attestation(Attestation::new(&self.committee, &self.signer, statement))
            }
            other => other,
        }
    }

    fn double_vote(&self, vote: Vote) -> Vote {
        let double = vote.choice.digest.and_then(|digest| self.doubles.get(&digest)).copied();
        match double {
            Some(digest) => self.vote(vote.phase, Choice { digest: Some(digest), ..vote.choice }),
            None => vote,
        }
    }

    /// Votes for whatever anybody proposes or votes for, in every view (S-B6).
    pub(super) fn echo(&mut self, heard: &Message) -> Vec<Message> {
        if !matches!(self.now, Some(Fault::DoubleVote | Fault::Equivocate)) {
            return Vec::new();
        }
        let (voter, choice) = match heard {
            Message::PrePrepare { vote, .. } | Message::Prepare(vote) | Message::Commit(vote) => {
                (vote.member, vote.choice)
            }
            _ => return Vec::new(),
        };
        if !self.echoed.insert((self.conspires.then_some(voter), choice)) {
            return Vec::new();
        }
        let mut votes = vec![Message::Commit(self.vote(Phase::Commit, choice))];
        // As primary it would be told apart at once, unless receivers forget that primaries do not prepare.
        let is_backup = choice.view.primary(&self.committee) != self.signer.index();
        if is_backup || synod_types::mutant!("pbft-3-primary-prepares") {
            votes.push(Message::Prepare(self.vote(Phase::Prepare, choice)));
        }
        votes
    }

    /// What it says by itself now and then.
    pub(super) fn volunteer(&mut self, view: View, random: &mut Random) -> Vec<Message> {
        if self.now != Some(Fault::ViewSpam) {
            return Vec::new();
        }
        let view = match random.below(4) {
            0 => View(u64::MAX),
            1 => View(1),
            _ => View(view.0.saturating_add(random.between(1, 5))),
        };
        let content = CarriedOver { view, stable: None, prepared: Vec::new() };
        let change = ViewChange::new(&self.committee, &self.signer, content);
        vec![Message::ViewChange(change)]
    }

    /// Certificates with too little in them (S-B5), and new views that do not follow (PBFT-8).
    fn spoil_certificate(&self, message: Message, random: &mut Random) -> Message {
        match message {
            Message::ViewChange(change) => Message::ViewChange(self.spoil_change(change, random)),
            Message::NewView(new_view) => Message::NewView(self.spoil_new_view(new_view, random)),
            Message::Decided(mut decision) => {
                decision.commits = spoil_signatures(&decision.commits, random);
                if random.chance(500_000) {
                    decision.choice.digest = None;
                }
                Message::Decided(decision)
            }
            Message::Certified(certificate) => {
                let signatures = spoil_signatures(&certificate.signatures, random);
                Message::Certified(Certificate { signatures, ..certificate })
            }
            other => other,
        }
    }

    fn spoil_change(&self, change: ViewChange, random: &mut Random) -> ViewChange {
        let mut content = change.content;
        match random.below(4) {
            // It forgets what it has prepared.
            0 | 1 => content.prepared.clear(),
            2 => {
                if let Some(first) = content.prepared.first_mut() {
                    first.prepares = spoil_signatures(&first.prepares, random);
                }
            }
            _ => content.stable = None,
        }
        ViewChange::new(&self.committee, &self.signer, content)
    }

    fn spoil_new_view(&self, new_view: NewView, random: &mut Random) -> NewView {
        let NewView { view, mut view_changes, mut pre_prepares, .. } = new_view;
        match random.below(4) {
            0 | 1 => {
                // Something prepared becomes nothing.
                for vote in &mut pre_prepares {
                    *vote = self.vote(Phase::PrePrepare, Choice { digest: None, ..vote.choice });
                }
            }
            2 => drop(pre_prepares.pop()),
            _ => drop(view_changes.pop()),
        }
        let content = NewView::content(view, &view_changes, &pre_prepares);
        let signature = self.signer.sign(&self.committee, NEW_VIEW_TAG, &content);
        NewView { view, view_changes, pre_prepares, signature }
    }

    /// A field a little off, signed again (S-B12).
    fn mutate(&self, message: Message, random: &mut Random) -> Message {
        let up = random.chance(500_000);
        let near = |number: u64| if up { number.wrapping_add(1) } else { number.wrapping_sub(1) };
        let choice = |mut choice: Choice, what: u64| {
            match what {
                0 => choice.view = View(near(choice.view.0)),
                1 => choice.slot = Slot(near(choice.slot.0)),
                _ => choice.digest = choice.digest.xor(Some(B256::repeat_byte(3))),
            }
            choice
        };
        let what = random.below(3);
        match message {
            Message::PrePrepare { vote, body } => {
                Message::PrePrepare { vote: self.vote(vote.phase, choice(vote.choice, what)), body }
            }
            Message::Prepare(vote) => Message::Prepare(self.vote(vote.phase, choice(vote.choice, what))),
            Message::Commit(vote) => Message::Commit(self.vote(vote.phase, choice(vote.choice, what))),
            Message::Attestation(known) => {
                let mut statement = known.statement;
                statement.position.slot = Slot(near(statement.position.slot.0));
                statement.height.0 = near(statement.height.0);
                Message::Attestation(Attestation::new(&self.committee, &self.signer, statement))
            }
            Message::ViewChange(change) => {
                let view = View(near(change.content.view.0));
                let content = CarriedOver { view, ..change.content };
                Message::ViewChange(ViewChange::new(&self.committee, &self.signer, content))
            }
            Message::Standing(mut standing) => {
                standing.executed = Slot(near(standing.executed.0));
                standing.view = View(near(standing.view.0));
                Message::Standing(standing)
            }
            other => other,
        }
    }

    /// Wrong, missing or endless blocks (S-B9).
    pub(super) fn spoil_blocks(&mut self, bodies: &mut Vec<Bytes>, random: &mut Random) {
        if self.now != Some(Fault::LyingSync) || bodies.is_empty() {
            return;
        }
        let at = random.below(bodies.len() as u64) as usize;
        match random.below(4) {
            0 => bodies.truncate(at),
            1 => drop(bodies.remove(at)),
            2 => bodies[at] = Bytes::new(),
            _ => bodies[at] = Bytes::from_static(b"no payload at all, far from it"),
        }
    }
}

fn spoil_signatures(signatures: &Signatures, random: &mut Random) -> Signatures {
    let (bits, list) = signatures.parts();
    let mut list = list.to_vec();
    let Some(first) = list.first().copied() else { return signatures.clone() };
    match random.below(5) {
        0 => {
            list.pop();
            Signatures::from_parts(bits & (bits - 1), list)
        }
        1 => {
            list[0].0[5] ^= 1;
            Signatures::from_parts(bits, list)
        }
        2 => {
            // One signer twice.
            if let Some(last) = list.last_mut() {
                *last = first;
            }
            Signatures::from_parts(1 << bits.trailing_zeros(), list)
        }
        3 => Signatures::from_parts(u64::MAX, list),
        _ => Signatures::from_parts(bits << 1, list),
    }
}

/// Its own statement under another's name (S-B13).
fn impersonate(message: Message, to: MemberIndex) -> Message {
    match message {
        Message::Prepare(vote) => Message::Prepare(Vote { member: to, ..vote }),
        Message::Commit(vote) => Message::Commit(Vote { member: to, ..vote }),
        Message::Attestation(known) => Message::Attestation(Attestation { member: to, ..known }),
        Message::ViewChange(change) => Message::ViewChange(ViewChange { member: to, ..change }),
        other => other,
    }
}
