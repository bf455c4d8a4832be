//! Fuzzes each layout of the shard log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_streams::fuzzing::layouts(bytes));
