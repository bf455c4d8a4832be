//! Fuzzes what travels between processes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_dataflow::fuzzing::parcel(bytes));
