//! Fuzzes the configuration file.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| pelton_cli::fuzzing::config(text));
