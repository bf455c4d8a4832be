//! The model: a pattern as a list of parts, and what it means, spelled out without any automaton.
//!
//! A pattern is written out into *shapes*: which stages take an event, in which order. For each shape all
//! ways to choose the events are tried, and each event that is passed over is asked whether it
//! may be.

use super::*;

/// Kinds of events, as a set of bits.
type Kinds = u8;

fn has(kinds: Kinds, kind: Event) -> bool {
    kinds & (1 << kind) != 0
}

#[derive(Clone, Debug)]
pub(super) enum Thing {
    /// A stage for events of these kinds. If it is given, the number of events taken before is even.
    Stage(Kinds, bool),
    Group(Vec<Part>),
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub relation: Relation,
    pub thing: Thing,
    pub min: u32,
    pub max: Option<u32>,
    pub optional: bool,
    pub greedy: bool,
    pub between: Between,
    pub until: Option<Kinds>,
    pub gap: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Skipping {
    None,
    ToNext,
    PastLast,
    /// To the stage of this number, if there are so many.
    ToFirst(usize),
    ToLast(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub parts: Vec<Part>,
    pub within: Option<i64>,
    pub skip: Skipping,
}

/// A place of a shape: what may be taken there, and what may be passed over on the way to it.
#[derive(Clone, Debug)]
struct Slot {
    stage: u16,
    kinds: Kinds,
    is_given: bool,
    relation: Relation,
    is_inner: bool,
    take_untils: Vec<Kinds>,
    over_untils: Vec<Kinds>,
    not_between: Vec<Kinds>,
    not_next: Vec<Kinds>,
    gap: Option<i64>,
    /// Greedy repetitions that were given up for this: what they could still take is theirs.
    instead_of: Vec<Slot>,
}

/// A shape in the making.
#[derive(Clone, Default)]
struct Draft {
    slots: Vec<Slot>,
    not_between: Vec<Kinds>,
    not_next: Vec<Kinds>,
    instead_of: Vec<Slot>,
}

/// What the repetitions of a part have to heed besides the part itself.
#[derive(Clone, Default)]
struct Around {
    untils: Vec<Kinds>,
}

impl Draft {
    fn take(mut self, mut slot: Slot) -> Self {
        slot.not_between.append(&mut self.not_between);
        slot.not_next.append(&mut self.not_next);
        slot.instead_of.append(&mut self.instead_of);
        self.slots.push(slot);
        self
    }
}

impl Part {
    fn stages(&self) -> u16 {
        match &self.thing {
            Thing::Stage(..) => 1,
            Thing::Group(parts) => parts.iter().map(Self::stages).sum(),
        }
    }

    fn nots_after(rest: &[Self]) -> (Vec<Kinds>, Vec<Kinds>) {
        let (mut between, mut next) = (Vec::new(), Vec::new());
        for part in rest.iter().take_while(|part| part.relation.is_not()) {
            let Thing::Stage(kinds, _) = part.thing else { unreachable!("a group is no not") };
            if part.relation == Relation::NotNext { next.push(kinds) } else { between.push(kinds) }
        }
        (between, next)
    }
}

/// All shapes of `parts`, of at most `most` events; `entry` is how the first of them is reached.
fn shapes(
    parts: &[Part],
    stage: u16,
    entry: Option<&Entry>,
    around: &Around,
    draft: Draft,
    most: usize,
) -> Vec<Draft> {
    let before = draft.slots.len();
    let mut drafts = vec![draft];
    let mut at = stage;
    for (index, part) in parts.iter().enumerate() {
        let rest = &parts[index + 1..];
        let mut next = Vec::new();
        for mut draft in drafts {
            if part.relation.is_not() {
                let (between, not_next) = Part::nots_after(std::slice::from_ref(part));
                draft.not_between.extend(between);
                draft.not_next.extend(not_next);
                next.push(draft);
                continue;
            }
            // What stands first is reached as the whole is. So is what comes first because those before it are
            // left out, but for its own relation.
            let is_first = draft.slots.len() == before;
            let entry = entry.filter(|_| is_first).cloned().map(|entry| match index {
                0 => entry,
                _ => Entry { relation: part.relation, ..entry },
            });
            let entry = entry.unwrap_or(Entry {
                relation: part.relation,
                is_inner: false,
                until: None,
                not_between: vec![],
                not_next: vec![],
            });
            next.extend(repeated(part, rest, at, &entry, around, draft, most));
        }
        drafts = next;
        at += part.stages();
    }
    drafts
}

/// How a part is reached: as its relation says, or from its repetition before.
#[derive(Clone)]
struct Entry {
    relation: Relation,
    is_inner: bool,
    until: Option<Kinds>,
    not_between: Vec<Kinds>,
    not_next: Vec<Kinds>,
}

fn repeated(
    part: &Part,
    rest: &[Part],
    stage: u16,
    entry: &Entry,
    around: &Around,
    draft: Draft,
    most: usize,
) -> Vec<Draft> {
    let is_greedy = part.greedy && part.max != Some(part.min);
    let (not_between, not_next) = Part::nots_after(rest);
    let mut done = Vec::new();
    if part.optional {
        let mut without = draft.clone();
        if is_greedy {
            let first = once(part, stage, entry, around, draft.clone(), most);
            without.instead_of.extend(first.into_iter().map(|first| first.slots[draft.slots.len()].clone()));
        }
        done.push(without);
    }
    let mut drafts = vec![draft];
    for count in 1..=part.max.unwrap_or(u32::MAX) {
        let inner = Entry {
            relation: match part.between {
                Between::Relaxed => Relation::FollowedBy,
                Between::Consecutive => Relation::Next,
                Between::Combinations => Relation::FollowedByAny,
            },
            is_inner: true,
            until: part.until,
            not_between: not_between.clone(),
            not_next: if count > part.min { not_next.clone() } else { Vec::new() },
        };
        let entry = if count == 1 { entry } else { &inner };
        let more: Vec<Draft> =
            drafts.iter().flat_map(|draft| once(part, stage, entry, around, draft.clone(), most)).collect();
        if count > part.min {
            // Not once more: what comes instead of it leaves it what fits.
            for mut draft in drafts {
                if is_greedy {
                    let length = draft.slots.len();
                    let again = more.iter().find(|more| more.slots.len() == length + 1);
                    let slot = again.map(|again| again.slots[length].clone());
                    // A shape that is too long is never tried, but what it would take is.
                    let slot = slot.or_else(|| {
                        once(part, stage, entry, around, draft.clone(), usize::MAX)
                            .pop()
                            .map(|again| again.slots[length].clone())
                    });
                    draft.instead_of.extend(slot);
                }
                done.push(draft);
            }
        }
        drafts = more;
        if drafts.is_empty() {
            return done;
        }
    }
    done.extend(drafts);
    done
}

fn once(part: &Part, stage: u16, entry: &Entry, around: &Around, draft: Draft, most: usize) -> Vec<Draft> {
    match &part.thing {
        Thing::Stage(kinds, is_given) => {
            if draft.slots.len() >= most {
                return Vec::new();
            }
            let slot = Slot {
                stage,
                kinds: *kinds,
                is_given: *is_given,
                relation: entry.relation,
                is_inner: entry.is_inner,
                take_untils: around.untils.iter().copied().chain(part.until).collect(),
                over_untils: around.untils.iter().copied().chain(entry.until).collect(),
                not_between: entry.not_between.clone(),
                not_next: entry.not_next.clone(),
                gap: part.gap,
                instead_of: Vec::new(),
            };
            vec![draft.take(slot)]
        }
        Thing::Group(parts) => {
            let mut around = around.clone();
            around.untils.extend(part.until);
            shapes(parts, stage, Some(entry), &around, draft, most)
        }
    }
}

/// Events that were chosen for the places of a shape.
struct Choice<'a> {
    events: &'a [(Event, i64)],
    taken: Vec<usize>,
}

impl Choice<'_> {
    fn fits(&self, slot: &Slot, index: usize) -> bool {
        has(slot.kinds, self.events[index].0) && (!slot.is_given || self.taken.len().is_multiple_of(2))
    }

    fn is_any(&self, kinds: &[Kinds], index: usize) -> bool {
        kinds.iter().any(|kinds| has(*kinds, self.events[index].0))
    }

    fn is_first(&self, index: usize) -> bool {
        self.taken.last().is_some_and(|last| index == last + 1)
    }

    fn is_in_time(&self, slot: &Slot, index: usize) -> bool {
        let last = self.taken.last().map(|last| self.events[*last].1);
        !matches!((slot.gap, last), (Some(gap), Some(last)) if self.events[index].1 - last >= gap)
    }

    /// Whether `slot` could take the event at `index`, apart from what comes between.
    fn takes(&self, slot: &Slot, index: usize) -> bool {
        let is_barred = !slot.is_inner && self.is_first(index) && self.is_any(&slot.not_next, index);
        self.fits(slot, index)
            && !is_barred
            && !self.is_any(&slot.take_untils, index)
            && self.is_in_time(slot, index)
            && !self.is_left_to_greedy(slot, index)
    }

    fn passes(&self, slot: &Slot, index: usize) -> bool {
        let may_pass = match slot.relation {
            Relation::FollowedBy => !self.fits(slot, index),
            Relation::FollowedByAny => true,
            _ => false,
        };
        let is_barred = self.is_first(index) && self.is_any(&slot.not_next, index);
        let is_stopped = self.is_any(&slot.not_between, index) || self.is_any(&slot.over_untils, index);
        may_pass && !is_barred && !is_stopped && !self.is_left_to_greedy(slot, index)
    }

    fn is_left_to_greedy(&self, slot: &Slot, index: usize) -> bool {
        slot.instead_of.iter().any(|greedy| self.reaches(greedy, index))
    }

    /// Whether `slot` can take the event at `index` and pass over all since the last one taken.
    fn reaches(&self, slot: &Slot, index: usize) -> bool {
        let from = self.taken.last().map_or(index, |last| last + 1);
        (from..index).all(|index| self.passes(slot, index)) && self.takes(slot, index)
    }
}

/// How many shapes there are of each length, up to [`MOST_EVENTS`]: a polynomial whose variable is an event.
type Shapes = [u64; MOST_EVENTS + 1];

/// That of nothing at all.
const NOTHING: Shapes = {
    let mut one = [0; MOST_EVENTS + 1];
    one[0] = 1;
    one
};

fn product(a: &Shapes, b: &Shapes) -> Shapes {
    let of = |length: usize| {
        let ways = (0..=length).map(|first| a[first].saturating_mul(b[length - first]));
        ways.fold(0, u64::saturating_add)
    };
    std::array::from_fn(of)
}

fn count(parts: &[Part]) -> Shapes {
    parts.iter().filter(|part| !part.relation.is_not()).fold(NOTHING, |so_far, part| {
        let once = match &part.thing {
            Thing::Stage(..) => std::array::from_fn(|length| u64::from(length == 1)),
            Thing::Group(parts) => count(parts),
        };
        let mut all = if part.optional { NOTHING } else { [0; MOST_EVENTS + 1] };
        let mut repeated = NOTHING;
        for times in 1..=part.max.map_or(MOST_EVENTS, |max| max as usize) {
            repeated = product(&repeated, &once);
            if times >= part.min as usize {
                all = std::array::from_fn(|length| all[length].saturating_add(repeated[length]));
            }
        }
        product(&so_far, &all)
    })
}

impl Spec {
    /// No less than the matches that there can be: whatever fits and may be passed over.
    pub fn most_matches(&self) -> u64 {
        let choices =
            |length: usize| (0..length).fold(1, |ways, n| ways * (MOST_EVENTS - n) as u64 / (n as u64 + 1));
        let of_length = count(&self.parts).into_iter().enumerate();
        of_length.map(|(length, shapes)| shapes.saturating_mul(choices(length))).fold(0, u64::saturating_add)
    }

    /// What the definition allows.
    pub fn matches(&self, events: &[(Event, i64)]) -> Vec<Vec<(u16, u64)>> {
        let mut found = Vec::new();
        for shape in shapes(&self.parts, 0, None, &Around::default(), Draft::default(), events.len()) {
            if !shape.slots.is_empty() {
                self.choose(&shape, &Choice { events, taken: Vec::new() }, &mut found);
            }
        }
        found
    }

    fn choose(&self, shape: &Draft, choice: &Choice<'_>, found: &mut Vec<Vec<(u16, u64)>>) {
        let Some(slot) = shape.slots.get(choice.taken.len()) else {
            if self.ends(shape, choice) {
                let stages = shape.slots.iter().map(|slot| slot.stage);
                found.push(stages.zip(choice.taken.iter().map(|index| *index as u64)).collect());
            }
            return;
        };
        let from = choice.taken.last().map_or(0, |last| last + 1);
        for index in from..choice.events.len() {
            let starts = choice.taken.first().map_or(choice.events[index].1, |first| choice.events[*first].1);
            if self.within.is_some_and(|within| choice.events[index].1 - starts >= within) {
                return;
            }
            if choice.reaches(slot, index) {
                let taken = choice.taken.iter().copied().chain([index]).collect();
                self.choose(shape, &Choice { events: choice.events, taken }, found);
            }
        }
    }

    /// Whether what must not come at the end does not come.
    fn ends(&self, shape: &Draft, choice: &Choice<'_>) -> bool {
        let nots = self.parts.iter().rev().take_while(|part| part.relation.is_not());
        let nots: Vec<Part> = nots.cloned().collect();
        let (not_between, not_next) = Part::nots_after(&nots);
        if nots.is_empty() {
            return true;
        }
        let (first, last) = (choice.taken[0], choice.taken[choice.taken.len() - 1]);
        let deadline = [
            self.within.map(|within| choice.events[first].1 + within),
            nots.iter().filter_map(|not| not.gap).min().map(|gap| choice.events[last].1 + gap),
        ];
        let deadline = deadline.into_iter().flatten().min().unwrap_or(i64::MAX);
        let mut after =
            (last + 1..choice.events.len()).take_while(|index| choice.events[*index].1 < deadline);
        let is_greedy = |index| shape.instead_of.iter().any(|greedy| choice.reaches(greedy, index));
        if not_between.is_empty() {
            return after.next().is_some_and(|next| !choice.is_any(&not_next, next) && !is_greedy(next));
        }
        after.all(|index| {
            let is_barred = index == last + 1 && choice.is_any(&not_next, index);
            !is_barred && !choice.is_any(&not_between, index) && !is_greedy(index)
        })
    }

    /// What is left of `all`, in the order in which they were found, when matches skip others.
    pub fn skip(&self, all: &[Vec<(u16, u64)>]) -> Vec<Vec<(u16, u64)>> {
        let mut by_start = all.to_vec();
        by_start.sort_by_key(|found| found[0].1);
        let mut from = 0;
        let mut left = Vec::new();
        for found in by_start {
            if found[0].1 < from {
                continue;
            }
            let mut of = found.iter().filter(|(stage, _)| Some(usize::from(*stage)) == self.skip_stage());
            from = from.max(match self.skip {
                Skipping::None => 0,
                Skipping::ToNext => found[0].1 + 1,
                Skipping::PastLast => found[found.len() - 1].1 + 1,
                Skipping::ToFirst(_) => of.next().map_or(0, |(_, index)| *index),
                Skipping::ToLast(_) => of.next_back().map_or(0, |(_, index)| *index),
            });
            left.push(found);
        }
        left
    }

    /// The stage that is skipped to: one that takes events.
    fn skip_stage(&self) -> Option<usize> {
        let (Skipping::ToFirst(nth) | Skipping::ToLast(nth)) = self.skip else { return None };
        let mut stages = Vec::new();
        taking(&self.parts, &mut 0, &mut stages);
        Some(stages[nth % stages.len()])
    }

    /// The pattern as a user writes it.
    pub fn pattern(&self) -> Pattern<(Event, u64)> {
        let mut stage = 0;
        let mut pattern = written(&self.parts, &mut stage);
        if let Some(within) = self.within {
            pattern = pattern.within(Duration::from_millis(within as u64));
        }
        let to = self.skip_stage().map(|stage| stage.to_string()).unwrap_or_default();
        let pattern = match self.skip {
            Skipping::None => pattern,
            Skipping::ToNext => pattern.skip_to_next(),
            Skipping::PastLast => pattern.skip_past_last(),
            Skipping::ToFirst(_) => pattern.skip_to_first(to),
            Skipping::ToLast(_) => pattern.skip_to_last(to),
        };
        pattern.unbounded().at_most(usize::MAX)
    }
}

/// The numbers of the stages that take events.
fn taking(parts: &[Part], next: &mut usize, stages: &mut Vec<usize>) {
    for part in parts {
        match &part.thing {
            Thing::Stage(..) => {
                if !part.relation.is_not() {
                    stages.push(*next);
                }
                *next += 1;
            }
            Thing::Group(parts) => taking(parts, next, stages),
        }
    }
}

fn written(parts: &[Part], stage: &mut u16) -> Pattern<(Event, u64)> {
    let mut pattern: Option<Pattern<(Event, u64)>> = None;
    for part in parts {
        let next = match &part.thing {
            Thing::Stage(kinds, is_given) => {
                let (kinds, name) = (*kinds, stage.to_string());
                *stage += 1;
                let fits = move |event: &(Event, u64)| has(kinds, event.0);
                let next = match (pattern, part.relation) {
                    (None, _) => Pattern::begin(name, fits),
                    (Some(pattern), Relation::Next) => pattern.next(name, fits),
                    (Some(pattern), Relation::FollowedBy) => pattern.followed_by(name, fits),
                    (Some(pattern), Relation::FollowedByAny) => pattern.followed_by_any(name, fits),
                    (Some(pattern), Relation::NotNext) => pattern.not_next(name, fits),
                    (Some(pattern), Relation::NotFollowedBy) => pattern.not_followed_by(name, fits),
                };
                if *is_given {
                    next.given(|_, so_far| so_far.buffer.chain(so_far.link).count().is_multiple_of(2))
                } else {
                    next
                }
            }
            Thing::Group(parts) => {
                let group = written(parts, stage);
                match (pattern, part.relation) {
                    (None, _) => Pattern::begin_group(group),
                    (Some(pattern), Relation::Next) => pattern.next_group(group),
                    (Some(pattern), Relation::FollowedBy) => pattern.followed_by_group(group),
                    (Some(pattern), _) => pattern.followed_by_any_group(group),
                }
            }
        };
        pattern = Some(quantified(next, part));
    }
    pattern.expect("a pattern has parts")
}

fn quantified(pattern: Pattern<(Event, u64)>, part: &Part) -> Pattern<(Event, u64)> {
    let pattern = match (part.min, part.max) {
        (1, Some(1)) => pattern,
        (min, Some(max)) if min == max => pattern.times(min),
        (min, Some(max)) => pattern.times_range(min..=max),
        (1, None) => pattern.one_or_more(),
        (min, None) => pattern.times_or_more(min),
    };
    let pattern = match part.between {
        Between::Relaxed => pattern,
        Between::Consecutive => pattern.consecutive(),
        Between::Combinations => pattern.allow_combinations(),
    };
    let pattern = if part.greedy { pattern.greedy() } else { pattern };
    let pattern = if part.optional { pattern.optional() } else { pattern };
    let pattern = match part.until {
        Some(kinds) => pattern.until(move |event: &(Event, u64)| has(kinds, event.0)),
        None => pattern,
    };
    match part.gap {
        Some(gap) => pattern.within_gap(Duration::from_millis(gap as u64)),
        None => pattern,
    }
}

/// Where everything fits everywhere and nothing has to follow at once, there are as many matches as there can be.
#[test]
fn the_most_matches_are_counted() {
    let stage = Part {
        relation: Relation::FollowedByAny,
        thing: Thing::Stage(7, false),
        min: 1,
        max: None,
        optional: false,
        greedy: false,
        between: Between::Combinations,
        until: None,
        gap: None,
    };
    let group =
        Part { thing: Thing::Group(vec![stage.clone(), stage.clone()]), optional: true, ..stage.clone() };
    let spec = Spec { parts: vec![stage, group], within: None, skip: Skipping::None };
    let events: Vec<_> = (0..MOST_EVENTS as i64).map(|at| (0, at)).collect();
    assert_eq!(spec.most_matches(), spec.matches(&events).len() as u64);
}

/// A pattern is built of elements; the model knows no more of it.
#[test]
fn the_model_reads_as_the_pattern_does() {
    let stage = |relation| Part {
        relation,
        thing: Thing::Stage(1, false),
        min: 1,
        max: Some(1),
        optional: false,
        greedy: false,
        between: Between::Relaxed,
        until: None,
        gap: None,
    };
    let many = Part { max: None, greedy: true, ..stage(Relation::FollowedBy) };
    let parts = vec![stage(Relation::Next), many, stage(Relation::NotFollowedBy)];
    let pattern = Spec { parts, within: Some(5), skip: Skipping::PastLast }.pattern();
    let elements: &[Element<_>] = &pattern.elements;
    assert!(matches!(&elements[2].body, Body::Stage { name, .. } if name == "2"));
    assert_eq!(super::super::describe::shape(&pattern), "0 -> 1{1,}! ->! 2 within 5ms");
}
