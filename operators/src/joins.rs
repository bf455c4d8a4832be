//! Joins: pairs of records that have a key in common.
//!
//! | join | pairs | kept of a key |
//! | --- | --- | --- |
//! | [`interval_join`](KeyedStream::interval_join) | whose times differ by no more than bounds say | until the watermark has passed its bounds |
//! | [`window_join`](KeyedStream::window_join), [`co_group`](KeyedStream::co_group) | in the same window | until the window has fired |
//! | [`temporal_join`](KeyedStream::temporal_join) | a record and the version that was valid at its time | records until the watermark has passed them; one version before it, and all after |
//! | [`join`](KeyedStream::join) | all, or those within a retention | for ever, or for the retention |
//!
//! Each waits for its kind and for what to make of a pair: `.inner(|left, right| ..)`,
//! `.left(|left, right| ..)` and so on, which lends both, so that nothing is copied that the output does
//! not hold. An *outer* join also gives what has found no partner: once event time has passed the last moment at which
//! one could have come, never earlier, so nothing is taken back.
//!
//! * `pair`: the kinds of joins, behind one trait;
//! * `temporal`: temporal joins;
//! * `timed`: interval joins and regular joins;
//! * `windowed`: window joins and co-groups; `lists`: what is kept and made of a key in a window; `spans`: which
//!   windows there are.

use pelton_dataflow::record::Data;
use serde::{Deserialize, Serialize};

use crate::process::Processed;
use crate::stream::Stream;

#[cfg(doc)]
use crate::keyed_stream::KeyedStream;

mod lists;
mod pair;
mod spans;
mod temporal;
mod timed;
mod windowed;

pub use lists::Group;
pub use temporal::TemporalJoin;
pub use timed::{IntervalJoin, Join};
pub use windowed::WindowJoin;

/// What a join gives.
pub struct Joined<O, A, B> {
    /// What was made of each pair.
    pub out: Stream<O>,
    /// Records that came after the watermark, too late for some of their partners.
    pub late: Stream<Late<A, B>>,
}

/// A late record of either side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Late<A, B> {
    /// Of the left stream.
    Left(A),
    /// Of the right stream.
    Right(B),
}

impl<O: Data, A: Data, B: Data> Joined<O, A, B> {
    fn of(processed: Processed<O, Late<A, B>>) -> Self {
        Self { out: processed.out, late: processed.side }
    }
}
