//! Watermark generators: how far event time has come, by the records of one split.
//!
//! A generator sees the records of a split in order and nothing else, no clock above all: what it
//! says is the same in every run over the same input.

use std::marker::PhantomData;
use std::time::Duration;

use pelton_dataflow::record::Record;
use pelton_dataflow::time::EventTime;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A watermark generator, for [`Watermarks::custom`](crate::Watermarks::custom).
///
/// ```
/// use pelton_dataflow::time::EventTime;
/// use pelton_operators::WatermarkGenerator;
///
/// /// The watermark is the third latest time: two records may be wrong without making others late.
/// #[derive(Clone)]
/// struct ThirdLatest;
///
/// impl<T> WatermarkGenerator<T> for ThirdLatest {
///     type State = Vec<EventTime>;
///
///     fn on_record(&self, latest: &mut Vec<EventTime>, _record: &T, time: EventTime) {
///         latest.push(time);
///         latest.sort_by(|a, b| b.cmp(a));
///         latest.truncate(3);
///     }
///     fn watermark(&self, latest: &Vec<EventTime>) -> EventTime {
///         latest.get(2).copied().unwrap_or(EventTime::MIN)
///     }
/// }
/// ```
pub trait WatermarkGenerator<T>: Clone + Send + Sync + 'static {
    /// What is remembered of a split; it is kept in checkpoints beside the split's position.
    type State: Default + Clone + Serialize + DeserializeOwned + 'static;

    /// A record of the split, with its event time.
    fn on_record(&self, state: &mut Self::State, record: &T, time: EventTime);

    /// The watermark: no record earlier than it is to come. One that is behind what was said
    /// before counts for nothing: watermarks never go back.
    fn watermark(&self, state: &Self::State) -> EventTime;

    /// Several records in order; times beyond `cut` count as `cut`, and `latest` is the greatest.
    #[doc(hidden)]
    fn on_records(&self, state: &mut Self::State, records: &[Record<T>], cut: EventTime, _latest: EventTime) {
        for record in records {
            self.on_record(state, &record.value, record.time.min(cut));
        }
    }

    /// The state as it follows from the greatest time that was seen, if that is all there is to it.
    #[doc(hidden)]
    fn state_at(&self, _latest: EventTime) -> Option<Self::State> {
        None
    }
}

/// The watermark stays behind the greatest time by a fixed span.
#[derive(Clone, Copy, Debug)]
pub struct Behind(pub(super) Duration);

/// The greatest time of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Latest(EventTime);

impl Default for Latest {
    fn default() -> Self {
        Self(EventTime::MIN)
    }
}

impl<T> WatermarkGenerator<T> for Behind {
    type State = Latest;

    fn on_record(&self, latest: &mut Latest, _record: &T, time: EventTime) {
        latest.0 = latest.0.max(time);
    }

    fn watermark(&self, latest: &Latest) -> EventTime {
        latest.0 - self.0
    }

    fn on_records(&self, state: &mut Latest, _: &[Record<T>], _cut: EventTime, latest: EventTime) {
        state.0 = state.0.max(latest);
    }

    fn state_at(&self, latest: EventTime) -> Option<Latest> {
        Some(Latest(latest))
    }
}

/// The watermark is what marked records say.
pub struct Punctuated<T, P> {
    mark: P,
    record: PhantomData<fn(T)>,
}

impl<T, P> Punctuated<T, P> {
    pub(super) fn new(mark: P) -> Self {
        Self { mark, record: PhantomData }
    }
}

impl<T, P: Clone> Clone for Punctuated<T, P> {
    fn clone(&self) -> Self {
        Self::new(self.mark.clone())
    }
}

impl<T: 'static, P> WatermarkGenerator<T> for Punctuated<T, P>
where
    P: Fn(&T) -> Option<EventTime> + Clone + Send + Sync + 'static,
{
    type State = Latest;

    fn on_record(&self, latest: &mut Latest, record: &T, _time: EventTime) {
        if let Some(mark) = (self.mark)(record) {
            latest.0 = latest.0.max(mark);
        }
    }

    fn watermark(&self, latest: &Latest) -> EventTime {
        latest.0
    }

    fn on_records(&self, state: &mut Latest, records: &[Record<T>], cut: EventTime, _: EventTime) {
        let marks = records.iter().filter_map(|record| (self.mark)(&record.value));
        state.0 = marks.fold(state.0, |latest, mark| latest.max(mark.min(cut)));
    }
}
