//! One worker's part of a stream, on its way through `assign_times`.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::source::SourceTime;
use pelton_dataflow::time::{Epoch, EventTime};

use super::kept;
use crate::dead_letter::{OnError, dead_letter};
use crate::source::{TimeCheck, TimesSeen};
use crate::watermarks::{WatermarkGenerator, Watermarks};

pub(super) struct Running<T, F, G: WatermarkGenerator<T>> {
    name: String,
    watermarks: Arc<Watermarks<F, G>>,
    on_error: Option<OnError>,
    clock: Arc<dyn Clock>,
    generator: G::State,
    /// How far it has come: by its records, by what was restored, or after others while it was silent.
    watermark: EventTime,
    latest: EventTime,
    /// It has told that its watermark is far ahead of the clock: once is enough.
    is_ahead: bool,
}

impl<T, F, G> Running<T, F, G>
where
    T: Data,
    F: Fn(&T) -> EventTime,
    G: WatermarkGenerator<T>,
{
    pub fn start(
        watermarks: Arc<Watermarks<F, G>>,
        on_error: Option<OnError>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let kept = kept::restore(cx.restored)?;
        Ok(Self {
            name: cx.name.to_owned(),
            watermarks,
            on_error,
            clock: cx.clock.clone(),
            generator: kept.generator,
            watermark: kept.watermark,
            latest: EventTime::MIN,
            is_ahead: false,
        })
    }

    fn timed(&self, records: Vec<Record<T>>) -> Vec<Record<T>> {
        let timed = records.into_iter().map(|Record { value, .. }| {
            let time = (self.watermarks.time_of)(&value);
            Record::new(time, value)
        });
        timed.collect()
    }

    /// Takes out of `records` those whose event time cannot be right.
    fn reject(
        &self,
        records: &mut Vec<Record<T>>,
        check: TimeCheck,
        origin: &Origin,
        out: &mut Outputs,
    ) -> OpResult {
        let mut letters = Vec::new();
        let mut failed = None;
        records.retain(|Record { time, value }| {
            let Some(problem) = check.problem(*time) else { return true };
            match self.on_error {
                Some(OnError::DeadLetter) => {
                    let reason = format!("operator `{}`: {problem}", self.name);
                    letters.push(Record::new(EventTime::MIN, dead_letter(origin, reason, value)));
                }
                None => failed = failed.take().or(Some(problem)),
            }
            false
        });
        out.send(1, letters, origin.clone());
        match failed {
            None => Ok(()),
            Some(problem) => Err(format!(
                "{problem}; a record whose event time cannot be right fails the job unless `.dead_letters()` sends it to a stream of its own"
            )
            .into()),
        }
    }

    /// Moves event time on by what was read; times beyond `cut` count as `cut`.
    fn note(&mut self, records: &[Record<T>], latest: EventTime, cut: EventTime, check: TimeCheck) {
        let generator = &self.watermarks.generator;
        generator.on_records(&mut self.generator, records, cut, latest);
        self.watermark = self.watermark.max(generator.watermark(&self.generator));
        if latest > self.latest
            && !self.is_ahead
            && let Some(warning) = check.warning(latest)
        {
            self.is_ahead = true;
            tracing::warn!("operator `{}`: {warning}", self.name);
        }
        self.latest = self.latest.max(latest);
    }
}

impl<T, F, G> Operator for Running<T, F, G>
where
    T: Data,
    F: Fn(&T) -> EventTime,
    G: WatermarkGenerator<T>,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<T>();
        let mut records = self.timed(records);
        let Watermarks { reject_ahead, clamp_ahead, .. } = *self.watermarks;
        let check = TimeCheck { now_ms: self.clock.now_ms(), reject_ahead };
        let mut seen = TimesSeen::of(&records);
        if !check.all_right(&seen) {
            let failed = |error: OpError| OperatorError {
                place: Place { key_group: None, origin: Some(origin.clone()) },
                error,
            };
            self.reject(&mut records, check, &origin, out).map_err(failed)?;
            seen = TimesSeen::of(&records);
        }
        let cut = clamp_ahead.map_or(EventTime::END, |limit| EventTime(check.now_ms) + limit);
        self.note(&records, seen.greatest().min(cut), cut, check);
        out.send(0, records, origin);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.watermark = self.watermark.max(watermark);
        Ok(Flow::Done)
    }

    fn event_time(&self, quiet_for: Duration) -> SourceTime {
        let is_idle = self.watermarks.idle_after.is_some_and(|limit| quiet_for >= limit);
        if is_idle { SourceTime::Idle } else { SourceTime::Active(self.watermark) }
    }

    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        Ok(Frozen { bytes: kept::to_bytes(self.watermark, &self.generator)?, deferred: None })
    }
}
