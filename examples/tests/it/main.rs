//! The examples as users run them: real binaries, real files.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as it should")]
#![expect(clippy::print_stdout, reason = "a random test prints its seed, so that it can be run again")]

mod alerts;
mod command_line;
mod exactly_once;
mod killed_within;
mod naive;
mod starts;
mod world;
