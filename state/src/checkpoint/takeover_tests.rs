//! Takeovers that fail, and processes that come back when their place in the log is free again.

use object_store::memory::InMemory;

use super::log::{self, ManifestLog, StartFrom};
use super::manifest::{Entry, Manifest};
use super::retention::collect;
use super::store::CheckpointStore;
use super::tests::{Flaky, begin, manifest, memory};
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

/// A successor's takeover has the place that the one before would append at. Retention deletes it.
#[test]
fn who_comes_back_when_his_place_is_free_again_has_lost() {
    let store = memory();
    let mut zombie = begin(&store).log;
    zombie.append(&manifest(1, 1, &[])).unwrap();
    let mut second = begin(&store).log;
    second.append(&manifest(2, 2, &[])).unwrap();
    collect(&store, 2, 1, true).unwrap().unwrap();
    assert_eq!(log::sequences(&store).unwrap(), [4], "the place of the zombie is free");

    for _ in 0..2 {
        let lost = zombie.append(&manifest(1, 9, &[])).unwrap_err();
        assert!(matches!(lost, StateError::Fenced { .. }), "{lost}");
    }
    // What he has left is no checkpoint that anybody starts from, or that retention counts.
    let found = log::entries(&store).unwrap();
    assert_eq!(found.iter().map(|one| one.sequence).collect::<Vec<_>>(), [3, 4]);
    assert!(log::is_void(&found, 0) && !log::is_void(&found, 1));
    assert_eq!(collect(&store, 2, 2, false).unwrap(), None, "there is one checkpoint");
    second.append(&manifest(2, 3, &[])).unwrap();
    assert_eq!(collect(&store, 2, 2, false).unwrap().unwrap().entries, [3]);
    assert_eq!(begin(&store).base.unwrap().1.epoch.0, 3);
}

/// He has looked for a place, and comes to append when others have been there and gone.
#[test]
fn a_takeover_in_a_place_that_is_free_again_begins_nothing() {
    let store = memory();
    begin(&store).log.append(&manifest(1, 1, &[])).unwrap();
    let is_first = std::cell::Cell::new(true);
    let accept = |_, _: Option<(u64, &Manifest)>| {
        if is_first.replace(false) {
            let mut other = begin(&store).log;
            other.append(&manifest(2, 2, &[])).unwrap();
            collect(&store, 2, 1, true).unwrap().unwrap();
        }
        Ok::<_, StateError>(())
    };
    let begun = ManifestLog::take_over(&store, "job", &StartFrom::Newest, 0, &mut Default::default(), accept)
        .unwrap();
    assert_eq!(
        (begun.log.generation(), begun.base.unwrap().0),
        (3, 4),
        "it began in a place before the newest"
    );
    let newest = log::entries(&store).unwrap().pop().unwrap();
    assert!(matches!(newest.entry, Ok(Entry::Takeover(takeover)) if takeover.generation == 3));
}
