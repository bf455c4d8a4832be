//! `distinct` and `deduplicate`: of the records of a key, one.
//!
//! Which one is said by [`Kept`], and how far its word goes by what follows:
//! * [`Deduplicate::for_ever`]: one record for each key there ever is; a few bytes are kept of each;
//! * [`Deduplicate::within`]: one record for each *group* of a key. A group begins with the first record that is in
//!   none, and takes all up to a time after it; then the key is forgotten.

use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;

use crate::keyed_stream::KeyedStream;
use crate::stream::Stream;

mod for_ever;
mod within;

/// Which of the records of a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The first that arrives, at once: another run may see another one arrive first.
    FirstArrived,
    /// The first by event time, once the watermark has passed it. Of one time, the first that arrives.
    First,
    /// The last by event time. For ever: each that is not earlier than all before it, as it comes, to take their
    /// place where they are stored. Within a time: the last of its group, once that is over.
    Last,
}

/// A keyed stream of which one record is to be kept for each key, waiting for how long.
#[must_use = "say for how long: `.within(..)`, `.for_ever()`"]
pub struct Deduplicate<K: Key, T: Data> {
    stream: KeyedStream<K, T>,
    name: String,
    keep: Kept,
    location: &'static Location<'static>,
}

/// What is left of a stream without duplicates.
pub struct Deduplicated<T> {
    /// One record of each group.
    pub out: Stream<T>,
    /// Records that came after the watermark: their group may be over and forgotten.
    pub late: Stream<T>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// The first record that arrives of each key, at once. The keys are kept for ever.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|users, taps| {
    ///     taps.tap("new", &users.key_by(|user: &char| *user).distinct("new-users"));
    /// });
    /// script.record(1, 'a').record(2, 'b').record(3, 'a');
    /// assert_eq!(script.output(), ["new@1 'a'", "new@2 'b'"]);
    /// ```
    #[track_caller]
    pub fn distinct(&self, name: impl Into<String>) -> Stream<T> {
        self.deduplicate(name, Kept::FirstArrived).for_ever()
    }

    /// Keeps one record of each key, for ever or of each group of records within a time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Kept, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let clicks = clicks.key_by(|(user, _): &(char, u64)| *user).deduplicate("clicks", Kept::Last);
    ///     taps.tap("out", &clicks.within(Duration::from_millis(10)).out);
    /// });
    /// script.record(1, ('a', 1)).record(11, ('a', 4)).record(10, ('a', 3)).record(5, ('a', 2)).watermark(11);
    /// assert_eq!(script.output(), ["out@10 ('a', 3)"]);
    /// script.end();
    /// assert_eq!(script.output(), ["out@20 ('a', 4)"]);
    /// ```
    #[track_caller]
    pub fn deduplicate(&self, name: impl Into<String>, keep: Kept) -> Deduplicate<K, T> {
        Deduplicate { stream: self.clone(), name: name.into(), keep, location: Location::caller() }
    }
}

impl<K: Key, T: Data + Sync> Deduplicate<K, T> {
    /// One record for each key there ever is.
    ///
    /// ```
    /// use pelton_operators::{Kept, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let clicks = clicks.key_by(|(user, _): &(char, u64)| *user);
    ///     taps.tap("out", &clicks.deduplicate("first", Kept::First).for_ever());
    /// });
    /// script.record(5, ('a', 1)).record(3, ('a', 2)).record(4, ('a', 3)).watermark(4).record(9, ('a', 4)).end();
    /// assert_eq!(script.output(), ["out@3 ('a', 2)"]);
    /// ```
    pub fn for_ever(self) -> Stream<T> {
        let Self { stream, name, keep, location } = self;
        let about = ("deduplicate", format!("{keep:?}, for ever"));
        let types = PhantomData::<(K, T)>;
        match keep {
            Kept::FirstArrived => {
                stream.operator(name, about, location, for_ever::FirstArrived { types }).out
            }
            Kept::First => stream.operator(name, about, location, for_ever::First { types }).out,
            Kept::Last => stream.operator(name, about, location, for_ever::Last { types }).out,
        }
    }

    /// One record for each group: the first record that is in no group begins one, which takes all of its
    /// key whose event time is less than `time` later.
    pub fn within(self, time: Duration) -> Deduplicated<T> {
        let Self { stream, name, keep, location } = self;
        let within_ms = milliseconds(time).unwrap_or_else(|problem| {
            stream.stream.graph.mistake(&name, problem, location);
            1
        });
        let about = ("deduplicate", format!("{keep:?} within {time:?}"));
        let types = PhantomData::<(K, T)>;
        let processed = match keep {
            Kept::FirstArrived => {
                stream.operator(name, about, location, within::FirstArrived { within_ms, types })
            }
            Kept::First => stream.operator(name, about, location, within::First { within_ms, types }),
            Kept::Last => stream.operator(name, about, location, within::Last { within_ms, types }),
        };
        Deduplicated { out: processed.out, late: processed.side }
    }
}

fn milliseconds(time: Duration) -> Result<i64, String> {
    match i64::try_from(time.as_millis()) {
        Ok(0) => Err(format!("no two records are within {time:?}: give at least 1 ms")),
        Ok(_) if !time.subsec_nanos().is_multiple_of(1_000_000) => {
            Err(format!("{time:?} is not a whole number of milliseconds"))
        }
        Ok(ms) => Ok(ms),
        Err(_) => Err(format!("{time:?} is longer than event time reaches: use `for_ever()`")),
    }
}
