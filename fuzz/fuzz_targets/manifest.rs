//! Fuzzes entries of the manifest log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_state::fuzzing::manifest(bytes));
