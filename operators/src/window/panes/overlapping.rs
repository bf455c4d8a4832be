//! Records that are added to each of their windows.

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::{Key, Keyed};
use pelton_dataflow::record::Record;
use pelton_state::TOGETHER;

use super::Running;
use crate::aggregate::Aggregate;
use crate::window::aligned::{Overlapping, Slice};

impl<K: Key, A: Aggregate> Running<K, A> {
    /// Takes records into their windows; gives those back all of whose windows have fired.
    pub(super) fn take_overlapping(
        &mut self,
        windows: Overlapping,
        records: Vec<Record<Keyed<K, A::In>>>,
    ) -> OpResult<Vec<Record<A::In>>> {
        let mut late = Vec::new();
        let mut records = records.into_iter();
        let mut panes = self.panes.borrow_mut();
        while let Some(first) = records.as_slice().first() {
            self.at_hand = Some(first.value.hash);
            let slice @ Slice { span, last } = windows.slice_of(first.time)?;
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            let run = ahead.iter().take_while(|record| span.contains(record.time)).count();
            let run = &ahead[..run];
            let is_even = self.progress.is_even();
            for end in windows.ends_of(slice).filter(|end| *end > self.progress.told()) {
                if is_even {
                    panes.seek(end, run.iter().map(|record| (record.value.hash, &record.value.key)));
                }
                for (nth, Record { value: Keyed { hash, key, value }, .. }) in run.iter().enumerate() {
                    self.at_hand = Some(*hash);
                    // Until event time has caught up with what was restored, groups differ in what is late.
                    let held = match is_even {
                        true => panes.at_sought(nth, *hash, key)?,
                        false if end <= self.progress.of(*hash) => continue,
                        false => panes.at(end, *hash, key)?,
                    };
                    self.aggregate.add_ref(held, value);
                }
            }
            let (count, progress) = (run.len(), &self.progress);
            let taken = records.by_ref().take(count);
            let is_late = |hash| last <= progress.of(hash);
            late.extend(
                taken
                    .filter(|record| is_late(record.value.hash))
                    .map(|Record { time, value }| Record::new(time, value.value)),
            );
        }
        self.at_hand = None;
        Ok(late)
    }
}
