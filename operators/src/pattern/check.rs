//! What a pattern must not be: one that never matches, or that is sure to grow without bound.

use super::builder::{Between, Body, Element, Mistake, Pattern, Relation};

/// The mistakes that show only in the whole pattern.
pub(super) fn check<T: 'static>(pattern: &Pattern<T>, mistakes: &mut Vec<Mistake>) {
    let at_the_end = || pattern.elements.iter().rev().take_while(|element| element.relation.is_not());
    let last = at_the_end().find(|element| element.relation == Relation::NotFollowedBy);
    if let Some(last) = last
        && pattern.within.is_none()
        && at_the_end().all(|element| element.gap.is_none())
    {
        let problem = format!(
            "it would never match: that {} does not follow is sure only once its time is up; give `.within(duration)`",
            last.called()
        );
        mistakes.push((problem, last.at));
    }
    groups(&pattern.elements, mistakes);
    if pattern.within.is_none() && !pattern.is_unbounded {
        for (index, element) in pattern.elements.iter().enumerate() {
            growth(element, index == 0, false, mistakes);
        }
    }
}

fn groups<T: 'static>(elements: &[Element<T>], mistakes: &mut Vec<Mistake>) {
    for element in elements {
        if let Body::Group(inner) = &element.body {
            if let Some(last) = inner.last().filter(|last| last.relation.is_not()) {
                let problem = format!(
                    "a group ends with {}, which must not come: put it after the group",
                    last.called()
                );
                mistakes.push((problem, last.at));
            }
            if inner.iter().all(|element| element.optional || element.relation.is_not()) {
                let problem =
                    "all of a group is optional: make the group `.optional()` instead of one of its stages";
                mistakes.push((problem.to_owned(), element.at));
            }
            groups(inner, mistakes);
        }
    }
}

/// A partial match that always has an event to pass over never ends.
fn growth<T: 'static>(element: &Element<T>, is_first: bool, is_ended: bool, mistakes: &mut Vec<Mistake>) {
    let is_ended = is_ended || element.gap.is_some();
    // What ends the repetitions does not end the wait for the first of them.
    let ends = is_ended || element.until.is_some();
    let is_endless = !ends && element.max.is_none() && element.between != Between::Consecutive;
    let branches = (!is_ended && element.relation == Relation::FollowedByAny && !is_first)
        || (!ends && element.max != Some(1) && element.between == Between::Combinations);
    if is_endless || branches {
        let why =
            if is_endless { "waits for one more event for ever" } else { "keeps a partial match for ever" };
        let problem = format!(
            "{} {why}, so what is kept of a key grows without bound: give the pattern `.within(duration)`, the stage `.until(condition)` or \
             `.within_gap(duration)`, or say `.unbounded()`",
            element.called()
        );
        mistakes.push((problem, element.at));
    }
    if let Body::Group(inner) = &element.body {
        for (index, element) in inner.iter().enumerate() {
            growth(element, is_first && index == 0, ends, mistakes);
        }
    }
}
