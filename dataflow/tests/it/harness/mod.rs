//! What the tests run graphs with.
//!
//! In reading order: [`item`], the records, which carry what was promised when they were sent;
//! [`log`], where operators write what they saw and which checks failed; [`script`], sources that
//! say what a test writes for them; [`ops`], operators that check each promise on each edge;
//! [`wiring`], graphs of these; [`cluster`], workers that step only when the test says so;
//! [`rng`], seeds.

pub mod cluster;
pub mod item;
pub mod log;
pub mod ops;
pub mod rng;
pub mod script;
pub mod wiring;

pub use cluster::{Cluster, Setup};
pub use ops::{Does, FailAt};
pub use rng::Rng;
pub use wiring::{Route, Wiring};
