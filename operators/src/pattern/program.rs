//! A pattern as it is run: a position automaton.
//!
//! A *node* is one place in the pattern at which an event is taken: each stage has one, or as many as it
//! is repeated. An *edge* leads from the node of the event taken last to a node that may be next, and
//! says which events may be passed over on the way. There are no steps without an event, so a partial
//! match is just its latest node and those of its edges that are still open.

use std::sync::Arc;

use super::buffer::{Buffer, Matches};
use super::builder::Condition;
use super::matches::StageName;

/// A condition of the program, by index.
pub(super) type Test = u16;

/// The bit of a run's edges that says that no event has come since the latest one taken.
pub(super) const FRESH: u64 = 1 << 63;

/// The most edges that a node can have.
pub(super) const MOST_EDGES: usize = 63;

/// Which events may be passed over on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    None,
    /// Those that cannot be taken.
    Unfit,
    Any,
}

/// Where an edge leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Node(u16),
    /// The end, by way of what must not come: at the next event, or when time is up.
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub to: To,
    /// What the event has to fit, if one is taken.
    pub fits: Test,
    pub over: Over,
    /// What ends the repetition that the edge leads into: such an event is not taken.
    pub take_stops: Vec<Test>,
    /// As `take_stops`: such an event is not passed over either.
    pub over_stops: Vec<Test>,
    /// Not passed over.
    pub forbidden: Vec<Test>,
    /// What the first event must not be.
    pub forbidden_next: Vec<Test>,
    /// It leads from one repetition to the next of the same part: what must not come next concerns
    /// what follows the repetitions.
    pub is_inner: bool,
    /// Greedy edges of the same node: what one of them can take is not for this one.
    pub yields_to: u64,
    /// How soon the event has to come.
    pub gap_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub stage: u16,
    /// The pattern can end here.
    pub accepts: bool,
    pub edges: Vec<Edge>,
}

/// What is skipped after a match, with stages by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    None,
    ToNext,
    PastLast,
    ToFirst(u16),
    ToLast(u16),
}

/// A compiled pattern.
pub(super) struct Program<T> {
    pub names: Arc<[StageName]>,
    pub conditions: Vec<Condition<T>>,
    pub nodes: Vec<Node>,
    /// To where a match can begin.
    pub start: Vec<Edge>,
    pub within_ms: Option<i64>,
    pub skip: Skip,
    pub at_most: usize,
    pub drops_oldest: bool,
    /// Some edges have to be taken in a time of their own.
    pub has_gaps: bool,
    /// An event that fits nothing can still break a match.
    pub heeds_all: bool,
}

/// An event that is being matched, and what is known of it.
pub(super) struct Candidate<'a, T> {
    program: &'a Program<T>,
    value: &'a T,
    plain: &'a mut Vec<Option<bool>>,
}

/// What a run makes of an event: bits of its edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub takes: u64,
    pub keeps: u64,
    /// Those by which the pattern has ended before the event.
    pub ends: u64,
}

impl<T> Program<T> {
    /// Whether `value` can matter to a match.
    pub fn heeds(&self, value: &T) -> bool {
        self.heeds_all || self.conditions.iter().any(|condition| (condition.plain)(value))
    }

    /// Whether a match may begin with `value`, as far as `value` alone tells.
    pub fn may_begin(&self, value: &T) -> bool {
        self.start.iter().any(|edge| (self.conditions[usize::from(edge.fits)].plain)(value))
    }

    /// An event to be matched. `plain` is what has been found out about it, nothing at first.
    pub fn candidate<'a>(&'a self, value: &'a T, plain: &'a mut Vec<Option<bool>>) -> Candidate<'a, T> {
        plain.resize(self.conditions.len(), None);
        Candidate { program: self, value, plain }
    }
}

impl<T> Candidate<'_, T> {
    fn holds(&mut self, test: Test, so_far: &Matches<'_, T>) -> bool {
        let index = usize::from(test);
        let condition = &self.program.conditions[index];
        let value = self.value;
        let plain = *self.plain[index].get_or_insert_with(|| (condition.plain)(value));
        plain && condition.given.iter().all(|given| given(value, so_far))
    }

    fn any(&mut self, tests: &[Test], so_far: &Matches<'_, T>) -> bool {
        tests.iter().any(|test| self.holds(*test, so_far))
    }

    /// What a run at the end of the chain `link` makes of the event, of whose `edges` those in `open` are open.
    pub fn judge(&mut self, edges: &[Edge], open: u64, buffer: &Buffer<T>, link: u32) -> Verdict {
        let so_far = Matches { buffer, link, names: &self.program.names };
        let is_fresh = open & FRESH != 0;
        let mut verdict = Verdict::default();
        let mut left = open & !FRESH;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left ^= bit;
            let edge = &edges[bit.trailing_zeros() as usize];
            let is_barred = is_fresh && self.any(&edge.forbidden_next, &so_far);
            if edge.to == To::End {
                let waits = !edge.forbidden.is_empty();
                if is_barred || (waits && self.any(&edge.forbidden, &so_far)) {
                    continue;
                }
                if waits {
                    verdict.keeps |= bit;
                } else {
                    verdict.ends |= bit;
                }
                continue;
            }
            let fits = self.holds(edge.fits, &so_far);
            if fits && (edge.is_inner || !is_barred) && !self.any(&edge.take_stops, &so_far) {
                verdict.takes |= bit;
            }
            let may_pass = match edge.over {
                Over::None => false,
                Over::Unfit => !fits,
                Over::Any => true,
            };
            if may_pass
                && !is_barred
                && !self.any(&edge.over_stops, &so_far)
                && !self.any(&edge.forbidden, &so_far)
            {
                verdict.keeps |= bit;
            }
        }
        self.yield_to_greedy(edges, open, verdict)
    }

    /// Takes the event from those that leave it to a greedy edge.
    fn yield_to_greedy(&self, edges: &[Edge], open: u64, verdict: Verdict) -> Verdict {
        let mut yielding = 0;
        let mut left = open & !FRESH;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left ^= bit;
            if edges[bit.trailing_zeros() as usize].yields_to & verdict.takes != 0 {
                yielding |= bit;
            }
        }
        let Verdict { takes, keeps, ends } = verdict;
        Verdict { takes: takes & !yielding, keeps: keeps & !yielding, ends: ends & !yielding }
    }
}

/// All of `edges`, open.
pub(super) fn all_open(edges: &[Edge]) -> u64 {
    debug_assert!(edges.len() <= MOST_EDGES, "checked when the pattern was compiled");
    FRESH | ((1 << edges.len()) - 1)
}
