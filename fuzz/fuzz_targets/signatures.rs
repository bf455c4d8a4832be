//! Fuzzes the signatures of requests to the Kinesis service.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_kinesis::fuzzing::signatures(bytes));
