//! Fuzzes the memory backend's files of sorted rows.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_state::fuzzing::run_file(bytes));
