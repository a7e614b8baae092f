//! The committee as a stateright model: its members, and everything that was ever said.
//!
//! Whatever was said may come at any time, in any order, many times, or never. So nothing is taken out of the
//! network because it came: loss, delay, reordering and duplication are all in what is not delivered yet, or is again,
//! and a repetition adds nothing. Out of it goes what its receiver can make nothing of any more.
//!
//! Members and messages are kept once each, by number, with what followed from each member and happening. So a step
//! of the real machine is taken once, however many states of the whole it is a part of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use alloy_primitives::{B256, Bytes};
use stateright::{Model, Property};
use synod_consensus::committee::{Committee, EpochRecord, Member as Listed, MemberIndex, Signer};
use synod_consensus::{Peer, Verified};
use synod_types::{Epoch, Height, SecretKey, mutant};

use super::explored::Explored;
use super::member::{Fixed, Happening, Member, Said};
use super::verdict::{
    AGREEMENT, ALL_APPLY, DECISION, GAP, LATER_OTHER, LATER_SAME, MEMORY, ONE_DECISION, PROMISES, Record,
    VALIDITY, Verdict,
};

/// How much is explored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// n.
    pub(crate) members: u8,
    /// Members that stand for leadership: the first ones.
    pub(crate) candidates: u8,
    /// Slots for which members have payloads.
    pub(crate) slots: u64,
    /// Timeouts, of all members together.
    pub(crate) timeouts: u8,
    /// Power cuts, of all members together.
    pub(crate) power_cuts: u8,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Each member, by its number in the table.
    members: Vec<u32>,
    /// What was said so far, by number, in order.
    said: Vec<u32>,
    timeouts_left: u8,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// A message comes to its member.
    Deliver(u32),
    Timeout(u8),
    JournalSynced(u8),
    BlockSynced(u8),
    PowerCut(u8),
}

/// A message on one link.
struct Letter<M> {
    from: Peer,
    to: u8,
    text: String,
    said: M,
    /// What its check made of it: nothing where the receiver awaits none such, or what is wrong with it.
    checked: Result<Option<Verified<M>>, String>,
}

/// A member that is known, and what is known to follow.
struct Known<P: Explored> {
    member: Arc<Member<P>>,
    /// What is judged of it, by number.
    record: u32,
    after: BTreeMap<Action, (u32, Vec<u32>)>,
    /// Which letters it can never again make anything of.
    is_void: BTreeMap<u32, bool>,
}

struct Tables<P: Explored> {
    members: Vec<Known<P>>,
    numbers: BTreeMap<B256, u32>,
    records: BTreeMap<Arc<Record>, u32>,
    verdicts: BTreeMap<Vec<u32>, Verdict>,
    letters: Vec<Letter<P::Message>>,
    letter_numbers: BTreeMap<(u8, u8, String), u32>,
}

/// The model.
pub(crate) struct System<P: Explored> {
    bounds: Bounds,
    /// The wrong line that is switched on.
    mutant: Option<&'static str>,
    fixed: Vec<Arc<Fixed<P>>>,
    /// Everything that may be decided.
    proposals: BTreeSet<Bytes>,
    tables: Mutex<Tables<P>>,
}

impl<P: Explored> System<P> {
    pub(crate) fn new(bounds: Bounds, mutant: Option<&'static str>) -> Self {
        let (committee, signers) = committee::<P>(bounds.members);
        let fixed = signers.into_iter();
        let fixed = fixed.map(|signer| Arc::new(Fixed::new(committee.clone(), signer, bounds.slots)));
        let fixed: Vec<Arc<Fixed<P>>> = fixed.collect();
        let lives = 1 + u64::from(bounds.power_cuts);
        let numbers = || 0..bounds.slots * lives;
        let proposals = fixed.iter().flat_map(|fixed| numbers().map(|number| fixed.payload(number)));
        let proposals = proposals.map(|payload| payload.bytes().clone()).collect();
        let tables = Tables {
            members: Vec::new(),
            numbers: BTreeMap::new(),
            records: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            letters: Vec::new(),
            letter_numbers: BTreeMap::new(),
        };
        Self { bounds, mutant, fixed, proposals, tables: Mutex::new(tables) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables<P>> {
        self.tables.lock().expect("no step panicked")
    }

    /// With the wrong line, where one is asked for: it is switched on for a thread, and the checker has its own.
    fn with_mutant<R>(&self, body: impl FnOnce() -> R) -> R {
        match self.mutant {
            Some(id) => mutant::with(id, body),
            None => body(),
        }
    }

    /// How many states of single members, and messages on single links, there are.
    pub(crate) fn parts(&self) -> (usize, usize) {
        let tables = self.tables();
        (tables.members.len(), tables.letters.len())
    }

    /// What happened, in words, one line each.
    pub(crate) fn story(&self, actions: &[Action]) -> String {
        let tables = self.tables();
        let mut story = String::new();
        for action in actions {
            match action {
                Action::Deliver(number) => {
                    let Letter { from, to, text, .. } = &tables.letters[*number as usize];
                    writeln!(story, "  {from} -> {to}: {text}")
                }
                other => writeln!(story, "  {other:?}"),
            }
            .expect("a text takes all");
        }
        story
    }

    fn intern_said(&self, tables: &mut Tables<P>, at: u8, said: Said<P::Message>) -> Vec<u32> {
        let mut numbers = BTreeSet::new();
        for (to, message) in said {
            let text = format!("{message:?}");
            for receiver in (0..self.bounds.members).filter(|receiver| *receiver != at) {
                if to.is_none_or(|to| to == MemberIndex(receiver).peer()) {
                    numbers.insert(self.intern_letter(tables, at, receiver, &text, &message));
                }
            }
        }
        numbers.into_iter().collect()
    }

    fn intern_letter(
        &self,
        tables: &mut Tables<P>,
        from: u8,
        to: u8,
        text: &str,
        message: &P::Message,
    ) -> u32 {
        let Tables { letters, letter_numbers, .. } = tables;
        *letter_numbers.entry((from, to, text.to_owned())).or_insert_with(|| {
            let (peer, config) = (MemberIndex(from).peer(), &self.fixed[usize::from(to)].config);
            let said = message.clone();
            let checked = P::awaits(config, message).then(|| P::check(config, peer, message.clone()));
            let checked = checked.transpose().map_err(|fault| fault.to_string());
            letters.push(Letter { from: peer, to, text: text.to_owned(), said, checked });
            letters.len() as u32 - 1
        })
    }

    /// The member that is the object of an action.
    fn object(&self, tables: &Tables<P>, action: Action) -> u8 {
        match action {
            Action::Deliver(number) => tables.letters[number as usize].to,
            Action::Timeout(at)
            | Action::JournalSynced(at)
            | Action::BlockSynced(at)
            | Action::PowerCut(at) => at,
        }
    }

    /// What becomes of a member, and what it says: looked up, or found out by a step of the machine.
    fn outcome(&self, tables: &mut Tables<P>, number: u32, action: Action) -> Option<(u32, Vec<u32>)> {
        let known = &tables.members[number as usize];
        if let Some(outcome) = known.after.get(&action) {
            return Some(outcome.clone());
        }
        let happening = match action {
            Action::Deliver(letter) => {
                let Letter { from, checked, .. } = &tables.letters[letter as usize];
                match checked {
                    Ok(message) => Happening::Hear { from: *from, message: message.clone()? },
                    Err(fault) => Happening::Refuse { from: *from, fault: fault.clone() },
                }
            }
            Action::Timeout(_) => Happening::Timeout,
            Action::JournalSynced(_) => Happening::JournalSynced,
            Action::BlockSynced(_) => Happening::BlockSynced,
            Action::PowerCut(_) => Happening::PowerCut,
        };
        let (at, member) = (self.object(tables, action), Arc::clone(&known.member));
        let (next, said) = self.with_mutant(|| member.after(happening));
        let outcome = (tables.intern_member(next), self.intern_said(tables, at, said));
        tables.members[number as usize].after.insert(action, outcome.clone());
        Some(outcome)
    }

    /// What is to be said of a state; found out once for all that were alike in what is judged.
    fn verdict(&self, state: &State) -> Verdict {
        let mut tables = self.tables();
        let known = |number: &u32| &tables.members[*number as usize];
        let numbers: Vec<u32> = state.members.iter().map(|number| known(number).record).collect();
        if let Some(verdict) = tables.verdicts.get(&numbers) {
            return *verdict;
        }
        let records: Vec<Record> = state.members.iter().map(|it| known(it).member.record.clone()).collect();
        let verdict =
            Verdict::of(&records, &self.proposals, self.bounds.slots, self.fixed[0].committee.quorum());
        tables.verdicts.insert(numbers, verdict);
        verdict
    }
}

impl<P: Explored> Tables<P> {
    fn intern_member(&mut self, member: Member<P>) -> u32 {
        let Self { members, numbers, records, .. } = self;
        *numbers.entry(member.identity()).or_insert_with(|| {
            let length = records.len() as u32;
            let record = *records.entry(Arc::new(member.record.clone())).or_insert(length);
            let (after, is_void) = (BTreeMap::new(), BTreeMap::new());
            members.push(Known { member: Arc::new(member), record, after, is_void });
            members.len() as u32 - 1
        })
    }

    fn is_void(&mut self, member: u32, letter: u32) -> bool {
        let Self { members, letters, .. } = self;
        let Known { member, is_void, .. } = &mut members[member as usize];
        *is_void.entry(letter).or_insert_with(|| member.is_void(&letters[letter as usize].said))
    }
}

impl<P: Explored> Model for System<P> {
    type State = State;
    type Action = Action;

    /// One for each way in which the power cuts fall on members.
    fn init_states(&self) -> Vec<State> {
        let mut tables = self.tables();
        let mut states = Vec::new();
        for cuts in distributions(self.bounds.power_cuts, self.bounds.members) {
            let (mut members, mut everything) = (Vec::new(), BTreeSet::new());
            for (at, (fixed, cuts)) in (0..).zip(self.fixed.iter().zip(cuts)) {
                let mut said = Said::new();
                let member = self.with_mutant(|| Member::new(Arc::clone(fixed), cuts, &mut said));
                members.push(tables.intern_member(member));
                everything.extend(self.intern_said(&mut tables, at, said));
            }
            let said = everything.into_iter().collect();
            states.push(State { members, said, timeouts_left: self.bounds.timeouts });
        }
        states
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let tables = self.tables();
        for (at, number) in (0..).zip(&state.members) {
            let member = &tables.members[*number as usize].member;
            if member.is_writing() {
                actions.push(Action::JournalSynced(at));
            }
            if member.has_written() {
                actions.push(Action::BlockSynced(at));
            }
            if at < self.bounds.candidates && state.timeouts_left > 0 && member.waits_for_time() {
                actions.push(Action::Timeout(at));
            }
            if member.may_lose_power() {
                actions.push(Action::PowerCut(at));
            }
        }
        actions.extend(state.said.iter().map(|letter| Action::Deliver(*letter)));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut tables = self.tables();
        let mut next = state.clone();
        let mut at_once = vec![action];
        while let Some(action) = at_once.pop() {
            let at = usize::from(self.object(&tables, action));
            let (number, said) = self.outcome(&mut tables, next.members[at], action)?;
            next.members[at] = number;
            for letter in said {
                if P::is_heard_at_once(&tables.letters[letter as usize].said) {
                    at_once.push(Action::Deliver(letter));
                } else {
                    next.said.push(letter);
                }
            }
        }
        next.said.sort_unstable();
        next.said.dedup();
        let members = &next.members;
        next.said.retain(|letter| {
            let to = usize::from(tables.letters[*letter as usize].to);
            !tables.is_void(members[to], *letter)
        });
        if next == *state {
            return None;
        }
        if let Action::Timeout(_) = action {
            next.timeouts_left -= 1;
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(AGREEMENT, |system, state| system.verdict(state).agree),
            Property::always(ONE_DECISION, |system, state| system.verdict(state).decides_once),
            Property::always(VALIDITY, |system, state| system.verdict(state).is_valid),
            Property::always(MEMORY, |system, state| system.verdict(state).stays),
            Property::always(PROMISES, |system, state| system.verdict(state).keeps_word),
            Property::sometimes(DECISION, |system, state| system.verdict(state).applies),
            Property::sometimes(ALL_APPLY, |system, state| system.verdict(state).all_apply),
            Property::sometimes(LATER_SAME, |system, state| system.verdict(state).later_same),
            Property::sometimes(LATER_OTHER, |system, state| system.verdict(state).later_other),
            Property::sometimes(GAP, |system, state| system.verdict(state).fills_gap),
        ]
    }
}

/// All ways in which so many power cuts fall on so many members.
fn distributions(cuts: u8, members: u8) -> Vec<Vec<u8>> {
    if members == 1 {
        return vec![vec![cuts]];
    }
    let with_first = |first: u8| {
        let rest = distributions(cuts - first, members - 1).into_iter();
        rest.map(move |rest| [vec![first], rest].concat())
    };
    (0..=cuts).flat_map(with_first).collect()
}

fn committee<P: Explored>(members: u8) -> (Committee, Vec<Signer>) {
    let keys: Vec<_> = (0..members).map(|index| SecretKey::from_seed(&[index + 1; 32])).collect();
    let listed =
        keys.iter().zip(0..).map(|(key, index): (_, u8)| Listed::new(index.to_string(), key.public()));
    let record = EpochRecord {
        epoch: Epoch(0),
        ordering: P::NAME.to_owned(),
        model: P::MODEL,
        base: Height(0),
        members: listed.collect(),
    };
    let committee = Committee::new(B256::ZERO, record).expect("a small committee is one");
    let signer = |key| Signer::new(&committee, key).expect("the key is a member's");
    let signers = keys.into_iter().map(signer).collect();
    (committee, signers)
}
