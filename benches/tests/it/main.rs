//! The integration tests of the benchmarks, in one binary.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as it should")]

mod nexmark;
