//! Fuzzes files of JSON lines and CSV, whole and in pieces.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_connectors::fuzzing::rows(bytes));
