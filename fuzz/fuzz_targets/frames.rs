//! Fuzzes the messages of subscriptions to the Kinesis service.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_kinesis::fuzzing::frames(bytes));
