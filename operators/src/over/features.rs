//! Several functions of several ranges as one: what `.features((..))` takes, and the partial
//! aggregates that slide with each of them.
//!
//! The engine of a range (`sliding`) does not know the types of its functions. It says what happens
//! to all of them as a [`Change`], and each takes its part.

use std::sync::Arc;

use pelton_dataflow::record::Data;
use pelton_state::TableValue;

use super::aggregates::RangeAggregate;
use super::range::Ranged;

/// The records of one key in order, each with its event time in milliseconds.
pub(super) type Entries<V> = [(i64, V)];

/// One function of one range, or a tuple of up to eight. Only what `last(..)` makes is one; a function
/// of your own is a [`RangeAggregate`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` are no features of `{V}`",
    note = "give one function of a range, as `last(hour).sum()`, or a tuple of up to eight of them; each must take `{V}`"
)]
pub trait Features<V>: Send + Sync + 'static {
    /// What each record gets: the result of the function, or a tuple of results.
    type Out: Data;
    #[doc(hidden)]
    type Slides: Default + Send + Sync + 'static;
    /// A partial aggregate of each function: what `coarsen` keeps.
    #[doc(hidden)]
    type Partials: TableValue + Default;
    /// The same functions over partial aggregates instead of values.
    #[doc(hidden)]
    type Coarse: Features<Self::Partials, Out = Self::Out>;

    #[doc(hidden)]
    fn bind(&mut self, ranges: &mut Ranges);
    #[doc(hidden)]
    fn apply(&self, slides: &mut Self::Slides, change: Change<'_, V>);
    #[doc(hidden)]
    fn results(&self, slides: &mut Self::Slides, around: &Around<'_, V>) -> Self::Out;
    #[doc(hidden)]
    fn gather(&self, partials: &mut Self::Partials, value: &V);
    #[doc(hidden)]
    fn coarse(&self) -> Self::Coarse;
}

/// The distinct ranges of an operator, in milliseconds, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Ranges {
    pub(super) lengths_ms: Vec<i64>,
    /// Whether some function of the range subtracts.
    pub(super) subtracts: Vec<bool>,
    pub(super) problems: Vec<String>,
    /// What the partial aggregates of each function mean, where their types do not say.
    pub(super) meanings: Vec<String>,
    /// What kept values mean besides that: where buckets lie, and the meanings of what is in them.
    pub(super) kept_are: Option<String>,
}

/// What happens to the partial aggregates of a range. Functions that subtract keep a total of all
/// that is in range; the others keep it in three parts, as a queue of two stacks does.
#[derive(Debug)]
pub enum Change<'a, V> {
    /// All ranges: a value has come at the end.
    Add(&'a V),
    /// The oldest value has left.
    Evict(usize, &'a V),
    /// What the near part has used up goes on with the next chunk of the front.
    NextChunk(usize),
    /// What is in the back is distributed anew: it and the front are empty now.
    Flip(usize),
    /// A whole chunk joins the front before all that is in it.
    Front(usize, &'a Entries<V>),
    /// These are the back.
    Back(usize, &'a Entries<V>),
    /// These are the near part: each leaves alone.
    Near(usize, &'a Entries<V>),
    /// Some of all that is in range, in order: what a total is rebuilt from.
    Total(usize, &'a Entries<V>),
    /// Nothing is left.
    Clear(usize),
}

/// Features are at most so many, and so are their distinct ranges.
pub(super) const MOST: usize = 8;

/// What the results take in besides what slides.
#[derive(Debug)]
pub struct Around<'a, V> {
    /// Of each range, what lies before what slides: the newest first.
    pub(super) before: &'a [Vec<V>],
    /// What lies behind.
    pub(super) behind: [&'a Entries<V>; 2],
    /// For each range, what is later than this is in it.
    pub(super) after_ms: [i64; MOST],
}

impl<'a, V> Around<'a, V> {
    fn before(&self, range: usize) -> impl Iterator<Item = &'a V> + use<'a, V> {
        self.before.get(range).into_iter().flatten().rev()
    }

    fn behind(&self, range: usize) -> impl Iterator<Item = &'a V> + use<'a, V> {
        let after_ms = self.after_ms[range];
        let in_range = |entries: &'a Entries<V>| {
            let from = entries.partition_point(|(at_ms, _)| *at_ms <= after_ms);
            &entries[from..]
        };
        self.behind.map(in_range).into_iter().flatten().map(|(_, value)| value)
    }
}

/// The partial aggregates of one function.
///
/// All that is in range is `near`, then `front`, then `back`. `near` holds, for each of the oldest
/// values, the aggregate of it and what follows it in `near`; `front` the same for whole chunks;
/// `back` is the aggregate of all the rest. The next to leave is the last of its vector.
pub struct Slide<P> {
    near: Vec<P>,
    front: Vec<P>,
    back: P,
}

impl<P: Default> Default for Slide<P> {
    fn default() -> Self {
        Self { near: Vec::new(), front: Vec::new(), back: P::default() }
    }
}

fn folded<V, A: RangeAggregate<V>>(aggregate: &A, entries: &Entries<V>) -> A::Partial {
    let mut partial = A::Partial::default();
    for (_, value) in entries {
        aggregate.add(&mut partial, value);
    }
    partial
}

/// Aggregates of `entries[i..]` for each `i`, the shortest first, each before what `rest` has.
fn push_before<V, A: RangeAggregate<V>>(aggregate: &A, rest: &mut Vec<A::Partial>, mut partial: A::Partial) {
    if let Some(after) = rest.last() {
        aggregate.merge(&mut partial, after);
    }
    rest.push(partial);
}

fn apply<V, A: RangeAggregate<V>>(lane: &Ranged<A>, slide: &mut Slide<A::Partial>, change: &Change<'_, V>) {
    let (aggregate, own) = (&*lane.aggregate, lane.range);
    match *change {
        Change::Add(value) => aggregate.add(&mut slide.back, value),
        Change::Evict(range, value) if range == own => match A::SUBTRACTS {
            true => aggregate.subtract(&mut slide.back, value),
            false => drop(slide.near.pop()),
        },
        Change::Clear(range) if range == own => *slide = Slide::default(),
        Change::Total(range, entries) if range == own && A::SUBTRACTS => {
            entries.iter().for_each(|(_, value)| aggregate.add(&mut slide.back, value));
        }
        // A total is all that the others are for.
        _ if A::SUBTRACTS => {}
        Change::NextChunk(range) if range == own => drop(slide.front.pop()),
        Change::Flip(range) if range == own => {
            slide.front.clear();
            slide.back = A::Partial::default();
        }
        Change::Front(range, entries) if range == own => {
            push_before(aggregate, &mut slide.front, folded(aggregate, entries));
        }
        Change::Back(range, entries) if range == own => {
            entries.iter().for_each(|(_, value)| aggregate.add(&mut slide.back, value));
        }
        Change::Near(range, entries) if range == own => {
            slide.near.clear();
            slide.near.reserve(entries.len());
            for entry in entries.iter().rev() {
                push_before(aggregate, &mut slide.near, folded(aggregate, std::slice::from_ref(entry)));
            }
        }
        _ => {}
    }
}

fn result<V, A: RangeAggregate<V>>(
    lane: &Ranged<A>,
    slide: &mut Slide<A::Partial>,
    around: &Around<'_, V>,
) -> A::Out {
    let (aggregate, own) = (&*lane.aggregate, lane.range);
    if A::SUBTRACTS {
        // Lent for the time of the question.
        let values = || around.before(own).chain(around.behind(own));
        values().for_each(|value| aggregate.add(&mut slide.back, value));
        let result = aggregate.result(&slide.back);
        values().for_each(|value| aggregate.subtract(&mut slide.back, value));
        return result;
    }
    let mut all = A::Partial::default();
    around.before(own).for_each(|value| aggregate.add(&mut all, value));
    for partial in slide.near.last().into_iter().chain(slide.front.last()).chain([&slide.back]) {
        aggregate.merge(&mut all, partial);
    }
    around.behind(own).for_each(|value| aggregate.add(&mut all, value));
    aggregate.result(&all)
}

/// A function over the partial aggregates of buckets.
pub struct Bucketed<A, V, X, P> {
    aggregate: Arc<A>,
    of: fn(&X) -> &P,
    value: std::marker::PhantomData<fn(V)>,
}

impl<A, V, X, P> RangeAggregate<X> for Bucketed<A, V, X, P>
where
    A: RangeAggregate<V, Partial = P>,
    V: 'static,
    X: 'static,
    P: TableValue + Default,
{
    type Partial = P;
    type Out = A::Out;

    fn add(&self, partial: &mut P, bucket: &X) {
        self.aggregate.merge(partial, (self.of)(bucket));
    }

    fn merge(&self, partial: &mut P, later: &P) {
        self.aggregate.merge(partial, later);
    }

    fn result(&self, partial: &P) -> A::Out {
        self.aggregate.result(partial)
    }
}

impl<V: 'static, A: RangeAggregate<V>> Features<V> for Ranged<A> {
    type Slides = Slide<A::Partial>;
    type Out = A::Out;
    type Partials = A::Partial;
    type Coarse = Ranged<Bucketed<A, V, A::Partial, A::Partial>>;

    fn bind(&mut self, ranges: &mut Ranges) {
        self.enter(ranges, self.aggregate.check(), A::SUBTRACTS);
        ranges.meanings.push(self.aggregate.meaning());
    }

    fn apply(&self, slides: &mut Self::Slides, change: Change<'_, V>) {
        apply(self, slides, &change);
    }

    fn results(&self, slides: &mut Self::Slides, around: &Around<'_, V>) -> A::Out {
        result(self, slides, around)
    }

    fn gather(&self, partials: &mut A::Partial, value: &V) {
        self.aggregate.add(partials, value);
    }

    fn coarse(&self) -> Self::Coarse {
        self.map(|aggregate| Bucketed { aggregate, of: |partial| partial, value: std::marker::PhantomData })
    }
}

macro_rules! tuple {
    ($($A:ident $nth:tt),+) => {
        impl<V: 'static, $($A: RangeAggregate<V>),+> Features<V> for ($(Ranged<$A>,)+) {
            type Slides = ($(Slide<$A::Partial>,)+);
            type Out = ($($A::Out,)+);
            type Partials = ($($A::Partial,)+);
            type Coarse = ($(Ranged<Bucketed<$A, V, Self::Partials, $A::Partial>>,)+);

            fn bind(&mut self, ranges: &mut Ranges) {
                $(
                    self.$nth.enter(ranges, self.$nth.aggregate.check(), $A::SUBTRACTS);
                    ranges.meanings.push(self.$nth.aggregate.meaning());
                )+
            }

            fn apply(&self, slides: &mut Self::Slides, change: Change<'_, V>) {
                $(apply(&self.$nth, &mut slides.$nth, &change);)+
            }

            fn results(&self, slides: &mut Self::Slides, around: &Around<'_, V>) -> Self::Out {
                ($(result(&self.$nth, &mut slides.$nth, around),)+)
            }

            fn gather(&self, partials: &mut Self::Partials, value: &V) {
                $(self.$nth.aggregate.add(&mut partials.$nth, value);)+
            }

            fn coarse(&self) -> Self::Coarse {
                ($(self.$nth.map(|aggregate| Bucketed {
                    aggregate,
                    of: |partials: &Self::Partials| &partials.$nth,
                    value: std::marker::PhantomData,
                }),)+)
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
