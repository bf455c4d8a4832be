//! Fuzzes keys of rows.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_state::fuzzing::keys(bytes));
