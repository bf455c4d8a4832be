//! Golden replay: every operator, source and sink of the public API as a small job on the real
//! runtime, whole, and stopped, ended and restarted at random moments, on 1, 3 and 2 workers, with both
//! backends. What comes of it is what a plain loop over the same events makes, always.
//!
//! In reading order: `input` is what the jobs read, `gate` lets it through, `drive` runs the lives of
//! a job; then the cases, a file for each kind, and `graphs`, which are random; `public_api` fails if something that is public is in none
//! of them. The seed is printed; `PELTON_SEED` sets it, `PELTON_ROUNDS` repeats each test with
//! seeds that follow. The example has its own: `examples/tests/it/exactly_once.rs`.

mod broadcast;
mod drive;
mod event_order;
mod gate;
mod graphs;
mod input;
mod joins;
mod keyed;
mod of_a_key;
mod over;
mod patterns;
mod process;
mod public_api;
pub mod random;
mod services;
mod sinks;
mod sources;
mod stateless;
mod watermarks;
mod windows;
mod windows_fired;

macro_rules! cases {
    ($($module:ident: $($case:ident),*;)*) => {
        /// All cases, with their names.
        const CASES: &[(&str, drive::Case)] = &[$($((stringify!($case), $module::$case)),*),*];

        mod replay {
            $($(
                #[test]
                #[allow(non_snake_case, reason = "a test is named as its case")]
                fn $case() {
                    super::drive::replay(&super::$module::$case);
                }
            )*)*
        }
    };
}

cases! {
    stateless: CHAIN, BRANCHES, UNKEYED_PROCESS;
    keyed: RUNNING_VALUES;
    over: RANGES;
    process: STATE_AND_TABLES, EVENT_TIMERS, SESSIONS, PROCESSING_TIMERS, FAILING_RECORDS;
    windows: AGGREGATES, OVERLAPPING, ALL, BY_PROCESSING_TIME, CHAINED, LATE;
    windows_fired: BY_GAPS, COUNTED, KEPT, PATIENT;
    watermarks: TIME_GOES_ON, STRATEGIES, IN_STEP, ASSIGNED, ASIDE;
    event_order: STORY, TOTAL;
    joins: CONNECTED, BY_TIME, BY_WINDOW, BY_VERSION;
    of_a_key: SORTED, DEDUPLICATED, RANKED;
    patterns: IN_TIME;
    sources: VALUES, TIMED_VALUES, GENERATOR_AT_A_RATE, JSON_LINES, CSV, LOG_OF_JSON, LOG_OF_BINCODE, LOG_OF_BYTES, LOG_OF_OWN_FORMAT;
    sinks: FILES, LOGS, FUNCTIONS;
    services: ASKED;
    broadcast: RULES;
    graphs: RANDOM;
}
