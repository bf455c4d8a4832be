//! Nexmark: an auction house as a stream, and the queries that stream processors are compared by.
//!
//! Pete Tucker, Kristin Tufte, Vassilis Papadimos and David Maier defined the first eight
//! ("NEXMark: A Benchmark for Queries over Data Streams", 2002); the others are of
//! github.com/nexmark/nexmark, whose SQL (`nexmark-flink/src/main/resources/queries`) says what is computed here,
//! by the typed API and one file for each.
//!
//! In reading order: [`model`] (events), [`generator`] with `random` and `texts` (where they come
//! from), [`input`] (as a source of a job), `q0` to `q22` with what several share (`winning`, `distinct`, `ranks`,
//! `calendar`), [`results`] (what a result is, and where it goes), and `naive` (each query again, as
//! loops over all events, to check the first).

mod calendar;
mod distinct;
pub mod generator;
pub mod input;
pub mod model;
mod naive;
mod q0;
mod q1;
mod q10;
mod q11;
mod q12;
mod q13;
mod q14;
mod q15;
mod q16;
mod q17;
mod q18;
mod q19;
mod q2;
mod q20;
mod q21;
mod q22;
mod q3;
mod q4;
mod q5;
mod q6;
mod q7;
mod q8;
mod q9;
mod random;
mod ranks;
pub mod results;
mod texts;
mod winning;

use pelton::prelude::Stream;
use serde_json::Value;

use model::Event;
use results::Results;

/// A query of the benchmark.
pub struct Query {
    /// As the benchmark names it: `q5`.
    pub name: &'static str,
    /// Reads events, and sends its rows to the results.
    pub wire: fn(&Stream<Event>, Results),
    /// The rows that it has to give in the end, in any order, for all of these events.
    pub naive: fn(&[Event]) -> Vec<Value>,
}

macro_rules! queries {
    ($($query:ident $(by $wire:ident)?),*) => {
        /// All queries, in order.
        pub const QUERIES: &[Query] = &[$(Query {
            name: stringify!($query),
            wire: queries!(@wire $query $($wire)?),
            naive: naive::$query::result,
        }),*];
    };
    (@wire $query:ident) => { |events, results| results.take(&$query::query(events)) };
    (@wire $query:ident $wire:ident) => { $query::$wire };
}

queries!(
    q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10 by wire, q11, q12, q13, q14, q15, q16, q17, q18, q19, q20, q21, q22);

/// No query: events are counted and dropped. What a query is held against, as generating is part of
/// all of them.
pub const NONE: &str = "q-none";
