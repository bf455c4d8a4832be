//! Records of one key that wait for the watermark, in the order of event time.
//!
//! They are in the key's struct while they are few. If a watermark stands still they become many:
//! then the earlier ones go into rows of a table, so that a checkpoint does not write all of them again.

use std::collections::VecDeque;
use std::sync::Arc;

use pelton_state::StateError;
use serde::{Deserialize, Serialize};

use super::history::{CHUNK, Chunk, Rows};

/// Records in a row of the table.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Run {
    id: u32,
    /// The time of its last record.
    last_ms: i64,
    /// So many of its records are gone.
    taken: u32,
}

/// The records of one key that wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub(super) struct Waiting<T> {
    /// Before all of `tail`, in order.
    runs: Vec<Run>,
    tail: VecDeque<(i64, T)>,
    next_id: u32,
    /// The records of the first run, while they are being released.
    #[serde(skip)]
    first: Option<Chunk<T>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { runs: Vec::new(), tail: VecDeque::new(), next_id: 0, first: None }
    }
}

impl<T: Clone> Waiting<T> {
    /// Adds a record; of equal times it comes last.
    pub fn insert(&mut self, at_ms: i64, record: T, rows: &mut impl Rows<T>) -> Result<(), StateError> {
        if self.runs.last().is_some_and(|run| run.last_ms > at_ms) {
            return self.insert_into_run(at_ms, record, rows);
        }
        let index = match self.tail.back() {
            Some((last_ms, _)) if *last_ms > at_ms => self.tail.partition_point(|(ms, _)| *ms <= at_ms),
            _ => self.tail.len(),
        };
        self.tail.insert(index, (at_ms, record));
        if self.tail.len() >= 2 * CHUNK {
            let run: Vec<(i64, T)> = self.tail.drain(..CHUNK).collect();
            let at = self.runs.len();
            self.add_run(at, run, rows)?;
        }
        Ok(())
    }

    /// The time of the earliest record.
    pub fn first_ms(&mut self, rows: &mut impl Rows<T>) -> Result<Option<i64>, StateError> {
        Ok(match self.first_run(rows)? {
            Some((run, chunk)) => chunk.get(run.taken as usize).map(|(at_ms, _)| *at_ms),
            None => self.tail.front().map(|(at_ms, _)| *at_ms),
        })
    }

    /// Takes the earliest record out.
    pub fn pop(&mut self, rows: &mut impl Rows<T>) -> Result<Option<T>, StateError> {
        let Some((run, chunk)) = self.first_run(rows)? else {
            return Ok(self.tail.pop_front().map(|(_, record)| record));
        };
        let record = chunk.get(run.taken as usize).map(|(_, record)| record.clone());
        run.taken += 1;
        if run.taken as usize >= chunk.len() {
            rows.remove(run.id)?;
            self.runs.remove(0);
            self.first = None;
        }
        Ok(record)
    }

    fn first_run(&mut self, rows: &mut impl Rows<T>) -> Result<Option<(&mut Run, &Chunk<T>)>, StateError> {
        let Some(run) = self.runs.first_mut() else { return Ok(None) };
        if self.first.is_none() {
            self.first = Some(rows.chunk(run.id)?);
        }
        Ok(self.first.as_ref().map(|chunk| (run, chunk)))
    }

    fn insert_into_run(&mut self, at_ms: i64, record: T, rows: &mut impl Rows<T>) -> Result<(), StateError> {
        let at = self.runs.partition_point(|run| run.last_ms <= at_ms);
        self.first = None;
        let run = &mut self.runs[at];
        let mut chunk = rows.chunk(run.id)?;
        let records = Arc::make_mut(&mut chunk);
        records.drain(..run.taken as usize);
        run.taken = 0;
        let index = records.partition_point(|(ms, _)| *ms <= at_ms);
        records.insert(index, (at_ms, record));
        let upper = if records.len() >= 2 * CHUNK { records.split_off(CHUNK) } else { Vec::new() };
        run.last_ms = records.last().map_or(at_ms, |(ms, _)| *ms);
        rows.put(run.id, chunk)?;
        if upper.is_empty() { Ok(()) } else { self.add_run(at + 1, upper, rows) }
    }

    fn add_run(
        &mut self,
        at: usize,
        records: Vec<(i64, T)>,
        rows: &mut impl Rows<T>,
    ) -> Result<(), StateError> {
        let last_ms = records.last().map_or(i64::MIN, |(at_ms, _)| *at_ms);
        rows.put(self.next_id, Arc::new(records))?;
        self.runs.insert(at, Run { id: self.next_id, last_ms, taken: 0 });
        self.next_id = self.next_id.wrapping_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::history::Chunk;
    use super::*;

    type Table = HashMap<u32, Chunk<usize>>;

    impl Rows<usize> for Table {
        fn get(&mut self, id: u32) -> Result<Option<Chunk<usize>>, StateError> {
            Ok(Table::get(self, &id).cloned())
        }
        fn put(&mut self, id: u32, chunk: Chunk<usize>) -> Result<(), StateError> {
            self.insert(id, chunk);
            Ok(())
        }
        fn remove(&mut self, id: u32) -> Result<(), StateError> {
            Table::remove(self, &id).expect("a row is removed once");
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn records_come_out_by_time_and_arrival(
            arrivals in prop::collection::vec((0i64..500, 0usize..3), 0..4_000)
        ) {
            let (mut waiting, mut table) = (Waiting::default(), Table::new());
            let mut model = std::collections::BTreeSet::new();
            let mut gone_ms = 0;
            for (nth, (at_ms, pops)) in arrivals.into_iter().enumerate() {
                // As a watermark has it: nothing comes before what is gone.
                let at_ms = at_ms.max(gone_ms);
                waiting.insert(at_ms, nth, &mut table).unwrap();
                model.insert((at_ms, nth));
                for _ in 0..pops.saturating_sub(1) {
                    let first_ms = waiting.first_ms(&mut table).unwrap();
                    prop_assert_eq!(first_ms, model.first().map(|(ms, _)| *ms));
                    if first_ms.is_some_and(|first_ms| first_ms < at_ms / 2) {
                        gone_ms = first_ms.map_or(gone_ms, |ms| ms + 1).max(gone_ms);
                        let first = model.pop_first().map(|(_, nth)| nth);
                        prop_assert_eq!(waiting.pop(&mut table).unwrap(), first);
                    }
                }
            }
            for (_, nth) in model {
                prop_assert_eq!(waiting.pop(&mut table).unwrap(), Some(nth));
            }
            prop_assert!(waiting.runs.is_empty() && waiting.tail.is_empty() && table.is_empty());
        }
    }
}
