//! Fuzzes single records in JSON and bincode.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_connectors::fuzzing::records(bytes));
