//! Fuzzes what is typed behind flags.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| pelton_cli::fuzzing::words(text));
