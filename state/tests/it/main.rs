//! Keyed state against models: freezes, writes in flight, crashes, and restores at another
//! parallelism, with every backend that is built in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;
mod model;
mod scripts;
