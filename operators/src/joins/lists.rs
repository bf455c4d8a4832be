//! What is kept of a key in a window of a join, and what is made of it when the window fires.

use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Serialize};

use super::pair::Pair;

/// The records of one key in one window.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "A: Data, B: Data")]
pub(crate) struct Lists<A, B> {
    pub left: Vec<A>,
    pub right: Vec<B>,
    /// How many of the results have been given.
    pub given: u64,
}

impl<A, B> Default for Lists<A, B> {
    fn default() -> Self {
        Self { left: Vec::new(), right: Vec::new(), given: 0 }
    }
}

/// As keyed state it equals its default, and nothing else: records need not be comparable.
impl<A, B> PartialEq for Lists<A, B> {
    fn eq(&self, other: &Self) -> bool {
        let is_default = |lists: &Self| lists.left.is_empty() && lists.right.is_empty();
        is_default(self) && is_default(other)
    }
}

/// A key in a window, whose records are lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a, K> {
    /// The key.
    pub key: &'a K,
    /// The window's first instant.
    pub start: EventTime,
    /// The first instant after the window.
    pub end: EventTime,
}

/// What becomes of the records of a key in a window.
pub(crate) trait Results<K, A, B>: Send + Sync + 'static {
    type Out: Data;

    /// Gives results to `push` from where the last call stopped, until it says to stop; whether all have been
    /// given.
    fn give(
        &self,
        group: &Group<'_, K>,
        lists: &mut Lists<A, B>,
        push: impl FnMut(Self::Out) -> bool,
    ) -> bool;
}

/// All pairs.
pub(crate) struct Pairs<P>(pub P);

impl<K: Key, A: Data, B: Data, P: Pair<A, B>> Results<K, A, B> for Pairs<P> {
    type Out = P::Out;

    fn give(&self, _: &Group<'_, K>, lists: &mut Lists<A, B>, mut push: impl FnMut(P::Out) -> bool) -> bool {
        let Self(pair) = self;
        let Lists { left, right, given } = lists;
        let done = *given as usize;
        let mut push = |out: Option<P::Out>| {
            *given += 1;
            out.is_some_and(&mut push)
        };
        if right.is_empty() {
            let has_stopped = P::LEFT && left[done..].iter().any(|left| push(pair.left(left)));
            return !has_stopped;
        }
        if left.is_empty() {
            let has_stopped = P::RIGHT && right[done..].iter().any(|right| push(pair.right(right)));
            return !has_stopped;
        }
        let mut from = done % right.len();
        for left in &left[done / right.len()..] {
            if right[from..].iter().any(|right| push(Some(pair.both(left, right)))) {
                return false;
            }
            from = 0;
        }
        true
    }
}

/// What a function makes of both lists, at one go.
pub(crate) struct Apply<F>(pub F);

impl<K, A, B, O, I, F> Results<K, A, B> for Apply<F>
where
    K: Key,
    A: Data,
    B: Data,
    O: Data,
    I: IntoIterator<Item = O>,
    F: Fn(&Group<'_, K>, &[A], &[B]) -> I + Send + Sync + 'static,
{
    type Out = O;

    fn give(&self, group: &Group<'_, K>, lists: &mut Lists<A, B>, mut push: impl FnMut(O) -> bool) -> bool {
        (self.0)(group, &lists.left, &lists.right).into_iter().for_each(|out| {
            push(out);
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::FullOuter;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However often it is stopped, all pairs are given once, and in order.
        #[test]
        fn pairs_go_on_where_they_stopped(left in 0u8..6, right in 0u8..6, stop_after in 1usize..9) {
            let pairs = Pairs(FullOuter(|a: Option<&u8>, b: Option<&u8>| (a.copied(), b.copied())));
            let mut lists = Lists { left: (0..left).collect(), right: (0..right).collect(), given: 0 };
            let group = Group { key: &'k', start: EventTime(0), end: EventTime(10) };
            let mut given = Vec::new();
            loop {
                let mut slice = Vec::new();
                let is_done = pairs.give(&group, &mut lists, |pair| {
                    slice.push(pair);
                    slice.len() == stop_after
                });
                prop_assert!(slice.len() <= stop_after);
                prop_assert!(is_done || slice.len() == stop_after);
                given.append(&mut slice);
                if is_done {
                    break;
                }
            }
            let some = |count: u8| if count == 0 { vec![None] } else { (0..count).map(Some).collect() };
            let all = some(left).into_iter().flat_map(|a| some(right).into_iter().map(move |b| (a, b)));
            let expected: Vec<_> = all.filter(|pair| *pair != (None, None)).collect();
            prop_assert_eq!(given, expected);
        }
    }
}
