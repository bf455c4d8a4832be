//! Fuzzes what clients of the Kinesis service hand back: iterators, tokens of pages, sequence numbers, names, times.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_kinesis::fuzzing::tokens(bytes));
