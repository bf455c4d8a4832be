//! Patterns: sequences of events of a key, found as they happen.
//!
//! A [`Pattern`] says which events have to follow each other, how often, how closely and in what time. Put on a
//! keyed stream it gives a [`Match`] for each way in which a key's events fit it. `docs/patterns.md`
//! teaches it with pictures; the words are those of Flink's CEP, and so are the results, except
//! where that page says otherwise.
//!
//! **Order.** The records of a key are matched in the order of their event times, those of one time
//! as they came: each waits until the watermark has passed it, and what comes later than that is late. A
//! pattern without `next`, `not_next` and `consecutive` does not even keep what fits none of its
//! conditions.
//!
//! **What is kept** of a key is one struct: the records that wait, each event of its partial matches once
//! (`buffer`), and the partial matches themselves (`runs`). A key without any has no struct. The struct
//! is rewritten in a checkpoint if it was touched, so its size is what a checkpoint costs; the number of
//! partial matches is [limited](Pattern::at_most).
//!
//! **A match's event time** is that of the record, or the end of the time, that decided it.
//!
//! In reading order: `builder`, what users write; `program`, what it is compiled to by `compile` and
//! `check`; `buffer` and `runs`, what is kept of a key and what an event does to it; `operator`, how
//! that is driven; `matches`, what comes out.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::Key;
use pelton_dataflow::operator::{Operator, OperatorContext};
use pelton_dataflow::record::Data;
use pelton_state::{StateSpec, TimeDomain};

use crate::job::SharedGraph;
use crate::keyed_stream::KeyedStream;
use crate::process::store;
use crate::stream::Stream;

mod buffer;
mod builder;
mod check;
mod compile;
mod describe;
mod matches;
mod operator;
mod program;
mod runs;
#[cfg(test)]
mod tests;

pub use buffer::Matches;
pub use builder::Pattern;
pub use matches::{Ended, Match, PartialMatch, StageName};

use runs::KeyState;

/// What a pattern gives.
pub struct Patterned<K: Key, T: Data> {
    /// What fits the pattern.
    pub matches: Stream<Match<K, T>>,
    /// Partial matches that came to nothing, mostly because their time was up.
    pub timed_out: Stream<PartialMatch<K, T>>,
    /// Records that the watermark had passed when they came.
    pub late: Stream<T>,
    stages: Arc<[StageName]>,
    name: String,
    graph: SharedGraph,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Looks for `pattern` in each key's records.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Pattern, testing::Harness};
    ///
    /// let mut script = Harness::new(|payments, taps| {
    ///     let pattern = Pattern::begin("probe", |(_, amount): &(char, u64)| *amount < 10)
    ///         .followed_by("hit", |(_, amount)| *amount > 100)
    ///         .within(Duration::from_secs(60));
    ///     let found = payments.key_by(|(card, _)| *card).pattern("probe-then-hit", pattern);
    ///     taps.tap("hit", &found.select_stages(["hit"], |card, [hit]| (*card, hit[0].1)));
    /// });
    /// script.record(2_000, ('a', 500)).record(1_000, ('a', 5)).record(3_000, ('b', 500)).end();
    /// assert_eq!(script.output(), ["hit@2000 ('a', 500)"]);
    /// ```
    #[track_caller]
    pub fn pattern(&self, name: impl Into<String>, pattern: Pattern<T>) -> Patterned<K, T> {
        let name = name.into();
        let location = Location::caller();
        let graph = self.stream.graph.clone();
        let domain = if pattern.in_arrival_order { TimeDomain::Processing } else { TimeDomain::Event };
        let shape = describe::shape(&pattern);
        let program = match compile::compile(pattern, location) {
            Ok(program) => Some(Arc::new(program)),
            Err(mistakes) => {
                mistakes.into_iter().for_each(|(problem, at)| graph.mistake(&name, problem, at));
                None
            }
        };
        let goes_by_clock = domain == TimeDomain::Processing
            && program.as_ref().is_some_and(|program| program.within_ms.is_some() || program.has_gaps);
        let stages = program.as_ref().map_or_else(|| Arc::from([]), |program| program.names.clone());
        let spec = StateSpec::<KeyState<T>>::new().timers();
        let mut states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        // What is kept means something only to the pattern that it was kept for.
        for state in states.iter_mut().filter(|state| state.kind == "value") {
            state.fingerprint = format!("{} / {shape}", state.fingerprint);
        }
        let mut add = self.stateful::<Match<K, T>>(name.clone(), "pattern", states, location);
        add.outputs.push(OutputPort::of::<PartialMatch<K, T>>("timed out"));
        add.outputs.push(OutputPort::of::<T>("late"));
        add.detail = shape;
        let factory = move |cx: &OperatorContext<'_>| {
            let Some(program) = program.clone() else { return Err("its pattern has mistakes".into()) };
            let state = store(cx)?.keyed::<K, KeyState<T>>(cx.name, spec.clone())?;
            let running = operator::Running::new(program, state, domain, cx)?;
            Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
        };
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        if goes_by_clock {
            graph.ranks(node, Ranks::ByClock);
        }
        let port = |port| PortRef { node, port };
        Patterned {
            matches: Stream::new(graph.clone(), port(0)),
            timed_out: Stream::new(graph.clone(), port(1)),
            late: Stream::new(graph.clone(), port(2)),
            stages,
            name,
            graph,
        }
    }
}

impl<K: Key, T: Data> Patterned<K, T> {
    /// Makes something of each match.
    ///
    /// ```
    /// use pelton_operators::{Pattern, testing::Harness};
    ///
    /// let mut script = Harness::new(|numbers, taps| {
    ///     let pattern = Pattern::begin("low", |n: &u64| *n < 5).next("high", |n| *n > 5);
    ///     let jumps = numbers.key_by(|_| ()).pattern("jumps", pattern);
    ///     taps.tap("jump", &jumps.select(|jump| jump.events.iter().map(|(_, record)| record.value).sum::<u64>()));
    /// });
    /// script.record(1, 3).record(2, 7).record(3, 9).end();
    /// assert_eq!(script.output(), ["jump@2 10"]);
    /// ```
    #[track_caller]
    pub fn select<U: Data>(&self, of: impl Fn(&Match<K, T>) -> U + Send + Sync + 'static) -> Stream<U> {
        self.matches.map(move |found| of(&found))
    }

    /// Makes something of each match's key and the events of some stages. A name that no stage
    /// has is a mistake of the graph.
    ///
    /// ```
    /// use pelton_operators::{Pattern, testing::Harness};
    ///
    /// let mut script = Harness::new(|numbers, taps| {
    ///     let pattern = Pattern::begin("low", |n: &u64| *n < 5).next("high", |n| *n > 5);
    ///     let jumps = numbers.key_by(|_| ()).pattern("jumps", pattern);
    ///     taps.tap("jump", &jumps.select_stages(["high", "low"], |_, [high, low]| high[0] - low[0]));
    /// });
    /// script.record(1, 3).record(2, 7).record(3, 9).end();
    /// assert_eq!(script.output(), ["jump@2 4"]);
    /// ```
    #[track_caller]
    pub fn select_stages<U: Data, const N: usize>(
        &self,
        stages: [&'static str; N],
        of: impl Fn(&K, [Vec<&T>; N]) -> U + Send + Sync + 'static,
    ) -> Stream<U> {
        for stage in stages {
            if !self.stages.is_empty() && !self.stages.iter().any(|name| name.as_str() == stage) {
                let names: Vec<_> = self.stages.iter().map(|name| format!("`{}`", name.as_str())).collect();
                let problem = format!("no stage is named `{stage}`: the pattern has {}", names.join(", "));
                self.graph.mistake(&self.name, problem, Location::caller());
            }
        }
        self.matches.map(move |found| of(&found.key, stages.map(|stage| found.of(stage).collect())))
    }
}
