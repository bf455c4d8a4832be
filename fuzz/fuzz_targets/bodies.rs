//! Fuzzes the bodies of requests to the Kinesis service, in JSON and CBOR.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_kinesis::wire::fuzzing::bodies(bytes));
