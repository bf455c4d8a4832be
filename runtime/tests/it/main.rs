//! The runtime from outside: the coordinator by script and in a simulated world, jobs with real
//! graphs.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up, it reports by failing")]

mod coordinator;
mod jobs;
mod keyed;
mod measure;
mod small;
