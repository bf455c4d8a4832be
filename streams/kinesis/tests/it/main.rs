//! The service as its clients see it: over HTTP, with the real boto3 among others.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod boto;
mod checker;
mod client;
mod connections;
mod crash;
mod errors;
mod full;
mod load;
mod power;
mod reshard;
mod sdks;
mod support;
mod upkeep;
mod wire;
