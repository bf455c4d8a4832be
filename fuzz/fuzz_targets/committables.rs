//! Fuzzes committables of the sinks.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_connectors::fuzzing::committables(bytes));
