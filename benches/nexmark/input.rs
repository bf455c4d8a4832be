//! Events as the source of a job: generated, or read from a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pelton::prelude::{Files, Generator, Job, Stream, Watermarks};

use crate::generator::event;
use crate::model::Event;

/// Where events come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first `events` of the generator, dealt out to `splits` splits.
    Generated {
        /// How many.
        events: u64,
        /// In how many parts.
        splits: u32,
    },
    /// The lines of a file, each an event in JSON.
    File(PathBuf),
}

/// How much later than others an event of a file may come: what the public table allows.
const FILE_OUT_OF_ORDER: Duration = Duration::from_secs(4);

impl Input {
    /// All events of `file`.
    #[must_use]
    pub fn file(file: &Path) -> Self {
        Self::File(file.to_owned())
    }

    /// The stream of events, by the times that they say.
    pub fn stream(&self, job: &mut Job) -> Stream<Event> {
        const NAME: &str = "events";
        match self {
            // Each split makes its events in the order of their times.
            Self::Generated { events, splits } => job
                .source(NAME, Generator::new(*events, event).splits(*splits))
                .watermarks(Watermarks::bounded(Duration::ZERO, Event::time)),
            Self::File(file) => job
                .source(NAME, Files::read_jsonl(file))
                .watermarks(Watermarks::bounded(FILE_OUT_OF_ORDER, Event::time)),
        }
    }
}
