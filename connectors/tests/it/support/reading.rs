//! Reading splits to their ends, in pieces, and again from each piece's end.

use std::fmt::Debug;

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Waker;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Fetched, Polled, ReaderContext, Source, SplitInfo, SplitReader};

/// All that was read of a split.
#[derive(Debug, PartialEq)]
pub struct Reading<T> {
    pub values: Vec<T>,
    pub times: Vec<i64>,
    /// Position and reason.
    pub rejected: Vec<(u64, String)>,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self { values: vec![], times: vec![], rejected: vec![] }
    }
}

impl<T> Reading<T> {
    fn take(&mut self, fetched: Fetched<T>) {
        assert!(fetched.times.is_empty() || fetched.times.len() == fetched.values.len());
        let count = fetched.values.len() + fetched.rejected.len();
        match fetched.span {
            Some((first, last)) => {
                assert!(count > 0 && first <= last);
                assert!(fetched.rejected.iter().all(|(at, ..)| (first..=last).contains(at)));
            }
            None => assert_eq!(count, 0, "records without a place"),
        }
        self.values.extend(fetched.values);
        self.times.extend(fetched.times.iter().map(|time| time.0));
        self.rejected.extend(fetched.rejected.into_iter().map(|(at, reason, _)| (at, reason)));
    }
}

fn reader_context() -> ReaderContext {
    ReaderContext { waker: Waker::noop(), worker: 0 }
}

/// The names of the splits.
pub fn splits<S: Source>(source: &S) -> Vec<String> {
    let found = source.enumerator().and_then(|mut enumerator| enumerator.discover()).unwrap();
    found.into_iter().map(|info| info.id.0).collect()
}

pub fn open<S: Source>(
    source: &S,
    split: &str,
    position: Option<&[u8]>,
) -> Result<Box<dyn SplitReader<Item = S::Item>>, OpError> {
    source.open(&SplitInfo::root(split), position, &reader_context())
}

/// Polls `reader` until it has nothing more; tells how that showed.
pub fn drain<T: Data>(reader: &mut dyn SplitReader<Item = T>, max_records: usize) -> (Reading<T>, Polled) {
    let mut reading = Reading::default();
    loop {
        let mut fetched = Fetched::default();
        let polled = reader.poll(max_records, &mut fetched).unwrap();
        assert!(polled == Polled::Ready || fetched.span.is_none(), "records with {polled:?}");
        reading.take(fetched);
        if polled != Polled::Ready {
            return (reading, polled);
        }
    }
}

/// Everything in a split.
pub fn read_all<S: Source>(source: &S, split: &str) -> Reading<S::Item> {
    drain(&mut *open(source, split, None).unwrap(), 1_024).0
}

/// Reading a split up to any place, and going on there with a new reader, gives the same as reading
/// it at one go.
pub fn check_resume<S: Source>(source: &S)
where
    S::Item: Debug + PartialEq,
{
    for split in splits(source) {
        let whole = read_all(source, &split);
        for max_records in [1, 2, 3, 7] {
            let mut first = open(source, &split, None).unwrap();
            let mut before = Reading::default();
            loop {
                let mut rest = open(source, &split, Some(&first.position())).unwrap();
                let (after, _) = drain(&mut *rest, 5);
                let mut both = Reading {
                    values: before.values.clone(),
                    times: before.times.clone(),
                    rejected: before.rejected.clone(),
                };
                both.values.extend(after.values);
                both.times.extend(after.times);
                both.rejected.extend(after.rejected);
                assert_eq!(both, whole, "split {split} after {} values", before.values.len());
                let mut fetched = Fetched::default();
                let polled = first.poll(max_records, &mut fetched).unwrap();
                before.take(fetched);
                if polled != Polled::Ready {
                    break;
                }
            }
        }
    }
}

/// What a source says when it cannot be enumerated, or a split when it cannot be opened.
pub fn messages<T>(result: Result<T, OpError>) -> String {
    match result {
        Ok(_) => panic!("this must be an error"),
        Err(error) => error.to_string(),
    }
}
