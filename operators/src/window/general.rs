//! Windows that are more than panes of event time: sessions, counts, global windows and windows of your own
//! making, that may fire early, again for late records, by a trigger, and with some of their records put out.
//!
//! Each key holds its open windows in one struct, so a record costs one look-up, whatever it does to its windows.
//!
//! * [`Session`], [`CountWindows`], [`GlobalWindow`], [`WindowAssigner`]: which windows a record is in;
//! * [`Trigger`]: when a window fires; [`Evictor`]: which records are left out as it does;
//! * [`FiringWindows`]: windows with such settings; what they give is [`WindowUpdate`]s, each of which says by its
//!   [`Firing`] whether it is early, on time or late, and the how many-th result of its window it is;
//! * `kind`, `open`, `contents`: the windows of a key, and what they hold; `hand`: what a record or a time does to the
//!   windows of a key; `running`: the operator.
//!
//! # When a window ends
//!
//! A window of event time ends when the watermark reaches its `end`; it stays open for late records until the
//! watermark reaches `end` + allowed lateness, and then all that is kept of it goes. A window of processing time ends
//! by the clock, or as the input ends, and goes at once; a count window ends when it is full; a global one
//! as the input ends.

mod aligned;
mod assigner;
mod build;
mod contents;
mod count;
mod evictor;
mod firing;
mod global;
mod hand;
mod kind;
mod open;
mod rows;
mod running;
mod session;
pub mod trigger;

pub(crate) use aligned::OfLayout;
pub use assigner::{Window, WindowAssigner};
pub(crate) use build::plain;
pub use build::{FiringWindows, WindowOutputs};
pub use count::CountWindows;
pub use evictor::{Evicted, Evictor, Keep};
pub use firing::{FiredWindow, Firing, Timing, WindowUpdate};
pub use global::GlobalWindow;
pub use hand::WindowOut;
pub(crate) use kind::Kind;
pub use session::Session;
pub use trigger::{Decision, Trigger, TriggerContext};
