//! Fuzzes positions of splits.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_connectors::fuzzing::positions(bytes));
