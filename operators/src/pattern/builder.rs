//! What users write: a pattern, stage by stage. It is compiled when it is put on a stream, and only
//! then are its mistakes told, all of them.

use std::ops::RangeInclusive;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::buffer::Matches;

type Plain<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;
type Given<T> = Arc<dyn Fn(&T, &Matches<'_, T>) -> bool + Send + Sync>;

/// What an event is asked: first itself, then in the light of what was matched before it.
pub(super) struct Condition<T> {
    pub plain: Plain<T>,
    pub given: Vec<Given<T>>,
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Self {
        Self { plain: self.plain.clone(), given: self.given.clone() }
    }
}

impl<T> Condition<T> {
    fn plain(condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self { plain: Arc::new(condition), given: Vec::new() }
    }
}

/// How a part of a pattern stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Next,
    FollowedBy,
    FollowedByAny,
    NotNext,
    NotFollowedBy,
}

impl Relation {
    pub fn is_not(self) -> bool {
        matches!(self, Self::NotNext | Self::NotFollowedBy)
    }
}

/// How a repetition stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    Relaxed,
    Consecutive,
    Combinations,
}

pub(super) enum Body<T> {
    Stage { name: String, condition: Condition<T> },
    Group(Vec<Element<T>>),
}

/// A part of a pattern, with how often it is to be there.
pub(super) struct Element<T> {
    pub relation: Relation,
    pub body: Body<T>,
    pub min: u32,
    /// `None`: any number.
    pub max: Option<u32>,
    pub optional: bool,
    pub greedy: bool,
    pub between: Between,
    pub until: Option<Condition<T>>,
    pub gap: Option<Duration>,
    pub at: &'static Location<'static>,
}

impl<T> Element<T> {
    fn new(relation: Relation, body: Body<T>, at: &'static Location<'static>) -> Self {
        Self {
            relation,
            body,
            min: 1,
            max: Some(1),
            optional: false,
            greedy: false,
            between: Between::Relaxed,
            until: None,
            gap: None,
            at,
        }
    }

    /// How messages call it.
    pub fn called(&self) -> String {
        match &self.body {
            Body::Stage { name, .. } => format!("stage `{name}`"),
            Body::Group(_) => "a group".to_owned(),
        }
    }

    fn is_repeated(&self) -> bool {
        self.max != Some(1)
    }
}

/// What becomes of other matches once one is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AfterMatch {
    NoSkip,
    ToNext,
    PastLast,
    ToFirst(String),
    ToLast(String),
}

/// A mistake, and the place in the user's code.
pub(super) type Mistake = (String, &'static Location<'static>);

/// How many partial matches of a key there may be at a time, and how many events in them, unless
/// [`Pattern::at_most`] says more: about a megabyte, which a checkpoint can still rewrite for a key that is at work.
const PARTIAL_MATCHES: usize = 10_000;

/// A pattern of events, to be looked for in each key's records by
/// [`KeyedStream::pattern`](crate::KeyedStream::pattern).
///
/// It is written from its first stage to its last. What is said of how often, how close and how long
/// (`times`, `optional`, `consecutive`, ...) concerns the stage or group that stands before it.
#[must_use = "a pattern is found once it is put on a keyed stream: `.pattern(name, pattern)`"]
pub struct Pattern<T> {
    pub(super) elements: Vec<Element<T>>,
    pub(super) within: Option<(Duration, &'static Location<'static>)>,
    pub(super) after_match: Option<(AfterMatch, &'static Location<'static>)>,
    pub(super) at_most: Option<usize>,
    pub(super) drops_oldest: bool,
    pub(super) is_unbounded: bool,
    pub(super) in_arrival_order: bool,
    pub(super) mistakes: Vec<Mistake>,
}

impl<T: 'static> Pattern<T> {
    fn of(first: Element<T>) -> Self {
        Self {
            elements: vec![first],
            within: None,
            after_match: None,
            at_most: None,
            drops_oldest: false,
            is_unbounded: false,
            in_arrival_order: false,
            mistakes: Vec::new(),
        }
    }

    /// A pattern that begins with an event for which `condition` holds. The name is what the event is
    /// found by in a [`Match`](super::Match).
    #[track_caller]
    pub fn begin(name: impl Into<String>, condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        let body = Body::Stage { name: name.into(), condition: Condition::plain(condition) };
        Self::of(Element::new(Relation::Next, body, Location::caller()))
    }

    /// A pattern that begins with `group`, which can be repeated or optional as a whole.
    #[track_caller]
    pub fn begin_group(group: Self) -> Self {
        let at = Location::caller();
        let (group, mistakes) = group.into_group(at);
        let mut pattern = Self::of(Element::new(Relation::Next, Body::Group(group), at));
        pattern.mistakes = mistakes;
        pattern
    }

    /// The very next event of the key, for which `condition` has to hold.
    #[track_caller]
    pub fn next(
        self,
        name: impl Into<String>,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stage(Relation::Next, name.into(), condition, Location::caller())
    }

    /// The first event from here on for which `condition` holds; events for which it does not may
    /// come between.
    #[track_caller]
    pub fn followed_by(
        self,
        name: impl Into<String>,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stage(Relation::FollowedBy, name.into(), condition, Location::caller())
    }

    /// Any later event for which `condition` holds, one match for each: what fits may be passed over
    /// as well.
    #[track_caller]
    pub fn followed_by_any(
        self,
        name: impl Into<String>,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stage(Relation::FollowedByAny, name.into(), condition, Location::caller())
    }

    /// `condition` must not hold for the very next event. At the end of a pattern the match is
    /// found with that event.
    #[track_caller]
    pub fn not_next(
        self,
        name: impl Into<String>,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stage(Relation::NotNext, name.into(), condition, Location::caller())
    }

    /// No event for which `condition` holds may be passed over on the way to what follows. At the end
    /// of a pattern it needs [`Pattern::within`]: the match is found when that time is up.
    #[track_caller]
    pub fn not_followed_by(
        self,
        name: impl Into<String>,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stage(Relation::NotFollowedBy, name.into(), condition, Location::caller())
    }

    /// A group that begins with the very next event.
    #[track_caller]
    pub fn next_group(self, group: Self) -> Self {
        self.group(Relation::Next, group, Location::caller())
    }

    /// A group whose first stage is the first event from here on that fits.
    #[track_caller]
    pub fn followed_by_group(self, group: Self) -> Self {
        self.group(Relation::FollowedBy, group, Location::caller())
    }

    /// A group whose first stage is any later event that fits.
    #[track_caller]
    pub fn followed_by_any_group(self, group: Self) -> Self {
        self.group(Relation::FollowedByAny, group, Location::caller())
    }

    fn stage(
        mut self,
        relation: Relation,
        name: String,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
        at: &'static Location<'static>,
    ) -> Self {
        let body = Body::Stage { name, condition: Condition::plain(condition) };
        self.elements.push(Element::new(relation, body, at));
        self
    }

    fn group(mut self, relation: Relation, group: Self, at: &'static Location<'static>) -> Self {
        let (group, mistakes) = group.into_group(at);
        self.mistakes.extend(mistakes);
        self.elements.push(Element::new(relation, Body::Group(group), at));
        self
    }

    fn into_group(self, at: &'static Location<'static>) -> (Vec<Element<T>>, Vec<Mistake>) {
        let mut mistakes = self.mistakes;
        let has_settings = self.within.is_some()
            || self.after_match.is_some()
            || self.at_most.is_some()
            || self.drops_oldest
            || self.is_unbounded
            || self.in_arrival_order;
        if has_settings {
            let problem = "a group has settings of a whole pattern, such as `within`: give them to the pattern around it";
            mistakes.push((problem.to_owned(), at));
        }
        (self.elements, mistakes)
    }

    /// Exactly `n` times.
    #[track_caller]
    pub fn times(self, n: u32) -> Self {
        self.repeat(n, Some(n), Location::caller())
    }

    /// From `n.start()` to `n.end()` times; `0..=n` is [`Pattern::optional`] besides.
    #[track_caller]
    pub fn times_range(self, n: RangeInclusive<u32>) -> Self {
        let at = Location::caller();
        let (from, to) = n.into_inner();
        let mut pattern = self.repeat(from.max(1), Some(to), at);
        pattern.last().optional |= from == 0;
        pattern
    }

    /// Once or more often.
    #[track_caller]
    pub fn one_or_more(self) -> Self {
        self.repeat(1, None, Location::caller())
    }

    /// `n` times or more often.
    #[track_caller]
    pub fn times_or_more(self, n: u32) -> Self {
        self.repeat(n, None, Location::caller())
    }

    #[track_caller]
    fn repeat(mut self, min: u32, max: Option<u32>, at: &'static Location<'static>) -> Self {
        let last = self.last();
        let problem = if last.relation.is_not() {
            "is not to be there, so it cannot be there several times"
        } else if last.is_repeated() {
            "is told twice how often it is to be there"
        } else if min == 0 || max.is_some_and(|max| max < min) {
            "is to be there no times: give at least 1, and the smaller number first"
        } else {
            (last.min, last.max) = (min, max);
            return self;
        };
        let problem = format!("{} {problem}", last.called());
        self.mistakes.push((problem, at));
        self
    }

    /// It may be missing.
    #[track_caller]
    pub fn optional(mut self) -> Self {
        let last = self.last();
        if last.relation.is_not() {
            let problem = format!("{} is not to be there, so it cannot be optional", last.called());
            self.mistakes.push((problem, Location::caller()));
        } else {
            last.optional = true;
        }
        self
    }

    /// As often as possible: what follows does not get an event that fits here as well.
    #[track_caller]
    pub fn greedy(mut self) -> Self {
        let last = self.last();
        if matches!(last.body, Body::Group(_)) {
            let problem = "a group cannot be greedy: say so of its stages";
            self.mistakes.push((problem.to_owned(), Location::caller()));
        } else if last.is_repeated() {
            last.greedy = true;
        } else {
            let problem = format!("{} is not repeated, so it cannot be greedy", last.called());
            self.mistakes.push((problem, Location::caller()));
        }
        self
    }

    /// No other event comes between two repetitions.
    #[track_caller]
    pub fn consecutive(self) -> Self {
        self.repeated(Between::Consecutive, Location::caller())
    }

    /// Events that fit may be passed over between two repetitions: one match for each choice.
    #[track_caller]
    pub fn allow_combinations(self) -> Self {
        self.repeated(Between::Combinations, Location::caller())
    }

    #[track_caller]
    fn repeated(mut self, between: Between, at: &'static Location<'static>) -> Self {
        let last = self.last();
        if last.is_repeated() {
            last.between = between;
        } else {
            let problem =
                format!("{} is not repeated, so nothing comes between its repetitions", last.called());
            self.mistakes.push((problem, at));
        }
        self
    }

    /// An event for which `condition` holds ends the repetitions, and is not one of them.
    #[track_caller]
    pub fn until(mut self, condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        let last = self.last();
        if last.max.is_none() {
            last.until = Some(Condition::plain(condition));
        } else {
            let problem = format!(
                "{} ends by itself: `until` is for `one_or_more` and `times_or_more`, and comes after them",
                last.called()
            );
            self.mistakes.push((problem, Location::caller()));
        }
        self
    }

    /// A further condition of the latest stage, which also sees what was matched before this event.
    ///
    /// The stages that it asks for are known when it runs: one that the pattern does not have fails the job.
    #[track_caller]
    pub fn given(mut self, condition: impl Fn(&T, &Matches<'_, T>) -> bool + Send + Sync + 'static) -> Self {
        match &mut self.last().body {
            Body::Stage { condition: all, .. } => all.given.push(Arc::new(condition)),
            Body::Group(_) => {
                let problem = "a group has no condition: give it to one of its stages";
                self.mistakes.push((problem.to_owned(), Location::caller()));
            }
        }
        self
    }

    /// The whole match takes less than `duration`, from its first event to its last. Given twice, the
    /// shorter one counts.
    #[track_caller]
    pub fn within(mut self, duration: Duration) -> Self {
        let at = Location::caller();
        if let Some(problem) = bad_duration(duration) {
            self.mistakes.push((format!("`within` {problem}"), at));
        } else if self.within.is_none_or(|(shorter, _)| duration < shorter) {
            self.within = Some((duration, at));
        }
        self
    }

    /// The event of the latest stage comes less than `duration` after the one before it in the match.
    #[track_caller]
    pub fn within_gap(mut self, duration: Duration) -> Self {
        let is_first = self.elements.len() == 1;
        let last = self.last();
        let problem = if let Some(problem) = bad_duration(duration) {
            format!("`within_gap` {problem}")
        } else if matches!(last.body, Body::Group(_)) {
            "a group has no gap before it: give `within_gap` to its stages".to_owned()
        } else if last.relation == Relation::NotNext || (is_first && !last.is_repeated()) {
            format!("{} has no event before it to count from", last.called())
        } else {
            last.gap = Some(duration);
            return self;
        };
        self.mistakes.push((problem, Location::caller()));
        self
    }

    /// After a match every other one is found as well. This is how a pattern starts out.
    #[track_caller]
    pub fn no_skip(self) -> Self {
        self.after(AfterMatch::NoSkip, Location::caller())
    }

    /// After a match, those that begin with the same event are given up.
    #[track_caller]
    pub fn skip_to_next(self) -> Self {
        self.after(AfterMatch::ToNext, Location::caller())
    }

    /// After a match, those that begin with one of its events, or between them, are given up: matches
    /// do not overlap.
    #[track_caller]
    pub fn skip_past_last(self) -> Self {
        self.after(AfterMatch::PastLast, Location::caller())
    }

    /// After a match, those that begin before its first event of `stage` are given up; none if it has
    /// no such event.
    #[track_caller]
    pub fn skip_to_first(self, stage: impl Into<String>) -> Self {
        self.after(AfterMatch::ToFirst(stage.into()), Location::caller())
    }

    /// After a match, those that begin before its last event of `stage` are given up; none if it has
    /// no such event.
    #[track_caller]
    pub fn skip_to_last(self, stage: impl Into<String>) -> Self {
        self.after(AfterMatch::ToLast(stage.into()), Location::caller())
    }

    fn after(mut self, skip: AfterMatch, at: &'static Location<'static>) -> Self {
        if self.after_match.replace((skip, at)).is_some() {
            self.mistakes.push(("what to skip after a match is told twice".to_owned(), at));
        }
        self
    }

    /// How many partial matches of a key there may be at a time, and how many events in all of them
    /// together: 10,000 if nothing is said. One more fails the job, or see [`Pattern::drop_oldest`].
    #[track_caller]
    pub fn at_most(mut self, partial_matches: usize) -> Self {
        if partial_matches == 0 {
            self.mistakes.push(("it is allowed no partial match".to_owned(), Location::caller()));
        }
        self.at_most = Some(partial_matches);
        self
    }

    /// When there is too much of a key, its oldest partial matches are dropped, which loses the
    /// matches that would have come of them. They go to `timed_out`, marked as
    /// [`Ended::Dropped`](super::Ended::Dropped), so that its figures tell how many.
    pub fn drop_oldest(mut self) -> Self {
        self.drops_oldest = true;
        self
    }

    /// The partial matches of a key may grow for ever: without this a pattern of which that is certain
    /// is refused.
    pub fn unbounded(mut self) -> Self {
        self.is_unbounded = true;
        self
    }

    /// Events are matched as they arrive, not in order of event time: nothing waits for a watermark
    /// and nothing is late, and all durations count in processing time. What is found then depends on the
    /// order of arrival, and may differ from run to run.
    pub fn in_arrival_order(mut self) -> Self {
        self.in_arrival_order = true;
        self
    }

    fn last(&mut self) -> &mut Element<T> {
        self.elements.last_mut().expect("a pattern begins with a stage or a group")
    }

    pub(super) fn limit(&self) -> usize {
        self.at_most.unwrap_or(PARTIAL_MATCHES)
    }
}

fn bad_duration(duration: Duration) -> Option<String> {
    match duration {
        duration if duration < Duration::from_millis(1) => {
            Some(format!("of {duration:?} leaves no time: give at least 1 ms"))
        }
        duration if i64::try_from(duration.as_millis()).is_err() => {
            Some(format!("of {duration:?} is longer than event time reaches"))
        }
        duration if duration.subsec_nanos() % 1_000_000 != 0 => {
            Some(format!("of {duration:?} is not a whole number of milliseconds"))
        }
        _ => None,
    }
}
