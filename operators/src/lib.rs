//! What users call: streams, and the operators on them.
//!
//! In reading order: [`Job`] begins a graph with a [`source`] and its [`Watermarks`]; a [`Stream`]
//! is a handle on an output; each operator has a file of its own that adds its method to
//! `Stream` or [`KeyedStream`]. [`testing`] runs small graphs in one thread.

pub mod aggregate;
mod assign_times;
pub mod async_io;
pub mod broadcast;
mod by_time;
pub mod connect;
mod dead_letter;
pub mod deduplicate;
mod emit;
mod event_order;
mod exchange;
mod flat_map;
mod job;
pub mod joins;
mod keyed_stream;
mod map;
pub mod over;
pub mod pattern;
pub mod process;
mod reached;
mod sink;
mod sorted;
pub mod source;
mod split;
mod stream;
pub mod testing;
mod told;
pub mod top_n;
mod union;
mod unkeyed_process;
mod update;
mod watermarks;
pub mod window;

pub use aggregate::Aggregate;
pub use assign_times::AssignedTimes;
pub use async_io::{Answered, Async, AsyncClient, Backoff, NoAnswer, Unanswered};
pub use broadcast::{BroadcastContext, BroadcastProcess, BroadcastStream, Judged, TakesEffect};
pub use connect::{CoContext, Connected, KeyedCoProcess, KeyedConnected};
pub use deduplicate::{Deduplicate, Deduplicated, Kept};
pub use event_order::InEventOrder;
pub use job::Job;
pub use joins::{Group, IntervalJoin, Join, Joined, Late, TemporalJoin, WindowJoin};
pub use keyed_stream::KeyedStream;
pub use over::{Featured, Over, RangeAggregate};
pub use pattern::{Match, Matches, PartialMatch, Pattern, Patterned};
pub use process::{
    Context, Declare, KeyedContext, KeyedProcess, NoSide, Processed, ProcessedWithDeadLetters,
};
pub use sorted::Sorted;
pub use source::{OnTimeStreams, SourceBuilder, SourceStreams};
pub use split::Split;
pub use stream::Stream;
pub use top_n::{Placed, TopN, Update};
pub use unkeyed_process::{Process, ProcessContext};
pub use watermarks::{NoTime, WatermarkGenerator, Watermarks};
pub use window::trigger;
pub use window::{
    AllWindows, CountWindows, Cumulative, Evicted, Evictor, FiredWindow, Firing, FiringWindows, GlobalWindow,
    Keep, Session, Sliding, Timing, Tumbling, Window, WindowAssigner, WindowOut, WindowOutputs, WindowResult,
    WindowTotal, WindowUpdate, Windowed, WindowedAll, WindowedStream, Windows,
};
