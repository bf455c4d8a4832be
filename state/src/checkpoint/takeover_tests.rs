//! Takeovers that fail, and what their process may do afterwards.

use object_store::memory::InMemory;

use super::log::{ManifestLog, StartFrom};
use super::manifest::Manifest;
use super::store::CheckpointStore;
use super::tests::{Flaky, begin};
use crate::error::StateError;

/// What an attempt that failed would have been called, another process may be.
#[test]
fn a_process_whose_takeover_failed_does_not_take_the_job_back() {
    for outcome in ["written", "not written"] {
        let outcomes = std::sync::Mutex::new(vec![outcome, "works"]);
        let store =
            CheckpointStore::over(Box::new(Flaky { inner: InMemory::new(), outcomes }), "flaky:").unwrap();
        let mut own = Default::default();
        let mut again = |at_ms| {
            let accept = |_, _: Option<(u64, &Manifest)>| Ok::<_, StateError>(());
            ManifestLog::take_over(&store, "job", &StartFrom::Newest, at_ms, &mut own, accept)
        };
        again(1).unwrap();
        let message = again(2).unwrap_err().to_string();
        assert!(message.contains("connection lost"), "{message}");
        let other = begin(&store).log.generation();
        let started = again(3);
        assert!(matches!(started, Err(StateError::Fenced { .. })), "{outcome}: lost to {other}, {started:?}");
    }
}
