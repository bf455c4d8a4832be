//! Operators by script: records, watermarks, barriers, crashes and time in, lines out.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as it should")]

mod assign_times;
mod async_http;
mod async_io;
mod broadcast;
mod connect;
mod deduplicate;
mod event_order;
mod event_times;
mod fed;
mod mistakes;
mod model;
mod over;
mod overlapping;
mod pattern;
mod process;
mod restored;
mod slices;
mod sorted;
mod splits;
mod temporal_join;
mod timed_joins;
mod timers;
mod told;
mod top_n;
mod update;
mod watermarks;
mod window;
mod window_counts;
mod window_cut;
mod window_evictors;
mod window_join;
mod window_lateness;
mod window_model;
mod window_sessions;
mod window_triggers;
