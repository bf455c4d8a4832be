//! Random patterns and events for the model.

use proptest::prelude::*;

use super::Event;
use super::model::{Part, Skipping, Spec, Thing};
use crate::pattern::builder::{Between, Relation};

/// The longest list of events.
pub(super) const MOST_EVENTS: usize = 7;

/// Matches are listed, and there may be more than memory holds: each repetition in a repetition multiplies them. A
/// pattern that could have more than this is not tried.
const MOST_MATCHES: u64 = 20_000;

/// Up to seven events of three kinds, at times that do not go back.
pub(super) fn events() -> impl Strategy<Value = Vec<(Event, i64)>> {
    prop::collection::vec((0u8..3, 0i64..4), 0..=MOST_EVENTS).prop_map(|steps| {
        let mut time = 0;
        steps
            .into_iter()
            .map(|(kind, step)| {
                time += step;
                (kind, time)
            })
            .collect()
    })
}

pub(super) fn skips() -> impl Strategy<Value = Skipping> {
    prop_oneof![
        Just(Skipping::ToNext),
        Just(Skipping::PastLast),
        (0usize..8).prop_map(Skipping::ToFirst),
        (0usize..8).prop_map(Skipping::ToLast),
    ]
}

fn part(group: Option<BoxedStrategy<Vec<Part>>>) -> impl Strategy<Value = Part> {
    let stage =
        (1u8..8, prop::bool::weighted(0.1)).prop_map(|(kinds, is_given)| Thing::Stage(kinds, is_given));
    let thing = match group {
        Some(group) => prop_oneof![4 => stage, 1 => group.prop_map(Thing::Group)].boxed(),
        None => stage.boxed(),
    };
    let relation = prop_oneof![
        3 => Just(Relation::Next),
        5 => Just(Relation::FollowedBy),
        2 => Just(Relation::FollowedByAny),
        1 => Just(Relation::NotNext),
        1 => Just(Relation::NotFollowedBy),
    ];
    let times = prop_oneof![
        5 => Just((1, Some(1))),
        1 => Just((2, Some(2))),
        1 => Just((1, Some(2))),
        1 => Just((2, Some(3))),
        2 => Just((1, None)),
        1 => Just((2, None)),
    ];
    let between = prop_oneof![2 => Just(Between::Relaxed), 1 => Just(Between::Consecutive), 1 => Just(Between::Combinations)];
    let until = prop::option::weighted(0.3, prop_oneof![Just(1u8), Just(2), Just(4)]);
    let gap = prop::option::weighted(0.1, 1i64..6);
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (relation, thing, times, between, until, gap, flags).prop_map(
        |(relation, thing, (min, max), between, until, gap, (optional, greedy))| {
            let is_not = relation.is_not() && matches!(thing, Thing::Stage(..));
            let is_group = matches!(thing, Thing::Group(_));
            let (min, max) = if is_not { (1, Some(1)) } else { (min, max) };
            let is_repeated = max != Some(1);
            Part {
                relation: if relation.is_not() && !is_not { Relation::FollowedBy } else { relation },
                thing: match thing {
                    Thing::Stage(kinds, is_given) => Thing::Stage(kinds, is_given && !is_not),
                    group => group,
                },
                min,
                max,
                optional: optional && !is_not,
                greedy: greedy && is_repeated && !is_group,
                between: if is_repeated { between } else { Between::Relaxed },
                until: until.filter(|_| max.is_none()),
                gap: gap.filter(|_| !is_group && relation != Relation::NotNext),
            }
        },
    )
}

/// Makes a list of parts one that begins with something that is sure to be there, where that matters.
fn sound(mut parts: Vec<Part>, is_top: bool) -> Vec<Part> {
    let mut is_sure = false;
    parts.retain(|part| {
        let may_stay = is_sure || !part.relation.is_not();
        is_sure |= may_stay && !part.optional && !part.relation.is_not();
        may_stay
    });
    if !is_top {
        while parts.last().is_some_and(|part| part.relation.is_not()) {
            parts.pop();
        }
    }
    let is_sure = parts.iter().any(|part| !part.optional && !part.relation.is_not());
    if let Some(first) = parts.first_mut() {
        // A group that may be empty is refused.
        first.optional &= is_top || is_sure;
        first.relation = Relation::Next;
        if first.max == Some(1) {
            first.gap = None;
        }
    }
    parts
}

pub(super) fn specs() -> impl Strategy<Value = Spec> {
    let group = prop::collection::vec(part(None), 1..3).prop_map(|parts| sound(parts, false));
    let group = group.prop_filter("a group has parts", |parts| !parts.is_empty()).boxed();
    let parts = prop::collection::vec(part(Some(group)), 1..4).prop_map(|parts| sound(parts, true));
    (parts, prop::option::of(2i64..12)).prop_filter_map("it can be told when it ends", |(parts, within)| {
        parts.first()?;
        let nots = || parts.iter().rev().take_while(|part| part.relation.is_not());
        let ends = nots().all(|part| part.relation != Relation::NotFollowedBy)
            || within.is_some()
            || nots().any(|part| part.gap.is_some());
        let spec = Spec { parts, within, skip: Skipping::None };
        (ends && spec.most_matches() <= MOST_MATCHES).then_some(spec)
    })
}
