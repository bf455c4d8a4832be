//! Records and batches: what travels along the edges of a graph.
//!
//! A record is a value with its event time. Records travel in batches; a batch is typed inside an
//! operator and erased between operators, so that erasure costs once per batch.

use std::any::Any;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use bincode::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::rank::Rank;
use crate::time::EventTime;

/// What a stream can be made of: owned, cloneable, serializable values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a stream",
    note = "a record needs `#[derive(Clone, Serialize, Deserialize)]`, and must be `Send` and own its data"
)]
pub trait Data: Clone + Send + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Data for T {}

/// A value and its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// When it happened.
    pub time: EventTime,
    /// What happened.
    pub value: T,
}

impl<T> Record<T> {
    /// A record of `value` at `time`.
    pub fn new(time: EventTime, value: T) -> Self {
        Self { time, value }
    }
}

/// A run of positions in one split that a batch was made from; it names the place in errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The source and split, as `payments/shard-0`.
    pub split: Arc<str>,
    /// The first position, in the split's own count (sequence number, line, index).
    pub first: u64,
    /// The last position, inclusive.
    pub last: u64,
}

/// Where the records of a batch came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Positions the batch was made from: at most [`Origin::MAX_SPANS`], then `truncated`.
    pub spans: Vec<Span>,
    /// More splits contributed than are listed.
    pub truncated: bool,
    /// When the source read the oldest of them, in microseconds of the job's clock;
    /// `i64::MAX` if no record of a source is among them (a timer's output).
    pub read_at_us: i64,
    /// When the oldest of them came into being, as far as their sources know (a log knows when they were
    /// appended), in microseconds since the Unix epoch; `i64::MAX` if none does.
    pub created_at_us: i64,
}

impl Default for Origin {
    fn default() -> Self {
        Self { spans: Vec::new(), truncated: false, read_at_us: i64::MAX, created_at_us: i64::MAX }
    }
}

impl Origin {
    /// An exchange mixes batches of many splits; beyond a few the list no longer helps to find
    /// the record and would cost per batch.
    pub const MAX_SPANS: usize = 4;

    /// The origin of one run of one split.
    #[must_use]
    pub fn of(span: Span, read_at_us: i64) -> Self {
        Self { spans: vec![span], read_at_us, ..Self::default() }
    }

    /// Adds what `other` names.
    pub fn merge(&mut self, other: &Self) {
        self.read_at_us = self.read_at_us.min(other.read_at_us);
        self.created_at_us = self.created_at_us.min(other.created_at_us);
        self.truncated |= other.truncated;
        for span in &other.spans {
            if let Some(known) = self.spans.iter_mut().find(|known| known.split == span.split) {
                known.first = known.first.min(span.first);
                known.last = known.last.max(span.last);
            } else if self.spans.len() < Self::MAX_SPANS {
                self.spans.push(span.clone());
            } else {
                self.truncated = true;
            }
        }
    }

    /// The position of the record at `index`, if the batch is one whole run of one split.
    #[must_use]
    pub fn narrowed(&self, index: usize, len: usize) -> Self {
        match self.spans.as_slice() {
            [span] if !self.truncated && span.last.wrapping_sub(span.first).wrapping_add(1) == len as u64 => {
                let at = span.first.wrapping_add(index as u64);
                Self { spans: vec![Span { first: at, last: at, ..span.clone() }], ..self.clone() }
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spans.is_empty() {
            return f.write_str("no split (a timer or window)");
        }
        for (i, span) in self.spans.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            if span.first == span.last {
                write!(f, "{comma}{} at {}", span.split, span.first)?;
            } else {
                write!(f, "{comma}{} from {} to {}", span.split, span.first, span.last)?;
            }
        }
        if self.truncated { f.write_str(", and others") } else { Ok(()) }
    }
}

/// The records of one type that an erased batch holds.
#[expect(clippy::len_without_is_empty, reason = "asked through `Batch`, which has it")]
pub trait AnyRecords: Any + Send {
    /// How many records there are.
    fn len(&self) -> usize;
    /// A copy, for fan-out.
    fn duplicate(&self) -> Box<dyn AnyRecords>;
    /// As `Any`, to get the typed records back.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// As `Any`, to look at the typed records.
    fn as_any(&self) -> &dyn Any;
    /// The record type, for messages.
    fn type_name(&self) -> &'static str;
    /// How many bytes `encode` writes.
    fn encoded_len(&self) -> usize;
    /// Writes the records for another process.
    fn encode(&self, writer: &mut dyn Write);
}

impl<T: Data> AnyRecords for Vec<Record<T>> {
    fn len(&self) -> usize {
        self.len()
    }
    fn duplicate(&self) -> Box<dyn AnyRecords> {
        Box::new(self.clone())
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }
    fn encoded_len(&self) -> usize {
        let length = bincode::serialized_size(self).expect("the records' Serialize does not fail");
        usize::try_from(length).expect("a batch fits in memory")
    }
    fn encode(&self, writer: &mut dyn Write) {
        bincode::serialize_into(writer, self).expect("the channel's buffer has `encoded_len` bytes");
    }
}

/// Records of one type, erased, with the place they came from.
#[derive(Clone)]
pub struct Batch {
    records: Repr,
    /// As long as the records, where they have ranks.
    ranks: Option<Vec<Rank>>,
    /// Where they came from.
    pub origin: Origin,
}

/// A batch is typed until it crosses into another process, and again once its typed consumer,
/// which alone knows the type there, has taken it.
enum Repr {
    Typed(Box<dyn AnyRecords>),
    Encoded { bytes: Vec<u8>, len: usize },
    Step(EventTime),
}

impl Batch {
    /// Erases `records`.
    #[must_use]
    pub fn new<T: Data>(records: Vec<Record<T>>, origin: Origin) -> Self {
        Self { records: Repr::Typed(Box::new(records)), ranks: None, origin }
    }

    /// A batch of `len` records that another process encoded.
    #[must_use]
    pub fn encoded(bytes: Vec<u8>, len: usize, origin: Origin) -> Self {
        Self { records: Repr::Encoded { bytes, len }, ranks: None, origin }
    }

    /// No records, but the word that event time has come to `at`: what is due before the records of
    /// that time is due now. Stays within a stage.
    #[must_use]
    pub fn step(at: EventTime) -> Self {
        Self { records: Repr::Step(at), ranks: None, origin: Origin::default() }
    }

    /// How far event time has come, if that is all it says.
    #[must_use]
    pub fn step_time(&self) -> Option<EventTime> {
        match self.records {
            Repr::Step(at) => Some(at),
            _ => None,
        }
    }

    /// The same with a rank for each record, if there are any.
    ///
    /// # Panics
    /// If there are more or less than records.
    #[must_use]
    pub fn ranked(mut self, ranks: Option<Vec<Rank>>) -> Self {
        if let Some(ranks) = &ranks {
            assert_eq!(ranks.len(), self.len(), "each record of a ranked batch has a rank");
        }
        self.ranks = ranks;
        self
    }

    /// The ranks of its records, where they have some.
    #[must_use]
    pub fn ranks(&self) -> Option<&[Rank]> {
        self.ranks.as_deref()
    }

    /// Takes note, in the ranks of the records, of the way `number` that they came.
    pub fn came_by(&mut self, number: usize) {
        self.ranks.iter_mut().flatten().for_each(|rank| rank.push(number as u64));
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.records {
            Repr::Typed(records) => records.len(),
            Repr::Encoded { len, .. } => *len,
            Repr::Step(_) => 0,
        }
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes `encode` writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match &self.records {
            Repr::Typed(records) => records.encoded_len(),
            Repr::Encoded { bytes, .. } => bytes.len(),
            Repr::Step(_) => unreachable!("a step stays within its stage"),
        }
    }

    /// Writes the records for another process.
    pub fn encode(&self, writer: &mut dyn Write) {
        match &self.records {
            Repr::Typed(records) => records.encode(writer),
            Repr::Encoded { bytes, .. } => {
                writer.write_all(bytes).expect("the channel's buffer has `encoded_len` bytes");
            }
            Repr::Step(_) => unreachable!("a step stays within its stage"),
        }
    }

    /// The typed records, to look at; `None` if they are as another process encoded them.
    #[must_use]
    pub fn records<T: Data>(&self) -> Option<&[Record<T>]> {
        match &self.records {
            Repr::Typed(records) => records.as_any().downcast_ref::<Vec<Record<T>>>().map(Vec::as_slice),
            Repr::Encoded { .. } | Repr::Step(_) => None,
        }
    }

    /// The typed records.
    ///
    /// # Panics
    /// If the batch holds another type: the typed graph builder makes edges only between equal
    /// types, so this is a broken invariant of the engine.
    #[must_use]
    pub fn into_records<T: Data>(self) -> (Vec<Record<T>>, Origin) {
        let (records, origin, _) = self.into_ranked();
        (records, origin)
    }

    /// The typed records, with their ranks where they have some.
    ///
    /// # Panics
    /// As [`Batch::into_records`].
    #[must_use]
    pub fn into_ranked<T: Data>(self) -> (Vec<Record<T>>, Origin, Option<Vec<Rank>>) {
        let expected = std::any::type_name::<T>();
        match self.records {
            Repr::Typed(records) => {
                let found = records.type_name();
                match records.into_any().downcast::<Vec<Record<T>>>() {
                    Ok(records) => (*records, self.origin, self.ranks),
                    Err(_) => panic!("an edge of {expected} delivered a batch of {found}"),
                }
            }
            Repr::Encoded { bytes, len } => match read_records(&bytes, len) {
                Ok(records) => (records, self.origin, self.ranks),
                Err(problem) => panic!("an edge of {expected} delivered bytes that are none: {problem}"),
            },
            Repr::Step(at) => panic!("an edge of {expected} delivered a step to {at}"),
        }
    }
}

/// The records that another process has encoded. No length in `bytes` can ask for more than there is.
pub(crate) fn read_records<T: Data>(bytes: &[u8], len: usize) -> Result<Vec<Record<T>>, String> {
    let options = bincode::DefaultOptions::new().with_fixint_encoding().with_limit(bytes.len() as u64);
    let records: Vec<Record<T>> = options.deserialize(bytes).map_err(|error| error.to_string())?;
    if records.len() == len {
        Ok(records)
    } else {
        Err(format!("they are {} records, their header says {len}", records.len()))
    }
}

impl Clone for Repr {
    fn clone(&self) -> Self {
        match self {
            Self::Typed(records) => Self::Typed(records.duplicate()),
            Self::Encoded { bytes, len } => Self::Encoded { bytes: bytes.clone(), len: *len },
            Self::Step(at) => Self::Step(*at),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.records {
            Repr::Typed(records) => write!(f, "Batch({} x {})", records.len(), records.type_name()),
            Repr::Encoded { bytes, len } => write!(f, "Batch({len} in {} bytes)", bytes.len()),
            Repr::Step(at) => write!(f, "Step({at})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(split: &Arc<str>, first: u64, last: u64) -> Origin {
        Origin::of(Span { split: split.clone(), first, last }, 7)
    }

    #[test]
    fn origins_merge_by_split_and_stay_short() {
        let splits: Vec<Arc<str>> = (0..6).map(|i| format!("in/{i}").into()).collect();
        let mut origin = span(&splits[0], 5, 9);
        origin.merge(&span(&splits[0], 1, 2));
        assert_eq!(origin.to_string(), "in/0 from 1 to 9");
        for split in &splits {
            origin.merge(&span(split, 3, 3));
        }
        assert_eq!(origin.to_string(), "in/0 from 1 to 9, in/1 at 3, in/2 at 3, in/3 at 3, and others");
    }

    #[test]
    fn origins_from_another_process_merge_too() {
        let mut origin = span(&"in/0".into(), 1, 2);
        origin.merge(&span(&"in/0".into(), 3, 9));
        assert_eq!(origin.to_string(), "in/0 from 1 to 9");
    }

    #[test]
    fn a_whole_run_narrows_to_one_position() {
        let split: Arc<str> = "in/0".into();
        assert_eq!(span(&split, 10, 13).narrowed(2, 4).to_string(), "in/0 at 12");
        assert_eq!(span(&split, 10, 13).narrowed(2, 3).to_string(), "in/0 from 10 to 13");
    }

    #[test]
    fn a_batch_survives_another_process() {
        let records =
            vec![Record::new(EventTime(3), "a".to_owned()), Record::new(EventTime(4), "b".to_owned())];
        let batch = Batch::new(records.clone(), Origin::default());
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        assert_eq!(bytes.len(), batch.encoded_len());
        let received = Batch::encoded(bytes, 2, Origin::default());
        assert_eq!((received.len(), received.into_records::<String>().0), (2, records));
    }

    #[test]
    #[should_panic(expected = "an edge of u8 delivered a batch of u32")]
    fn a_batch_of_another_type_is_a_broken_invariant() {
        let _ = Batch::new(vec![Record::new(EventTime(0), 1u32)], Origin::default()).into_records::<u8>();
    }
}
