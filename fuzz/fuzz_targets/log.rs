//! Fuzzes a log of which some bytes are others, opened, read and written.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_streams::fuzzing::log(bytes));
