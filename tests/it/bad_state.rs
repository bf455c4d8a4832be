//! Types that are kept as state and panic in code of their own: the job says where, and ends.

use pelton::prelude::*;
use pelton::runtime::{CheckpointInterval, JobSettings, JobSpec, RestartStrategy};
use pelton::state::files::Backend;
use serde::{Deserialize, Serialize};

/// What is kept of a key. Its code panics once it has counted to two.
#[derive(Debug, Default, Deserialize)]
struct Breaks {
    at: BreaksAt,
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum BreaksAt {
    #[default]
    Clone,
    Compare,
    Write,
}

impl Breaks {
    fn reached(&self, at: BreaksAt) {
        assert!(self.count < 2 || self.at != at, "boom at {at:?}");
    }
}

impl Clone for Breaks {
    fn clone(&self) -> Self {
        self.reached(BreaksAt::Clone);
        Self { ..*self }
    }
}

impl PartialEq for Breaks {
    fn eq(&self, other: &Self) -> bool {
        self.reached(BreaksAt::Compare);
        (self.at, self.count) == (other.at, other.count)
    }
}

impl Serialize for Breaks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Breaks {
            at: BreaksAt,
            count: u64,
        }
        self.reached(BreaksAt::Write);
        Breaks { at: self.at, count: self.count }.serialize(serializer)
    }
}

struct Counts(BreaksAt);

impl KeyedProcess for Counts {
    type Key = u64;
    type In = u64;
    type Out = u64;
    type Side = NoSide;
    type State = Breaks;

    fn on_record(&self, n: u64, kept: &mut StateMut<'_, Breaks>, cx: &mut Context<'_, Self>) -> OpResult {
        kept.at = self.0;
        kept.count += 1;
        cx.emit(n);
        Ok(())
    }
}

/// Whether that is on the worker's thread, between batches, or on that which writes state.
#[test]
fn a_type_that_is_kept_and_panics_is_told_with_its_operator_and_state() {
    for at in [BreaksAt::Clone, BreaksAt::Compare, BreaksAt::Write] {
        let directory = tempfile::tempdir().unwrap();
        let settings = JobSettings {
            workers: 2,
            state_dir: directory.path().join("state"),
            checkpoint_dir: directory.path().join("checkpoints").display().to_string(),
            checkpoint_interval: CheckpointInterval::EveryMs(5),
            backend: Backend::Memory,
            restart: RestartStrategy::None,
            ..JobSettings::default()
        };
        let mut job = Job::new();
        let numbers = job.source("numbers", Values::new([1u64, 1, 1])).watermarks(Watermarks::none());
        numbers.key_by(|n| *n).process("counts", Counts(at)).out.sink("out", Discard::new());
        let result = pelton::runtime::run(JobSpec::new("job", job.finish().unwrap(), settings));
        let message = result.unwrap_err().to_string();
        assert!(message.contains("a type in state `value` of operator `counts` panicked"), "{message}");
        assert!(message.contains(&format!("boom at {at:?}")), "{message}");
    }
}
