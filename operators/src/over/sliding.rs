//! How the partial aggregates of one key slide: at a constant cost per value, whatever is in range.
//!
//! Of each range the values are in three parts, one after the other. The *near* part is what leaves
//! next: up to a chunk of values. The *front* is the whole chunks behind it, the *back* all the rest,
//! which new values join. Both near part and front have an aggregate for each of their suffixes, so
//! that what leaves is taken off as from a stack; when the near part is used up, the next chunk of the
//! front becomes it, and when the front is used up too, all of the back is distributed anew (two
//! stacks make a queue). So each value is taken in three times, and a question merges three aggregates.
//!
//! Nothing is ever subtracted from a floating point number: results are as good as adding up what is
//! in range, however long the job has run. And they are the same to the last bit after a crash: where
//! the parts end is kept in the state, while the aggregates are only in memory and made anew from the
//! kept values when the key is touched for the first time.

use pelton_state::StateError;
use serde::{Deserialize, Serialize};

use super::features::{Around, Change, Entries, Features, MOST, Ranges};
use super::history::{History, Piece, Rows};

/// A key with so few values is aggregated anew at each question: it needs no partial aggregates.
const FEW: usize = 16;

/// Where the parts of a range end. The near part begins at `low`, the front at `near_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Edge {
    /// The range: another run may have others.
    length_ms: i64,
    low: u64,
    near_end: u64,
    front_end: u64,
}

/// What is kept of a key, with what slides over it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Deserialize<'de>"))]
pub(super) struct Window<V, S> {
    pub history: History<V>,
    /// Of each range; none while values are few.
    edges: Vec<Edge>,
    #[serde(skip)]
    live: Option<Box<Live<V, S>>>,
}

impl<V, S> Default for Window<V, S> {
    fn default() -> Self {
        Self { history: History::default(), edges: Vec::new(), live: None }
    }
}

/// A copy is for a checkpoint: it has no need of what is made anew.
impl<V: Clone, S> Clone for Window<V, S> {
    fn clone(&self) -> Self {
        Self { history: self.history.clone(), edges: self.edges.clone(), live: None }
    }
}

/// What is in memory only.
struct Live<V, S> {
    slides: S,
    /// The near part of each range.
    near: Vec<Piece<V>>,
}

impl Edge {
    /// With all that there is from `place` on in the back.
    fn at(place: u64, length_ms: i64) -> Self {
        Self { length_ms, low: place, near_end: place, front_end: place }
    }
}

impl<V: Clone, S> Window<V, S> {
    /// Lets go of everything.
    pub fn clear(&mut self, rows: &mut impl Rows<V>) -> Result<(), StateError> {
        self.history.clear(rows)?;
        *self = Self::default();
        Ok(())
    }

    fn has_few(&self) -> bool {
        !self.history.has_chunks() && self.history.tail().len() <= FEW
    }
}

/// The functions of an operator and their ranges.
pub(super) struct Rolling<F> {
    features: F,
    lengths_ms: Vec<i64>,
    subtracts: Vec<bool>,
}

impl<F> Rolling<F> {
    pub fn new(features: F, ranges: Ranges) -> Self {
        Self { features, lengths_ms: ranges.lengths_ms, subtracts: ranges.subtracts }
    }

    /// The longest range.
    pub fn reach_ms(&self) -> i64 {
        self.lengths_ms.iter().copied().max().unwrap_or(0)
    }

    /// Values up to these times are not in the ranges of a record at `at_ms`.
    fn bounds(&self, at_ms: i64) -> [i64; MOST] {
        let mut bounds = [i64::MIN; MOST];
        for (bound, length_ms) in bounds.iter_mut().zip(&self.lengths_ms) {
            *bound = at_ms.saturating_sub(*length_ms);
        }
        bounds
    }

    /// Takes in a value that is no older than all others.
    pub fn add<V: Clone>(
        &self,
        window: &mut Window<V, F::Slides>,
        (at_ms, value): (i64, V),
        rows: &mut impl Rows<V>,
    ) -> Result<(), StateError>
    where
        F: Features<V>,
    {
        if window.edges.is_empty() && window.history.tail().len() >= FEW {
            window.edges = self.edges_at(window.history.tail_start());
        }
        if !window.edges.is_empty() {
            let live = self.live(&mut window.live, &window.history, &mut window.edges, rows)?;
            self.features.apply(&mut live.slides, Change::Add(&value));
        }
        window.history.push(at_ms, value);
        Ok(())
    }

    /// Lets go of values up to `floor_ms`, which the window must have advanced beyond, and moves what
    /// is too much for the struct of the key into its table.
    pub fn tidy<V: Clone>(
        &self,
        window: &mut Window<V, F::Slides>,
        floor_ms: i64,
        rows: &mut impl Rows<V>,
    ) -> Result<(), StateError>
    where
        F: Features<V>,
    {
        window.history.tidy(floor_ms, rows)?;
        if window.has_few() {
            window.edges.clear();
            window.live = None;
        }
        Ok(())
    }

    /// Lets what is out of range at `at_ms` leave. Times never go back.
    pub fn advance<V: Clone>(
        &self,
        window: &mut Window<V, F::Slides>,
        at_ms: i64,
        rows: &mut impl Rows<V>,
    ) -> Result<(), StateError>
    where
        F: Features<V>,
    {
        let Window { history, edges, live } = window;
        if edges.is_empty() {
            return Ok(());
        }
        let bounds = self.bounds(at_ms);
        let end = history.end();
        let last_ms = history.last_ms().unwrap_or(i64::MIN);
        let live = self.live(live, history, edges, rows)?;
        for (range, (edge, bound)) in edges.iter_mut().zip(bounds).enumerate() {
            if last_ms <= bound {
                *edge = Edge::at(end, edge.length_ms);
                live.near[range] = Piece::default();
                self.features.apply(&mut live.slides, Change::Clear(range));
                continue;
            }
            loop {
                if live.near[range].is_empty() {
                    if edge.low == end {
                        break;
                    }
                    self.refill(range, edge, live, history, rows)?;
                }
                let near = &mut live.near[range];
                let (value_ms, value) = &near.entries[near.from];
                if *value_ms > bound {
                    break;
                }
                self.features.apply(&mut live.slides, Change::Evict(range, value));
                near.from += 1;
                edge.low += 1;
            }
        }
        Ok(())
    }

    /// The results at `at_ms` over what is kept and what lies `behind` it: all in range up to
    /// `at_ms`. `reached_ms` is where the window has advanced to, at least `at_ms`.
    pub fn results<V: Clone>(
        &self,
        window: &mut Window<V, F::Slides>,
        (at_ms, reached_ms): (i64, i64),
        behind: &Entries<V>,
        rows: &mut impl Rows<V>,
    ) -> Result<F::Out, StateError>
    where
        F: Features<V>,
    {
        let Window { history, edges, live } = window;
        let after_ms = self.bounds(at_ms);
        if edges.is_empty() {
            let around = Around { before: &[], behind: [history.tail(), behind], after_ms };
            return Ok(self.features.results(&mut F::Slides::default(), &around));
        }
        let mut before = Vec::new();
        if at_ms < reached_ms {
            for (edge, after_ms) in edges.iter().zip(after_ms) {
                before.push(history.before(edge.low, after_ms, rows)?);
            }
        }
        let live = self.live(live, history, edges, rows)?;
        let around = Around { before: &before, behind: [behind, &[]], after_ms };
        Ok(self.features.results(&mut live.slides, &around))
    }

    /// The near part is used up, and there is more.
    fn refill<V: Clone>(
        &self,
        range: usize,
        edge: &mut Edge,
        live: &mut Live<V, F::Slides>,
        history: &History<V>,
        rows: &mut impl Rows<V>,
    ) -> Result<(), StateError>
    where
        F: Features<V>,
    {
        let mut apply = |change: Change<'_, V>| self.features.apply(&mut live.slides, change);
        let piece = history.piece(edge.low, rows)?;
        let near_end = edge.low + piece.len();
        if edge.low < edge.front_end {
            apply(Change::NextChunk(range));
        } else {
            apply(Change::Flip(range));
            if piece.is_tail {
                edge.front_end = near_end;
            } else {
                edge.front_end = history.tail_start();
                for chunk in history.chunks(near_end..edge.front_end, rows) {
                    apply(Change::Front(range, &chunk?));
                }
                apply(Change::Back(range, history.tail()));
            }
        }
        apply(Change::Near(range, piece.values()));
        edge.near_end = near_end;
        live.near[range] = piece;
        Ok(())
    }

    fn edges_at(&self, place: u64) -> Vec<Edge> {
        self.lengths_ms.iter().map(|length_ms| Edge::at(place, *length_ms)).collect()
    }

    /// What is in memory only, made anew if it is not there: as it was, part by part. If the ranges are not those of
    /// the run that kept the values, from all of them.
    fn live<'a, V: Clone>(
        &self,
        live: &'a mut Option<Box<Live<V, F::Slides>>>,
        history: &History<V>,
        edges: &mut Vec<Edge>,
        rows: &mut impl Rows<V>,
    ) -> Result<&'a mut Live<V, F::Slides>, StateError>
    where
        F: Features<V>,
    {
        if live.is_none() {
            if !edges.iter().map(|edge| &edge.length_ms).eq(&self.lengths_ms) {
                *edges = self.edges_at(history.start(rows)?);
            }
            *live = Some(Box::new(self.rebuilt(history, edges, rows)?));
        }
        Ok(live.as_mut().expect("it was just made"))
    }

    #[cold]
    fn rebuilt<V: Clone>(
        &self,
        history: &History<V>,
        edges: &[Edge],
        rows: &mut impl Rows<V>,
    ) -> Result<Live<V, F::Slides>, StateError>
    where
        F: Features<V>,
    {
        let mut slides = F::Slides::default();
        let mut near = Vec::with_capacity(edges.len());
        for (range, edge) in edges.iter().enumerate() {
            let mut apply = |change: Change<'_, V>| self.features.apply(&mut slides, change);
            let all = |from: u64, rows: &mut _, change: &mut dyn FnMut(&Entries<V>)| {
                let mut at = from;
                while at < history.end() {
                    let piece = history.piece(at, rows)?;
                    change(piece.values());
                    at += piece.len();
                }
                Ok::<_, StateError>(())
            };
            if self.subtracts[range] {
                all(edge.low, rows, &mut |entries| apply(Change::Total(range, entries)))?;
            }
            all(edge.front_end, rows, &mut |entries| apply(Change::Back(range, entries)))?;
            for chunk in history.chunks(edge.near_end..edge.front_end, rows) {
                apply(Change::Front(range, &chunk?));
            }
            let mut piece = Piece::default();
            if edge.low < edge.near_end {
                piece = history.piece(edge.low, rows)?;
                piece.cut(edge.near_end - edge.low);
                apply(Change::Near(range, piece.values()));
            }
            near.push(piece);
        }
        Ok(Live { slides, near })
    }
}
